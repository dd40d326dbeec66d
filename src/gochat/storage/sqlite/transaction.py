"""The writer's connection: one transaction at a time."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from typing import Final

from gochat.storage.sqlite import database
from gochat.storage.sqlite.checkpoints import Checkpoints
from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.watch import Watch

#: Seconds between two tries while another process has the database locked.
_TRY_EVERY: Final = 0.01


class Transaction:
    """Run one transaction after another, on one connection."""

    def __init__(
        self, connections: ConnectionPool, watch: Watch | None, checkpoints: Checkpoints | None
    ) -> None:
        self._connections = connections
        self._watch = watch
        self._checkpoints = checkpoints
        #: Use inside a transaction only: in memory, readers share this connection.
        self.db: sqlite3.Connection = connections.first
        self._is_open = False
        if checkpoints is not None:
            self.db.execute("PRAGMA wal_autocheckpoint = 0")
            self.db.execute("PRAGMA busy_timeout = 0")  # `begin` waits

    def begin(self, *, may_wait: bool = True) -> None:
        """Begin a transaction. Even if this fails, end it with `commit` or `roll_back`.

        While another process has the database locked, wait for at most
        :data:`~gochat.storage.sqlite.database.BUSY_TIMEOUT`, or with `may_wait` false not at all.
        """
        self.db = self._connections.take()
        self._is_open = True
        deadline = time.monotonic() + database.BUSY_TIMEOUT if may_wait else 0.0
        while True:
            try:
                self.db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_TRY_EVERY)
            else:
                return

    def commit(self, entries: int = 0) -> None:
        """Commit; `entries` is the number of appended entries.

        Raises:
            StoreCorrupt: the files were moved, removed or replaced.
        """
        if self._watch is not None:
            self._watch.require_in_place()
        self.db.execute("COMMIT")
        self._end()
        if self._checkpoints is not None:
            self._checkpoints.committed(entries)

    def roll_back(self) -> None:
        """Undo everything since `begin`. Raises nothing."""
        with suppress(sqlite3.Error):  # then SQLite has rolled back already
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
        self._end()

    def close(self) -> None:
        """Checkpoint everything, and close the connection."""
        if self._checkpoints is not None:
            self._checkpoints.close()
        db = self._connections.take()
        try:
            db.execute(f"PRAGMA busy_timeout = {int(database.BUSY_TIMEOUT * 1000)}")
            # Without the mark, the next start is more careful than necessary.
            if self._watch is None or self._watch.is_in_place():
                with suppress(sqlite3.Error):
                    database.mark_closed(db)
        finally:
            self._connections.give_back(db)
        self._connections.close()

    def abandon(self) -> None:
        """Close the connection. SQLite itself checkpoints what was committed to the WAL."""
        if self._checkpoints is not None:
            self._checkpoints.close()
        self._connections.close()

    def _end(self) -> None:
        if self._is_open:
            self._is_open = False
            self._connections.give_back(self.db)
