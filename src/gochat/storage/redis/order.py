"""Merge all committed entries into one order, in the Trio thread, and deliver them to followers.

Entries arrive from two sides: from the feeds, and from this node's own appends, which are known one
round trip earlier. Positions in a partition have no gaps. So whichever side first has the next
entry delivers it, and the duplicate is dropped. An appended entry that is not the next one is left
to the feed, which has all entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import trio

from gochat.chat.log import Batch, Logged
from gochat.errors import LogInterrupted, StoreCorrupt, StoreUnavailable
from gochat.storage.common.followers import Followers
from gochat.storage.redis.link.epoch_tracker import Break

#: Seconds for which an acknowledgement waits until this node has delivered the entry. That takes a
#: millisecond, unless the connection that reads the feed was lost, or the node is overloaded.
PATIENCE: Final = 5.0


#: Seconds after which to retry what was not delivered in time.
TRY_AGAIN: Final = 1.0


class Position(NamedTuple):
    """A position in the feed of a partition, in one of its histories."""

    partition: int
    epoch: str
    position: int


class Placed(NamedTuple):
    """An entry and its position in a feed."""

    partition: int
    epoch: str
    position: int
    entry: Logged


class Order:
    """Deliver entries in the order of their positions. Use in the Trio thread."""

    def __init__(self, epochs: Sequence[str], positions: Sequence[int]) -> None:
        self._epochs = list(epochs)
        self._positions = list(positions)
        #: How often it continued at other positions.
        self.histories = 0
        self._followers = Followers()
        self._progress = trio.Event()
        self._has_watchers = False

    def fail(self, damage: StoreCorrupt) -> None:
        """Fail all followers, present and future, with `damage`."""
        self._followers.fail(damage)
        self._wake_watchers()

    def positions(self) -> tuple[int, ...]:
        """Return the position of each partition up to which everything was delivered."""
        return tuple(self._positions)

    def has(self, partition: int, epoch: str, position: int) -> bool:
        """Return True if an entry was delivered. Call from any thread."""
        return epoch == self._epochs[partition] and position <= self._positions[partition]

    def reached(self, partition: int, epoch: str) -> int:
        """Return up to where all was delivered, 0 in another epoch. Call from any thread."""
        return self._positions[partition] if epoch == self._epochs[partition] else 0

    def offer(self, entries: Iterable[Placed]) -> None:
        """Deliver those `entries` that come next, before anything else runs in the Trio thread."""
        positions, epochs = self._positions, self._epochs
        fresh = []
        for partition, epoch, position, entry in entries:
            if position == positions[partition] + 1 and epoch == epochs[partition]:
                positions[partition] = position
                fresh.append(entry)
        if not fresh:
            return
        self._followers.deliver(Batch(fresh))
        self._wake_watchers()

    def skip(self, breaks: Iterable[Break]) -> None:
        """Continue at other positions: followers have to start over."""
        self.histories += 1
        for gap in breaks:
            self._epochs[gap.partition] = gap.epoch
            self._positions[gap.partition] = gap.position
        self._followers.interrupt(
            lambda: LogInterrupted("the log can't be followed further: its history has changed")
        )
        self._wake_watchers()

    def are_delivered(self, positions: Iterable[Position], histories: int) -> bool:
        """Return True if :meth:`delivered` would not wait, and not raise."""
        return histories == self.histories and (
            not self._followers or all(self.has(*position) for position in positions)
        )

    async def delivered(self, positions: Iterable[Position], histories: int) -> None:
        """Wait until followers, if there are any, were given everything up to these positions.

        `histories` is that of the time before the positions were read.

        Raises:
            StoreUnavailable: following was interrupted, or it took :data:`PATIENCE` seconds.
        """
        with trio.move_on_after(PATIENCE):
            for position in positions:
                while self._followers and histories == self.histories and not self.has(*position):
                    self._has_watchers = True
                    await self._progress.wait()
            if histories == self.histories:
                return
            raise StoreUnavailable("the log was interrupted", retry_after=TRY_AGAIN)
        raise StoreUnavailable("this node is behind the log", retry_after=TRY_AGAIN)

    async def follow(
        self, deliver: Callable[[Batch], None], task_status: trio.TaskStatus[None]
    ) -> None:
        """See :meth:`gochat.chat.store.Store.follow`. Also raises what `deliver` raises."""
        await self._followers.follow(deliver, task_status)

    def _wake_watchers(self) -> None:
        if self._has_watchers:
            self._has_watchers = False
            self._progress.set()
            self._progress = trio.Event()
