"""Keep the search index up to date: it follows the log, in a thread of its own.

A turn adds new texts, or replaces changed ones, in one transaction of the index. So the index has,
at any time, exactly the texts up to a position in the log, as they were after a number of changes
(:class:`.Progress`).

When a text is edited, deleted, or no longer kept, the same commit of the log records the old one in
the table ``outdated``, because only the text that was added can remove it from the index. Once the
index has lost it, the writer removes it there, too.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.common.integrity import Integrity
from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.search_index import IndexDamaged, Progress, Replaced, SearchIndex
from gochat.storage.sqlite.waiting_texts import WaitingTexts, texts_between

log = structlog.stdlib.get_logger()

#: Texts that make a turn due. A search scans the texts that are not indexed yet.
DUE: Final = 256
#: Characters that make a turn due, although the texts are fewer.
DUE_CHARS: Final = 8192
#: Texts, or changes, of one turn. Indexing them one by one costs five times as much; larger turns
#: bring nothing.
BATCH: Final = 1000
#: Characters of one turn, unless a single text has more: what a stop may have to wait for. The
#: texts of a batch have about as many; pieces that are new to the index cost ten times as much.
TURN: Final = 32_768
#: Turns to run on closing the store: half a million characters. The next start indexes the
#: remainder.
TURNS_AT_END: Final = 16
#: Pages of the index merged in each turn. A batch adds some 25 pages, each of which is merged about
#: six times until it is part of a million messages. FTS5's automatic merge does more at once.
MERGED_PAGES: Final = 192
#: Seconds to wait after what the disk could not take, and after damage.
RETRY: Final = 10.0


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
    ) -> None:
        """`progress` is that of the index, `position` the last one of the log.

        `texts` are closed at the end, unless others use them, too (`is_shared`).
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
                self._due.wait()
                self._due.clear()
            for _ in range(self._turns_at_end):
                if not (self._is_due or self.unindexed) or not self._try_turn():
                    break
        except StoreCorrupt as error:
            self._integrity.lose(error)

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
        except StoreCorrupt:
            raise
        except StoreUnavailable as error:
            if not self._is_failing:
                log.warning("search index is behind", reason=str(error))
            self._is_failing = True
            return False
        except IndexDamaged as error:
            if not self._is_failing:
                log.error("search index damaged", reason=str(error))
            self._is_failing = True
            return self._try_anew()
        except Exception:
            log.exception("store maintenance failed")
            return False
        if self._is_failing:
            log.info("search index follows again")
        self._is_failing = False
        return True

    def _try_anew(self) -> bool:
        """Make the index anew, because it is damaged."""
        try:
            with self._texts.snapshot() as db:
                changed = last_change(db)
            progress = self._index.replace(self._generation, changed)
        except StoreCorrupt:
            raise
        except StoreUnavailable as error:
            log.warning("search index is behind", reason=str(error))
            return False
        with self._lock:
            self._progress = progress
            self._waiting = WaitingTexts()
            self._size = self._outdated = 0
            self._has_searched = False
        return False  # not at once: on a failing disk it would be damaged again

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
            position = self._position
            is_all = len(turn) == len(self._waiting)
        texts: list[tuple[int, str]] = []
        left = TURN
        with self._texts.snapshot() as db:
            for _, entry, _ in turn:
                (text,) = db.execute(_TEXT, (entry, self._progress.changed)).fetchone()
                left -= len(text)
                if left < 0 and texts:
                    break
                texts.append((entry, text))
        done = turn[: len(texts)]
        if not is_all or len(done) < len(turn):
            position = done[-1][0]
        self._index.extend(texts, position, MERGED_PAGES)
        with self._lock:
            self._progress = self._progress._replace(position=position)
            self._waiting.remove(len(done))
            self._size -= sum(size for _, _, size in done)

    def _update(self) -> None:
        before, noted = self._progress, self._outdated
        texts: dict[int, Replaced] = {}
        count, last, left = 0, before.changed, TURN
        with self._texts.snapshot() as db:
            for change, entry, position, old, new in db.execute(_CHANGES, (last, BATCH)):
                left -= len(old) + len(new)
                if left < 0 and count:
                    break
                count, last = count + 1, change
                if position <= before.position:  # others will be added as they are then
                    first = texts[entry][1] if entry in texts else old
                    texts[entry] = entry, first, new
        replaced = [text for text in texts.values() if text[1] != text[2]]
        self._index.update(replaced, last, MERGED_PAGES)
        with self._lock:
            self._progress = before._replace(changed=last)
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


#: The text that an entry had after the change ?2; empty if it is no longer kept.
_TEXT: Final = (
    "SELECT coalesce((SELECT text FROM outdated WHERE entry = ?1 AND changed > ?2"
    " ORDER BY changed LIMIT 1), (SELECT text FROM entry WHERE id = ?1), '')"
)
#: The changes after ?1, each with the text before and after it.
_CHANGES: Final = (
    "SELECT o.changed, o.entry, o.position, o.text, coalesce((SELECT text FROM outdated n"
    " WHERE n.entry = o.entry AND n.changed > o.changed ORDER BY n.changed LIMIT 1),"
    " (SELECT text FROM entry WHERE id = o.entry), '')"
    " FROM outdated o WHERE o.changed > ? ORDER BY o.changed LIMIT ?"
)
_OUTDATED: Final = "SELECT count(*) FROM outdated WHERE changed > ?"
