"""The WebSocket handshake: tell browsers from other clients, and let in the pages that may be.

Where the configuration has `websocket` on, a connection's first bytes decide: ``GET `` is not a
length that a server allows. The header then has to arrive within the time of a TLS handshake.
wsproto, with h11, parses it and composes the acceptance.

There are no cookies, so a page of another site can't act for anybody. What the check of `Origin`
prevents is that such a page reaches a server in the network of the person who looks at it. So
unless the configuration lists origins, only a page of the server's own host is let in; and where
nothing proves that the name of that host is the server's (a name can be made to lead anywhere,
after its page was loaded), only if the host is an address, or ``localhost``.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

import trio
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, Request
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from gochat.server.sockets import READ_SIZE
from gochat.server.websocket import WebSocket

#: The name of the gochat protocol in WebSocket: one envelope per text message.
SUBPROTOCOL: Final = "gochat.1"
#: What a WebSocket begins with.
GET: Final = b"GET "
#: Bytes of the header at most. A browser's has about 600.
MAX_HEADER: Final = 8 * 1024
#: Characters of an origin that are logged.
MAX_SHOWN: Final = 200

_END: Final = b"\r\n\r\n"
_PORTS: Final = {"http": 80, "https": 443}
_ABOUT: Final = (
    "This is a gochat server. Programs connect to it by the gochat protocol, and pages by "
    f"WebSocket, at the path /, with the subprotocol {SUBPROTOCOL}."
)


class HandshakeFailed(Exception):
    """The peer asked for something else than a WebSocket of this protocol, or is not let in.

    `status` and `text` are sent to it; `fields` are logged in addition to the text.
    """

    def __init__(self, status: str, text: str, *headers: str, **fields: str) -> None:
        super().__init__(text)
        self.status: Final = status
        self.headers: Final = headers
        self.fields: Final = fields

    @property
    def response(self) -> bytes:
        """The whole HTTP response."""
        body = f"{self}\n".encode()
        lines = (
            f"HTTP/1.1 {self.status}",
            *self.headers,
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "\r\n".join(lines).encode() + _END + body


async def receive_first(stream: trio.abc.ReceiveStream, timeout: float) -> bytes:
    """Return a connection's first bytes: enough to tell whether it is a WebSocket.

    Fewer, if no more come within `timeout` seconds or at all: then it is not.
    """
    data = b""
    with trio.move_on_after(timeout), contextlib.suppress(trio.BrokenResourceError):
        while len(data) < len(GET) and GET.startswith(data):
            if not (more := await stream.receive_some(READ_SIZE)):
                break
            data += more
    return data


async def accept(
    stream: trio.abc.Stream,
    data: bytes,
    *,
    origins: Collection[str],
    is_encrypted: bool,
    max_size: int,
) -> tuple[WebSocket, bytes]:
    """Perform the handshake that begins with `data`; messages have at most `max_size` bytes.

    Returns also what has arrived after it.

    Raises:
        HandshakeFailed: the peer is not let in. Nothing has been sent.
        BrokenResourceError: the peer is gone.
    """
    while (end := data.find(_END)) < 0 and len(data) <= MAX_HEADER:
        if not (more := await stream.receive_some(READ_SIZE)):
            raise trio.BrokenResourceError("the peer left during the handshake")
        data += more
    end += len(_END)
    if not len(_END) <= end <= MAX_HEADER:
        raise HandshakeFailed(
            "431 Request Header Fields Too Large", f"the header is over {MAX_HEADER} bytes"
        )
    handshake = H11Handshake(ConnectionType.SERVER)
    require_allowed(_parse(handshake, data[:end]), origins, is_encrypted=is_encrypted)
    await stream.send_all(handshake.send(AcceptConnection(subprotocol=SUBPROTOCOL)))
    return WebSocket(max_size), data[end:]


def _parse(handshake: H11Handshake, header: bytes) -> Request:
    try:
        handshake.receive_data(header)
        request = next(handshake.events(), None)
    except RemoteProtocolError as error:
        if error.__context__ is None:  # it is HTTP, but not a WebSocket's
            raise HandshakeFailed(
                "426 Upgrade Required", _ABOUT, "Upgrade: websocket", "Sec-WebSocket-Version: 13"
            ) from error
        request = None
    except UnicodeError:
        request = None
    if not isinstance(request, Request):
        raise HandshakeFailed("400 Bad Request", "this is not a valid HTTP request")
    return request


def require_allowed(request: Request, origins: Collection[str], *, is_encrypted: bool) -> None:
    """Raise HandshakeFailed if a request is not for this protocol, or from a page elsewhere."""
    sent = [value for name, value in request.extra_headers if name == b"origin"]
    if sent:
        origin = sent[0].decode("ascii", "replace").lower()
        if len(sent) > 1 or not (
            origin in origins
            or "*" in origins
            or (not origins and is_own(origin, request.host, is_encrypted=is_encrypted))
        ):
            raise HandshakeFailed(
                "403 Forbidden",
                "pages of this origin are not allowed: see websocket_origins",
                origin=origin[:MAX_SHOWN],
            )
    if request.target != "/":
        raise HandshakeFailed("404 Not Found", _ABOUT)
    if SUBPROTOCOL not in request.subprotocols:
        raise HandshakeFailed("400 Bad Request", f"the subprotocol {SUBPROTOCOL} is required")


def is_own(origin: str, host: str, *, is_encrypted: bool) -> bool:
    """Return True if a page's origin is the host that its browser connected to.

    TLS has proved that the host's name is the server's. Without it, a name proves nothing.
    """
    try:
        page = urlsplit(origin)
        default = _PORTS[page.scheme]
        own = urlsplit(f"//{host.lower()}")
        is_same = (page.hostname, page.port or default) == (own.hostname, own.port or default)
    except (KeyError, ValueError):
        return False
    return is_same and (is_encrypted or is_address(page.hostname or ""))


def is_address(host: str) -> bool:
    """Return True if a host is written as an address, or as ``localhost``."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return host == "localhost"
