"""What the commit of an entry compares of a person at the server: their role, and their mute."""

from __future__ import annotations

import sqlite3

from gochat.chat.names import NameKey


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
