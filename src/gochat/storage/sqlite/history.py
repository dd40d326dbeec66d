"""Decide whether a database continues its history or begins a new one when a server starts on it.

Clients keep cursors in a history, which the epoch names. If acknowledged entries may be missing,
the epoch must change. Otherwise clients would take the entries that replace them for those they
have. Entries can be missing in these ways, detected as follows:

- **The machine went down** with commits that were not synced to disk. While it is open, the
  database records the boot of the machine (`open_at_boot`); closing it removes the record.
- **It is a backup, or a copy of another store.** It carries a mark (`unstarted`), which the first
  server that starts on it removes. So a backup that is restored twice becomes two histories.
- **It is a copy made by other means** (``cp``, ``tar``, a disk image), or another file at its path.
  At each start, the database and a file beside it (:class:`Beside`) get a new *generation*, a
  random name. The file beside also records the inode of the database, which a copy elsewhere does
  not share. Both files can be restored together, in place, so each records the ctime of the other,
  which no copying tool can set: the database has the ctime of the file beside while it is open, and
  after a crash; the file beside has that of the database once the server has closed it. The device
  number is never recorded, because it can change with each boot.

The two files can't change atomically, and a crash in between must neither begin a new history
without need nor miss one. So the file beside can name two generations:

1. If the database is as it was closed, the file beside drops the recorded ctime, since opening the
   database changes it. Then it gets the next generation: beside the present one if the history
   continues, alone if a new one begins.
2. The database gets the next generation, in the transaction that also changes the epoch, removes
   the mark, and drops the ctime of the file beside.
3. The file beside gets that generation only, and the inode. It is not written again until the
   database is closed.
4. The database records the ctime that the file beside has now.

Each step is on disk before the next, and no client is served before the last. After a crash before
step 2, the database has a known generation exactly if its history continues. After step 2, the new
history has begun, and the database has a known generation.

Two cases go undetected, since no matching ctime could be recorded: a copy of the state that a crash
within these four steps left, and a copy made while the server ran, if it is put back without the
file beside it after that same run crashed.

The transactions do not use WAL mode, so they end up in the database file itself. Its content
without the write-ahead log must therefore have a known generation. Otherwise the log beside it
belongs to another database, and is not replayed. (While another process reads the database, WAL
mode can't be left. Then the generation that the file itself may still have is recorded, too.)
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog
from msgspec import Struct, structs

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.sqlite import files
from gochat.storage.sqlite.files import FileIdentity

log = structlog.stdlib.get_logger()

#: Keys of `meta`.
EPOCH: Final = "epoch"
OPEN_AT_BOOT: Final = "open_at_boot"
GENERATION: Final = "generation"
#: The ctime of the file beside, in nanoseconds, as the last start left it.
BESIDE_CHANGED: Final = "beside_changed"
#: What the file is, for people, until a server has started on it.
UNSTARTED: Final = "unstarted"
#: The source of an unfinished copy; no server starts on it.
COPY_OF: Final = "copy of"

#: The generation of a database that predates generations.
_NONE: Final = "none"
#: Maximum size of the file beside, in bytes; it has a few hundred.
_MAX_SIZE: Final = 4096
#: Without i, l, o, u: people read an epoch aloud to compare it.
_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"


class Beside(Struct, frozen=True, omit_defaults=True):
    """The content of the file beside a database.

    `generations` are those that the database may have. `changed` is its ctime in nanoseconds, set
    once it is closed. `without_log` is the generation that it may have without its write-ahead log.
    With `is_starting`, the database records the ctime of an earlier file beside it.
    """

    generations: list[str]
    inode: int | None = None
    changed: int | None = None
    without_log: str | None = None
    is_starting: bool = False


_decode: Final = msgspec.json.Decoder(Beside).decode


class FileState(Struct, frozen=True):
    """The state of a database file before anything opened it."""

    beside: Beside | None
    inode: int
    changed: int
    beside_changed: int | None
    without_log: str | None = None

    def foreign(self, db: sqlite3.Connection) -> str | None:
        """Return why the open database is not the file last served at its path; None if it is."""
        beside, generation = self.beside, get(db, GENERATION)
        if beside is None:
            if generation is None:
                return None
            return "the file was copied here: no generation is noted beside it"
        if (generation or _NONE) not in beside.generations:
            return "the file is not the one that was served here last: its generation is another"
        if beside.inode not in (None, self.inode):
            return "the file is a copy of the one that was served last: its inode is another"
        if beside.changed not in (None, self.changed):
            return "the file was changed or replaced after the server closed it"
        if beside.changed is None and not beside.is_starting:
            noted = get(db, BESIDE_CHANGED)
            if noted not in (None, str(self.beside_changed)):
                return "the file, or the one beside it, was changed or put back after a crash"
        return None


class Generations(NamedTuple):
    """The generation that a database continues, None if its history is new; and the present one."""

    continued: str | None
    now: str


def look(path: Path) -> FileState:
    """Inspect a database and the file beside it, without opening them in SQLite.

    Raises:
        StoreUnavailable: the file beside can't be read.
    """
    status, beside = path.stat(), _read(path)
    beside_changed = None if beside is None else _beside_changed(path)
    return FileState(beside, status.st_ino, status.st_ctime_ns, beside_changed)


def opening(path: Path) -> FileState:
    """Inspect a database that a server is about to open, and record that opening will change it.

    Raises:
        StoreUnavailable: the file beside can't be written.
    """
    found = look(path)
    beside = found.beside
    if beside is not None and (beside.inode, beside.changed) == (found.inode, found.changed):
        _write(path, Beside(beside.generations, beside.inode, is_starting=True))
    in_file = _in_file(path)
    return found if in_file is None else structs.replace(found, without_log=in_file[0])


def new_name() -> str:
    """Return a random name for a new history, or for a new generation of one."""
    return "".join(secrets.choice(_DIGITS) for _ in range(8))


def mark_unstarted(db: sqlite3.Connection, what: str) -> None:
    """Mark a database that no server has started on; `what` describes it to people."""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    db.execute(
        "DELETE FROM meta WHERE key IN (?, ?, ?)", (GENERATION, BESIDE_CHANGED, OPEN_AT_BOOT)
    )
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (UNSTARTED, f"{what}, made {made}"))


def require_finished(db: sqlite3.Connection, path: Path | None) -> None:
    """Raise :exc:`~gochat.errors.StoreUnavailable` if it is an unfinished copy."""
    if get(db, COPY_OF) is not None:
        raise StoreUnavailable(
            f"{path} is a copy that is not finished: give the same `gochat db copy` again"
        )


def require_own_log(path: Path) -> None:
    """Raise :exc:`~gochat.errors.StoreCorrupt` if a closed database's write-ahead log is foreign.

    SQLite would replay it. Hold the lock.
    """
    known, in_file = _read(path), _in_file(path)
    if in_file is None:
        return  # after a crash of the machine, the log has what the file lacks
    generation, mark = in_file
    known_here = known is None or generation in (*known.generations, known.without_log)
    if mark is not None or not known_here:
        raise StoreCorrupt(
            f"{path} was replaced or put back, and whether the write-ahead log beside it, "
            f"{path.name}-wal, belongs to it can't be known: with that of another file it would be "
            "damaged, and without its own it lacks what was said last. Bring the copy back from "
            "where it is kept, with `gochat db restore --replace`; it is read there with its own "
            "log, and what is here is kept. If it is kept nowhere else, copy both files into "
            "another directory, and restore from there. Nothing was changed"
        )


def _in_file(path: Path) -> tuple[str, str | None] | None:
    """Return the generation and the mark of a database without its write-ahead log.

    Returns None if it can't be read that way.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as db:
            return get(db, GENERATION) or _NONE, get(db, UNSTARTED)
    except sqlite3.Error:
        return None


