"""Queries of the database. Each method is one query, answered from one snapshot."""

# ruff: noqa: S608 -- the statements contain only this package's own lists of columns

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import Final, TypeAlias, TypeVar

from gochat.chat import conversations
from gochat.chat.account import Account
from gochat.chat.conversations import LOBBY_KEY, ConversationKey, Summary
from gochat.chat.facts import INSIDE
from gochat.chat.history import as_seen
from gochat.chat.log import Appended, Draft, Page, Waiting
from gochat.chat.names import NameKey
from gochat.chat.store import MAX_COUNTED
from gochat.chat.token import Token
from gochat.errors import ChatError
from gochat.protocol.messages import (
    Conversation,
    HistorySetting,
    Level,
    Message,
)
from gochat.storage.sqlite import accounts, tokens
from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.entries import (
    COLUMNS,
    FROM,
    MAX_SEQ,
    SEQ_BITS,
    Shape,
    find_by_cid,
    first_id,
    last_id,
    shared,
    with_reactions,
)
from gochat.storage.sqlite.room_reader import RoomReader

T = TypeVar("T")

#: Other people's entries that counting unread messages examines. Only some count, since reactions
#: and edits are entries, too.
MAX_LOOKED_AT: Final = 4 * MAX_COUNTED
#: Entries that it reads on the way, including the person's own, which never count. There may be
#: very many of those, because writing moves no marker. Takes some 20 ms.
MAX_PASSED: Final = 10 * MAX_LOOKED_AT
#: Entries examined for a page of other people's messages.
MAX_SKIPPED: Final = 4000
#: Names queried in one statement; SQLite's limit of parameters was 999 for a long time.
_MANY: Final = 500

_ADDRESS: Final = "coalesce(c.name, '@' || p.name)"


#: A row of :data:`_CONVERSATIONS`.
_Row: TypeAlias = tuple[
    int, str, str, bool, HistorySetting, str | None, int, Level, int, bool | None, int, int, int
]


