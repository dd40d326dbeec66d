"""Many logins at once: who waits for whom, what is hashed, and what is dropped."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import argon2
import pytest
import trio
import trustme
from patience import PATIENCE, until
from peers import PASSWORD, Peer, config
from trio.testing import MockClock

from gochat.errors import ErrorCode
from gochat.protocol.messages import (
    Bye,
    ChangePassword,
    Error,
    LoggedIn,
    Login,
    PasswordChanged,
    Ping,
    Pong,
    Register,
    Send,
    Sent,
)
from gochat.server import deadlines
from gochat.server.app import open_server
from gochat.server.server import Server
from gochat.server.tls import TlsStream

pytestmark = pytest.mark.trio


class Hashing:
    """Counts the hashes that the servers of this process compute, and can hold them back."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.counted: Counter[str] = Counter()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        for name in ("hash", "verify"):
            patch.setattr(argon2.PasswordHasher, name, self._counting(name))

    def _counting(self, name: str) -> Callable[..., object]:
        real = getattr(argon2.PasswordHasher, name)

        def counted(*args: object, **options: object) -> object:
            self.counted[name] += 1
            self.may_go_on.wait(PATIENCE)
            return real(*args, **options)

        return counted

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no hash finish."""
        self.may_go_on.clear()
        try:
            yield
        finally:
            self.may_go_on.set()


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Hashing:
    return Hashing(monkeypatch)


def queue_of(server: Server) -> int:
    """Return how many logins are queued."""
    return server.services.accounts._queue.waiting


def connector(
    kind: str, server: Server
) -> Callable[[], contextlib.AbstractAsyncContextManager[Peer]]:
    """Return how to connect to a server by streams of each kind."""
    authority = trustme.CA()
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("localhost").configure_cert(theirs)

    @asynccontextmanager
    async def connect() -> AsyncIterator[Peer]:
        stream: trio.abc.Stream
        async with trio.open_nursery() as nursery:
            if kind == "memory":
                stream, other = trio.testing.memory_stream_pair()
                nursery.start_soon(server.serve_stream, other, "memory")
            else:
                [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
                stream = await trio.testing.open_stream_to_socket_listener(listener)
                accepted = await listener.accept()
                await listener.aclose()
                if kind == "tls":
                    nursery.start_soon(server.serve_stream, TlsStream(accepted, theirs), "tls")
                    stream = trio.SSLStream(stream, ours, server_hostname="localhost")
                else:
                    nursery.start_soon(server.serve_stream, accepted, "plain")
            async with stream:
                yield Peer(stream)

    return connect


# -- a storm --------------------------------------------------------------------------------------


async def test_login_storm_succeeds_and_wastes_no_hash(
    hashing: Hashing, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue takes longer than the login timeout of a connection."""
    crowd = 40  # fewer than one account may have sessions
    monkeypatch.setattr(deadlines, "LOOK_EVERY", 0.05)
    mock_clock.rate = 1.0
    async with open_server(config()) as server, contextlib.AsyncExitStack() as stack:
        connect = connector("plain", server)
        async with connect() as peer:
            await peer.register("mei")
        hashing.counted.clear()
        peers = []
        with hashing.held():
            for _ in range(crowd):
                peers.append(await stack.enter_async_context(connect()))
                await peers[-1].send(Login(name="mei", password=PASSWORD))
            await until(lambda: queue_of(server) == crowd)
            silent = await stack.enter_async_context(connect())
            await silent.ask(Ping(), Pong)
            mock_clock.jump(2 * server.services.config.limits.anonymous_timeout)
            [*_, bye] = await silent.at_end()
            assert isinstance(bye, Bye)
            assert bye.reason == "login_timeout"  # the others have waited even longer
        for peer in peers:
            await peer.expect(LoggedIn)
            await peer.ask(Ping(), Pong)
    assert hashing.counted == {"verify": crowd}


async def test_full_queue_says_when_to_come_back(hashing: Hashing) -> None:
    async with open_server(config(hashing_queue=8)) as server, contextlib.AsyncExitStack() as stack:
        connect = connector("plain", server)
        peers = [await stack.enter_async_context(connect()) for _ in range(9)]
        await peers[0].register("mei")
        queue = server.services.accounts._queue
        queue._slots.total_tokens, queue._held_for = 2, 5.0
        with hashing.held():
            for peer in peers[:8]:
                await peer.send(Login(name="mei", password=PASSWORD))
            await until(lambda: queue.waiting == 8)
            for request in (
                Login(name="mei", password=PASSWORD),
                Register(name="bob", password=PASSWORD),
            ):
                error = await peers[8].ask(request, Error)
                assert (error.code, error.retry_after) == (ErrorCode.BUSY, 20.0)
        for peer in peers[:8]:
            await peer.expect(LoggedIn)
        await peers[8].ask(Login(name="mei", password=PASSWORD), LoggedIn)


