"""What the commit of an entry compares of people at the server: roles, mutes, and blocks."""

from __future__ import annotations

import sqlite3
from typing import Final

from gochat.chat import conversations
from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.storage.sqlite.blocks import blockers

#: Private conversations that are remembered as open: those in which people talk now.
_MOST: Final = 10_000


def server_role(db: sqlite3.Connection, person: NameKey) -> str:
    """Return the role of a person at the server."""
    row = db.execute("SELECT role FROM account WHERE key = ?", (person,)).fetchone()
    return "member" if row is None else str(row[0])


class Mutes:
    """Until when people are muted, as the writer has it: looked up for every message in public.

    Use it in the writer's transactions.
    """

    def __init__(self) -> None:
        self._until: dict[NameKey, int] | None = None

    def forget(self) -> None:
        """Read them again: somebody may be muted, or no longer."""
        self._until = None

    def hold(self, db: sqlite3.Connection, person: NameKey, now: int) -> bool:
        """Return whether a person is muted at `now`."""
        if self._until is None:
            query = (
                "SELECT key, coalesce(json_extract(mute, '$.until'), 0) FROM account"
                " WHERE (ban IS NOT NULL OR mute IS NOT NULL) AND mute IS NOT NULL"
            )
            self._until = dict(db.execute(query).fetchall())
        until = self._until.get(person)
        return until is not None and (until == 0 or until > now)


class Blocks:
    """In which private conversations nobody blocks the other: looked up for each of their messages.

    Use it in the writer's transactions.
    """

    def __init__(self) -> None:
        self._open: set[ConversationKey] = set()

    def forget(self) -> None:
        """Look again: somebody may block another."""
        self._open.clear()

    def keep(self, db: sqlite3.Connection, conversation: ConversationKey) -> bool:
        """Return whether one of the two in a private conversation blocks the other."""
        if conversation in self._open:
            return False
        people = conversations.participants(conversation)
        if blockers(db, people[0], people[-1]):
            return True
        if len(self._open) >= _MOST:
            self._open.clear()
        self._open.add(conversation)
        return False
