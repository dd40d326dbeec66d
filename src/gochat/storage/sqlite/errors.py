"""SQLite's errors as gochat's: which mean damage, which pass, and what clients may see of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from gochat.errors import GochatError, StoreCorrupt, StoreUnavailable

R = TypeVar("R")

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: Python's message, without an error code, for a text that is not UTF-8; gochat writes only UTF-8.
_NO_TEXT: Final = "Could not decode to UTF-8"
#: The messages that every client may see.
_PUBLIC: Final = {
    sqlite3.SQLITE_BUSY: "the server's database is in use by another program",
    sqlite3.SQLITE_LOCKED: "the server's database is in use by another program",
    sqlite3.SQLITE_FULL: "the server's disk is full",
    sqlite3.SQLITE_IOERR: "the server's disk reports an error",
}
#: Errors caused by this program, not by the state of the database.
OWN_FAULTS: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)


@contextmanager
def mapped_errors(path: Path | None = None) -> Iterator[None]:
    """Translate SQLite's errors into gochat's, which name the file if `path` is given.

    Errors caused by this program pass unchanged.
    """
    try:
        yield
    except OWN_FAULTS:
        raise
    except sqlite3.Error as error:
        raise translated(error, path) from error


def translated(error: sqlite3.Error, path: Path | None = None) -> GochatError:
    """Return gochat's error for an SQLite error of the database at `path`."""
    code = _code(error)
    if is_damage(error):
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


def is_damage(error: sqlite3.Error) -> bool:
    """Return True if an error means that the file is damaged."""
    return _code(error) in _DAMAGE or str(error).startswith(_NO_TEXT)


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def raise_damage(error: sqlite3.Error) -> None:
    """Raise :exc:`~gochat.errors.StoreCorrupt` if a database error means damage."""
    damage = translated(error)
    if isinstance(damage, StoreCorrupt):
        raise damage from error


def required(row: R | None, what: str) -> R:
    """Return a row that must exist.

    Raises:
        StoreCorrupt: it is missing.
    """
    if row is None:
        raise StoreCorrupt(f"the database is damaged: {what} is missing")
    return row
