"""Sockets by their descriptors, where the system has them: POSIX.

What Trio's streams do, without what they hold while they wait (2 KiB for each idle connection) and
without a task for what can be written at once.
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
#: Of a peer that says nothing: seconds until its host is asked whether it is still there, seconds
#: between two such questions, and how many may go unanswered. Whoever only listens is never asked
#: for anything by the server, if it hasn't the capability for heartbeats; this its host answers.
KEEP_ALIVE: Final = (120, 30, 4)


def keep_alive(stream: trio.SocketStream) -> None:
    """Make the system notice when a peer's host is gone, and break the connection then."""
    with contextlib.suppress(OSError):  # it has gone already
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")  # not everywhere, or not all
        for option, value in zip(options, KEEP_ALIVE, strict=True):
            if (number := getattr(socket, option, None)) is not None:
                stream.setsockopt(socket.IPPROTO_TCP, number, value)


def has_descriptor(stream: trio.abc.Stream) -> TypeGuard[trio.SocketStream]:
    """True for a stream that is a socket and nothing more, on a system with descriptors."""
    return os.name == "posix" and isinstance(stream, trio.SocketStream)


async def read_some(descriptor: int) -> bytes:
    """Wait for what a non-blocking socket receives next; empty at its end.

    Cancelled, it has read nothing. Raises BrokenResourceError.
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
    """True if the peer writes nothing more, or the connection is broken."""
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
        """Return how many bytes were written that the peer's host has not acknowledged; None where
        the system doesn't tell."""
        return _count(descriptor, termios.TIOCOUTQ)

    def unread(descriptor: int) -> int:
        """Return how many bytes have arrived and were not read; 0 where the system doesn't say."""
        return _count(descriptor, termios.FIONREAD)

    def _count(descriptor: int, request: int) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(descriptor, request, bytes(4)))
        return int(count)

else:

    def unacknowledged(descriptor: int) -> int | None:
        """As on Linux. Elsewhere what can be asked for counts what was not sent, at most."""
        return None

    def unread(descriptor: int) -> int:
        """As on Linux."""
        return 0
