"""Session tokens, and the addresses of logins. Writes take the log (see writer.py)."""

# ruff: noqa: S608 -- the statements contain only this module's own list of columns

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from gochat.chat.names import NameKey
from gochat.chat.store import LOGIN_ADDRESSES, LOGIN_MEMORY
from gochat.chat.token import MAX_DEVICES, MAX_PROGRAMS, Token
from gochat.storage.sqlite.log import Log

_NAMES: Final = (
    *("id", "digest", "account", "generation", "device", "address", "created", "seen"),
    *("expires", "scopes", "rooms"),
)
COLUMNS: Final = ", ".join(_NAMES)
_FROM: Final = (
    f"SELECT {', '.join(f't.{name}' for name in _NAMES)} FROM token t"
    " JOIN account a ON a.key = t.account AND a.generation = t.generation"
)
INSERT: Final = f"INSERT INTO token ({COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"


def to_row(token: Token) -> tuple[object, ...]:
    """Return a token's row, in the order of :data:`COLUMNS`."""
    return (
        *(token.id, token.digest, token.account, token.generation, token.device, token.address),
        *(token.created, token.seen, token.expires),
        *(" ".join(token.scopes), " ".join(token.rooms)),
    )


def _of_row(row: Any) -> Token:
    fields = dict(zip(_NAMES, row, strict=True))
    scopes, rooms = fields.pop("scopes"), fields.pop("rooms")
    return Token(**fields, scopes=tuple(scopes.split()), rooms=tuple(rooms.split()))


# -- reads -----------------------------------------------------------------------------------------


def token(db: sqlite3.Connection, token_id: bytes, now: int) -> Token | None:
    """See :meth:`gochat.chat.store.Store.token`."""
    row = db.execute(f"{_FROM} WHERE t.id = ? AND t.expires > ?", (token_id, now)).fetchone()
    return None if row is None else _of_row(row)


def void_token(db: sqlite3.Connection, token_id: bytes, now: int) -> Token | None:
    """See :meth:`gochat.chat.store.Store.void_token`."""
    query = (
        f"SELECT {COLUMNS} FROM token WHERE id = ? AND expires > ? AND generation <"
        " (SELECT generation FROM account WHERE key = account)"
    )
    row = db.execute(query, (token_id, now)).fetchone()
    return None if row is None else _of_row(row)


def tokens(db: sqlite3.Connection, account: NameKey, now: int) -> list[Token]:
    """See :meth:`gochat.chat.store.Store.tokens`."""
    query = f"{_FROM} WHERE t.account = ? AND t.expires > ? ORDER BY t.created, t.id"
    return [_of_row(row) for row in db.execute(query, (account, now))]


def all_tokens(db: sqlite3.Connection, now: int, after: bytes, limit: int) -> list[Token]:
    """Return valid tokens of all accounts, in the order of their ids."""
    query = f"{_FROM} WHERE t.expires > ? AND t.id > ? ORDER BY t.id LIMIT ?"
    return [_of_row(row) for row in db.execute(query, (now, after, limit))]


def last_login(db: sqlite3.Connection, account: NameKey, address: str) -> int | None:
    """See :meth:`gochat.chat.store.Store.last_login`."""
    query = "SELECT at FROM login WHERE account = ? AND address = ?"
    row = db.execute(query, (account, address)).fetchone()
    return None if row is None else int(row[0])


def seen_from(
    db: sqlite3.Connection, people: Sequence[NameKey], now: int
) -> dict[NameKey, dict[str, int]]:
    """See :meth:`gochat.chat.administration.Administration.seen_from`."""
    marks = ", ".join("?" * len(people))
    logins = f"SELECT account, address, at FROM login WHERE account IN ({marks}) AND at > ?"
    sessions = (
        "SELECT t.account, t.address, t.seen FROM token t"
        " JOIN account a ON a.key = t.account AND a.generation = t.generation"
        f" WHERE t.account IN ({marks}) AND t.address <> '' AND t.expires > ?"
    )
    found: dict[NameKey, dict[str, int]] = {}
    # Two statements: of parameters a statement takes 999, in an old SQLite.
    for query, since in ((logins, now - LOGIN_MEMORY), (sessions, now)):
        for person, address, at in db.execute(query, (*people, since)):
            places = found.setdefault(person, {})
            places[address] = max(at, places.get(address, 0))
    return found


# -- writes ----------------------------------------------------------------------------------------


def add_token(log: Log, token: Token, address: str | None, now: int) -> list[bytes] | None:
    """See :meth:`gochat.chat.store.Store.add_token`.

    Also deletes a few expired tokens of others, so that they never accumulate.
    """
    log.db.execute(
        "DELETE FROM token WHERE id IN"
        " (SELECT id FROM token WHERE expires <= ? ORDER BY expires LIMIT 10)",
        (now,),
    )
    log.db.execute(
        "DELETE FROM token WHERE account = ?1 AND (expires <= ?2 OR generation <"
        " (SELECT generation FROM account WHERE key = ?1))",
        (token.account, now),
    )
    most = MAX_PROGRAMS if token.is_program else MAX_DEVICES
    rows = log.db.execute(
        "SELECT id FROM token WHERE account = ? AND (scopes <> '') = ?"
        " ORDER BY seen DESC, created DESC, id",
        (token.account, token.is_program),
    ).fetchall()
    revoked = [token_id for (token_id,) in rows[most - 1 :]]
    if revoked and token.is_program:
        return None
    _delete(log, revoked)
    if address is not None:
        _note_login(log, token.account, address, now)
    log.db.execute(INSERT, to_row(token))
    return revoked


def renew_token(log: Log, token_id: bytes, expires: int, address: str, now: int) -> bool:
    """See :meth:`gochat.chat.store.Store.renew_token`."""
    renewed = log.db.execute(
        "UPDATE token SET expires = max(expires, ?), address = ?, seen = ? WHERE id = ?"
        " AND generation = (SELECT generation FROM account WHERE key = token.account)",
        (expires, address, now, token_id),
    ).rowcount
    return renewed > 0


def revoke_token(log: Log, account: NameKey, token_id: bytes) -> bool:
    """See :meth:`gochat.chat.store.Store.revoke_token`."""
    return (
        log.db.execute(
            "DELETE FROM token WHERE account = ? AND id = ?", (account, token_id)
        ).rowcount
        > 0
    )


def revoke_other_tokens(log: Log, account: NameKey, token_id: bytes) -> list[bytes]:
    """See :meth:`gochat.chat.store.Store.revoke_other_tokens`."""
    query = "SELECT id FROM token WHERE account = ? AND id <> ?"
    revoked = [token for (token,) in log.db.execute(query, (account, token_id)).fetchall()]
    _delete(log, revoked)
    return revoked


def _delete(log: Log, ids: Sequence[bytes]) -> None:
    log.db.executemany("DELETE FROM token WHERE id = ?", [(token,) for token in ids])


def _note_login(log: Log, account: NameKey, address: str, now: int) -> None:
    log.db.execute(
        "INSERT INTO login (account, address, at) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET at = excluded.at",
        (account, address, now),
    )
    log.db.execute(
        "DELETE FROM login WHERE account = ?1 AND address NOT IN"
        " (SELECT address FROM login WHERE account = ?1 ORDER BY at DESC, address LIMIT ?2)",
        (account, LOGIN_ADDRESSES),
    )
    log.db.execute(
        "DELETE FROM login WHERE (account, address) IN"
        " (SELECT account, address FROM login WHERE at <= ? ORDER BY at LIMIT 10)",
        (now - LOGIN_MEMORY,),
    )
