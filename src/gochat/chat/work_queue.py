"""A bounded queue for work that is slow on purpose, or done elsewhere: first come, first served.

A request queues once, however much is done for it: work done for it is never discarded because the
queue is full.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import trio

from gochat.errors import ChatError, ErrorCode

#: The weight of the newest request in the average time that a slot is held: an average over some
#: ten requests follows the load within a second, and one slow request doesn't show.
NEWEST: Final = 0.1
#: Seconds after which a refused client may try again: minimum and maximum.
RETRY_AFTER: Final = (1.0, 60.0)

#: Runs an async function that waits in a queue; may cancel it, and then doesn't return.
Wait: TypeAlias = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]


async def wait_patiently(turn: Callable[[], Awaitable[None]]) -> None:
    """Wait until `turn` returns."""
    await turn()


class WorkQueue:
    """Hands out slots. `guess` is how long one is held, in seconds, until one has been."""

    def __init__(self, max_waiting: int, slots: int, guess: float) -> None:
        #: Bound on `waiting`.
        self.max_waiting = max_waiting
        # A CapacityLimiter is fair: the task that waits longest is next.
        self._slots = trio.CapacityLimiter(slots)
        self._held_for = guess  # seconds, on average
        self.waiting = 0
        """How many are in line, those included that hold a slot."""

    def configure(self, max_waiting: int, slots: int) -> None:
        """Change the bounds. Those who are in line stay there."""
        self.max_waiting = max_waiting
        self._slots.total_tokens = slots

    @property
    def delay(self) -> float:
        """Seconds until everyone who is queued now will have been served."""
        return self.waiting * self._held_for / self._slots.total_tokens

    @property
    def is_full(self) -> bool:
        """True if the next one is refused."""
        return self.waiting >= self.max_waiting

    @asynccontextmanager
    async def slot(self, wait: Wait = wait_patiently) -> AsyncIterator[None]:
        """Queue, and hold a slot for the block. `wait` runs the waiting if no slot is free.

        If cancelled while waiting, it leaves the queue. Raises ChatError: ``busy``.
        """
        if self.is_full:
            seconds = min(max(self.delay, RETRY_AFTER[0]), RETRY_AFTER[1])
            raise ChatError(
                ErrorCode.BUSY,
                f"too many logins at once: try again in {seconds:.0f} s",
                retry_after=seconds,
                details={"rule": "line"},
            )
        self.waiting += 1
        request, since = object(), None

        async def turn() -> None:
            nonlocal since
            await self._slots.acquire_on_behalf_of(request)
            since = trio.current_time()

        try:
            if self._slots.available_tokens and not self._slots.statistics().tasks_waiting:
                await turn()
            else:
                await wait(turn)
            yield
        finally:
            self.waiting -= 1
            if since is not None:
                self._held_for += NEWEST * (trio.current_time() - since - self._held_for)
                self._slots.release_on_behalf_of(request)
