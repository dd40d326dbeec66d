"""Checkpoints of the write-ahead log, in a thread and on a connection of their own.

SQLite's automatic checkpoint would run inside a commit, for some 20 ms or, on a slow disk, much
longer. So it is switched off. A checkpoint that begins here runs beside commits, which go on in the
writer's thread meanwhile (:mod:`.pace`).

SQLite begins the log anew only where a commit finds all of it checkpointed, and nobody reading in
it. While commits follow closely on each other, some are always made meanwhile, and while search
follows search, one is always in the log: it would grow for as long as that goes on. So once it is
much longer than it should be, the next search waits until the log can begin anew, and commits wait
while what is left is checkpointed. Other reads end soon, and don't wait.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import Final

from gochat.errors import StoreCorrupt
from gochat.storage.common.integrity import Integrity
from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.errors import raise_damage
from gochat.storage.sqlite.pace import Pace

#: Pages of the log after which it is checkpointed: 16 MB. Not more often, because many commits
#: change the same pages.
PAGES: Final = 4000
#: Pages of the log from which on commits wait until all of it is checkpointed: 64 MB.
MOST_PAGES: Final = 4 * PAGES
#: Seconds for which such a checkpoint waits for a commit or a reader to end, and commits for it.
#: While another process reads for longer, as a backup does, the log grows.
PATIENCE: Final = 0.05
#: Pages that a commit adds, and entries that add one page more: measured, and rounded. Only until
#: the first checkpoint, which says how many there were.
_PER_COMMIT: Final = 6.0
_PER_ENTRY: Final = 0.25


class Checkpoints:
    """Begins a checkpoint when one is due.

    `db` is a connection for nothing else; `searching` are those on which reads can take long.
    """

    def __init__(
        self, db: sqlite3.Connection, searching: ConnectionPool, pace: Pace, integrity: Integrity
    ) -> None:
        self._db = db
        self._searching = searching
        self._pace = pace
        self._integrity = integrity
        self._thread: threading.Thread | None = None
        self._pages = 0.0  # estimated, since the last checkpoint
        self._weight = 1.0  # actual pages for each that was estimated
        self._log_pages = 0  # of the whole log, at the last checkpoint
        db.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")

    def committed(self, entries: int) -> None:
        """Count a commit, and begin a checkpoint if one is due. Call it in one thread at a time."""
        self._pages += (_PER_COMMIT + _PER_ENTRY * entries) * self._weight
        if self._pages < PAGES or (self._thread is not None and self._thread.is_alive()):
            return
        self._pace.checkpoint_began()
        thread = threading.Thread(
            target=self._run, args=(self._pages,), name="gochat sqlite checkpoint", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system has none to spare; the next commit tries again
            self._pace.checkpoint_ended()
            return
        self._thread, self._pages = thread, 0.0

    def close(self) -> None:
        """Wait for the end of a checkpoint, and close its connection."""
        if self._thread is not None:
            self._thread.join()
        self._db.close()

    def _run(self, counted: float) -> None:
        try:
            pages = self._checkpoint("PASSIVE")
            is_new = pages < self._log_pages
            added, self._log_pages = pages - (0 if is_new else self._log_pages), pages
            self._weight = min(max(self._weight * added / counted, 0.1), 10.0)
            if pages > MOST_PAGES:
                with self._searching.unused():
                    self._checkpoint("PASSIVE")  # what a search has kept from it: much, perhaps
                    # Unlike FULL, it waits also for those who read the end of the log: the commit
                    # after it must not find them there.
                    self._checkpoint("RESTART")
        except sqlite3.Error as error:
            try:
                raise_damage(error)
            except StoreCorrupt as damage:
                self._integrity.lose(damage)
            # Otherwise the data is just as safe in the log; the next one is due as usual.
        finally:
            self._pace.checkpoint_ended()

    def _checkpoint(self, mode: str) -> int:
        """Checkpoint what is possible in this mode, and return how many pages the log has."""
        _, pages, _ = self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return max(int(pages), 0)
