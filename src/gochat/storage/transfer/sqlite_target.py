"""A new database that another store is copied into.

It is written beside its final path, under a name ending in ``.copying``, and renamed once it is
complete: servers never find half a database, and refuse to start on an unfinished one. The first
server that starts on the copy begins a new epoch (history.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from gochat.chat import conversations, names
from gochat.chat.administration import AuditEntry
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.reports import Report
from gochat.chat.restriction import Restriction
from gochat.chat.retention import Rule
from gochat.chat.token import Token
from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.protocol.text import EVERYBODY
from gochat.storage.common.sqlite_url import parse_url
from gochat.storage.sqlite import (
    accounts,
    activity,
    admission,
    audit,
    database,
    files,
    history,
    lock,
    network_bans,
    retention,
    saved,
    skeletons,
)
from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS, first_id, last_id
from gochat.storage.sqlite.errors import mapped_errors
from gochat.storage.sqlite.reports import put as put_reports
from gochat.storage.sqlite.tokens import INSERT, to_row
from gochat.storage.transfer.contents import (
    AccountRecord,
    AdmissionRecord,
    ConversationRecord,
    EntryRecord,
    ParticipantRecord,
    Source,
    Target,
)
from gochat.storage.transfer.sqlite_source import SqliteSource


@contextmanager
def open_target(url: str, fingerprint: str, *, restart: bool) -> Iterator[Target]:
    """Open the database that will be at `url`, to begin a copy or to continue it.

    Raises:
        ConfigError: a database exists at `url`; or the unfinished copy is of another source.
        StoreUnavailable: it can't be written now; or another copy into it is running.
        StoreCorrupt: the unfinished copy is damaged.
    """
    location = parse_url(url)
    path = location.path
    if path is None:
        raise ConfigError("a copy into memory would be lost: give a file's path, sqlite:///PATH")
    path = files.real(path)
    if path.exists():
        raise ConfigError(f"{path} exists already; a copy overwrites nothing")
    partial = files.beside(path, ".copying")
    files.make_directory(partial)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.exclusive(partial))
        except StoreUnavailable as error:
            raise StoreUnavailable(f"another copy into {path} goes on") from error
        if restart:
            files.remove(partial)
        files.make_file(partial, exist_ok=True)
        stack.enter_context(lock.itself(partial))
        try:
            db = database.open_copy(location, partial)
        except StoreCorrupt as error:
            raise StoreCorrupt(f"{error}. Copy again with --restart") from error
        stack.enter_context(closing(db))
        stack.enter_context(mapped_errors(partial))
        begin(db, fingerprint, path)
        target = SqliteTarget(db, partial, path)
        yield target
        if target.is_published:
            lock.forget(partial)


def begin(db: sqlite3.Connection, fingerprint: str, path: Path) -> None:
    """Prepare a new database for a copy, or find out whether it is one of that source.

    Raises:
        ConfigError: it is a copy of another source.
    """
    # Rows come after or with those they refer to, except accounts: they come last, with the lobby's
    # people, although entries refer to their senders. `complete` checks that all exist.
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("CREATE TABLE IF NOT EXISTS reused_cid (id INTEGER PRIMARY KEY, cid TEXT NOT NULL)")
    db.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO NOTHING", (history.COPY_OF, fingerprint)
    )
    if history.get(db, history.COPY_OF) != fingerprint:
        raise ConfigError(
            f"the copy that was begun as {path} is of another source, or of this one before "
            "it changed: start over with --restart"
        )
    _without_index(db)


def _without_index(db: sqlite3.Connection) -> None:
    """Drop the index of cids until all entries are copied, but keep its definition.

    Cids are random, so each entry would change its own page of the index: copying a million entries
    wrote seven gigabytes.
    """
    db.execute("BEGIN IMMEDIATE")
    db.execute(
        "INSERT INTO meta SELECT 'index', sql FROM sqlite_schema WHERE name = 'entry_cid'"
        " ON CONFLICT DO NOTHING"
    )
    db.execute("DROP INDEX IF EXISTS entry_cid")
    db.execute("COMMIT")


def add_mentions(db: sqlite3.Connection, texts: Iterable[tuple[int, str, str]]) -> None:
    """Add the mentions of messages, given as id, sender's name, and mentions."""
    db.executemany(
        "INSERT INTO mention (person, entry) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [
            (names.known(name), id_)
            for id_, sender, mentions in texts
            if not mentions.startswith(EVERYBODY)
            for name in mentions.split(",")
            if name not in ("", sender)
        ],
    )


