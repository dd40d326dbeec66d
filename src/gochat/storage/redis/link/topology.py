"""Which server has which partition: the only one, the sentinels' master, or a cluster's masters.

Used by several threads at once.
"""

# ruff: noqa: D102 -- Topology documents the methods, once

from __future__ import annotations

import abc
import threading
import time
from typing import Any, Final

import redis
import structlog
from redis.crc import key_slot
from redis.sentinel import MasterNotFoundError, Sentinel

from gochat.errors import ConfigError
from gochat.storage.redis.link import wire
from gochat.storage.redis.link.eviction import Eviction
from gochat.storage.redis.link.url import Host, Location
from gochat.storage.redis.link.wire import Broken, Wire

log = structlog.stdlib.get_logger()

#: Seconds for which a failed server is not tried again, so that callers get the error at once
#: instead of waiting for it one after the other.
BACKOFF: Final = 0.5
#: Seconds between two queries for the master, or for the slots.
ASK_AGAIN: Final = 0.2


class RedisProcess:
    """A server's address, whether to try it, and whether it may be used.

    `refusal` is the reason not to use it, or empty. `loss` identifies the last time that keys may
    have vanished from it, and is empty before the first.
    """

    def __init__(self, location: Location, host: Host) -> None:
        self._location = location
        self.host: Final = host
        self._lock = threading.Lock()
        self._backoff_until = 0.0
        self._kept = Eviction()  # as it was when it evicted nothing
        self.refusal = ""
        self.loss = ""

    def connect(self, timeout: float) -> Wire:
        """Connect to the server.

        Raises Broken, at once if it failed just now, and ConfigError if its configuration is
        unusable.
        """
        self.check()
        try:
            connection = wire.connect(self._location, self.host, timeout)
        except Broken:
            self.failed()
            raise
        self.works()
        self.note(connection.eviction)
        if self.refusal:
            connection.close()
            raise ConfigError(self.refusal)
        return connection

    def check(self) -> None:
        """Raise Broken if it failed just now. After that time, one caller may try it."""
        with self._lock:
            if not self._backoff_until:
                return
            now = time.monotonic()
            if now < self._backoff_until:
                raise Broken(f"Redis at {self.host} can't be reached")
            self._backoff_until = now + BACKOFF

    def failed(self) -> None:
        """Record that it did not answer."""
        with self._lock:
            self._backoff_until = time.monotonic() + BACKOFF

    def note(self, eviction: Eviction) -> None:
        """Record what it reports about eviction."""
        with self._lock:
            was_refused, self.refusal = bool(self.refusal), eviction.refusal
            before = self._kept
            if not eviction.refusal:
                self._kept = eviction
        if eviction.refusal:
            if not was_refused:
                log.error("Redis refused", host=str(self.host), reason=eviction.refusal)
            return
        if was_refused:
            log.info("Redis accepted again", host=str(self.host))
        if before.run == eviction.run:
            has_evicted = eviction.keys > before.keys
        else:  # nobody knows what the previous process evicted after our last check
            has_evicted = bool(before.run) and (was_refused or eviction.keys > 0)
        if has_evicted:
            self.loss = f"{eviction.run}:{eviction.keys}"
            log.error(
                "Redis evicted keys",
                host=str(self.host),
                keys=eviction.keys,
                consequence="messages and accounts may be lost: restore a backup",
            )
        elif eviction.keys and not before.run:
            log.warning(
                "Redis evicted keys before this start",
                host=str(self.host),
                keys=eviction.keys,
                consequence="messages and accounts may be lost, if they were there already",
            )

    def works(self) -> None:
        """Record that it answered."""
        self._backoff_until = 0.0


class Topology(abc.ABC):
    """Find the servers of partitions."""

    def __init__(self, location: Location, partitions: int) -> None:
        self._location = location
        self.partitions: Final = partitions

    @abc.abstractmethod
    def server(self, partition: int) -> RedisProcess:
        """Return the server that takes writes for a partition.

        Raises Broken if none is known, and ConfigError if the sentinels refuse the credentials.
        """

    @abc.abstractmethod
    def doubt(self) -> None:
        """Record that the topology may have changed: a server was not a master, or lacked data."""

    def slot(self, partition: int) -> int:
        """Return a number that is the same for partitions that are always on one server."""
        del partition
        return 0


class Standalone(Topology):
    """A single server."""

    def __init__(self, location: Location, partitions: int) -> None:
        super().__init__(location, partitions)
        self._server = RedisProcess(location, location.hosts[0])

    def server(self, partition: int) -> RedisProcess:
        return self._server

    def doubt(self) -> None:
        pass  # there is no other server


