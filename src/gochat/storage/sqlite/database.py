"""The database file: finding it, trusting it, opening connections, and what its errors mean."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import structlog

from gochat.errors import ConfigError, GochatError, StoreCorrupt, StoreUnavailable
from gochat.storage.sqlite import files, history, skeletons
from gochat.storage.sqlite.file_size import has_journal, has_wal, require_whole

log = structlog.stdlib.get_logger()

R = TypeVar("R")

Synchronous: TypeAlias = Literal["off", "normal", "full"]
SYNCHRONOUS: Final[dict[str, Synchronous]] = {"off": "off", "normal": "normal", "full": "full"}
#: ``immutable``: nobody, not even in another process, will change the file meanwhile. Then SQLite
#: takes no locks and writes nothing beside it, and does not see what is in a WAL.
Access: TypeAlias = Literal["rw", "ro", "immutable"]

#: Marks the file as gochat's ("goch"), in its header.
APPLICATION_ID: Final = 0x676F6368
#: Seconds to wait for another process that has the database locked: longer than a backup or a
#: checkpoint holds it, shorter than people wait.
BUSY_TIMEOUT: Final = 2.0
#: Seconds after which opening goes on without having checked all of a large file: what lies in
#: the part not seen is found when it is read, and by ``gochat db check``.
QUICK_CHECK_TIMEOUT: Final = 0.5
#: Steps of SQLite's machine between two looks at the time: well under a millisecond.
QUICK_CHECK_STEPS: Final = 10_000
#: KiB of pages that each connection keeps in memory.
CACHE_KIB: Final = 16 * 1024
#: Prepared statements that each connection keeps: more than this program has.
STATEMENTS: Final = 256
#: Pages of WAL after which SQLite itself writes it back, in a commit: should the writer, who does
#: that in between, not come to it.
AUTOCHECKPOINT_PAGES: Final = 16_000

_HEADER_SIZE: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
#: What a shell would have replaced.
_UNEXPANDED: Final = re.compile(r"^~|\$\{?\w+\}?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
#: Of the index of texts (SQLITE_CORRUPT_VTAB), too. That could be made anew from the log, but it
#: lies in the same file, and nobody knows what else there is not as it was written.
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: What Python says, with no code, of a text that is no UTF-8; only UTF-8 is ever written.
_NO_TEXT: Final = "Could not decode to UTF-8"
#: What everybody may know of it.
_PUBLIC: Final = {
    sqlite3.SQLITE_BUSY: "the server's database is in use by another program",
    sqlite3.SQLITE_LOCKED: "the server's database is in use by another program",
    sqlite3.SQLITE_FULL: "the server's disk is full",
    sqlite3.SQLITE_IOERR: "the server's disk reports an error",
}
#: Errors that are this program's own, not the database's state.
OWN_FAULTS: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a database is (`path` is None: in memory), and how carefully it is written."""

    path: Path | None
    synchronous: Synchronous = "normal"


def parse_url(url: str) -> Location:
    """Return what a ``sqlite:`` URL says. Raises :exc:`~gochat.errors.ConfigError`."""
    rest, _, query = url.partition("://")[2].partition("?")
    if rest and not rest.startswith("/"):
        raise ConfigError(
            f"the store {url!r} has a host, which a file does not: "
            f"write sqlite:///{rest} for a path from here"
        )
    synchronous: Synchronous = "normal"
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option != "synchronous":
            raise ConfigError(f"the store {url!r}: there is no option {option!r}")
        if value not in SYNCHRONOUS:
            raise ConfigError(f"the store {url!r}: synchronous is one of {', '.join(SYNCHRONOUS)}")
        synchronous = SYNCHRONOUS[value]
    name = rest[1:]
    if name == ":memory:":
        return Location(None, synchronous)
    if not name:
        raise ConfigError(
            f"the store {url!r} has no path, perhaps because a variable is not set: write "
            "sqlite:////PATH (or sqlite:///:memory: for a store that is gone when it is closed)"
        )
    unexpanded = _UNEXPANDED.search(name)
    if unexpanded:
        raise ConfigError(
            f"the store {url!r}: {unexpanded[0]} is not expanded here: write the path itself, "
            "sqlite:////PATH"
        )
    if name.endswith("/") or name != name.strip() or _CONTROL.search(name):
        raise ConfigError(
            f"the store {url!r} is not the path of a file: it ends with a slash, or has spaces "
            "around it, or control characters in it"
        )
    return Location(Path(name).absolute(), synchronous)


@contextmanager
def mapped_errors(path: Path | None = None) -> Iterator[None]:
    """Raise what SQLite says of the database as gochat's errors, which name the file if its `path`
    is given; let this program's own pass.
    """
    try:
        yield
    except OWN_FAULTS:
        raise
    except sqlite3.Error as error:
        raise translated(error, path) from error


