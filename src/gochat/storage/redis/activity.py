"""Read what may concern a person: :mod:`gochat.chat.activity`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import Final

from gochat.chat.activity import MAX_LISTED, ActivityIndex, ActivityRef
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.link.wire import Reply
from gochat.storage.redis.names import Names
from gochat.storage.redis.reading import Reading
from gochat.storage.redis.records import decode_row

#: Conversations queried by one command: each has up to 200 elements.
CHUNK: Final = 50


class Activity:
    """Create the operations. :class:`~gochat.chat.store.Store` documents their results."""

    def __init__(self, keys: Keys, names: Names, reading: Reading) -> None:
        self._keys = keys
        self._names = names
        self._reading = reading

    def read(self, person: NameKey) -> Operation[ActivityIndex]:
        """List the newest entries that may concern a person."""
        yield from self._names.look_up((person,))
        name = self._names.person(person)
        listed = yield from self._reading.listed(person)
        if name is None or not listed:
            return ActivityIndex(0, ())
        began = yield from self._reading.began(person)
        pieces = list(self._pieces(listed))
        account = self._keys.person(person, key_kinds.ACCOUNT)
        (seen,) = yield [RedisCommand(self._keys.partition(person), ("HGET", account, "activity"))]
        replies = yield from self._reading.with_epochs(
            [self._command(partition, some, person, name) for partition, some in pieces]
        )
        refs = (
            ref
            for (_, some), (_, *found) in zip(pieces, replies, strict=True)
            for key, one in zip(some, found, strict=True)
            for ref in _refs(key, one, 0 if began is None else began[0])
        )
        return ActivityIndex(int(seen or 0), nlargest(MAX_LISTED, refs))

    def mark(self, person: NameKey, seen: int) -> Operation[bool]:
        """Move forward up to when a person has seen it."""
        account = self._keys.person(person, key_kinds.ACCOUNT)
        (moved,) = yield [
            call(self._keys.partition(person), scripts.ACTIVITY_SEEN, (account,), seen)
        ]
        return bool(moved)

    def _pieces(
        self, listed: Sequence[ConversationKey]
    ) -> Iterator[tuple[int, Sequence[ConversationKey]]]:
        partitions: dict[int, list[ConversationKey]] = {}
        for key in listed:
            partitions.setdefault(self._keys.partition(key), []).append(key)
        for partition, keys in partitions.items():
            for start in range(0, len(keys), CHUNK):
                yield partition, keys[start : start + CHUNK]

    def _command(
        self, partition: int, some: Sequence[ConversationKey], person: NameKey, name: str
    ) -> RedisCommand:
        keys = [self._keys.states[partition]]
        for key in some:
            keys += self._keys.conversation(key, key_kinds.PARTICIPANTS, key_kinds.ACTIVITY)
        return call(partition, scripts.ACTIVITY, keys, person, name)


def _refs(key: ConversationKey, reply: Reply, began: int) -> Iterator[ActivityRef]:
    """Yield what a conversation has for a person who is in it, after their floor."""
    packed, own, of_everybody = reply
    if packed is None:
        if key != LOBBY_KEY:
            return
        floor = since = 0
    else:
        row = decode_row(packed)
        if row.role == "invited":
            return
        floor, since = row.floor, row.since
    for elements, first, earliest in (
        (own, floor, 0),
        (of_everybody, max(floor, began if key == LOBBY_KEY else 0), since),
    ):
        for element in elements:
            seq, _, ts = element.decode().rpartition("\0")[2].partition(":")
            if int(seq) > first and int(ts) >= earliest:
                yield ActivityRef(int(ts), key, int(seq))
