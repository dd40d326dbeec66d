"""The queue for password hashing: first come, first served, and bounded.

argon2id is slow on purpose. It runs in worker threads of its own, at most one for each core, and at
a lower priority than the rest of the server, so that neither guessing passwords nor a crowd that
logs in can starve the chat. A request queues once, however many hashes it needs: work done for it
is never discarded because the queue is full.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, TypeVar

import trio

from gochat.errors import ChatError, ErrorCode

T = TypeVar("T")

#: Length of the queue: at 17 ms each and on two cores the last one waits about 2 s.
MAX_WAITING: Final = 256
#: The weight of the newest request in the average time that a slot is held: an average over some
#: ten requests follows the load within a second, and one slow request doesn't show.
NEWEST: Final = 0.1
#: Seconds that a slot is assumed to be held, until one has been.
GUESS: Final = 0.02
#: Seconds after which a refused client may try again: minimum and maximum.
RETRY_AFTER: Final = (1.0, 60.0)

#: How much nicer the hashing threads are than the server. Measured with 250 logins on two busy
#: cores: a message takes half the time, at the median and at p99, and the logins take no longer.
NICENESS: Final = 10

#: Runs an async function that waits in a queue; may cancel it, and then doesn't return.
Wait: TypeAlias = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]


async def wait_patiently(turn: Callable[[], Awaitable[None]]) -> None:
    """Wait until `turn` returns."""
    await turn()


class HashingQueue:
    """Hands out the slots for hashing, one per core."""

    def __init__(self, max_waiting: int = MAX_WAITING, *, slots: int | None = None) -> None:
        #: Bound on `waiting`.
        self.max_waiting = max_waiting
        # A CapacityLimiter is fair: the task that waits longest is next.
        self._slots = trio.CapacityLimiter(slots or os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(
            int(self._slots.total_tokens), "hashing", initializer=_stand_back
        )
        self._held_for = GUESS  # seconds, on average
        self.waiting = 0
        """How many are in line, those included that are being hashed for."""

    @property
    def delay(self) -> float:
        """Seconds until everyone who is queued now will have been served."""
        return self.waiting * self._held_for / self._slots.total_tokens

    @asynccontextmanager
    async def slot(self, wait: Wait = wait_patiently) -> AsyncIterator[None]:
        """Queue, and hold a slot for the block. `wait` runs the waiting if no slot is free.

        If cancelled while waiting, it leaves the queue. Raises ChatError: ``busy``.
        """
        if self.waiting >= self.max_waiting:
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

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run `function` in a thread. The caller holds a slot. Once started it isn't cancelled."""
        # Not in Trio's threads, which are reused for other work: a lowered priority can't be
        # raised.
        done, token = trio.Event(), trio.lowlevel.current_trio_token()
        future = self._threads.submit(function, *args)
        future.add_done_callback(lambda _: token.run_sync_soon(done.set))
        with trio.CancelScope(shield=True):
            await done.wait()
        return future.result()


def _stand_back() -> None:
    """Lower the priority of the calling thread, where threads have their own priority."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it, which must not fail
            now = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), now + NICENESS)
