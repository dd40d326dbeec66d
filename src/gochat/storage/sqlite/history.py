"""Whether a database goes on with its history, or begins a new one, when a server starts on it.

Clients keep positions of a history by its name, the epoch. If something that was acknowledged may
be missing, the name must change, or they would take what comes in its place for what they have.
These are the ways in which it can be missing, and how each is seen:

- **The machine went down**, with commits that were not forced to the disk. The database notes under
  which start of the machine it is open (`open_at_boot`), and takes that back when it is closed.
- **It is a backup, or a copy of another store.** It carries a mark (`unstarted`), which the first
  server that starts on it takes off. So a backup that is restored twice becomes two histories.
- **It is a copy made by other means** (``cp``, ``tar``, a disk image), or another file in its
  place. At each start the database gets a new *generation*, a random name, and so does a file
  beside it (:class:`Beside`). That one also has the inode of the database, which a copy in another
  place does not share. Both can be put back together, into the files that are there, so each has
  the time of change of the other, which nothing that copies can set: the database has that of the
  file beside while it is open, and after a crash; the file beside has that of the database when
  the server has closed it. The number of the device is never noted, for it may be another one after
  each start of the machine.

The two files can't change in one step, and a crash between must neither begin a new history for
nothing nor miss one. So the file beside can name two generations:

1. If the database is as it was closed, the file beside drops its time of change, which opening the
   database changes. Then it gets the coming generation, besides the present one if the history
   goes on, and alone if a new one begins.
2. The database gets the coming one, in the transaction that also changes the epoch, takes off
   the mark, and drops the time of change of the file beside.
3. The file beside is left with that one, and the inode. It is not written again until the database
   is closed.
4. The database gets the time of change that the file beside has now.

Each step is on the disk before the next, and nobody is served before the last. If it ends before
the second, the database is of a known generation just when its history goes on; if after it, the
new history has begun, and the database is of a known generation.

Two things are not noticed, since no time of change could be noted that fits: a copy of what a crash
within these four steps left, and a copy made while the server ran, if it is put back, without the
file beside it, after that same run ended in a crash.

The transactions are not made in WAL mode, so that afterwards they are in the database file itself.
So what is there without the write-ahead log must be of a known generation; else the log beside it
is another database's, and is not replayed into it. (While another process reads the database, that
mode can't be left. Then the generation that the file itself may still have is noted, too.)
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

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
#: The time of change of the file beside, in nanoseconds, since it was left there at a start.
BESIDE_CHANGED: Final = "beside_changed"
#: What the file is, for people, until a server has started on it.
UNSTARTED: Final = "unstarted"
#: Of which source it is a copy in the making; no server starts on it.
COPY_OF: Final = "copy of"

#: What a database of before there were generations has.
_NONE: Final = "none"
#: Bytes of the file beside at most; it has some hundred.
_MAX_SIZE: Final = 4096
#: Without I, L, O, U: an epoch is read aloud when people compare what they see.
_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"


class Beside(Struct, frozen=True, omit_defaults=True):
    """What is written beside a database: the generations that it may be of, its inode, and, once
    it is closed, its time of change in nanoseconds. `without_log` is the generation that it may be
    of without its write-ahead log. With `is_starting`, the database has the time of change of an
    earlier file beside it."""

    generations: list[str]
    inode: int | None = None
    changed: int | None = None
    without_log: str | None = None
    is_starting: bool = False


class FileState(Struct, frozen=True):
    """What a database file was found to be, before anything opened it."""

    beside: Beside | None
    inode: int
    changed: int
    beside_changed: int | None
    without_log: str | None = None

    def foreign(self, db: sqlite3.Connection) -> str | None:
        """Return by what the database, now open, is seen to be another file than the one that was
        served last in its place; None if it is that one."""
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


def look(path: Path) -> FileState:
    """Look at a database and at what is beside it, without opening it.

    Raises:
        StoreUnavailable: what is beside it can't be read.
    """
    status, beside = path.stat(), _read(path)
    beside_changed = None if beside is None else _beside_changed(path)
    return FileState(beside, status.st_ino, status.st_ctime_ns, beside_changed)


def opening(path: Path) -> FileState:
    """Look at a database that a server is about to open, which changes it, and note that.

    Raises:
        StoreUnavailable: it can't be written.
    """
    found = look(path)
    beside = found.beside
    if beside is not None and (beside.inode, beside.changed) == (found.inode, found.changed):
        _write(path, Beside(beside.generations, beside.inode, is_starting=True))
    in_file = _in_file(path)
    return found if in_file is None else structs.replace(found, without_log=in_file[0])


def new_name() -> str:
    """Return a name for a new history, or a new generation of one."""
    return "".join(secrets.choice(_DIGITS) for _ in range(8))


def mark_unstarted(db: sqlite3.Connection, what: str) -> None:
    """Mark a database that no server has started on; people are shown `what` it is."""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    db.execute(
        "DELETE FROM meta WHERE key IN (?, ?, ?)", (GENERATION, BESIDE_CHANGED, OPEN_AT_BOOT)
    )
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (UNSTARTED, f"{what}, made {made}"))


def require_finished(db: sqlite3.Connection, path: Path | None) -> None:
    """Raise :exc:`~gochat.errors.StoreUnavailable` if it is a copy in the making."""
    if get(db, COPY_OF) is not None:
        raise StoreUnavailable(
            f"{path} is a copy that is not finished: give the same `gochat db copy` again"
        )


def require_own_log(path: Path) -> None:
    """Raise :exc:`~gochat.errors.StoreCorrupt` if the write-ahead log beside a database that is
    closed is another one's, for SQLite would replay it. The lock is held."""
    known, in_file = _read(path), _in_file(path)
    if in_file is None:
        return  # the log has what the file lacks, after a crash of the machine
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
    """Return the generation and the mark that a database has without its write-ahead log, if it
    can be read like that."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as db:
            return get(db, GENERATION) or _NONE, get(db, UNSTARTED)
    except sqlite3.Error:
        return None


def begin(
    db: sqlite3.Connection, path: Path, found: FileState, boot: str | None, *, is_durable: bool
) -> None:
    """Note in a database that a server starts on it, and begin a new history if need be.

    The lock is held, and the database is in WAL mode only if others read it. `found` is what
    `opening` returned; `boot` names this start of the machine; with `is_durable`, each commit will
    be on the disk before it is acknowledged.

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