def translated(error: sqlite3.Error, path: Path | None = None) -> GochatError:
    """Return what an error of the database, at `path`, means here."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _DAMAGE or str(error).startswith(_NO_TEXT):
        return StoreCorrupt(f"{path or 'the database'} is damaged: {error}")
    texts = {
        sqlite3.SQLITE_BUSY: "the database is locked by another process",
        sqlite3.SQLITE_LOCKED: "the database is locked",
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_IOERR: "the disk reports an error",
        sqlite3.SQLITE_READONLY: "the database can't be written to",
        sqlite3.SQLITE_CANTOPEN: "the database can't be opened",
    }
    text = texts.get(code, "the database reports an error")
    public = _PUBLIC.get(code, "the server can't use its database now")
    where = "" if path is None else f"{path}: "
    return StoreUnavailable(f"{where}{text} ({error})", public=public)


def raise_damage(error: sqlite3.Error) -> None:
    """Raise :exc:`~gochat.errors.StoreCorrupt` if a database error says that it is damaged."""
    damage = translated(error)
    if isinstance(damage, StoreCorrupt):
        raise damage from error


def required(row: R | None, what: str) -> R:
    """Return a row that must be there.

    Raises:
        StoreCorrupt: it is not.
    """
    if row is None:
        raise StoreCorrupt(f"the database is damaged: {what} is missing")
    return row


def migrations() -> list[str]:
    """Return the scripts that make the schema, in order; the n-th makes version n."""
    folder = resources.files("gochat.storage.sqlite") / "migrations"
    scripts = sorted(
        (script for script in folder.iterdir() if script.name.endswith(".sql")),
        key=lambda script: script.name,
    )
    return [script.read_text(encoding="utf-8") for script in scripts]


def inspect(path: Path) -> None:
    """Look at an existing file before SQLite does, which would write beside it.

    Raises:
        StoreCorrupt: it is not a database, or another program's, or a newer gochat's.
        StoreUnavailable: it can't be read.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
    except OSError as error:
        raise files.unreadable(path, error) from error
    if not header:
        raise StoreCorrupt(
            f"{path} is empty: a store was lost there, or something else made the file. To begin a "
            "new store, remove it"
        )
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise StoreCorrupt(f"{path} is not a database; it was left as it is")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is another program's database; it is left as it is")
    _check_version(path, int.from_bytes(header[60:64], "big"))


def require_ours(db: sqlite3.Connection, path: Path | None) -> None:
    """Raise :exc:`~gochat.errors.StoreCorrupt` if an open database is another program's, or a
    newer gochat's."""
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is another program's database; it is left as it is")
    _check_version(path, user_version(db))


def _check_version(path: Path | None, version: int) -> None:
    newest = len(migrations())
    if version > newest:
        raise StoreCorrupt(
            f"{path} was written by a newer gochat (schema {version}, this one knows {newest}): "
            "update gochat; the file is left as it is"
        )


