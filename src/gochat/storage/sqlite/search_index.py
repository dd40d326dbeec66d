"""The search index: an FTS5 table in a file of its own, beside the database.

It contains nothing that the log does not have, so it is not part of a backup, it is made anew
whenever it does not belong to the log or is damaged, and its commits never delay those of the log.

It has :class:`Progress`, changed by the same commits as the table: the table has exactly the texts
of the log up to a position, as they were after a number of changes. The log keeps what texts were
before later changes (the table ``outdated``), so either file may be behind the other.

The two files can't be committed together. What one may have lost is known by the generation of the
database (history.py): the index notes it, and belongs to the database only if that continues this
generation. Commits are as durable as those of the log: where a power failure takes some of them,
the log begins a new history.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import structlog

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.common.sqlite_url import Location, Synchronous
from gochat.storage.indexing.grams import IndexedWords
from gochat.storage.indexing.turns import VERSION, Overtaken, Progress, connect, transaction
from gochat.storage.sqlite import files
from gochat.storage.sqlite.errors import is_damage, mapped_errors

log = structlog.stdlib.get_logger()

#: Identifies the file as gochat's search index ("goci"), in its header.
APPLICATION_ID: Final = 0x676F6369
#: Seconds to wait while another program has the file locked.
BUSY_TIMEOUT: Final = 2.0
#: Bytes of the write-ahead log after which searches wait until it has begun anew. It has a quarter
#: of that most often, for SQLite checkpoints it in the commits.
MOST_LOG: Final = 16 * 1024 * 1024

#: It holds no texts of its own, and neither positions nor sizes of tokens, for it is only asked
#: which entries may match. `automerge` is off, because merging is done in steps (turns.py).
_SCHEMA: Final = """
CREATE TABLE progress (
    generation TEXT NOT NULL,
    position   INTEGER NOT NULL,
    changed    INTEGER NOT NULL
);
CREATE VIRTUAL TABLE search USING fts5 (
    grams, content = '', columnsize = 0, detail = none, prefix = '1 2', tokenize = 'ascii'
);
INSERT INTO search (search, rank) VALUES ('automerge', 0);
"""


class IndexDamaged(Exception):
    """The index can't be used any more, and has to be made anew. The log is not concerned."""


class SearchIndex:
    """The index of one database. One thread or process writes (:mod:`.indexer`), threads read."""

    def __init__(self, location: Location) -> None:
        #: The file; None in memory.
        self.path: Final = None if location.path is None else files.beside(location.path, ".index")
        self.synchronous: Final[Synchronous] = location.synchronous
        #: Held while the reading connection is used. In memory, that is also the writing one.
        self._lock = threading.Lock()
        #: A reader has found damage: whoever writes makes the index anew.
        self.is_damaged = False
        #: Called then, in any thread.
        self.on_damage: Callable[[], None] = lambda: None
        self._writing: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None

    def open(self, before: str | None, now: str, changed: int) -> Progress:
        """Open the index, note the generation `now`, and return its progress.

        It is made anew unless it is of the generation `before`: empty, and as after the change
        `changed`, the last one that the database has.

        Raises:
            StoreUnavailable: it can't be read or written.
        """
        try:
            with mapped_errors(self.path), self._lock:
                progress = self._opened(before, now, changed)
                db = self._connected()
                if self.path is None:
                    self._reading = db
                else:
                    files.close_to_others(self.path)
                    self._reading = _connect(self.path, "ro")
                return progress
        except StoreCorrupt as error:  # a new file: the disk fails. The log may not be concerned
            raise StoreUnavailable(str(error)) from error

    def _opened(self, before: str | None, now: str, changed: int) -> Progress:
        if self.path is not None and before is not None:
            progress = self._continued(self.path, before, now)
            if progress is not None:
                return progress
        progress = Progress(0, changed)
        self._writing = self._created()
        self._writing.execute("INSERT INTO progress VALUES (?, ?, ?)", (now, *progress))
        return progress

    def replace(self, now: str, changed: int) -> Progress:
        """Make the index anew, because it is damaged. Raises as :meth:`open` does."""
        self.close()
        self.is_damaged = False
        return self.open(None, now, changed)

    def close(self) -> None:
        """Close the index. It can be closed twice."""
        with self._lock:
            reading, self._reading = self._reading, None
            writing, self._writing = self._writing, None
        for db in (reading, writing):  # the last one to be closed removes the WAL
            if db is not None:
                db.close()

    # -- reading --------------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[IndexReader]:
        """Yield a snapshot. To compare it with the log, read that before: so it is not newer.

        Raises:
            IndexDamaged: also inside the block.
            StoreUnavailable: it can't be read now.
        """
        with self._lock:
            db = self._reading
            if db is None or self.is_damaged:
                raise IndexDamaged("it is being made anew")
            try:
                with errors(), transaction(db, "BEGIN"):
                    yield IndexReader(db)
            except IndexDamaged:
                self.is_damaged = True
                self.on_damage()
                raise

    # -- writing --------------------------------------------------------------------------------

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction, which is committed at the end.

        Raises:
            IndexDamaged: it has to be made anew; also inside the block.
            StoreUnavailable: it can't be written now; nothing is changed.
        """
        db = self._connected()
        with errors():
            if db is self._reading:
                with self._lock, transaction(db):
                    yield db
            else:
                with transaction(db):
                    yield db

    def progress(self) -> Progress:
        """Return the progress. Raises as :meth:`write` does."""
        with self.write() as db:
            return _progress(db)

    def shorten_log(self) -> None:
        """Begin the write-ahead log anew if it is long, because search has followed search.

        Call it in the thread that writes. Waits for the search that reads it. While another program
        does, the log grows. Raises as :meth:`write` does.
        """
        db = self._connected()
        if self.path is None or _size(files.beside(self.path, "-wal")) <= MOST_LOG:
            return
        with errors(), self._lock:
            db.execute("PRAGMA busy_timeout = 0")
            try:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                db.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")

    # -- the file -------------------------------------------------------------------------------

    def _connected(self) -> sqlite3.Connection:
        if self._writing is None or self.is_damaged:
            raise IndexDamaged("a search has found damage")
        return self._writing

    def _continued(self, path: Path, before: str, now: str) -> Progress | None:
        """Open the file, and return its progress; or close it, and return None: it is another's."""
        if not path.exists():
            return None
        try:
            db = _connect(path, "rw")
            try:
                if _generation(db) == before:
                    self._writing = self._journalled(db)
                    # Together: from here on, a process that a killed server has left can't write.
                    with transaction(db):
                        db.execute("UPDATE progress SET generation = ?", (now,))
                        return _progress(db)
                reason = "it is of another version, or of another generation of the database"
            except BaseException:
                db.close()
                raise
            db.close()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            reason = str(error)
        log.warning("search index made anew", path=str(path), reason=reason)
        return None

    def _created(self) -> sqlite3.Connection:
        path = self.path
        if path is None:
            db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        else:
            _set_aside(path)
            files.make_file(path)
            db = _connect(path, "rw")
        try:
            db.execute("PRAGMA synchronous = off")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")
            db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            return self._journalled(db)
        except BaseException:
            db.close()
            raise

    def _journalled(self, db: sqlite3.Connection) -> sqlite3.Connection:
        if self.path is not None:
            db.execute(f"PRAGMA synchronous = {self.synchronous}")
            if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise StoreUnavailable(f"{self.path}: it can't keep a write-ahead log")
        return db


