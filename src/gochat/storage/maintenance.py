"""Back up and check a database, even while a server writes to it.

These functions block. They read from one snapshot, so the server continues meanwhile.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from operator import le
from pathlib import Path
from typing import Final

from gochat.chat.log import MAX_AHEAD
from gochat.errors import ConfigError, StoreCorrupt
from gochat.storage.indexing.grams import grams
from gochat.storage.indexing.turns import Progress
from gochat.storage.sqlite import database, files, history, search_index, skeletons
from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS, last_position
from gochat.storage.sqlite.errors import mapped_errors, translated
from gochat.storage.sqlite.indexer import last_change
from gochat.storage.sqlite.search_index import IndexDamaged
from gochat.storage.transfer.sqlite_source import opened_to_read

#: Findings of one kind: more would add no information.
MAX_FINDINGS: Final = 20
#: How often to look for a moment in which the search index is not newer than the log, as read
#: before; seconds in between.
_TRIES: Final = 20
_TRY_EVERY: Final = 0.05
_ADVICE: Final = "stop the server, remove the file that ends in .index, and the next start makes it"


def backup(source: Path, target: Path) -> None:
    """Copy the database `source` to the new file `target`, readable only by its owner.

    The copy is a checked snapshot, complete as soon as it has its name. It is marked as a backup:
    it lacks whatever is written later, so a server that starts on it begins a new epoch.

    Raises:
        ConfigError: `source` does not exist, or `target` exists or can't be written.
        StoreUnavailable: the disk is full, or `source` can't be read now.
        StoreCorrupt: `source` is damaged, or not a gochat database. `target` is not created.
    """
    if target.exists():
        raise ConfigError(f"{target} exists already; a backup overwrites nothing")
    with opened_to_read(source) as db, files.in_the_making(target.absolute(), ".partial") as new:
        copy(db, new)
        files.publish(new, target.absolute(), "a backup overwrites nothing")


def copy(db: sqlite3.Connection, new: Path) -> None:
    """Copy an open database into the empty file `new`, mark it as a backup, and check it.

    Raises:
        StoreUnavailable: the disk is full, or the database can't be read now.
        StoreCorrupt: it is damaged.
    """
    with mapped_errors(new), closing(database.connect(new)) as target:
        db.backup(target)  # in one step: the server's commits don't make it start over
        target.execute("PRAGMA journal_mode = DELETE")  # everything in one file
        if history.get(target, history.UNSTARTED) is None:
            history.mark_unstarted(target, "a backup")
    findings = check(new)
    if findings:
        raise StoreCorrupt(f"the database is damaged, so no backup was made: {findings[0]}")


def check(path: Path) -> list[str]:
    """Return the problems found in a database; empty if there are none. Change nothing.

    Reads everything: about half a minute for a million messages.

    Raises:
        ConfigError: the file does not exist.
        StoreUnavailable: it can't be read now.
        StoreCorrupt: it is not a database, is another program's, or is newer than this program.
    """
    with opened_to_read(path) as db:
        findings: list[str] = []
        try:
            db.execute("BEGIN")
            findings += _damage(db)
            if not _is_older(db):  # an older schema may have other tables
                findings += _contradictions(db)
                for _ in db.execute("SELECT text FROM entry"):
                    pass  # each is decoded: SQLite itself accepts what is not UTF-8
                db.execute("ROLLBACK")
                findings += _search_index(path, db)
        except sqlite3.Error as error:
            damage = translated(error, path)
            if not isinstance(damage, StoreCorrupt):
                raise damage from error
            findings.append(str(damage))
        return findings


def wrong_times(path: Path, now: int) -> list[str]:
    """Return descriptions of the entries of a sound database that a wrong clock left.

    These are entries with a time ahead of `now` (in milliseconds since the Unix epoch), and entries
    whose successor has an earlier time. They do no harm, because seq orders entries. Raises the
    same errors as :func:`check`.
    """
    with opened_to_read(path) as db, mapped_errors(path):
        db.execute("BEGIN")
        ahead = db.execute(_AHEAD, (SEQ_BITS, now + MAX_AHEAD)).fetchmany(MAX_FINDINGS)
        back = db.execute(_BACK, (SEQ_BITS, MAX_SEQ)).fetchmany(MAX_FINDINGS)
    return [
        f"the clock was ahead: {count} entries of {key} bear times up to {_shown(ts)}"
        for key, count, ts in ahead
    ] + [
        f"the clock was wrong: in {key} the time goes back from {_shown(before)} to {_shown(ts)} "
        f"at entry {seq}"
        for key, seq, before, ts in back
    ]


def lookalikes(path: Path) -> list[str]:
    """Return descriptions of the names in a sound database that look like an older name.

    They date from before such names were refused. Raises the same errors as :func:`check`.
    """
    with opened_to_read(path) as db, mapped_errors(path):
        return list(islice(skeletons.collisions(db), MAX_FINDINGS))


_AHEAD: Final = (
    "SELECT c.key, count(*), max(e.ts) FROM entry e JOIN conversation c ON c.id = e.id >> ?1"
    " WHERE e.ts > ?2 GROUP BY c.id"
)
_BACK: Final = (
    "SELECT c.key, e.id & ?2, b.ts, e.ts FROM entry e JOIN entry b ON b.id = e.id - 1"
    " JOIN conversation c ON c.id = e.id >> ?1 WHERE e.ts < b.ts"
)


def _shown(ts: int) -> str:
    try:
        return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):  # a five-digit year
        return f"{ts} ms"


def states(path: Path) -> list[str]:
    """Return further facts about a database, for people. Raises as :func:`check` does."""
    with opened_to_read(path) as db:
        epoch, mark = history.get(db, history.EPOCH), history.get(db, history.UNSTARTED)
        generation = history.get(db, history.GENERATION)
        real = files.real(path.absolute())
        foreign = history.look(real).foreign(db)
        is_older = _is_older(db)
    found = []
    if real != path.absolute():
        found.append(f"a link to {real}")
    if mark is not None:
        found.append(f"{mark}; the first server that starts on it begins a new epoch")
    else:
        found.append(f"epoch {epoch}, generation {generation or 'not noted yet'}")
        if foreign is not None:
            found.append(f"{foreign}; the next start begins a new epoch")
    if is_older:
        found.append("of an older gochat; the first server that starts on it upgrades it for good")
    if (rights := files.rights_of_others(real)) is not None:
        found.append(f"open to all users of this machine (mode {rights:04o})")
    return found


def _is_older(db: sqlite3.Connection) -> bool:
    return database.user_version(db) < len(database.migrations())


def _damage(db: sqlite3.Connection) -> Iterator[str]:
    for (finding,) in db.execute(f"PRAGMA integrity_check({MAX_FINDINGS})").fetchall():
        if finding != "ok":
            yield f"damaged: {finding}"
    broken = db.execute("PRAGMA foreign_key_check").fetchmany(MAX_FINDINGS)
    for table, _, parent, _ in broken:
        yield f"a row of {table} refers to a row of {parent} that is missing"


#: Each message, and the query for what must not exist; `?1` is SEQ_BITS, `?2` is MAX_SEQ.
_CONTRADICTIONS: Final = {
    "the log of {} has gaps: {} entries, the last one is {}": (
        "SELECT coalesce(c.key, '?'), count(*), max(e.id & ?2) FROM entry e"
        " LEFT JOIN conversation c ON c.id = e.id >> ?1 GROUP BY e.id >> ?1"
        " HAVING c.key IS NULL OR min(e.id & ?2) <> c.base + 1"
        " OR max(e.id & ?2) <> c.base + count(*)"
    ),
    "of {} entries up to {} are not kept, and there are no others": (
        "SELECT c.key, c.base FROM conversation c WHERE c.base > 0 AND NOT EXISTS (SELECT 1"
        " FROM entry e WHERE e.id BETWEEN c.id << ?1 AND (c.id << ?1) + ?2)"
    ),
    "{} is mentioned in the entry {}, which is not there": (
        "SELECT m.person, m.entry FROM mention m LEFT JOIN entry e ON e.id = m.entry"
        " WHERE ?1 AND ?2 AND e.id IS NULL"
    ),
    "in the log of {} entry {} was committed before the one in front of it": (
        "SELECT coalesce(c.key, '?'), e.id & ?2 FROM entry e"
        " JOIN entry b ON b.id = e.id - 1 LEFT JOIN conversation c ON c.id = e.id >> ?1"
        " WHERE e.position <= b.position"
    ),
    "the position {} is that of {} entries": (
        "SELECT position, count(*) FROM entry WHERE ?1 AND ?2 GROUP BY position HAVING count(*) > 1"
    ),
    "{} says it has {} members, but has {}": (
        "SELECT c.key, c.members, count(p.person) FROM conversation c LEFT JOIN participant p"
        " ON p.conversation = c.id AND p.role IN ('member', 'operator')"
        " WHERE ?1 AND ?2 GROUP BY c.id HAVING c.members <> count(p.person)"
    ),
    "the entry {} of {} would have been pinned by the entry {}": (
        "SELECT e.id & ?2, coalesce(c.key, '?'), e.pinned FROM entry e"
        " LEFT JOIN conversation c ON c.id = e.id >> ?1"
        " LEFT JOIN entry p ON p.id = (e.id >> ?1 << ?1 | e.pinned)"
        " WHERE e.pinned IS NOT NULL AND (e.kind <> 'text' OR e.deleted"
        " OR p.kind IS NOT 'pin' OR p.ref IS NOT e.id & ?2)"
    ),
    "{} has saved the entry {}, which is of no conversation": (
        "SELECT person, entry FROM saved WHERE ?2 AND entry >> ?1 NOT IN"
        " (SELECT id FROM conversation)"
    ),
    "{} has read {} up to {}, where there is nothing": (
        "SELECT p.person, c.key, p.read FROM participant p"
        " JOIN conversation c ON c.id = p.conversation"
        " WHERE p.read > coalesce((SELECT max(e.id) & ?2 FROM entry e"
        " WHERE e.id BETWEEN c.id << ?1 AND (c.id << ?1) + ?2), 0)"
    ),
}


def _contradictions(db: sqlite3.Connection) -> Iterator[str]:
    for text, query in _CONTRADICTIONS.items():
        for row in db.execute(query, (SEQ_BITS, MAX_SEQ)).fetchmany(MAX_FINDINGS):
            yield text.format(*row)


def _search_index(path: Path, db: sqlite3.Connection) -> Iterator[str]:
    """Compare the search index, if it belongs to the database, with the texts.

    It compares the sums of all tokens' hashes, because the tokens of a large log do not fit into
    memory.
    """
    for _ in range(_TRIES):
        db.execute("BEGIN")
        try:
            generation = history.get(db, history.GENERATION)
            last = last_position(db), last_change(db)
            with search_index.opened_to_check(path, generation or "") as index:
                if index is None:
                    return  # the next start makes it
                if all(map(le, index.progress, last)):
                    if _tokens(index.tokens()) != _tokens(_of_texts(db, index.progress)):
                        yield f"the search index does not match the messages: {_ADVICE}"
                    return
        except IndexDamaged as error:
            yield f"the search index is damaged ({error}): {_ADVICE}"
            return
        finally:
            db.execute("ROLLBACK")
        time.sleep(_TRY_EVERY)  # it was newer: a server has just written it


def _tokens(counted: Iterable[tuple[str, int]]) -> int:
    return sum(hash(token) * count for token, count in counted)


def _of_texts(db: sqlite3.Connection, progress: Progress) -> Iterator[tuple[str, int]]:
    """Yield the tokens of all texts that an index with this progress has."""
    texts = db.execute(
        "SELECT coalesce(o.text, e.text) FROM entry e LEFT JOIN first o ON o.entry = e.id"
        " WHERE e.kind = 'text' AND e.position <= ?1"
        " UNION ALL SELECT o.text FROM first o WHERE o.position <= ?1"
        " AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.id = o.entry)".replace(
            # What each text was after the last change that the index has.
            "first o",
            "(SELECT entry, position, text, min(changed) FROM outdated WHERE changed > ?2"
            " GROUP BY entry) o",
        ),
        progress,
    )
    for (text,) in texts:
        if text:
            yield from ((token, 1) for token in grams(text).split(" "))
