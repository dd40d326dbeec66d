"""A database read as a whole: for a backup, a check, or a copy into another store."""

# ruff: noqa: S608 -- the statements contain only this module's own text

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from gochat.chat.administration import AuditEntry
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.modes import Modes
from gochat.chat.names import NameKey
from gochat.chat.reports import MAX_REPORTS, Report
from gochat.chat.restriction import Restriction
from gochat.chat.retention import Rule
from gochat.chat.token import Token
from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.protocol.messages import HistorySetting, Level
from gochat.storage.common.sqlite_url import parse_url
from gochat.storage.sqlite import (
    accounts,
    admission,
    audit,
    database,
    files,
    history,
    lock,
    network_bans,
    reports,
    retention,
    saved,
    tokens,
)
from gochat.storage.sqlite.entries import MAX_SEQ, SEQ_BITS, first_id, last_id
from gochat.storage.sqlite.errors import mapped_errors
from gochat.storage.sqlite.file_size import has_journal, has_wal, require_whole
from gochat.storage.transfer.contents import (
    GROUP,
    MANY,
    AccountRecord,
    AdmissionRecord,
    BanRecord,
    ConversationRecord,
    EntryRecord,
    ParticipantRecord,
    ReactionRecord,
    Source,
)


@contextmanager
def opened_to_read(path: Path, *, alone: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a database for reading only, whether or not a server uses it.

    With `alone`, refuse one that a server uses, and keep servers from it.

    Raises:
        ConfigError: there is no such file.
        StoreUnavailable: it can't be read now; or a server uses it although `alone`, or under
            another name; or it is an unfinished copy.
        StoreCorrupt: it is not a database, is another program's, or is newer than this program; or
            another database's write-ahead log is beside it.
    """
    path = files.real(path.absolute())
    if not path.exists():
        raise ConfigError(f"no such database: {path}")
    with ExitStack() as stack:
        is_at_rest = stack.enter_context(lock.at_rest(path))
        if alone and not is_at_rest:
            raise StoreUnavailable(
                f"{path} is in use by {lock.holder(path)}: stop it first, or what people say "
                "meanwhile is not in the copy"
            )
        stack.enter_context(mapped_errors(path))
        # In WAL mode, even a reader creates -wal and -shm beside the database if they are missing,
        # unless it opens the file as immutable.
        if is_at_rest:
            database.inspect(path)
        access: database.Access = "ro"
        if is_at_rest and has_wal(path):
            history.require_own_log(path)
        elif is_at_rest:
            if has_journal(path):  # only a writer may roll it back; until then the file is torn
                raise StoreUnavailable(
                    f"{path} was left in the middle of a write, which {path.name}-journal undoes: "
                    "start the server once, which does that"
                )
            require_whole(path)
            access = "immutable"
        db = database.connect(path, access=access)
        stack.enter_context(closing(db))
        database.require_ours(db, path)
        history.require_finished(db, path)
        # A backup has no write-ahead log that could be missing, so it may have several names.
        if history.get(db, history.UNSTARTED) is None:
            files.require_one_name(path)
        yield db


@contextmanager
def open_source(url: str) -> Iterator[Source]:
    """Open a database to copy it. No server can use it meanwhile.

    Raises:
        ConfigError: there is no such file; or an older gochat wrote it.
        StoreUnavailable: it can't be read now, or a server uses it.
        StoreCorrupt: it is damaged, another program's, or newer than this program.
    """
    path = parse_url(url).path
    if path is None:
        raise ConfigError("a database in memory has nothing to copy")
    with opened_to_read(path, alone=True) as db:
        if database.user_version(db) < len(database.migrations()):
            raise ConfigError(
                f"{path} was written by an older gochat: start the server on it once, "
                "which brings it up to date"
            )
        db.execute("BEGIN")
        findings = [row[0] for row in db.execute("PRAGMA quick_check(1)")]
        if findings != ["ok"]:
            raise StoreCorrupt(f"{path} is damaged ({findings[0]}); it is left as it is")
        yield SqliteSource(db)


class SqliteSource:
    """A :class:`~gochat.storage.transfer.contents.Source` in a database, through one connection."""

    def __init__(self, db: sqlite3.Connection, *, reused: bool = False) -> None:
        self._db = db
        self._cid = "coalesce(e.cid, '')"
        if reused:  # an unfinished copy: with the cids that it can't keep
            self._cid = "coalesce(e.cid, (SELECT r.cid FROM reused_cid r WHERE r.id = e.id), '')"

    def fingerprint(self) -> str:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        (epoch,) = self._db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        (position,) = self._db.execute(
            "SELECT max((SELECT e.position FROM entry e WHERE e.id BETWEEN c.id << ?1"
            " AND (c.id << ?1) + ?2 ORDER BY e.id DESC LIMIT 1)) FROM conversation c",
            (SEQ_BITS, MAX_SEQ),
        ).fetchone()
        return f"sqlite {epoch} {position or 0}"

    def require_idle(self) -> None:
        """See :class:`~gochat.storage.transfer.contents.Source`. The lock excludes servers."""

    def conversations(self) -> Iterator[Sequence[ConversationRecord]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        last = 0
        while rows := self._db.execute(
            f"{_HEADINGS} WHERE c.id > ?3 ORDER BY c.id LIMIT ?4", (SEQ_BITS, MAX_SEQ, last, GROUP)
        ).fetchall():
            yield [_conversation(row, self._bans(row[0])) for row in rows]
            last = rows[-1][0]

    def find(self, keys: Sequence[ConversationKey]) -> list[ConversationRecord | None]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        found: list[ConversationRecord | None] = []
        for key in keys:
            row = self._db.execute(
                f"{_HEADINGS} WHERE c.key = ?3", (SEQ_BITS, MAX_SEQ, key)
            ).fetchone()
            found.append(None if row is None else _conversation(row, self._bans(row[0])))
        return found

    def entries(
        self, wanted: Sequence[tuple[ConversationRecord, int]], limit: int
    ) -> list[list[EntryRecord]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        return [self._entries(self._id(record.key), seq, limit) for record, seq in wanted]

    def participants(self, records: Sequence[ConversationRecord]) -> list[list[ParticipantRecord]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        return [
            []
            if record.key == LOBBY_KEY
            else [
                ParticipantRecord(*row)
                for row in self._db.execute(
                    "SELECT p.person, a.name, coalesce(p.role, ''), p.since, p.read, p.level,"
                    " p.floor, coalesce(i.name, '') FROM participant p"
                    " JOIN account a ON a.key = p.person LEFT JOIN account i ON i.key = p.inviter"
                    " WHERE p.conversation = ? ORDER BY p.person",
                    (self._id(record.key),),
                )
            ]
            for record in records
        ]

    def people(self) -> Iterator[Sequence[AccountRecord]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        last = NameKey("")
        lobby = self._id(LOBBY_KEY)
        while found := accounts.accounts(self._db, last, MANY)[0]:
            yield [
                AccountRecord(
                    account,
                    *self._marker(account.key, lobby),
                    self._blocked(account.key),
                    self._activity_seen(account.key),
                    tuple(saved.read(self._db, account.key, all_of_them=True)),
                )
                for account in found
            ]
            last = found[-1].key

    def _activity_seen(self, person: NameKey) -> int:
        query = "SELECT activity_seen FROM account WHERE key = ?"
        return int(self._db.execute(query, (person,)).fetchone()[0])

    def _marker(self, person: NameKey, conversation: int) -> tuple[int, Level]:
        query = "SELECT read, level FROM participant WHERE person = ? AND conversation = ?"
        row = self._db.execute(query, (person, conversation)).fetchone()
        return (0, "all") if row is None else row

    def audit(self) -> Iterator[Sequence[AuditEntry]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        last = 0
        while found := audit.after(self._db, last, MANY):
            yield found
            last = found[-1].id

    def tokens(self, now: int) -> Iterator[Sequence[Token]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        last = b""
        while some := tokens.all_tokens(self._db, now, last, MANY):
            yield some
            last = some[-1].id

    def admission(self) -> AdmissionRecord:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        mode, invitations = admission.read_mode(self._db), admission.read(self._db)
        return AdmissionRecord(mode or "", tuple(invitations))

    def retention(self) -> dict[str, Rule]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        return retention.read_rules(self._db)

    def network_bans(self) -> dict[str, Restriction]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        return network_bans.read(self._db)

    def reports(self) -> list[Report]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        return reports.page(self._db, 0, MAX_REPORTS, resolved=True)[0]

    def _bans(self, conversation: int) -> tuple[BanRecord, ...]:
        rows = self._db.execute(
            "SELECT b.person, a.name, o.name, b.since, b.until, b.reason FROM ban b"
            " JOIN account a ON a.key = b.person JOIN account o ON o.key = b.by"
            " WHERE b.conversation = ? ORDER BY b.person",
            (conversation,),
        )
        return tuple(BanRecord(*row) for row in rows)

    def _blocked(self, person: NameKey) -> tuple[NameKey, ...]:
        rows = self._db.execute(
            "SELECT blocked FROM block WHERE person = ? ORDER BY blocked", (person,)
        )
        return tuple(NameKey(blocked) for (blocked,) in rows)

    def _id(self, key: ConversationKey) -> int:
        row = self._db.execute("SELECT id FROM conversation WHERE key = ?", (key,)).fetchone()
        return -1 if row is None else row[0]

    def _entries(self, conversation: int, seq: int, limit: int) -> list[EntryRecord]:
        base = first_id(conversation)
        rows = self._db.execute(
            f"SELECT e.id - ?1, e.ts, a.name, e.kind, e.text, coalesce(e.ref, 0), {self._cid},"
            " coalesce(e.mentions, ''), coalesce(e.edited, 0), e.deleted, coalesce(e.extra, ''),"
            " coalesce(e.pinned, 0)"
            " FROM entry e JOIN account a ON a.key = e.sender"
            " WHERE e.id BETWEEN ?2 AND ?3 ORDER BY e.id LIMIT ?4",
            (base, base + seq + 1, last_id(conversation), limit),
        ).fetchall()
        if not rows:
            return []
        given: dict[int, list[ReactionRecord]] = {}
        for target, by, emoji, name in self._db.execute(
            "SELECT r.entry - ?1, r.seq, r.emoji, a.name FROM reaction r"
            " JOIN account a ON a.key = r.person WHERE r.entry BETWEEN ?1 + ?2 AND ?1 + ?3"
            " ORDER BY r.entry, r.seq",
            (base, rows[0][0], rows[-1][0]),
        ):
            given.setdefault(target, []).append(ReactionRecord(by, emoji, name))
        return [
            EntryRecord(
                *(seq, ts, sender, kind, text, ref, cid, mentions, edited),
                deleted=bool(deleted),
                reactions=tuple(given.get(seq, ())),
                extra=extra,
                pinned=pinned,
            )
            for (
                seq,
                ts,
                sender,
                kind,
                text,
                ref,
                cid,
                mentions,
                edited,
                deleted,
                extra,
                pinned,
            ) in rows
        ]


_HEADINGS: Final = (
    "SELECT c.id, c.key, coalesce(c.name, ''), c.topic, c.private, c.base,"
    " (SELECT e.id FROM entry e WHERE e.id BETWEEN c.id << ?1 AND (c.id << ?1) + ?2"
    " ORDER BY e.id DESC LIMIT 1), c.history, c.floor, c.slow, c.announcements, c.archived"
    " FROM conversation c"
)


def _conversation(
    row: tuple[
        int, ConversationKey, str, str, int, int, int | None, HistorySetting, int, int, int, int
    ],
    bans: tuple[BanRecord, ...],
) -> ConversationRecord:
    _, key, name, topic, private, base, last, setting, floor, slow, announced, archived = row
    head = base if last is None else last & MAX_SEQ
    modes = Modes(slow, bool(announced), bool(archived))
    return ConversationRecord(
        *(key, name, topic, bool(private), base, head, setting, floor, bans), modes=modes
    )
