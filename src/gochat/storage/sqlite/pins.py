"""Pinned messages: :mod:`gochat.chat.pins`. Writes are part of the log's transaction."""

from __future__ import annotations

import sqlite3
from typing import Final

from gochat.chat.conversations import ConversationKey
from gochat.chat.pins import MAX_PINS, PinRef
from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS, first_id, last_id


def is_pinned(db: sqlite3.Connection, entry: int) -> bool:
    """Return whether a message, by its id, is pinned."""
    row = db.execute("SELECT pinned FROM entry WHERE id = ?", (entry,)).fetchone()
    return row is not None and row[0] is not None


def set_pin(db: sqlite3.Connection, entry: int, by: int | None) -> None:
    """Note which entry, by its seq, has pinned a message; None: it is no longer pinned."""
    db.execute("UPDATE entry SET pinned = ? WHERE id = ?", (by, entry))


def is_full(db: sqlite3.Connection, conversation: int) -> bool:
    """Return whether a conversation has as many as it can."""
    (count,) = db.execute(
        "SELECT count(*) FROM entry WHERE pinned IS NOT NULL AND id BETWEEN ? AND ?",
        (first_id(conversation), last_id(conversation)),
    ).fetchone()
    return int(count) >= MAX_PINS


def read(db: sqlite3.Connection, key: ConversationKey) -> list[PinRef]:
    """See :meth:`gochat.chat.store.Store.pins`."""
    return [PinRef(*row) for row in db.execute(_PINS, (key, SEQ_BITS, MAX_SEQ))]


_PINS: Final = (
    "SELECT e.pinned, e.id & ?3, a.name, p.ts FROM conversation c"
    " JOIN entry e INDEXED BY entry_pinned ON e.id BETWEEN c.id << ?2 AND c.id << ?2 | ?3"
    " AND e.pinned IS NOT NULL"
    " JOIN entry p ON p.id = (c.id << ?2 | e.pinned) JOIN account a ON a.key = p.sender"
    " WHERE c.key = ?1 ORDER BY e.pinned DESC"
)
