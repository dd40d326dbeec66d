"""Compose the server: create all its parts and run their tasks.

The tree of tasks::

    serve
     ├── open_server
     │    ├── the store's own tasks (open_store)
     │    ├── delivery: what sockets did not take at once (open_delivery)
     │    ├── Server.follow: store.follow ─▶ hub.deliver
     │    ├── hub.deliver_presence
     │    ├── markers.run
     │    ├── revocations.run
     │    ├── store.node_bus.run ─▶ PeerNodes, where there are other nodes
     │    ├── deadlines.watch
     │    └── journal.keep
     ├── one session per connection
     └── accepting, for each listener: cancelled first when the server stops

To stop, the server accepts no more connections; each session finishes the request that it is
handling, sends `bye` and ends; after `drain_timeout` the remaining sessions are cancelled; then the
store is closed. A damaged store stops the server in the same way, and then raises `StoreCorrupt`.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from itertools import count
from typing import Final

import argon2
import structlog
import trio

from gochat.chat.accounts import Accounts
from gochat.chat.directory import Directory
from gochat.chat.drafts import Drafts
from gochat.chat.hashing import HashingQueue
from gochat.chat.passwords import Passwords
from gochat.chat.retries import Retries
from gochat.chat.rooms import RoomDrafts
from gochat.chat.store import Store
from gochat.chat.tokens import Tokens
from gochat.config import Config
from gochat.errors import ErrorCode, StoreCorrupt
from gochat.protocol.messages import ByeReason
from gochat.server import crowding, deadlines, journal, log_follower, workers
from gochat.server.budget import CONNECTION, HANDSHAKE, Budgets, OverBudget
from gochat.server.certificate import Certificate
from gochat.server.daily_quotas import Quotas
from gochat.server.delivery import (
    PLAIN,
    Delivery,
    EncodedOutlet,
    Encoding,
    Outlet,
    SocketOutlet,
    StreamOutlet,
    open_delivery,
)
from gochat.server.handlers import Handlers
from gochat.server.handshakes import Handshakes, refuse
from gochat.server.hub import Hub
from gochat.server.identity import ServerIdentity
from gochat.server.limits import (
    MAX_REMEMBERED,
    ConnectionLimiter,
    LoginLimiter,
    WriteLimiter,
    max_connections,
    network,
)
from gochat.server.listener import (
    accept_for_ever,
    cannot_listen,
    listening_on,
    peer_of,
)
from gochat.server.login_line import LoginLines
from gochat.server.markers import Markers
from gochat.server.peer_nodes import PeerNodes
from gochat.server.registrations import RegistrationLimiter
from gochat.server.revocation import Revocations
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.session_loop import SessionLoop
from gochat.server.sockets import has_descriptor, keep_alive
from gochat.server.tls import TlsStream
from gochat.server.websocket import WebSocket
from gochat.storage import open_store
from gochat.storage.common.clock import wall_clock
from gochat.token_bucket import Buckets

log = structlog.stdlib.get_logger()

#: Connections that the kernel may queue until they are accepted: a reconnect storm arrives at once.
BACKLOG: Final = 4096
#: How often one network may trigger a search for a connection to close when the server is full:
#: burst, and per second. A search visits all sessions, which takes milliseconds where there are
#: many. The burst lets a whole office in at once.
LOOKS: Final = (64, 10.0)
#: Seconds after which a client may reconnect to a server that is closing.
RETRY_AFTER_CLOSING: Final = 1.0


class Server:
    """A server at work, inside :func:`serve`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._handlers = Handlers(services)
        self.sessions: set[Session] = set()
        self._handshakes = Handshakes(services.config, services.journal, services.budgets)
        self._looks: Buckets[str] = Buckets(*LOOKS, MAX_REMEMBERED)
        self._connections = count(1)  # their numbers, for the log
        self._ended = trio.Event()
        #: Set when the store is damaged; `damage` has the error.
        self.has_failed = trio.Event()
        self.damage: StoreCorrupt | None = None

    async def follow(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Follow the log. Returns only if the store is damaged."""
        try:
            await log_follower.follow(self._services, self.sessions, task_status=task_status)
        except StoreCorrupt as error:
            log.critical("store damaged", reason=str(error))
            self.damage = error
            self.has_failed.set()

    async def handle(self, stream: trio.SocketStream, tls: ssl.SSLContext | None = None) -> None:
        """Serve one connection until it ends, and close it."""
        address, port = peer_of(stream)
        refusal = self._services.connections.refusal(address)
        if refusal is not ErrorCode.RATE_LIMITED:
            # Before making room: a peer that exceeds its budget must not close another's
            # connection.
            try:
                cost = CONNECTION if tls is None else HANDSHAKE
                self._services.budgets.charge(address, None, cost)
            except OverBudget:
                refusal = ErrorCode.RATE_LIMITED
        if refusal is ErrorCode.SERVER_FULL and self._make_room(address):
            refusal = None
        if refusal is not None:
            more = self._services.journal.admit("connection refused", refusal)
            if more is not None:
                log.warning(
                    "connection refused", code=refusal.value, address=address, port=port, **more
                )
            await refuse(stream, refusal, encrypted=tls is not None)
            return
        if tls is None:
            await self.serve_stream(stream, address, port)
            return
        if has_descriptor(stream):
            await self.serve_stream(TlsStream(stream, tls), address, port)
        else:
            encrypted = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
            await self.serve_stream(encrypted, address, port)

    def _make_room(self, address: str) -> bool:
        now = trio.current_time()
        if self._looks.of(network(address), now).take(now):
            return False
        strangers = (session for session in self.sessions if session.is_stranger)
        if crowding.make_room((*strangers, *self._handshakes.waiting), address):
            return True
        connections = self._services.connections
        if connections.anonymous >= self._services.config.limits.anonymous_max:
            return False
        members = (session for session in self.sessions if session.login is not None)
        leaving = crowding.choose(members, connections, address)
        if leaving is None:
            return False
        leaving.make_room("the server is full, and most connections are of this account or network")
        return True

    async def serve_stream(
        self, stream: trio.abc.Stream, address: str, port: int | None = None
    ) -> None:
        """Serve a connection over any stream. Performs its handshakes first."""
        limits = self._services.config.limits
        self._services.connections.opened(address)
        opened = await self._handshakes.perform(stream, address, port)
        if opened is None:
            self._services.connections.closed(address)
            await trio.aclose_forcefully(stream)
            return
        session = Session(
            stream,
            next(self._connections),
            address,
            port,
            self._handlers,
            self._services.journal,
            opened=opened,
            frame_bytes=limits.frame_bytes,
            anonymous_bytes=limits.anonymous_bytes,
        )
        session.outlet = self._outlet(stream, session, opened.websocket)
        self.sessions.add(session)
        try:
            await SessionLoop(session, malformed_frames=limits.malformed_frames).run()
        finally:
            self.sessions.discard(session)
            if not self.sessions:
                self._ended.set()

    def published(self) -> contextlib.AbstractContextManager[None]:
        """Publish the server's key to programs of this user: :meth:`.ServerIdentity.published`."""
        return self._services.identity.published()

    async def drain(self) -> None:
        """Close all sessions with `bye` and wait for their end, at most `drain_timeout` seconds."""
        with trio.move_on_after(self._services.config.limits.drain_timeout):
            for session in tuple(self.sessions):
                session.close(
                    ByeReason.SERVER_CLOSING,
                    "the server is closing"
                    if self.damage is None
                    else "the server's store has failed",
                    retry_after=RETRY_AFTER_CLOSING,
                )
            while self.sessions:
                self._ended = trio.Event()
                await self._ended.wait()

    def _outlet(
        self, stream: trio.abc.Stream, session: Session, websocket: WebSocket | None
    ) -> Outlet:
        limits = self._services.config.limits
        tls = stream.encrypt if isinstance(stream, TlsStream) else None
        if websocket is not None:
            encoding = websocket.encoding(tls)
        else:
            encoding = PLAIN if tls is None else Encoding(tls)
        if isinstance(stream, TlsStream):
            outlet: Callable[..., Outlet] = partial(EncodedOutlet, stream.descriptor, encoding)
        elif not has_descriptor(stream):
            outlet = partial(StreamOutlet, stream, encoding=encoding)
        elif websocket is not None:
            outlet = partial(EncodedOutlet, stream.socket.fileno(), encoding)
        else:
            outlet = partial(SocketOutlet, stream.socket.fileno())
        opened = outlet(
            self._services.delivery,
            session.evicted,
            max_bytes=limits.mailbox_bytes,
            stall=limits.write_timeout,
        )
        if websocket is not None:
            websocket.answer = opened.post
        return opened


async def serve(
    config: Config,
    *,
    stop: trio.Event | None = None,
    reloads: trio.MemoryReceiveChannel[None] | None = None,
    is_worker: bool = False,
    task_status: trio.TaskStatus[Sequence[tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server until `stop` is set; then drain and return.

    Calls `task_status.started` with the addresses that it listens on, once it accepts connections.
    Each item received from `reloads` makes it reload its certificate, for new connections. A worker
    (:mod:`gochat.server.workers`) shares its address with others. Cancelling ends it at once:
    acknowledged messages are kept, but clients get no `bye`.

    Raises:
        AddressUnavailable: an address can't be listened on now.
        ConfigError: an address can't be listened on at all, or a certificate can't be used.
        StoreUnavailable: the store can't be opened now.
        StoreCorrupt: the store is damaged, and was left as it is. If the server was running, it has
            stopped. Restarting it does not help.
    """
    stop = trio.Event() if stop is None else stop
    certificate = Certificate(config.tls) if config.tls.cert else None
    async with (
        open_server(config) as server,
        contextlib.AsyncExitStack() as stack,
        trio.open_nursery() as nursery,
    ):
        listeners = [
            await stack.enter_async_context(listener)
            for listener in await _listen(config, is_worker=is_worker)
        ]
        stack.enter_context(server.published())

        def connected(stream: trio.SocketStream) -> None:
            keep_alive(stream)
            tls = certificate.context if certificate is not None else None
            nursery.start_soon(server.handle, stream, tls)

        if reloads is not None:
            nursery.start_soon(_reload_when_asked, certificate, reloads)
        async with trio.open_nursery() as accepting:
            for listener in listeners:
                accepting.start_soon(accept_for_ever, listener, connected)
            addresses = [listening_on(listener) for listener in listeners]
            for host, port in addresses:
                log.info(
                    "listening",
                    host=host,
                    port=port,
                    tls=certificate is not None,
                    websocket=config.websocket,
                )
            if certificate is not None:
                certificate.log("certificate loaded")
                nursery.start_soon(certificate.watch)
            task_status.started(addresses)
            await _first_of(stop, server.has_failed)
            accepting.cancel_scope.cancel()
        await stack.aclose()
        log.info("stopping", sessions=len(server.sessions))
        await server.drain()
        nursery.cancel_scope.cancel()
    log.info("stopped")
    if server.damage is not None:
        raise StoreCorrupt(f"{server.damage}. The server has stopped; {_advice(config)}")


async def _first_of(*events: trio.Event) -> None:
    """Wait until any of several events is set."""
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)


def _advice(config: Config) -> str:
    if config.store_url.startswith("sqlite:"):
        return "see `gochat db check`, and bring back a backup: `gochat db restore`"
    return "bring back a backup of the data in Redis before you start it again"


@contextlib.asynccontextmanager
async def open_server(config: Config) -> AsyncIterator[Server]:
    """Open the store and run everything that a server needs except listeners.

    Leaving the block cancels what still runs. Raises the same errors as :func:`serve`.
    """
    async with (
        open_store(config.store_url) as store,
        open_delivery() as delivery,
        trio.open_nursery() as nursery,
    ):
        services = _compose(config, store, delivery)
        server = Server(services)
        await nursery.start(server.follow)
        nursery.start_soon(services.hub.deliver_presence, config.limits.presence_interval)
        nursery.start_soon(services.markers.run)
        nursery.start_soon(services.revocations.run)
        if store.node_bus is not None:
            await nursery.start(store.node_bus.run, PeerNodes(services).receive)
        nursery.start_soon(deadlines.watch, server.sessions, config.limits)
        nursery.start_soon(journal.keep, services.journal, store.health)
        yield server
        nursery.cancel_scope.cancel()


def _compose(config: Config, store: Store, delivery: Delivery) -> Services:
    limits = config.limits
    directory = Directory(store)
    hub = Hub(
        delivery,
        write_limiter=WriteLimiter(limits.burst, limits.per_second),
        publish=store.node_bus.publish if store.node_bus is not None else lambda _: None,
    )
    accounts = Accounts(
        store,
        wall_clock,
        passwords=Passwords(
            argon2.PasswordHasher(
                time_cost=limits.argon2_time,
                memory_cost=limits.argon2_memory,
                parallelism=limits.argon2_parallelism,
            ),
            range(limits.password_min, limits.password_max + 1),
        ),
        queue=HashingQueue(limits.hashing_queue),
        reserved_names=config.registration.reserved_names,
    )
    tokens = Tokens(store, wall_clock, lifetime=int(limits.token_lifetime * 1000))
    return Services(
        config=config,
        store=store,
        directory=directory,
        delivery=delivery,
        hub=hub,
        accounts=accounts,
        tokens=tokens,
        revocations=Revocations(store, hub, tokens),
        drafts=Drafts(store, directory, limits.text_chars),
        rooms=RoomDrafts(store, directory, config.registration.reserved_rooms),
        retries=Retries(store, directory),
        budgets=Budgets(limits, trio.current_time),
        quotas=Quotas(limits, trio.current_time),
        connections=ConnectionLimiter(limits, max_connections(limits)),
        logins=LoginLimiter(limits),
        login_lines=LoginLines(limits.login_interval, limits.login_line),
        markers=Markers(store, hub),
        registrations=RegistrationLimiter(limits, trio.current_time),
        journal=journal.Journal(limits.connections_per_address),
        identity=ServerIdentity(config.key_file),
    )


async def _listen(config: Config, *, is_worker: bool) -> list[trio.SocketListener]:
    try:
        if is_worker:
            return await workers.open_listeners(config.bind_host, config.port, BACKLOG)
        return await trio.open_tcp_listeners(config.port, host=config.bind_host, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise cannot_listen(config.host, config.port, error) from error


async def _reload_when_asked(
    certificate: Certificate | None, reloads: trio.MemoryReceiveChannel[None]
) -> None:
    async for _ in reloads:
        if certificate is not None:
            certificate.reload()
        else:
            log.info("reload ignored", reason="the server uses no certificate")
