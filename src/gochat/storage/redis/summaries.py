"""Read the heads of a person's conversations, without counting anything."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from gochat.chat.conversations import LOBBY_KEY, ConversationKey, Summary
from gochat.chat.names import NameKey
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.reading import Reading
from gochat.storage.redis.records import decode_row

#: Conversations queried in one step.
CHUNK: Final = 250


class Summaries:
    """Create the operation. :class:`~gochat.chat.store.Store` documents its result."""

    def __init__(self, keys: Keys, reading: Reading) -> None:
        self._keys = keys
        self._reading = reading

    def summaries(
        self, person: NameKey, after: str, limit: int
    ) -> Operation[tuple[list[Summary], bool]]:
        """Read a page, ordered by address."""
        found: list[Summary] = []
        ahead = yield from self._reading.addresses_after(person, after)
        while ahead and len(found) <= limit:
            wanted = min(CHUNK, limit + 1 - len(found))
            some, ahead = ahead[:wanted], ahead[wanted:]
            found += yield from self._some(person, some)
        return found[:limit], len(found) > limit

    def _some(
        self, person: NameKey, listed: Sequence[tuple[str, ConversationKey]]
    ) -> Operation[list[Summary]]:
        """Read the heads of listed conversations; leave out those that are not theirs."""
        began = None
        partitions: dict[int, list[tuple[str, ConversationKey]]] = {}
        for address, key in listed:
            if key == LOBBY_KEY:
                began = yield from self._reading.began(person)
            partitions.setdefault(self._keys.partition(key), []).append((address, key))
        replies = yield from self._reading.with_epochs(
            [self._command(partition, person, some) for partition, some in partitions.items()]
        )
        found = []
        for some, (epoch, *heads) in zip(partitions.values(), replies, strict=True):
            for (address, key), (head, ts, packed) in zip(some, heads, strict=True):
                if packed is not None:
                    row = decode_row(packed)
                    if row.role == "invited":
                        continue
                    read, level = row.read, row.level
                elif key == LOBBY_KEY and began is not None:
                    read, level = began[0], "all"
                else:
                    continue
                found.append(Summary(key, address, epoch.decode(), head, ts, read, level))
        return sorted(found, key=attrgetter("address"))

    def _command(
        self, partition: int, person: NameKey, some: Sequence[tuple[str, ConversationKey]]
    ) -> RedisCommand:
        keys = [self._keys.states[partition]]
        for _, key in some:
            keys += self._keys.conversation(key, key_kinds.META, key_kinds.PARTICIPANTS)
        return call(partition, scripts.SUMMARY, keys, person)
