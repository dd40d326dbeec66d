"""The writer: one thread, one connection, and group commit.

A write is a function that runs inside a transaction, in the writer's thread. All waiting writes
share one transaction, so a commit costs the same for one caller as for a hundred. Only this thread
writes, and it is never cancelled: submitted writes are carried out.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import structlog

from gochat.chat.health import StoreHealth
from gochat.chat.store import Batch
from gochat.errors import StoreCorrupt
from gochat.storage.common.integrity import Integrity
from gochat.storage.common.worker import MAX_WAITING, Job, Worker, running
from gochat.storage.sqlite.database import OWN_FAULTS, translated

log = structlog.stdlib.get_logger()

T = TypeVar("T")


class Transactions(Protocol):
    """The interface that runs the writes. Only the writer's thread calls it."""

    def begin(self) -> None:
        """Begin a transaction."""

    def commit(self) -> Batch | None:
        """Commit, and return the appended entries; None if there are none."""

    def roll_back(self) -> None:
        """Undo everything since `begin`, also in memory. Raises nothing."""

    def run_deferred(self) -> bool:
        """Do work that can wait until the writers have their answers; return True if more is left.

        One call takes some milliseconds at most.
        """

    def close(self) -> None:
        """Close the database."""

    def abandon(self) -> None:
        """Close the database, which is damaged, and change nothing."""


class _Write(Job[T]):
    __slots__ = ("function",)

    def __init__(self, function: Callable[[], T]) -> None:
        super().__init__()
        self.function = function


class Writer(Worker[_Write[object]]):
    """Run writes. Create it with :func:`open_writer`; use it in the Trio thread."""

    def __init__(
        self,
        transactions: Transactions,
        settled: Callable[[Batch], None],
        integrity: Integrity,
        health: StoreHealth,
    ) -> None:
        super().__init__("writer", integrity, health)
        self._transactions = transactions
        self._settled = settled

    async def write(self, function: Callable[[], T]) -> T:
        """Run `function` in the writer's thread inside a transaction; return after its commit.

        Writes of other callers share the transaction. If `function` raises, only its own changes
        are undone. If the caller is cancelled, the write is still carried out.

        Raises:
            StoreUnavailable: it was not committed (or, if the commit itself failed, that is
                unknown); or too many writes are waiting.
            StoreCorrupt: the database is damaged. Nothing is committed from then on.
        """
        await self.require_open()
        return await self.submit(_Write(function))

    def _settle(self, group: list[_Write[object]], batch: Batch | None) -> None:
        if batch is not None:
            self._settled(batch)  # followers first, so they are up to date at the acknowledgement
        self._finish(group)

    # -- in the writer's thread -----------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._run_deferred()  # the work left by a killed server
            while (group := self._take()) is not None:
                self._run_group(group)
                self._run_deferred()
        finally:
            is_lost = self._integrity.is_lost
            self._guard(self._transactions.abandon if is_lost else self._transactions.close)

    def _run_deferred(self) -> None:
        """Do deferred work until there is something to write."""
        while not self._integrity.is_lost and self._guard(self._transactions.run_deferred):
            if not self._queue.empty():
                break

    def _guard(self, function: Callable[[], T]) -> T | None:
        """Call `function`; only log its exceptions, since no caller waits, but record damage."""
        try:
            return function()
        except StoreCorrupt as error:
            self._integrity.lose(error)
        except Exception:
            log.exception("store maintenance failed")
        return None

    def _run_group(self, group: list[_Write[object]]) -> None:
        batch = None
        try:
            batch = self._transact(group)
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

    def _run_singly(self, group: list[_Write[object]]) -> None:
        for write in group:
            self._run_group([write])

    def _refuse(self, group: list[_Write[object]], damage: StoreCorrupt) -> None:
        self._integrity.lose(damage)
        for write in group:
            write.error = StoreCorrupt(str(damage))

    def _transact(self, group: list[_Write[object]]) -> Batch | None:
        began = time.perf_counter()
        try:
            self._transactions.begin()
            for write in group:
                write.result = write.function()
            self._integrity.require()  # a reader may have found damage meanwhile
            batch = self._transactions.commit()
        except BaseException:
            self._transactions.roll_back()
            raise
        self._health.committed(time.perf_counter() - began, len(group))
        return batch


@asynccontextmanager
async def open_writer(
    transactions: Transactions,
    settled: Callable[[Batch], None],
    integrity: Integrity,
    health: StoreHealth,
) -> AsyncIterator[Writer]:
    """Run a writer inside the block.

    It calls `settled` in the Trio thread with the entries of each commit, before it wakes the
    callers, and records failures in `health`. Leaving the block waits for all submitted writes.
    """
    writer = Writer(transactions, settled, integrity, health)
    async with running(writer, "gochat sqlite writer"):
        yield writer
