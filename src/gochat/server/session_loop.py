"""The task of a session: read bytes, handle requests in order, and act on errors.

It reads what has arrived, handles the requests in it one after the other, and flushes the replies
together. Only this module decides what an error does:

============================ ========================================================
`FrameError`                 ``error``, then ``bye``: what follows can't be decoded
other `ProtocolError`        ``error``; after too many of them ``bye``
`ChatError`                  ``error``
`StoreUnavailable`           ``error unavailable`` with `retry_after`; if it is a `StoreCorrupt`,
                             the server closes all sessions and stops (:mod:`~gochat.server.app`)
the connection breaks        the session ends
anything else                a logged traceback and ``bye internal``; the server lives on
============================ ========================================================
"""

from __future__ import annotations

import contextlib
import time
from typing import Final

import trio

from gochat.errors import (
    FrameError,
    ProtocolError,
    UnexpectedMessage,
    UnknownMessageType,
)
from gochat.protocol.framing import HEADER_SIZE
from gochat.protocol.messages import Bye, ByeReason, Login, Register, Request, Resume
from gochat.server import session_log
from gochat.server.budget import FRAME, PER_BYTE
from gochat.server.session import Session
from gochat.server.sockets import READ_SIZE
from gochat.server.tls import TlsStream

#: Seconds for which a connection stays open after `bye`, for the peer to read it.
LINGER: Final = 1.0
#: Seconds for a peer to take what is queued for it and the `bye`, however slowly.
FAREWELL: Final = 10.0
#: Requests that are decoded before the first is handled. Messages among them share a commit.
MAX_TOGETHER: Final = 256


