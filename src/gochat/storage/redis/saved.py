"""Messages that people have saved: :mod:`gochat.chat.saved`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.saved import MAX_SAVED, SavedRef, too_many_saved
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.link.wire import Arguments
from gochat.storage.redis.reading import Reading


class Saved:
    """Create the operations. :class:`~gochat.chat.store.Store` documents their results."""

    def __init__(self, keys: Keys, reading: Reading) -> None:
        self._keys = keys
        self._reading = reading

    def read(self, person: NameKey, *, all_of_them: bool = False) -> Operation[list[SavedRef]]:
        """List what a person has saved."""
        (flat,) = yield [RedisCommand(self._keys.partition(person), query(self._keys, person))]
        refs = decode_saved(flat)
        if refs and not all_of_them:
            floors = yield from self._reading.conversation_keys(person)
            refs = [ref for ref in refs if _is_readable(ref, floors)]
        return refs

    def change(self, person: NameKey, ref: SavedRef, *, on: bool) -> Operation[bool]:
        """Save a message, or no longer."""
        partition = self._keys.partition(person)
        account, saved = (
            self._keys.person(person, kind) for kind in (key_kinds.ACCOUNT, key_kinds.SAVED)
        )
        if not on:
            (removed,) = yield [RedisCommand(partition, ("HDEL", saved, _field(ref)))]
            return bool(removed)
        save = call(partition, scripts.SAVE, (account, saved), _field(ref), _value(ref), MAX_SAVED)
        (outcome,) = yield [save]
        if outcome < 0:
            yield from self._forget(person, saved)
            (outcome,) = yield [save]
            if outcome < 0:
                raise too_many_saved()
        return bool(outcome)

    def _forget(self, person: NameKey, saved: str) -> Operation[None]:
        """Take from the list what the person can't read any more."""
        refs = yield from self.read(person, all_of_them=True)
        floors = yield from self._reading.conversation_keys(person)
        bases = yield [
            RedisCommand(self._keys.partition(key), ("HGET", meta, "base"))
            for key in floors
            for (meta,) in (self._keys.conversation(key, key_kinds.META),)
        ]
        oldest = {key: int(base or 0) for key, base in zip(floors, bases, strict=True)}
        deleted = yield [
            RedisCommand(self._keys.partition(ref.conversation), ("ZSCORE", key, ref.seq))
            for ref in refs
            for (key,) in (self._keys.conversation(ref.conversation, key_kinds.DELETED),)
        ]
        gone = [
            _field(ref)
            for ref, score in zip(refs, deleted, strict=True)
            if score is not None
            or not _is_readable(ref, floors)
            or ref.seq <= oldest[ref.conversation]
        ]
        if gone:
            yield [RedisCommand(self._keys.partition(person), ("HDEL", saved, *gone))]


def query(keys: Keys, person: NameKey) -> Arguments:
    """Return the command that reads what a person has saved, for :func:`decode_saved`."""
    return ("HGETALL", keys.person(person, key_kinds.SAVED))


def decode_saved(flat: Sequence[bytes]) -> list[SavedRef]:
    """Return what a person has saved, what was saved last first."""
    refs = []
    for field, value in zip(flat[::2], flat[1::2], strict=True):
        conversation, _, seq = field.decode().rpartition("\0")
        ts, _, written = value.partition(b" ")
        refs.append(SavedRef(int(ts), ConversationKey(conversation), int(seq), int(written)))
    return sorted(refs, reverse=True)


def insertion(keys: Keys, person: NameKey, refs: Sequence[SavedRef]) -> Arguments:
    """Return the command that writes what a person has saved."""
    fields = (part for ref in refs for part in (_field(ref), _value(ref)))
    return ("HSET", keys.person(person, key_kinds.SAVED), *fields)


def _is_readable(ref: SavedRef, floors: Mapping[ConversationKey, int]) -> bool:
    floor = floors.get(ref.conversation)
    return floor is not None and ref.seq > floor


def _field(ref: SavedRef) -> str:
    return f"{ref.conversation}\0{ref.seq}"


def _value(ref: SavedRef) -> str:
    return f"{ref.ts} {ref.written}"
