"""The followers of a store's log in this process, for every store."""

from __future__ import annotations

from collections.abc import Callable

import trio

from gochat.chat.log import Batch
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
    """Deliver committed batches to followers. Use in the Trio thread only."""

    def __init__(self) -> None:
        self._followers: dict[_Follower, None] = {}
        self._damage: StoreCorrupt | None = None

    def __len__(self) -> int:
        return len(self._followers)

    def deliver(self, batch: Batch) -> None:
        """Deliver a batch to all followers, before anything else runs in the Trio thread."""
        for follower in tuple(self._followers):
            try:
                follower.deliver(batch)
            except Exception as error:  # the follower's fault: it must not reach the writers
                self._followers.pop(follower, None)
                follower.fail(error)

    def fail(self, damage: StoreCorrupt) -> None:
        """Fail all followers, present and future, with `damage`."""
        self._damage = damage
        self.interrupt(lambda: damage)

    def interrupt(self, error: Callable[[], Exception]) -> None:
        """Fail all present followers, each with an error of its own."""
        followers, self._followers = self._followers, {}
        for follower in followers:
            follower.fail(error())

    async def follow(
        self, deliver: Callable[[Batch], None], task_status: trio.TaskStatus[None]
    ) -> None:
        """See :meth:`gochat.chat.store.Store.follow`. Also raises what `deliver` raises."""
        if self._damage is not None:
            raise self._damage
        follower = _Follower(deliver)
        self._followers[follower] = None
        task_status.started()
        try:
            await follower.has_failed.wait()
            assert follower.failure is not None
            raise follower.failure
        finally:
            self._followers.pop(follower, None)
