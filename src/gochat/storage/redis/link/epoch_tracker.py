"""Decide whether a server's data is what this node has seen, or another history.

An acknowledged entry can be lost: a server is emptied, starts with an older file, or a failover
promotes a replica that lagged behind. Then the history that people have seen differs from the
present one, although both look complete. So it gets a new name, a new *epoch*, by which clients
notice.

How is that detected? A process that lost data is not the process that had it. So whenever a
connection leads to another server process than before (`run_id` of ``INFO``), the node first
compares the last entry that it has seen of each partition with the data:

- the partition is empty: it begins with a new epoch;
- it has fewer entries, or another entry at that position: a new epoch begins after them;
- what is at that position can't be decoded: no history has such an entry, so the store is damaged;
- the entry is there: the epoch continues. But other nodes may have seen more. So appending is
  blocked for :data:`GATE`, in which they check, too: they lost the same connection at the same
  moment;
- this node has seen nothing, because it has just started, and no node has checked yet: nobody can
  know, so a new epoch begins. This also covers a restart of the machine with all nodes.

A process that evicts keys (eviction.py) loses data without changing. So a new epoch also begins
when evictions are detected.

Beginning an epoch is atomic, so it happens once, whichever node is first. The others learn of it
from an entry in the feed, and ``append.lua`` refuses to append in the old epoch.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2s
from typing import Final

import structlog
from msgspec import Struct

from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.log import Logged
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import VERSION, Keys
from gochat.storage.redis.link.wire import Arguments, Reply, Wire, damage_raised
from gochat.storage.redis.records import decode_record

log = structlog.stdlib.get_logger()

#: Milliseconds without appends after the server process has changed. The other nodes reconnect in
#: less: they retry every half a second at most.
GATE: Final = 1000

#: Without i, l, o, u: people read an epoch aloud to compare it.
_EPOCH_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"


class _Partition:
    """What this node knows of a partition. `seen` is its last entry, at `position`."""

    __slots__ = ("epoch", "is_broken", "position", "run", "seen")

    def __init__(self) -> None:
        self.epoch = ""
        self.run = ""
        self.position = 0
        self.seen: Logged | None = None
        self.is_broken = False


class Break(Struct, frozen=True):
    """A point where the log of a partition can't be continued, and where to continue instead."""

    partition: int
    epoch: str
    position: int


