"""Connections that threads lend each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from gochat.storage.sqlite.database import mapped_errors


class ConnectionPool:
    """Connections that are lent to one thread at a time."""

    def __init__(self, *connections: sqlite3.Connection) -> None:
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._all = connections
        self.first = connections[0]
        for db in connections:
            self._idle.put(db)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection on which all reads see the same commits. Waits for one to be idle."""
        db = self._idle.get()
        try:
            with mapped_errors():
                db.execute("BEGIN")
                try:
                    yield db
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
        finally:
            self._idle.put(db)

    def take(self) -> sqlite3.Connection:
        """Take one out. Waits for one to be idle."""
        return self._idle.get()

    def give_back(self, db: sqlite3.Connection) -> None:
        """Put back what was taken."""
        self._idle.put(db)

    def close(self) -> None:
        """Close them all; none is lent."""
        for db in self._all:
            db.close()
