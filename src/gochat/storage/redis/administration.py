"""The part of the store for those who administer the server."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

from collections.abc import Callable
from heapq import merge

from gochat.chat.account import Account
from gochat.chat.administration import AUDIT_KEPT, AuditEntry
from gochat.chat.names import NameKey
from gochat.storage.redis import scripts
from gochat.storage.redis.audit import decode_audit, pack
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, PipelineWorker, RedisCommand, call
from gochat.storage.redis.people import PeopleOperations


class AdministrationOperations:
    """Create the operations."""

    def __init__(self, keys: Keys, people: PeopleOperations) -> None:
        self._keys = keys
        self._people = people

    def accounts(self, after: NameKey, limit: int) -> Operation[tuple[list[Account], bool]]:
        start = f"({after}" if after else "-"
        pages = yield [
            RedisCommand(
                partition,
                (
                    *("ZRANGEBYLEX", self._keys.common(partition, "people"), start, "+"),
                    *("LIMIT", 0, limit + 1),
                ),
            )
            for partition in range(self._keys.partitions)
        ]
        keys = [NameKey(key.decode()) for key in merge(*pages)]
        found = yield from self._people.accounts(keys[:limit])
        return [account for account in found if account is not None], len(keys) > limit

    def record(self, entry: AuditEntry) -> Operation[int]:
        (id_,) = yield [call(0, scripts.AUDIT, (self._keys.audit,), pack(entry), AUDIT_KEPT)]
        return int(id_)

    def audit(self, before: int | None, limit: int) -> Operation[tuple[list[AuditEntry], bool]]:
        oldest, length = yield [
            RedisCommand(0, ("LINDEX", self._keys.audit, 0)),
            RedisCommand(0, ("LLEN", self._keys.audit)),
        ]
        last = length - 1
        if before is not None and oldest is not None:
            last = min(last, before - 1 - decode_audit(oldest).id)
        if last < 0:
            return [], False
        first = max(0, last - limit)
        (elements,) = yield [RedisCommand(0, ("LRANGE", self._keys.audit, first, last))]
        # Meanwhile the oldest may have been dropped: then the places mean newer entries.
        found = [decode_audit(element) for element in reversed(elements)]
        found = [entry for entry in found if before is None or entry.id < before]
        return found[:limit], len(found) > limit


class RedisAdministration:
    """An :class:`~gochat.chat.administration.Administration` in Redis."""

    def __init__(
        self,
        operations: AdministrationOperations,
        people: PeopleOperations,
        writer: PipelineWorker,
        reader: Callable[[], PipelineWorker],
    ) -> None:
        self._operations = operations
        self._people = people
        self._writer = writer
        self._reader = reader

    async def accounts(self, *, after: NameKey, limit: int) -> tuple[list[Account], bool]:
        return await self._reader().carry_out(self._operations.accounts(after, limit))

    async def change_account(self, before: Account, after: Account) -> bool:
        return await self._writer.carry_out(self._people.change_account(before, after))

    async def record(self, entry: AuditEntry) -> int:
        return await self._writer.carry_out(self._operations.record(entry))

    async def audit(self, *, before: int | None, limit: int) -> tuple[list[AuditEntry], bool]:
        return await self._reader().carry_out(self._operations.audit(before, limit))
