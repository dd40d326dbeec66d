"""One turn of indexing: read texts of the log, and add them to the index or replace them there.

A turn is one transaction of the index. It begins where the last one has ended, which the index
itself says (:class:`Progress`). So a text is added once, even if who asked for a turn was never
told that it was done.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

from gochat.storage.indexing.grams import grams

#: Of the index's schema, and of the tokens: raise it when :func:`.grams` changes, and all indexes
#: are made anew.
VERSION: Final = 1
#: Texts, or changes, of one turn. Indexing them one by one costs five times as much; larger turns
#: bring nothing.
BATCH: Final = 1000
#: Characters of one turn, unless a single text has more: what a stop may have to wait for. The
#: texts of a batch have about as many; pieces that are new to the index cost ten times as much.
TURN: Final = 32_768
#: Texts that are read at once.
_READ: Final = 64
#: Pages of the index merged in each turn. A batch adds some 25 pages, each of which is merged about
#: six times until it is part of a million messages. FTS5's automatic merge does more at once.
MERGED_PAGES: Final = 192
#: Page cache of each connection, in KiB.
CACHE_KIB: Final = 8 * 1024

#: Yields a connection in a transaction, committed at the end.
Transaction: TypeAlias = Callable[[], AbstractContextManager[sqlite3.Connection]]
#: An entry's id, the text that is in the index, and the one to be there; either may be empty.
Replaced: TypeAlias = tuple[int, str, str]


class Progress(NamedTuple):
    """How far the index has come.

    It has the texts of all entries up to `position`, as they were after the change `changed`, the
    key of a row in the table ``outdated``.
    """

    position: int
    changed: int


class Overtaken(Exception):
    """The index is not as who asked for a turn believes: nothing was changed."""


class Turns(Protocol):
    """Who runs turns. Each method returns where the index is then, and how much was done.

    Raises :exc:`Overtaken`, and what the transactions raise.
    """

    def extend(
        self, before: Progress, positions: Sequence[int], entries: Sequence[int], last: int
    ) -> tuple[Progress, int]:
        """Add the first of these new texts, at least one: :data:`BATCH` may be given.

        Up to the position `last` the log has no other texts than these, which are in its order.
        """

    def update(self, before: Progress) -> tuple[Progress, int]:
        """Replace or remove the first texts that have changed since."""


class TurnsHere:
    """Runs turns in this thread, on connections to the log and to the index."""

    def __init__(self, log: Transaction, index: Transaction, generation: str) -> None:
        self._log = log
        self._index = index
        self._generation = generation

    def extend(
        self, before: Progress, positions: Sequence[int], entries: Sequence[int], last: int
    ) -> tuple[Progress, int]:
        """See :meth:`Turns.extend`."""
        with self._log() as db:
            texts = list(_within_turn(_texts(db, entries, before.changed)))
        done = len(texts)
        position = last if done == len(entries) else positions[done - 1]
        with self._turn(before) as db:
            add(db, texts)
            db.execute("UPDATE progress SET position = ?", (position,))
        return before._replace(position=position), done

    def update(self, before: Progress) -> tuple[Progress, int]:
        """See :meth:`Turns.update`."""
        texts: dict[int, Replaced] = {}
        count, last, left = 0, before.changed, TURN
        with self._log() as db:
            for change, entry, position, old, new in db.execute(_CHANGES, (last, BATCH)):
                left -= len(old) + len(new)
                if left < 0 and count:
                    break
                count, last = count + 1, change
                if position <= before.position:  # others will be added as they are then
                    first = texts[entry][1] if entry in texts else old
                    texts[entry] = entry, first, new
        with self._turn(before) as db:
            replace(db, [text for text in texts.values() if text[1] != text[2]])
            db.execute("UPDATE progress SET changed = ?", (last,))
        return before._replace(changed=last), count

    @contextmanager
    def _turn(self, before: Progress) -> Iterator[sqlite3.Connection]:
        with self._index() as db:
            query = "SELECT generation, position, changed FROM progress"
            if db.execute(query).fetchone() != (self._generation, *before):
                raise Overtaken
            yield db
            merge(db, MERGED_PAGES)


def add(index: sqlite3.Connection, texts: Iterable[tuple[int, str]]) -> None:
    """Add texts, as pairs of entry id and text, inside a transaction."""
    # In the order of ids: FTS5 begins a new segment whenever an id is less than the previous one.
    rows = sorted((entry, grams(text)) for entry, text in texts if text)
    # One statement for all: with one each, a thread would give the interpreter away, and wait for
    # it, as often.
    index.execute(_ADD, (json.dumps(rows, ensure_ascii=False),))


def replace(index: sqlite3.Connection, texts: Iterable[Replaced]) -> None:
    """Replace texts that are in the index, inside a transaction."""
    for entry, old, new in sorted((entry, grams(old), grams(new)) for entry, old, new in texts):
        if old:
            index.execute(
                "INSERT INTO search (search, rowid, grams) VALUES ('delete', ?, ?)", (entry, old)
            )
        if new:
            index.execute("INSERT INTO search (rowid, grams) VALUES (?, ?)", (entry, new))


def merge(index: sqlite3.Connection, pages: int) -> None:
    """Merge segments if there are many, writing about `pages` pages at most."""
    index.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (pages,))


def connect(path: Path, options: str, timeout: float) -> sqlite3.Connection:
    """Open a connection to an index, or to read a log. Any thread may use it, one at a time.

    `options` are those of the URI; `timeout` is in seconds. Raises sqlite3's errors.
    """
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute("PRAGMA secure_delete = FAST")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Begin, and commit at the end of the block, or roll back."""
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")


def _texts(
    db: sqlite3.Connection, entries: Sequence[int], changed: int
) -> Iterator[tuple[int, str]]:
    """Yield the entries with the texts that they had after the change `changed`, in order."""
    for start in range(0, len(entries), _READ):
        some = entries[start : start + _READ]
        (found,) = db.execute(_TEXTS, (json.dumps(some), changed)).fetchone()
        texts = dict(json.loads(found))
        yield from ((entry, texts[entry]) for entry in some)


def _within_turn(texts: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the first text, and those after it that are within :data:`TURN`."""
    left = TURN
    for number, (entry, text) in enumerate(texts):
        left -= len(text)
        if left < 0 and number:
            return
        yield entry, text


#: The texts that the entries ?1 had after the change ?2; empty if one is no longer kept.
_TEXTS: Final = (
    "SELECT json_group_array(json_array(value, coalesce("
    "(SELECT text FROM outdated WHERE entry = value AND changed > ?2 ORDER BY changed LIMIT 1),"
    " (SELECT text FROM entry WHERE id = value), ''))) FROM json_each(?1)"
)
#: The changes after ?1, each with the text before and after it.
_CHANGES: Final = (
    "SELECT o.changed, o.entry, o.position, o.text, coalesce((SELECT text FROM outdated n"
    " WHERE n.entry = o.entry AND n.changed > o.changed ORDER BY n.changed LIMIT 1),"
    " (SELECT text FROM entry WHERE id = o.entry), '')"
    " FROM outdated o WHERE o.changed > ? ORDER BY o.changed LIMIT ?"
)
_ADD: Final = (
    "INSERT INTO search (rowid, grams)"
    " SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"
)
