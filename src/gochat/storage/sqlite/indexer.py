"""Keeping the search index: it follows the log, a batch of texts at a time."""

from __future__ import annotations

import sqlite3
from typing import Final

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.sqlite import search
from gochat.storage.sqlite.database import raise_damage, required
from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS, first_id, last_id
from gochat.storage.sqlite.transaction import Transaction

#: Texts that are indexed together. One by one they would cost five times as much; more would make
#: the next write wait for longer than the 5 ms that this takes. A search looks through those that
#: wait by itself.
BATCH: Final = 256
#: Pages of the index that are merged after each batch. A batch adds 6 pages, each of which is
#: merged about six times until it is one of a million messages. FTS5 left to itself merges more
#: at once, and everybody waits for 50 ms.
MERGED_PAGES: Final = 48


class Indexer:
    """Knows which texts are in the index. Used in the writer's thread."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._indexed, self.last_position, self._waiting = _find_waiting(transaction.db)
        self._were_waiting = 0

    def begin(self) -> None:
        """A transaction begins."""
        self._were_waiting = len(self._waiting)

    def roll_back(self) -> None:
        """What was appended since `begin` is not."""
        del self._waiting[self._were_waiting :]

    def append(self, entry: int) -> None:
        """Index a new text, by and by."""
        self._waiting.append(entry)

    def replace(self, entry: int, position: int, old: str, new: str) -> None:
        """A text is changed, or removed where `new` is empty; inside a transaction."""
        if position > self._indexed:
            return  # it is indexed later, as it reads then
        search.remove(self._transaction.db, entry, old)
        if new:
            search.add(self._transaction.db, [(entry, new)])

    def catch_up(self, position: int, *, at_least: int = BATCH) -> None:
        """Index what waits, up to the log's last `position`, if that is much; what the database
        can't take now waits longer."""
        if len(self._waiting) < at_least:
            return
        transaction = self._transaction
        try:
            transaction.begin()
            search.add(transaction.db, [(entry, self._text(entry)) for entry in self._waiting])
            search.merge(transaction.db, MERGED_PAGES)
            transaction.db.execute("UPDATE meta SET value = ? WHERE key = 'indexed'", (position,))
            transaction.commit(len(self._waiting))
        except sqlite3.Error as error:
            transaction.roll_back()
            raise_damage(error)
        except StoreCorrupt:
            transaction.roll_back()
            raise
        except StoreUnavailable:
            transaction.roll_back()
        except BaseException:
            transaction.roll_back()
            raise
        else:
            self._indexed = position
            self._waiting.clear()

    def _text(self, entry: int) -> str:
        query = "SELECT text FROM entry WHERE id = ?"
        row = self._transaction.db.execute(query, (entry,)).fetchone()
        text: str = required(row, f"entry {entry}")[0]
        return text


def _find_waiting(db: sqlite3.Connection) -> tuple[int, int, list[int]]:
    """Return up to where the index goes, the log's last position, and the texts in between."""
    row = db.execute("SELECT value FROM meta WHERE key = 'indexed'").fetchone()
    (indexed,) = required(row, "the position of the index")
    last, waiting = indexed, []
    heads = db.execute(
        "SELECT c.id, (SELECT e.position FROM entry e WHERE e.id BETWEEN c.id << ?1"
        " AND (c.id << ?1) + ?2 ORDER BY e.id DESC LIMIT 1) AS head"
        " FROM conversation c WHERE head > ?3",
        (SEQ_BITS, MAX_SEQ, indexed),
    ).fetchall()
    for conversation, head in heads:
        last = max(last, head)
        entries = db.execute(
            "SELECT id, position, kind FROM entry WHERE id BETWEEN ? AND ? ORDER BY id DESC",
            (first_id(conversation), last_id(conversation)),
        )
        for entry, position, kind in entries:
            if position <= indexed:
                break
            if kind == "text":
                waiting.append(entry)
    return indexed, last, waiting
