"""The registration mode, and invitations to the server.

All of it is rare, so reading, too, is done by the writer.
"""

# ruff: noqa: D102 -- the protocol documents the methods, once
# ruff: noqa: S608 -- the statements contain only this module's own text

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Final

from gochat.chat.admission import not_valid
from gochat.chat.admission_store import KEPT_AFTER, MAX_KEPT, ServerInvitation
from gochat.chat.names import NameKey
from gochat.storage.sqlite.log import Log
from gochat.storage.sqlite.writer import Writer

_MODE: Final = "registration"
_COLUMNS: Final = "digest, maker, room, note, uses, created, expires, revoked"


class SqliteAdmission:
    """Implements :class:`~gochat.chat.admission_store.AdmissionStore`."""

    def __init__(self, writer: Writer, log: Log) -> None:
        self._writer = writer
        self._log = log

    async def mode(self) -> str | None:
        return await self._writer.write(lambda: read_mode(self._log.db))

    async def set_mode(self, mode: str | None) -> None:
        await self._writer.write(lambda: write_mode(self._log.db, mode))

    async def add(self, invitation: ServerInvitation) -> bool:
        return await self._writer.write(partial(_add, self._log, invitation))

    async def invitation(self, digest: bytes) -> ServerInvitation | None:
        found = await self._writer.write(lambda: read(self._log.db, digest))
        return found[0] if found else None

    async def invitations(self) -> Sequence[ServerInvitation]:
        return await self._writer.write(lambda: read(self._log.db))

    async def revoke(self, digest: bytes, now: int) -> bool:
        query = "UPDATE server_invitation SET revoked = ? WHERE digest = ? AND revoked = 0"
        return await self._writer.write(
            lambda: self._log.db.execute(query, (now, digest)).rowcount > 0
        )


def take(db: sqlite3.Connection, digest: bytes, account: NameKey, now: int) -> None:
    """Take a use of an invitation for an account that was just added.

    Raises:
        ChatError: ``bad_invite``: it can't be used.
    """
    found = read(db, digest)
    if not found or not found[0].is_good(now):
        raise not_valid()
    db.execute("INSERT INTO server_invitation_use VALUES (?, ?)", (digest, account))


def read_mode(db: sqlite3.Connection) -> str | None:
    """Return the registration mode that was set, or None."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_MODE,)).fetchone()
    return None if row is None else str(row[0])


def write_mode(db: sqlite3.Connection, mode: str | None) -> None:
    """Set the registration mode, or clear it."""
    if mode is None:
        db.execute("DELETE FROM meta WHERE key = ?", (_MODE,))
    else:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_MODE, mode))


def read(db: sqlite3.Connection, digest: bytes | None = None) -> list[ServerInvitation]:
    """Return the invitation with a digest, or all, in the order in which they were made."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM server_invitation WHERE digest = ?1 OR ?1 IS NULL"
        " ORDER BY created, digest",
        (digest,),
    ).fetchall()
    uses = db.execute(
        "SELECT invitation, account FROM server_invitation_use"
        " WHERE invitation = ?1 OR ?1 IS NULL ORDER BY account",
        (digest,),
    ).fetchall()
    used: dict[bytes, list[NameKey]] = {}
    for invitation, account in uses:
        used.setdefault(invitation, []).append(NameKey(account))
    return [
        ServerInvitation(
            digest=row[0],
            maker=row[1],
            room=row[2],
            note=row[3],
            uses=row[4],
            created=row[5],
            expires=row[6],
            revoked=row[7],
            used=tuple(used.get(row[0], ())),
        )
        for row in rows
    ]


def insert(db: sqlite3.Connection, invitation: ServerInvitation) -> None:
    """Add an invitation, with its uses."""
    db.execute(
        f"INSERT INTO server_invitation ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(
                invitation.digest,
                invitation.maker,
                invitation.room,
                invitation.note,
                invitation.uses,
            ),
            *(invitation.created, invitation.expires, invitation.revoked),
        ),
    )
    db.executemany(
        "INSERT INTO server_invitation_use VALUES (?, ?)",
        [(invitation.digest, who) for who in invitation.used],
    )


def _add(log: Log, invitation: ServerInvitation) -> bool:
    log.db.execute(
        "DELETE FROM server_invitation WHERE expires < ?", (invitation.created - KEPT_AFTER,)
    )
    (kept,) = log.db.execute("SELECT count(*) FROM server_invitation").fetchone()
    if kept >= MAX_KEPT:
        return False
    insert(log.db, invitation)
    return True
