"""One connection: bytes in, requests handled in order, frames out; and what each error does to it.

A session has one task, its reader. It reads what has arrived, handles the requests in it one after
the other, and flushes the replies together. Writing is the outlet's business
(:mod:`gochat.server.delivery`); where that is behind, the session waits for its peer to read before
it reads on, handles the next request, or sends more of what it sends by itself. So what a peer
asked for never makes it a slow consumer; only what comes unasked, to a peer that doesn't read.
Between two requests it lets others have the loop, if it has had it for long; and where it owes more
than its budget has, or was refused for that, it pauses there, before it understands anything more.
While a request waits in line, the session reads on, to notice when its peer leaves.

What an error does is decided here, and only here:

============================ ========================================================
`FrameError`                 ``error``, then ``bye``: what follows can't be understood
other `ProtocolError`        ``error``; after too many of them ``bye``
`ChatError`                  ``error``
`StoreUnavailable`           ``error unavailable`` with `retry_after`; if it is a `StoreCorrupt`,
                             the server says goodbye to all, and stops (:mod:`~gochat.server.app`)
the connection breaks        the session ends
anything else                a logged traceback and ``bye internal``; the server lives on
============================ ========================================================
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from math import inf
from typing import Final, Protocol

import structlog
import trio

from gochat.chat.accounts import Identity
from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.errors import (
    ChatError,
    ErrorCode,
    FrameError,
    ProtocolError,
    StoreUnavailable,
    UnknownMessageType,
)
from gochat.protocol.codec import decode_request, encode
from gochat.protocol.framing import HEADER_SIZE, FrameDecoder
from gochat.protocol.messages import (
    Bye,
    ByeReason,
    Error,
    Login,
    Payload,
    Register,
    Request,
    Resume,
)
from gochat.server import session_log
from gochat.server.budget import FRAME, MAX_PAUSE, PER_BYTE, REFUSAL, UNCHARGED, OverBudget
from gochat.server.delivery import Outlet
from gochat.server.hub import OnlinePerson, Sink
from gochat.server.journal import ACTS, Journal, Rate
from gochat.server.receipts import Receipts, Seqs
from gochat.server.sockets import (
    READ_SIZE,
    has_descriptor,
    has_left,
    read_some,
    unacknowledged,
    unread,
)
from gochat.server.tls import TlsStream

log = structlog.stdlib.get_logger()

#: Seconds for which a connection that was said goodbye to stays open for the peer to read it.
LINGER: Final = 1.0
#: Seconds for a peer to take what waits for it and the goodbye, however slowly.
FAREWELL: Final = 10.0
#: Seconds after which a client may come back whose connection was closed for its own good.
RETRY_AFTER: Final = 1.0
#: And to a server that is full.
FULL_RETRY_AFTER: Final = 10.0
#: Seconds for which a session handles requests before the others get the loop. What a person does
#: takes less, and then costs nothing more; a flood costs some hundredths more.
SLICE: Final = 0.001
#: Requests that are decoded before the first is handled; messages among them share a commit.
MAX_TOGETHER: Final = 256


#: Tracebacks: a bug that a peer can reach, it can reach often.
FAILURES: Final = Rate(5, 0.1)


class _Nowhere:
    """Drops what a session that is about to end would be sent."""

    is_behind = False

    def post(self, frames: bytes) -> None:
        """Drop frames."""

    send = post


NOWHERE: Final = _Nowhere()


class RequestHandler(Protocol):
    """What a session hands its requests to: see :class:`gochat.server.handlers.Handlers`."""

    async def handle(self, session: Session, requests: Sequence[Request]) -> None:
        """Handle what arrived together, in its order."""

    def settle(self, session: Session) -> None:
        """Charge for what a session owes."""

    def delivered(self, person: NameKey, seqs: Seqs) -> None:
        """Note that a client without the log has received messages."""

    async def leave(self, session: Session) -> None:
        """Log the session out, if it is logged in."""

    async def disconnected(self, session: Session) -> None:
        """Note that a session has ended."""


class Session:
    """One connection and who speaks through it.

    `opened`, `last_heard`, `partial_since` and `working_since` are the reader's notes for
    :mod:`gochat.server.deadlines`, in seconds of the Trio clock.
    """

    __slots__ = (
        "_bye", "_decoder", "_descriptor", "_end", "_handlers", "_has_read_ahead", "_is_waiting",
        "_made_room", "_malformed", "_max_malformed", "_pause", "_received", "_scope",
        "_slice_began", "_socket", "_stream", "address", "anonymous_bytes", "anonymous_frames",
        "began", "caps", "connection", "events", "identity", "journal", "last_heard", "last_name",
        "login_failures", "max_anonymous_bytes", "opened", "outlet", "owed", "partial_since",
        "person", "pinged", "port", "receipts", "refused", "requests", "token_digest",
        "token_expires", "token_until", "wants_log", "working_since",
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
        frame_bytes: int,
        malformed_frames: int,
        anonymous_bytes: int,
    ) -> None:
        self._stream = stream
        #: The descriptor, where a stream is no more than a socket.
        self._socket = stream.socket.fileno() if has_descriptor(stream) else None
        #: The same, also beneath TLS.
        self._descriptor = stream.descriptor if isinstance(stream, TlsStream) else self._socket
        self._handlers = handlers
        self._end = "cancelled"  # how it ended, where no goodbye says so
        self._decoder = FrameDecoder(frame_bytes)
        self._scope = trio.CancelScope()
        self._is_waiting = False  # for its peer, or in line: closing it need not wait
        self._has_read_ahead = False
        self._slice_began = 0.0
        self._pause = 0.0  # seconds, at the next chance
        #: Points of the budget for frames and refusals that were not charged yet.
        self.owed = 0.0
        self._bye: Bye | None = None
        self._made_room = False
        self._malformed = 0
        self._max_malformed = malformed_frames
        self.journal: Final = journal
        self.connection: Final = connection
        self.address: Final = address
        self.port: Final = port
        #: Who is logged in, or was last.
        self.last_name: str | None = None
        self.requests = self.refused = 0
        self.outlet: Outlet
        self.events: Sink
        #: When it began to wait for a login. The time for which the peer waited is added.
        self.opened = self.last_heard = self.began = trio.current_time()
        self.partial_since: float | None = None
        #: Since when it has not listened, but done what it was asked to; None while it listens.
        self.working_since: float | None = None
        self.pinged: float | None = None
        #: Of frames that came before the login; and how many of these asked for something else.
        self.anonymous_bytes = self.anonymous_frames = 0
        self.max_anonymous_bytes = anonymous_bytes
        self.login_failures: list[float] = []
        self.identity: Identity | None = None
        self.person: OnlinePerson | None = None
        self.token_digest: bytes | None = None
        #: When its token expires, unless it is renewed: in milliseconds of the wall clock, and in
        #: seconds of the Trio clock.
        self.token_expires, self.token_until = 0, 0.0
        self.caps: frozenset[str] = frozenset()
        self.wants_log = False
        #: Of a client that keeps no read marker of its own.
        self.receipts: Receipts | None = None
        self._received = 0  # bytes read, for the receipts

    # -- what others ask of it ----------------------------------------------------------------

    def close(self, reason: ByeReason, text: str = "", *, retry_after: float | None = None) -> None:
        """Make the session finish the request that it is handling, say goodbye and end. It handles
        no more of those that have arrived, and doesn't wait for the peer to read what comes before.
        The first counts."""
        if self._bye is None:
            self._bye = Bye(reason=reason, text=text, retry_after=retry_after)
            if self._is_waiting:
                self._scope.cancel()

    def evicted(self) -> None:
        """Called by the outlet: the peer is too slow. End at once."""
        self._bye = Bye(
            reason=ByeReason.SLOW_CONSUMER,
            text="the connection reads too slowly",
            retry_after=RETRY_AFTER,
        )
        self._end_at_once()

    def make_room(
        self, text: str = "the server is full of connections that are not logged in"
    ) -> None:
        """End at once, for others to log in; also in the middle of a goodbye."""
        self._made_room = True
        self.outlet.close()
        if self._bye is None:
            self._bye = Bye(reason=ByeReason.SERVER_FULL, text=text, retry_after=FULL_RETRY_AFTER)
            self._end_at_once()
        else:
            self._scope.cancel()

    def _end_at_once(self) -> None:
        assert self._bye is not None
        self.outlet.last_word(encode(self._bye))
        self._scope.cancel()

    def note_delivered(self, conversation: ConversationKey, seq: int) -> None:
        """Called by the hub for a private message posted to a client that doesn't want the log."""
        if self.receipts is not None and self.events is not NOWHERE and self.outlet.is_open:
            self.receipts.note(conversation, seq, *self._written())

    @property
    def is_ending(self) -> bool:
        """True once it is to say goodbye: the request that it is handling is the last one."""
        return self._bye is not None

    @property
    def is_stranger(self) -> bool:
        """True while nobody is logged in, except while the server works for it: whatever it waits
        for then, its peer, its turn or the end of a goodbye, it may have to make room."""
        is_idle = self._is_waiting or self.working_since is None
        return self.identity is None and is_idle and not self._made_room

    @property
    def name(self) -> str | None:
        """Who is logged in, as it is shown; None before."""
        return self.identity.name if self.identity is not None else None

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A log whose lines have the connection: its number, address and port, and who it is.

        Made when a line is written: a logger for each connection that is idle is memory.
        """
        fields = {"connection": self.connection, "address": self.address, "port": self.port}
        if self.last_name is not None:
            fields["name"] = self.last_name
        return log.bind(**fields)

    def note(self, event: str, **fields: object) -> None:
        """Log what its peer did, unless too much of this kind is logged already."""
        more = self.journal.admit(event, rate=ACTS, source=self.address)
        if more is not None:
            self.log.info(event, **fields, **more)

    def refuse(
        self, error: ProtocolError | ChatError | StoreUnavailable, request: Request | None = None
    ) -> None:
        """Reply that something is refused, and why; note it in the log."""
        self.refused += 1
        self.owed += REFUSAL
        if isinstance(error, OverBudget):
            self.hold_back(error.wait)
        reply = error_reply(error, request)
        self.reply(reply)
        session_log.log_refusal(self, reply, error, request)

    def reply(self, payload: Payload) -> None:
        """Post a reply; it goes out when all that was read with the request is handled."""
        self.outlet.post(encode(payload))

    async def wait_for_peer(self) -> None:
        """Wait until the peer has read all, if the outlet is behind.

        Whoever posts what was asked for, or what the server sends by itself, calls this after each
        frame. Where the session is to end, it ends here.
        """
        if self.outlet.is_behind:
            if self._bye is not None:
                self._scope.cancel()
            with self._waiting_for_peer():
                await self.outlet.drain()
            await trio.lowlevel.checkpoint_if_cancelled()

    async def require_peer(self) -> None:
        """Write what was posted, and go on only if the peer may read more: where the connection has
        broken, or the session is to end, it ends here.

        Whoever reads one page after the other for a peer calls this before each.
        """
        self.outlet.flush()
        if self._bye is not None:
            self._scope.cancel()
            await trio.lowlevel.checkpoint_if_cancelled()
        if self.outlet.is_closed:
            raise trio.BrokenResourceError("the peer is gone")

    def require_not_left(self) -> None:
        """Go on only if the peer has not ended its side: who reads much for it that is not sent,
        which would break, calls this."""
        if self._descriptor is not None and has_left(self._descriptor):
            raise trio.BrokenResourceError("the peer is gone")

    def hold_back(self, seconds: float) -> None:
        """Pause it when it next gives way, up to a bound: its peer asks for too much."""
        self._pause = max(self._pause, min(seconds, MAX_PAUSE))

    @contextlib.contextmanager
    def _waiting_for_peer(self) -> Iterator[None]:
        """Closing the session need not wait for this; and as long as nobody is logged in, the
        deadlines run, or whoever reads little would have for ever."""
        worked_since = self.working_since if self.identity is None else None
        if worked_since is not None:
            self._listen_again(worked_since)
        self._is_waiting = True
        try:
            yield
        finally:
            self._is_waiting = False
            if worked_since is not None:
                self.working_since = trio.current_time()

    async def give_way(self) -> None:
        """Let others have the loop, if this session has had it for :data:`SLICE`; pause, if it is
        held back, or owes more than there is.

        Whoever handles several requests, or several parts of one, calls this after each: what has
        arrived in one segment must not hold up everybody. A checkpoint only now and then.
        """
        if self.owed >= UNCHARGED:
            self._handlers.settle(self)
        if self._pause and self._bye is None:
            await self.require_peer()
            with self._waiting_for_peer():
                await trio.sleep(self._pause)
            self._pause = 0.0
            self._slice_began = time.perf_counter()
        elif time.perf_counter() - self._slice_began > SLICE:
            await trio.lowlevel.checkpoint()
            self._slice_began = time.perf_counter()

    # -- its life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the connection until it ends, however it ends. Raises nothing but Cancelled."""
        try:
            await self._serve()
        finally:
            self.outlet.close()  # before the descriptor is somebody else's
            if self.last_name is not None and self.identity is None:
                self._end = "logged_out"
            with trio.CancelScope(shield=True):
                # Everybody is notified of leaving, whatever ended the session.
                await self._handlers.disconnected(self)
                await trio.aclose_forcefully(self._stream)
            session_log.log_end(self, self._bye, self._end)

    async def _serve(self) -> None:
        try:
            with self._scope:
                await self._read_and_handle()
            self._end = "disconnected"
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end = "connection_lost"
            return
        except FrameError as error:
            self.refuse(error)
            self.close(ByeReason.PROTOCOL_ERROR, str(error))
        except Exception:
            more = self.journal.admit("session failed", rate=FAILURES)
            if more is not None:
                self.log.exception("session failed", **more)
            self.close(ByeReason.INTERNAL, "internal server error", retry_after=RETRY_AFTER)
        self.working_since = None
        if self._bye is not None and not self.outlet.is_closed:
            with trio.CancelScope() as self._scope:
                await self._say_goodbye(self._bye)

    async def while_there(self, turn: Callable[[], Awaitable[None]]) -> None:
        """Run `turn`, a handler's wait, unless the peer leaves or the session is to close: then it
        is cancelled, and the session ends."""
        if self._bye is not None:
            self._scope.cancel()
        self.outlet.flush()  # what was asked for before has not to wait
        self._is_waiting = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_ahead)
                await turn()
                nursery.cancel_scope.cancel()
        finally:
            self._is_waiting = False

    async def _read_ahead(self) -> None:
        """Notice that the peer leaves. What it sends meanwhile, up to a bound, is handled later."""
        read = 0
        while read < READ_SIZE:
            try:
                data = await self._receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                self._scope.cancel()
                return
            self._received += len(data)
            self._decoder.receive_data(data)
            self._check_allowance(self._decoder.size)
            self._has_read_ahead = True
            read += len(data)

    async def _receive(self) -> bytes:
        """Wait for what the peer sends; empty at its end. Cancelled, it has read nothing."""
        if self._socket is not None:
            return await read_some(self._socket)
        return bytes(await self._stream.receive_some(READ_SIZE))

    async def _read_and_handle(self) -> None:
        while self._bye is None:
            if self.receipts:
                self._look()
            self._is_waiting = True
            data = await self._receive()
            self._is_waiting = False
            if not data and self.receipts and isinstance(self._stream, TlsStream):
                with trio.move_on_after(LINGER):
                    await self._stream.wait_end()  # else what looks like an end may be a reset
            self._received += len(data)
            self._take_receipts(has_ended=not data)
            if not data or self._bye is not None:  # what comes with the end isn't acknowledged
                return
            self.working_since = trio.current_time()
            self._slice_began = time.perf_counter()
            self._decoder.receive_data(data)
            try:
                await self._handle_arrived()
                while self._has_read_ahead:
                    await self._handle_arrived()
                self._check_allowance(self._decoder.size)  # the beginning of a frame
            finally:
                self.outlet.flush()
            await self.wait_for_peer()
            self._listen_again(self.working_since)

    # -- what a client without the log has received: see gochat.server.receipts ---------------

    def note_sent(self, conversation: ConversationKey, seq: int) -> None:
        """Called for a private message that was just posted, while others are held back."""
        assert self.receipts is not None
        self.receipts.add(conversation, seq, *self._written())

    def release_receipts(self) -> None:
        """Called when what was held back has been posted."""
        if self.receipts is not None:
            self.receipts.release(*self._written())

    def _written(self) -> tuple[int, float]:
        """Write what was posted. Return up to where that is, and how much had arrived before all of
        it was written; infinite, if the peer does not take it yet."""
        # Before: on a busy machine a peer on it can have answered before the write returns.
        arrived = self._arrived()
        self.outlet.flush()
        posted = self.outlet.posted
        return posted, arrived if self.outlet.written >= posted else inf

    def _arrived(self) -> int:
        """How many bytes have arrived, read or not."""
        read = self._stream.received if isinstance(self._stream, TlsStream) else self._received
        return read if self._descriptor is None else read + unread(self._descriptor)

    def note_written(self) -> None:
        """Called by the outlet when something that the peer did not take at once is written."""
        if self.receipts:
            self.receipts.note_written(self.outlet.written, self._arrived())

    def _look(self) -> None:
        """Note what is written and what the peer's host has by now."""
        assert self.receipts is not None
        self.note_written()
        written = self.outlet.written
        waiting = None if self._descriptor is None else unacknowledged(self._descriptor)
        if waiting is not None:
            self.receipts.acknowledge(written - waiting)
        else:
            self.receipts.settle(written, trio.current_time())

    def _take_receipts(self, *, has_ended: bool = False) -> None:
        """Something has arrived, or the peer has ended the connection: note what is delivered."""
        # After writing has failed, what looks like an end is not: the error is reported only once.
        if self.receipts and not self.outlet.is_closed:
            self._look()
            if delivered := self.receipts.take(inf if has_ended else self._arrived()):
                self._handlers.delivered(self.receipts.person, delivered)

    def _check_allowance(self, waiting: int = 0) -> None:
        """End the session if more has come before the login than may: frames that were taken, and
        so many bytes that wait to be."""
        if self.identity is None and self.anonymous_bytes + waiting > self.max_anonymous_bytes:
            self.close(ByeReason.PROTOCOL_ERROR, "too many bytes before the login")

    def _listen_again(self, worked_since: float) -> None:
        """Hold the peer to its deadlines again, of which none has run while it was not heard."""
        now = trio.current_time()
        self.opened = min(self.opened + now - worked_since, now)
        if not self._decoder.is_mid_frame:
            self.partial_since = None
        elif self.partial_since is None:
            self.partial_since = now
        else:
            self.partial_since += now - worked_since
        self.last_heard = now
        self.working_since = self.pinged = None

    async def _handle_arrived(self) -> None:
        """Handle all requests that are complete, and reply to each in order; none any more once the
        session is to end."""
        self._has_read_ahead = False
        is_more = True
        while is_more and not self.is_ending:
            requests: list[Request] = []
            refused: ProtocolError | None = None
            try:
                is_more = self._decode_arrived(requests)
            except ProtocolError as error:
                refused = error
            await self._handlers.handle(self, requests)  # what was whole before it counts
            if refused is not None and not self.is_ending:
                if isinstance(refused, FrameError):
                    raise refused
                self._refuse(refused)
                await self.wait_for_peer()
            if self.identity is None and self.anonymous_frames >= self._max_malformed:
                self.close(ByeReason.PROTOCOL_ERROR, "too many requests before the login")
            await self.give_way()

    def _decode_arrived(self, requests: list[Request]) -> bool:
        """Add to `requests` those that have arrived; True if there may be more of them.

        Raises ProtocolError where one is not valid; those before it have been added.
        """
        # One at a time until somebody is logged in: from then on no frame counts as anonymous.
        together = 1 if self.identity is None else MAX_TOGETHER
        while len(requests) < together:
            body = self._decoder.next_frame()
            if body is None:
                return False
            self.partial_since = None
            self.owed += FRAME + len(body) * PER_BYTE
            if self.identity is None:
                self.anonymous_bytes += HEADER_SIZE + len(body)
                self._check_allowance()
                if self.is_ending:
                    return False
                self.anonymous_frames += 1
            request = decode_request(body)
            if self.identity is None and isinstance(request, Register | Login | Resume):
                self.anonymous_frames -= 1
            requests.append(request)
        return True

    def _refuse(self, error: ProtocolError) -> None:
        self.refuse(error)
        if isinstance(error, UnknownMessageType):
            return  # from a newer client, which may go on
        self._malformed += 1
        if self._malformed >= self._max_malformed:
            self.close(ByeReason.PROTOCOL_ERROR, "too many invalid frames")

    async def _say_goodbye(self, bye: Bye) -> None:
        self.reply(bye)
        self.outlet.seal()  # the last frame
        self.outlet.flush()
        await self._handlers.leave(self)
        with trio.move_on_after(FAREWELL):
            await self.outlet.drain()
        # Closing a socket while there is something to read resets the connection, and the peer
        # may lose what it has not read yet: say that nothing more comes, and read for a moment.
        with (
            trio.move_on_after(LINGER),
            contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError),
        ):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
                while data := await self._stream.receive_some(READ_SIZE):
                    self._received += len(data)
                    self._take_receipts()
                self._take_receipts(has_ended=True)
            else:
                await self._stream.aclose()


def error_reply(
    error: ProtocolError | ChatError | StoreUnavailable, request: Request | None = None
) -> Error:
    """Return what a peer is sent of an error that its request caused."""
    request_id = getattr(request, "request_id", None)
    cid = getattr(request, "cid", None)
    match error:
        case ProtocolError():
            return Error(code=error.code, text=str(error), request_id=error.request_id)
        case StoreUnavailable():
            return Error(
                code=ErrorCode.UNAVAILABLE,
                text=f"{error.public}: try again",
                retry_after=error.retry_after,
                request_id=request_id,
                cid=cid,
            )
        case ChatError():
            return Error(
                code=error.code,
                text=error.text,
                retry_after=error.retry_after,
                field=error.field,
                request_id=request_id,
                cid=cid,
            )
