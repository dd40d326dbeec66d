"""A thread that takes all requests that wait together. The same for every store.

The thread is the worker's own and not one of Trio's pool. Measured (2 cores): a round trip is
0.12 ms against 0.18 to 0.25 ms, which is most of what a person waits for an acknowledgement. It is
never cancelled: what was handed over is done, also when its caller was cancelled.
"""

from __future__ import annotations

import abc
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar, cast

import trio

from gochat.chat.health import StoreHealth
from gochat.errors import StoreUnavailable
from gochat.storage.common.integrity import Integrity

T = TypeVar("T")
J = TypeVar("J", bound="Job[object]")

#: Requests that may wait. Each session waits for its own, so this many sessions wait at once; one
#: more is asked to try again, which is better than to wait for seconds.
MAX_WAITING: Final = 10_000
#: Requests carried out together: enough to make a commit's or a round trip's cost small for each,
#: few enough that the first one does not wait long for the last.
MAX_GROUP: Final = 256


class Job(Generic[T]):
    """A request: made in the Trio thread by the task that waits for it."""

    __slots__ = ("error", "result", "task")

    def __init__(self) -> None:
        #: None when nobody waits for it any more.
        self.task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self.result: T | None = None
        self.error: Exception | None = None


class Worker(abc.ABC, Generic[J]):
    """Carries out jobs. Use :func:`running`; what fails is noted in `health`, by `name`.

    `waiting` counts the jobs that are not done.
    """

    def __init__(self, name: str, integrity: Integrity, health: StoreHealth) -> None:
        self.name: Final = name
        self._integrity = integrity
        self._health = health
        self._queue: SimpleQueue[J | None] = SimpleQueue()
        self.waiting = 0
        self._is_open = True
        self._stopped = trio.Event()
        self._trio = trio.lowlevel.current_trio_token()

    # -- in the Trio thread ---------------------------------------------------------------------

    async def require_open(self) -> None:
        """Raise StoreUnavailable or StoreCorrupt if no job is taken now. A checkpoint."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._integrity.require()
        if not self._is_open:
            raise StoreUnavailable("the store is closed")
        if self.waiting >= MAX_WAITING:
            raise StoreUnavailable("too many requests are waiting")

    async def submit(self, job: Job[T]) -> T:
        """Hand a job over, after :meth:`require_open`; return its result, or raise its error."""
        self.waiting += 1

        def abort(_: object) -> trio.lowlevel.Abort:
            job.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._queue.put(cast("J", job))
        await trio.lowlevel.wait_task_rescheduled(abort)
        if job.error is None:
            self._health.succeeded(self.name)
        else:
            if isinstance(job.error, StoreUnavailable):
                self._health.failed(self.name, job.error)
            raise job.error
        return cast("T", job.result)

    def _finish(self, jobs: Sequence[J]) -> None:
        """Wake those who wait for these jobs."""
        self.waiting -= len(jobs)
        for job in jobs:
            if job.task is not None:
                trio.lowlevel.reschedule(job.task)
                job.task = None

    async def close(self) -> None:
        """Take no more jobs, and wait until all that were handed over are done."""
        self._is_open = False
        self._queue.put(None)
        with trio.CancelScope(shield=True):
            await self._stopped.wait()

    # -- in the worker's thread -----------------------------------------------------------------

    def run(self) -> None:
        """Carry out jobs until closed."""
        try:
            self._work()
        finally:
            self._trio.run_sync_soon(self._stopped.set)

    @abc.abstractmethod
    def _work(self) -> None:
        """Carry out the jobs of :meth:`_take` until that is None, then release everything."""

    def _take(self) -> list[J] | None:
        """Wait for jobs, and return those that wait, in their order; None if it is closed."""
        job = self._queue.get()
        return None if job is None else [job, *self._take_waiting(MAX_GROUP - 1)]

    def _take_waiting(self, limit: int) -> list[J]:
        taken: list[J] = []
        while len(taken) < limit:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                self._queue.put(None)  # it is the last one, also of the next group
                break
            taken.append(job)
        return taken


@asynccontextmanager
async def running(worker: Worker[Any], thread: str) -> AsyncIterator[None]:
    """Run a worker inside the block, in a thread with this name. Leaving waits for all that was
    handed over."""
    # A daemon, so that an interpreter that is torn down without leaving the block still ends.
    threading.Thread(target=worker.run, name=thread, daemon=True).start()
    try:
        yield
    finally:
        await worker.close()
