"""What waits to be written to one session: a bounded memory channel of frames.

The bound is the point. A session whose peer does not read must not make the server keep more and
more for it, nor make anybody wait: :meth:`Mailbox.put` never blocks, and says so when it is full.
"""

from __future__ import annotations

from math import inf
from typing import Final

import trio

#: Bound on what waits for one session, in frames and in bytes: some ten seconds of a very lively
#: conversation, and for ten thousand sessions that all stall at once still less than 10 GiB.
MAX_FRAMES: Final = 1024
MAX_BYTES: Final = 1024 * 1024


class MailboxFull(Exception):
    """There is no room left; the session is too slow to be kept."""


class Mailbox:
    """A bounded queue of frames with one consumer. `size` is what waits, in bytes."""

    __slots__ = ("_count", "_front", "_max_bytes", "_receive", "_send", "size")

    def __init__(self, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._send, self._receive = trio.open_memory_channel[bytes](max_frames)
        self._max_bytes = max_bytes
        self._count = 0
        self._front = b""  # what was put back
        self.size = 0

    def put(self, frames: bytes) -> None:
        """Add one or more whole frames.

        Raises:
            MailboxFull: one of the bounds is reached; nothing was added.
        """
        if self.size + len(frames) > self._max_bytes:
            raise MailboxFull
        try:
            self._send.send_nowait(frames)
        except trio.WouldBlock:
            raise MailboxFull from None
        self._count += 1
        self.size += len(frames)

    def take(self, enough: float = inf) -> bytes:
        """Remove and return what waits, in order: all of it, or what was put until that is `enough`
        bytes; empty if nothing waits."""
        parts = [self._front] if self._front else []
        taken, self._front = len(self._front), b""
        while self._count and taken < enough:
            part = self._receive.receive_nowait()
            self._count -= 1
            parts.append(part)
            taken += len(part)
        self.size -= taken
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def put_back(self, rest: bytes) -> None:
        """Put what was taken but not written in front of everything. It fits: it was in here."""
        self._front = rest + self._front
        self.size += len(rest)
