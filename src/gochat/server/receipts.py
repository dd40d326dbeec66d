"""Receipts: which private messages a client without the capability `log` has received.

Such a client keeps no read marker, and acknowledges nothing. A message counts as delivered when the
client's host has acknowledged its bytes, and after that something arrives from the client: bytes,
or an orderly end of the connection. Both are needed: bytes that arrive may have crossed a message
that was written meanwhile; and what its host had not passed to the client yet is lost if the
connection is reset.

So each message is recorded with its offset in the bytes posted to the session, and with the number
of bytes that had arrived when it was written: only bytes after these confirm it. When something
arrives, the session reports up to which offset all was acknowledged by then; or, where the system
doesn't provide that, up to which offset all is written, and what was written a second before
counts.
"""

from __future__ import annotations

from math import inf
from typing import Final, TypeAlias

from gochat.chat.conversations import ConversationKey

#: The newest message of each conversation.
Seqs: TypeAlias = dict[ConversationKey, int]

#: Offsets that are kept separately. Beyond this number the latest are merged, and all of them count
#: when the last one is acknowledged. Bounds the memory for a client that never sends anything.
MAX_OFFSETS: Final = 1024
#: Seconds after which written bytes count as acknowledged, where nothing better is known.
SETTLED: Final = 1.0
#: Seconds between two samples of the written offset that are kept, and how many are.
_LOOK_EVERY: Final = 0.25
_LOOKS: Final = 8


class Receipts:
    """Messages posted to one session that are not known to be delivered."""

    __slots__ = ("_acknowledged", "_looks", "_offsets")

    def __init__(self) -> None:
        # Lists, because they are usually empty, and an empty deque takes 0.6 KiB.
        self._looks: list[tuple[float, int]] = []
        #: Offset, bytes that had arrived when all up to it was written (infinite: not written yet),
        #: seqs.
        self._offsets: list[tuple[int, float, Seqs]] = []
        self._acknowledged = 0

    def __bool__(self) -> bool:
        """Return True while there are messages that bytes from the client could confirm."""
        return bool(self._offsets)

    def note(
        self, conversation: ConversationKey, seq: int, offset: int, arrived: float = 0
    ) -> None:
        """Record a message that was posted.

        `offset` is the end of the posted bytes, with the message; `arrived` is how many bytes had
        arrived from the client when it was written (infinite: not written yet).
        """
        seqs = {conversation: seq}
        if self._offsets and (self._offsets[-1][0] == offset or len(self._offsets) >= MAX_OFFSETS):
            _, before, earlier = self._offsets.pop()
            seqs, arrived = earlier | seqs, max(before, arrived)
        self._offsets.append((offset, arrived, seqs))

    def note_written(self, offset: int, arrived: int) -> None:
        """Record that all up to `offset` is written by now, when `arrived` bytes have arrived."""
        for index in range(len(self._offsets) - 1, -1, -1):
            end, before, seqs = self._offsets[index]
            if before < inf:
                return  # so are all before it
            if end <= offset:
                self._offsets[index] = end, arrived, seqs

    def acknowledge(self, offset: int) -> None:
        """Record that the client's host has all bytes up to `offset`."""
        self._acknowledged = max(offset, self._acknowledged)

    def settle(self, offset: int, now: float) -> None:
        """Record that all bytes up to `offset` are written.

        Those written :data:`SETTLED` seconds ago count as acknowledged.
        """
        for looked, written in self._looks:
            if now - looked >= SETTLED:
                self.acknowledge(written)
        if len(self._looks) > 1 and self._looks[-1][0] - self._looks[-2][0] < _LOOK_EVERY:
            self._looks.pop()
        self._looks = [*self._looks[1 - _LOOKS :], (now, offset)]

    def take(self, arrived: float = inf) -> Seqs:
        """Return the messages that are delivered, after `arrived` bytes in all, and forget them.

        Infinite means that the client has ended the connection in order.
        """
        delivered: Seqs = {}
        count = 0
        for offset, before, seqs in self._offsets:
            if offset > self._acknowledged or before >= arrived:
                break
            delivered |= seqs
            count += 1
        del self._offsets[:count]
        return delivered