class EpochTracker:
    """Track what this node knows of the data. Used by several threads at once.

    It calls `lost`, in any thread, with a partition for which cached data may be outdated.
    """

    def __init__(self, keys: Keys, lost: Callable[[int], None]) -> None:
        self._keys = keys
        self._lost = lost
        self._lock = threading.Lock()
        self._partitions = [_Partition() for _ in range(keys.partitions)]

    def epoch(self, partition: int) -> str:
        """Return the epoch that this node assumes."""
        return self._partitions[partition].epoch

    def history(self) -> str:
        """Return a name, of 16 hexadecimal digits, for the epochs of all partitions together."""
        epochs = " ".join(partition.epoch for partition in self._partitions)
        return blake2s(epochs.encode(), digest_size=8).hexdigest()

    def position(self, partition: int) -> int:
        """Return the position of the last entry that this node has seen."""
        return self._partitions[partition].position

    def is_attached(self, partition: int, wire: Wire) -> bool:
        """Return True if the partition was checked in the server process of this connection."""
        return self._partitions[partition].run == wire.run

    def doubt(self, partition: int) -> None:
        """Make the next use check the partition again."""
        self._partitions[partition].run = ""

    def note(self, partition: int, epoch: str, position: int, entry: Logged) -> None:
        """Record an entry that was seen."""
        with self._lock:
            known = self._partitions[partition]
            if known.epoch == epoch and position > known.position:
                known.position, known.seen = position, entry

    def ensure(self, partitions: Iterable[int], wire: Wire) -> None:
        """Check those partitions that were not checked in this server process.

        Raises Broken, Refused, StoreCorrupt.
        """
        if any(not self.is_attached(partition, wire) for partition in partitions):
            with self._lock:
                self._look([p for p in partitions if not self.is_attached(p, wire)], wire)

    def look_again(self, partitions: Sequence[int], wire: Wire) -> None:
        """Check partitions even without a sign of a change.

        Raises the same errors as :meth:`ensure`.
        """
        with self._lock:
            self._look(partitions, wire)

    def renew(self, partitions: Sequence[int], wire: Wire, loss: str) -> None:
        """Begin a new epoch because keys may have vanished; once per `loss`, among all nodes.

        Raises the same errors as :meth:`ensure`.
        """
        with self._lock:
            for partition in partitions:
                epoch, position = self._renew(partition, wire, new_epoch(), loss)
                if epoch != self._partitions[partition].epoch:
                    self._begin(partition, epoch, position)

    def take_breaks(self, partitions: Iterable[int]) -> list[Break]:
        """Return, once each, the breaks in the logs of these partitions."""
        breaks = []
        with self._lock:
            for partition in partitions:
                known = self._partitions[partition]
                if known.is_broken:
                    known.is_broken = False
                    breaks.append(Break(partition, known.epoch, known.position))
        return breaks

    def lose(self, partition: int, position: int) -> None:
        """Record that the feed can be continued only from `position`."""
        with self._lock:
            self._break(partition, position)

    def _look(self, partitions: Sequence[int], wire: Wire) -> None:
        if not partitions:
            return
        fresh = new_epoch()
        with damage_raised(wire.host):
            questions = (self._question(partition, wire, fresh) for partition in partitions)
            for partition, reply in zip(partitions, wire.ask(*questions), strict=True):
                self._compare(partition, wire, fresh, reply)

    def _compare(self, partition: int, wire: Wire, fresh: str, reply: Reply) -> None:
        status, found, position, goes_on, record = reply
        known = self._partitions[partition]
        epoch = found.decode()
        if status == b"new" and partition == 0:
            version, partitions = ("version", VERSION), ("partitions", self._keys.partitions)
            wire.ask(("HSET", self._keys.meta, *version, *partitions))
        if status == b"same" and known.epoch and not self._is_there(known, position, record):
            epoch, position = self._renew(partition, wire, fresh)
        if epoch != known.epoch:
            self._begin(partition, epoch, position)
        elif not goes_on:
            # We were away for longer than the feed reaches back.
            self._break(partition, position)
        known.run = wire.run

    def _question(self, partition: int, wire: Wire, fresh: str) -> Arguments:
        known = self._partitions[partition]
        seen = known.seen
        conversation = seen.conversation if seen is not None else LOBBY_KEY
        keys = (
            self._keys.states[partition],
            self._keys.feeds[partition],
            *(self._keys.common(partition, f"{kind}:{conversation}") for kind in "cl"),
        )
        seq = seen.entry.seq if seen is not None else 0
        arguments = (known.epoch, wire.run, fresh, known.position, seq, GATE)
        return ("EVALSHA", scripts.CHECK_EPOCH.sha, len(keys), *keys, *arguments)

    def _is_there(self, known: _Partition, position: int, record: bytes) -> bool:
        if position < known.position:
            return False
        if known.seen is None or record == b"dropped":
            return True
        if not record:
            return False
        there = decode_record(record)
        entry = known.seen.entry
        return (there.position, there.ts, there.sender, there.kind, there.cid) == (
            known.position,
            entry.ts,
            entry.from_,
            entry.kind,
            entry.cid or "",
        )

    def _renew(self, partition: int, wire: Wire, fresh: str, loss: str = "") -> tuple[str, int]:
        keys = (self._keys.states[partition], self._keys.feeds[partition])
        old = self._partitions[partition].epoch
        reply: Reply
        (reply,) = wire.ask(("EVALSHA", scripts.RENEW.sha, len(keys), *keys, old, fresh, loss))
        return reply[0].decode(), reply[1]

    def _begin(self, partition: int, epoch: str, position: int) -> None:
        known = self._partitions[partition]
        had = known.epoch
        if had:
            # First, so that readers of the new epoch find nothing cached from the old one.
            self._lost(partition)
        known.epoch, known.seen = epoch, None
        if had:
            log.warning("epoch changed", partition=partition, epoch=epoch)
            self._break(partition, position)
        else:
            known.position = position

    def _break(self, partition: int, position: int) -> None:
        known = self._partitions[partition]
        known.position, known.seen, known.is_broken = position, None, True
        self._lost(partition)


def new_epoch() -> str:
    """Return a random name for a new history."""
    return "".join(secrets.choice(_EPOCH_DIGITS) for _ in range(8))
