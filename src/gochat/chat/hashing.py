"""The queue for password hashing.

argon2id is slow on purpose. It runs in worker threads of its own, at most one for each core, and at
a lower priority than the rest of the server, so that neither guessing passwords nor a crowd that
logs in can starve the chat.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import trio

from gochat.chat.work_queue import WorkQueue

T = TypeVar("T")

#: Length of the queue, unless it is configured: at 17 ms each and on two cores the last one waits
#: about 2 s. It may be longer where there are more cores, or hashing is cheaper: up to the seconds
#: that the last one would wait.
MAX_WAITING: Final = 256
MAX_DELAY: Final = 8.0
#: Seconds that a slot is assumed to be held, until one has been.
GUESS: Final = 0.02

#: How much nicer the hashing threads are than the server. Measured with 250 logins on two busy
#: cores: a message takes half the time, at the median and at p99, and the logins take no longer.
NICENESS: Final = 10


class HashingQueue(WorkQueue):
    """Hands out the slots for hashing, one per core.

    With `max_waiting` 0 the queue's length is bounded by :data:`MAX_WAITING` and :data:`MAX_DELAY`.
    """

    def __init__(self, max_waiting: int = 0, *, slots: int | None = None) -> None:
        slots = slots or os.cpu_count() or 1
        super().__init__(max_waiting, slots, GUESS)
        self._threads = ThreadPoolExecutor(slots, "hashing", initializer=_stand_back)

    @property
    def is_full(self) -> bool:
        """Implement :attr:`WorkQueue.is_full`."""
        if self.max_waiting:
            return super().is_full
        return self.waiting >= MAX_WAITING and self.delay >= MAX_DELAY

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
