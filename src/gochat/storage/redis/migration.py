"""Upgrade data from older versions of gochat."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gochat.chat.conversations import LOBBY_KEY, ConversationKey, is_private
from gochat.chat.names import NameKey
from gochat.errors import StoreCorrupt
from gochat.storage.common.lookalikes import Named, claims
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.keys import CLAIMED, CLAIMS
from gochat.storage.redis.link.deployment import Deployment
from gochat.storage.redis.link.wire import Arguments
from gochat.storage.redis.records import decode_record
from gochat.storage.transfer.contents import GROUP, MANY


def claim_existing(deployment: Deployment) -> None:
    """Claim the names in data that predates claims, or claims on capitals.

    Of two lookalikes, the older gets the claim; existing claims remain. Does nothing if this was
    done before. May be interrupted, and run by several nodes at once.

    Raises StoreCorrupt, and the same errors as
    :meth:`~gochat.storage.redis.link.deployment.Deployment.ask`.
    """
    keys = deployment.keys
    done = deployment.ask_one(0, "HGET", keys.meta, CLAIMED)
    if done is not None and int(done) >= CLAIMS:
        return
    commands = []
    for skeleton, owner in claims([*_people(deployment), *_rooms(deployment)]):
        partition, key = keys.skeleton(skeleton)
        commands.append((partition, ("SET", key, owner, "NX")))
    deployment.ask(commands)
    deployment.ask_one(0, "HSET", keys.meta, CLAIMED, CLAIMS)


def _people(deployment: Deployment) -> Iterator[Named]:
    keys = deployment.keys
    for partition in range(keys.partitions):
        start = "-"
        while found := deployment.ask_one(
            partition,
            *("ZRANGEBYLEX", keys.common(partition, "people"), start, "+", "LIMIT", 0, MANY),
        ):
            people = [NameKey(key.decode()) for key in found]
            accounts = deployment.ask(
                [
                    (partition, ("HMGET", keys.person(who, key_kinds.ACCOUNT), "name", "created"))
                    for who in people
                ]
            )
            for who, (name, created) in zip(people, accounts, strict=True):
                if name is None:
                    raise StoreCorrupt(f"the account of {who} is missing in {deployment.location}")
                yield Named(int(created), who, name.decode())
            start = f"({people[-1]}"


def _rooms(deployment: Deployment) -> Iterator[Named]:
    """Yield the rooms, dated by their oldest entry; the lobby is older than all."""
    keys = deployment.keys
    yield Named(0, LOBBY_KEY, LOBBY_KEY)
    for partition in range(keys.partitions):
        members = deployment.ask_one(partition, "SMEMBERS", keys.common(partition, "convs"))
        found = {ConversationKey(key.decode()) for key in members} - {LOBBY_KEY}
        rooms = sorted(key for key in found if not is_private(key))
        for start in range(0, len(rooms), GROUP):
            some = rooms[start : start + GROUP]
            commands: list[tuple[int, Arguments]] = []
            for room in some:
                meta, log = keys.conversation(room, key_kinds.META, key_kinds.LOG)
                commands += [(partition, ("HGET", meta, "name")), (partition, ("LINDEX", log, 0))]
            replies = deployment.ask(commands)
            for room, name, packed in zip(some, replies[::2], replies[1::2], strict=True):
                if not name:
                    continue
                try:
                    since = decode_record(packed).ts if packed is not None else 0
                except msgspec.DecodeError as error:
                    raise StoreCorrupt(
                        f"the first entry of {room} in {deployment.location} is damaged ({error})"
                    ) from error
                yield Named(since, room, name.decode())
