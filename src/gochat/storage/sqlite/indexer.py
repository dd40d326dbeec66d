"""Keeping the search index: it follows the log, a turn at a time, between the commits of others.

What is edited or deleted when it is in the index already is noted in the same commit, with the text
that the index has, for only that text takes it out again; the next turns do it.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.sqlite import search
from gochat.storage.sqlite.database import raise_damage, required
from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS, first_id, last_id
from gochat.storage.sqlite.transaction import Transaction

#: Texts that are indexed together. One by one they would cost five times as much; more would make
#: the next write wait for longer than the 5 ms that this takes. A search looks through those that
#: wait by itself.
BATCH: Final = 256
#: Characters that are indexed in one turn, if it is not for a single text. A batch of common
#: messages has about as many. Pieces that are new to the index cost ten times as much: a batch of
#: the longest texts of these would make the next write wait for 5 s.
TURN: Final = 8192
#: Turns that the end of the store waits for; half a million characters. What is left then waits for
#: the next start.
TURNS_AT_END: Final = 64
#: Pages of the index that are merged after each batch. A batch adds 6 pages, each of which is
#: merged about six times until it is one of a million messages. FTS5 left to itself merges more
#: at once, and everybody waits for 50 ms.
MERGED_PAGES: Final = 48


class _Waiting(NamedTuple):
    """A text that is not in the index: its position in the log, its entry, and its characters, if
    that is known."""

    position: int
    entry: int
    size: int = 0


class Indexer:
    """Knows which texts are in the index. Used in the writer's thread."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._indexed, self.last_position, self._waiting = _find_waiting(transaction.db)
        self._size = 0  # of those that wait, as far as it is known
        #: Entries that the index has as they read before, the oldest change first.
        self._outdated = [entry for (entry,) in transaction.db.execute(_OUTDATED)]
        self._was_update = False  # the last turn
        self._before = 0, 0, 0

    @property
    def is_due(self) -> bool:
        """True if so much waits that some of it should be indexed, or something has changed."""
        return bool(self._outdated) or self._has_turn

    @property
    def _has_turn(self) -> bool:
        return len(self._waiting) >= BATCH or self._size >= TURN

    def begin(self) -> None:
        """A transaction begins."""
        self._before = len(self._waiting), self._size, len(self._outdated)

    def roll_back(self) -> None:
        """What was appended or changed since `begin` is not."""
        waiting, self._size, outdated = self._before
        del self._waiting[waiting:]
        del self._outdated[outdated:]

    def append(self, position: int, entry: int, size: int) -> None:
        """Index a new text of `size` characters, by and by."""
        self._waiting.append(_Waiting(position, entry, size))
        self._size += size

    def change(self, entry: int, position: int, old: str) -> None:
        """A text is changed or removed, which was `old`; inside a transaction. The index is changed
        in a later turn, for some texts take 20 ms to put in or out, and who writes next waits."""
        if position > self._indexed:
            return  # it is indexed later, as it reads then
        noted = self._transaction.db.execute(
            # Where it has changed before, the index has what it was then.
            "INSERT INTO outdated (entry, text) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (entry, old),
        )
        if noted.rowcount:
            self._outdated.append(entry)

    def catch_up(self, position: int) -> bool:
        """Do one turn of what waits: index new texts, up to the log's last `position` at most, or
        index anew those that have changed. What the database can't take now waits longer. Return
        whether more should be done soon."""
        if not self._waiting and not self._outdated:
            return False
        # In turn, where both are due: neither waits for the other to end.
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
        """Index all that waits, if it isn't very much."""
        for _ in range(TURNS_AT_END):
            self.catch_up(position)

    def _extend(self, position: int) -> tuple[int, int]:
        """Index some new texts. Return how many, and up to which position all are indexed then; up
        to `position`, if no others wait."""
        turn = self._next_turn()
        if len(turn) < len(self._waiting):
            position = self._waiting[len(turn) - 1].position
        db = self._transaction.db
        search.add(db, turn)
        db.execute("UPDATE meta SET value = ? WHERE key = 'indexed'", (position,))
        return len(turn), position

    def _update(self) -> int:
        """Index some texts anew that have changed, as many as a turn has room for, but one at
        least. Return how many."""
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
        """Return the entries and texts that wait for longest: one, or as many as a turn has room
        for."""
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
        query = "SELECT text FROM entry WHERE id = ?"
        row = self._transaction.db.execute(query, (entry,)).fetchone()
        text: str = required(row, f"entry {entry}")[0]
        return text


_OUTDATED: Final = "SELECT entry FROM outdated ORDER BY entry"
#: What the index has of a message, and what it reads now.
_CHANGE: Final = (
    "SELECT o.text, e.text FROM outdated o JOIN entry e ON e.id = o.entry WHERE o.entry = ?"
)


def _find_waiting(db: sqlite3.Connection) -> tuple[int, int, list[_Waiting]]:
    """Return up to where the index goes, the log's last position, and the texts in between."""
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
