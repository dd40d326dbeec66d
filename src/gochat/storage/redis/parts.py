"""What a store in Redis consists of before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final

from gochat.storage.redis import migration
from gochat.storage.redis.feed import Feed
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link import durability, starting, topology
from gochat.storage.redis.link.deployment import Deployment
from gochat.storage.redis.link.epoch_tracker import EpochTracker
from gochat.storage.redis.link.pipeline import WorkerConnections
from gochat.storage.redis.link.url import Location
from gochat.storage.redis.log import Log
from gochat.storage.redis.names import Names
from gochat.storage.redis.reading import Reading
from gochat.storage.redis.search.index import Index
from gochat.storage.redis.search.indexer import Indexer


class Parts:
    """What is created before anything runs, in a worker thread, because it connects to Redis."""

    def __init__(
        self, location: Location, partitions: int, clock: Callable[[], int] | None
    ) -> None:
        options = location.options
        self.options: Final = options
        self.keys: Final = Keys(options.prefix, partitions)
        self.topology: Final = topology.find(location, self.keys.partitions)
        self.names: Final = Names(self.keys)
        self.epoch_tracker: Final = EpochTracker(self.keys, self.lost)
        self.reading: Final = Reading(self.keys, self.epoch_tracker, self.names, clock)
        self.log: Final = Log(
            self.keys, self.topology, self.epoch_tracker, self.names, self.reading, options, clock
        )
        self.engine: Final = Index(self.keys, self.topology, location.database)
        self.indexer: Final = Indexer(self.keys, self.reading, self.engine)
        self.feed: Feed | None = None
        connections = self.connections()
        try:
            # A cluster has several servers, usually with many partitions each.
            wires = {connections.wire(n): None for n in range(partitions)}
            durability.log_losses(wires)
            starting.warn_if_open_to_anybody(location, wires, self.keys.meta)
        finally:
            connections.close()

    def connections(self) -> WorkerConnections:
        """Return the connections of a thread."""
        return WorkerConnections(self.topology, self.epoch_tracker, self.options.timeout)

    def lost(self, partition: int) -> None:
        """Drop all cached data, which may be outdated. Call from any thread."""
        self.names.forget()
        self.reading.forget()
        self.log.forget()
        if self.feed is not None:
            self.feed.interrupt(partition)

    def settled(self) -> None:
        """Deliver the entries that this node has appended."""
        appended = self.log.appended
        assert self.feed is not None
        placed = [appended.popleft() for _ in range(len(appended))]
        self.feed.order.offer(placed)
        self.log.is_under_way = False
        self.indexer.note(entry.entry.conversation for entry in placed)


def connect(location: Location, clock: Callable[[], int] | None) -> Parts:
    """Connect to Redis, and upgrade what is there. Blocks.

    Raises Broken and Refused.
    """
    partitions = starting.find_partitions(location)
    with closing(Deployment(location, partitions)) as deployment:
        migration.claim_existing(deployment)
    return Parts(location, partitions, clock)
