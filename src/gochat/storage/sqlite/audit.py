"""The audit log: a row for each entry, which is only ever added, and dropped when it is too old."""

# ruff: noqa: S608 -- the statements contain only this module's own list of columns

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import astuple, replace

from gochat.chat.administration import AUDIT_KEPT, AuditEntry
from gochat.storage.sqlite.log import Log

_NAMES: Final = AuditEntry.__struct_fields__
COLUMNS: Final = ", ".join(_NAMES)


def record(log: Log, entry: AuditEntry) -> int:
    """See :meth:`gochat.chat.administration.Administration.record`."""
    (last,) = log.db.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()
    put(log.db, [replace(entry, id=last + 1)])
    log.db.execute("DELETE FROM audit WHERE id <= ?", (last + 1 - AUDIT_KEPT,))
    return int(last) + 1


def put(db: sqlite3.Connection, entries: Sequence[AuditEntry]) -> None:
    """Add entries with their ids; those that are there already stay."""
    db.executemany(
        f"INSERT INTO audit ({COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
        " ON CONFLICT DO NOTHING",
        [astuple(entry) for entry in entries],
    )


def page(db: sqlite3.Connection, before: int | None, limit: int) -> tuple[list[AuditEntry], bool]:
    """See :meth:`gochat.chat.administration.Administration.audit`."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM audit WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
        (before, limit + 1),
    ).fetchall()
    found = [_of_row(row) for row in rows]
    return found[:limit], len(found) > limit


def after(db: sqlite3.Connection, id_: int, limit: int) -> list[AuditEntry]:
    """Return the oldest entries after an id."""
    query = f"SELECT {COLUMNS} FROM audit WHERE id > ? ORDER BY id LIMIT ?"
    return [_of_row(row) for row in db.execute(query, (id_, limit))]


def _of_row(row: Sequence[Any]) -> AuditEntry:
    return AuditEntry(**dict(zip(_NAMES, row, strict=True)))
