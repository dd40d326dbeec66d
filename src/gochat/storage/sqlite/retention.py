"""Retention: the rules, and removing what they don't keep. Writes take the log (see writer.py)."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Protocol, TypeVar

from gochat.chat.conversations import ConversationKey
from gochat.chat.retention import Oldest, Rule, is_erasable, rule_for
from gochat.storage.sqlite.entries import (
    MAX_SEQ,
    SEQ_BITS,
    cid_digest,
    first_id,
    last_id,
)
from gochat.storage.sqlite.log import Log, OldEntry
from gochat.storage.sqlite.reader import Reader
from gochat.storage.sqlite.writer import Writer

T = TypeVar("T")

#: Entries, and characters of their texts, that are removed in one transaction: some 2 ms, for which
#: a commit may have to wait.
STEP: Final = 40
STEP_CHARS: Final = 32 * 1024
#: Texts that wait to leave the search index, beyond which no entry is removed.
MAX_OUTDATED: Final = 512
#: Conversations examined at once, in a reader's thread: some 5 ms.
GROUP: Final = 200


class Read(Protocol):
    """Answers a question in a thread."""

    def __call__(self, question: Callable[[], T]) -> Awaitable[T]: ...


class SqliteRetention:
    """Implements :class:`~gochat.chat.retention.RetentionStore`."""

    def __init__(
        self, writer: Writer, log: Log, reader: Reader, read: Read, clock: Callable[[], int]
    ) -> None:
        self._writer = writer
        self._log = log
        self._reader = reader
        self._read = read
        self._clock = clock

    async def rules(self) -> dict[str, Rule]:
        return await self._read(lambda: self._reader.ask(read_rules))

    async def set_rule(self, scope: str, rule: Rule | None) -> None:
        await self._writer.write(lambda: write_rule(self._log.db, scope, rule))

    async def claim(self, seconds: int) -> bool:
        return True  # a file has one server

    async def overdue(
        self, rules: Mapping[str, Rule], after: str
    ) -> tuple[list[ConversationKey], str]:
        question = partial(_overdue, rules, int(after or 0), self._clock())
        return await self._read(lambda: self._reader.ask(question))

    async def remove(self, key: ConversationKey, rule: Rule) -> bool:
        return await self._writer.write(partial(_remove, self._log, key, rule, self._clock))


def read_rules(db: sqlite3.Connection) -> dict[str, Rule]:
    """Return the rules by their scopes."""
    rows = db.execute("SELECT scope, days, entries FROM retention ORDER BY scope")
    return {scope: Rule(days=days, entries=entries) for scope, days, entries in rows}


def write_rule(db: sqlite3.Connection, scope: str, rule: Rule | None) -> None:
    """Set a rule, or clear it."""
    if rule is None:
        db.execute("DELETE FROM retention WHERE scope = ?", (scope,))
    else:
        db.execute(
            "INSERT OR REPLACE INTO retention VALUES (?, ?, ?)", (scope, rule.days, rule.entries)
        )


def _overdue(
    rules: Mapping[str, Rule], after: int, now: int, db: sqlite3.Connection
) -> tuple[list[ConversationKey], str]:
    rows = db.execute(_OLDEST, (SEQ_BITS, MAX_SEQ, after, GROUP)).fetchall()
    found = []
    for _, key, base, head, ts, kind, deleted in rows:
        if ts is None:
            continue  # nothing was ever written there
        oldest = Oldest(ts, (head & MAX_SEQ) - base, is_erasable(kind, deleted=bool(deleted)))
        if oldest.is_overdue(rule_for(rules, key), now):
            found.append(ConversationKey(key))
    return found, str(rows[-1][0]) if len(rows) == GROUP else ""


_OLDEST: Final = (
    "SELECT c.id, c.key, c.base,"
    " (SELECT max(id) FROM entry WHERE id BETWEEN c.id << ?1 AND c.id << ?1 | ?2),"
    " e.ts, e.kind, e.deleted FROM conversation c"
    " LEFT JOIN entry e ON e.id = (c.id << ?1) + c.base + 1"
    " WHERE c.id > ?3 ORDER BY c.id LIMIT ?4"
)


def _remove(log: Log, key: ConversationKey, rule: Rule, clock: Callable[[], int]) -> bool:
    """See :meth:`gochat.chat.retention.RetentionStore.remove`."""
    if log.outdated > MAX_OUTDATED:
        return True
    db, cutoff = log.db, rule.cutoff(clock())
    row = db.execute("SELECT id, base FROM conversation WHERE key = ?", (key,)).fetchone()
    if row is None:
        return False
    id_, base = row
    head = log.head(key)
    last = head - rule.entries if rule.entries else 0  # up to here it is one too many
    rows = db.execute(
        "SELECT id, position, ts, sender, kind, text, cid, mentions, edited, deleted FROM entry"
        " WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        (first_id(id_) + base + 1, last_id(id_), STEP),
    ).fetchall()
    chars = 0
    removed: list[OldEntry] = []
    for entry in map(OldEntry._make, rows):
        seq = entry.id & MAX_SEQ
        if (entry.ts >= cutoff and seq > last) or (removed and chars > STEP_CHARS):
            break
        if seq == head:
            if entry.ts < cutoff and is_erasable(entry.kind, deleted=bool(entry.deleted)):
                log.take_back(entry)
            break
        chars += len(entry.text)
        removed.append(entry)
    if not removed:
        return False
    _delete(log, removed)
    base = removed[-1].id & MAX_SEQ
    db.execute("UPDATE conversation SET base = ? WHERE id = ?", (base, id_))
    return True


def _delete(log: Log, entries: list[OldEntry]) -> None:
    db = log.db
    for entry in entries:
        if entry.kind == "text" and not entry.deleted:
            log.take_back(entry)
    db.executemany(
        "INSERT INTO dropped_cid VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (cid_digest(entry.sender, entry.cid), entry.id, entry.ts)
            for entry in entries
            if entry.cid is not None
        ],
    )
    db.execute("DELETE FROM entry WHERE id BETWEEN ? AND ?", (entries[0].id, entries[-1].id))
    log.has_dropped_cids = True
