"""The database file: checking it, opening connections, and upgrading its schema."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final, Literal, TypeAlias

import structlog

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.common.sqlite_url import Location, Synchronous
from gochat.storage.sqlite import files, history, skeletons
from gochat.storage.sqlite.errors import mapped_errors
from gochat.storage.sqlite.file_size import has_journal, has_wal, require_whole
from gochat.storage.sqlite.history import Generations

log = structlog.stdlib.get_logger()

#: ``immutable``: nothing, in any process, changes the file meanwhile. SQLite then takes no locks,
#: writes nothing beside the file, and ignores the WAL.
Access: TypeAlias = Literal["rw", "ro", "immutable"]

#: Identifies the file as gochat's ("goch"), in its header.
APPLICATION_ID: Final = 0x676F6368
#: Seconds to wait while another process locks the database: longer than a backup or a checkpoint
#: holds the lock, shorter than people wait.
BUSY_TIMEOUT: Final = 2.0
#: Seconds after which opening continues although only part of a large file was checked. Reading the
#: remainder, or ``gochat db check``, finds damage there.
QUICK_CHECK_TIMEOUT: Final = 0.5
#: SQLite virtual machine instructions between two looks at the clock: well under a millisecond.
QUICK_CHECK_STEPS: Final = 10_000
#: Page cache of each connection, in KiB.
CACHE_KIB: Final = 16 * 1024
#: Prepared statements cached by each connection: more than this program has.
STATEMENTS: Final = 256
#: Pages of WAL after which SQLite itself checkpoints, in a commit, where nothing else does: while a
#: copy is made (see checkpoints.py).
AUTOCHECKPOINT_PAGES: Final = 16_000

_HEADER_SIZE: Final = 100
_MAGIC: Final = b"SQLite format 3\0"


@lru_cache(maxsize=1)
def migrations() -> tuple[str, ...]:
    """Return the scripts that create the schema, in order; the n-th produces version n."""
    folder = resources.files("gochat.storage.sqlite") / "migrations"
    scripts = sorted(
        (script for script in folder.iterdir() if script.name.endswith(".sql")),
        key=lambda script: script.name,
    )
    return tuple(script.read_text(encoding="utf-8") for script in scripts)


def inspect(path: Path) -> None:
    """Inspect an existing file before SQLite opens it, which would write beside it.

    Raises:
        StoreCorrupt: it is not a database, or is another program's or a newer gochat's.
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
    """Raise :exc:`~gochat.errors.StoreCorrupt` if an open database is not gochat's, or is newer."""
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
    """Open a connection that any thread may use, one at a time.

    It begins no transactions implicitly. Raises sqlite3's errors.
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
        # Overwrite deleted content where that costs no extra write.
        db.execute("PRAGMA secure_delete = FAST")
    except BaseException:
        db.close()
        raise
    return db


def open_database(location: Location) -> tuple[sqlite3.Connection, Generations]:
    """Open a database for a server, and upgrade its schema if necessary.

    Hold the locks (:mod:`gochat.storage.sqlite.lock`). The connection is in WAL mode (except in
    memory), and the schema is the newest. Returns it with its generations.

    Raises:
        StoreCorrupt: the file is damaged, another program's, or newer; it is not changed.
        StoreUnavailable: it can't be opened now, or is an unfinished copy.
    """
    path = location.path
    if path is None:
        with mapped_errors():
            db = connect(None)
            _migrate(db)
            return db, Generations(None, history.new_name())
    examine(path)
    found = history.opening(path)
    db = open_file(path)
    try:
        with mapped_errors():
            is_durable = location.synchronous == "full"
            generations = history.begin(db, path, found, boot_id(), is_durable=is_durable)
            _use_wal(db, path, location.synchronous)
    except BaseException:
        db.close()
        raise
    return db, generations


def open_copy(location: Location, path: Path) -> sqlite3.Connection:
    """Open an unfinished copy at `path`; hold the locks. Raises as :func:`open_database` does."""
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
    """Create a new, empty database.

    Raises:
        ConfigError: it can't be created.
        StoreUnavailable: the disk is full.
        StoreCorrupt: another database's write-ahead log is there, which SQLite would replay.
    """
    files.make_directory(path)
    if has_wal(path):
        raise StoreCorrupt(
            f"{path} is not there, but its write-ahead log is, {path.name}-wal: bring the file "
            "back, or, for a new store, move the log to where it is kept, for it may have what was "
            "said last. Nothing was changed"
        )
    files.remove(files.beside(path, ".new"))  # we hold the lock: nobody uses it
    history.forget(path)
    with files.in_the_making(path, ".new") as new:
        with mapped_errors(), closing(connect(new)) as db:
            _migrate(db)
        files.publish(new, path, "another process has made it")


def examine(path: Path) -> None:
    """Inspect a database before opening it for writing, without writing anything.

    Raises:
        StoreCorrupt: it is damaged, not a gochat database, or a newer gochat's; or another
            database's write-ahead log is beside it.
        StoreUnavailable: it can't be read.
    """
    inspect(path)
    with mapped_errors():
        if has_wal(path):
            history.require_own_log(path)
        elif not has_journal(path):
            # After a crash, the file is complete only together with its log: SQLite recovers it.
            require_whole(path)
            _quick_check(path)


def open_file(path: Path, *, is_copy: bool = False) -> sqlite3.Connection:
    """Open an examined database, and upgrade its schema. Leave WAL mode unless others read it.

    Opens an unfinished copy only with `is_copy`. Raises the same errors as :func:`open_database`.
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
    """Checkpoint the WAL and leave WAL mode, unless another process reads the database."""
    db.execute("PRAGMA busy_timeout = 0")  # the reader may be a check, which takes half a minute
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
    """Record that the database is closed, once every commit is on disk."""
    db.execute("PRAGMA synchronous = full")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("DELETE FROM meta WHERE key = ?", (history.OPEN_AT_BOOT,))


def boot_id() -> str | None:
    """Return the id of this boot of the machine, or None if the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def user_version(db: sqlite3.Connection) -> int:
    """Return the version of the schema."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _quick_check(path: Path) -> None:
    """Check the file for damage, for a bounded time, without writing beside it."""
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
    if version == 0:
        with _EMPTY_LOCK:  # one transaction: if the process is killed, all of it is missing
            empty = _empty(scripts)
            empty.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (history.EPOCH, history.new_name())
            )
            empty.backup(db)
    else:
        _run(db, scripts, version)


def _run(db: sqlite3.Connection, scripts: Sequence[str], version: int) -> None:
    """Run the scripts that a schema lacks."""
    skeletons.define(db)
    # One script in one transaction: if the process is killed, the old schema remains intact.
    script = ["BEGIN IMMEDIATE;", *scripts[version:]]
    script.append(f"PRAGMA application_id = {APPLICATION_ID};")
    script.append(f"PRAGMA user_version = {len(scripts)};")
    script.append("COMMIT;")
    try:
        db.executescript("\n".join(script))
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


_EMPTY_LOCK: Final = threading.Lock()


@lru_cache(maxsize=1)
def _empty(scripts: Sequence[str]) -> sqlite3.Connection:
    """Return an empty database in memory, which new ones are copies of.

    Running all scripts takes 20 ms, which is more than all else that is done for a new one.
    """
    db = connect(None)
    _run(db, scripts, 0)
    return db