class Sentinels(Topology):
    """The server that the sentinels report as the master."""

    def __init__(self, location: Location, partitions: int) -> None:
        super().__init__(location, partitions)
        self._lock = threading.Lock()
        self._server: RedisProcess | None = None
        self._is_doubted = True
        self._ask_at = 0.0
        self._refusal = ""  # why the sentinels did not answer, if it was the password
        timeout = min(1.0, location.options.timeout)
        make: Any = Sentinel  # it has no types
        self._sentinel = make(
            [(host.name, host.port) for host in location.hosts],
            sentinel_kwargs={
                "username": location.sentinel_secret.user,
                "password": location.sentinel_secret.password,
                **wire.timeouts(timeout),
                **({"ssl": True} | wire.encryption(location) if location.is_encrypted else {}),
            },
        )

    def server(self, partition: int) -> RedisProcess:
        with self._lock:
            if self._is_doubted and time.monotonic() >= self._ask_at:
                self._ask()
            if self._server is None and self._refusal:
                raise ConfigError(self._refusal)
            if self._server is None:
                raise Broken(f"no sentinel knows the master of {self._location.service!r}")
            return self._server

    def doubt(self) -> None:
        self._is_doubted = True

    def _ask(self) -> None:
        self._ask_at = time.monotonic() + ASK_AGAIN
        try:
            name, port = self._sentinel.discover_master(self._location.service)
        except (MasterNotFoundError, redis.RedisError, OSError) as error:
            # Only a text is left of what each of them answered.
            is_refused = isinstance(error, redis.exceptions.NoPermissionError)
            if is_refused or "AuthenticationError" in str(error):
                self._refusal = (
                    "the sentinels refuse the user or the password: check sentinel_user and "
                    "sentinel_password in the store URL"
                )
            return  # the known one may be right
        host = Host(name, int(port))
        self._is_doubted = False
        if self._server is None or self._server.host != host:
            self._server = RedisProcess(self._location, host)


class ClusterTopology(Topology):
    """The masters of a Redis Cluster, each with its slots."""

    def __init__(self, location: Location, partitions: int) -> None:
        super().__init__(location, partitions)
        self._lock = threading.Lock()
        self._slots = [key_slot(str(n).encode()) for n in range(partitions)]
        self._servers: dict[Host, RedisProcess] = {}
        self._found: dict[int, RedisProcess] = {}
        self._is_doubted = True
        self._ask_at = 0.0

    def server(self, partition: int) -> RedisProcess:
        with self._lock:
            if self._is_doubted and time.monotonic() >= self._ask_at:
                self._ask()
            server = self._found.get(partition)
            if server is None:
                raise Broken(f"no server of the cluster has slot {self._slots[partition]}")
            return server

    def doubt(self) -> None:
        self._is_doubted = True

    def slot(self, partition: int) -> int:
        return self._slots[partition]

    def _ask(self) -> None:
        # Known servers first: the hosts of the URL may be long gone.
        for host in dict.fromkeys((*self._servers, *self._location.hosts)):
            try:
                ranges = self._ask_one(host)
            except Broken:
                continue
            found = {
                partition: self._servers.setdefault(master, RedisProcess(self._location, master))
                for partition, slot in enumerate(self._slots)
                for first, last, master in ranges
                if first <= slot <= last
            }
            self._found = found
            used = set(found.values())
            self._servers = {h: server for h, server in self._servers.items() if server in used}
            self._is_doubted = False
            break
        self._ask_at = time.monotonic() + ASK_AGAIN

    def _ask_one(self, host: Host) -> list[tuple[int, int, Host]]:
        connection = wire.connect(self._location, host, min(1.0, self._location.options.timeout))
        try:
            ((ranges,)) = connection.ask(("CLUSTER", "SLOTS"))
        except wire.Refused as error:
            raise Broken(f"Redis at {host}: {error}") from error
        finally:
            connection.close()
        return [
            # A server that does not know its own name sends none.
            (first, last, Host(master[0].decode() or host.name, master[1]))
            for first, last, master, *_ in ranges
        ]


KINDS: Final[dict[str, type[Topology]]] = {
    "standalone": Standalone,
    "sentinel": Sentinels,
    "cluster": ClusterTopology,
}


def find(location: Location, partitions: int) -> Topology:
    """Return the topology of a deployment."""
    return KINDS[location.kind](location, partitions)
