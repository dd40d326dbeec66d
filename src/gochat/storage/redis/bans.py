"""Read the bans of a room."""

from __future__ import annotations

from gochat.chat.conversations import ConversationKey
from gochat.protocol.messages import RoomBan
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand
from gochat.storage.redis.records import decode_ban


class Bans:
    """Create the operation. :class:`~gochat.chat.store.Store` documents its result."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def page(
        self, key: ConversationKey, after: str, limit: int, now: int
    ) -> Operation[tuple[list[RoomBan], bool]]:
        """Read a page of the bans, ordered by the key of the person. Rooms have few of them."""
        (bans,) = self._keys.conversation(key, key_kinds.BANS)
        (flat,) = yield [RedisCommand(self._keys.partition(key), ("HGETALL", bans))]
        pairs = zip(flat[::2], flat[1::2], strict=True)
        rows = ((who.decode(), decode_ban(row)) for who, row in pairs)
        held = sorted((who, row) for who, row in rows if who > after and row.holds(now))
        return [row.shown() for _, row in held[:limit]], len(held) > limit