def connect(path: Path | None, access: Access = "rw") -> sqlite3.Connection:
    """Open a connection that may be used by one thread at a time, any of them.

    It begins no transactions by itself. Raises sqlite3's errors.
    """
    options = "immutable=1" if access == "immutable" else f"mode={access}"
    target = ":memory:" if path is None else f"{path.absolute().as_uri()}?{options}"
    db = sqlite3.connect(
        target,
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    try:
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute("PRAGMA foreign_keys = ON")
        # What people delete is overwritten, where that costs no further write.
        db.execute("PRAGMA secure_delete = FAST")
    except BaseException:
        db.close()
        raise
    return db


def open_database(location: Location) -> sqlite3.Connection:
    """Open a database for a server, and bring its schema up to date, if need be.

    The caller holds the locks (:mod:`gochat.storage.sqlite.lock`). Returns with a connection in
    WAL mode (a file) whose schema is the newest.

    Raises:
        StoreCorrupt: the file is damaged, another program's or newer; it is left as it is.
        StoreUnavailable: it can't be opened now, or is a copy that is not finished.
    """
    path = location.path
    if path is None:
        with mapped_errors():
            db = connect(None)
            _migrate(db)
            return db
    examine(path)
    found = history.opening(path)
    db = open_file(path)
    try:
        with mapped_errors():
            is_durable = location.synchronous == "full"
            history.begin(db, path, found, boot_id(), is_durable=is_durable)
            _use_wal(db, path, location.synchronous)
    except BaseException:
        db.close()
        raise
    return db


def open_copy(location: Location, path: Path) -> sqlite3.Connection:
    """Open a copy in the making, at `path`; the caller holds the locks. Raises as
    :func:`open_database` does, if it was begun and can't be gone on with."""
    if path.stat().st_size:
        examine(path)
        db = open_file(path, is_copy=True)
    else:
        with mapped_errors():
            db = connect(path)
    try:
        with mapped_errors():
            _migrate(db)
            _use_wal(db, path, location.synchronous)
    except BaseException:
        db.close()
        raise
    return db


def create(path: Path) -> None:
    """Make a new database, with nobody and nothing in it.

    Raises:
        ConfigError: it can't be made.
        StoreUnavailable: the disk is full.
        StoreCorrupt: the write-ahead log of another one is there, which SQLite would replay.
    """
    files.make_directory(path)
    if has_wal(path):
        raise StoreCorrupt(
            f"{path} is not there, but its write-ahead log is, {path.name}-wal: bring the file "
            "back, or, for a new store, move the log to where it is kept, for it may have what was "
            "said last. Nothing was changed"
        )
    files.remove(files.beside(path, ".new"))  # the lock is held: nobody is at it
    history.forget(path)
    with files.in_the_making(path, ".new") as new:
        with mapped_errors(), closing(connect(new)) as db:
            _migrate(db)
        files.publish(new, path, "another process has made it")


def examine(path: Path) -> None:
    """Look at a database that is to be opened for writing, without writing anything.

    Raises:
        StoreCorrupt: it is damaged, no database of gochat or a newer one's; or beside it is the
            write-ahead log of another one.
        StoreUnavailable: it can't be read.
    """
    inspect(path)
    with mapped_errors():
        if has_wal(path):
            history.require_own_log(path)
        elif not has_journal(path):
            # With either, what a killed server left is the file only with it: SQLite recovers it.
            require_whole(path)
            _quick_check(path)


def open_file(path: Path, *, is_copy: bool = False) -> sqlite3.Connection:
    """Open an examined database, not in WAL mode if nobody reads it, with its schema up to date.

    One that is a copy in the making only if `is_copy`. Raises as :func:`open_database` does.
    """
    with mapped_errors():
        db = connect(path)
        try:
            require_ours(db, path)
            if user_version(db) == 0:
                raise StoreCorrupt(f"{path} was never finished: remove it, or bring back a backup")
            if not is_copy:
                history.require_finished(db, path)
            _leave_wal(db)
            before = user_version(db)
            _migrate(db)
            if (now := user_version(db)) != before:
                log.warning(
                    "store upgraded",
                    path=str(path),
                    schema=now,
                    before=before,
                    advice="older versions of gochat can't use it any more: keep your last backup",
                )
        except BaseException:
            db.close()
            raise
    return db


def _leave_wal(db: sqlite3.Connection) -> None:
    """Write the WAL back and leave that mode, unless another process reads the database."""
    db.execute("PRAGMA busy_timeout = 0")  # it may be a check, which takes half a minute
    try:
        db.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
    finally:
        db.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")


def _use_wal(db: sqlite3.Connection, path: Path, synchronous: Synchronous) -> None:
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute(f"PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT_PAGES}")
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StoreUnavailable(f"{path}: this file system can't keep a write-ahead log")


def mark_closed(db: sqlite3.Connection) -> None:
    """Note that the database is closed, once all that was committed is on the disk."""
    db.execute("PRAGMA synchronous = full")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("DELETE FROM meta WHERE key = ?", (history.OPEN_AT_BOOT,))


def boot_id() -> str | None:
    """Return what names this start of the machine, or None where the system doesn't say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def user_version(db: sqlite3.Connection) -> int:
    """Return the schema's version."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _quick_check(path: Path) -> None:
    """Read through the file for damage, for a bounded time, and without writing beside it."""
    with closing(connect(path, "immutable")) as db:
        deadline = time.monotonic() + QUICK_CHECK_TIMEOUT
        db.set_progress_handler(lambda: time.monotonic() > deadline, QUICK_CHECK_STEPS)
        try:
            findings = [row[0] for row in db.execute("PRAGMA quick_check(1)")]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return
    if findings != ["ok"]:
        raise StoreCorrupt(f"{path} is damaged ({findings[0]}); it is left as it is")


def _migrate(db: sqlite3.Connection) -> None:
    version = user_version(db)
    scripts = migrations()
    if version == len(scripts):
        return
    skeletons.define(db)
    # One script and one transaction: a kill in the middle leaves the old schema whole.
    script = ["BEGIN IMMEDIATE;", *scripts[version:]]
    if version == 0:
        # An epoch has only letters and digits.
        script.append(f"INSERT INTO meta VALUES ('epoch', '{history.new_name()}');")  # noqa: S608
        script.append(f"PRAGMA application_id = {APPLICATION_ID};")
    script.append(f"PRAGMA user_version = {len(scripts)};")
    script.append("COMMIT;")
    try:
        db.executescript("\n".join(script))
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
