"""A session: one connection, and what the handlers of its requests need.

A session has one task, its reader (:mod:`gochat.server.session_loop`); the outlet writes
(:mod:`gochat.server.delivery`). While the outlet is behind, the session waits for the peer to read
before it reads on, handles the next request, or sends more of what it sends unasked. So replies
never make a peer a slow consumer; only events that it did not request do, if it doesn't read.

Between two requests a session yields to the event loop if it has run for long. If it owes more than
its budget holds, or a request was refused for that, it pauses there, before it decodes anything
more. While a request waits in a queue the session reads on, to notice when its peer leaves.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

import structlog
import trio

from gochat.chat.accounts import Identity
from gochat.chat.grants import NOTHING, Grant
from gochat.chat.log import Submission
from gochat.chat.names import NameKey
from gochat.errors import (
    ChatError,
    ErrorCode,
    ProtocolError,
    StoreUnavailable,
)
from gochat.protocol.codec import encode, seem_to_send
from gochat.protocol.connection import Connection, Role
from gochat.protocol.framing import FrameDecoder
from gochat.protocol.messages import (
    Bye,
    ByeReason,
    Request,
    ServerMessage,
)
from gochat.server import session_log
from gochat.server.budget import MAX_PAUSE, REFUSAL, UNCHARGED, OverBudget
from gochat.server.delivery import Outlet
from gochat.server.error_replies import error_reply
from gochat.server.intake import Intake, Source
from gochat.server.journal import ACTS, Journal, Rate
from gochat.server.login import ActiveLogin
from gochat.server.receipt_tracker import ReceiptTracker
from gochat.server.receipts import Seqs
from gochat.server.sockets import (
    READ_SIZE,
    has_descriptor,
    has_left,
    read_some,
)
from gochat.server.tls import TlsStream
from gochat.server.websocket import Opened
from gochat.server.write_order import use_up

log = structlog.stdlib.get_logger()

#: Seconds after which a client may reconnect that was closed as a slow consumer, without a
#: heartbeat, or for an internal error.
RETRY_AFTER: Final = 1.0
#: Seconds after which a client may reconnect to a server that is full.
FULL_RETRY_AFTER: Final = 10.0
#: Tracebacks that are logged, burst and per second: a bug that a peer can trigger, it can trigger
#: often.
FAILURES: Final = Rate(5, 0.1)
#: Seconds for which a session handles requests before it yields. What a person does takes less, and
#: then costs nothing more; a flood costs some hundredths more.
SLICE: Final = 0.001


class RequestHandler(Protocol):
    """What a session passes its requests to: see :class:`gochat.server.handlers.Handlers`."""

    async def handle(self, session: Session, requests: Sequence[Request]) -> None:
        """Handle requests that arrived together, in order."""

    def settle(self, session: Session) -> None:
        """Charge the budget for what a session owes."""

    def delivered(self, person: NameKey, seqs: Seqs) -> None:
        """Record that a client without the capability `log` has received messages."""

    async def leave(self, session: Session) -> None:
        """Log the session out, if it is logged in."""

    async def disconnected(self, session: Session) -> None:
        """Clean up after a session that has ended."""


class Session:
    """One connection and the person logged in on it.

    The reader records `opened`, `last_heard`, `partial_since` and `working_since` for
    :mod:`gochat.server.deadlines`, in seconds of the Trio clock.
    """

    __slots__ = (
        "_descriptor", "_early", "_made_room", "_pause", "_socket", "_take", "address",
        "anonymous_bytes", "anonymous_frames", "began", "caps", "connection", "due", "frame_bytes",
        "handlers", "has_ended", "has_read_ahead", "has_said_hello", "is_waiting", "journal",
        "last_heard", "last_name", "login", "login_failures", "max_anonymous_bytes", "opened",
        "outlet", "owed", "partial_since", "pinged", "port", "protocol", "receipts", "refused",
        "requests", "scope", "slice_began", "source", "stream", "websocket", "working_since",
    )  # fmt: skip

    def __init__(
        self,
        stream: trio.abc.Stream,
        connection: int,
        address: str,
        port: int | None,
        handlers: RequestHandler,
        journal: Journal,
        *,
        opened: Opened,
        frame_bytes: int,
        anonymous_bytes: int,
    ) -> None:
        self.stream = stream
        #: The socket's descriptor, if the stream is a plain socket.
        self._socket = stream.socket.fileno() if has_descriptor(stream) else None
        #: The same, also for a socket beneath TLS.
        self._descriptor = stream.descriptor if isinstance(stream, TlsStream) else self._socket
        self.handlers = handlers
        #: From then on its descriptor may be another's.
        self.has_ended = False
        self._early = opened.early
        self.websocket = opened.websocket
        self.frame_bytes: Final = frame_bytes
        #: Reads for this session while it waits for its peer, where there is an intake.
        self.source: Source | None = None
        self._take: Callable[[Session, bytes], Submission | None] | None = None
        #: Cancelled to end the session, or its farewell.
        self.scope = trio.CancelScope()
        #: For its peer, or in a queue: closing need not wait.
        self.is_waiting = False
        #: True if more has arrived while a request was waiting in a queue.
        self.has_read_ahead = False
        #: When it last yielded, in seconds of the performance counter.
        self.slice_began = 0.0
        self._pause = 0.0  # seconds, when it next yields
        #: Points of the budget for frames and refusals, not charged yet.
        self.owed = 0.0
        self._made_room = False
        self.journal: Final = journal
        self.protocol: Final = Connection(
            Role.SERVER, framing=opened.websocket or FrameDecoder(frame_bytes)
        )
        self.connection: Final = connection
        self.address: Final = address
        self.port: Final = port
        #: The name that is logged in, or was last.
        self.last_name: str | None = None
        self.requests = self.refused = 0
        self.outlet: Outlet
        #: When it began to wait for a login. The time that the server spent on its requests is
        #: added.
        self.opened = self.last_heard = self.began = trio.current_time()
        self.partial_since: float | None = None
        #: Since when it has been handling requests instead of reading; None while it reads.
        self.working_since: float | None = None
        self.pinged: float | None = None
        #: Bytes of frames before the login; and how many of these frames were not login requests.
        self.anonymous_bytes = self.anonymous_frames = 0
        self.max_anonymous_bytes = anonymous_bytes
        self.login_failures: list[float] = []
        self.login: ActiveLogin | None = None
        #: Those that the client has listed in its login, which may still be under way.
        self.caps: frozenset[str] = frozenset()
        self.has_said_hello = False
        #: The number that the next numbered write since the login must have.
        self.due = 1
        #: For a client that keeps no read marker of its own.
        self.receipts: ReceiptTracker | None = None

    # -- called by others ----------------------------------------------------------------------

    def close(self, reason: ByeReason, text: str = "", *, retry_after: float | None = None) -> None:
        """End the session with `bye` once it has handled the current request.

        It handles no further requests, even if they have arrived, and doesn't wait for the peer to
        read what was posted before. Only the first call has an effect.
        """
        if not self.is_ending:
            self.protocol.close(Bye(reason=reason, text=text, retry_after=retry_after))
            if self.is_waiting:
                self.scope.cancel()

    def evicted(self) -> None:
        """End at once, because the peer is a slow consumer. Called by the outlet."""
        self._end_at_once(
            Bye(
                reason=ByeReason.SLOW_CONSUMER,
                text="the connection reads too slowly",
                retry_after=RETRY_AFTER,
            )
        )

    def make_room(
        self, text: str = "the server is full of connections that are not logged in"
    ) -> None:
        """End at once, so that others can log in; also while `bye` is being sent."""
        if self.has_ended:
            return
        self._made_room = True
        self.outlet.close()
        if self.is_ending:
            self.scope.cancel()
        else:
            self._end_at_once(
                Bye(reason=ByeReason.SERVER_FULL, text=text, retry_after=FULL_RETRY_AFTER)
            )

    def _end_at_once(self, bye: Bye) -> None:
        self.protocol.close(bye)
        self.outlet.last_word(encode(bye))
        self.scope.cancel()

    @property
    def is_ending(self) -> bool:
        """True once the session is closing: the request that it is handling is the last one."""
        return self.protocol.bye is not None

    @property
    def is_stranger(self) -> bool:
        """True if the session may be closed to make room for others.

        Nobody is logged in on it, and the server is not working for it. It may be closed while it
        waits for its peer, in a queue, or for its `bye` to be sent.
        """
        is_idle = self.is_waiting or self.working_since is None
        return self.login is None and is_idle and not (self._made_room or self.has_ended)

    def require_login(self) -> ActiveLogin:
        """Return who is logged in. Raises ChatError ``not_logged_in``."""
        if self.login is None:
            raise ChatError(ErrorCode.NOT_LOGGED_IN, "log in first")
        return self.login

    def track_receipts(self, person: NameKey | None) -> ReceiptTracker | None:
        """Track from now on which messages `person` receives here, or nothing."""
        self.outlet.on_progress = None
        self.receipts = None
        if person is not None:
            self.receipts = ReceiptTracker(person, self.outlet, self.stream, self._descriptor)
        return self.receipts

    @property
    def identity(self) -> Identity | None:
        """Who is logged in, or None."""
        return self.login.identity if self.login is not None else None

    @property
    def name(self) -> str | None:
        """The name that is logged in, as displayed; None before the login."""
        return self.login.identity.name if self.login is not None else None

    @property
    def grant(self) -> Grant:
        """What the session may do."""
        return self.login.grant if self.login is not None else NOTHING

    @property
    def wants_log(self) -> bool:
        """True if somebody is logged in with the capability `log`."""
        return self.login is not None and self.login.wants_log

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A logger bound to the connection: its number, address, port and name.

        Created for each line: a logger for each idle connection would cost memory.
        """
        fields = {"connection": self.connection, "address": self.address, "port": self.port}
        if self.last_name is not None:
            fields["name"] = self.last_name
        return log.bind(**fields)

    def note(self, event: str, **fields: object) -> None:
        """Log what the peer did, unless its address exceeds the rate for such events."""
        more = self.journal.admit(event, rate=ACTS, source=self.address)
        if more is not None:
            self.log.info(event, **fields, **more)

    def refuse(
        self, error: ProtocolError | ChatError | StoreUnavailable, request: Request | None = None
    ) -> None:
        """Reply with an error, and log the refusal."""
        use_up(self, request, error)
        self.refused += 1
        self.owed += REFUSAL
        if isinstance(error, OverBudget):
            self.hold_back(error.wait)
        # A minimal client gets what it always did.
        reply = error_reply(error, request, with_args=self.has_said_hello or bool(self.caps))
        self.reply(reply)
        session_log.log_refusal(self, reply, error, request)

    def reply(self, payload: ServerMessage) -> None:
        """Post a reply. It is written when all requests that were read with its own are handled."""
        self.outlet.post(self.protocol.send(payload))

    async def wait_for_peer(self) -> None:
        """If the outlet is behind, wait until the peer has taken everything.

        Call this after each frame of a reply, or of what the server sends unasked. If the session
        is closing, it ends here.
        """
        if self.outlet.is_behind:
            if self.is_ending:
                self.scope.cancel()
            with self._waiting_for_peer():
                await self.outlet.drain()
            await trio.lowlevel.checkpoint_if_cancelled()

    async def require_peer(self) -> None:
        """Write what was posted. If the connection is broken or the session is closing, end it.

        Call this before reading each of several pages for a peer.

        Raises:
            BrokenResourceError: the connection is broken.
        """
        self.outlet.flush()
        if self.is_ending:
            self.scope.cancel()
            await trio.lowlevel.checkpoint_if_cancelled()
        if self.outlet.is_closed:
            raise trio.BrokenResourceError("the peer is gone")

    def require_not_left(self) -> None:
        """End the session if the peer has closed its side.

        Call this while reading much without sending anything, because only sending would fail.

        Raises:
            BrokenResourceError: the peer has closed its side.
        """
        if self._descriptor is not None and has_left(self._descriptor):
            raise trio.BrokenResourceError("the peer is gone")

    def hold_back(self, seconds: float) -> None:
        """Pause at the next yield, for at most :data:`.MAX_PAUSE`: the peer asks for too much."""
        self._pause = max(self._pause, min(seconds, MAX_PAUSE))

    @contextlib.contextmanager
    def _waiting_for_peer(self) -> Iterator[None]:
        """Allow closing during this wait, and keep the deadlines running until somebody logs in.

        Otherwise a peer that reads slowly would never reach its login deadline.
        """
        worked_since = self.working_since if self.login is None else None
        if worked_since is not None:
            self.listen_again(worked_since)
        self.is_waiting = True
        try:
            yield
        finally:
            self.is_waiting = False
            if worked_since is not None:
                self.working_since = trio.current_time()

    async def give_way(self) -> None:
        """Yield if this session has run for :data:`SLICE`; pause if it is over its budget.

        Call this after each request, or each part of a long one: what arrived in one segment must
        not delay everybody. It is a checkpoint only if it yields or pauses.
        """
        if self.owed >= UNCHARGED:
            self.handlers.settle(self)
        if self._pause and not self.is_ending:
            await self.require_peer()
            with self._waiting_for_peer():
                await trio.sleep(self._pause)
            self._pause = 0.0
            self.slice_began = time.perf_counter()
        elif time.perf_counter() - self.slice_began > SLICE:
            await trio.lowlevel.checkpoint()
            self.slice_began = time.perf_counter()

    async def while_there(self, turn: Callable[[], Awaitable[None]]) -> None:
        """Run `turn`, a handler's wait.

        If the peer leaves or the session closes, cancel it and end the session.
        """
        if self.is_ending:
            self.scope.cancel()
        self.outlet.flush()  # earlier replies need not wait
        self.is_waiting = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_ahead)
                await turn()
                nursery.cancel_scope.cancel()
        finally:
            self.is_waiting = False

    async def _read_ahead(self) -> None:
        """Notice when the peer leaves. What it sends meanwhile, up to a bound, is handled later."""
        read = 0
        while read < READ_SIZE:
            try:
                data = await self.receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                self.scope.cancel()
                return
            if self.receipts is not None:
                self.receipts.read(len(data))
            self.protocol.receive_data(data)
            self.check_allowance(self.protocol.buffered)
            self.has_read_ahead = True
            read += len(data)

    def read_through(
        self, intake: Intake, take: Callable[[Session, bytes], Submission | None]
    ) -> None:
        """Make the intake read from a socket; `take` gets what arrives, if it can be taken."""
        if self._descriptor is not None:
            self._take = take if self.websocket is None else None
            decoder = self.stream if isinstance(self.stream, TlsStream) else None
            self.source = intake.open(self._descriptor, self, decoder)

    def may_take(self, data: bytes) -> bool:
        """Implement :meth:`.intake.Reader.may_take`."""
        return self._take is not None and seem_to_send(data)

    def take(self, data: bytes) -> Submission | None:
        """Implement :meth:`.intake.Reader.take`."""
        return None if self._take is None else self._take(self, data)

    def continue_reading(self, remainder: bytes | None, now: float) -> None:
        """Listen to the peer again, after what :meth:`take` has taken was settled.

        `remainder` is what the session's task has to handle after all. Somebody is logged in, and
        no part of a frame has arrived, so only the peer's silence has a deadline.
        """
        if self.has_ended:
            return
        assert self.source is not None
        self.is_waiting = True
        if self.receipts:
            self.receipts.look()
        self.last_heard = now
        self.working_since = self.pinged = None
        if self.is_ending:
            self.scope.cancel()
        elif remainder is not None or self._pause:
            self.source.wake(remainder)
        else:
            self.source.go_on()

    def fail(self, error: Exception) -> None:
        """End the session for an unexpected exception, and log it."""
        more = self.journal.admit("session failed", rate=FAILURES)
        if more is not None:
            self.log.error("session failed", exc_info=error, **more)
        self.close(ByeReason.INTERNAL, "internal server error", retry_after=RETRY_AFTER)

    async def receive(self, *, is_idle: bool = False) -> bytes:
        """Wait for bytes; return b"" at the end. If cancelled, it has read nothing.

        With `is_idle` nothing is on the session's hands, so the intake may take messages.
        """
        if self._early:
            early, self._early = self._early, b""
            return early
        if self.source is not None:
            while (data := await self.source.read(takes_messages=is_idle)) is None:
                await self.give_way()
                self.is_waiting = is_idle
            return data
        if self._socket is not None:
            return await read_some(self._socket)
        return bytes(await self.stream.receive_some(READ_SIZE))

    def note_read(self, size: int, *, has_ended: bool = False) -> None:
        """Record bytes that were read, or the end, and what they say is delivered."""
        if self.receipts is None:
            return
        self.receipts.read(size)
        if self.receipts and (delivered := self.receipts.take(has_ended=has_ended)):
            self.handlers.delivered(self.receipts.person, delivered)

    def check_allowance(self, waiting: int = 0) -> None:
        """Close the session if it exceeds the bytes allowed before the login.

        They are those of decoded frames, and `waiting` that are buffered.
        """
        if self.login is None and self.anonymous_bytes + waiting > self.max_anonymous_bytes:
            self.close(ByeReason.PROTOCOL_ERROR, "too many bytes before the login")

    def listen_again(self, worked_since: float) -> None:
        """Resume the peer's deadlines, extended by the time spent on its requests."""
        now = trio.current_time()
        self.opened = min(self.opened + now - worked_since, now)
        if not self.protocol.is_mid_frame:
            self.partial_since = None
        elif self.partial_since is None:
            self.partial_since = now
        else:
            self.partial_since += now - worked_since
        self.last_heard = now
        self.working_since = self.pinged = None
