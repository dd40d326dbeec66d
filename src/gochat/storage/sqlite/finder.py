"""Search: the index yields candidates, and their texts decide."""

# ruff: noqa: S608 -- the statements contain only this package's own lists of columns

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from heapq import heappush, heapreplace, merge
from itertools import groupby
from typing import Final, NamedTuple

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.refusals import bad_cursor
from gochat.protocol.messages import Message
from gochat.storage.common.exact_first import in_history, joined, room, split_cursor
from gochat.storage.indexing.grams import IndexedWords
from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.entries import (
    COLUMNS,
    FROM,
    MAX_SEQ,
    SEQ_BITS,
    Row,
    Shape,
    first_id,
    last_id,
    with_reactions,
)
from gochat.storage.sqlite.search_index import IndexDamaged, IndexReader, SearchIndex

#: A query of the index for one conversation takes 0.3 ms. For a person with more conversations than
#: this, one query for all of them is faster, if it matches few entries.
MANY_PLACES: Final = 32
#: Entries up to which such a query is used; they are then grouped by conversation. Words that match
#: more are soon found in the most recently used conversations.
FEW_MATCHES: Final = 1000
#: Digits of a cursor: any such number fits an integer of SQLite.
MAX_CURSOR: Final = 18


class _SearchedConversation(NamedTuple):
    """A conversation to search, above the viewer's floor.

    `newest` is the position of its last entry.
    """

    id: int
    key: ConversationKey
    room: str | None
    floor: int
    newest: int


class _Hit(NamedTuple):
    position: int
    searched: _SearchedConversation
    row: Row


class _Wanted(NamedTuple):
    """What a message must have: the words, and the sender, if one is given."""

    words: IndexedWords
    sender: NameKey | None

    def match(self, row: Row) -> bool:
        """Return True if a row is such a message."""
        if row[4] != "text" or row[10] or self.sender not in (None, row[3]):
            return False
        return self.words.match(row[5])


class Finder:
    """Search messages, in any thread."""

    def __init__(self, connections: ConnectionPool, index: SearchIndex, epoch: str) -> None:
        self._connections = connections
        self._index = index
        self._epoch = epoch

    def search(
        self,
        viewer: NameKey,
        terms: tuple[str, ...],
        sender: NameKey | None,
        conversation: ConversationKey | None,
        cursor: str | None,
        limit: int,
    ) -> tuple[list[Message], str | None]:
        """See :meth:`gochat.chat.store.Store.search`. A cursor is the position of the last hit."""
        is_other, inner = split_cursor(cursor, self._epoch)
        before = _position(inner)
        hits, more = self._turns(
            viewer, terms, sender, conversation, before, limit, is_other=is_other
        )
        return hits, in_history(more, self._epoch)

    def _turns(
        self,
        viewer: NameKey,
        terms: tuple[str, ...],
        sender: NameKey | None,
        conversation: ConversationKey | None,
        before: int,
        limit: int,
        *,
        is_other: bool,
    ) -> tuple[list[Message], str | None]:
        """Search in both turns, or only in the second one if `is_other`."""
        words = IndexedWords(terms)
        if not (words or sender) or limit < 1:
            return [], None
        hits: list[Message] = []
        if not is_other:
            wanted = _Wanted(words, sender)
            hits, more = self._search(viewer, wanted, conversation, before, limit)
            if more is not None or not words.has_others:
                return hits, more
            before = _position(None)
        wanted = _Wanted(IndexedWords(terms, other=True), sender)
        others, more = self._search(viewer, wanted, conversation, before, room(hits, limit))
        return joined(hits, others, more, limit)

    def _search(
        self,
        viewer: NameKey,
        wanted: _Wanted,
        conversation: ConversationKey | None,
        before: int,
        limit: int,
    ) -> tuple[list[Message], str | None]:
        with self._connections.snapshot() as db:
            conversations = _searched(db, viewer, conversation)  # first: see SearchIndex.read
            hits: list[_Hit] | None = None
            if wanted.words:
                try:
                    with self._index.read() as index:
                        hits = self._newest(db, index, conversations, wanted, before, limit)
                except IndexDamaged:
                    hits = None
            if hits is None:  # the index does not know who has written what
                hits = self._newest(db, None, conversations, wanted, before, limit)
            messages = [
                with_reactions(db, hit.searched.id, [self._message(db, hit)], viewer)[0]
                for hit in hits[:limit]
            ]
        return messages, str(hits[limit - 1].position) if len(hits) > limit else None

    def _newest(
        self,
        db: sqlite3.Connection,
        index: IndexReader | None,
        conversations: list[_SearchedConversation],
        wanted: _Wanted,
        before: int,
        limit: int,
    ) -> list[_Hit]:
        """Return the newest hits of all conversations, newest first; one more than the limit."""
        indexed = 0 if index is None else index.progress.position
        matching = None
        if index is not None and len(conversations) > MANY_PLACES:
            matching = _all_matches(db, index, wanted.words)
        hits: list[_Hit] = []  # a heap: the oldest is first
        for searched in conversations:
            if len(hits) > limit and searched.newest < hits[0].position:
                break  # so are all others: the newest conversations come first
            if matching is not None and searched.id not in matching and searched.newest <= indexed:
                continue
            for hit in self._hits(db, index, searched, wanted, before):
                if len(hits) <= limit:
                    heappush(hits, hit)
                elif hit.position > hits[0].position:
                    heapreplace(hits, hit)
                else:
                    break
        hits.sort(reverse=True)
        return hits

    def _hits(
        self,
        db: sqlite3.Connection,
        index: IndexReader | None,
        searched: _SearchedConversation,
        wanted: _Wanted,
        before: int,
    ) -> Iterator[_Hit]:
        """Yield a conversation's hits before a position, newest first."""
        last = last_id(searched.id)
        if searched.newest >= before:
            last = _last_before(db, searched.id, before)
        first = first_id(searched.id) + searched.floor + 1
        indexed = 0 if index is None else index.progress.position
        if searched.newest > indexed:
            unindexed = db.execute(
                f"SELECT e.position, {COLUMNS} FROM {FROM} WHERE e.id BETWEEN ? AND ?"
                " ORDER BY e.id DESC",
                (first, last),
            )
            for position, *columns in unindexed:
                row: Row = tuple(columns)
                if position <= indexed:
                    break
                last = row[0] - 1
                if wanted.match(row):
                    yield _Hit(position, searched, row)
        if index is None:
            return
        # The index has the old text of these, which may lack a word of the new one.
        changed = db.execute(
            "SELECT DISTINCT entry FROM outdated WHERE entry BETWEEN ? AND ? ORDER BY entry DESC",
            (first, last),
        )
        maybe = index.entries(wanted.words, first, last)
        newest_first = merge(maybe, (entry for (entry,) in changed), reverse=True)
        for entry, _ in groupby(newest_first):
            found = db.execute(
                f"SELECT e.position, {COLUMNS} FROM {FROM} WHERE e.id = ?", (entry,)
            ).fetchone()
            if found is None:
                continue  # it is no longer kept, or not yet in this snapshot
            position, *columns = found
            row = tuple(columns)
            if wanted.match(row):
                yield _Hit(position, searched, row)

    def _message(self, db: sqlite3.Connection, hit: _Hit) -> Message:
        return Shape(db, hit.searched.key, hit.searched.room, self._epoch).message(hit.row)


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 2**62
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= MAX_CURSOR):
        raise bad_cursor()
    return int(cursor)


