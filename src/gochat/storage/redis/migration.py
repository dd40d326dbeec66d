"""Bringing data from older versions of gochat up to date."""

from __future__ import annotations

from gochat.chat.conversations import LOBBY_KEY
from gochat.storage.common.lookalikes import Named, claims
from gochat.storage.redis.link.deployment import Deployment
from gochat.storage.transfer.redis_source import CLAIMED, CLAIMS, RedisSource


def claim_existing(deployment: Deployment) -> None:
    """Claim the names that are in the data from before names were claimed, or were claimed in
    capitals, too: of two that look alike for the older one. A claim that is there stays. Does
    nothing where that was done; may be interrupted, and done by several nodes at once.

    Raises as :meth:`~gochat.storage.redis.link.deployment.Deployment.ask`.
    """
    keys = deployment.keys
    done = deployment.ask_one(0, "HGET", keys.meta, CLAIMED)
    if done is not None and int(done) >= CLAIMS:
        return
    source = RedisSource(deployment)
    named = [Named(who.created, who.key, who.name) for group in source.people() for who in group]
    for group in source.conversations():
        rooms = [heading for heading in group if heading.name]
        oldest = source.entries([(room, room.base) for room in rooms], 1)
        named += [
            Named(entries[0].ts if entries and room.key != LOBBY_KEY else 0, room.key, room.name)
            for room, entries in zip(rooms, oldest, strict=True)
        ]
    commands = []
    for skeleton, owner in claims(named):
        partition, key = keys.skeleton(skeleton)
        commands.append((partition, ("SET", key, owner, "NX")))
    deployment.ask(commands)
    deployment.ask_one(0, "HSET", keys.meta, CLAIMED, CLAIMS)
