"""Retention: the rules, which are in partition 0, and removing what they don't keep."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from gochat.chat.conversations import ConversationKey
from gochat.chat.retention import Oldest, Rule, is_erasable, rule_for
from gochat.storage.common.clock import wall_clock
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, PipelineWorker, RedisCommand, call
from gochat.storage.redis.link.wire import Arguments
from gochat.storage.redis.records import decode_record
from gochat.storage.redis.search.indexer import Indexer

#: Entries that are removed by one script: some 2 ms, for which all others of that server wait.
STEP: Final = 200
#: Conversations examined at once, more or less.
GROUP: Final = 200

_DAY: Final = 24 * 3600 * 1000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Rule).decode


class RedisRetention:
    """Implements :class:`~gochat.chat.retention.RetentionStore`."""

    def __init__(
        self,
        keys: Keys,
        writer: PipelineWorker,
        reader: Callable[[], PipelineWorker],
        indexer: Indexer,
        clock: Callable[[], int] | None,
    ) -> None:
        self._keys = keys
        self._writer = writer
        self._reader = reader
        self._indexer = indexer
        self._clock = clock

    async def rules(self) -> dict[str, Rule]:
        return await self._reader().carry_out(_read_rules(self._keys))

    async def set_rule(self, scope: str, rule: Rule | None) -> None:
        await self._writer.carry_out(_change(rule_command(self._keys, scope, rule)))

    async def claim(self, seconds: int) -> bool:
        return await self._writer.carry_out(_claim(self._keys, seconds))

    async def overdue(
        self, rules: Mapping[str, Rule], after: str
    ) -> tuple[list[ConversationKey], str]:
        now = (self._clock or wall_clock)()
        return await self._reader().carry_out(self._overdue(rules, after, now))

    async def remove(self, key: ConversationKey, rule: Rule) -> bool:
        is_more = await self._writer.carry_out(self._remove(key, rule))
        self._indexer.note((key,))
        return is_more

    def _remove(self, key: ConversationKey, rule: Rule) -> Operation[bool]:
        partition = self._keys.partition(key)
        keys = (
            self._keys.states[partition],
            *self._keys.conversation(
                key,
                key_kinds.META,
                key_kinds.LOG,
                key_kinds.MENTIONS,
                key_kinds.DELETED,
                key_kinds.REACTIONS,
                key_kinds.CHANGED,
                key_kinds.UNREAD,
                key_kinds.PINS,
            ),
        )
        now = 0 if self._clock is None else self._clock()
        arguments = (now, rule.days * _DAY, rule.entries, STEP)
        (is_more,) = yield [call(partition, scripts.REMOVE, keys, *arguments)]
        return bool(is_more)

    def _overdue(
        self, rules: Mapping[str, Rule], after: str, now: int
    ) -> Operation[tuple[list[ConversationKey], str]]:
        first, _, cursor = (after or "0:0").partition(":")
        partition = int(first)
        ((position, names),) = yield [
            RedisCommand(
                partition,
                ("SSCAN", self._keys.common(partition, "convs"), cursor, "COUNT", GROUP),
            )
        ]
        keys = [ConversationKey(name.decode()) for name in names]
        keys = [key for key in keys if not rule_for(rules, key).keeps_all]
        commands = []
        for key in keys:
            meta, log = self._keys.conversation(key, key_kinds.META, key_kinds.LOG)
            commands += [
                RedisCommand(partition, ("HMGET", meta, "seq", "base")),
                RedisCommand(partition, ("LINDEX", log, 0)),
            ]
        replies = (yield commands) if commands else []
        found = []
        for key, (seq, base), packed in zip(keys, replies[::2], replies[1::2], strict=True):
            if packed is None:
                continue
            record = decode_record(packed)
            deleted = bool(record.deleted)
            oldest = Oldest(
                record.ts, int(seq or 0) - int(base or 0), is_erasable(record.kind, deleted=deleted)
            )
            if oldest.is_overdue(rule_for(rules, key), now):
                found.append(key)
        if int(position):
            return found, f"{partition}:{int(position)}"
        partition += 1
        return found, f"{partition}:0" if partition < self._keys.partitions else ""


def rules_query(keys: Keys) -> Arguments:
    """Return the command that reads the rules."""
    return ("HGETALL", keys.retention)


def decode_rules(flat: Sequence[bytes]) -> dict[str, Rule]:
    """Return the rules by their scopes, in order. Raises msgspec.DecodeError."""
    return dict(sorted(_decoded(flat)))


def _decoded(flat: Sequence[bytes]) -> Iterator[tuple[str, Rule]]:
    for scope, packed in zip(flat[::2], flat[1::2], strict=True):
        yield scope.decode(), _decode(packed)


def rule_command(keys: Keys, scope: str, rule: Rule | None) -> Arguments:
    """Return the command that sets a rule, or clears it."""
    if rule is None:
        return ("HDEL", keys.retention, scope)
    return ("HSET", keys.retention, scope, _encode(rule))


def _read_rules(keys: Keys) -> Operation[dict[str, Rule]]:
    (flat,) = yield [RedisCommand(0, rules_query(keys))]
    return decode_rules(flat)


def _change(command: Arguments) -> Operation[None]:
    yield [RedisCommand(0, command)]


def _claim(keys: Keys, seconds: int) -> Operation[bool]:
    (is_claimed,) = yield [RedisCommand(0, ("SET", keys.sweep, 1, "NX", "EX", seconds))]
    return is_claimed is not None
