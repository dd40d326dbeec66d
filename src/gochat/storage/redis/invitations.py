"""Read a person's pending invitations."""

from __future__ import annotations

from gochat.chat import conversations
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.names import NameKey
from gochat.protocol.messages import Invitation
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand
from gochat.storage.redis.reading import Reading
from gochat.storage.redis.records import decode_row


class Invitations:
    """Create the operation. :class:`~gochat.chat.store.Store` documents its result."""

    def __init__(self, keys: Keys, reading: Reading) -> None:
        self._keys = keys
        self._reading = reading

    def pending(self, person: NameKey) -> Operation[list[Invitation]]:
        """Read the invitations, ordered by room."""
        listed = yield from self._reading.listed(person)
        rooms = [key for key in listed if key != LOBBY_KEY and not conversations.is_private(key)]
        rows = yield [
            RedisCommand(
                self._keys.partition(key),
                ("HGET", self._keys.conversation(key, key_kinds.PARTICIPANTS)[0], person),
            )
            for key in rooms
        ]
        invited = [
            (key, row)
            for key, packed in zip(rooms, rows, strict=True)
            if packed is not None and (row := decode_row(packed)).role == "invited"
        ]
        about = yield [
            RedisCommand(
                self._keys.partition(key),
                ("HMGET", self._keys.conversation(key, key_kinds.META)[0], "name", "topic"),
            )
            for key, _ in invited
        ]
        found = [
            Invitation(
                room=name.decode(),
                from_=row.inviter,
                ts=row.since,
                topic=(topic or b"").decode(),
            )
            for (_, row), (name, topic) in zip(invited, about, strict=True)
            if name is not None
        ]
        return sorted(found, key=lambda one: one.room)