def _reason(db: sqlite3.Connection, found: FileState, boot: str | None) -> str | None:
    """Return why a new history must begin, None if the one that is there goes on."""
    mark = get(db, UNSTARTED)
    if mark is not None:
        return f"the file is {mark}"
    if boot is not None and get(db, OPEN_AT_BOOT) not in (None, boot):
        return "the machine went down while the store was open"
    return found.foreign(db)


def close(path: Path, held: FileIdentity) -> None:
    """Note how a database was left that this process has closed."""
    if files.beside(path, "-wal").exists():
        return  # another process has it open, and will tidy up
    with suppress(OSError, StoreUnavailable):  # then copies of it are told by their inode only
        known = _read(path)
        status = path.stat()
        if known is not None and held == (status.st_dev, status.st_ino):
            _write(path, Beside(known.generations, status.st_ino, status.st_ctime_ns))


def forget(path: Path) -> None:
    """Remove the file beside a database that is no longer there. The lock is held."""
    _file(path).unlink(missing_ok=True)


def get(db: sqlite3.Connection, key: str) -> str | None:
    """Return what the database has noted under a key."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def _set(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _file(path: Path) -> Path:
    return files.beside(path, ".generation")


def _beside_changed(path: Path) -> int | None:
    """Return the time of change of the file beside a database, if there is one."""
    try:
        return _file(path).stat().st_ctime_ns
    except OSError:
        return None


def _read(path: Path) -> Beside | None:
    """Return what is beside a database; no generation at all if it can't be understood."""
    try:
        with _file(path).open("rb") as file:
            text = file.read(_MAX_SIZE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.unreadable(_file(path), error) from error
    try:
        return msgspec.json.decode(text, type=Beside)
    except msgspec.DecodeError:
        return Beside([])


def _write(path: Path, content: Beside) -> None:
    """Write it as a whole, and to the disk."""
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
