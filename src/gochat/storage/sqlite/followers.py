"""Who follows the log inside this process."""

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


class Followers:
    """Hands committed batches on. Used in the Trio thread."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._followers: dict[_Follower, None] = {}
        self._damage: StoreCorrupt | None = None

    def fail(self, damage: StoreCorrupt) -> None:
        """Give up: who follows, now or later, gets the reason."""
        self._damage = damage
        for follower in self._followers:
            follower.failure = damage
            follower.has_failed.set()

    def deliver(self, batch: Batch) -> None:
        """Give a batch to all who follow, before anything else happens in the Trio thread."""
        self._cursor = batch.cursor
        for follower in tuple(self._followers):
            try:
                follower.deliver(batch)
            except Exception as error:  # its own fault, which must not be the writers'
                del self._followers[follower]
                follower.failure = error
                follower.has_failed.set()

    async def follow(
        self, deliver: Callable[[Batch], None], task_status: trio.TaskStatus[Cursor]
    ) -> None:
        """See :meth:`gochat.chat.store.Store.follow`. Raises what `deliver` raised."""
        if self._damage is not None:
            raise self._damage
        follower = _Follower(deliver)
        self._followers[follower] = None
        task_status.started(self._cursor)
        try:
            await follower.has_failed.wait()
            assert follower.failure is not None
            raise follower.failure
        finally:
            self._followers.pop(follower, None)
