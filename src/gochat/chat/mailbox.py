"""What waits to be written to one session: a bounded memory channel of frames.

The bound is the point. A session whose peer does not read must not make the server keep more and
more for it, nor make anybody wait: :meth:`Mailbox.put` never blocks, and says so when it is full.
"""

from __future__ import annotations

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

    __slots__ = ("_count", "_max_bytes", "_receive", "_send", "size")

    def __init__(self, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._send, self._receive = trio.open_memory_channel[bytes](max_frames)
        self._max_bytes = max_bytes
        self._count = 0
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

    def take(self) -> bytes:
        """Remove and return all that waits, in order; empty if nothing does."""
        count, self._count, self.size = self._count, 0, 0
        if count == 1:
            return self._receive.receive_nowait()
        return b"".join([self._receive.receive_nowait() for _ in range(count)])
