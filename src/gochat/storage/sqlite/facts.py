"""Check a draft's facts again, in the transaction that appends it."""

from __future__ import annotations

import sqlite3
from typing import Final

from gochat.chat.facts import Facts
from gochat.chat.names import NameKey
from gochat.chat.store import Draft
from gochat.storage.sqlite.directory import KnownConversation
from gochat.storage.sqlite.entries import first_id

#: Counts all other emoji, and those of one person. Seeks in the primary key from one emoji to the
#: next, however many people gave each.
_OTHER_EMOJI: Final = (
    "WITH RECURSIVE given (emoji) AS ("
    " SELECT min(emoji) FROM reaction WHERE entry = ?1"
    " UNION ALL"
    " SELECT (SELECT min(emoji) FROM reaction WHERE entry = ?1 AND emoji > given.emoji)"
    " FROM given WHERE given.emoji IS NOT NULL)"
    " SELECT count(*), count((SELECT 1 FROM reaction r"
    " WHERE r.entry = ?1 AND r.emoji = given.emoji AND r.person = ?3))"
    " FROM given WHERE emoji <> ?2"
)


def hold(
    db: sqlite3.Connection, facts: Facts, draft: Draft, room: KnownConversation | None
) -> bool:
    """Return True if a draft's facts still hold."""
    if room is None:
        return False
    role, floor = _standing(db, room, draft.sender_key)
    if facts.sender and role not in facts.sender:
        return False
    if draft.ref is not None and draft.ref <= floor:
        return False
    if facts.subject and _standing(db, room, draft.subject)[0] not in facts.subject:
        return False
    if facts.operator is not None and _standing(db, room, facts.operator)[0] != "operator":
        return False
    if (facts.private, facts.history, facts.topic) != (None, None, None) or facts.is_alone:
        query = "SELECT private, history, topic, members FROM conversation WHERE id = ?"
        private, history, topic, members = db.execute(query, (room.id,)).fetchone()
        if facts.private is not None and facts.private != bool(private):
            return False
        if facts.history is not None and facts.history != history:
            return False
        if facts.topic is not None and facts.topic != topic:
            return False
        if facts.is_alone and members != 1:
            return False
    if draft.ref is None or (facts.other_emoji is None and facts.own_emoji is None):
        return True
    entry = first_id(room.id) + draft.ref
    found = db.execute(_OTHER_EMOJI, (entry, draft.text, draft.sender_key)).fetchone()
    allowed = (facts.other_emoji, facts.own_emoji)
    return all(most is None or count <= most for count, most in zip(found, allowed, strict=True))


def _standing(
    db: sqlite3.Connection, room: KnownConversation, person: NameKey | None
) -> tuple[str, int]:
    """Return a person's role and floor."""
    row = db.execute(
        "SELECT role, floor FROM participant WHERE person = ? AND conversation = ?",
        (person, room.id),
    ).fetchone()
    return ("nobody", 0) if row is None else (str(row[0]), row[1])
