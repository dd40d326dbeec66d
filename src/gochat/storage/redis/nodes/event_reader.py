"""Reading what other nodes publish: a thread that follows the stream of events (bus.py)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import trio

from gochat.chat.node_bus import Node, NodeEvent
from gochat.errors import ConfigError, StoreCorrupt
from gochat.storage.common.integrity import Integrity
from gochat.storage.redis.link.topology import Topology
from gochat.storage.redis.link.wire import Broken, Refused, Wire, damage_raised

#: Where the stream is, and all else that nodes know of each other.
NODES_PARTITION: Final = 0
#: Seconds for which one XREAD waits; then the thread sees whether it is still wanted.
BLOCK: Final = 1.0
#: Seconds until a server is tried again.
PAUSE: Final = 0.25
#: Seconds without reading the stream after which something may have been dropped from it.
RESYNC_AFTER: Final = 5.0

_decode = msgspec.msgpack.Decoder(list[NodeEvent]).decode


class NodeEventReader(threading.Thread):
    """Reads the stream of events, blocked in ``XREAD`` until there is one.

    Calls, in the Trio thread in which it is made, `take` with what was read, and `doubt` where
    something may have been dropped from the stream before it was read.
    """

    def __init__(
        self,
        topology: Topology,
        integrity: Integrity,
        stream: str,
        timeout: float,
        *,
        take: Callable[[Sequence[tuple[Node, list[NodeEvent]]]], None],
        doubt: Callable[[], None],
    ) -> None:
        super().__init__(name="gochat redis node bus", daemon=True)
        self._take = take
        self._doubt = doubt
        self._topology = topology
        self._integrity = integrity
        self._stream = stream
        self._timeout = timeout
        self._trio = trio.lowlevel.current_trio_token()
        self._stopping = threading.Event()
        self._wire: Wire | None = None
        self._read_at = time.monotonic()
        #: The id of the last entry that was read.
        self.position = "0-0"

    def stop(self) -> None:
        """End soon, also while it waits for Redis."""
        self._stopping.set()
        if (wire := self._wire) is not None:
            wire.close()

    def run(self) -> None:
        """Read until stopped. In a thread of its own."""
        while not self._stopping.is_set():
            try:
                wire = self._connected()
                with damage_raised(wire.host):
                    self._read(wire)
            except StoreCorrupt as damage:
                self._integrity.lose(damage)
                self._stopping.wait()
            except (Broken, Refused, ConfigError):
                self._close()
                self._topology.doubt()
                self._stopping.wait(PAUSE)
        self._close()

    def _connected(self) -> Wire:
        if self._wire is None:
            wire = self._topology.server(NODES_PARTITION).connect(self._timeout + BLOCK)
            self._wire = wire
            if wire.role != "master":
                raise Broken(f"Redis at {wire.host} is a replica")
        return self._wire

    def _read(self, wire: Wire) -> None:
        (reply,) = wire.ask(
            ("XREAD", "BLOCK", int(BLOCK * 1000), "STREAMS", self._stream, self.position)
        )
        now = time.monotonic()
        if now - self._read_at > RESYNC_AFTER:
            self._call(self._doubt)
        self._read_at = now
        if reply:
            ((_, entries),) = reply
            self.position = entries[-1][0].decode()
            self._call(self._take, [_unpack(entry) for _, entry in entries])

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(trio.RunFinishedError):
            self._trio.run_sync_soon(function, *arguments)

    def _close(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()


def _unpack(entry: list[bytes]) -> tuple[Node, list[NodeEvent]]:
    _, node, _, events = entry
    return node.decode(), _decode(events)
