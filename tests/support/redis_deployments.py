"""Deployments of several Redis processes: a master with replica and sentinels; a cluster.

All from one binary, on loopback, each with its own directory, ended by their process ids.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import redis
from patience import PATIENCE
from redis.crc import key_slot
from redis_process import RedisServer, free_port

from gochat.storage.redis.keys import DEFAULT_PARTITIONS, Keys

#: Milliseconds after which sentinels consider a master down, or cluster nodes one another, if a
#: test waits for that. With fewer, on a busy machine, slow ones would seem down.
MISSED_AFTER: Final = 3000
#: And if none does: longer than the tests take.
NEVER: Final = 3_600_000
SERVICE: Final = "chat"
_SLOTS: Final = 16384
#: By default a master waits for more replicas before it sends its data to the first.
SYNC_AT_ONCE: Final = ("--repl-diskless-sync-delay", "0")


class Sentinel(RedisServer):
    """A sentinel that watches a master."""

    def __init__(self, directory: Path, master: RedisServer, quorum: int, down_after: int) -> None:
        super().__init__(directory)
        self._config = directory / "sentinel.conf"
        directory.mkdir(parents=True)
        self._config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {directory}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} {quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {down_after}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )

    def arguments(self) -> list[str]:
        return [str(self._config), "--sentinel"]


def _replica_of(master: RedisServer) -> tuple[str, ...]:
    return (*SYNC_AT_ONCE, "--replicaof", "127.0.0.1", str(master.port))


class Watched:
    """A master, a replica of it, and three sentinels."""

    def __init__(self, directory: Path, down_after: int = MISSED_AFTER) -> None:
        self._down_after = down_after
        self.master = RedisServer(directory / "master", *SYNC_AT_ONCE)
        self.replica = RedisServer(directory / "replica", *_replica_of(self.master))
        self._directory = directory
        self.sentinels: list[Sentinel] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def start(self) -> None:
        self.master.start()
        self.replica.start()
        wait_for(lambda: _info(self.replica, "replication")["master_link_status"] == "up")
        for number in range(3):
            sentinel = Sentinel(
                self._directory / f"sentinel{number}", self.master, 2, self._down_after
            )
            self.sentinels.append(sentinel)
            sentinel.start()
        for sentinel in self.sentinels:
            wait_for(lambda: self._sees_all(sentinel))  # noqa: B023 -- called at once

    def stop(self) -> None:
        for server in (*self.sentinels, self.replica, self.master):
            server.kill()

    def is_in_step(self) -> bool:
        """Return whether the replica has all data of the master."""
        return bool(
            _info(self.master, "replication")["master_repl_offset"]
            == _info(self.replica, "replication")["slave_repl_offset"]
        )

    def cut_off_replica(self) -> None:
        """Stop the replication: point the replica at a master where nothing listens."""
        with _client(self.replica) as client:
            client.replicaof("127.0.0.1", free_port())

    def wait_until_replicated(self) -> None:
        """Wait until the replica has the master's present data."""
        offset = _info(self.master, "replication")["master_repl_offset"]
        wait_for(lambda: bool(_info(self.replica, "replication")["slave_repl_offset"] >= offset))

    def wait_until_promoted(self) -> None:
        """Wait until the replica of a dead master is promoted, and all sentinels agree.

        `master` and `replica` are swapped from then on.
        """
        wait_for(lambda: bool(_info(self.replica, "replication")["role"] == "master"))
        self.master, self.replica = self.replica, self.master
        for sentinel in self.sentinels:
            wait_for(lambda: self._names_master(sentinel))  # noqa: B023 -- called at once

    def fail_over(self) -> None:
        """Make the sentinels promote the replica, as for maintenance: the old master lives on.

        `master` and `replica` are swapped from then on.
        """
        with _client(self.sentinels[0]) as client:
            client.sentinel_failover(SERVICE)
        self.wait_until_promoted()
        wait_for(lambda: bool(_info(self.replica, "replication")["role"] == "slave"))

    def start_the_old_master(self) -> None:
        """Start the former master, as a replica, and wait until it has all data."""
        self.replica.options = _replica_of(self.master)
        self.replica.start()
        wait_for(lambda: bool(_info(self.replica, "replication")["master_link_status"] == "up"))
        self.wait_until_replicated()

    def _names_master(self, sentinel: Sentinel) -> bool:
        with _client(sentinel) as client:
            _, port = client.sentinel_get_master_addr_by_name(SERVICE)
        return bool(port == self.master.port)

    def _sees_all(self, sentinel: Sentinel) -> bool:
        with _client(sentinel) as client:
            state = client.sentinel_master(SERVICE)
        return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)


