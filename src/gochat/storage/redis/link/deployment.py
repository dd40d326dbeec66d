"""Direct commands to a deployment of Redis: without epochs, from one thread."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link import topology
from gochat.storage.redis.link.topology import RedisProcess
from gochat.storage.redis.link.url import Location
from gochat.storage.redis.link.wire import Arguments, Broken, Refused, Reply, Wire

#: Commands sent before their replies are read: a room with a hundred thousand members needs more.
PIPELINED: Final = 10_000
#: Keys examined by one step of a scan.
SCANNED: Final = 1000


class Deployment:
    """A deployment of Redis that one thread queries directly."""

    def __init__(self, location: Location, partitions: int) -> None:
        self.location: Final = location
        self.keys: Final = Keys(location.options.prefix, partitions)
        self._topology = topology.find(location, partitions)
        self._wires: dict[RedisProcess, Wire] = {}

    def ask(self, commands: Sequence[tuple[int, Arguments]]) -> list[Reply]:
        """Send commands, each for a partition, and return their replies in order.

        Commands for the same partition are executed in order.

        Raises:
            StoreUnavailable: not all commands were answered.
            ConfigError: this user is not permitted to run one.
            StoreCorrupt: a key has a value of the wrong type.
        """
        with mapped_errors(self.location):
            replies = self._execute_all(commands)
            for reply in replies:
                if isinstance(reply, Refused):
                    raise reply
            return replies

    def try_to_ask(self, commands: Sequence[tuple[int, Arguments]]) -> list[Reply | Refused]:
        """Send commands as :meth:`ask` does; the reply to one that failed on its data is its error.

        Raises:
            StoreUnavailable: not all commands were answered, or one can't be executed now.
            ConfigError: this user is not permitted to run one.
        """
        with mapped_errors(self.location):
            replies = self._execute_all(commands)
            for reply in replies:
                # Scripts that fail on damaged data send only ERR, and those of gochat GONE.
                if isinstance(reply, Refused) and reply.code not in ("", "WRONGTYPE", "GONE"):
                    raise reply
            return replies

    def _execute_all(self, commands: Sequence[tuple[int, Arguments]]) -> list[Reply | Refused]:
        return [
            reply
            for start in range(0, len(commands), PIPELINED)
            for reply in self._execute(commands[start : start + PIPELINED])
        ]

    def _execute(self, commands: Sequence[tuple[int, Arguments]]) -> list[Reply | Refused]:
        replies: list[Reply | Refused] = [None] * len(commands)
        by_wire: dict[Wire, list[int]] = {}
        for index, (partition, _) in enumerate(commands):
            by_wire.setdefault(self._wire(partition), []).append(index)
        for wire, indexes in by_wire.items():
            wire.send(commands[index][1] for index in indexes)
        for wire, indexes in by_wire.items():
            answers = wire.receive(len(indexes))
            for index, answer in zip(indexes, answers, strict=True):
                replies[index] = answer
        return replies

    def ask_one(self, partition: int, *words: str | bytes | float) -> Reply:
        """Send one command and return its reply. Raises the same errors as :meth:`ask`."""
        (reply,) = self.ask([(partition, words)])
        return reply

    def scan(self, pattern: str) -> Iterator[list[bytes]]:
        """Yield the keys that match `pattern` after the prefix and the partition's tag.

        Some keys may occur twice. Raises the same errors as :meth:`ask`.
        """
        prefix = re.sub(r"([\\?*\[\]])", r"\\\1", self.location.options.prefix)
        with mapped_errors(self.location):
            places = {self._topology.server(p): p for p in range(self.keys.partitions)}
        for partition in places.values():
            cursor = b"0"
            while True:
                cursor, keys = self.ask_one(
                    partition,
                    *("SCAN", cursor, "MATCH", f"{prefix}:{{*}}:{pattern}", "COUNT", SCANNED),
                )
                yield keys
                if cursor == b"0":
                    break

    def live_nodes(self) -> int:
        """Return the number of servers that use the data now."""
        time, leases = self.ask([(0, ("TIME",)), (0, ("HVALS", self.keys.nodes))])
        now = int(time[0]) * 1000
        return sum(int(end) > now for end in leases)

    def close(self) -> None:
        """Close all connections."""
        for wire in self._wires.values():
            wire.close()

    def _wire(self, partition: int) -> Wire:
        server = self._topology.server(partition)
        wire = self._wires.get(server)
        if wire is None:
            wire = server.connect(self.location.options.timeout)
            if wire.role != "master":
                wire.close()
                raise Broken(f"Redis at {wire.host} is a replica")
            self._wires[server] = wire
        return wire


@contextmanager
def mapped_errors(location: Location) -> Iterator[None]:
    """Translate errors into gochat's."""
    try:
        yield
    except Refused as error:
        if error.code in ("NOPERM", "NOAUTH"):
            raise ConfigError(f"{location}: {error}") from error
        if error.code == "WRONGTYPE":
            raise StoreCorrupt(f"{location}: a key has what is not gochat's: {error}") from error
        raise StoreUnavailable(f"{location}: {error}") from error
    except Broken as error:
        raise StoreUnavailable(str(error)) from error