def _all_matches(
    db: sqlite3.Connection, index: IndexReader, words: IndexedWords
) -> set[int] | None:
    """Return the conversations with candidates; None if there are too many candidates."""
    entries = index.some_entries(words, FEW_MATCHES + 1)
    if len(entries) > FEW_MATCHES:
        return None
    changed = db.execute("SELECT DISTINCT entry FROM outdated").fetchall()
    return {entry >> SEQ_BITS for entry in (*entries, *(entry for (entry,) in changed))}


def _searched(
    db: sqlite3.Connection, viewer: NameKey, conversation: ConversationKey | None
) -> list[_SearchedConversation]:
    rows = db.execute(
        "SELECT c.id, c.key, c.name, m.floor,"
        " (SELECT e.position FROM entry e WHERE e.id BETWEEN c.id << ?1 AND (c.id << ?1) + ?2"
        " ORDER BY e.id DESC LIMIT 1) AS newest"
        " FROM participant m JOIN conversation c ON c.id = m.conversation"
        " WHERE m.person = ?3 AND m.role IS NOT 'invited' AND (?4 IS NULL OR c.key = ?4)"
        " AND newest > 0 ORDER BY newest DESC",
        (SEQ_BITS, MAX_SEQ, viewer, conversation),
    )
    return [_SearchedConversation(*row) for row in rows]


def _last_before(db: sqlite3.Connection, conversation: int, position: int) -> int:
    """Return the id of a conversation's last entry before a position.

    Searches by bisection, since ids and positions rise together.
    """
    # Not always from 1: a copy of a store that had dropped its oldest entries lacks them, too.
    low: int
    high: int
    low, high = db.execute(
        "SELECT (SELECT min(id) FROM entry WHERE id BETWEEN ?1 AND ?2) - 1,"
        " (SELECT max(id) FROM entry WHERE id BETWEEN ?1 AND ?2)",
        (first_id(conversation), last_id(conversation)),
    ).fetchone()
    while low < high:
        middle = (low + high + 1) // 2
        (at,) = db.execute("SELECT position FROM entry WHERE id = ?", (middle,)).fetchone()
        low, high = (middle, high) if at < position else (low, middle - 1)
    return low
