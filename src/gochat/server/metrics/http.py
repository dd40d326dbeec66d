"""A small HTTP server for monitoring, on h11.

It answers one GET or HEAD on each connection, and closes it. Its cost is bounded whoever asks: few
connections at once, of which the oldest makes room for a new one; a few seconds for each; a small
header, and no body.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple, NoReturn, TypeAlias

import h11
import structlog
import trio

from gochat.server.listener import accept_for_ever

log = structlog.stdlib.get_logger()

#: Connections at once. A scraper needs one, a balancer's check another.
MAX_CONNECTIONS: Final = 16
#: Seconds for the request's header to arrive, and for the whole connection.
HEADER_TIMEOUT: Final = 5.0
TIMEOUT: Final = 30.0
#: Bytes of a header at most. A scraper's has about 300.
MAX_HEADER: Final = 8 * 1024
#: Bytes per read.
READ_SIZE: Final = 4 * 1024

PLAIN_TEXT: Final = "text/plain; charset=utf-8"


class Response(NamedTuple):
    """An answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = PLAIN_TEXT
    #: Further headers.
    headers: tuple[tuple[str, str], ...] = ()


#: Takes a path, without its query.
Respond: TypeAlias = Callable[[str], Awaitable[Response]]


class HttpServer:
    """Answers HTTP requests with what `respond` returns."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._open: dict[trio.CancelScope, None] = {}  # the oldest first

    async def run(self, listeners: list[trio.SocketListener]) -> NoReturn:
        """Accept connections and serve them, for ever. Cancelling closes the listeners."""
        async with contextlib.AsyncExitStack() as stack, trio.open_nursery() as nursery:
            for listener in listeners:
                await stack.enter_async_context(listener)
                nursery.start_soon(
                    accept_for_ever,
                    listener,
                    lambda stream: nursery.start_soon(self.serve, stream),
                )
            await trio.sleep_forever()
        raise AssertionError

    async def serve(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection, and close it."""
        if len(self._open) >= MAX_CONNECTIONS:
            next(iter(self._open)).cancel()
        scope = trio.CancelScope(deadline=trio.current_time() + TIMEOUT)
        self._open[scope] = None
        try:
            with scope, contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._serve(stream)
        except Exception:  # a bug here must not end the chat
            log.exception("monitoring request failed")
        finally:
            del self._open[scope]
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.HalfCloseableStream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER)
        try:
            with trio.fail_after(HEADER_TIMEOUT):
                request = await _receive(connection, stream)
        except trio.TooSlowError:
            return
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            await _send(connection, stream, _refusal(status, "this is not a valid HTTP request"))
            return
        if request is None:
            return
        if request.method not in (b"GET", b"HEAD"):
            refusal = _refusal(
                HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", ("Allow", "GET, HEAD")
            )
            await _send(connection, stream, refusal)
            return
        path = request.target.partition(b"?")[0].decode("ascii", "replace")
        response = await self._respond(path)
        await _send(connection, stream, response, is_head=request.method == b"HEAD")


def not_found(paths: str) -> Response:
    """Return the answer to a path that does not exist; `paths` are those that do."""
    return _refusal(HTTPStatus.NOT_FOUND, f"the only paths are {paths}")


def _refusal(status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, f"{status.value} {status.phrase}: {text}\n".encode(), headers=headers)


async def _receive(
    connection: h11.Connection, stream: trio.abc.ReceiveStream
) -> h11.Request | None:
    """Return the request, without its body; None if the peer has left before."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(bytes(await stream.receive_some(READ_SIZE)))


async def _send(
    connection: h11.Connection,
    stream: trio.abc.HalfCloseableStream,
    response: Response,
    *,
    is_head: bool = False,
) -> None:
    """Send the answer, and wait for the peer to close."""
    head = h11.Response(
        status_code=response.status.value,
        reason=response.status.phrase.encode(),
        headers=[
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
            *response.headers,
        ],
    )
    parts: list[h11.Event] = [head, h11.Data(data=response.body), h11.EndOfMessage()]
    if is_head:
        del parts[1]
    await stream.send_all(b"".join(connection.send(part) or b"" for part in parts))
    # Closing a socket that has unread input would reset it, and the peer might lose the answer.
    await stream.send_eof()
    with trio.move_on_after(1.0):
        while await stream.receive_some(READ_SIZE):
            pass
