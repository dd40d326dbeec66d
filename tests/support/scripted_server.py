"""A server that does what a test scripts, frame by frame, on loopback; on Trio and asyncio."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.memory import MemoryObjectReceiveStream
from anyio.streams.tls import TLSListener
from msgspec import structs
from patience import PATIENCE

from gochat.client import Client, ClientEvent, ClientOptions, LogEntry, open_client
from gochat.client.convert import to_entry
from gochat.client.options import InternalOptions
from gochat.protocol.codec import encode
from gochat.protocol.connection import Connection, Role
from gochat.protocol.messages import (
    Conversation,
    Limits,
    LoggedIn,
    Login,
    Message,
    Payload,
    People,
    Person,
    Ping,
    Pong,
    Position,
    Reply,
    Request,
    Resume,
    Send,
    Sent,
    Sync,
    Synced,
    Who,
)
from gochat.protocol.states import State

LIMITS = Limits(
    frame_bytes=65536, text_chars=4000, burst=1_000_000, per_second=1e6, history_page=200
)
#: A client that does not make tests wait: it reconnects at once, and fetches gaps at once.
QUICK = InternalOptions(backoff_base=0.0, gap_grace=0.0, request_timeout=PATIENCE)

T = TypeVar("T")
R = TypeVar("R", bound=Request)


def said(
    seq: int,
    text: str = "",
    *,
    epoch: str = "e1",
    to: str = "#lobby",
    from_: str = "bob",
    **rest: Any,
) -> Message:
    """Return a log entry of another person."""
    if to == "@mei" != "@" + from_:
        rest.setdefault("conv", "@" + from_)
    return Message(
        to=to, epoch=epoch, seq=seq, ts=seq, from_=from_, text=text or f"{epoch} {seq}", **rest
    )


def seen(entry: Message, me: str = "mei") -> LogEntry:
    """Return an entry as a program gets it."""
    return to_entry(entry, me)


def heard(seq: int, text: str = "", **rest: Any) -> LogEntry:
    """Return what `said` returns, as a program gets it."""
    return seen(said(seq, text, **rest))


def lobby(
    head: int, epoch: str = "e1", *entries: Message, conv: str = "#lobby", **fields: Any
) -> Conversation:
    """Return what a page says of the lobby, or of another conversation."""
    return Conversation(conv=conv, epoch=epoch, head=head, ts=head, entries=entries, **fields)


class Peer:
    """One connection of a client, at the server's end."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.name = ""  # who is logged in
        # It also sends what no state allows.
        self._protocol = Connection(Role.SERVER, state=State.UNKNOWN)
        #: The client's positions when it logged in.
        self.have: tuple[Position, ...] = ()

    async def receive(self, *ignored: type[Request]) -> Request:
        """Return the client's next request that is not in `ignored`."""
        while True:
            while (request := self._protocol.next_message()) is None:
                self._protocol.receive_data(await self.stream.receive())
            if not isinstance(request, ignored):
                return request

    async def expect(self, kind: type[R], *ignored: type[Request]) -> R:
        """Return the client's next request, which must be of this type."""
        with anyio.fail_after(PATIENCE):
            request = await self.receive(*ignored)
        assert isinstance(request, kind), f"expected {kind.__name__}, not {request}"
        return request

    async def reply(self, request: Request, reply: Reply) -> None:
        """Answer a request."""
        await self.send(structs.replace(reply, request_id=getattr(request, "request_id", None)))

    async def send(self, *payloads: Payload) -> None:
        """Send frames in one write."""
        await self.stream.send(b"".join(map(encode, payloads)))

    async def cut(self) -> None:
        """End the connection without a `bye`."""
        await anyio.aclose_forcefully(self.stream)

    async def welcome(
        self,
        name: str = "mei",
        *events: Payload,
        conversations: Iterable[Conversation] = (lobby(0),),
        gone: Iterable[str] = (),
        people: Iterable[Person] = (),
        limits: Limits = LIMITS,
        token: str = "token",
    ) -> Login | Resume:
        """Log the client in, send `events`, and answer its requests for what it missed."""
        request = await self.accept_login(name, *events, limits=limits, token=token)
        sync = await self.expect(Sync)
        self.have = sync.have
        await self.reply(sync, Synced(conversations=tuple(conversations), gone=tuple(gone)))
        people = tuple(people)
        await self.reply(await self.expect(Who), People(people=people, total=len(people)))
        return request

    async def accept_login(
        self, name: str = "mei", *events: Payload, limits: Limits = LIMITS, token: str = "token"
    ) -> Login | Resume:
        """Log the client in, and send `events` with the reply."""
        with anyio.fail_after(PATIENCE):
            request = await self.receive()
        assert isinstance(request, Login | Resume), f"expected a login, not {request}"
        self.name = name
        logged_in = LoggedIn(
            name=name,
            token=token,
            expires=2_000_000_000_000,
            limits=limits,
            heartbeat=25.0,
            server="scripted 1",
            request_id=request.request_id,
        )
        await self.send(logged_in, *events)
        return request

    async def take(self, text: str, seq: int, *, epoch: str = "e1", dup: bool = False) -> Send:
        """Expect a message with this text, send its entry, unless it is a `dup`, and acknowledge
        it."""
        request = await self.expect(Send)
        assert request.text == text
        to, cid = request.to, request.cid
        if not dup:
            ref = request.reply_to
            await self.send(said(seq, text, epoch=epoch, to=to, from_=self.name, ref=ref, cid=cid))
        await self.reply(request, Sent(to=to, epoch=epoch, seq=seq, ts=seq, cid=cid, dup=dup))
        return request

    async def settle(self) -> None:
        """Return when the client has handled everything sent to it so far."""
        await self.send(Ping(request_id="settle"))
        while True:
            with anyio.fail_after(PATIENCE):
                request = await self.receive()
            if isinstance(request, Pong) and request.request_id == "settle":
                return
            raise AssertionError(f"expected nothing but the pong, not {request}")


