"""Trusting a server's data: whether it is what this node has seen, or another history.

An acknowledged entry can be lost: a server is emptied, starts with an older file, or a replica
that was behind is made the master. Then the history that people have seen is not the one that is
there now, although both look whole. So it gets a new name, a new *epoch*, by which clients notice.

Who notices? A process that lost data is another process than the one that had it. So whenever a
connection leads to another server process than the last time (`run_id` of ``INFO``), the node
first compares what it has seen of each partition, the last entry, with what is there:

- nothing is there: the partition is empty, and begins with a new epoch;
- less is there, or another entry in its place: a new epoch begins, behind what is there;
- it is there: the epoch goes on. But other nodes may have seen more. So appending is closed for
  :data:`GATE`, in which they look, too: they lost the same connection at the same moment;
- this node has seen nothing, for it has just started, and no node has looked yet: nobody can say,
  so a new epoch begins. A restart of the machine with all nodes ends so, too.

A process that evicts keys (eviction.py) loses data and stays the same. So a new epoch begins, too,
when it is found to have evicted some.

Beginning an epoch is atomic, so it happens once, whoever comes first; the others learn of it by an
entry in the feed, and appending in the old epoch is refused by ``append.lua``.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.store import Logged
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import VERSION, Keys
from gochat.storage.redis.link.wire import Arguments, Reply, Wire
from gochat.storage.redis.records import decode_record

log = structlog.stdlib.get_logger()

#: Milliseconds in which nothing is appended after the server process has become another one. The
#: other nodes come back in less: they try every half a second at most.
GATE: Final = 1000

#: Without I, L, O, U: an epoch is read aloud when people compare what they see.
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
    """From here on, in one partition, the log can't be followed on: where to go on instead."""

    partition: int
    epoch: str
    position: int


class EpochTracker:
    """What this node knows of the data. Used by several threads at once.

    `lost` is called, in any thread, with a partition of which something that this node knows may be
    no longer true.
    """

    def __init__(self, keys: Keys, lost: Callable[[int], None]) -> None:
        self._keys = keys
        self._lost = lost
        self._lock = threading.Lock()
        self._partitions = [_Partition() for _ in range(keys.partitions)]

    def epoch(self, partition: int) -> str:
        """Return the epoch that this node believes in."""
        return self._partitions[partition].epoch

    def position(self, partition: int) -> int:
        """Return the position of the last entry that this node has seen."""
        return self._partitions[partition].position

    def is_attached(self, partition: int, wire: Wire) -> bool:
        """True if the partition was looked at in the server process behind this connection."""
        return self._partitions[partition].run == wire.run

    def doubt(self, partition: int) -> None:
        """Look at the partition again."""
        self._partitions[partition].run = ""

    def note(self, partition: int, epoch: str, position: int, entry: Logged) -> None:
        """Note an entry that is there."""
        with self._lock:
            known = self._partitions[partition]
            if known.epoch == epoch and position > known.position:
                known.position, known.seen = position, entry

    def ensure(self, partitions: Iterable[int], wire: Wire) -> None:
        """Look at those partitions that were not looked at in this server process.

        Raises Broken, Refused.
        """
        if any(not self.is_attached(partition, wire) for partition in partitions):
            with self._lock:
                self._look([p for p in partitions if not self.is_attached(p, wire)], wire)

    def look_again(self, partitions: Sequence[int], wire: Wire) -> None:
        """Look at partitions, whether or not anything hints at a change. Raises as `ensure`."""
        with self._lock:
            self._look(partitions, wire)

    def renew(self, partitions: Sequence[int], wire: Wire, loss: str) -> None:
        """Begin a new epoch, for keys may have vanished; once for each `loss`, whoever comes first.

        Raises as `ensure`.
        """
        with self._lock:
            for partition in partitions:
                epoch, position = self._renew(partition, wire, new_epoch(), loss)
                if epoch != self._partitions[partition].epoch:
                    self._begin(partition, epoch, position)

    def take_breaks(self, partitions: Iterable[int]) -> list[Break]:
        """Return, once, in which of these partitions the log can't be followed on."""
        breaks = []
        with self._lock:
            for partition in partitions:
                known = self._partitions[partition]
                if known.is_broken:
                    known.is_broken = False
                    breaks.append(Break(partition, known.epoch, known.position))
        return breaks

    def lose(self, partition: int, position: int) -> None:
        """Note that the feed can be followed on only from `position`."""
        with self._lock:
            self._break(partition, position)

    def _look(self, partitions: Sequence[int], wire: Wire) -> None:
        if not partitions:
            return
        fresh = new_epoch()
        replies = wire.ask(*(self._question(partition, wire, fresh) for partition in partitions))
        for partition, (status, epoch, position, goes_on, record) in zip(
            partitions, replies, strict=True
        ):
            known = self._partitions[partition]
            epoch = epoch.decode()
            if status == b"new" and partition == 0:
                wire.ask(
                    (
                        "HSET",
                        self._keys.meta,
                        "version",
                        VERSION,
                        "partitions",
                        self._keys.partitions,
                    )
                )
            if status == b"same" and known.epoch and not self._is_there(known, position, record):
                epoch, position = self._renew(partition, wire, fresh)
            if epoch != known.epoch:
                self._begin(partition, epoch, position)
            elif not goes_on:
                # We were away for longer than the feed goes back.
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
        return ("EVALSHA", scripts.ATTACH.sha, len(keys), *keys, *arguments)

    def _is_there(self, known: _Partition, position: int, record: bytes) -> bool:
        if position < known.position:
            return False
        if known.seen is None or record == b"dropped":
            return True
        try:
            there = decode_record(record)
        except msgspec.DecodeError:
            return False
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
            # First: who reads the new epoch must find nothing remembered of the old.
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
    """Return a name for a new history."""
    return "".join(secrets.choice(_EPOCH_DIGITS) for _ in range(8))
