"""Sockets by their descriptors, on systems that have them: POSIX.

These do the work of Trio's streams, but without the memory that streams hold while they wait (2 KiB
for each idle connection), and without a task for what can be written at once.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
from typing import Final, TypeGuard

import trio

#: Bytes per read: several frames of the usual size, and the bound on what one read costs.
READ_SIZE: Final = 64 * 1024
#: For a silent peer: seconds until its host is probed, seconds between probes, and how many may go
#: unanswered. A client that only listens, without the capability for heartbeats, is never sent
#: anything to answer; its host answers these.
KEEP_ALIVE: Final = (120, 30, 4)


def keep_alive(stream: trio.SocketStream) -> None:
    """Make the system detect that a peer's host is gone, and break the connection then."""
    with contextlib.suppress(OSError):  # it may be gone already
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")  # not on all systems
        for option, value in zip(options, KEEP_ALIVE, strict=True):
            if (number := getattr(socket, option, None)) is not None:
                stream.setsockopt(socket.IPPROTO_TCP, number, value)


def has_descriptor(stream: trio.abc.Stream) -> TypeGuard[trio.SocketStream]:
    """Return True if a stream is a plain socket, on a system with descriptors."""
    return os.name == "posix" and isinstance(stream, trio.SocketStream)


async def read_some(descriptor: int) -> bytes:
    """Wait for a non-blocking socket's next bytes; return b"" at the end.

    If cancelled, it has read nothing. Raises BrokenResourceError.
    """
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        try:
            return os.read(descriptor, READ_SIZE)
        except BlockingIOError:
            continue
        except OSError as error:
            raise trio.BrokenResourceError("the connection broke") from error


def has_left(descriptor: int) -> bool:
    """Return True if the peer has closed its sending side, or the connection is broken."""
    if sys.platform == "win32":
        return False
    poll = select.poll()
    poll.register(descriptor, getattr(select, "POLLRDHUP", select.POLLHUP))
    return bool(poll.poll(0))


if sys.platform == "linux":
    import fcntl
    import struct
    import termios

    def unacknowledged(descriptor: int) -> int | None:
        """Return how many written bytes the peer's host has not acknowledged; None if unknown."""
        return _count(descriptor, termios.TIOCOUTQ)

    def unread(descriptor: int) -> int:
        """Return how many bytes have arrived and were not read; 0 if unknown."""
        return _count(descriptor, termios.FIONREAD)

    def _count(descriptor: int, request: int) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(descriptor, request, bytes(4)))
        return int(count)

else:

    def unacknowledged(descriptor: int) -> int | None:
        """As on Linux, but unknown: other systems count at most the bytes that were not sent."""
        return None

    def unread(descriptor: int) -> int:
        """As on Linux, but unknown."""
        return 0
