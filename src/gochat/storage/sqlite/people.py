"""Writes about people besides their entries. Each function is a write (see writer.py)."""

from __future__ import annotations

from typing import Final

from gochat.chat.account import Account
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.protocol.messages import Level
from gochat.storage.sqlite import accounts, admission, skeletons
from gochat.storage.sqlite.log import Log

#: Bytes that trying to write takes up for a moment: some pages, as the longest message does.
TRIED: Final = 32 * 1024


def create_account(log: Log, account: Account, invitation: bytes | None) -> bool:
    """See :meth:`gochat.chat.store.Store.create_account`."""
    query = "SELECT 1 FROM account WHERE key = ?"
    if log.db.execute(query, (account.key,)).fetchone() is not None:
        return False
    skeletons.claim(log.db, account.key, account.name)
    log.db.execute(accounts.INSERT, accounts.to_row(account))
    log.db.execute(
        "INSERT INTO participant (person, conversation, role, since, read)"
        " SELECT ?, id, 'member', ?, ? FROM conversation WHERE key = ?",
        (account.key, account.created, log.head(LOBBY_KEY), LOBBY_KEY),
    )
    log.db.execute("UPDATE conversation SET members = members + 1 WHERE key = ?", (LOBBY_KEY,))
    if invitation is not None:
        admission.take(log.db, invitation, account.key, account.created)
    return True


def rehash_password(log: Log, proved: Account, password_hash: str) -> bool:
    """See :meth:`gochat.chat.store.Store.rehash_password`."""
    changed = log.db.execute(
        "UPDATE account SET password_hash = ?"
        " WHERE key = ? AND generation = ? AND password_hash = ?",
        (password_hash, proved.key, proved.generation, proved.password_hash),
    ).rowcount
    return changed > 0


def check_writable(log: Log, now: int) -> None:
    """See :meth:`gochat.chat.store.Store.check_writable`."""
    # It has to take new pages for a moment, or a file that can't grow would seem to be well.
    for value in ("x" * TRIED, str(now)):
        log.db.execute("INSERT OR REPLACE INTO meta VALUES ('written', ?)", (value,))


def mark_read(log: Log, person: NameKey, key: ConversationKey, seq: int) -> bool:
    """See :meth:`gochat.chat.store.Store.mark_read`."""
    moved = log.db.execute(
        "UPDATE participant SET read = ?3 WHERE person = ?1 AND read < ?3"
        " AND conversation = (SELECT id FROM conversation WHERE key = ?2)",
        (person, key, min(seq, log.head(key))),
    ).rowcount
    return moved > 0


def set_level(log: Log, person: NameKey, key: ConversationKey, level: Level) -> bool:
    """See :meth:`gochat.chat.store.Store.set_level`."""
    changed = log.db.execute(
        "UPDATE participant SET level = ?3 WHERE person = ?1 AND role IS NOT 'invited'"
        " AND conversation = (SELECT id FROM conversation WHERE key = ?2)",
        (person, key, level),
    ).rowcount
    return changed > 0


def set_blocked(log: Log, person: NameKey, other: NameKey, *, on: bool) -> bool:
    """See :meth:`gochat.chat.store.Store.set_blocked`."""
    statement = (
        "INSERT INTO block (person, blocked) VALUES (?, ?) ON CONFLICT DO NOTHING"
        if on
        else "DELETE FROM block WHERE person = ? AND blocked = ?"
    )
    log.blocks.forget()
    return log.db.execute(statement, (person, other)).rowcount > 0
