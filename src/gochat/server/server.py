"""A running server: it takes connections, performs their handshakes, and serves their sessions."""

from __future__ import annotations

import contextlib
import select
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final

import structlog
import trio

from gochat.errors import ErrorCode, StoreCorrupt
from gochat.protocol.messages import ByeReason
from gochat.server import crowding, log_follower
from gochat.server.address_bans import turn_away
from gochat.server.budget import CONNECTION, HANDSHAKE, OverBudget
from gochat.server.delivery import PLAIN, Encoding, Outlet
from gochat.server.handlers import Handlers
from gochat.server.handshakes import Handshakes, refuse
from gochat.server.intake import Intake
from gochat.server.limits import MAX_REMEMBERED, network
from gochat.server.listener import peer_of
from gochat.server.outlets import EncodedOutlet, SocketOutlet, StreamOutlet
from gochat.server.plain_sends import PlainSends
from gochat.server.proxied import ProxiedConnections
from gochat.server.proxy_protocol import TrustedProxies
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.session_loop import SessionLoop
from gochat.server.sockets import has_descriptor
from gochat.server.tls import TlsStream
from gochat.server.websocket import WebSocket
from gochat.token_bucket import Buckets

log = structlog.stdlib.get_logger()

#: How often one network may trigger a search for a connection to close when the server is full:
#: burst, and per second. A search visits all sessions, which takes milliseconds where there are
#: many. The burst lets a whole office in at once.
LOOKS: Final = (64, 10.0)
#: Seconds after which a client may reconnect to a server that is closing.
RETRY_AFTER_CLOSING: Final = 1.0

#: Not for `isinstance`, which takes a microsecond for abstract classes.
_ENCRYPTED: Final = frozenset({TlsStream, trio.SSLStream})


class Server:
    """A server at work, inside :func:`gochat.server.app.serve`."""

    def __init__(self, services: Services) -> None:
        self.services: Final = services
        self._handlers = Handlers(services)
        self._plain_sends = PlainSends(services)
        #: Reads for the sessions; None where the system has no `epoll`.
        self.intake = Intake(self._plain_sends.submit) if hasattr(select, "epoll") else None
        self.sessions: set[Session] = set()
        services.address_bans.sessions = self.sessions
        self._handshakes = Handshakes(services)
        self._proxied = ProxiedConnections(services)
        self._looks: Buckets[str] = Buckets(*LOOKS, MAX_REMEMBERED)
        self._connections = count(1)  # their numbers, for the log
        self._ended = trio.Event()
        #: Connections whose handshakes succeeded, by their kinds (:func:`kind_of`).
        self.opened: Counter[tuple[str, str]] = Counter()
        #: Set when the store is damaged; `damage` has the error.
        self.has_failed = trio.Event()
        self.damage: StoreCorrupt | None = None

    async def follow(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Follow the log. Returns only if the store is damaged."""
        try:
            await log_follower.follow(self.services, self.sessions, task_status=task_status)
        except StoreCorrupt as error:
            log.critical("store damaged", reason=str(error))
            self.damage = error
            self.has_failed.set()

    async def handle(
        self,
        stream: trio.SocketStream,
        tls: ssl.SSLContext | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        """Serve one connection until it ends, and close it.

        From one of the `proxies` it begins with a header that says where it comes from.
        """
        try:
            await self._handle(stream, tls, proxies)
        finally:
            stream.socket.close()  # also if the server ends during a handshake

    async def _handle(
        self,
        stream: trio.SocketStream,
        tls: ssl.SSLContext | None,
        proxies: TrustedProxies | None,
    ) -> None:
        address, port = peer_of(stream)
        if proxies is not None and proxies.includes(address):
            source = await self._proxied.source_of(stream, address, port)
            if source is None:
                await trio.aclose_forcefully(stream)
                return
            address, port = source
        if self.services.address_bans.find(address) is not None:
            self._log_refusal(ErrorCode.ADDRESS_BANNED, address, port)
            if not self.services.address_bans.may_explain():
                await trio.aclose_forcefully(stream)
                return
        refusal = self.services.connections.refusal(address)
        if refusal is not ErrorCode.RATE_LIMITED:
            # Before making room: a peer that exceeds its budget must not close another's
            # connection.
            try:
                cost = CONNECTION if tls is None else HANDSHAKE
                self.services.budgets.charge(address, None, cost)
            except OverBudget:
                refusal = ErrorCode.RATE_LIMITED
        if refusal is ErrorCode.SERVER_FULL and self._make_room(address):
            refusal = None
        if refusal is not None:
            self._log_refusal(refusal, address, port)
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

    def turned_away(self, stream: trio.SocketStream) -> None:
        """Log a connection that the listener closes, for want of file descriptors."""
        self._log_refusal(ErrorCode.SERVER_FULL, *peer_of(stream))

    def _log_refusal(self, code: ErrorCode, address: str, port: int | None) -> None:
        more = self.services.journal.admit("connection refused", code)
        if more is not None:
            log.warning("connection refused", code=code.value, address=address, port=port, **more)

    @property
    def handshakes_pending(self) -> int:
        """How many connections are still in a handshake."""
        return len(self._handshakes.waiting)

    def _make_room(self, address: str) -> bool:
        now = trio.current_time()
        if self._looks.of(network(address), now).take(now):
            return False
        strangers = (session for session in self.services.anonymous if session.is_stranger)
        if crowding.make_room((*strangers, *self._handshakes.waiting), address):
            return True
        connections = self.services.connections
        if connections.anonymous >= self.services.config.limits.anonymous_max:
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
        limits = self.services.config.limits
        self.services.connections.opened(address)
        opened = await self._handshakes.perform(stream, address, port)
        if opened is None:
            self.services.connections.closed(address)
            await trio.aclose_forcefully(stream)
            return
        session = Session(
            stream,
            next(self._connections),
            address,
            port,
            self._handlers,
            self.services.journal,
            opened=opened,
            frame_bytes=limits.frame_bytes,
            anonymous_bytes=limits.anonymous_bytes,
        )
        session.outlet = self._outlet(stream, session, opened.websocket)
        if self.intake is not None:
            session.read_through(self.intake, self._plain_sends.take)
        self.opened[kind_of(session)] += 1
        self.sessions.add(session)
        self.services.anonymous.add(session)
        # After that: of a ban that is set now, one of the two sees the other.
        if (ban := self.services.address_bans.find(address)) is not None:
            turn_away(session, ban)
        try:
            await SessionLoop(session, malformed_frames=limits.malformed_frames).run()
        finally:
            self.sessions.discard(session)
            self.services.anonymous.discard(session)
            if not self.sessions:
                self._ended.set()

    def published(self) -> contextlib.AbstractContextManager[None]:
        """Publish the server's key to programs of this user: :meth:`.ServerIdentity.published`."""
        return self.services.identity.published()

    async def drain(self) -> None:
        """Close all sessions with `bye` and wait for their end, at most `drain_timeout` seconds."""
        with trio.move_on_after(self.services.config.limits.drain_timeout):
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
        limits = self.services.config.limits
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
            self.services.delivery,
            session.evicted,
            max_bytes=limits.mailbox_bytes,
            stall=limits.write_timeout,
        )
        if websocket is not None:
            websocket.answer = opened.post
        return opened


def kind_of(session: Session) -> tuple[str, str]:
    """Return how a connection talks: ``frames`` or ``websocket``, and whether it is encrypted."""
    transport = "frames" if session.websocket is None else "websocket"
    return transport, "true" if type(session.stream) in _ENCRYPTED else "false"
