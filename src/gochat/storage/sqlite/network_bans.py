"""Bans of networks: a row for each. Writes take the log (see writer.py)."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from gochat.chat.names import NameKey
from gochat.chat.network_bans import MAX_BANS, too_many
from gochat.chat.restriction import Restriction, decode, encode
from gochat.chat.server_roles import ServerRole
from gochat.storage.sqlite.log import Log
from gochat.storage.sqlite.reader import Reader
from gochat.storage.sqlite.standing import server_role
from gochat.storage.sqlite.writer import Writer

T = TypeVar("T")


class Read(Protocol):
    """Answers a question in a thread."""

    def __call__(self, question: Callable[[], T]) -> Awaitable[T]: ...


class SqliteNetworkBans:
    """Implements :class:`~gochat.chat.network_bans.NetworkBanStore`."""

    def __init__(self, writer: Writer, log: Log, reader: Reader, read: Read) -> None:
        self._writer = writer
        self._log = log
        self._reader = reader
        self._read = read
        self._changes = 0  # a file has one server

    async def version(self) -> int:
        return self._changes

    async def all(self) -> dict[str, Restriction]:
        return await self._read(lambda: self._reader.ask(read))

    async def change(
        self,
        network: str,
        before: Restriction | None,
        after: Restriction | None,
        by: tuple[NameKey, ServerRole] | None = None,
    ) -> bool:
        self._changes += 1  # also where it is not known whether it was done
        is_done = await self._writer.write(partial(_change, self._log, network, before, after, by))
        self._changes += 1
        return is_done


def read(db: sqlite3.Connection) -> dict[str, Restriction]:
    """Return all bans by their networks."""
    rows = db.execute("SELECT network, ban FROM network_ban ORDER BY network")
    return {network: ban for network, kept in rows if (ban := decode(kept)) is not None}


def put(db: sqlite3.Connection, bans: Mapping[str, Restriction]) -> None:
    """Add bans."""
    db.executemany(
        "INSERT INTO network_ban VALUES (?, ?)",
        [(network, encode(ban)) for network, ban in bans.items()],
    )


def _change(
    log: Log,
    network: str,
    before: Restriction | None,
    after: Restriction | None,
    by: tuple[NameKey, ServerRole] | None,
) -> bool:
    """See :meth:`gochat.chat.network_bans.NetworkBanStore.change`."""
    db = log.db
    row = db.execute("SELECT ban FROM network_ban WHERE network = ?", (network,)).fetchone()
    if (row[0] if row else "") != encode(before):
        return False
    if by is not None and server_role(db, by[0]) != by[1]:
        return False
    if after is None:
        db.execute("DELETE FROM network_ban WHERE network = ?", (network,))
        return True
    if row is None and db.execute("SELECT count(*) FROM network_ban").fetchone()[0] >= MAX_BANS:
        raise too_many()
    db.execute("INSERT OR REPLACE INTO network_ban VALUES (?, ?)", (network, encode(after)))
    return True