class ScriptedServer:
    """Accepts connections one by one, when the test calls it."""

    def __init__(
        self,
        port: int,
        streams: MemoryObjectReceiveStream[ByteStream],
        *,
        tls: bool,
    ) -> None:
        self.port = port
        self.url = f"gochat{'s' if tls else ''}://127.0.0.1:{port}"
        self._streams = streams

    async def accept(self) -> Peer:
        """Wait for the next connection."""
        with anyio.fail_after(PATIENCE):
            return Peer(await self._streams.receive())


@asynccontextmanager
async def scripted_server(
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[ScriptedServer]:
    """Listen on a free port of loopback; leaving the block ends all connections."""
    put, take = anyio.create_memory_object_stream[ByteStream](100)
    done = anyio.Event()

    async def handle(stream: ByteStream) -> None:
        async with stream:
            await put.send(stream)
            await done.wait()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    secure = (
        None
        if ssl_context is None
        else TLSListener(listener, ssl_context, standard_compatible=False)
    )
    async with put, take, listener, anyio.create_task_group() as tasks:
        tasks.start_soon((secure or listener).serve, handle)
        yield ScriptedServer(port, take, tls=secure is not None)
        done.set()
        tasks.cancel_scope.cancel()


class Outcome(Generic[T]):
    """The outcome of a call that ran next to the test."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def result(self) -> T:
        """Return its result, or raise its exception."""
        if self._error is not None:
            raise self._error
        return self._result[0]

    async def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> None:
        try:
            self._result.append(await function(*args))
        except Exception as error:
            self._error = error
        self.done.set()


@asynccontextmanager
async def meanwhile(function: Callable[..., Awaitable[T]], *args: Any) -> AsyncIterator[Outcome[T]]:
    """Run `function` concurrently with the block, and wait for it at the end."""
    outcome: Outcome[T] = Outcome()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outcome.run, function, *args)
        yield outcome
        with anyio.fail_after(PATIENCE):
            await outcome.done.wait()


@asynccontextmanager
async def opened(
    options: ClientOptions = QUICK, *, outbox: Path | None = None
) -> AsyncIterator[tuple[ScriptedServer, Client]]:
    """A scripted server, and a client of it."""
    async with (
        scripted_server() as server,
        open_client(server.url, outbox=outbox, options=options) as client,
    ):
        yield server, client


@asynccontextmanager
async def logged_in(
    options: ClientOptions = QUICK, *, outbox: Path | None = None, limits: Limits = LIMITS
) -> AsyncIterator[tuple[ScriptedServer, Client, Peer]]:
    """A scripted server, and a client that is logged in as mei and has the snapshot: an empty
    lobby."""
    async with opened(options, outbox=outbox) as (server, client):
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.welcome(limits=limits)
        await peer.settle()
        yield server, client, peer


class Watcher:
    """Takes a client's events, one by one or up to a certain one."""

    def __init__(self, client: Client) -> None:
        self._events = aiter(client)

    async def next(self) -> ClientEvent:
        """Return the next event."""
        with anyio.fail_after(PATIENCE):
            return await anext(self._events)

    async def next_of(self, kind: type[T]) -> T:
        """Return the next event of this type; those before it are dropped."""
        while True:
            event = await self.next()
            if isinstance(event, kind):
                return event


class FakeClock:
    """A clock that stands still until the test moves it, on Trio and asyncio."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, float, anyio.Event]] = []
        self._changed: anyio.Event | None = None

    def now(self) -> float:
        """Return the time."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has moved the clock this far."""
        if seconds < 0:
            raise ValueError("nobody can sleep for less than nothing")  # as Trio does
        if seconds == 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (self._now + seconds, seconds, anyio.Event())
        self._sleepers.append(sleeper)
        if self._changed is not None:
            self._changed.set()
        try:
            await sleeper[2].wait()
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Move the clock, and wake the tasks whose time has come."""
        self._now += seconds
        for due, _, event in self._sleepers:
            if due <= self._now:
                event.set()

    async def pass_sleep(self, seconds: float) -> None:
        """Wait until a task sleeps for exactly this long, and let that time pass."""
        with anyio.fail_after(PATIENCE):
            while True:
                for due, length, event in self._sleepers:
                    if abs(length - seconds) < 1e-6 and not event.is_set():
                        self.advance(due - self._now)
                        return
                self._changed = anyio.Event()
                await self._changed.wait()