# -- leaving the queue ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "tls", "memory"])
async def test_login_that_disconnects_while_queued_is_not_hashed(
    hashing: Hashing, kind: str
) -> None:
    async with open_server(config()) as server, contextlib.AsyncExitStack() as stack:
        connect = connector(kind, server)
        staying = [await stack.enter_async_context(connect()) for _ in range(3)]
        await staying[0].register("mei")
        server.services.accounts._queue._slots.total_tokens = 1
        hashing.counted.clear()
        login = Login(name="mei", password=PASSWORD)
        async with connect() as mei:
            await mei.log_in("bob")
            hashing.counted.clear()
            with hashing.held():
                await staying[0].send(login)
                await until(lambda: hashing.counted["verify"] == 1)
                await mei.send(ChangePassword(old=PASSWORD, new="battery staple"))
                async with connect() as other, connect() as third:
                    await other.send(login)
                    await third.send(Register(name="ted", password=PASSWORD), Ping())
                    for peer in staying[1:]:
                        await peer.send(login)
                    await until(lambda: queue_of(server) == 6)
                    await mei.stream.aclose()
                await until(lambda: queue_of(server) == 3)
        for peer in staying:
            await peer.expect(LoggedIn)
        assert hashing.counted == {"verify": 3}


async def test_stopping_server_does_not_wait_for_the_queue(hashing: Hashing) -> None:
    async with open_server(config()) as server, contextlib.AsyncExitStack() as stack:
        connect = connector("plain", server)
        first, second = [await stack.enter_async_context(connect()) for _ in range(2)]
        await first.register("mei")
        server.services.accounts._queue._slots.total_tokens = 1
        with hashing.held():
            await first.send(Login(name="mei", password=PASSWORD))
            await until(lambda: hashing.counted["verify"] == 1)
            await second.send(Login(name="mei", password=PASSWORD))
            await until(lambda: queue_of(server) == 2)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.drain)
                assert (await second.expect(Bye)).reason == "server_closing"
                hashing.may_go_on.set()
        await first.expect(LoggedIn)
        assert (await first.expect(Bye)).reason == "server_closing"
        assert hashing.counted["verify"] == 1


async def test_requests_sent_while_queued_are_handled_later_in_order(hashing: Hashing) -> None:
    async with open_server(config()) as server, contextlib.AsyncExitStack() as stack:
        connect = connector("plain", server)
        first, second = [await stack.enter_async_context(connect()) for _ in range(2)]
        await first.register("mei")
        server.services.accounts._queue._slots.total_tokens = 1
        with hashing.held():
            await first.send(Login(name="mei", password=PASSWORD))
            await until(lambda: hashing.counted["verify"] == 1)
            await second.send(Ping(request_id="before"), Login(name="mei", password=PASSWORD))
            assert await second.receive() == Pong(request_id="before"), "it needs no line"
            for number in range(3):
                await second.send(Send(to="#lobby", text=f"{number}", request_id=f"{number}"))
        await second.expect(LoggedIn)
        assert [(await second.expect(Sent)).request_id for _ in range(3)] == ["0", "1", "2"]


async def test_queued_login_gets_pings_and_need_not_answer(hashing: Hashing) -> None:
    async with (
        open_server(config(heartbeat_interval=0.1)) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        connect = connector("plain", server)
        first, second = [await stack.enter_async_context(connect()) for _ in range(2)]
        await first.register("mei")
        server.services.accounts._queue._slots.total_tokens = 1
        with hashing.held():
            await first.send(Login(name="mei", password=PASSWORD))
            await until(lambda: hashing.counted["verify"] == 1)
            await second.send(Login(name="mei", password=PASSWORD, caps=("heartbeat",)))
            await until(lambda: server.services.accounts._queue.waiting == 2)
            quick = config(heartbeat_interval=0.1, heartbeat_timeout=0.1, anonymous_timeout=0.2)
            server.services.config = quick
            for _ in range(3):
                await second.expect(Ping)  # and answers none
        token = (await second.expect(LoggedIn)).token
        with hashing.held():
            await second.send(ChangePassword(old=PASSWORD, new="battery staple"))
            for _ in range(3):
                await second.expect(Ping)
        await second.expect(PasswordChanged)
        assert token
