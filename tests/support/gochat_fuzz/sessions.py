"""The target that is a server: bytes in, and it answers or closes.

A real server in this process, on a port of the loopback, on which two people have accounts, rooms
and messages. Each input is a connection: it logs in as one of them, or doesn't, sends its bytes,
ends its side, and reads to the end. A third person listens all the while.
"""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import structlog
import trio
import trio.lowlevel
from msgspec import structs
from patience import PATIENCE
from peers import PASSWORD, Peer, config

from gochat.config import Config
from gochat.protocol.codec import encode
from gochat.protocol.connection import Connection, Role
from gochat.protocol.framing import FrameDecoder
from gochat.protocol.messages import (
    Bye,
    ByeReason,
    Capability,
    CreateRoom,
    Invite,
    Join,
    LoggedIn,
    Login,
    Ping,
    Pong,
    Resume,
    Send,
    Sent,
    ServerMessage,
)
from gochat.protocol.states import State
from gochat.server.app import open_server
from gochat.server.server import Server
from gochat_fuzz import inputs

_LAST: Final = "after all that"


def configuration() -> Config:
    """Return a server that lets in whoever failed often: what is slowed down isn't tried."""
    often = 1_000_000
    limits = config(
        login_failures=often, login_failures_account=often, login_failures_address=often
    )
    return structs.replace(limits, websocket=True)


class Sessions:
    """The server, and who connects to it."""

    def __init__(self, server: Server, port: int, log: list[Any]) -> None:
        self._server, self._port, self._log = server, port, log
        self._tokens: dict[str, str] = {}
        self._listener: Peer

    async def begin(self, listener: Peer) -> None:
        """Make the accounts, rooms and messages."""
        self._listener = listener
        await self._listener.log_in("ann", *Capability)
        mei, bob = [await self._connect() for _ in inputs.PEOPLE]
        for peer, name in zip((mei, bob), inputs.PEOPLE, strict=True):
            self._tokens[name] = (await peer.log_in(name, "log")).token
        for room in inputs.ROOMS:
            await mei.ask(CreateRoom(room=room, private=room == "#den"), Sent)
            await mei.ask(Invite(room=room, name="bob"), Sent)
            await bob.ask(Join(room=room), Sent)
        for peer in (mei, bob):
            for to in ("#lobby", "@mei", *inputs.ROOMS):
                await peer.ask(Send(to=to, text="hi @bob"), Sent)
            await peer.end()

    async def _connect(self) -> Peer:
        return Peer(await trio.open_tcp_stream("127.0.0.1", self._port))

    async def one(self, chance: Random) -> None:
        """Send one input. Raises AssertionError if the server doesn't take it as it must."""
        if chance.random() < 0.15:
            await self._by_websocket(chance)
        else:
            await self._by_frames(chance)
        with trio.fail_after(PATIENCE):
            while len(self._server.sessions) > 1:
                await trio.lowlevel.checkpoint()
        await self._look(chance)

    async def _by_frames(self, chance: Random) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as stream:
            if chance.random() < 0.8:
                await self._log_in(Peer(stream), chance)
            await self._send_frames(stream, chance)

    async def _send_frames(self, stream: trio.abc.HalfCloseableStream, chance: Random) -> None:
        bodies = [inputs.body(chance, inputs.REQUESTS) for _ in range(chance.choice((1, 4, 12)))]
        data, is_whole = inputs.stream(chance, bodies)
        if is_whole:
            data += encode(Ping(request_id=_LAST))
        answers: Connection[ServerMessage, Any] = Connection(
            Role.CLIENT, framing=FrameDecoder(), state=State.UNKNOWN
        )
        bye: Bye | None = None
        is_answered = False

        def has_answered(data: bytes) -> bool:
            """Take messages that the server has sent; return whether that is all."""
            nonlocal bye, is_answered
            answers.receive_data(data)
            while (answer := answers.next_message()) is not None:
                if isinstance(answer, Bye):
                    bye = answer
                is_answered |= isinstance(answer, Pong) and answer.request_id == _LAST
            return is_answered or bye is not None

        parts = inputs.pieces(data, chance)
        was_reset = await _exchange(stream, parts, has_answered, waits=is_whole)
        assert bye is None or bye.reason != ByeReason.INTERNAL, bye
        assert was_reset or not answers.is_mid_frame, "it ended inside a frame"
        assert is_answered or bye is not None or was_reset or not is_whole, "it did not answer"

    async def _log_in(self, peer: Peer, chance: Random) -> None:
        """Log in as one of the people, by a token unless an input before has revoked it."""
        name = chance.choice(inputs.PEOPLE)
        caps = tuple(cap for cap in Capability if chance.random() < 0.6)
        await peer.send(Resume(token=self._tokens[name], caps=caps, request_id="in"))
        while getattr(reply := await peer.receive(), "request_id", None) != "in":
            pass
        if not isinstance(reply, LoggedIn):
            login = Login(name=name, password=PASSWORD, caps=caps)
            self._tokens[name] = (await peer.ask(login, LoggedIn)).token

    async def _by_websocket(self, chance: Random) -> None:
        lines = [
            "GET / HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {b64encode(chance.randbytes(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: gochat.1",
        ]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        if chance.random() < 0.3:
            head = inputs.mutate(head, chance)
        bodies = [inputs.body(chance, inputs.REQUESTS) for _ in range(chance.choice((1, 4)))]
        data = b"".join(_masked(body, chance) for body in bodies)
        if chance.random() < 0.5:
            data = inputs.mutate(data, chance)
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as stream:
            await _exchange(stream, inputs.pieces(head + data, chance), bool, waits=False)

    async def _look(self, chance: Random) -> None:
        """Check the log and who listens: nothing failed, and they are still served."""
        assert not self.failures, self.failures
        if chance.random() < 0.05:
            await self._listener.ask(Ping(), Pong)
            self._listener.received.clear()

    @property
    def failures(self) -> list[Any]:
        """What the server has logged as failed; the rest of its log is forgotten."""
        failed = [line for line in self._log if line["log_level"] in ("error", "critical")]
        self._log.clear()
        return failed

    async def end(self) -> None:
        """Check that who listens was sent nothing but what can be read."""
        await self._listener.ask(Ping(), Pong)