def begin(
    db: sqlite3.Connection, path: Path, found: FileState, boot: str | None, *, is_durable: bool
) -> Generations:
    """Record in a database that a server starts on it, and begin a new history if necessary.

    Hold the lock; the database is in WAL mode only if others read it. `found` is the result of
    `opening`; `boot` identifies this boot of the machine. With `is_durable`, each commit will be on
    disk before it is acknowledged.

    Raises:
        StoreUnavailable: it can't be written.
    """
    reason = _reason(db, found, boot)
    generation, before = new_name(), get(db, GENERATION) or _NONE
    is_wal = db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    without_log = found.without_log if is_wal else None
    goes_on = [before] if reason is None else []
    inode = path.stat().st_ino
    _write(path, Beside([*goes_on, generation], inode, None, without_log, is_starting=True))
    db.execute("PRAGMA synchronous = extra")
    db.execute("BEGIN IMMEDIATE")
    if reason is not None:
        _set(db, EPOCH, new_name())
    db.execute("DELETE FROM meta WHERE key IN (?, ?, ?)", (UNSTARTED, BESIDE_CHANGED, OPEN_AT_BOOT))
    _set(db, GENERATION, generation)
    if boot is not None and not is_durable:
        _set(db, OPEN_AT_BOOT, boot)
    db.execute("COMMIT")
    _write(path, Beside([generation], inode, without_log=without_log))
    _set(db, BESIDE_CHANGED, str(_beside_changed(path)))
    if reason is not None:
        log.warning("new epoch", path=str(path), epoch=get(db, EPOCH), reason=reason)
    return Generations(before if reason is None else None, generation)


def _reason(db: sqlite3.Connection, found: FileState, boot: str | None) -> str | None:
    """Return why a new history must begin; None if the present one continues."""
    mark = get(db, UNSTARTED)
    if mark is not None:
        return f"the file is {mark}"
    if boot is not None and get(db, OPEN_AT_BOOT) not in (None, boot):
        return "the machine went down while the store was open"
    return found.foreign(db)


def close(path: Path, held: FileIdentity) -> None:
    """Record the state of a database that this process has closed."""
    if files.beside(path, "-wal").exists():
        return  # another process has it open, and will clean up
    with suppress(OSError, StoreUnavailable):  # then only the inode detects copies of it
        known = _read(path)
        status = path.stat()
        if known is not None and held == (status.st_dev, status.st_ino):
            _write(path, Beside(known.generations, status.st_ino, status.st_ctime_ns))


def forget(path: Path) -> None:
    """Remove the file beside a database: its next start begins a new epoch. Hold the lock."""
    _file(path).unlink(missing_ok=True)


def get(db: sqlite3.Connection, key: str) -> str | None:
    """Return what the database records under `key`; None if nothing."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def _set(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _file(path: Path) -> Path:
    return files.beside(path, ".generation")


def _beside_changed(path: Path) -> int | None:
    """Return the ctime of the file beside a database, in nanoseconds; None if it is missing."""
    try:
        return _file(path).stat().st_ctime_ns
    except OSError:
        return None


def _read(path: Path) -> Beside | None:
    """Return the file beside a database; None if missing, no generations if malformed."""
    try:
        with _file(path).open("rb") as file:
            text = file.read(_MAX_SIZE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.unreadable(_file(path), error) from error
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return Beside([])


def _write(path: Path, content: Beside) -> None:
    """Replace the file beside atomically, and sync it to disk."""
    target = _file(path)
    new = files.beside(target, ".new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(content) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
        files.sync_directory(target)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise StoreUnavailable(f"{target} can't be written: {error.strerror}") from error
