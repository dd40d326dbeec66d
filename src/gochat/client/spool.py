"""The outbox's file. SQLite: each change is a transaction, so the file is consistent at any
moment."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from gochat import private
from gochat.client.entries import MessageId
from gochat.client.errors import chat_error
from gochat.client.moments import milliseconds, moment
from gochat.client.outgoing import Outgoing, OutgoingState
from gochat.errors import ConfigError, OutboxInUse
from gochat.protocol.messages import Form

logger = logging.getLogger(__name__)

#: "goch": identifies the file; and the version of its one table.
_APPLICATION_ID: Final = 0x676F6368
_VERSION: Final = 2

_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS outgoing (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    cid TEXT NOT NULL UNIQUE,
    sender TEXT,
    recipient TEXT NOT NULL,
    text TEXT NOT NULL,
    reply_to INTEGER,
    created INTEGER NOT NULL,
    error_code TEXT,
    error_text TEXT,
    form TEXT NOT NULL DEFAULT 'text',
    meta TEXT NOT NULL DEFAULT '{{}}'
) STRICT;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""

_INSERT: Final = """
INSERT INTO outgoing (cid, sender, recipient, text, reply_to, created, error_code, error_text,
    form, meta)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
#: What a file of the first version lacks.
_FORM_AND_META: Final = """
ALTER TABLE outgoing ADD COLUMN form TEXT NOT NULL DEFAULT 'text';
ALTER TABLE outgoing ADD COLUMN meta TEXT NOT NULL DEFAULT '{}';
"""


class Spool:
    """The messages of an outbox on disk.

    Writes happen in the event loop's thread and take some tens of microseconds, since nothing waits
    for the disk (``synchronous=OFF``; written pages belong to the operating system, and so outlive
    this process). A write that fails (disk full) is logged and not raised: the message is still in
    memory, and the next write writes all of them.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._is_behind = False
        #: Returns all messages of the outbox, in order.
        self.messages: Callable[[], Iterable[Outgoing]] = list

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Spool]:
        """Open the file at `path`, with mode 600, for this process alone.

        Raises:
            OutboxInUse: another program has it open.
            ConfigError: it can't be opened, belongs to another user, or is not an outbox.
        """
        try:
            private.make_directories(path.parent)
            os.close(private.open_file(path, os.O_RDWR | os.O_CREAT))
            database = sqlite3.connect(path, timeout=0, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"the outbox {path} can't be opened: {reason}") from error
        with closing(database):
            try:
                _prepare(database)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                    raise OutboxInUse(
                        f"the outbox {path} can't be used: another program has it open"
                    ) from error
                raise ConfigError(f"the outbox {path} can't be used: {error}") from error
            except sqlite3.DatabaseError as error:
                raise ConfigError(
                    f"the outbox {path} is damaged or not an outbox: {error}; move it away to "
                    "start with an empty one"
                ) from error
            yield cls(database)

    def load(self) -> list[Outgoing]:
        """Return all messages in order."""
        rows = self._database.execute(
            "SELECT cid, sender, recipient, text, reply_to, created, error_code, error_text,"
            " form, meta FROM outgoing ORDER BY place"
        )
        return [_outgoing(*row) for row in rows]

    def take_over(self, other: Spool) -> None:
        """Move all messages of another outbox here, after this one's own.

        Raises:
            sqlite3.Error: it can't be written; each message is still in one of the two, or in both.
        """
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for outgoing in other.load():
                # If the process dies here, it is in both: its `cid` prevents a duplicate.
                self._database.execute(_INSERT + "ON CONFLICT DO NOTHING", _row(outgoing))
        other._database.execute("DELETE FROM outgoing")

    def add(self, outgoing: Outgoing) -> None:
        """Append a message."""
        self._write(lambda: self._database.execute(_INSERT, _row(outgoing)))

    def update(self, outgoing: Outgoing) -> None:
        """Store the sender and the error of a message."""
        _, sender, *_, code, text, _, _ = _row(outgoing)
        self._write(
            lambda: self._database.execute(
                "UPDATE outgoing SET sender = ?, error_code = ?, error_text = ? WHERE cid = ?",
                (sender, code, text, outgoing.cid),
            )
        )

    def remove(self, cid: str) -> None:
        """Delete a message."""
        self._write(lambda: self._database.execute("DELETE FROM outgoing WHERE cid = ?", (cid,)))

    def rewrite(self) -> None:
        """Write all messages, in their present order."""
        self._write(self._replace)

    def _replace(self) -> None:
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("DELETE FROM outgoing")
            self._database.executemany(_INSERT, map(_row, self.messages()))

    def _write(self, change: Callable[[], object]) -> None:
        try:
            if self._is_behind:
                self._replace()
            else:
                change()
        except sqlite3.Error as error:
            logger.warning("the outbox could not be written: %s", error)
            self._is_behind = True
        else:
            self._is_behind = False


def gather(paths: Iterable[Path]) -> list[Path]:
    """Bring the messages of several outboxes together, in the first one that no program has open;
    return those that a program has open.

    For programs that run several times, each with an outbox of its own: the next one to start sends
    what another left unsent. Outboxes that can't be used are left as they are. Two programs that
    gather at once don't collide: each takes the files that the other has not.
    """
    in_use: list[Path] = []
    with ExitStack() as stack:
        spools = []
        for path in filter(Path.exists, paths):
            try:
                spools.append(stack.enter_context(Spool.open(path)))
            except OutboxInUse:
                in_use.append(path)
            except ConfigError:
                pass
        for other in spools[1:]:
            try:
                spools[0].take_over(other)
            except sqlite3.Error as error:
                logger.warning("an outbox could not be taken over: %s", error)
    return in_use


def _prepare(database: sqlite3.Connection) -> None:
    # Exclusive: the server would drop the duplicates of two programs that resend each other's
    # messages, but one would send a message that the other has discarded.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    (application_id,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application_id != _APPLICATION_ID and tables:
        raise sqlite3.DatabaseError("it belongs to another program")
    if version > _VERSION:
        raise sqlite3.DatabaseError("it was written by a newer version")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA secure_delete = ON")  # sent texts leave no trace
    upgrade = _FORM_AND_META if version == 1 else ""
    database.executescript("BEGIN IMMEDIATE;" + upgrade + _SCHEMA + "COMMIT;")


def _row(outgoing: Outgoing) -> tuple[str | int | None, ...]:
    error = outgoing.error
    return (
        outgoing.cid,
        outgoing.sender,
        outgoing.conversation,
        outgoing.text,
        None if outgoing.reply_to is None else outgoing.reply_to.seq,
        milliseconds(outgoing.created),
        None if error is None else str(error.code),
        None if error is None else error.text,
        outgoing.form,
        json.dumps(dict(outgoing.meta)),
    )


def _outgoing(
    cid: str,
    sender: str | None,
    conversation: str,
    text: str,
    reply_to: int | None,
    created: int,
    code: str | None,
    error_text: str | None,
    form: Form,
    meta: str,
) -> Outgoing:
    outgoing = Outgoing(
        conversation=conversation, text=text, form=form, meta=json.loads(meta), cid=cid,
        reply_to=None if reply_to is None else MessageId(conversation, reply_to),
        created=moment(created), sender=sender,
    )  # fmt: skip
    if code is not None:
        outgoing.become_failed(chat_error(code, error_text or code))
    assert outgoing.state in (OutgoingState.PENDING, OutgoingState.FAILED)
    return outgoing
