"""A server in this process, and peers that use bare frames."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar

import trio
from msgspec import structs
from patience import PATIENCE, eventually

from gochat.config import Config, Limits
from gochat.protocol.codec import encode
from gochat.protocol.connection import Connection, Role
from gochat.protocol.framing import FrameDecoder
from gochat.protocol.messages import (
    Bye,
    Error,
    LoggedIn,
    Login,
    Message,
    Payload,
    People,
    Pong,
    Presence,
    Register,
    Request,
    ServerMessage,
    Who,
)
from gochat.protocol.states import State
from gochat.server.app import serve

T = TypeVar("T", bound=Payload)

PASSWORD = "correct horse"
#: Limits that don't hinder tests of something else, and cheap password hashes.
LIMITS = Limits(
    argon2_memory=8,
    argon2_time=1,
    registrations=1_000_000,
    registrations_per_address=1_000_000,
    connections_per_address=100_000,
    connections_per_account=100_000,
    anonymous_max=100_000,
    burst=1_000_000,
    per_second=1_000_000,
    request_budget=1e9,
    request_budget_per_second=1e9,
    rooms_per_day=1_000_000,
    conversations_per_day=1_000_000,
    bytes_per_day=10**15,
    presence_interval=0.01,
)


def config(*, store: str = "sqlite:///:memory:", **limits: Any) -> Config:
    """Return a configuration for tests: in memory, on a free port of loopback."""
    return Config(port=0, store=store, limits=structs.replace(LIMITS, **limits))


def messages_in(data: bytes) -> list[ServerMessage]:
    """Return the messages in what a server has sent."""
    connection = Connection(Role.CLIENT, state=State.UNKNOWN)
    connection.receive_data(data)
    return list(iter(connection.next_message, None))


def requests_in(data: bytes) -> list[Request]:
    """Return the requests in what a client has sent."""
    connection = Connection(Role.SERVER, state=State.UNKNOWN)
    connection.receive_data(data)
    return list(iter(connection.next_message, None))


class Peer:
    """A client that uses bare frames, and keeps the events it received."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        # It also sends what no state allows.
        self._protocol = Connection(
            Role.CLIENT, framing=FrameDecoder(16 * 1024 * 1024), state=State.UNKNOWN
        )
        self._ids = count(1)
        self.name = ""
        self.token = ""
        #: Everything received, in order.
        self.received: list[ServerMessage] = []

    async def send(self, *requests: Request) -> None:
        """Send requests in one segment."""
        await self.stream.send_all(b"".join(encode(request) for request in requests))

    async def receive(self) -> ServerMessage:
        """Return the next message. Raises EndOfChannel if the server has closed."""
        with trio.fail_after(PATIENCE):
            while (message := self._protocol.next_message()) is None:
                data = await self.stream.receive_some()
                if not data:
                    raise trio.EndOfChannel(f"after {self.received[-3:]}")
                self._protocol.receive_data(bytes(data))
        self.received.append(message)
        return message

    async def expect(self, kind: type[T], where: Callable[[T], bool] = lambda _: True) -> T:
        """Receive until a message of this type (for which `where` holds) comes; return it."""
        while True:
            message = await self.receive()
            if isinstance(message, kind) and where(message):
                return message
            if isinstance(message, Bye) or (isinstance(message, Error) and kind is not Error):
                raise AssertionError(f"waiting for {kind.__name__}, got {message}")

    async def ask(self, request: Any, kind: type[T]) -> T:
        """Send a request and return its reply, which must be of this type."""
        request_id = str(next(self._ids))
        await self.send(structs.replace(request, request_id=request_id))
        while True:
            message = await self.receive()
            if getattr(message, "request_id", None) == request_id:
                assert isinstance(message, kind), message
                if isinstance(message, Error) and message.field is not None:
                    assert message.field in request.__struct_fields__, message
                return message

    async def expect_last(self, request_id: str) -> None:
        """Receive until the pong with this id: everything sent before it has been answered."""
        while True:
            message = await self.receive()
            if isinstance(message, Pong) and message.request_id == request_id:
                return

    async def register(self, name: str) -> None:
        """Register with the password of all tests."""
        await self.ask(Register(name=name, password=PASSWORD), Payload)

    async def log_in(self, name: str, *caps: str) -> LoggedIn:
        """Register if necessary, and log in."""
        await self.register(name)
        reply = await self.ask(Login(name=name, password=PASSWORD, caps=caps), LoggedIn)
        self.name, self.token = reply.name, reply.token
        return reply

    async def text(self, where: Callable[[Message], bool] = lambda _: True) -> Message:
        """Receive until a message comes; return its text."""
        return await self.expect(Message, where)

    async def sees(self, *, online: str = "", offline: str = "") -> None:
        """Receive until a person comes online, or goes offline."""
        await self.expect(
            Presence,
            lambda p: (
                online in {person.name for person in p.online} if online else offline in p.offline
            ),
        )

    async def until_online(self, *names: str) -> None:
        """Ask who is online until it is these people, and nobody else."""

        async def is_so() -> bool:
            reply = await self.ask(Who(), People)
            return {person.name for person in reply.people} == set(names)

        await eventually(is_so)

    async def at_end(self) -> list[ServerMessage]:
        """Receive until the server closes; return what arrived."""
        messages: list[ServerMessage] = []
        try:
            while True:
                messages.append(await self.receive())
        except (trio.EndOfChannel, trio.BrokenResourceError):
            return messages

    async def end(self) -> None:
        """End the connection in order. Closing it with unread data would reset it."""
        stream: Any = self.stream
        await getattr(stream, "transport_stream", stream).send_eof()
        await self.at_end()
        await stream.aclose()


class RunningServer:
    """A server's address, and how to connect to it."""

    def __init__(self, host: str, port: int, stop: trio.Event) -> None:
        self.host = host
        self.port = port
        self.stop = stop

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Peer]:
        """Open a connection that is not logged in."""
        async with await trio.open_tcp_stream(self.host, self.port) as stream:
            yield Peer(stream)

    @asynccontextmanager
    async def connect_slowly(self) -> AsyncIterator[Peer]:
        """Open a connection with small buffers: most unread data waits at the server."""
        sock = trio.socket.socket()
        # It must be set before connecting, or the window is as large as ever.
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        await sock.connect((self.host, self.port))
        async with trio.SocketStream(sock) as stream:
            yield Peer(stream)

    @asynccontextmanager
    async def peer(self, name: str, *caps: str) -> AsyncIterator[Peer]:
        """Open a connection and log it in."""
        async with self.connect() as peer:
            await peer.log_in(name, *caps)
            yield peer


@asynccontextmanager
async def running_server(configuration: Config | None = None) -> AsyncIterator[RunningServer]:
    """Run a server in this process; it drains at the end."""
    stop = trio.Event()

    async def run(*, task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED) -> None:
        await serve(configuration or config(), stop=stop, task_status=task_status)

    async with trio.open_nursery() as nursery:
        [(host, port), *_] = await nursery.start(run)
        try:
            yield RunningServer(host, port, stop)
        finally:
            stop.set()