class IndexReader:
    """One snapshot of the index."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.progress: Final = _progress(db)

    def entries(self, words: IndexedWords, first: int, last: int) -> Iterator[int]:
        """Yield the ids, from `first` to `last`, of entries that may match, newest first."""
        rows = self._db.execute(
            "SELECT rowid FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ?"
            " ORDER BY rowid DESC",
            (words.expression(), first, last),
        )
        return (entry for (entry,) in rows)

    def some_entries(self, words: IndexedWords, limit: int) -> list[int]:
        """Return the ids of at most `limit` entries that may match, in no particular order."""
        rows = self._db.execute(
            "SELECT rowid FROM search WHERE search MATCH ? LIMIT ?", (words.expression(), limit)
        )
        return [entry for (entry,) in rows]

    def tokens(self) -> Iterator[tuple[str, int]]:
        """Yield each token, and in how many texts it is."""
        self._db.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary USING fts5vocab(main, search, row)"
        )
        yield from self._db.execute("SELECT term, doc FROM temp.vocabulary")


@contextmanager
def opened_to_check(path: Path, generation: str) -> Iterator[IndexReader | None]:
    """Yield a snapshot of the index of the database at `path`, without changing anything.

    Yields None if there is none that belongs to this generation: the next start makes it anew.

    Raises:
        IndexDamaged: it is damaged; also inside the block.
        StoreUnavailable: it can't be read now.
    """
    index = files.beside(path, ".index")
    if not index.exists():
        yield None
        return
    # In WAL mode even a reader makes files, unless it opens the file as immutable.
    mode = "ro" if files.beside(index, "-wal").exists() else None
    with errors(), closing(_connect(index, mode)) as db, transaction(db, "BEGIN"):
        yield IndexReader(db) if _generation(db) == generation else None


def _connect(path: Path, mode: str | None) -> sqlite3.Connection:
    return connect(path, "immutable=1" if mode is None else f"mode={mode}", BUSY_TIMEOUT)


def _generation(db: sqlite3.Connection) -> str | None:
    """Return the generation of an index; None if it is not one of ours, or of another version."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if (application, version) != (APPLICATION_ID, VERSION):
        return None
    query = "SELECT 1 FROM sqlite_schema WHERE name = 'progress'"
    if db.execute(query).fetchone() is None:
        return None  # it was never finished
    row = db.execute("SELECT generation FROM progress").fetchone()
    return None if row is None else str(row[0])


def _progress(db: sqlite3.Connection) -> Progress:
    return Progress(*db.execute("SELECT position, changed FROM progress").fetchone())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _set_aside(path: Path) -> None:
    """Remove an index, or what is at its path, which is renamed if it is not a database of ours.

    Raises:
        StoreUnavailable: it can't be.
    """
    try:
        with path.open("rb") as file:
            header = file.read(100)
        if header and header[68:72] != APPLICATION_ID.to_bytes(4, "big"):
            path.replace(files.beside(path, ".set-aside"))
        files.remove(path)
    except FileNotFoundError:
        files.remove(path)  # what a killed server left beside it
    except IsADirectoryError:
        raise StoreUnavailable(
            f"{path} is a directory: move it, the search index goes there"
        ) from None
    except OSError as error:
        raise StoreUnavailable(f"{path} can't be replaced: {error.strerror}") from error


@contextmanager
def errors() -> Iterator[None]:
    """Translate SQLite's errors: IndexDamaged where the index is to be made anew."""
    try:
        yield
    except Overtaken as error:
        raise IndexDamaged("another program has written to it") from error
    except sqlite3.Error as error:
        if is_damage(error):
            raise IndexDamaged(str(error)) from error
        with mapped_errors():
            raise
