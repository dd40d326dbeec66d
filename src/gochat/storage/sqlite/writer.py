"""The writer: group commits on one connection, in a thread of its own or the event loop's.

A write is a function that runs inside a transaction. All waiting writes share one transaction, so a
commit costs the same for one caller as for a hundred. Usually the writer's thread commits. It is
never cancelled: submitted writes are carried out. Writes that nobody waits for with a task
(:meth:`Writer.submit`) are committed in the loop's thread, at once, if three things hold:

- the thread has nothing to do, so that nothing overtakes what was submitted before; if it has,
  they wait for it, but no longer than for one commit;
- the lock on the transactions is free: the loop only ever tries, and never waits for it;
- commits are fast now (:mod:`.pace`).

What fails there is undone, and submitted to the thread, which deals with errors.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar, cast

import structlog

from gochat.chat.health import StoreHealth
from gochat.chat.log import Batch
from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.common.integrity import Integrity
from gochat.storage.common.worker import MAX_WAITING, Job, Worker, running
from gochat.storage.sqlite.errors import OWN_FAULTS, translated
from gochat.storage.sqlite.pace import Pace

log = structlog.stdlib.get_logger()

T = TypeVar("T")


class Transactions(Protocol):
    """The interface that runs the writes. Only one thread at a time calls it."""

    def begin(self, *, may_wait: bool) -> None:
        """Begin a transaction; with `may_wait` wait for a moment if the database is locked."""

    def commit(self) -> Batch | None:
        """Commit, and return the appended entries; None if there are none."""

    def roll_back(self) -> None:
        """Undo everything since `begin`, also in memory. Raises nothing."""

    def close(self) -> None:
        """Close the database."""

    def abandon(self) -> None:
        """Close the database, which is damaged, and change nothing."""


class Write(Job[T]):
    """A function that writes."""

    __slots__ = ("function",)

    def __init__(
        self,
        function: Callable[[], T],
        done: Callable[[T | None, Exception | None], None] | None = None,
    ) -> None:
        super().__init__(done)
        self.function = function


class Writer(Worker[Write[object]]):
    """Run writes. Create it with :func:`open_writer`; use it in the Trio thread."""

    def __init__(
        self,
        transactions: Transactions,
        settled: Callable[[Batch], None],
        integrity: Integrity,
        health: StoreHealth,
        pace: Pace,
    ) -> None:
        super().__init__("writer", integrity, health)
        self._transactions = transactions
        self._settled = settled
        self._pace = pace
        self._lock = threading.Lock()  # held while transactions run
        #: To be committed in the loop's thread when the writer's has done what it is doing.
        self._postponed: list[Write[object]] = []

    async def write(self, function: Callable[[], T]) -> T:
        """Run `function` in the writer's thread inside a transaction; return after its commit.

        Writes of other callers share the transaction. If `function` raises, only its own changes
        are undone. If the caller is cancelled, the write is still carried out.

        Raises:
            StoreUnavailable: it was not committed (or, if the commit itself failed, that is
                unknown); or too many writes are waiting.
            StoreCorrupt: the database is damaged. Nothing is committed from then on.
        """
        return await self.wait_for(Write(function))

    def submit(self, writes: Sequence[Write[T]]) -> None:
        """Carry out writes, each as :meth:`write` would; never wait.

        Their `done` is called in the Trio thread, in order, before this returns or later. It gets
        what :meth:`write` would return, or the error that it would raise.
        """
        group = cast("list[Write[object]]", list(writes))
        try:
            self.require_open()
        except StoreUnavailable as error:
            for write in group:
                write.error = error
                write.finished()
            return
        if self.waiting and self._pace.is_here:
            self._postponed += group
        elif not self._write_here(group):
            self._write_apart(group)

    async def close(self) -> None:
        """Implement :meth:`Worker.close`."""
        self._write_apart(self._postponed)
        self._postponed = []
        await super().close()

    def _write_apart(self, group: list[Write[object]]) -> None:
        for write in group:
            self._submit(write)

    def _write_here(self, group: list[Write[object]]) -> bool:
        """Commit in this thread. Return False, with nothing written, if that is not possible."""
        if self.waiting or not self._pace.is_here or not self._lock.acquire(blocking=False):
            return False
        try:
            batch, seconds = self._transact(group, may_wait=False)
        except Exception:
            self._pace.failed_here()
            return False
        finally:
            self._lock.release()
        self._pace.committed_here(seconds, len(group))
        self.waiting += len(group)
        self._settle(group, batch)
        return True

    def _settle(self, group: list[Write[object]], batch: Batch | None) -> None:
        if batch is not None:
            self._settled(batch)  # followers first, so they are up to date at the acknowledgement
        self._finish(group)
        if self._postponed:
            group, self._postponed = self._postponed, []
            if not self._write_here(group):
                self._write_apart(group)

    # -- in the writer's thread -----------------------------------------------------------------

    def _work(self) -> None:
        try:
            while (group := self._take()) is not None:
                with self._lock:
                    self._run_group(group)
        finally:
            is_lost = self._integrity.is_lost
            self._guard(self._transactions.abandon if is_lost else self._transactions.close)

    def _guard(self, function: Callable[[], T]) -> T | None:
        """Call `function`; only log its exceptions, since no caller waits, but record damage."""
        try:
            return function()
        except StoreCorrupt as error:
            self._integrity.lose(error)
        except Exception:
            log.exception("store maintenance failed")
        return None

    def _run_group(self, group: list[Write[object]]) -> None:
        batch = None
        try:
            self._pace.begin_apart()
            batch, seconds = self._transact(group, may_wait=True)
            self._pace.committed_apart(seconds, len(group))
        except StoreCorrupt as error:
            self._refuse(group, error)
        except sqlite3.Error as error:
            if isinstance(damage := translated(error), StoreCorrupt):
                self._refuse(group, damage)
            elif len(group) > 1 and isinstance(error, OWN_FAULTS):
                self._run_singly(group)
                return
            else:
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                    # Otherwise each further group would wait as long as this one did, one after the
                    # other.
                    group += self._take_waiting(MAX_WAITING)
                for write in group:  # an exception each, since each is raised in another task
                    write.error = error if isinstance(error, OWN_FAULTS) else translated(error)
        except Exception as error:  # the fault of one function: it must not affect the others
            if len(group) > 1:
                self._run_singly(group)
                return
            group[0].error = error
        self._trio.run_sync_soon(self._settle, group, batch)

    def _run_singly(self, group: list[Write[object]]) -> None:
        for write in group:
            self._run_group([write])

    def _refuse(self, group: list[Write[object]], damage: StoreCorrupt) -> None:
        self._integrity.lose(damage)
        for write in group:
            write.error = StoreCorrupt(str(damage))

    def _transact(
        self, group: list[Write[object]], *, may_wait: bool
    ) -> tuple[Batch | None, float]:
        """Run writes in a transaction; return the entries, and what beginning and ending took."""
        began = time.perf_counter()
        try:
            self._transactions.begin(may_wait=may_wait)
            has_begun = time.perf_counter()
            for write in group:
                write.result = write.function()
            self._integrity.require()  # a reader may have found damage meanwhile
            at_end = time.perf_counter()
            batch = self._transactions.commit()
        except BaseException:
            self._transactions.roll_back()
            raise
        ended = time.perf_counter()
        self._health.committed(ended - began, len(group))
        return batch, has_begun - began + ended - at_end


@asynccontextmanager
async def open_writer(
    transactions: Transactions,
    settled: Callable[[Batch], None],
    integrity: Integrity,
    health: StoreHealth,
    pace: Pace,
) -> AsyncIterator[Writer]:
    """Run a writer inside the block.

    It calls `settled` in the Trio thread with the entries of each commit, before it wakes the
    callers, and records failures in `health`; `pace` says in which thread to commit. Leaving the
    block waits for all submitted writes.
    """
    writer = Writer(transactions, settled, integrity, health, pace)
    async with running(writer, "gochat sqlite writer"):
        yield writer
