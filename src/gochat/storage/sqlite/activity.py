"""What concerns people: :mod:`gochat.chat.activity`. Writes are part of the log's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from gochat.chat.activity import MAX_LISTED, PER_CONVERSATION, ActivityIndex, ActivityRef
from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS


def add(db: sqlite3.Connection, people: Iterable[NameKey], entry: int, ts: int) -> None:
    """List an entry, by its id, for people, since `ts`; the newest of its conversation are kept."""
    first, last = entry & ~MAX_SEQ, entry | MAX_SEQ
    for person in people:
        db.execute("INSERT OR REPLACE INTO activity VALUES (?, ?, ?)", (person, entry, ts))
        db.execute(
            "DELETE FROM activity WHERE person = ?1 AND entry BETWEEN ?2 AND"
            " (SELECT entry FROM activity WHERE person = ?1 AND entry BETWEEN ?2 AND ?3"
            " ORDER BY entry DESC LIMIT 1 OFFSET ?4)",
            (person, first, last, PER_CONVERSATION),
        )


def remove(db: sqlite3.Connection, person: NameKey, entry: int) -> None:
    """Take an entry from the list of a person."""
    db.execute("DELETE FROM activity WHERE person = ? AND entry = ?", (person, entry))


def rebuild(db: sqlite3.Connection) -> None:
    """Make the lists of all people anew, from the log and the mentions and reactions in it."""
    db.execute("DELETE FROM activity")
    for statement in _REBUILD:
        db.execute(statement)
    db.execute(
        "DELETE FROM activity WHERE (person, entry) IN (SELECT person, entry FROM (SELECT person,"
        " entry, row_number() OVER (PARTITION BY person, entry >> ? ORDER BY entry DESC) AS place"
        " FROM activity) WHERE place > ?)",
        (SEQ_BITS, PER_CONVERSATION),
    )


def read(db: sqlite3.Connection, person: NameKey) -> ActivityIndex:
    """See :meth:`gochat.chat.store.Store.activity`."""
    row = db.execute("SELECT activity_seen FROM account WHERE key = ?", (person,)).fetchone()
    rows = db.execute(
        f"{_NAMED} UNION ALL {_EVERYBODY} ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT ?4",
        (person, SEQ_BITS, MAX_SEQ, MAX_LISTED, PER_CONVERSATION),
    )
    refs = [ActivityRef(ts, ConversationKey(key), entry & MAX_SEQ) for ts, key, entry in rows]
    return ActivityIndex(0 if row is None else row[0], refs)


def mark(db: sqlite3.Connection, person: NameKey, seen: int) -> bool:
    """See :meth:`gochat.chat.store.Store.mark_activity`."""
    update = "UPDATE account SET activity_seen = ?2 WHERE key = ?1 AND activity_seen < ?2"
    return bool(db.execute(update, (person, seen)).rowcount)


_NAMED: Final = (
    "SELECT * FROM (SELECT a.ts, c.key, a.entry FROM activity a"
    " JOIN participant m ON m.person = a.person AND m.conversation = a.entry >> ?2"
    " JOIN conversation c ON c.id = m.conversation WHERE a.person = ?1"
    " AND m.role IS NOT 'invited' AND (a.entry & ?3) > max(m.floor, c.base)"
    " ORDER BY a.ts DESC LIMIT ?4)"
)
_EVERYBODY: Final = (
    "SELECT e.ts, c.key, e.id FROM participant m JOIN conversation c ON c.id = m.conversation"
    " JOIN entry e ON e.id IN (SELECT id FROM entry WHERE kind = 'text'"
    " AND substr(mentions, 1, 5) = '@room' AND id BETWEEN c.id << ?2 AND c.id << ?2 | ?3"
    " ORDER BY id DESC LIMIT ?5)"
    " WHERE m.person = ?1 AND m.peer IS NULL AND m.role IS NOT 'invited'"
    " AND (e.id & ?3) > m.floor AND e.ts >= m.since"
)
_REBUILD: Final = (
    (
        "INSERT INTO activity SELECT m.person, m.entry, e.ts"
        " FROM mention m JOIN entry e ON e.id = m.entry"
    ),
    (
        "INSERT INTO activity SELECT t.sender, e.id, e.ts FROM reaction r"
        " JOIN entry t ON t.id = r.entry JOIN entry e ON e.id = (r.entry >> 32 << 32 | r.seq)"
        " WHERE t.sender <> r.person ON CONFLICT DO NOTHING"
    ),
    (
        "INSERT INTO activity SELECT t.sender, e.id, e.ts FROM entry e"
        " JOIN conversation c ON c.id = e.id >> 32"
        " JOIN entry t ON t.id = (e.id >> 32 << 32 | e.ref)"
        " WHERE e.kind = 'text' AND c.name IS NOT NULL AND t.sender <> e.sender"
        " ON CONFLICT DO NOTHING"
    ),
)