class Reader(RoomReader):
    """Answer queries, in any thread."""

    def __init__(self, connections: ConnectionPool, epoch: str) -> None:
        super().__init__(connections)
        self._epoch = epoch

    # -- accounts and tokens --------------------------------------------------------------------

    def account(self, key: NameKey) -> Account | None:
        """See :meth:`gochat.chat.store.Store.account`."""
        return self.ask(lambda db: accounts.account(db, key))

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer a question that is stated elsewhere."""
        with self._connections.snapshot() as db:
            return question(db)

    def display_names(self, keys: Collection[NameKey]) -> dict[NameKey, str]:
        """See :meth:`gochat.chat.store.Store.display_names`."""
        wanted = list(keys)
        found: dict[NameKey, str] = {}
        with self._connections.snapshot() as db:
            for start in range(0, len(wanted), _MANY):
                some = wanted[start : start + _MANY]
                marks = ", ".join("?" * len(some))
                query = f"SELECT key, name FROM account WHERE key IN ({marks})"
                found.update(db.execute(query, some).fetchall())
        return found

    def token(self, token_id: bytes, now: int) -> Token | None:
        """See :meth:`gochat.chat.store.Store.token`."""
        with self._connections.snapshot() as db:
            return tokens.token(db, token_id, now)

    def void_token(self, token_id: bytes, now: int) -> Token | None:
        """See :meth:`gochat.chat.store.Store.void_token`."""
        with self._connections.snapshot() as db:
            return tokens.void_token(db, token_id, now)

    def tokens(self, account: NameKey, now: int) -> list[Token]:
        """See :meth:`gochat.chat.store.Store.tokens`."""
        with self._connections.snapshot() as db:
            return tokens.tokens(db, account, now)

    def last_login(self, account: NameKey, address: str) -> int | None:
        """See :meth:`gochat.chat.store.Store.last_login`."""
        with self._connections.snapshot() as db:
            return tokens.last_login(db, account, address)

    # -- the log --------------------------------------------------------------------------------

    def page(
        self,
        key: ConversationKey,
        viewer: NameKey,
        before: int | None,
        after: int | None,
        limit: int,
    ) -> Page:
        """See :meth:`gochat.chat.store.Store.page`."""
        with self._connections.snapshot() as db:
            row = db.execute(
                "SELECT id, name, base FROM conversation WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                return Page(self._epoch, 0, [])
            id_, name, base = row
            is_inside, floor = _standing(db, id_, key, viewer)
            head = _head(db, id_)
            first = floor + 1 if after is None else max(after, floor) + 1
            last = head if before is None else min(head, before - 1)
            messages: list[Message] = []
            if first <= last and limit > 0:
                order = "DESC" if after is None else "ASC"
                shape = Shape(db, key, name, self._epoch)
                rows = db.execute(
                    f"SELECT {COLUMNS} FROM {FROM} WHERE e.id BETWEEN ? AND ?"
                    f" ORDER BY e.id {order} LIMIT ?",
                    (first_id(id_) + first, first_id(id_) + last, limit),
                ).fetchall()
                if after is None:
                    rows.reverse()
                messages = [
                    as_seen(message, floor)
                    for message in with_reactions(db, id_, map(shape.message, rows), viewer)
                ]
        return Page(self._epoch, head, messages, is_inside, floor, base)

    def waiting(self, key: ConversationKey, viewer: NameKey, after: int, limit: int) -> Waiting:
        """See :meth:`gochat.chat.store.Store.waiting`."""
        with self._connections.snapshot() as db:
            row = db.execute(
                "SELECT id, name, base FROM conversation WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                return Waiting(0, after, [])
            id_, name, base = row
            head = _head(db, id_)
            after = max(after, base, _standing(db, id_, key, viewer)[1])
            last = min(head, after + MAX_SKIPPED)
            rows = db.execute(
                f"SELECT {COLUMNS} FROM {FROM} WHERE e.id BETWEEN ? AND ? AND e.sender <> ?"
                " AND e.kind = 'text' AND NOT e.deleted ORDER BY e.id LIMIT ?",
                (first_id(id_) + after + 1, first_id(id_) + last, viewer, limit),
            ).fetchall()
            shape = Shape(db, key, name, self._epoch)
            messages = with_reactions(db, id_, map(shape.message, rows), viewer)
        return Waiting(head, messages[-1].seq if len(messages) == limit else last, messages)

    def message(self, key: ConversationKey, seq: int, viewer: NameKey) -> Message | None:
        """See :meth:`gochat.chat.store.Store.message`."""
        if not 0 < seq <= MAX_SEQ:
            return None
        with self._connections.snapshot() as db:
            row = db.execute("SELECT id, name FROM conversation WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            id_, name = row
            if seq <= _standing(db, id_, key, viewer)[1]:
                return None
            entry = db.execute(
                f"SELECT {COLUMNS} FROM {FROM} WHERE e.id = ? AND e.kind = 'text'",
                (first_id(id_) + seq,),
            ).fetchone()
            if entry is None:
                return None
            message = Shape(db, key, name, self._epoch).message(entry)
            return with_reactions(db, id_, [message], None)[0]

    def find_by_cid(self, draft: Draft) -> Appended | ChatError | None:
        """See :meth:`gochat.chat.store.Store.find_by_cid`."""
        key = draft.conversation
        id_ = shape = None
        with self._connections.snapshot() as db:
            row = db.execute("SELECT id, name FROM conversation WHERE key = ?", (key,)).fetchone()
            if row is not None:
                id_, name = row
                shape = Shape(db, key, name, self._epoch)
            try:
                return find_by_cid(db, draft, id_, shape)
            except ChatError as error:
                return error

    # -- a person's conversations ---------------------------------------------------------------

    def conversation_keys(self, person: NameKey) -> dict[ConversationKey, int]:
        """See :meth:`gochat.chat.store.Store.conversation_keys`."""
        with self._connections.snapshot() as db:
            rows = db.execute(
                "SELECT c.key, m.floor FROM participant m"
                " JOIN conversation c ON c.id = m.conversation"
                " WHERE m.person = ? AND m.role IS NOT 'invited'",
                (person,),
            ).fetchall()
        return {ConversationKey(key): floor for key, floor in rows}

    def private_markers(self, person: NameKey) -> dict[ConversationKey, tuple[int, int]]:
        """See :meth:`gochat.chat.store.Store.private_markers`."""
        with self._connections.snapshot() as db:
            rows = db.execute(
                "SELECT c.key, m.read,"
                " (SELECT max(id) FROM entry WHERE id BETWEEN c.id << ? AND c.id << ? | ?)"
                " FROM participant m JOIN conversation c ON c.id = m.conversation"
                " WHERE m.person = ? AND m.peer IS NOT NULL",
                (SEQ_BITS, SEQ_BITS, MAX_SEQ, person),
            ).fetchall()
        return {ConversationKey(key): (read, (id_ or 0) & MAX_SEQ) for key, read, id_ in rows}

    def summaries(self, person: NameKey, after: str, limit: int) -> tuple[list[Summary], bool]:
        """See :meth:`gochat.chat.store.Store.summaries`."""
        with self._connections.snapshot() as db:
            rows = db.execute(
                "SELECT p.key, p.address, e.id, e.ts, p.read, p.level FROM"
                f" (SELECT c.id, c.key, {_ADDRESS} address, m.read, m.level {_OF_PERSON}"
                f" AND {_ADDRESS} > ? ORDER BY address LIMIT ?) p LEFT JOIN entry e ON e.id ="
                " (SELECT max(id) FROM entry WHERE id BETWEEN p.id << ? AND p.id << ? | ?)"
                " ORDER BY p.address",
                (person, after, limit + 1, SEQ_BITS, SEQ_BITS, MAX_SEQ),
            ).fetchall()
        found = [
            Summary(key, address, self._epoch, (id_ or 0) & MAX_SEQ, ts or 0, read, level)
            for key, address, id_, ts, read, level in rows[:limit]
        ]
        return found, len(rows) > limit

    def conversation(self, person: NameKey, key: ConversationKey) -> Conversation | None:
        """See :meth:`gochat.chat.store.Store.conversation`."""
        with self._connections.snapshot() as db:
            row = db.execute(f"{_CONVERSATIONS} AND c.key = ?", (person, key)).fetchone()
            return None if row is None else self._conversation(db, person, row)

    def _conversation(
        self,
        db: sqlite3.Connection,
        person: NameKey,
        row: _Row,
    ) -> Conversation:
        id_, address, topic, private, history, role, read, level, floor, is_to_oneself, *modes = row
        head, ts = _newest(db, id_)
        first, last = first_id(id_) + read + 1, last_id(id_)
        unread = mentions = 0
        if not is_to_oneself:  # else all entries are the person's own
            unread = db.execute(
                "SELECT count(*) FROM (SELECT 1 FROM (SELECT kind, deleted FROM"
                " (SELECT kind, sender, deleted FROM entry WHERE id BETWEEN ? AND ? LIMIT ?)"
                " WHERE sender <> ? LIMIT ?) WHERE kind = 'text' AND NOT deleted LIMIT ?)",
                (first, last, MAX_PASSED, person, MAX_LOOKED_AT, MAX_COUNTED),
            ).fetchone()[0]
        if unread:
            mentions = db.execute(
                "SELECT count(*) FROM (SELECT 1 FROM mention WHERE person = ?"
                " AND entry BETWEEN ? AND ? LIMIT ?)",
                (person, first, last, MAX_COUNTED),
            ).fetchone()[0]
            mentions += db.execute(
                "SELECT count(*) FROM (SELECT 1 FROM entry WHERE kind = 'text' AND"
                " substr(mentions, 1, 5) = '@room' AND id BETWEEN ? AND ? AND sender <> ? LIMIT ?)",
                (first, last, person, MAX_COUNTED),
            ).fetchone()[0]
        return Conversation(
            conv=address,
            epoch=self._epoch,
            head=head,
            ts=ts,
            read=read,
            unread=unread,
            mentions=min(mentions, MAX_COUNTED),
            level=shared(level),
            topic=topic,
            operator=role == "operator",
            private=bool(private),
            history=shared(history),
            floor=floor,
            slow=modes[0],
            announcements=bool(modes[1]),
            archived=bool(modes[2]),
        )


_OF_PERSON: Final = (
    "FROM participant m JOIN conversation c ON c.id = m.conversation"
    " LEFT JOIN account p ON p.key = m.peer"
    " WHERE m.person = ? AND m.role IS NOT 'invited'"
)
_CONVERSATIONS: Final = (
    f"SELECT c.id, {_ADDRESS}, c.topic, c.private, c.history, m.role, m.read, m.level, m.floor,"
    f" m.peer = m.person, c.slow, c.announcements, c.archived {_OF_PERSON}"
)


def _standing(
    db: sqlite3.Connection, conversation: int, key: ConversationKey, viewer: NameKey
) -> tuple[bool, int]:
    """Return whether a person is in a conversation, and their floor."""
    if key == LOBBY_KEY or conversations.is_private(key):
        return True, 0
    row = db.execute(
        "SELECT role, floor FROM participant WHERE person = ? AND conversation = ?",
        (viewer, conversation),
    ).fetchone()
    return (False, 0) if row is None else (row[0] in INSIDE, row[1])


def _head(db: sqlite3.Connection, conversation: int) -> int:
    """Return the newest seq; 0 without entries."""
    return _newest(db, conversation)[0]


def _newest(db: sqlite3.Connection, conversation: int) -> tuple[int, int]:
    """Return seq and time of the newest entry; 0 without entries."""
    row = db.execute(
        "SELECT id, ts FROM entry WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
        (first_id(conversation), last_id(conversation)),
    ).fetchone()
    return (0, 0) if row is None else (row[0] & MAX_SEQ, row[1])
