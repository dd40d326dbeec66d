"""Accounts as rows. Writes take the log (see writer.py)."""

# ruff: noqa: S608 -- the statements contain only this module's own list of columns

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any, Final

from gochat.chat import status
from gochat.chat.account import Account, decode_status, encode_status
from gochat.chat.names import NameKey
from gochat.chat.restriction import decode, encode
from gochat.chat.server_roles import ServerRole
from gochat.protocol.messages import Status
from gochat.storage.sqlite.log import Log
from gochat.storage.sqlite.standing import server_role

_NAMES: Final = (
    *("key", "name", "password_hash", "created", "generation"),
    *("role", "bot", "state", "ban", "mute", "status"),
)
COLUMNS: Final = ", ".join(_NAMES)
_VALUES: Final = f"INTO account ({COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
INSERT: Final = f"INSERT {_VALUES}"
REPLACE: Final = f"INSERT OR REPLACE {_VALUES}"


def to_row(account: Account) -> tuple[object, ...]:
    """Return an account's row, in the order of :data:`COLUMNS`."""
    kept = {
        "ban": encode(account.ban) or None,
        "mute": encode(account.mute) or None,
        "status": encode_status(account.status) or None,
    }
    return tuple(kept[name] if name in kept else getattr(account, name) for name in _NAMES)


def _of_row(row: Any) -> Account:
    fields = dict(zip(_NAMES, row, strict=True))
    kept = {name: decode(fields[name]) for name in ("ban", "mute")}
    said = decode_status(fields["status"])
    return Account(**{**fields, **kept, "bot": bool(fields["bot"]), "status": said})


def account(db: sqlite3.Connection, key: NameKey) -> Account | None:
    """See :meth:`gochat.chat.store.Store.account`."""
    row = db.execute(f"SELECT {COLUMNS} FROM account WHERE key = ?", (key,)).fetchone()
    return None if row is None else _of_row(row)


def accounts(db: sqlite3.Connection, after: NameKey, limit: int) -> tuple[list[Account], bool]:
    """See :meth:`gochat.chat.administration.Administration.accounts`."""
    query = f"SELECT {COLUMNS} FROM account WHERE key > ? ORDER BY key LIMIT ?"
    found = [_of_row(row) for row in db.execute(query, (after, limit + 1))]
    return found[:limit], len(found) > limit


def restricted(db: sqlite3.Connection, after: NameKey, limit: int) -> tuple[list[Account], bool]:
    """See :meth:`gochat.chat.administration.Administration.restricted`."""
    query = (
        f"SELECT {COLUMNS} FROM account WHERE (ban IS NOT NULL OR mute IS NOT NULL) AND key > ?"
        " ORDER BY key LIMIT ?"
    )
    found = [_of_row(row) for row in db.execute(query, (after, limit + 1))]
    return found[:limit], len(found) > limit


def statuses(db: sqlite3.Connection, keys: Collection[NameKey]) -> dict[NameKey, Status]:
    """See :meth:`gochat.chat.store.Store.statuses`."""
    marks = ", ".join("?" * len(keys))
    query = f"SELECT key, status FROM account WHERE status IS NOT NULL AND key IN ({marks})"
    decoded = ((NameKey(key), decode_status(kept)) for key, kept in db.execute(query, list(keys)))
    return {key: said for key, said in decoded if said is not None}


def set_status(log: Log, of: Account, said: Status | None) -> bool:
    """See :meth:`gochat.chat.store.Store.set_status`."""
    changed = log.db.execute(
        "UPDATE account SET status = ?1 WHERE key = ?2 AND"
        " (?1 IS NULL OR (generation = ?3 AND state = ?4 AND mute IS ?5))",
        (encode_status(said) or None, of.key, of.generation, of.state, encode(of.mute) or None),
    ).rowcount
    return changed > 0


def staff(db: sqlite3.Connection) -> dict[NameKey, ServerRole]:
    """See :meth:`gochat.chat.administration.Administration.staff`."""
    return dict(db.execute("SELECT key, role FROM account WHERE role <> 'member'").fetchall())


def change_password(log: Log, proved: Account, password_hash: str) -> bool:
    """See :meth:`gochat.chat.store.Store.change_password`."""
    changed = log.db.execute(
        "UPDATE account SET password_hash = ?, generation = generation + 1"
        " WHERE key = ? AND generation = ?",
        (password_hash, proved.key, proved.generation),
    ).rowcount
    if changed:
        _begin_generation(log, proved.key)
    return changed > 0


def change(
    log: Log, before: Account, after: Account, by: tuple[NameKey, ServerRole] | None = None
) -> bool:
    """See :meth:`gochat.chat.administration.Administration.change_account`."""
    if by is not None and server_role(log.db, by[0]) != by[1]:
        return False
    changed = log.db.execute(
        "UPDATE account SET role = ?, bot = ?, state = ?, generation = ?, ban = ?, mute = ?,"
        " status = CASE WHEN ? THEN NULL ELSE status END"
        " WHERE key = ? AND role = ? AND bot = ? AND state = ? AND generation = ?"
        " AND ban IS ? AND mute IS ?",
        (*_standing(after), status.ends_with(before, after), before.key, *_standing(before)),
    ).rowcount
    log.mutes.forget()
    if changed and after.generation != before.generation:
        _begin_generation(log, before.key, keeps_tokens=after.is_shut)
    return changed > 0


def _standing(account: Account) -> tuple[object, ...]:
    kept = encode(account.ban) or None, encode(account.mute) or None
    return account.role, account.bot, account.state, account.generation, *kept


def deleted(db: sqlite3.Connection) -> set[NameKey]:
    """See :meth:`gochat.chat.administration.Administration.deleted`."""
    rows = db.execute("SELECT key FROM account WHERE state IN ('removing', 'deleted')")
    return {NameKey(key) for (key,) in rows}


def forget(log: Log, person: NameKey) -> None:
    """See :meth:`gochat.chat.administration.Administration.forget`."""
    for statement in (
        "UPDATE account SET password_hash = '' WHERE key = ?",
        "DELETE FROM login WHERE account = ?",
        "DELETE FROM participant WHERE person = ? AND peer IS NOT NULL",
        "UPDATE participant SET read = 0, level = 'all' WHERE person = ?",
        "DELETE FROM mention WHERE person = ?",
        "DELETE FROM activity WHERE person = ?",
        "UPDATE account SET activity_seen = 0 WHERE key = ?",
        "DELETE FROM saved WHERE person = ?",
        "DELETE FROM slowed WHERE person = ?",
    ):
        log.db.execute(statement, (person,))


def _begin_generation(log: Log, key: NameKey, *, keeps_tokens: bool = False) -> None:
    """Forget what is void from the next generation on.

    `keeps_tokens`: they are void, but say who asks why (:meth:`.Store.void_token`).
    """
    if not keeps_tokens:
        log.db.execute("DELETE FROM token WHERE account = ?", (key,))
    log.db.execute("DELETE FROM login WHERE account = ?", (key,))
