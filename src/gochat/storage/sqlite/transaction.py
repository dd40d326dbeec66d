"""The writer's connection: one transaction at a time, and checkpoints of its write-ahead log."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Final

from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.database import mark_closed, raise_damage
from gochat.storage.sqlite.watch import Watch

#: Pages of WAL (estimated) after which it is checkpointed. A checkpoint takes some 20 ms, so it
#: runs between commits and not, as SQLite's automatic one, inside a commit. It does not run more
#: often, because many commits change the same pages.
CHECKPOINT_PAGES: Final = 4000
#: Pages that a commit changes, and entries that add one page more: measured, and rounded.
_PAGES_PER_COMMIT: Final = 6
_ENTRIES_PER_PAGE: Final = 4


class Transaction:
    """Run one transaction after another, on one connection."""

    def __init__(self, connections: ConnectionPool, watch: Watch | None) -> None:
        self._connections = connections
        self._watch = watch
        #: Use inside a transaction only: in memory, readers share this connection.
        self.db: sqlite3.Connection = connections.first
        self._is_open = False
        self._wal_pages = 0

    def begin(self) -> None:
        """Begin a transaction. Even if this fails, end it with `commit` or `roll_back`."""
        self.db = self._connections.take()
        self._is_open = True
        self.db.execute("BEGIN IMMEDIATE")

    def commit(self, entries: int = 0) -> None:
        """Commit; `entries` is the number of appended entries.

        Raises:
            StoreCorrupt: the files were moved, removed or replaced.
        """
        if self._watch is not None:
            self._watch.require_in_place()
        self.db.execute("COMMIT")
        self._wal_pages += _PAGES_PER_COMMIT + entries // _ENTRIES_PER_PAGE
        self._end()

    def roll_back(self) -> None:
        """Undo everything since `begin`. Raises nothing."""
        with suppress(sqlite3.Error):  # then SQLite has rolled back already
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
        self._end()

    def write_back(self) -> None:
        """Checkpoint the WAL, if it is due."""
        if self._wal_pages < CHECKPOINT_PAGES:
            return
        self._wal_pages = 0
        db = self._connections.take()
        try:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            raise_damage(error)  # otherwise the data is just as safe in the WAL
        finally:
            self._connections.give_back(db)

    def close(self) -> None:
        """Checkpoint everything, and close the connection."""
        db = self._connections.take()
        try:
            # Without the mark, the next start is more careful than necessary.
            if self._watch is None or self._watch.is_in_place():
                with suppress(sqlite3.Error):
                    mark_closed(db)
        finally:
            self._connections.give_back(db)
        self._connections.close()

    def abandon(self) -> None:
        """Close the connection. SQLite itself checkpoints what was committed to the WAL."""
        self._connections.close()

    def _end(self) -> None:
        if self._is_open:
            self._is_open = False
            self._connections.give_back(self.db)
