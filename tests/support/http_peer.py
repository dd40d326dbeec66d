"""A peer that speaks HTTP to the listener for monitoring, in bare bytes."""

from __future__ import annotations

from typing import NamedTuple

import trio
from patience import PATIENCE


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: str


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """Return everything until the end."""
    data = b""
    with trio.fail_after(PATIENCE):
        while more := await stream.receive_some():
            data += bytes(more)
    return data


def parse(data: bytes) -> Answer:
    """Return the answer in bytes."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, body.decode())


async def get(port: int, path: str, method: str = "GET") -> Answer:
    """Ask a server on this machine."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return parse(await read_all(stream))
