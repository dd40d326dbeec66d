"""A cache of the display names of people and rooms.

They never change while the data has the same history. When that changes (epoch_tracker.py), the
cache is cleared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand

#: Names of each kind cached before the cache is cleared. Some ten megabytes.
MAX_REMEMBERED: Final = 50_000


class Names:
    """Find names. Used by several threads at once."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._people: dict[NameKey, str] = {}
        self._rooms: dict[ConversationKey, str] = {}

    def person(self, key: NameKey) -> str | None:
        """Return the name of a person who was looked up, or None without such an account."""
        return self._people.get(key)

    def room(self, key: ConversationKey) -> str | None:
        """Return the name of a room that was looked up, or None without such a room."""
        return self._rooms.get(key)

    def forget(self) -> None:
        """Clear the cache."""
        self._people, self._rooms = {}, {}

    def note_room(self, key: ConversationKey, name: str) -> None:
        """Cache the name of a room."""
        if len(self._rooms) >= MAX_REMEMBERED:
            self._rooms = {}
        self._rooms[key] = name

    def look_up(
        self, people: Iterable[NameKey] = (), rooms: Iterable[ConversationKey] = ()
    ) -> Operation[None]:
        """Query the names that are not cached; yields no step if all are."""
        persons = [key for key in dict.fromkeys(people) if key not in self._people]
        others = [key for key in dict.fromkeys(rooms) if key not in self._rooms]
        if not persons and not others:
            return
        replies = yield [
            *(
                RedisCommand(
                    self._keys.partition(key),
                    ("HGET", self._keys.person(key, key_kinds.ACCOUNT), "name"),
                )
                for key in persons
            ),
            *(
                RedisCommand(
                    self._keys.partition(key),
                    ("HGET", self._keys.conversation(key, key_kinds.META)[0], "name"),
                )
                for key in others
            ),
        ]
        if len(self._people) + len(persons) > MAX_REMEMBERED:
            self._people = {}
        for person, name in zip(persons, replies, strict=False):
            if name is not None:
                self._people[person] = name.decode()
        for room, name in zip(others, replies[len(persons) :], strict=True):
            if name is not None:
                self.note_room(room, name.decode())
