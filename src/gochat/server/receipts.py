"""Which private messages a client without the capability `log` has received.

Such a client keeps no read marker, and acknowledges nothing. A message counts as delivered when
the client's host has acknowledged its bytes, and after that something arrives from the client:
bytes, or an orderly end of the connection. Only the host knows the first, and only the client the
second. What arrives may have crossed a message that was written meanwhile; what its own host still
had is lost with a connection that is reset.

So each message is noted with its offset in the bytes that were posted to the session, and with how
many bytes had arrived when it was written: a sign is what has arrived after them. When something
arrives, the session says up to which offset all was acknowledged by then; or, where the system
doesn't tell, up to which offset all is written, and what was so a second before counts.
"""

from __future__ import annotations

from math import inf
from typing import Final, TypeAlias

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey

#: The newest message of each conversation.
Seqs: TypeAlias = dict[ConversationKey, int]

#: Places that are kept apart; of more than these the latest are put together, and all of them count
#: when the last one is acknowledged. Bounds what is kept for a client that never says anything.
MAX_OFFSETS: Final = 1024
#: Seconds after which what was written counts as acknowledged, where nothing better is known.
SETTLED: Final = 1.0
#: Seconds between two looks at what is written that are kept apart, and how many are.
_LOOK_EVERY: Final = 0.25
_LOOKS: Final = 8


class Receipts:
    """What was posted to one session of `person`, and is not known to be delivered."""

    __slots__ = ("_acknowledged", "_held", "_is_holding", "_looks", "_offsets", "person")

    def __init__(self, person: NameKey) -> None:
        self.person: Final = person
        # Lists, for they are empty most of the time: each empty deque takes 0.6 KiB.
        self._looks: list[tuple[float, int]] = []
        #: With how many bytes had arrived when all up to the offset was written; not yet: infinite.
        self._offsets: list[tuple[int, float, Seqs]] = []
        self._acknowledged = 0
        self._held: Seqs = {}
        self._is_holding = True

    def __bool__(self) -> bool:
        """True while there is something that a sign of life could deliver."""
        return bool(self._offsets)

    def note(
        self, conversation: ConversationKey, seq: int, offset: int, arrived: float = 0
    ) -> None:
        """Note that a message was posted, with which the bytes posted reach to `offset`, when
        `arrived` bytes had come from the client (infinite: it is not written yet); or that it was
        held back."""
        if self._is_holding:
            self._held[conversation] = seq
        else:
            self.add(conversation, seq, offset, arrived)

    def add(self, conversation: ConversationKey, seq: int, offset: int, arrived: float = 0) -> None:
        """Note that a message was posted, also while others are held back."""
        seqs = {conversation: seq}
        if self._offsets and (self._offsets[-1][0] == offset or len(self._offsets) >= MAX_OFFSETS):
            _, before, earlier = self._offsets.pop()
            seqs, arrived = earlier | seqs, max(before, arrived)
        self._offsets.append((offset, arrived, seqs))

    def drop_held(self) -> None:
        """Forget what was held back: it is dropped, and will be posted in another way."""
        self._held = {}

    def release(self, offset: int, arrived: float = 0) -> None:
        """Note that what was held back has been posted, and hold nothing any more."""
        for conversation, seq in self._held.items():
            self.add(conversation, seq, offset, arrived)
        self._held = {}
        self._is_holding = False

    def note_written(self, offset: int, arrived: int) -> None:
        """Note that all up to `offset` is written by now, when `arrived` bytes have arrived."""
        for index in range(len(self._offsets) - 1, -1, -1):
            end, before, seqs = self._offsets[index]
            if before < inf:
                return  # so are all before it
            if end <= offset:
                self._offsets[index] = end, arrived, seqs

    def acknowledge(self, offset: int) -> None:
        """Note that the client's host has all bytes up to `offset`."""
        self._acknowledged = max(offset, self._acknowledged)

    def settle(self, offset: int, now: float) -> None:
        """Note that all bytes up to `offset` are written; those that were a while ago count as
        acknowledged."""
        for looked, written in self._looks:
            if now - looked >= SETTLED:
                self.acknowledge(written)
        if len(self._looks) > 1 and self._looks[-1][0] - self._looks[-2][0] < _LOOK_EVERY:
            self._looks.pop()
        self._looks = [*self._looks[1 - _LOOKS :], (now, offset)]

    def take(self, arrived: float = inf) -> Seqs:
        """Return what is delivered now that `arrived` bytes have arrived, and forget it. Infinite:
        the client has ended the connection in order."""
        delivered: Seqs = {}
        count = 0
        for offset, before, seqs in self._offsets:
            if offset > self._acknowledged or before >= arrived:
                break
            delivered |= seqs
            count += 1
        del self._offsets[:count]
        return delivered
