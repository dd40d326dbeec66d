"""Whom people block.

What is compared in the commit of a private message is in the conversation's partition (``b:``). The
list of a person is in theirs (``z:``), and never misses a block that holds: it is written before,
and the entry there is removed after.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gochat.chat import conversations
from gochat.chat.log import Draft
from gochat.chat.names import NameKey
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand
from gochat.storage.redis.names import Names


class Blocks:
    """Create the operations. :class:`~gochat.chat.store.Store` documents what they do."""

    def __init__(self, keys: Keys, names: Names) -> None:
        self._keys = keys
        self._names = names

    def set(self, person: NameKey, other: NameKey, *, on: bool) -> Operation[bool]:
        """Set or lift a block."""
        listed = self._keys.person(person, key_kinds.BLOCKED)
        holding, partition = self._holding(person, other)
        in_list, holds = (
            ("HSET", listed, other, 1) if on else ("HDEL", listed, other),
            ("HSET", holding, person, 1) if on else ("HDEL", holding, person),
        )
        steps = [
            RedisCommand(self._keys.partition(person), in_list),
            RedisCommand(partition, holds),
        ]
        if not on:
            steps.reverse()
        changed = False
        for step in steps:
            (count,) = yield [step]
            changed |= bool(count)
        return changed

    def listed(self, person: NameKey) -> Operation[list[str]]:
        """Read whom a person blocks, by their keys."""
        key = self._keys.person(person, key_kinds.BLOCKED)
        (found,) = yield [RedisCommand(self._keys.partition(person), ("HKEYS", key))]
        people = sorted(NameKey(other.decode()) for other in found)
        yield from self._names.look_up(people)
        return [self._names.person(other) or other for other in people]

    def between(self, one: NameKey, other: NameKey) -> Operation[list[NameKey]]:
        """Read which of two people block the other."""
        key, partition = self._holding(one, other)
        (found,) = yield [RedisCommand(partition, ("HKEYS", key))]
        return [NameKey(person.decode()) for person in found]

    def without_blocked_mentions(self, drafts: Sequence[Draft]) -> Operation[list[Draft]]:
        """Return the drafts without their mentions of those who block the sender."""
        wanted = [(draft.sender_key, person) for draft in drafts for person in draft.mentioned]
        if not wanted:
            return list(drafts)
        replies = yield [
            RedisCommand(partition, ("HEXISTS", key, person))
            for sender, person in wanted
            for key, partition in (self._holding(sender, person),)
        ]
        blocking = {pair for pair, reply in zip(wanted, replies, strict=True) if reply}
        if not blocking:
            return list(drafts)
        return [_without(draft, blocking) for draft in drafts]

    def _holding(self, one: NameKey, other: NameKey) -> tuple[str, int]:
        """Return the key that decides, and its partition."""
        conversation = conversations.private(one, other)
        (key,) = self._keys.conversation(conversation, key_kinds.BANS)
        return key, self._keys.partition(conversation)


def _without(draft: Draft, blocking: set[tuple[NameKey, NameKey]]) -> Draft:
    if not draft.mentioned:  # nobody, or everybody
        return draft
    kept = [
        (person, name)
        for person, name in zip(draft.mentioned, draft.mentions, strict=True)
        if (draft.sender_key, person) not in blocking
    ]
    return replace(
        draft,
        mentioned=tuple(person for person, _ in kept),
        mentions=tuple(name for _, name in kept),
    )
