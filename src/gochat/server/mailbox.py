"""A session's mailbox: a bounded queue of bytes to write, most of it in a memory channel.

Usually nothing is queued, and what is put is taken in the same pass: an entry, or an entry and its
acknowledgement. So what is put into an empty mailbox is kept outside the channel, with the little
that follows (:data:`JOINED`), and only the remainder goes through it. The channel is created when
it is first needed: an idle session has none (measured: 1.8 KiB, and 1 µs per delivery; creating it
for every third private message was a fiftieth of their cost).

A session whose peer does not read must neither make the server queue more and more for it, nor make
anybody wait: :meth:`Mailbox.put` never blocks, and raises if the mailbox is full. The bound is in
bytes. Senders that can wait for the peer look at the same measure, so that none fills a mailbox
when waiting a little would have been enough.
"""

from __future__ import annotations

from math import inf
from typing import Final, TypeAlias

import trio

#: Bound on what is queued for one session, in bytes: some ten seconds of a very lively
#: conversation, and for ten thousand sessions that all stall at once still about 10 GiB.
DEFAULT_MAX_BYTES: Final = 1024 * 1024
#: Bytes that each piece in the channel costs besides its own: Python's object, 33 and up to 15 for
#: alignment, and its slot in the queue. Counted, so that a million tiny frames are bounded, too.
OVERHEAD: Final = 64
#: Bytes that are joined into one piece, outside the channel, while nothing is in that: what a room
#: says in one step of the intake, and the acknowledgement that follows.
JOINED: Final = 16 * 1024


_Channel: TypeAlias = tuple[trio.MemorySendChannel[bytes], trio.MemoryReceiveChannel[bytes]]


class MailboxFull(Exception):
    """The mailbox is full: the session is a slow consumer."""


class Mailbox:
    """A bounded queue of frames with one consumer.

    `size` is what is queued: bytes, and :data:`OVERHEAD` for each piece in the channel.
    """

    __slots__ = ("_beyond", "_channel", "_front", "_max_bytes", "_queued", "size")

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._front = b""  # put while nothing was queued, or put back
        self._channel: _Channel | None = None
        self._queued = 0  # number of pieces in the channel
        self._beyond = 0  # by how much the bound is exceeded, while that much is queued
        self.size = 0

    @property
    def length(self) -> int:
        """The queued bytes, without overhead."""
        return self.size - OVERHEAD * self._queued

    def put(self, frames: bytes, *, beyond: bool = False) -> None:
        """Add one or more whole frames. Into an empty mailbox any number fits.

        With `beyond` they may exceed the bound, which is then raised by everything that is queued.

        Raises:
            MailboxFull: the bound is reached, or that on the number of pieces; nothing was added.
        """
        if not self.size:
            self._front = frames
            self.size = len(frames)
            self._beyond = 0
            return
        joined = self.size + len(frames)
        if not self._queued and joined <= min(JOINED, self._max_bytes):
            self._front += frames
            self.size = joined
            return
        cost = len(frames) + OVERHEAD
        exempt = min(self._beyond, self.size)
        if self.size + cost - exempt > self._max_bytes:
            if not beyond:
                raise MailboxFull
            exempt = self.size + cost
        if self._channel is None:
            self._channel = trio.open_memory_channel[bytes](self._max_bytes // OVERHEAD)
        send, _ = self._channel
        try:
            send.send_nowait(frames)
        except trio.WouldBlock:
            raise MailboxFull from None
        self._queued += 1
        self._beyond = exempt
        self.size += cost

    def accept(self) -> None:
        """Raise the bound by everything that is queued, if that exceeds it already."""
        if self.size > self._max_bytes:
            self._beyond = self.size

    def take(self, enough: float = inf) -> bytes:
        """Remove and return what is queued, in order; b"" if nothing is.

        All of it, or pieces until they are `enough` bytes.
        """
        front, self._front = self._front, b""
        if not self._queued:
            self.size = 0
            return front
        assert self._channel is not None
        _, receive = self._channel
        parts, taken = [front], len(front)
        while self._queued and taken < enough:
            part = receive.receive_nowait()
            self._queued -= 1
            self.size -= OVERHEAD
            parts.append(part)
            taken += len(part)
        if not self._queued:
            self._channel = None  # a connection that is idle from here on keeps none
        self.size -= taken
        return b"".join(parts)

    def put_back(self, remainder: bytes) -> None:
        """Put bytes that were taken but not written back at the front. They always fit."""
        self._front = remainder + self._front
        self.size += len(remainder)
