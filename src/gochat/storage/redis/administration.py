"""The part of the store for those who administer the server."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import merge

from gochat.chat import conversations
from gochat.chat.account import Account
from gochat.chat.administration import AUDIT_KEPT, AuditEntry
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey, known
from gochat.chat.server_roles import ServerRole
from gochat.chat.store import LOGIN_MEMORY
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.audit import decode_audit, pack
from gochat.storage.redis.claims import owners
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, PipelineWorker, RedisCommand, call
from gochat.storage.redis.people import PeopleOperations
from gochat.storage.redis.sets import set_members
from gochat.storage.redis.tokens import TokenOperations


class AdministrationOperations:
    """Create the operations."""

    def __init__(self, keys: Keys, people: PeopleOperations, tokens: TokenOperations) -> None:
        self._keys = keys
        self._people = people
        self._tokens = tokens

    def accounts(
        self, after: NameKey, limit: int, *, listed: str = "people"
    ) -> Operation[tuple[list[Account], bool]]:
        start = f"({after}" if after else "-"
        pages = yield [
            RedisCommand(
                partition,
                (
                    *("ZRANGEBYLEX", self._keys.common(partition, listed), start, "+"),
                    *("LIMIT", 0, limit + 1),
                ),
            )
            for partition in range(self._keys.partitions)
        ]
        keys = [NameKey(key.decode()) for key in merge(*pages)]
        found = yield from self._people.accounts(keys[:limit])
        return [account for account in found if account is not None], len(keys) > limit

    def similar(self, names: Sequence[str]) -> Operation[dict[str, NameKey]]:
        found = yield from owners(self._keys, names)
        return {
            shown: NameKey(other)
            for shown, held in found.items()
            for other in sorted(held - {known(shown)})
        }

    def staff(self) -> Operation[dict[NameKey, ServerRole]]:
        """Those who may be, by what commits compare; the account decides."""
        (flat,) = yield [RedisCommand(0, ("HGETALL", self._keys.common(0, "roles")))]
        maybe = [
            NameKey(person.decode())
            for person, role in zip(flat[::2], flat[1::2], strict=True)
            if role != b"member"
        ]
        found = yield from self._people.accounts(sorted(maybe))
        return {one.key: one.role for one in found if one is not None and one.role != "member"}

    def forget(self, person: NameKey) -> Operation[None]:
        partition = self._keys.partition(person)
        listed = self._keys.person(person, key_kinds.CONVERSATIONS)
        found = yield from set_members(partition, listed)
        keys = [ConversationKey(key.decode()) for key in sorted(found)]
        keys = [LOBBY_KEY, *(key for key in keys if conversations.is_private(key))]
        kinds = (key_kinds.ACCOUNT, key_kinds.ADDRESSES, key_kinds.SAVED)
        account, addresses, saved = (self._keys.person(person, kind) for kind in kinds)
        yield [
            RedisCommand(0, ("SADD", self._keys.deleted, person)),
            RedisCommand(partition, ("HSET", account, "hash", "", "read", 0, "texts", 0)),
            RedisCommand(partition, ("HDEL", account, "activity")),
            RedisCommand(partition, ("DEL", addresses, saved)),
            *(
                RedisCommand(
                    self._keys.partition(key),
                    ("HDEL", self._keys.conversation(key, key_kinds.PARTICIPANTS)[0], person),
                )
                for key in keys
            ),
        ]

    def deleted(self) -> Operation[set[NameKey]]:
        (found,) = yield [RedisCommand(0, ("SMEMBERS", self._keys.deleted))]
        return {NameKey(key.decode()) for key in found}

    def conversations(self, after: str) -> Operation[list[tuple[ConversationKey, str]]]:
        """List those of the first partition that has more."""
        first, _, last = (after or "0:").partition(":")
        for partition in range(int(first), self._keys.partitions):
            names = yield from set_members(partition, self._keys.common(partition, "convs"))
            found = sorted(key for name in names if (key := name.decode()) > last)
            if found:
                return [(ConversationKey(key), f"{partition}:{key}") for key in found]
            last = ""
        return []

    def addresses(self, person: NameKey) -> Operation[list[tuple[str, int]]]:
        (flat,) = yield [self._addresses(person)]
        found = [
            (address.decode(), int(float(at)))
            for address, at in zip(flat[::2], flat[1::2], strict=True)
        ]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def _addresses(self, person: NameKey) -> RedisCommand:
        key = self._keys.person(person, key_kinds.ADDRESSES)
        return RedisCommand(self._keys.partition(person), ("ZRANGE", key, 0, -1, "WITHSCORES"))

    def seen_from(
        self, people: Sequence[NameKey], now: int
    ) -> Operation[dict[NameKey, dict[str, int]]]:
        """Find from where people were seen."""
        logins = yield [self._addresses(person) for person in people]
        sessions = yield from self._tokens.of_many(people, now)
        found: dict[NameKey, dict[str, int]] = {}
        for person, flat in zip(people, logins, strict=True):
            places = {
                address.decode(): int(float(at))
                for address, at in zip(flat[::2], flat[1::2], strict=True)
                if float(at) > now - LOGIN_MEMORY
            }
            for token in sessions[person]:
                if token.address:
                    places[token.address] = max(token.seen, places.get(token.address, 0))
            if places:
                found[person] = places
        return found

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

    async def similar(self, names: Sequence[str]) -> dict[str, NameKey]:
        return await self._reader().carry_out(self._operations.similar(names))

    async def change_account(
        self, before: Account, after: Account, by: tuple[NameKey, ServerRole] | None = None
    ) -> bool:
        return await self._writer.carry_out(self._people.change_account(before, after, by))

    async def restricted(self, *, after: NameKey, limit: int) -> tuple[list[Account], bool]:
        operation = self._operations.accounts(after, limit, listed="restricted")
        return await self._reader().carry_out(operation)

    async def staff(self) -> dict[NameKey, ServerRole]:
        return await self._reader().carry_out(self._operations.staff())

    async def forget(self, person: NameKey) -> None:
        await self._writer.carry_out(self._operations.forget(person))

    async def deleted(self) -> set[NameKey]:
        return await self._reader().carry_out(self._operations.deleted())

    async def conversations(self, *, after: str) -> list[tuple[ConversationKey, str]]:
        return await self._reader().carry_out(self._operations.conversations(after))

    async def addresses(self, person: NameKey) -> list[tuple[str, int]]:
        return await self._reader().carry_out(self._operations.addresses(person))

    async def seen_from(self, people: Sequence[NameKey], now: int) -> dict[NameKey, dict[str, int]]:
        return await self._reader().carry_out(self._operations.seen_from(people, now))

    async def record(self, entry: AuditEntry) -> int:
        return await self._writer.carry_out(self._operations.record(entry))

    async def audit(self, *, before: int | None, limit: int) -> tuple[list[AuditEntry], bool]:
        return await self._reader().carry_out(self._operations.audit(before, limit))
