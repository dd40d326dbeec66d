"""Accounts as rows. Writes take the log (see writer.py)."""

# ruff: noqa: S608 -- the statements contain only this module's own list of columns

from __future__ import annotations

import sqlite3
from typing import Any, Final

from gochat.chat.account import Account
from gochat.chat.names import NameKey
from gochat.storage.sqlite.log import Log

_NAMES: Final = (
    *("key", "name", "password_hash", "created", "generation"),
    *("role", "bot", "state"),
)
COLUMNS: Final = ", ".join(_NAMES)
_VALUES: Final = f"INTO account ({COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
INSERT: Final = f"INSERT {_VALUES}"
REPLACE: Final = f"INSERT OR REPLACE {_VALUES}"


def to_row(account: Account) -> tuple[object, ...]:
    """Return an account's row, in the order of :data:`COLUMNS`."""
    return tuple(getattr(account, name) for name in _NAMES)


def _of_row(row: Any) -> Account:
    fields = dict(zip(_NAMES, row, strict=True))
    return Account(**{**fields, "bot": bool(fields["bot"])})


def account(db: sqlite3.Connection, key: NameKey) -> Account | None:
    """See :meth:`gochat.chat.store.Store.account`."""
    row = db.execute(f"SELECT {COLUMNS} FROM account WHERE key = ?", (key,)).fetchone()
    return None if row is None else _of_row(row)


def accounts(db: sqlite3.Connection, after: NameKey, limit: int) -> tuple[list[Account], bool]:
    """See :meth:`gochat.chat.administration.Administration.accounts`."""
    query = f"SELECT {COLUMNS} FROM account WHERE key > ? ORDER BY key LIMIT ?"
    found = [_of_row(row) for row in db.execute(query, (after, limit + 1))]
    return found[:limit], len(found) > limit


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


def change(log: Log, before: Account, after: Account) -> bool:
    """See :meth:`gochat.chat.administration.Administration.change_account`."""
    changed = log.db.execute(
        "UPDATE account SET role = ?, bot = ?, state = ?, generation = ?"
        " WHERE key = ? AND role = ? AND bot = ? AND state = ? AND generation = ?",
        (
            *(after.role, after.bot, after.state, after.generation),
            *(before.key, before.role, before.bot, before.state, before.generation),
        ),
    ).rowcount
    if changed and after.generation != before.generation:
        _begin_generation(log, before.key)
    return changed > 0


def _begin_generation(log: Log, key: NameKey) -> None:
    """Forget what is void from the next generation on."""
    log.db.execute("DELETE FROM token WHERE account = ?", (key,))
    log.db.execute("DELETE FROM login WHERE account = ?", (key,))
