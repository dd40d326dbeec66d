"""Keep the search index up to date: it follows the log, in a thread of its own.

A turn (turns.py) adds new texts, or replaces changed ones, in one transaction of the index. So the
index has, at any time, exactly the texts up to a position in the log, as they were after a number
of changes (:class:`.Progress`).

While much is said the turns are run in a process of their own, for which the thread only waits
(indexing_process.py).

When a text is edited, deleted, or no longer kept, the same commit of the log records the old one in
the table ``outdated``, because only the text that was added can remove it from the index. Once the
index has lost it, the writer removes it there, too.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Final

import structlog

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.common.integrity import Integrity
from gochat.storage.indexing.turns import BATCH, Progress, Turns, TurnsHere
from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.indexing_process import IndexingProcess, ProcessEnded
from gochat.storage.sqlite.search_index import IndexDamaged, SearchIndex
from gochat.storage.sqlite.waiting_texts import WaitingTexts, texts_between

log = structlog.stdlib.get_logger()

#: Texts that make a turn due. A search scans the texts that are not indexed yet.
DUE: Final = 256
#: Characters that make a turn due, although the texts are fewer.
DUE_CHARS: Final = 8192
#: Turns to run on closing the store: half a million characters. The next start indexes the
#: remainder.
TURNS_AT_END: Final = 16
#: Seconds for which closing the store waits for the process, before it is killed: containers that
#: are to stop are killed after ten.
PROCESS_AT_END: Final = 5.0
#: Seconds to wait after what the disk could not take, and after damage.
RETRY: Final = 10.0
#: Much is said if a turn has at least so many new texts ...
MANY: Final = 256
#: ... and begins within so many seconds of the one before.
SOON: Final = 1.0
#: Seconds without a turn after which the process is ended.
IDLE: Final = 30.0
#: Seconds before a process is started again after one that failed.
RETRY_PROCESS: Final = 600.0


class Indexer:
    """Run the thread, and tell it what the log got.

    The writer calls everything but `run`, in one thread at a time; `texts` are connections to read
    the log.
    """

    def __init__(
        self,
        index: SearchIndex,
        progress: Progress,
        position: int,
        texts: ConnectionPool,
        integrity: Integrity,
        generation: str,
        *,
        is_shared: bool,
        start_process: Callable[[], IndexingProcess] | None = None,
    ) -> None:
        """`progress` is that of the index, `position` the last one of the log.

        `texts` are closed at the end, unless others use them, too (`is_shared`). Without
        `start_process`, all turns are run in the thread.
        """
        self._index = index
        index.on_damage = self._wake
        self._texts = texts
        self._is_shared = is_shared
        self._integrity = integrity
        self._generation = generation
        self._notify: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None
        # Of the transaction that is open.
        self._new: list[tuple[int, int, int]] = []
        self._changes = 0
        # Shared, under the lock.
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._waiting = WaitingTexts()
        self._size = 0
        self._position = position  # of the last commit
        self._outdated = 0  # changes that the index lacks
        self._progress = progress
        self._has_searched = False  # for what the index lacks since before the start
        self._turns_at_end = 0
        # Of the thread.
        self._here = TurnsHere(texts.snapshot, index.write, generation)
        self._start_process = start_process
        self._process: IndexingProcess | None = None
        self._next_process = -inf  # the time from which one may be started
        self._last_turn = -inf
        self._was_update = False  # the last turn was an update
        self._is_failing = False

    # -- in the writer --------------------------------------------------------------------------

    @property
    def unindexed(self) -> int:
        """How many texts wait: new ones, and those that have changed. Any thread may ask."""
        return len(self._waiting) + self.outdated

    @property
    def outdated(self) -> int:
        """How many texts have changed or are gone, but not yet in the index."""
        return max(self._outdated, 0)

    @property
    def lost(self) -> int:
        """The last change that the index has: what texts were before is not needed any more."""
        return self._progress.changed

    def start(self, notify: Callable[[], None]) -> None:
        """Start the thread. It calls `notify` whenever `lost` has changed."""
        self._notify = notify
        # A daemon, so that the interpreter can exit even if the store is never closed.
        self._thread = threading.Thread(target=self.run, name="gochat search index", daemon=True)
        self._thread.start()

    def append(self, position: int, entry: int, size: int) -> None:
        """Note a new text of `size` characters, in a transaction."""
        self._new.append((position, entry, size))

    def change(self, db: sqlite3.Connection, entry: int, position: int, old: str) -> None:
        """Record that a text, which was `old`, changes or is removed, in a transaction."""
        db.execute(
            "INSERT INTO outdated (entry, position, text) VALUES (?, ?, ?)", (entry, position, old)
        )
        self._changes += 1

    def committed(self, position: int) -> None:
        """Pass on what was noted since the last commit; `position` is the log's last one."""
        with self._lock:
            self._position = position
            for text in self._new:
                self._waiting.append(*text)
                self._size += text[2]
            self._outdated += self._changes
            is_due = self._is_due
        self.roll_back()
        if is_due:
            self._wake()

    def _wake(self) -> None:
        self._due.set()

    def roll_back(self) -> None:
        """Forget what was noted since the last commit."""
        self._new.clear()
        self._changes = 0

    def stop(self, *, finish: bool = True) -> None:
        """End the thread, and close the index.

        With `finish`, index everything that waits before, up to :data:`TURNS_AT_END` turns.
        """
        self._turns_at_end = TURNS_AT_END if finish else 0
        self._stopping.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(PROCESS_AT_END)
            if (process := self._process) is not None:
                process.kill()
            self._thread.join()
        self._index.close()
        if not self._is_shared:
            self._texts.close()

    # -- in the thread --------------------------------------------------------------------------

    def run(self) -> None:
        """Index what is due, until stopped."""
        try:
            while not self._stopping.is_set():
                while self._is_due and not self._stopping.is_set():
                    began = time.monotonic()
                    done = self._try_turn()
                    # As long as the turn took, so that a long backlog leaves the interpreter and
                    # the disk to others half of the time.
                    self._stopping.wait(time.monotonic() - began if done else RETRY)
                if not self._due.wait(None if self._process is None else IDLE):
                    self._end_process()
                self._due.clear()
            for _ in range(self._turns_at_end):
                if not (self._is_due or self.unindexed) or not self._try_turn():
                    break
        except StoreCorrupt as error:
            self._integrity.lose(error)
        finally:
            self._end_process()

    @property
    def _is_due(self) -> bool:
        return (
            self._outdated > 0 or self._has_turn or not self._has_searched or self._index.is_damaged
        )

    @property
    def _has_turn(self) -> bool:
        return len(self._waiting) >= DUE or self._size >= DUE_CHARS

    def _try_turn(self) -> bool:
        """Run one turn; return False, with nothing changed, if that is not possible now.

        Raises:
            StoreCorrupt: the log is damaged.
        """
        try:
            self._turn()
            self._index.shorten_log()
        except StoreCorrupt:
            raise
        except StoreUnavailable as error:
            if not self._is_failing:
                log.warning("search index is behind", reason=str(error))
            self._is_failing = True
            if self._process is not None:  # what it can't open, this thread may have open
                self._leave_process()
            return False
        except IndexDamaged as error:
            if not self._is_failing:
                log.error("search index damaged", reason=str(error))
            self._is_failing = True
            return self._try_anew()
        except ProcessEnded as error:
            log.warning("search index process ended", reason=str(error))
            return self._try_afresh()
        except Exception:
            log.exception("store maintenance failed")
            return False
        if self._is_failing:
            log.info("search index follows again")
        self._is_failing = False
        return True

    def _try_anew(self) -> bool:
        """Make the index anew, because it is damaged."""
        self._end_process()
        try:
            with self._texts.snapshot() as db:
                changed = last_change(db)
            progress = self._index.replace(self._generation, changed)
        except StoreCorrupt:
            raise
        except StoreUnavailable as error:
            log.warning("search index is behind", reason=str(error))
            return False
        self._go_on_from(progress)
        return False  # not at once: on a failing disk it would be damaged again

    def _try_afresh(self) -> bool:
        """Go on without the process, from where it has left the index."""
        self._leave_process()
        try:
            self._go_on_from(self._index.progress())
        except (IndexDamaged, StoreUnavailable):  # which the next turn finds, too
            return False
        return True

    def _go_on_from(self, progress: Progress) -> None:
        with self._lock:
            self._progress = progress
            self._waiting = WaitingTexts()
            self._size = self._outdated = 0
            self._has_searched = False

    def _turn(self) -> None:
        """Index new texts, or changed ones anew: in turn if both are due, so that none starves."""
        if self._index.is_damaged:
            raise IndexDamaged("a search has found damage")
        if not self._has_searched:
            self._find_waiting()
            return
        is_update = self._outdated > 0 and not (self._was_update and self._has_turn)
        if is_update:
            self._update()
        else:
            self._extend()
        self._was_update = is_update

    def _extend(self) -> None:
        with self._lock:
            turn = self._waiting.head(BATCH)
            last = self._position if len(turn) == len(self._waiting) else turn[-1][0]
        positions, entries, sizes = map(list, zip(*turn, strict=True)) if turn else ([], [], [])
        turns = self._turns(len(turn))
        progress, done = turns.extend(self._progress, positions, entries, last)
        with self._lock:
            self._progress = progress
            self._waiting.remove(done)
            self._size -= sum(sizes[:done])

    def _turns(self, number: int) -> Turns:
        """Return who is to run the next turn, which has a number of new texts."""
        now = time.monotonic()
        is_much = number >= MANY and now < self._last_turn + SOON
        self._last_turn = now
        start = self._start_process if is_much and now > self._next_process else None
        if self._process is None and start is not None:
            self._process = start()
        return self._process or self._here

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.close()  # meanwhile `stop` may kill it
        self._process = None

    def _leave_process(self) -> None:
        """End the process, and run the turns in this thread for a while."""
        self._end_process()
        self._next_process = time.monotonic() + RETRY_PROCESS

    def _update(self) -> None:
        noted = self._outdated
        progress, count = self._turns(0).update(self._progress)
        with self._lock:
            self._progress = progress
            # Less than 0 until those are noted that were committed just now. If there are none, all
            # that were noted before had been counted twice.
            self._outdated -= count or noted
        self._notify()

    def _find_waiting(self) -> None:
        """Find the texts that the index lacks: those before what was noted since the start."""
        with self._lock:
            since, first = self._progress.position, self._waiting.first
            until = self._position if first is None else first - 1
        found = WaitingTexts()
        with self._texts.snapshot() as db:
            for position, entry in texts_between(db, since, until):
                found.append(position, entry, 0)
            (all_,) = db.execute(_OUTDATED, (0,)).fetchone()
            (outdated,) = db.execute(_OUTDATED, (self._progress.changed,)).fetchone()
        with self._lock:
            found.extend(self._waiting)
            self._waiting = found
            self._outdated += outdated  # some of them may have been noted already
            self._has_searched = True
        if outdated < all_:
            self._notify()


def last_change(db: sqlite3.Connection) -> int:
    """Return the key of the last change that a database has recorded, whether or not it is there.

    0 if there was none.
    """
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outdated'").fetchone()
    return 0 if row is None else int(row[0])


_OUTDATED: Final = "SELECT count(*) FROM outdated WHERE changed > ?"
