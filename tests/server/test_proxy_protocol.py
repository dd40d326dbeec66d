"""The header of the PROXY protocol: what is taken, and that nothing behind it is."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from gochat.server.proxy_protocol import (
    MAX_V2,
    SIGNATURE,
    BadHeader,
    Source,
    TrustedProxies,
    receive_header,
)

#: What a client sends: looks like the beginning of anything, also of a line's end.
BEHIND = b"\r\n\x00\x00\x00\x02{}\r\n"


def v1(text: str) -> bytes:
    return f"PROXY {text}\r\n".encode()


def v2(command: int, family: int, data: bytes, size: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, size or len(data)) + data


def pair(family: socket.AddressFamily, source: str, target: str, more: bytes = b"") -> bytes:
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, target)
    return addresses + struct.pack("!HH", 40000, 8889) + more


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    left, right = socket.socketpair()
    streams = [trio.SocketStream(trio.socket.from_stdlib_socket(one)) for one in (left, right)]
    async with streams[0], streams[1]:
        yield streams[0], streams[1]


VALID = [
    (v1("TCP4 192.0.2.7 10.0.0.1 40000 8889"), Source("192.0.2.7", 40000)),
    (v1("TCP6 2001:db8::7 ::1 40000 8889"), Source("2001:db8::7", 40000)),
    (v1("UNKNOWN"), None),
    (v1("UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535"), None),
    (v2(0x21, 0x11, pair(socket.AF_INET, "192.0.2.7", "10.0.0.1")), Source("192.0.2.7", 40000)),
    (v2(0x21, 0x21, pair(socket.AF_INET6, "2001:db8::7", "::1")), Source("2001:db8::7", 40000)),
    # With what a proxy says of TLS besides.
    (
        v2(0x21, 0x11, pair(socket.AF_INET, "192.0.2.7", "10.0.0.1", b"\x20\x00\x05\x01\0\0\0\0")),
        Source("192.0.2.7", 40000),
    ),
    (v2(0x21, 0x31, bytes(216)), Source("unix", None)),
    (v2(0x21, 0x00, b""), None),
    (v2(0x20, 0x00, b""), None),  # a health check of the proxy
    (v2(0x20, 0x11, pair(socket.AF_INET, "192.0.2.7", "10.0.0.1")), None),
]


@pytest.mark.trio
@pytest.mark.parametrize(("header", "source"), VALID)
@pytest.mark.parametrize("cut", [0, 1, 11, 12, 13, -1])
async def test_header_is_taken_and_nothing_behind_it(
    header: bytes, source: Source | None, cut: int
) -> None:
    async with connected() as (proxy, server), trio.open_nursery() as nursery:
        data = header + BEHIND
        first = len(header) + cut if cut < 0 else cut

        async def send() -> None:
            await proxy.send_all(data[:first])
            await trio.testing.wait_all_tasks_blocked()
            await proxy.send_all(data[first:])

        nursery.start_soon(send)
        assert await receive_header(server) == source
        rest = b""
        while len(rest) < len(BEHIND):
            rest += bytes(await server.receive_some())
        assert rest == BEHIND


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x10{frame without it",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00",  # TLS
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        v1("TCP4 192.0.2.7 10.0.0.1 40000"),
        v1("TCP4 192.0.2.7 10.0.0.1 40000 70000"),
        v1("TCP4 192.0.2.700 10.0.0.1 40000 8889"),
        v1("TCP4 2001:db8::7 ::1 40000 8889"),
        v1("TCP6 192.0.2.7 10.0.0.1 40000 8889"),
        v1("UDP4 192.0.2.7 10.0.0.1 40000 8889"),
        v1("TCP4  192.0.2.7 10.0.0.1 40000 8889"),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 8889\n" + bytes(200),
        b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
        b"PROXY TCP4 \xff\xfe 10.0.0.1 40000 8889\r\n",
        v2(0x11, 0x11, pair(socket.AF_INET, "192.0.2.7", "10.0.0.1")),  # version 1 of 2
        v2(0x22, 0x11, pair(socket.AF_INET, "192.0.2.7", "10.0.0.1")),
        v2(0x21, 0x12, pair(socket.AF_INET, "192.0.2.7", "10.0.0.1")),  # UDP
        v2(0x21, 0x11, bytes(11)),
        v2(0x21, 0x21, bytes(35)),
        v2(0x21, 0x00, bytes(MAX_V2 + 1)),
        SIGNATURE + b"\x21\x11",
        b"PROX",
        b"",
    ],
)
@pytest.mark.trio
async def test_anything_else_is_refused(data: bytes) -> None:
    async with connected() as (proxy, server):
        await proxy.send_all(data)
        await proxy.send_eof()
        with pytest.raises(BadHeader):
            await receive_header(server)


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("10.0.0.7", True),
        ("10.0.1.7", False),
        ("::ffff:10.0.0.7", True),
        ("192.0.2.1", True),
        ("2001:db8::9", True),
        ("2001:db9::9", False),
        ("unix", False),
        ("?", False),
    ],
)
def test_trust_is_by_network(address: str, *, is_trusted: bool) -> None:
    proxies = TrustedProxies(["10.0.0.0/24", "192.0.2.1", "2001:db8::/32"])
    assert proxies.includes(address) is is_trusted
    assert TrustedProxies(["unix"]).includes("unix")