class ClusterOf3:
    """A Redis Cluster of three masters, each with a third of the slots."""

    def __init__(
        self,
        directory: Path,
        kind: type[RedisServer] = RedisServer,
        *,
        options: Sequence[str] = (),
    ) -> None:
        self._directory = directory
        self._kind = kind
        self._options = options
        self.servers = [self._make(number) for number in range(3)]

    def _make(self, number: int) -> RedisServer:
        return self._kind(
            self._directory / f"node{number}",
            *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
            *("--cluster-node-timeout", str(NEVER), "--cluster-require-full-coverage"),
            "no",
            *self._options,
            port=_cluster_port(),
        )

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"redis+cluster://{hosts}"

    def start(self) -> None:
        for server in self.servers:
            server.start()
        share = _SLOTS // len(self.servers) + 1
        for number, server in enumerate(self.servers):
            with _client(server) as client:
                slots = range(number * share, min(_SLOTS, (number + 1) * share))
                client.execute_command("CLUSTER", "ADDSLOTS", *slots)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for one, other in combinations(self.servers, 2):  # to hear of it from the third takes long
            with _client(one) as client:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Wait until every server answers for its slots."""
        for server in self.servers:
            wait_for(lambda: self._is_whole(server))  # noqa: B023 -- called at once

    def stop(self) -> None:
        for server in self.servers:
            server.kill()

    def server_of(self, key: str) -> RedisServer:
        """Return the server that has a key of gochat, given without prefix and partition."""
        slot = key_slot(self.tag_of(key))
        with _client(self.servers[0]) as client:
            ranges = client.execute_command("CLUSTER", "SLOTS")
        (port,) = {master[1] for first, last, master, *_ in ranges if first <= slot <= last}
        return next(server for server in self.servers if server.port == port)

    def tag_of(self, key: str) -> bytes:
        """Return the hash tag of such a key: its partition."""
        name = key.partition(":")[2]
        return str(Keys("gochat", DEFAULT_PARTITIONS).partition(name)).encode()

    def add_replica(self, master: RedisServer) -> RedisServer:
        """Start a replica of one of the servers, and wait until it has all its data."""
        replica = self._make(len(self.servers))
        replica.start()
        with _client(master) as old, _client(replica) as new:
            name = old.execute_command("CLUSTER", "MYID").decode()
            new.execute_command("CLUSTER", "MEET", "127.0.0.1", master.port)
            wait_for(lambda: bool(new.execute_command("CLUSTER", "REPLICATE", name)))
        wait_for(lambda: bool(_info(replica, "replication")["master_link_status"] == "up"))
        for server in self.servers:
            wait_for(lambda: self._knows(server, replica))  # noqa: B023 -- called at once
        self.servers.append(replica)
        return replica

    def _knows(self, server: RedisServer, replica: RedisServer) -> bool:
        with _client(server) as client:
            ranges = client.execute_command("CLUSTER", "SLOTS")
        return any(one[1] == replica.port for _, _, _, *replicas in ranges for one in replicas)

    def move_slot(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Move a slot with its keys, as an administration tool does, while it is in use."""
        with _client(source) as old, _client(target) as new:
            names = {
                client: client.execute_command("CLUSTER", "MYID").decode() for client in (old, new)
            }
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[old])
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[new])
            while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 5):
                old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            for server in self.servers:
                with _client(server) as client:
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[new])

    def _is_whole(self, server: RedisServer) -> bool:
        with _client(server) as client:
            ranges = client.execute_command("CLUSTER", "SLOTS")
            info = client.execute_command("CLUSTER", "INFO")
        return len(ranges) == len(self.servers) and b"cluster_state:ok" in info


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; errors of servers that are starting count as false."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < deadline, "the Redis servers don't come together"
        time.sleep(0.02)


@contextmanager
def _client(server: RedisServer) -> Iterator[Any]:
    client = redis.Redis(port=server.port)
    try:
        yield client
    finally:
        client.close()


def _info(server: RedisServer, section: str) -> Any:
    with _client(server) as client:
        return client.info(section)


def _cluster_port() -> int:
    # The cluster bus uses a port that is higher by 10000.
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
        return port
