"""The writer: one thread, one connection, and group commit.

A write is a function that runs inside a transaction, in the writer's thread. Whatever waits when
the thread looks goes into one transaction, so that a commit costs the same for one caller as for
a hundred. Only this thread writes, and it is never cancelled: what was handed over is done.
"""

from __future__ import annotations

import sqlite3
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
    """What runs the writes. Every method is called in the writer's thread, by nobody else."""

    def begin(self) -> None:
        """Open a transaction."""

    def commit(self) -> Batch | None:
        """Commit, and return the entries that were appended, if any."""

    def roll_back(self) -> None:
        """Undo what was done since `begin`, also in memory. Raises nothing."""

    def run_deferred(self) -> bool:
        """Do what could wait until those who wrote were answered, for some milliseconds at most.
        Return whether there is more to do."""

    def close(self) -> None:
        """Release the database."""

    def abandon(self) -> None:
        """Release the database, which is damaged, and change nothing."""


class _Write(Job[T]):
    __slots__ = ("function",)

    def __init__(self, function: Callable[[], T]) -> None:
        super().__init__()
        self.function = function


class Writer(Worker[_Write[object]]):
    """Runs writes. Made by :func:`open_writer`; used in the Trio thread."""

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

        What other callers hand over shares the transaction. If `function` raises, nothing of it
        stays, and the others are not concerned. When cancelled, the write goes on without its
        caller.

        Raises:
            StoreUnavailable: it was not committed (or, where committing itself failed, it is not
                known); or too much is waiting already.
            StoreCorrupt: the database is damaged. Nothing is committed from then on.
        """
        await self.require_open()
        return await self.submit(_Write(function))

    def _settle(self, group: list[_Write[object]], batch: Batch | None) -> None:
        if batch is not None:
            self._settled(batch)  # followers first: then an acknowledgement finds them up to date
        self._finish(group)

    # -- in the writer's thread -----------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._run_deferred()  # of what a server that was killed has left
            while (group := self._take()) is not None:
                self._run_group(group)
                self._run_deferred()
        finally:
            is_lost = self._integrity.is_lost
            self._guard(self._transactions.abandon if is_lost else self._transactions.close)

    def _run_deferred(self) -> None:
        """Do what could wait, until somebody wants to write."""
        while not self._integrity.is_lost and self._guard(self._transactions.run_deferred):
            if not self._queue.empty():
                break

    def _guard(self, function: Callable[[], T]) -> T | None:
        """A fault in what nobody waits for is only logged; writing goes on, unless
        it is damage."""
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
                    # Each group would wait as long as this one did, one after the other.
                    group += self._take_waiting(MAX_WAITING)
                for write in group:  # each its own, for each is raised in another task
                    write.error = error if isinstance(error, OWN_FAULTS) else translated(error)
        except Exception as error:  # the fault of one function, which must not be the others'
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
        try:
            self._transactions.begin()
            for write in group:
                write.result = write.function()
            self._integrity.require()  # a reader may have met damage meanwhile
            return self._transactions.commit()
        except BaseException:
            self._transactions.roll_back()
            raise


@asynccontextmanager
async def open_writer(
    transactions: Transactions,
    settled: Callable[[Batch], None],
    integrity: Integrity,
    health: StoreHealth,
) -> AsyncIterator[Writer]:
    """Run a writer inside the block. `settled` is called in the Trio thread with each commit's
    entries, before those who wrote them are woken; what fails is noted in `health`. Leaving waits
    for all that was handed over."""
    writer = Writer(transactions, settled, integrity, health)
    async with running(writer, "gochat sqlite writer"):
        yield writer
