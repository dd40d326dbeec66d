"""Read what other nodes publish: a thread that follows the stream of events (bus.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, get_args

import msgspec
import trio

from gochat.chat.node_bus import Node, NodeEvent
from gochat.storage.common.integrity import Integrity
from gochat.storage.redis.link.stream_reader import BLOCK, StreamReader
from gochat.storage.redis.link.topology import Topology
from gochat.storage.redis.link.wire import Wire, damage_raised

#: The partition of the stream, and of all data that nodes share about each other.
NODES_PARTITION: Final = 0
#: Seconds without reading the stream after which events may have been dropped from it.
RESYNC_AFTER: Final = 5.0

_decode = msgspec.msgpack.Decoder(list[NodeEvent]).decode
_divide = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_one = msgspec.msgpack.Decoder(NodeEvent).decode
_tagged = msgspec.msgpack.Decoder(list[Any]).decode
#: The kinds of events that this version knows.
_KNOWN: Final = frozenset(kind.__struct_config__.tag for kind in get_args(NodeEvent))


def _is_known(event: msgspec.Raw) -> bool:
    tag = next(iter(_tagged(event)), None)
    return not isinstance(tag, str) or tag in _KNOWN  # what has no tag is damage


class NodeEventReader(StreamReader):
    """Read the stream of events, blocking in ``XREAD`` until there are any.

    In the Trio thread that creates it, it calls `take` with what was read, and `doubt` if events
    may have been dropped from the stream before they were read.
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
        super().__init__("gochat redis node bus", topology, integrity, timeout)
        self._take = take
        self._doubt = doubt
        self._stream = stream
        self._trio = trio.lowlevel.current_trio_token()
        self._read_at = time.monotonic()
        #: The id of the last entry read.
        self.position = "0-0"

    def read_some(self) -> bool:
        """Read what was added to the stream."""
        wire = self.connect(lambda: self._topology.server(NODES_PARTITION))
        with damage_raised(wire.host):
            self._read(wire)
        return True

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


def _unpack(entry: list[bytes]) -> tuple[Node, list[NodeEvent]]:
    """Return a node and its events, without those of a kind that only newer nodes know."""
    _, node, _, packed = entry
    try:
        events = _decode(packed)
    except msgspec.ValidationError:
        events = [_decode_one(one) for one in _divide(packed) if _is_known(one)]
    return node.decode(), events
