"""Reports: a row for each. Writes take the log (see writer.py)."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Protocol, TypeVar

from gochat.chat.names import NameKey
from gochat.chat.reports import MAX_REPORTS, Report, decode, encode, too_many
from gochat.chat.server_roles import ServerRole
from gochat.storage.sqlite.log import Log
from gochat.storage.sqlite.reader import Reader
from gochat.storage.sqlite.standing import server_role
from gochat.storage.sqlite.writer import Writer

T = TypeVar("T")


class Read(Protocol):
    """Answers a question in a thread."""

    def __call__(self, question: Callable[[], T]) -> Awaitable[T]: ...


class SqliteReports:
    """Implements :class:`~gochat.chat.reports.ReportStore`."""

    def __init__(self, writer: Writer, log: Log, reader: Reader, read: Read) -> None:
        self._writer = writer
        self._log = log
        self._reader = reader
        self._read = read

    async def add(self, report: Report) -> tuple[int, bool]:
        return await self._writer.write(partial(_add, self._log, report))

    async def report(self, id_: int) -> Report | None:
        return await self._read(lambda: self._reader.ask(partial(_find, id_)))

    async def reports(
        self, *, after: int, limit: int, resolved: bool = False
    ) -> tuple[list[Report], bool]:
        question = partial(page, after=after, limit=limit, resolved=resolved)
        return await self._read(lambda: self._reader.ask(question))

    async def change(
        self,
        before: Report,
        after: Report | None,
        roles: Collection[tuple[NameKey, ServerRole]] = (),
    ) -> bool:
        return await self._writer.write(partial(_change, self._log, before, after, roles))


def page(
    db: sqlite3.Connection, after: int, limit: int, *, resolved: bool
) -> tuple[list[Report], bool]:
    """See :meth:`gochat.chat.reports.ReportStore.reports`."""
    rows = db.execute(
        "SELECT id, report FROM report WHERE id > ? AND (handled = 0 OR ?) ORDER BY id LIMIT ?",
        (after, resolved, limit + 1),
    ).fetchall()
    return [decode(*row) for row in rows[:limit]], len(rows) > limit


def put(db: sqlite3.Connection, reports: Sequence[Report]) -> None:
    """Add reports with their ids."""
    db.executemany("INSERT INTO report VALUES (?, ?, ?, ?)", map(_to_row, reports))


def _to_row(report: Report) -> tuple[object, ...]:
    handled = 0 if report.handled is None else report.handled.ts
    return report.id or None, handled, report.digest, encode(report)


def _find(id_: int, db: sqlite3.Connection) -> Report | None:
    row = db.execute("SELECT report FROM report WHERE id = ?", (id_,)).fetchone()
    return None if row is None else decode(id_, row[0])


def _add(log: Log, report: Report) -> tuple[int, bool]:
    """See :meth:`gochat.chat.reports.ReportStore.add`."""
    db = log.db
    query = "SELECT id FROM report WHERE digest = ? AND handled = 0"
    if (row := db.execute(query, (report.digest,)).fetchone()) is not None:
        return int(row[0]), False
    if db.execute("SELECT count(*) FROM report").fetchone()[0] >= MAX_REPORTS:
        dropped = db.execute(
            "DELETE FROM report WHERE id ="
            " (SELECT id FROM report WHERE handled > 0 ORDER BY handled, id LIMIT 1)"
        ).rowcount
        if not dropped:
            raise too_many()
    cursor = db.execute("INSERT INTO report VALUES (NULL, ?, ?, ?)", _to_row(report)[1:])
    assert cursor.lastrowid is not None
    return cursor.lastrowid, True


def _change(
    log: Log,
    before: Report,
    after: Report | None,
    roles: Collection[tuple[NameKey, ServerRole]],
) -> bool:
    """See :meth:`gochat.chat.reports.ReportStore.change`."""
    db = log.db
    if any(server_role(db, person) != role for person, role in roles):
        return False
    arguments: tuple[object, ...] = ()
    if after is None:
        statement = "DELETE FROM report"
    else:
        statement = "UPDATE report SET handled = ?, digest = ?, report = ?"
        arguments = _to_row(after)[1:]
    where = " WHERE id = ? AND report = ?"
    return db.execute(statement + where, (*arguments, before.id, encode(before))).rowcount > 0
