"""The part of the store for those who administer the server."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from gochat.chat.account import Account
from gochat.chat.administration import AuditEntry
from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.server_roles import ServerRole
from gochat.storage.sqlite import accounts, audit, skeletons, tokens
from gochat.storage.sqlite.log import Log
from gochat.storage.sqlite.reader import Reader
from gochat.storage.sqlite.writer import Writer

T = TypeVar("T")

#: Conversations listed at once.
PIECE: Final = 500


class Read(Protocol):
    """Answers a question in a thread."""

    def __call__(self, question: Callable[[], T]) -> Awaitable[T]: ...


class SqliteAdministration:
    """An :class:`~gochat.chat.administration.Administration` in SQLite."""

    def __init__(self, writer: Writer, log: Log, reader: Reader, read: Read) -> None:
        self._writer = writer
        self._log = log
        self._reader = reader
        self._read = read

    async def accounts(self, *, after: NameKey, limit: int) -> tuple[list[Account], bool]:
        return await self._ask(lambda db: accounts.accounts(db, after, limit))

    async def similar(self, names: Sequence[str]) -> dict[str, NameKey]:
        return await self._ask(lambda db: skeletons.similar(db, names))

    async def change_account(
        self, before: Account, after: Account, by: tuple[NameKey, ServerRole] | None = None
    ) -> bool:
        return await self._writer.write(partial(accounts.change, self._log, before, after, by))

    async def restricted(self, *, after: NameKey, limit: int) -> tuple[list[Account], bool]:
        return await self._ask(lambda db: accounts.restricted(db, after, limit))

    async def staff(self) -> dict[NameKey, ServerRole]:
        return await self._ask(accounts.staff)

    async def forget(self, person: NameKey) -> None:
        await self._writer.write(partial(accounts.forget, self._log, person))

    async def deleted(self) -> set[NameKey]:
        return await self._ask(accounts.deleted)

    async def conversations(self, *, after: str) -> list[tuple[ConversationKey, str]]:
        return await self._ask(
            lambda db: [
                (ConversationKey(key), str(id_))
                for id_, key in db.execute(
                    "SELECT id, key FROM conversation WHERE id > ? ORDER BY id LIMIT ?",
                    (int(after or 0), PIECE),
                )
            ]
        )

    async def addresses(self, person: NameKey) -> list[tuple[str, int]]:
        return await self._ask(
            lambda db: db.execute(
                "SELECT address, at FROM login WHERE account = ? ORDER BY at DESC, address",
                (person,),
            ).fetchall()
        )

    async def seen_from(self, people: Sequence[NameKey], now: int) -> dict[NameKey, dict[str, int]]:
        return await self._ask(lambda db: tokens.seen_from(db, people, now))

    async def record(self, entry: AuditEntry) -> int:
        return await self._writer.write(partial(audit.record, self._log, entry))

    async def audit(self, *, before: int | None, limit: int) -> tuple[list[AuditEntry], bool]:
        return await self._ask(lambda db: audit.page(db, before, limit))

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        return await self._read(lambda: self._reader.ask(question))
