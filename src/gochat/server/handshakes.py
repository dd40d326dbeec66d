"""What comes before a session: refusals, the TLS handshake, and that of WebSocket.

Handshakes have a deadline, and a connection is closed during one to make room for others if the
server is full (:mod:`gochat.server.crowding`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import structlog
import trio

from gochat.errors import ErrorCode
from gochat.protocol.codec import encode
from gochat.protocol.messages import Bye, ByeReason, Error
from gochat.server import upgrade
from gochat.server.budget import HANDSHAKE
from gochat.server.crowding import Handshake
from gochat.server.services import Services
from gochat.server.tls import TlsStream
from gochat.server.upgrade import GET, HandshakeFailed
from gochat.server.websocket import Opened

log = structlog.stdlib.get_logger()

#: Seconds for a peer to take the response to a handshake that failed, and to close.
LINGER: Final = 1.0


class Handshakes:
    """The handshakes under way."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: Those that may be closed to make room.
        self.waiting: set[Handshake] = set()
        #: Of a crowd that begins TLS at once, one computes in each pass of the event loop: together
        #: they would hold up everybody who chats for a quarter of a second.
        self._turns = trio.Lock()

    async def perform(
        self, stream: trio.abc.Stream, address: str, port: int | None
    ) -> Opened | None:
        """Perform the handshakes of a new connection; None, with a log line, if one failed.

        Does not close the stream.
        """
        is_encrypted = isinstance(stream, (TlsStream, trio.SSLStream))
        what = "TLS handshake failed"
        try:
            if isinstance(stream, TlsStream):
                with self._limited(address):
                    await stream.do_handshake(self._turns)
            elif isinstance(stream, trio.SSLStream):
                with self._limited(address):
                    await stream.do_handshake()
            if not self._services.config.websocket:
                return Opened()
            what = "connection refused"
            with self._closable(address):
                early = await upgrade.receive_first(stream, self._timeout)
            if not early.startswith(GET):
                return Opened(early)
            what = "WebSocket handshake failed"
            self._services.budgets.spend(address, None, HANDSHAKE)
            with self._limited(address):
                websocket, rest = await upgrade.accept(
                    stream,
                    early,
                    origins=self._services.config.websocket_origins,
                    is_encrypted=is_encrypted,
                    max_size=self._services.config.limits.frame_bytes,
                )
            return Opened(rest, websocket)
        except HandshakeFailed as error:
            self._log(what, str(error), address, port, **error.fields)
            await _respond(stream, error.response)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            is_full = what == "connection refused"
            reason = str(error.__cause__ or error) or "it took too long"
            kind = {"code": ErrorCode.SERVER_FULL.value} if is_full else {}
            self._log(what, reason, address, port, **kind)
            if is_full:
                await refuse(stream, ErrorCode.SERVER_FULL, encrypted=is_encrypted)
        return None

    @property
    def _timeout(self) -> float:
        return self._services.config.limits.tls_handshake_timeout

    @contextlib.contextmanager
    def _limited(self, address: str) -> Iterator[None]:
        with self._closable(address), trio.fail_after(self._timeout):
            yield

    @contextlib.contextmanager
    def _closable(self, address: str) -> Iterator[None]:
        handshake = Handshake(address)
        self.waiting.add(handshake)
        try:
            with handshake.scope:
                yield
        finally:
            self.waiting.discard(handshake)
        if handshake.scope.cancelled_caught:
            raise trio.BrokenResourceError(
                "the server is full of connections that are not logged in"
            )

    def _log(self, event: str, reason: str, address: str, port: int | None, **fields: str) -> None:
        more = self._services.journal.admit(event, fields.get("code", ""))
        if more is not None:
            log.info(event, address=address, port=port, reason=reason, **fields, **more)


async def _respond(stream: trio.abc.Stream, response: bytes) -> None:
    """Send the last bytes, and wait a moment for the peer to take them and close."""
    with trio.move_on_after(LINGER), contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(response)
        if isinstance(stream, trio.abc.HalfCloseableStream):
            await stream.send_eof()
            while await stream.receive_some():
                pass


async def refuse(stream: trio.abc.Stream, code: ErrorCode, *, encrypted: bool) -> None:
    """Close a connection without a handshake; without TLS, send the reason first, within 0.1 s."""
    if not encrypted:
        if code is ErrorCode.SERVER_FULL:
            bye = Bye(reason=ByeReason.SERVER_FULL, text="the server is full", retry_after=10.0)
        else:
            bye = Bye(
                reason=ByeReason.TOO_MANY_CONNECTIONS,
                text="too many connections from this address",
                retry_after=10.0,
            )
        with trio.move_on_after(0.1), contextlib.suppress(trio.BrokenResourceError):
            error = Error(code=code, text=bye.text, retry_after=bye.retry_after)
            await stream.send_all(encode(error) + encode(bye))
    await trio.aclose_forcefully(stream)
