"""The line before the password hashes: first come, first served, and bounded.

argon2id is slow on purpose. It runs in worker threads of its own, at most as many at once as there
are cores, and after all else that wants the processor, so that neither guessing passwords nor a
crowd that logs in can starve the chat. A request gets in line once, however many hashes it needs:
what has been hashed for it is never thrown away for want of room.
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

#: How many may be in line: at 17 ms each and on two cores the last one waits about 2 s.
MAX_WAITING: Final = 256
#: Of the average time that a slot is held, the part that the newest one makes up: an average over
#: some ten requests follows the load within a second, and one slow request doesn't show.
NEWEST: Final = 0.1
#: Seconds that a slot is held for, as long as nobody has held one.
GUESS: Final = 0.02
#: Seconds after which whoever was refused may come back: at least and at most.
RETRY_AFTER: Final = (1.0, 60.0)

#: By how much a thread that hashes is nicer than the server. Measured with 250 who log in on two
#: busy cores: a message takes half the time, at the median and at p99, and they are in as soon.
NICENESS: Final = 10

#: Runs an async function that waits in line; may cancel it, and then doesn't return.
Wait: TypeAlias = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]


async def wait_patiently(turn: Callable[[], Awaitable[None]]) -> None:
    """Wait, whatever happens meanwhile."""
    await turn()


class HashingQueue:
    """Hands out the slots for hashing, one per core."""

    def __init__(self, max_waiting: int = MAX_WAITING, *, slots: int | None = None) -> None:
        self._max_waiting = max_waiting
        # Of a CapacityLimiter, who waits longest is next, and nobody overtakes.
        self._slots = trio.CapacityLimiter(slots or os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(
            int(self._slots.total_tokens), "hashing", initializer=_stand_back
        )
        self._held_for = GUESS  # seconds, on average
        self.waiting = 0
        """How many are in line, those included that are being hashed for."""

    @property
    def delay(self) -> float:
        """The seconds until all that are in line now will have been served."""
        return self.waiting * self._held_for / self._slots.total_tokens

    @asynccontextmanager
    async def slot(self, wait: Wait = wait_patiently) -> AsyncIterator[None]:
        """Get in line, and hold a slot. `wait` is what waits where none is free.

        Cancelled while it waits, it gives up its place. Raises ChatError: ``busy``.
        """
        if self.waiting >= self._max_waiting:
            seconds = min(max(self.delay, RETRY_AFTER[0]), RETRY_AFTER[1])
            raise ChatError(
                ErrorCode.BUSY,
                f"too many logins at once: try again in {seconds:.0f} s",
                retry_after=seconds,
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
        """Run `function` in a thread. The caller holds a slot. Once begun it isn't cancelled."""
        # Not by Trio's threads: those go on to other work, and a priority can't be raised again.
        done, token = trio.Event(), trio.lowlevel.current_trio_token()
        future = self._threads.submit(function, *args)
        future.add_done_callback(lambda _: token.run_sync_soon(done.set))
        with trio.CancelScope(shield=True):
            await done.wait()
        return future.result()


def _stand_back() -> None:
    """Lower the priority of the calling thread, where threads have one of their own."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it, and that must not fail
            now = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), now + NICENESS)
