"""The texts that the search index lacks."""

from __future__ import annotations

import sqlite3
from array import array
from typing import Final

from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS, first_id, last_id


class WaitingTexts:
    """Texts that wait for the index, in the order of the log.

    In arrays, because a new index of a large log begins with millions.
    """

    def __init__(self) -> None:
        self._columns = array("q"), array("q"), array("q")
        self._start = 0  # those before have been removed

    def __len__(self) -> int:
        return len(self._columns[0]) - self._start

    @property
    def first(self) -> int | None:
        """The position of the first text."""
        return self._columns[0][self._start] if len(self) else None

    def append(self, position: int, entry: int, size: int) -> None:
        """Add a text of `size` characters; 0 if that is unknown."""
        for column, value in zip(self._columns, (position, entry, size), strict=True):
            column.append(value)

    def extend(self, more: WaitingTexts) -> None:
        """Add other texts."""
        for column, other in zip(self._columns, more._columns, strict=True):
            column.extend(other[more._start :])

    def head(self, count: int) -> list[tuple[int, int, int]]:
        """Return the first texts, each as its position, its entry, and its size."""
        columns = (column[self._start : self._start + count] for column in self._columns)
        return list(zip(*columns, strict=True))

    def remove(self, count: int) -> None:
        """Remove the first texts."""
        self._start += count
        if self._start > len(self):  # so all of it is moved once
            for column in self._columns:
                del column[: self._start]
            self._start = 0


#: The conversations with entries after a position.
_CONVERSATIONS: Final = (
    "SELECT c.id, (SELECT e.position FROM entry e WHERE e.id BETWEEN c.id << ?1"
    " AND (c.id << ?1) + ?2 ORDER BY e.id DESC LIMIT 1) AS head"
    " FROM conversation c WHERE head > ?3"
)


def texts_between(db: sqlite3.Connection, since: int, until: int) -> list[tuple[int, int]]:
    """Return the texts after one position of the log, up to another, as positions and entries."""
    found: list[tuple[int, int]] = []
    for conversation, _ in db.execute(_CONVERSATIONS, (SEQ_BITS, MAX_SEQ, since)).fetchall():
        before = None
        if since:  # from the end: most often there are few
            before = db.execute(
                "SELECT id FROM entry WHERE id BETWEEN ? AND ? AND position <= ?"
                " ORDER BY id DESC LIMIT 1",
                (first_id(conversation), last_id(conversation), since),
            ).fetchone()
        first = first_id(conversation) if before is None else before[0] + 1
        found += db.execute(
            "SELECT position, id FROM entry WHERE id BETWEEN ? AND ? AND kind = 'text'"
            " AND position <= ?",
            (first, last_id(conversation), until),
        )
    found.sort()
    return found
