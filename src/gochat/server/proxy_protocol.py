"""The PROXY protocol, versions 1 and 2: who the client of a trusted proxy is.

A proxy that forwards connections puts a header before what the client sends, because the server
would see only the proxy's address, and count and log all clients as one. A header is believed only
from an address that the configuration trusts, and from there it is required: guessing whether there
is one would let clients write their own.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Collection
from typing import Final, NamedTuple

import trio

from gochat.config.listen import UNIX

#: What a header of version 2 begins with; no shorter prefix tells the versions apart.
SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
#: Bytes of a header of version 1 at most, its line end included.
MAX_V1: Final = 107
#: Bytes of a header of version 2 at most, after its first 16. The addresses take 36 or, of unix
#: sockets, 216; the remainder is what proxies add about TLS.
MAX_V2: Final = 4096

_V1: Final = re.compile(rb"PROXY (?:UNKNOWN(?: .*)?|(TCP[46]) (\S+) (\S+) (\d{1,5}) (\d{1,5}))\r\n")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6, _UNIX_STREAM, _UNSPECIFIED = 0x11, 0x21, 0x31, 0x00
_ADDRESSES: Final = {_TCP4: (socket.AF_INET, 4), _TCP6: (socket.AF_INET6, 16)}


class BadHeader(Exception):
    """A trusted proxy has sent no valid header."""


class Source(NamedTuple):
    """Where a client comes from; `port` is None for a unix socket at the proxy."""

    address: str
    port: int | None


class TrustedProxies:
    """The networks whose headers are believed, as `proxy_from` of the configuration has them."""

    def __init__(self, trusted: Collection[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in trusted if network != UNIX]
        self._trusts_unix = UNIX in trusted

    def includes(self, address: str) -> bool:
        """Return whether connections from this address must begin with a header."""
        if address == UNIX:
            return self._trusts_unix
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped  # of a socket for both versions of IP
        return any(ip in network for network in self._networks)


async def receive_header(stream: trio.SocketStream) -> Source | None:
    """Receive a header, and nothing of what follows it.

    None if it says that the connection is the proxy's own, as its health checks are.

    Raises:
        BadHeader: that is not a header.
        BrokenResourceError: the connection broke.
    """
    first = await _receive_exactly(stream, len(SIGNATURE))
    if first == SIGNATURE:
        command, family, size = struct.unpack("!BBH", await _receive_exactly(stream, 4))
        if size > MAX_V2:
            raise BadHeader(f"{size} bytes are too many for a PROXY header")
        return _parse_v2(command, family, await _receive_exactly(stream, size))
    if not first.startswith(b"PROXY "):
        raise BadHeader("the connection does not begin with a PROXY header")
    return _parse_v1(await _receive_line(stream, first))


async def _receive_exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await stream.receive_some(size - len(data))
        if not more:
            raise BadHeader("the connection ended within the PROXY header")
        data += bytes(more)
    return data


async def _receive_line(stream: trio.SocketStream, data: bytes) -> bytes:
    """Return the line that begins with `data`. What comes after it stays in the socket."""
    while not data.endswith(b"\r\n"):
        ahead = await stream.socket.recv(MAX_V1 - len(data), socket.MSG_PEEK)
        end = (data[-1:] + ahead).find(b"\r\n")
        # All of it belongs to the header if there is no end in it.
        data += await _receive_exactly(stream, len(ahead) if end < 0 else end + 1)
        if not ahead or (end < 0 and len(data) >= MAX_V1):
            raise BadHeader("the PROXY header has no end")
    return data


def _parse_v1(line: bytes) -> Source | None:
    match = _V1.fullmatch(line)
    if match is None:
        raise BadHeader("the PROXY header of version 1 is invalid")
    if match[1] is None:
        return None
    version = 4 if match[1] == b"TCP4" else 6
    try:
        addresses = [
            ipaddress.ip_address(address.decode("ascii")) for address in (match[2], match[3])
        ]
    except ValueError:
        raise BadHeader("an address in the PROXY header is invalid") from None
    ports = [int(match[4]), int(match[5])]
    if any(ip.version != version for ip in addresses) or max(ports) > 0xFFFF:
        raise BadHeader("an address in the PROXY header is invalid")
    return Source(str(addresses[0]), ports[0])


def _parse_v2(command: int, family: int, data: bytes) -> Source | None:
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise BadHeader("the PROXY header is of another version, or for something else")
    if family == _UNSPECIFIED:
        return None
    if family == _UNIX_STREAM:
        return Source(UNIX, None)
    if family not in _ADDRESSES:
        raise BadHeader("the PROXY header is of a connection that is not a stream")
    kind, size = _ADDRESSES[family]
    if len(data) < 2 * size + 4:
        raise BadHeader("the PROXY header is too short for its addresses")
    (port,) = struct.unpack_from("!H", data, 2 * size)
    return Source(socket.inet_ntop(kind, data[:size]), port)
