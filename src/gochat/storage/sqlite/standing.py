"""What the commit of an entry compares of a person at the server."""

from __future__ import annotations

import sqlite3

from gochat.chat.names import NameKey


def server_role(db: sqlite3.Connection, person: NameKey) -> str:
    """Return the role of a person at the server."""
    row = db.execute("SELECT role FROM account WHERE key = ?", (person,)).fetchone()
    return "member" if row is None else str(row[0])
