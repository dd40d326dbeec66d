"""The changes that entries make to a room: its members, its topic, who may join."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.log import Draft
from gochat.chat.names import NameKey
from gochat.storage.sqlite import bans, modes
from gochat.storage.sqlite.directory import KnownConversation


class Effect(NamedTuple):
    """What an entry did that its followers must know: see :class:`~gochat.chat.log.Logged`."""

    floor: int = 0
    topic: str = ""
    uninvited: tuple[NameKey, ...] = ()


NO_EFFECT: Final = Effect()


def apply(db: sqlite3.Connection, draft: Draft, room: KnownConversation, now: int) -> Effect:
    """Apply an entry, just appended to `room`, by the clock at `now`."""
    subject = draft.subject
    match draft.kind:
        case "topic":
            db.execute("UPDATE conversation SET topic = ? WHERE id = ?", (draft.text, room.id))
        case "access":
            is_private = draft.text == "private"
            db.execute("UPDATE conversation SET private = ? WHERE id = ?", (is_private, room.id))
            if not is_private:
                _show_history(db, room)
        case "slow" | "announcements" | "archive":
            modes.apply(db, draft, room)
        case _ if room.key == LOBBY_KEY:
            pass  # everybody is always a member
        case "history" if draft.text == "shown":
            _show_history(db, room)
        case "history":
            db.execute("UPDATE conversation SET history = 'hidden' WHERE id = ?", (room.id,))
        case "create" | "join":
            return _add(db, room, draft.sender_key)
        case "hand_over":
            return _hand_over(db, room, draft.sender_key)
        case "leave":
            return Effect(uninvited=_remove(db, room, draft.sender_key))
        case "kick" if subject is not None:
            return Effect(uninvited=_remove(db, room, subject))
        case "ban" if subject is not None:
            bans.ban(db, room.id, draft, now)
            return Effect(uninvited=_remove(db, room, subject))
        case "unban" if subject is not None:
            bans.lift(db, room.id, subject)
        case "decline":
            return Effect(uninvited=_uninvite(db, room, draft.sender_key))
        case "invite" if subject is not None:
            db.execute(
                "INSERT INTO participant (person, conversation, role, since, inviter)"
                " VALUES (?, ?, 'invited', ?, ?) ON CONFLICT DO NOTHING",
                (subject, room.id, room.ts, draft.sender_key),
            )
            query = "SELECT topic FROM conversation WHERE id = ?"
            return Effect(topic=db.execute(query, (room.id,)).fetchone()[0])
        case "operator" | "member" if subject is not None:
            db.execute(
                "UPDATE participant SET role = ? WHERE person = ? AND conversation = ?"
                " AND role IN ('member', 'operator')",
                (draft.kind, subject, room.id),
            )
    return NO_EFFECT


def _add(db: sqlite3.Connection, room: KnownConversation, person: NameKey) -> Effect:
    """Make a person a member, or the operator of an empty room."""
    uninvited = _uninvite(db, room, person)
    added = db.execute(
        "INSERT INTO participant (person, conversation, role, since, read, floor)"
        " SELECT ?1, id, CASE members WHEN 0 THEN 'operator' ELSE 'member' END, ?3, ?4,"
        " CASE history WHEN 'hidden' THEN ?4 - 1 ELSE floor END FROM conversation WHERE id = ?2"
        " ON CONFLICT DO NOTHING",
        (person, room.id, room.ts, room.seq),
    ).rowcount
    _count(db, room, added)
    (floor,) = db.execute(
        "SELECT floor FROM participant WHERE person = ? AND conversation = ?", (person, room.id)
    ).fetchone()
    return Effect(floor=floor, uninvited=uninvited)


def _hand_over(db: sqlite3.Connection, room: KnownConversation, person: NameKey) -> Effect:
    """Make a person an operator; hide what was written before, if they get into a private room."""
    bans.lift(db, room.id, person)
    db.execute(
        "UPDATE conversation SET floor = ? WHERE id = ? AND private AND NOT EXISTS (SELECT 1 FROM"
        " participant WHERE person = ? AND conversation = ? AND role IN ('member', 'operator'))",
        (room.seq - 1, room.id, person, room.id),
    )
    effect = _add(db, room, person)
    db.execute(
        "UPDATE participant SET role = 'operator' WHERE person = ? AND conversation = ?",
        (person, room.id),
    )
    return effect


def _show_history(db: sqlite3.Connection, room: KnownConversation) -> None:
    """Show hidden history to people who join, beginning with the entry just appended."""
    db.execute(
        "UPDATE conversation SET history = 'shown', floor = ? WHERE id = ? AND history = 'hidden'",
        (room.seq - 1, room.id),
    )


def _remove(
    db: sqlite3.Connection, room: KnownConversation, person: NameKey
) -> tuple[NameKey, ...]:
    """Remove a member, or withdraw an invitation. Return whose invitations have ended."""
    removed = db.execute(
        "DELETE FROM participant WHERE person = ? AND conversation = ?"
        " AND role IN ('member', 'operator')",
        (person, room.id),
    ).rowcount
    if not removed:
        return _uninvite(db, room, person)
    _count(db, room, -removed)
    return _close_if_deserted(db, room)


def _uninvite(
    db: sqlite3.Connection, room: KnownConversation, person: NameKey
) -> tuple[NameKey, ...]:
    """Delete a person's invitation. Return whose invitations have ended."""
    deleted = db.execute(
        "DELETE FROM participant WHERE person = ? AND conversation = ? AND role = 'invited'",
        (person, room.id),
    ).rowcount
    return (person,) if deleted else ()


def _close_if_deserted(db: sqlite3.Connection, room: KnownConversation) -> tuple[NameKey, ...]:
    """Delete the invitations to a private room without members, and return whose they were."""
    lapsed = db.execute(
        "SELECT person FROM participant WHERE conversation = ?1 AND EXISTS"
        " (SELECT 1 FROM conversation WHERE id = ?1 AND private AND members = 0)",
        (room.id,),
    ).fetchall()
    if lapsed:
        db.execute("DELETE FROM participant WHERE conversation = ?", (room.id,))
    return tuple(person for (person,) in lapsed)


def _count(db: sqlite3.Connection, room: KnownConversation, change: int) -> None:
    db.execute("UPDATE conversation SET members = members + ? WHERE id = ?", (change, room.id))
