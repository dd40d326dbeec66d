"""The one order of what is committed, put together in the Trio thread, and those who follow it.

Entries come from two sides: from the feeds, and from this node's own appends, which are known a
round trip earlier. Within a partition positions have no gaps, so whatever comes first and is the
next one is delivered, and the same from the other side is dropped; what comes from an append and
is not the next one is left to the feed, which has everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import trio

from gochat.chat.store import Batch, Cursor, Logged
from gochat.errors import LogInterrupted, StoreCorrupt
from gochat.storage.common.followers import Followers
from gochat.storage.redis.link.epoch_tracker import Break

#: Seconds for which an acknowledgement is held back until this node has delivered the entry. That
#: takes a millisecond, unless following has just broken off.
PATIENCE: Final = 0.5


class Placed(NamedTuple):
    """An entry and its place in a feed."""

    partition: int
    epoch: str
    position: int
    entry: Logged


class Order:
    """Delivers entries in the order of their positions. Used in the Trio thread."""

    def __init__(self, epochs: Sequence[str], positions: Sequence[int]) -> None:
        self._epochs = list(epochs)
        self._positions = list(positions)
        self._histories = 0  # how often it went on elsewhere
        self._followers = Followers(self.cursor())
        self._progress = trio.Event()
        self._has_watchers = False

    def fail(self, damage: StoreCorrupt) -> None:
        """Give up: who follows, now or later, gets the reason."""
        self._followers.fail(damage)
        self._wake_watchers()

    def cursor(self) -> tuple[int, ...]:
        """Return where all has been delivered: :meth:`positions`, and a number of their history."""
        return (*self._positions, self._histories)

    def positions(self) -> tuple[int, ...]:
        """Return the position up to which all of each partition has been delivered."""
        return tuple(self._positions)

    def goes_on(self, cursor: tuple[int, ...], partition: int, epoch: str) -> bool:
        """True if what was read in `epoch` goes on with what is delivered behind `cursor`."""
        return cursor[-1] == self._histories and epoch == self._epochs[partition]

    def has(self, partition: int, epoch: str, position: int) -> bool:
        """True if an entry was delivered. In any thread."""
        return epoch == self._epochs[partition] and position <= self._positions[partition]

    def offer(self, entries: Iterable[Placed]) -> None:
        """Deliver those of `entries` that come next, before anything else happens."""
        positions, epochs = self._positions, self._epochs
        fresh = []
        for partition, epoch, position, entry in entries:
            if position == positions[partition] + 1 and epoch == epochs[partition]:
                positions[partition] = position
                fresh.append(entry)
        if not fresh:
            return
        self._followers.deliver(Batch(fresh, self.cursor()))
        self._wake_watchers()

    def skip(self, breaks: Iterable[Break]) -> None:
        """Go on at other positions: those who follow have to start over."""
        self._histories += 1
        for one in breaks:
            self._epochs[one.partition] = one.epoch
            self._positions[one.partition] = one.position
        self._followers.cursor = self.cursor()
        self._followers.interrupt(
            lambda: LogInterrupted("the log can't be followed further: its history has changed")
        )
        self._wake_watchers()

    async def delivered(self, partition: int, epoch: str, position: int) -> None:
        """Wait until an entry was delivered; but not for long."""
        with trio.move_on_after(PATIENCE):
            while (
                self._followers
                and epoch == self._epochs[partition]
                and not self.has(partition, epoch, position)
            ):
                self._has_watchers = True
                await self._progress.wait()

    async def follow(
        self, deliver: Callable[[Batch], None], task_status: trio.TaskStatus[Cursor]
    ) -> None:
        """See :meth:`gochat.chat.store.Store.follow`. Raises what `deliver` raised, too."""
        await self._followers.follow(deliver, task_status)

    def _wake_watchers(self) -> None:
        if self._has_watchers:
            self._has_watchers = False
            self._progress.set()
            self._progress = trio.Event()
