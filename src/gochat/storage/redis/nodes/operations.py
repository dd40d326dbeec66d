"""What the bus between nodes has in Redis, all in one partition.

``nodes`` has the end of each node's lease; ``o:NODE`` has its people, for nodes that start later;
``notices`` is the stream in which each node publishes changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from gochat.chat.names import NameKey
from gochat.chat.node_bus import (
    Arrived,
    AwaySet,
    Here,
    Left,
    Node,
    NodeEvent,
    PersonHere,
    StatusSet,
)
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.nodes.event_reader import NODES_PARTITION

#: Entries of the stream, each of which may contain many events.
MAX_ENTRIES: Final = 10_000

_encode = msgspec.msgpack.Encoder().encode
_decode_person = msgspec.msgpack.Decoder(PersonHere).decode


class NodeOperations:
    """Create the operations of one node, whose lease lasts `lease` milliseconds."""

    def __init__(self, keys: Keys, node: Node, lease: int) -> None:
        self._keys = keys
        self._node = node
        self._lease = lease

    def append(
        self, events: Sequence[NodeEvent], people: Mapping[NameKey, PersonHere]
    ) -> Operation[None]:
        """Publish events, and write what they change of `people`, who are at this node by then.

        They may change meanwhile: an event that says so follows.
        """
        mine = self._mine()
        changes: dict[NameKey, PersonHere | None] = {}
        for event in events:
            match event:
                case Arrived(PersonHere(key)) | Left(key) | AwaySet(key) | StatusSet(key):
                    changes[key] = people.get(key)
        commands = []
        if online := [person for person in changes.values() if person is not None]:
            fields = [part for person in online for part in (person.key, _encode(person))]
            commands.append(RedisCommand(NODES_PARTITION, ("HSET", mine, *fields)))
            commands.append(RedisCommand(NODES_PARTITION, ("PEXPIRE", mine, 2 * self._lease)))
        if offline := [key for key, person in changes.items() if person is None]:
            commands.append(RedisCommand(NODES_PARTITION, ("HDEL", mine, *offline)))
        yield [*commands, self._entry(events)]

    def republish(self, people: tuple[PersonHere, ...]) -> Operation[None]:
        """Write and publish all people at this node."""
        mine = self._mine()
        fields = [part for person in people for part in (person.key, _encode(person))]
        commands = [RedisCommand(NODES_PARTITION, ("DEL", mine))]
        if fields:
            commands.append(RedisCommand(NODES_PARTITION, ("HSET", mine, *fields)))
            commands.append(RedisCommand(NODES_PARTITION, ("PEXPIRE", mine, 2 * self._lease)))
        yield [*commands, self._entry([Here(people)])]

    def say_goodbye(self) -> Operation[None]:
        """Give the lease back, and publish that nobody is here any more."""
        yield [
            RedisCommand(NODES_PARTITION, ("HDEL", self._keys.nodes, self._node)),
            RedisCommand(NODES_PARTITION, ("DEL", self._mine())),
            self._entry([Here()]),
        ]

    def renew_lease(self) -> Operation[tuple[bool, set[Node]]]:
        """Renew the lease; return whether there still was one, and the nodes that have one."""
        keys = (self._keys.nodes, self._mine())
        ((had, *alive),) = yield [
            call(NODES_PARTITION, scripts.BEAT, keys, self._node, self._lease)
        ]
        return bool(had), {node.decode() for node in alive}

    def everybody(self) -> Operation[dict[Node, tuple[PersonHere, ...]]]:
        """Read the people at each other node."""
        (nodes,) = yield [RedisCommand(NODES_PARTITION, ("HKEYS", self._keys.nodes))]
        others = [node.decode() for node in nodes if node.decode() != self._node]
        replies = yield [
            RedisCommand(
                NODES_PARTITION, ("HVALS", self._keys.common(NODES_PARTITION, f"o:{node}"))
            )
            for node in others
        ]
        return {
            node: tuple(_decode_person(person) for person in people)
            for node, people in zip(others, replies, strict=True)
        }

    def newest(self) -> Operation[str]:
        """Read the position of the newest entry of the stream."""
        (newest,) = yield [
            RedisCommand(
                NODES_PARTITION, ("XREVRANGE", self._keys.node_events, "+", "-", "COUNT", 1)
            )
        ]
        return newest[0][0].decode() if newest else "0-0"

    def _entry(self, events: Sequence[NodeEvent]) -> RedisCommand:
        words = ("XADD", self._keys.node_events, "MAXLEN", "~", MAX_ENTRIES, "*")
        return RedisCommand(NODES_PARTITION, (*words, "n", self._node, "e", _encode(events)))

    def _mine(self) -> str:
        return self._keys.common(NODES_PARTITION, f"o:{self._node}")
