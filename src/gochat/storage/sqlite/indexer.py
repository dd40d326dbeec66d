"""Maintain the search index: it follows the log, one turn at a time, between commits.

When an indexed text is edited or deleted, the same commit records the old text, because only that
text can remove it from the index. Later turns update the index.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.sqlite import search
from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS, first_id, last_id
from gochat.storage.sqlite.errors import raise_damage, required
from gochat.storage.sqlite.transaction import Transaction

#: Texts indexed together. Indexing them one by one costs five times as much; a larger batch would
#: delay the next write by more than the 5 ms that this one takes. A search scans the texts that are
#: not indexed yet.
BATCH: Final = 256
#: Characters indexed in one turn, unless a single text has more. A batch of typical messages has
#: about as many. Pieces that are new to the index cost ten times as much: a batch of the longest
#: such texts would delay the next write by 5 s.
TURN: Final = 8192
#: Turns to run on closing the store; half a million characters. The next start indexes the
#: remainder.
TURNS_AT_END: Final = 64
#: Pages of the index merged after each batch. A batch adds 6 pages, each of which is merged about
#: six times until it is part of a million messages. FTS5's automatic merge does more at once, which
#: blocks everybody for 50 ms.
MERGED_PAGES: Final = 48


class _Waiting(NamedTuple):
    """A text that is not indexed: its position in the log, its entry, and its size in characters.

    `size` is 0 if it is unknown.
    """

    position: int
    entry: int
    size: int = 0


class Indexer:
    """Track which texts are indexed, and index the others. Use in the writer's thread."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._indexed, self.last_position, self._waiting = _find_waiting(transaction.db)
        self._size = 0  # of the waiting texts, as far as it is known
        #: Entries whose old text is indexed, in the order to update them.
        self._outdated = [entry for (entry,) in transaction.db.execute(_OUTDATED)]
        self._was_update = False  # the last turn was an update
        self._before = 0, 0, 0

    @property
    def unindexed(self) -> int:
        """How many texts wait: new ones, and those that have changed."""
        return len(self._waiting) + len(self._outdated)

    @property
    def outdated(self) -> int:
        """How many texts have changed or are gone, but not yet in the index."""
        return len(self._outdated)

    @property
    def is_due(self) -> bool:
        """True if enough texts wait to fill a turn, or an indexed text has changed."""
        return bool(self._outdated) or self._has_turn

    @property
    def _has_turn(self) -> bool:
        return len(self._waiting) >= BATCH or self._size >= TURN

    def begin(self) -> None:
        """Mark the beginning of a transaction."""
        self._before = len(self._waiting), self._size, len(self._outdated)

    def roll_back(self) -> None:
        """Forget everything appended or changed since `begin`."""
        waiting, self._size, outdated = self._before
        del self._waiting[waiting:]
        del self._outdated[outdated:]

    def append(self, position: int, entry: int, size: int) -> None:
        """Queue a new text of `size` characters for indexing."""
        self._waiting.append(_Waiting(position, entry, size))
        self._size += size

    def change(self, entry: int, position: int, old: str) -> None:
        """Record that a text, which was `old`, changes or is removed. Use inside a transaction.

        A later turn updates the index: some texts take 20 ms to add or remove, which would delay
        the next write.
        """
        if position > self._indexed:
            return  # not indexed yet: it will be indexed with its later text
        noted = self._transaction.db.execute(
            # If it has changed before, the index has the earlier old text.
            "INSERT INTO outdated (entry, text) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (entry, old),
        )
        if noted.rowcount:
            self._outdated.append(entry)

    def catch_up(self, position: int) -> bool:
        """Run one turn; return True if more work is due.

        A turn indexes new texts, or changed texts anew. `position` is that of the log's last entry.
        What the database can't take now waits longer.
        """
        if not self._waiting and not self._outdated:
            return False
        # Alternate if both are due, so that neither starves.
        is_update = bool(self._outdated) and not (self._was_update and self._has_turn)
        transaction = self._transaction
        try:
            transaction.begin()
            if is_update:
                done = self._update()
            else:
                done, position = self._extend(position)
            search.merge(transaction.db, MERGED_PAGES)
            transaction.commit(done)
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
            self._was_update = is_update
            if is_update:
                del self._outdated[:done]
            else:
                self._indexed = position
                self._size -= sum(text.size for text in self._waiting[:done])
                del self._waiting[:done]
            return self.is_due
        return False

    def finish(self, position: int) -> None:
        """Index everything that waits, up to :data:`TURNS_AT_END` turns."""
        for _ in range(TURNS_AT_END):
            self.catch_up(position)

    def _extend(self, position: int) -> tuple[int, int]:
        """Index some new texts; return their number, and the new position of the index.

        That is `position` if no other texts wait.
        """
        turn = self._next_turn()
        if len(turn) < len(self._waiting):
            position = self._waiting[len(turn) - 1].position
        db = self._transaction.db
        search.add(db, [(entry, text) for entry, text in turn if text])
        db.execute("UPDATE meta SET value = ? WHERE key = 'indexed'", (position,))
        return len(turn), position

    def _update(self) -> int:
        """Index some changed texts anew; return their number.

        It takes as many as a turn has room for, but at least one.
        """
        db = self._transaction.db
        turn: list[tuple[int, str, str]] = []
        left = TURN
        for entry in self._outdated[:BATCH]:
            row = db.execute(_CHANGE, (entry,)).fetchone()
            old, new = required(row, f"the change of entry {entry}")
            left -= len(old) + len(new)
            if left < 0 and turn:
                break
            turn.append((entry, old, new))
        for entry, old, new in sorted(turn):  # see search.add
            search.remove(db, entry, old)
            if new:
                search.add(db, [(entry, new)])
            db.execute("DELETE FROM outdated WHERE entry = ?", (entry,))
        return len(turn)

    def _next_turn(self) -> list[tuple[int, str]]:
        """Return the entries and texts that have waited longest.

        As many as a turn has room for, but at least one.
        """
        turn: list[tuple[int, str]] = []
        left = TURN
        for waiting in self._waiting[:BATCH]:
            text = self._text(waiting.entry)
            left -= len(text)
            if left < 0 and turn:
                break
            turn.append((waiting.entry, text))
        return turn

    def _text(self, entry: int) -> str:
        """Return the text of an entry, empty if it is no longer kept."""
        query = "SELECT text FROM entry WHERE id = ?"
        row = self._transaction.db.execute(query, (entry,)).fetchone()
        return "" if row is None else str(row[0])


_OUTDATED: Final = "SELECT entry FROM outdated ORDER BY entry"
#: The indexed text of a message, and its present text; that is empty if it is no longer kept.
_CHANGE: Final = (
    "SELECT o.text, coalesce(e.text, '') FROM outdated o LEFT JOIN entry e ON e.id = o.entry"
    " WHERE o.entry = ?"
)


def _find_waiting(db: sqlite3.Connection) -> tuple[int, int, list[_Waiting]]:
    """Return the position of the index, the log's last position, and the texts in between."""
    row = db.execute("SELECT value FROM meta WHERE key = 'indexed'").fetchone()
    (indexed,) = required(row, "the position of the index")
    last = indexed
    waiting: list[_Waiting] = []
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
                waiting.append(_Waiting(position, entry))
    return indexed, last, sorted(waiting)
