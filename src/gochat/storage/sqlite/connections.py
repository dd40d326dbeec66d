"""SQLite connections that threads share in turns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from gochat.storage.sqlite.errors import mapped_errors


class ConnectionPool:
    """A pool of connections, each used by one thread at a time."""

    def __init__(self, *connections: sqlite3.Connection) -> None:
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._all = connections
        self._entrance = threading.Lock()
        self.first = connections[0]
        for db in connections:
            self._idle.put(db)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection on which all reads see one snapshot.

        Wait until a connection is idle.
        """
        with self._entrance:
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

    @contextmanager
    def unused(self) -> Iterator[None]:
        """Wait until all snapshots have ended, and let none begin within the block."""
        with self._entrance:
            taken = [self._idle.get() for _ in self._all]
            try:
                yield
            finally:
                for db in taken:
                    self._idle.put(db)

    def take(self) -> sqlite3.Connection:
        """Take a connection out of the pool. Wait until one is idle."""
        return self._idle.get()

    def give_back(self, db: sqlite3.Connection) -> None:
        """Return a taken connection to the pool."""
        self._idle.put(db)

    def close(self) -> None:
        """Close all connections. None may be in use."""
        for db in self._all:
            db.close()
