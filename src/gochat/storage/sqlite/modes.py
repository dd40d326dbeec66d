"""The modes of rooms, and when slow mode lets people write."""

from __future__ import annotations

import sqlite3

from gochat.chat.log import Draft
from gochat.chat.modes import Modes
from gochat.chat.names import NameKey
from gochat.storage.sqlite.directory import KnownConversation


def apply(db: sqlite3.Connection, draft: Draft, room: KnownConversation) -> None:
    """Apply an entry that changes the modes of a room."""
    room.modes = room.modes.changed(draft.kind, draft.text)
    db.execute(
        "UPDATE conversation SET slow = ?, announcements = ?, archived = ? WHERE id = ?",
        (room.modes.slow, room.modes.announcements, room.modes.archived, room.id),
    )
    if not room.modes.slow:
        db.execute("DELETE FROM slowed WHERE conversation = ?", (room.id,))


def begin_wait(db: sqlite3.Connection, room: KnownConversation, person: NameKey, now: int) -> None:
    """Note that somebody has written in a room in slow mode."""
    db.execute(
        "DELETE FROM slowed WHERE conversation = ? AND at <= ?",
        (room.id, now - 1000 * room.modes.slow),
    )
    db.execute("INSERT OR REPLACE INTO slowed VALUES (?, ?, ?)", (room.id, person, now))


def wait(db: sqlite3.Connection, conversation: int, modes: Modes, person: NameKey, now: int) -> int:
    """Return for how many milliseconds slow mode keeps a person from writing."""
    if not modes.slow:
        return 0
    query = "SELECT at FROM slowed WHERE conversation = ? AND person = ?"
    row = db.execute(query, (conversation, person)).fetchone()
    if row is None or row[0] > now:  # the clock was set back
        return 0
    return max(0, int(row[0]) + 1000 * modes.slow - now)
