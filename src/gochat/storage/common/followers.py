"""Those who follow a store's log inside this process. The same in every store."""

from __future__ import annotations

from collections.abc import Callable

import trio

from gochat.chat.store import Batch, Cursor
from gochat.errors import StoreCorrupt


class _Follower:
    __slots__ = ("deliver", "failure", "has_failed")

    def __init__(self, deliver: Callable[[Batch], None]) -> None:
        self.deliver = deliver
        self.failure: Exception | None = None
        self.has_failed = trio.Event()

    def fail(self, error: Exception) -> None:
        self.failure = error
        self.has_failed.set()


class Followers:
    """Hands committed batches on, and knows the cursor up to which it has. Used in the Trio thread.

    `cursor` is what a follower starts from.
    """

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self._followers: dict[_Follower, None] = {}
        self._damage: StoreCorrupt | None = None

    def __len__(self) -> int:
        return len(self._followers)

    def deliver(self, batch: Batch) -> None:
        """Give a batch to all who follow, before anything else happens in the Trio thread."""
        self.cursor = batch.cursor
        for follower in tuple(self._followers):
            try:
                follower.deliver(batch)
            except Exception as error:  # its own fault, which must not be the writers'
                self._followers.pop(follower, None)
                follower.fail(error)

    def fail(self, damage: StoreCorrupt) -> None:
        """Give up: who follows, now or later, gets the reason."""
        self._damage = damage
        self.interrupt(lambda: damage)

    def interrupt(self, error: Callable[[], Exception]) -> None:
        """End following for all who do now, each with an error of its own."""
        followers, self._followers = self._followers, {}
        for follower in followers:
            follower.fail(error())

    async def follow(
        self, deliver: Callable[[Batch], None], task_status: trio.TaskStatus[Cursor]
    ) -> None:
        """See :meth:`gochat.chat.store.Store.follow`. Raises what `deliver` raised, too."""
        if self._damage is not None:
            raise self._damage
        follower = _Follower(deliver)
        self._followers[follower] = None
        task_status.started(self.cursor)
        try:
            await follower.has_failed.wait()
            assert follower.failure is not None
            raise follower.failure
        finally:
            self._followers.pop(follower, None)