class SqliteTarget:
    """A :class:`~gochat.storage.transfer.contents.Target`. Each call is one transaction."""

    def __init__(self, db: sqlite3.Connection, partial: Path, path: Path) -> None:
        self._db = db
        self._partial = partial
        self._path = path
        self._ids: dict[ConversationKey, int] = {}
        self.is_published = False
        self.contents: Source = SqliteSource(db, reused=True)

    def heads(self, records: Sequence[ConversationRecord]) -> list[int]:
        """See :class:`~gochat.storage.transfer.contents.Target`. Creates the conversations."""
        heads = []
        self._ids = {}
        with self._transaction() as db:
            for record in records:
                db.execute(
                    "INSERT INTO conversation (key, name) VALUES (?, ?) ON CONFLICT DO NOTHING",
                    (record.key, record.name or None),
                )
                query = "SELECT id FROM conversation WHERE key = ?"
                (id_,) = db.execute(query, (record.key,)).fetchone()
                self._ids[record.key] = id_
                if record.base:
                    db.execute("UPDATE conversation SET base = ? WHERE id = ?", (record.base, id_))
                (last,) = db.execute(
                    "SELECT max(id) FROM entry WHERE id BETWEEN ? AND ?",
                    (first_id(id_), last_id(id_)),
                ).fetchone()
                heads.append(record.base if last is None else last & MAX_SEQ)
        return heads

    def extend(self, pieces: Sequence[tuple[ConversationRecord, Sequence[EntryRecord]]]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            for record, entries in pieces:
                base = first_id(self._ids[record.key])
                self._add(db, base, entries)
                texts = (entry for entry in entries if entry.kind == "text")
                add_mentions(db, ((base + e.seq, e.sender, e.mentions) for e in texts))

    def _add(self, db: sqlite3.Connection, base: int, entries: Sequence[EntryRecord]) -> None:
        # The position, in the order of all conversations, is set once all entries are copied.
        insert = (
            "INSERT INTO entry (id, position, ts, sender, kind, text, ref, cid, mentions, edited,"
            " deleted, extra, pinned) VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        rows = [
            (
                base + entry.seq,
                entry.ts,
                names.known(entry.sender),
                entry.kind,
                entry.text,
                entry.ref or None,
                entry.cid or None,
                entry.mentions or None,
                entry.edited or None,
                entry.deleted,
                entry.extra or None,
                entry.pinned or None,
            )
            for entry in entries
        ]
        db.executemany(insert, rows)
        db.executemany(
            "INSERT INTO reaction (entry, emoji, person, seq) VALUES (?, ?, ?, ?)",
            [
                (base + entry.seq, given.emoji, names.known(given.name), given.seq)
                for entry in entries
                for given in entry.reactions
            ],
        )

    def describe(
        self, described: Sequence[tuple[ConversationRecord, Sequence[ParticipantRecord]]]
    ) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            for record, participants in described:
                id_ = self._ids[record.key]
                db.execute(
                    "UPDATE conversation SET topic = ?, private = ?, history = ?, floor = ?,"
                    " slow = ?, announcements = ?, archived = ? WHERE id = ?",
                    (
                        *(record.topic, record.private, record.history, record.floor),
                        *(record.modes.slow, record.modes.announcements, record.modes.archived),
                        id_,
                    ),
                )
                db.executemany(
                    "INSERT OR REPLACE INTO ban (conversation, person, by, since, until, reason)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (id_, b.person, names.known(b.by), b.since, b.until, b.reason)
                        for b in record.bans
                    ],
                )
                is_private = conversations.is_private(record.key)
                db.executemany(
                    _PARTICIPANT,
                    [
                        (
                            who.person,
                            id_,
                            who.role or None,
                            conversations.peer(record.key, who.person) if is_private else None,
                            who.since,
                            who.read,
                            who.level,
                            who.floor,
                            names.known(who.inviter) if who.inviter else None,
                        )
                        for who in participants
                    ],
                )

    def put_people(self, people: Sequence[AccountRecord]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            (lobby,) = db.execute(
                "SELECT id FROM conversation WHERE key = ?", (LOBBY_KEY,)
            ).fetchone()
            db.executemany(accounts.REPLACE, [accounts.to_row(who.account) for who in people])
            db.executemany(
                "UPDATE account SET activity_seen = ? WHERE key = ?",
                [(who.activity_seen, who.account.key) for who in people if who.activity_seen],
            )
            for who in people:
                saved.put(db, who.account.key, who.saved)
            db.executemany(
                "INSERT INTO block (person, blocked) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(who.account.key, blocked) for who in people for blocked in who.blocked],
            )
            db.executemany(
                _PARTICIPANT,
                [
                    (
                        *(who.account.key, lobby, "member", None, who.account.created),
                        *(who.read, who.level, 0, None),
                    )
                    for who in people
                ],
            )

    def put_audit(self, entries: Sequence[AuditEntry]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            audit.put(db, entries)

    def forget_tokens(self) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            db.execute("DELETE FROM token")

    def put_tokens(self, tokens: Sequence[Token], now: int) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        del now  # each row has its expiry time
        with self._transaction() as db:
            db.executemany(INSERT, map(to_row, tokens))

    def put_admission(self, record: AdmissionRecord) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            admission.write_mode(db, record.mode or None)
            db.execute("DELETE FROM server_invitation_use")
            db.execute("DELETE FROM server_invitation")
            for invitation in record.invitations:
                admission.insert(db, invitation)

    def put_retention(self, rules: Mapping[str, Rule]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            db.execute("DELETE FROM retention")
            for scope, rule in rules.items():
                retention.write_rule(db, scope, rule)

    def put_network_bans(self, bans: Mapping[str, Restriction]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            db.execute("DELETE FROM network_ban")
            network_bans.put(db, bans)

    def put_reports(self, reports: Sequence[Report]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            db.execute("DELETE FROM report")
            put_reports(db, reports)

    def complete(self) -> int:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        with self._transaction() as db:
            # Positions are those of all conversations together. Within one they must rise with seq,
            # while times may not, where the clock was wrong: such an entry is ordered by the
            # earliest time after it.
            db.execute("DROP TABLE IF EXISTS temp.placed")
            db.execute(
                "CREATE TEMP TABLE placed AS SELECT id FROM entry ORDER BY min(ts) OVER"
                " (PARTITION BY id >> ? ORDER BY id DESC), id",
                (SEQ_BITS,),
            )
            db.execute("CREATE UNIQUE INDEX temp.placed_id ON placed (id)")
            db.execute(
                "UPDATE entry SET position ="
                " (SELECT p.rowid FROM temp.placed p WHERE p.id = entry.id)"
            )
            db.execute("DROP TABLE temp.placed")
            self._index(db)
            activity.rebuild(db)
            skeletons.claim_all(db)
            db.execute(
                "UPDATE conversation SET members = (SELECT count(*) FROM participant p WHERE"
                " p.conversation = conversation.id AND p.role IN ('member', 'operator'))"
            )
            broken = db.execute("PRAGMA foreign_key_check").fetchone()
            if broken is not None:
                raise StoreCorrupt(
                    f"the source is damaged: something in {broken[0]} refers to "
                    f"{broken[2]}, where it is missing"
                )
            (reused,) = db.execute("SELECT count(*) FROM reused_cid").fetchone()
        return int(reused)

    def _index(self, db: sqlite3.Connection) -> None:
        (statement,) = db.execute("SELECT value FROM meta WHERE key = 'index'").fetchone()
        try:
            db.execute(statement)
        except sqlite3.IntegrityError:
            # Redis forgets cids after a time; SQLite keeps each for ever, for one entry. That is
            # the newest, because only that one may be sent again.
            db.execute(
                "INSERT INTO reused_cid SELECT id, cid FROM (SELECT id, cid, row_number() OVER"
                " (PARTITION BY sender, cid ORDER BY position DESC) AS place"
                " FROM entry WHERE cid IS NOT NULL) WHERE place > 1"
            )
            db.execute("UPDATE entry SET cid = NULL WHERE id IN (SELECT id FROM reused_cid)")
            db.execute(statement)

    def publish(self) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`.

        Raises:
            ConfigError: a database exists at its path by now.
        """
        self._finish("a copy of another store")
        files.publish(self._partial, self._path, "a copy overwrites nothing")
        self.is_published = True

    def _finish(self, what: str) -> None:
        """Make it a database on which a server can start, and close it; `what` describes it."""
        with self._transaction() as db:
            db.execute("DROP TABLE reused_cid")
            db.execute("DELETE FROM meta WHERE key IN ('index', ?)", (history.COPY_OF,))
            history.mark_unstarted(db, what)
        database.mark_closed(self._db)
        self._db.execute("PRAGMA journal_mode = DELETE")  # everything in one file
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            raise StoreCorrupt(f"the source is damaged: {error}") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


_PARTICIPANT: Final = (
    "INSERT OR REPLACE INTO participant"
    " (person, conversation, role, peer, since, read, level, floor, inviter)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
