"""Follow the feeds: threads that block in ``XREAD`` until something is added.

One thread reads all feeds that are always on one server. In a Cluster the feeds are in different
slots, and one XREAD can read only one slot: there each partition has a thread and a connection of
its own.

A thread that loses its connection continues from its last positions, so nothing is missed. It would
not notice that a feed was emptied, or that the server was configured to evict. So it checks
periodically that the data is still the same (epoch_tracker.py, eviction.py). If a feed can't be
continued, followers of the log have to start over (:exc:`~gochat.errors.LogInterrupted`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog
import trio

from gochat.storage.common.integrity import Integrity
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.epoch_tracker import Break, EpochTracker
from gochat.storage.redis.link.stream_reader import BLOCK, StreamReader
from gochat.storage.redis.link.topology import RedisProcess, Topology
from gochat.storage.redis.link.wire import Broken, Reply, damage_raised
from gochat.storage.redis.order import Order, Placed
from gochat.storage.redis.records import NEW_EPOCH, decode_feed_entry

log = structlog.stdlib.get_logger()

#: Seconds between two checks that the data is still the same.
LOOK_EVERY: Final = 2.0
#: Entries of each feed in one reply: a few hundred kilobytes, decoded in a few milliseconds.
MAX_READ: Final = 512
#: How often to look whether this node's own append is still under way, for which entries wait.
LOOKS: Final = 10
#: Seconds between two of these looks.
BETWEEN_LOOKS: Final = 0.002
#: Seconds between two checks for servers without a thread.
WATCH_EVERY: Final = 0.5


class Feed:
    """Read the feeds of all partitions into an :class:`~gochat.storage.redis.order.Order`."""

    def __init__(
        self,
        keys: Keys,
        topology: Topology,
        epoch_tracker: EpochTracker,
        order: Order,
        integrity: Integrity,
        is_appending: Callable[[], bool],
        timeout: float,
    ) -> None:
        self.is_appending: Final = is_appending
        self.keys: Final = keys
        self.topology: Final = topology
        self.epoch_tracker: Final = epoch_tracker
        self.timeout: Final = timeout
        self.order: Final = order
        self.integrity: Final = integrity
        self._trio = trio.lowlevel.current_trio_token()
        self._limiter = trio.CapacityLimiter(1)
        self._threads: dict[tuple[RedisProcess, int], _FeedReader] = {}
        #: The position up to which each partition was read.
        self.positions: Final = [epoch_tracker.position(p) for p in range(keys.partitions)]

    async def run(self) -> None:
        """Run a thread for each slot of each server, until cancelled."""
        try:
            while True:
                self._threads = {
                    at: known for at, known in self._threads.items() if known.is_alive()
                }
                for server, slot in await trio.to_thread.run_sync(
                    self._slots, limiter=self._limiter, abandon_on_cancel=True
                ):
                    if (server, slot) not in self._threads:
                        self._threads[server, slot] = thread = _FeedReader(self, server, slot)
                        thread.start()
                await trio.sleep(WATCH_EVERY)
        finally:
            for thread in self._threads.values():
                thread.stop()
            with trio.CancelScope(shield=True):
                for thread in self._threads.values():
                    await trio.to_thread.run_sync(thread.join, limiter=self._limiter)

    def interrupt(self, partition: int) -> None:
        """Make the thread that reads a partition check for losses at once. Call from any thread."""
        wanted = self.topology.slot(partition)
        for (_, slot), thread in tuple(self._threads.items()):
            if slot == wanted:
                thread.interrupt()

    def deliver(self, entries: Sequence[Placed]) -> None:
        """Pass entries to the Trio thread."""
        with suppress(trio.RunFinishedError):
            self._trio.run_sync_soon(self.order.offer, entries)

    def skip(self, breaks: Sequence[Break]) -> None:
        """Continue at other positions, and make followers start over."""
        for gap in breaks:
            self.positions[gap.partition] = gap.position
        with suppress(trio.RunFinishedError):
            self._trio.run_sync_soon(self.order.skip, breaks)

    def _slots(self) -> list[tuple[RedisProcess, int]]:
        topology = self.topology
        slots: dict[tuple[RedisProcess, int], None] = {}
        for partition in range(self.keys.partitions):
            with suppress(Broken):
                slots[topology.server(partition), topology.slot(partition)] = None
        return list(slots)


class _FeedReader(StreamReader):
    """Read the feeds of a server's partitions in one slot; end when none are left."""

    def __init__(self, feed: Feed, server: RedisProcess, slot: int) -> None:
        super().__init__("gochat redis feed", feed.topology, feed.integrity, feed.timeout)
        self._feed = feed
        self._server = server
        self._slot = slot
        self._looked = 0.0
        self._loss = ""  # the last loss that was handled

    def read_some(self) -> bool:
        """Read what was added to the feeds."""
        partitions = self._partitions()
        if partitions:
            with damage_raised(self._server.host):
                self._read(partitions)
        return bool(partitions)

    def interrupted(self, error: Exception) -> None:
        """Log why reading was interrupted."""
        log.debug("feed interrupted", reason=str(error))

    def _partitions(self) -> list[int]:
        topology = self._feed.topology
        return [
            partition
            for partition in range(topology.partitions)
            if topology.slot(partition) == self._slot and topology.server(partition) is self._server
        ]

    def _read(self, partitions: list[int]) -> None:
        wire, epoch_tracker = self.connect(lambda: self._server), self._feed.epoch_tracker
        epoch_tracker.ensure(partitions, wire)
        breaks = epoch_tracker.take_breaks(partitions)
        if breaks:
            self._feed.skip(breaks)
        keys = [self._feed.keys.feeds[partition] for partition in partitions]
        ids = [f"{self._skip_own(partition)}-0" for partition in partitions]
        (reply,) = wire.ask(
            ("XREAD", "COUNT", MAX_READ, "BLOCK", int(BLOCK * 1000), "STREAMS", *keys, *ids)
        )
        if reply:
            self._let_own_be_first()
            self._take(dict(zip(keys, partitions, strict=True)), reply)
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._looked = time.monotonic()
            self._server.note(wire.ask_eviction())
            epoch_tracker.look_again(partitions, wire)
        if self._loss != self._server.loss:
            self._loss = self._server.loss
            epoch_tracker.renew(partitions, wire, self._loss)

    def _skip_own(self, partition: int) -> int:
        """Return the position after which to read: what this node has appended is not read."""
        epoch, positions = self._feed.epoch_tracker.epoch(partition), self._feed.positions
        positions[partition] = max(positions[partition], self._feed.order.reached(partition, epoch))
        return positions[partition]

    def _let_own_be_first(self) -> None:
        """Wait for an append of this node that is under way.

        What it has appended is in the feed, too, but need not be decoded here, and is delivered and
        acknowledged in one write each. An event would wake this thread while the event loop has
        that to do, and take the interpreter from it.
        """
        for _ in range(LOOKS):
            if not self._feed.is_appending():
                break
            time.sleep(BETWEEN_LOOKS)

    def _take(self, partitions: dict[str, int], reply: Reply) -> None:
        placed: list[Placed] = []
        for key, entries in reply:
            partition = partitions[key.decode()]
            epoch = self._feed.epoch_tracker.epoch(partition)
            position = self._feed.positions[partition]
            for id_, (_, packed) in entries:
                found = int(id_.partition(b"-")[0])
                if found != position + 1:
                    # The feed was trimmed beyond our position.
                    self._feed.epoch_tracker.lose(partition, found - 1)
                    break
                if packed.startswith(_CONTROL):
                    self._feed.epoch_tracker.doubt(partition)
                    break
                position = found
                if not self._feed.order.has(partition, epoch, found):  # else it was appended here
                    entry = decode_feed_entry(packed).logged(epoch)
                    placed.append(Placed(partition, epoch, found, entry))
            self._feed.positions[partition] = position
        if placed:
            for placement in placed:
                self._feed.epoch_tracker.note(*placement)
            self._feed.deliver(placed)


#: The first bytes of a feed element that announces a new epoch: an array of two, and its first.
_CONTROL: Final = bytes([0x92, 0xA0 | len(NEW_EPOCH)]) + NEW_EPOCH.encode()