class SessionLoop:
    """Serves one session; it exists as long as the session's task."""

    __slots__ = ("_end", "_malformed", "_max_malformed", "_session")

    def __init__(self, session: Session, *, malformed_frames: int) -> None:
        self._session = session
        self._end = "cancelled"  # for the log, if the session ends without `bye`
        self._malformed = 0
        self._max_malformed = malformed_frames

    async def run(self) -> None:
        """Serve the connection until it ends. Raises only Cancelled."""
        session = self._session
        try:
            await self._serve()
        finally:
            session.outlet.close()  # before the descriptor can be reused
            if session.source is not None:
                session.source.close()
            session.has_ended = True
            if session.last_name is not None and session.login is None:
                self._end = "logged_out"
            with trio.CancelScope(shield=True):
                # The other sessions must learn that the person left, whatever ended the session.
                await session.handlers.disconnected(session)
                await trio.aclose_forcefully(session.stream)
            session_log.log_end(session, session.protocol.bye, self._end)

    async def _serve(self) -> None:
        session = self._session
        try:
            with session.scope:
                await self._read_and_handle()
            # A write that failed has taken the error; what is read after it looks like an orderly
            # end.
            self._end = "connection_lost" if session.outlet.is_closed else "disconnected"
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end = "connection_lost"
            return
        except FrameError as error:
            session.refuse(error)
            session.close(ByeReason.PROTOCOL_ERROR, str(error))
        except Exception as error:
            session.fail(error)
        session.working_since = None
        bye = session.protocol.bye
        if bye is not None and not session.outlet.is_closed:
            with trio.CancelScope() as session.scope:
                await self._say_goodbye(bye)

    async def _read_and_handle(self) -> None:
        session = self._session
        while not session.is_ending:
            if session.receipts:
                session.receipts.look()
            session.is_waiting = True
            data = await session.receive(is_idle=True)
            session.is_waiting = False
            if not data and session.receipts and isinstance(session.stream, TlsStream):
                with trio.move_on_after(LINGER):
                    await session.stream.wait_end()  # what looks like an end may be a reset
            session.note_read(len(data), has_ended=not data)
            if not data or session.is_ending:  # nothing after the end is acknowledged
                return
            session.working_since = trio.current_time()
            session.slice_began = time.perf_counter()
            session.protocol.receive_data(data)
            try:
                await self._handle_arrived()
                while session.has_read_ahead:
                    await self._handle_arrived()
                if session.websocket is not None and session.websocket.has_ended:
                    session.outlet.seal()
                    with trio.move_on_after(LINGER):
                        await session.outlet.drain()
                    return
                # An incomplete frame counts, too.
                session.check_allowance(session.protocol.buffered)
            finally:
                session.outlet.flush()
            await session.wait_for_peer()
            session.listen_again(session.working_since)

    async def _handle_arrived(self) -> None:
        """Handle all complete requests, replying in order. Stop when the session is closing."""
        session = self._session
        session.has_read_ahead = False
        is_more = True
        while is_more and not session.is_ending:
            requests: list[Request] = []
            refused: ProtocolError | None = None
            try:
                is_more = self._decode_arrived(requests)
            except ProtocolError as error:
                refused = error
            await session.handlers.handle(session, requests)  # handle those before an invalid one
            session.protocol.handled()
            if refused is not None and not session.is_ending:
                if isinstance(refused, FrameError):
                    raise refused
                self._refuse(refused)
                await session.wait_for_peer()
            if session.login is None and session.anonymous_frames >= self._max_malformed:
                session.close(ByeReason.PROTOCOL_ERROR, "too many requests before the login")
            await session.give_way()

    def _decode_arrived(self, requests: list[Request]) -> bool:
        """Append the requests that have arrived to `requests`; return True if there may be more.

        Raises:
            ProtocolError: one of them is invalid. Those before it have been appended.
        """
        session = self._session
        # One at a time until somebody is logged in: after that frames don't count as anonymous.
        together = 1 if session.login is None else MAX_TOGETHER
        for _ in range(together):
            body = session.protocol.next_body()
            if body is None:
                return session.protocol.is_paused
            session.owed += FRAME + len(body) * PER_BYTE
            if session.login is None:
                session.anonymous_bytes += HEADER_SIZE + len(body)
                session.check_allowance()
                if session.is_ending:
                    return False
                session.anonymous_frames += 1
            if not body:  # a part of something in WebSocket
                continue
            session.partial_since = None
            request = session.protocol.receive_message(body)
            if session.login is None and isinstance(request, Register | Login | Resume):
                session.anonymous_frames -= 1
            requests.append(request)
        return True

    def _refuse(self, error: ProtocolError) -> None:
        session = self._session
        if isinstance(error, UnexpectedMessage):
            session.requests += 1
            if session.login is not None:
                name = session.login.identity.name
                error = UnexpectedMessage(
                    f"this connection is logged in as {name}: log out first",
                    error.code,
                    error.msg_type,
                    request_id=error.request_id,
                    cid=error.cid,
                    details={"name": name},
                )
            session.refuse(error)
            return
        session.refuse(error)
        if isinstance(error, UnknownMessageType):
            return  # from a newer client, which may go on
        self._malformed += 1
        if self._malformed >= self._max_malformed:
            session.close(ByeReason.PROTOCOL_ERROR, "too many invalid frames")

    async def _say_goodbye(self, bye: Bye) -> None:
        session = self._session
        session.reply(bye)
        session.outlet.seal()  # the last frame
        session.outlet.flush()
        await session.handlers.leave(session)
        with trio.move_on_after(FAREWELL):
            await session.outlet.drain()
        # Closing a socket that has unread input resets the connection, and the peer may lose what
        # it has not read yet. So shut down the sending side first, and read for a moment.
        with (
            trio.move_on_after(LINGER),
            contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError),
        ):
            if isinstance(session.stream, trio.abc.HalfCloseableStream):
                await session.stream.send_eof()
                while data := await session.stream.receive_some(READ_SIZE):
                    session.note_read(len(data))
                session.note_read(0, has_ended=True)
            else:
                await session.stream.aclose()
