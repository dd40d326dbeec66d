"""Messages that people have saved: :mod:`gochat.chat.saved`."""

# ruff: noqa: S608 -- the statements contain only this module's own text

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.saved import MAX_SAVED, SavedRef, too_many_saved
from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS


def change(db: sqlite3.Connection, person: NameKey, ref: SavedRef, *, on: bool) -> bool:
    """See :meth:`gochat.chat.store.Store.set_saved`."""
    row = db.execute("SELECT id FROM conversation WHERE key = ?", (ref.conversation,)).fetchone()
    if row is None:
        return False
    entry = row[0] << SEQ_BITS | ref.seq
    if not on:
        delete = "DELETE FROM saved WHERE person = ? AND entry = ?"
        return bool(db.execute(delete, (person, entry)).rowcount)
    there = "SELECT 1 FROM saved WHERE person = ? AND entry = ?"
    if db.execute(there, (person, entry)).fetchone() is not None:
        return False
    if _count(db, person) >= MAX_SAVED:
        db.execute(_FORGET, (person, SEQ_BITS, MAX_SEQ))
        if _count(db, person) >= MAX_SAVED:
            raise too_many_saved()
    insert = "INSERT INTO saved SELECT key, ?, ?, ? FROM account WHERE key = ?"
    return bool(db.execute(insert, (entry, ref.written, ref.ts, person)).rowcount)


def read(db: sqlite3.Connection, person: NameKey, *, all_of_them: bool = False) -> list[SavedRef]:
    """See :meth:`gochat.chat.store.Store.saved`."""
    query = (
        "SELECT s.ts, c.key, s.entry & ?3, s.written FROM saved s"
        " JOIN conversation c ON c.id = s.entry >> ?2 WHERE s.person = ?1"
    )
    if not all_of_them:
        query += f" AND s.entry IN ({_READABLE})"
    rows = db.execute(query, (person, SEQ_BITS, MAX_SEQ))
    refs = [SavedRef(ts, ConversationKey(key), seq, written) for ts, key, seq, written in rows]
    return sorted(refs, reverse=True)


def put(db: sqlite3.Connection, person: NameKey, refs: Iterable[SavedRef]) -> None:
    """Add what a person has saved, where the conversation is there."""
    db.executemany(
        "INSERT INTO saved SELECT ?, c.id << ? | ?, ?, ? FROM conversation c WHERE c.key = ?"
        " ON CONFLICT DO NOTHING",
        [(person, SEQ_BITS, ref.seq, ref.written, ref.ts, ref.conversation) for ref in refs],
    )


def _count(db: sqlite3.Connection, person: NameKey) -> int:
    (count,) = db.execute("SELECT count(*) FROM saved WHERE person = ?", (person,)).fetchone()
    return int(count)


#: The entries of what a person has saved that they may read.
_READABLE: Final = (
    "SELECT v.entry FROM saved v JOIN participant m ON m.person = v.person"
    " AND m.conversation = v.entry >> ?2 WHERE v.person = ?1"
    " AND m.role IS NOT 'invited' AND (v.entry & ?3) > m.floor"
)
_FORGET: Final = (
    f"DELETE FROM saved WHERE person = ?1 AND (entry NOT IN ({_READABLE})"
    " OR NOT EXISTS (SELECT 1 FROM entry e WHERE e.id = saved.entry AND e.ts = saved.written"
    " AND NOT e.deleted))"
)
