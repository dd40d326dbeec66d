"""A new database that a store in use is copied into: a :class:`SqliteTarget` whose entries may
change until all are there.

So what is derived from them, the mentions, is made at the end.
"""

# ruff: noqa: S608 -- the statements contain only this module's own text

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from gochat.chat.names import NameKey
from gochat.errors import ConfigError, StoreCorrupt
from gochat.storage import maintenance
from gochat.storage.common.sqlite_url import Location
from gochat.storage.sqlite import database, files
from gochat.storage.sqlite.entries import first_id, last_id
from gochat.storage.sqlite.errors import mapped_errors
from gochat.storage.transfer.contents import ConversationRecord, EntryRecord
from gochat.storage.transfer.sqlite_target import SqliteTarget, add_mentions, begin

#: Messages read at once.
_MESSAGES: Final = 1000
_RULE: Final = "a backup overwrites nothing"


@contextmanager
def open_backup(path: Path) -> Iterator[SqliteBackup]:
    """Open a new database that will be at `path`. Leaving without publishing it removes it.

    Raises:
        ConfigError: a file exists at `path`, or it can't be created.
        StoreUnavailable: the disk is full.
    """
    path = path.absolute()
    if path.exists():
        raise ConfigError(f"{path} exists already; {_RULE}")
    with ExitStack() as stack:
        partial = stack.enter_context(files.in_the_making(path, ".partial"))
        stack.enter_context(mapped_errors(path))
        db = stack.enter_context(closing(database.open_copy(Location(path, "off"), partial)))
        begin(db, "a store in use", path)
        yield SqliteBackup(db, partial, path)


class SqliteBackup(SqliteTarget):
    """A backup that is being made. Each call is one transaction."""

    def extend(self, pieces: Sequence[tuple[ConversationRecord, Sequence[EntryRecord]]]) -> None:
        """Add entries of these conversations, or replace those that are there already."""
        with self._transaction() as db:
            for record, entries in pieces:
                base = first_id(self._ids[record.key])
                ids = [(base + entry.seq,) for entry in entries]
                db.executemany("DELETE FROM reaction WHERE entry = ?", ids)
                db.executemany("DELETE FROM entry WHERE id = ?", ids)
                self._add(db, base, entries)

    def settle(self, record: ConversationRecord, former_base: int) -> None:
        """Remove what has gone while the entries of a conversation were read.

        These are the oldest entries, where `former_base` was the base when they began to be read,
        and the texts of edits whose message is gone, or has been edited or deleted since.
        """
        id_ = self._ids[record.key]
        low, high = first_id(id_), last_id(id_)
        oldest = low + record.base
        with self._transaction() as db:
            db.execute("DELETE FROM reaction WHERE entry BETWEEN ? AND ?", (low, oldest))
            db.execute("DELETE FROM entry WHERE id BETWEEN ? AND ?", (low, oldest))
            db.execute(
                f"{_ERASE_EDITS} AND ref > ? AND ref <= ?", (low, high, former_base, record.base)
            )
            db.execute(
                f"{_ERASE_EDITS} AND EXISTS (SELECT 1 FROM entry m WHERE m.id = ? + entry.ref"
                " AND (m.deleted OR m.edited IS NOT entry.id - ?))",
                (low, high, low, low),
            )
            db.execute("UPDATE conversation SET base = ? WHERE id = ?", (record.base, id_))

    def missing_people(self) -> list[NameKey]:
        """Return people who are blocked by others, and have no account here yet."""
        query = "SELECT DISTINCT blocked FROM block WHERE blocked NOT IN (SELECT key FROM account)"
        return [NameKey(key) for (key,) in self._db.execute(query)]

    def complete(self) -> int:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        last = 0
        while rows := self._db.execute(_MENTIONS, (last, _MESSAGES)).fetchall():
            with self._transaction() as db:
                add_mentions(db, rows)
            last = rows[-1][0]
        # A use of an invitation is taken before the account is created that it is for.
        with self._transaction() as db:
            db.execute(
                "DELETE FROM server_invitation_use WHERE account NOT IN (SELECT key FROM account)"
            )
        return super().complete()

    def publish(self) -> None:
        """Check the backup, and give it its name.

        Raises:
            ConfigError: a file exists at its path by now.
            StoreCorrupt: it is not sound.
            StoreUnavailable: it can't be written.
        """
        self._finish("a backup")
        findings = maintenance.check(self._partial)
        if findings:
            raise StoreCorrupt(f"the store is damaged, so no backup was made: {findings[0]}")
        files.publish(self._partial, self._path, _RULE)
        self.is_published = True


_ERASE_EDITS: Final = (
    "UPDATE entry SET text = '', mentions = NULL, extra = NULL, deleted = 1"
    " WHERE id BETWEEN ? AND ? AND kind = 'edit' AND NOT deleted"
)
_MENTIONS: Final = (
    "SELECT e.id, a.name, e.mentions FROM entry e JOIN account a ON a.key = e.sender"
    " WHERE e.kind = 'text' AND e.mentions IS NOT NULL AND e.id > ? ORDER BY e.id LIMIT ?"
)
