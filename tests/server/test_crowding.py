"""Crowds that don't log in keep out only themselves, and what they send is not stored."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from attacker import connection
from peers import Peer, config, running_server

from gochat.protocol.messages import Bye, Capability, Ping, Pong
from gochat.server import app, crowding
from gochat.server.app import open_server
from gochat.server.sockets import keep_alive
from gochat.server.tls import MAX_OVERHEAD, TlsStream


class Stranger:
    """A connection that waits."""

    def __init__(self, address: str, began: float) -> None:
        self.address = address
        self.began = began
        self.is_there = True

    def make_room(self) -> None:
        self.is_there = False


@pytest.mark.parametrize(
    ("waiting", "comer", "goes"),
    [
        ([], "10.0.0.1", None),
        (["10.0.0.1", "10.0.0.2", "10.0.1.1"], "10.0.2.1", 0),  # the oldest of the largest crowd
        (["10.0.1.1", "10.0.0.1", "10.0.0.2"], "10.0.2.1", 1),
        (["10.0.0.1", "10.0.0.2", "10.0.1.1"], "10.0.1.2", 0),  # one against two
        (["10.0.0.1", "10.0.0.2", "10.0.1.1"], "10.0.0.3", None),  # a member of the crowd itself
        (["10.0.0.1", "10.0.1.1"], "10.0.1.2", None),  # no other network has more
        (["2001:db8::1", "2001:db8:0:1::1", "10.0.1.1"], "10.0.1.2", 0),  # one /48
    ],
)
def test_crowd_makes_room_for_connections_from_elsewhere(
    waiting: list[str], comer: str, goes: int | None
) -> None:
    strangers = [Stranger(address, at) for at, address in enumerate(waiting)]
    assert crowding.make_room(reversed(strangers), comer) is (goes is not None)
    assert [s.is_there for s in strangers] == [at != goes for at in range(len(strangers))]


async def connected(stack: AsyncExitStack, port: int, source: str) -> Peer:
    stream = await trio.open_tcp_stream("127.0.0.1", port, local_address=source)
    return Peer(await stack.enter_async_context(stream))


@pytest.mark.trio
@pytest.mark.parametrize("limit", ["anonymous_max", "max_connections"])
async def test_silent_connections_from_many_addresses_block_nobody(limit: str) -> None:
    limits: dict[str, Any] = {limit: 6}
    async with running_server(config(**limits)) as server, AsyncExitStack() as stack:
        crowd = [
            await connected(stack, server.port, f"127.0.{network}.{host}")
            for network in (1, 2)
            for host in (1, 2, 3)
        ]
        for peer in crowd:
            await peer.ask(Ping(), Pong)
        mei = await connected(stack, server.port, "127.0.3.1")
        await mei.log_in("mei")
        [bye] = await crowd[0].at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "server_full"
        assert bye.retry_after == 10
        await crowd[1].ask(Ping(), Pong)


@pytest.mark.trio
async def test_logged_in_connections_are_not_evicted() -> None:
    async with running_server(config(max_connections=2)) as server, AsyncExitStack() as stack:
        people = [await connected(stack, server.port, f"127.0.1.{n}") for n in (1, 2)]
        for number, peer in enumerate(people):
            await peer.log_in(f"p{number}")
        comer = await connected(stack, server.port, "127.0.3.1")
        *_, bye = await comer.at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "server_full"
        for peer in people:
            await peer.ask(Ping(), Pong)


@pytest.mark.trio
async def test_unknown_capabilities_are_not_stored() -> None:
    async with open_server(config()) as server, trio.open_nursery() as nursery:
        peer = connection(server, nursery)
        await peer.log_in("mei", "log", *map(str, range(5000)))
        [session] = server.sessions
        assert session.caps == {Capability.LOG}
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_keepalive_is_set_for_peers_that_only_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: list[int] = []

    def kept_alive(stream: trio.SocketStream) -> None:
        keep_alive(stream)
        level, option = trio.socket.SOL_SOCKET, trio.socket.SO_KEEPALIVE
        options.append(int.from_bytes(stream.getsockopt(level, option, 4), "little"))

    monkeypatch.setattr(app, "keep_alive", kept_alive)
    async with running_server() as server, server.peer("mei"):
        assert options == [1]


class KeyUpdates:
    """A TLS stream whose data requests new keys and carries nothing."""

    def __init__(self, stream: TlsStream, *, wants_answer: bool) -> None:
        self._stream = stream
        self._wants_answer = wants_answer

    def read(self, _: int) -> bytes:
        data = self._stream._incoming.read()
        if self._wants_answer:
            self._stream._outgoing.write(data)
            if data:
                return b"x"
        raise ssl.SSLWantReadError


@pytest.mark.trio
@pytest.mark.parametrize("wants_answer", [True, False])
async def test_tls_without_data_ends_the_connection(wants_answer: bool) -> None:
    ours, theirs = map(trio.SocketStream, trio.socket.socketpair())
    async with ours, theirs:
        stream = TlsStream(theirs, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        stream._tls = KeyUpdates(stream, wants_answer=wants_answer)  # type: ignore[assignment]  # stands in for the TLS object
        sent = 0
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                nonlocal sent
                while True:
                    await ours.send_all(bytes(1024))
                    sent += 1024

            nursery.start_soon(send)

            async def receive() -> None:
                while True:
                    await stream.receive_some()

            with pytest.raises(trio.BrokenResourceError, match="nothing in it"):
                await receive()
            nursery.cancel_scope.cancel()
        assert stream.received <= 2 * MAX_OVERHEAD
