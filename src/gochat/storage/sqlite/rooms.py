"""The changes that entries make to a room: its members, its topic, who may join."""

from __future__ import annotations

import sqlite3

from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.names import NameKey
from gochat.chat.store import Draft
from gochat.storage.sqlite.directory import KnownConversation


def apply(db: sqlite3.Connection, draft: Draft, room: KnownConversation) -> int:
    """Apply an entry, just appended to `room`. Return the floor of the person who joins, else 0."""
    subject = draft.subject
    match draft.kind:
        case "topic":
            db.execute("UPDATE conversation SET topic = ? WHERE id = ?", (draft.text, room.id))
        case "access":
            is_private = draft.text == "private"
            db.execute("UPDATE conversation SET private = ? WHERE id = ?", (is_private, room.id))
            if not is_private:
                _show_history(db, room)
        case _ if room.key == LOBBY_KEY:
            pass  # everybody is always a member
        case "history" if draft.text == "shown":
            _show_history(db, room)
        case "history":
            db.execute("UPDATE conversation SET history = 'hidden' WHERE id = ?", (room.id,))
        case "create" | "join":
            return _add(db, room, draft.sender_key)
        case "leave":
            _remove(db, room, draft.sender_key)
        case "kick" if subject is not None:
            _remove(db, room, subject)
        case "invite" if subject is not None:
            db.execute(
                "INSERT INTO participant (person, conversation, role, since)"
                " VALUES (?, ?, 'invited', ?) ON CONFLICT DO NOTHING",
                (subject, room.id, room.ts),
            )
        case "operator" | "member" if subject is not None:
            db.execute(
                "UPDATE participant SET role = ? WHERE person = ? AND conversation = ?"
                " AND role IN ('member', 'operator')",
                (draft.kind, subject, room.id),
            )
    return 0


def _add(db: sqlite3.Connection, room: KnownConversation, person: NameKey) -> int:
    """Make a person a member, or the operator of an empty room. Return their floor."""
    added = db.execute(
        "INSERT INTO participant (person, conversation, role, since, read, floor)"
        " SELECT ?1, id, CASE members WHEN 0 THEN 'operator' ELSE 'member' END, ?3, ?4,"
        " CASE history WHEN 'hidden' THEN ?4 - 1 ELSE floor END FROM conversation WHERE id = ?2"
        " ON CONFLICT DO UPDATE SET role = excluded.role, since = excluded.since,"
        " read = excluded.read, floor = excluded.floor WHERE role = 'invited'",
        (person, room.id, room.ts, room.seq),
    ).rowcount
    _count(db, room, added)
    (floor,) = db.execute(
        "SELECT floor FROM participant WHERE person = ? AND conversation = ?", (person, room.id)
    ).fetchone()
    return int(floor)


def _show_history(db: sqlite3.Connection, room: KnownConversation) -> None:
    """Show hidden history to people who join, beginning with the entry just appended."""
    db.execute(
        "UPDATE conversation SET history = 'shown', floor = ? WHERE id = ? AND history = 'hidden'",
        (room.seq - 1, room.id),
    )


def _remove(db: sqlite3.Connection, room: KnownConversation, person: NameKey) -> None:
    """Remove a member, or withdraw an invitation."""
    removed = db.execute(
        "DELETE FROM participant WHERE person = ? AND conversation = ?"
        " AND role IN ('member', 'operator')",
        (person, room.id),
    ).rowcount
    if removed:
        _count(db, room, -removed)
        _close_if_deserted(db, room)
    else:
        db.execute(
            "DELETE FROM participant WHERE person = ? AND conversation = ?", (person, room.id)
        )


def _close_if_deserted(db: sqlite3.Connection, room: KnownConversation) -> None:
    """Delete the invitations to a private room without members."""
    db.execute(
        "DELETE FROM participant WHERE conversation = ?1 AND EXISTS"
        " (SELECT 1 FROM conversation WHERE id = ?1 AND private AND members = 0)",
        (room.id,),
    )


def _count(db: sqlite3.Connection, room: KnownConversation, change: int) -> None:
    db.execute("UPDATE conversation SET members = members + ? WHERE id = ?", (change, room.id))
