"""The bans of rooms. A ban that has ended is not one, whether or not its row is there."""

from __future__ import annotations

import sqlite3
from typing import Final

from gochat.chat import extras
from gochat.chat.log import Draft
from gochat.chat.names import NameKey
from gochat.protocol.messages import RoomBan

_HOLDS: Final = "(b.until = 0 OR b.until > ?)"
_SELECT: Final = (
    "SELECT a.name, o.name, b.since, b.until, b.reason FROM ban b"
    " JOIN account a ON a.key = b.person JOIN account o ON o.key = b.by"
)


def ban(db: sqlite3.Connection, conversation: int, draft: Draft, now: int) -> None:
    """Ban the subject of a draft, for as long as it says; forget the bans that have ended."""
    db.execute(
        "DELETE FROM ban WHERE conversation = ? AND until > 0 AND until <= ?", (conversation, now)
    )
    seconds = extras.lifetime(draft.extra)
    until = now + 1000 * seconds if seconds else 0
    reason = extras.reason(draft.extra)
    db.execute(
        "INSERT OR REPLACE INTO ban (conversation, person, by, since, until, reason)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (conversation, draft.subject, draft.sender_key, now, until, reason),
    )


def lift(db: sqlite3.Connection, conversation: int, person: NameKey) -> None:
    """Lift the ban of a person, if there is one."""
    db.execute("DELETE FROM ban WHERE conversation = ? AND person = ?", (conversation, person))


def find(db: sqlite3.Connection, conversation: int, person: NameKey, now: int) -> RoomBan | None:
    """Return the ban of a person from a room, or None."""
    query = f"{_SELECT} WHERE b.conversation = ? AND b.person = ? AND {_HOLDS}"
    row = db.execute(query, (conversation, person, now)).fetchone()
    return None if row is None else _ban(*row)


def page(
    db: sqlite3.Connection, conversation: int, after: str, limit: int, now: int
) -> tuple[list[RoomBan], bool]:
    """Return a page of the bans of a room, by the key of the person; and whether there are more."""
    query = f"{_SELECT} WHERE b.conversation = ? AND b.person > ? AND {_HOLDS} ORDER BY b.person"
    rows = db.execute(f"{query} LIMIT ?", (conversation, after, now, limit + 1)).fetchall()
    return [_ban(*row) for row in rows[:limit]], len(rows) > limit


def _ban(name: str, by: str, since: int, until: int, reason: str) -> RoomBan:
    return RoomBan(name=name, by=by, ts=since, until=until, reason=reason)