async def _exchange(
    stream: trio.abc.HalfCloseableStream,
    parts: list[bytes],
    has_answered: Callable[[bytes], bool],
    *,
    waits: bool,
) -> bool:
    """Send parts, and our end: at once, or if it `waits`, once the server `has_answered`.

    Read to the server's end. Return whether that was a reset: it need not read what it refuses.
    """
    answered = trio.Event()
    if not waits:
        answered.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send, stream, parts, answered)
        try:
            with trio.fail_after(PATIENCE):
                while data := await stream.receive_some():
                    if has_answered(bytes(data)):
                        answered.set()
        except trio.BrokenResourceError:
            return True
        finally:
            nursery.cancel_scope.cancel()
    return False


async def _send(
    stream: trio.abc.HalfCloseableStream, parts: list[bytes], answered: trio.Event
) -> None:
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        for part in parts:
            await stream.send_all(part)
            await trio.lowlevel.checkpoint()
        await answered.wait()
        await stream.send_eof()


def _masked(body: bytes, chance: Random) -> bytes:
    """Return a WebSocket message from a client, with a mask that changes nothing."""
    opcode = chance.choice((1, 1, 1, 1, 1, 2, 8, 9, 10, 0, 3))
    fin = 0x80 if chance.random() < 0.9 else 0
    size = len(body)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([fin | opcode]) + length + bytes(4) + body


@asynccontextmanager
async def serving() -> AsyncIterator[Sessions]:
    """Run the server."""
    with structlog.testing.capture_logs() as log:
        async with open_server(configuration()) as server, trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, server.handle, listeners)
            address = listeners[0].socket.getsockname()
            sessions = Sessions(server, address[1], log)
            async with await trio.open_tcp_stream(*address) as listening:
                await sessions.begin(Peer(listening))
                yield sessions
            nursery.cancel_scope.cancel()
