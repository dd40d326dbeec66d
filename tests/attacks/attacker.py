"""An attacker's connections to a server in this process, and what they cost it."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from unittest.mock import patch

import trio
import trio.testing
from peers import Peer, config
from worst_inputs import ANONYMOUS, NAME, ONCE, ROOM

from gochat.config import Config
from gochat.protocol.codec import encode
from gochat.protocol.messages import CreateRoom, Ping, Sent
from gochat.server.app import Server, open_server
from gochat.storage.sqlite import indexer

#: More than any test does, and less than any bound of a type.
_ENOUGH = 1_000_000


def without_limits() -> Config:
    """Limits that refuse nothing: what is measured is a request that they let through."""
    return config(
        anonymous_bytes=1024**3,
        malformed_frames=_ENOUGH,
        login_failures=_ENOUGH,
        login_failures_account=_ENOUGH,
        login_failures_address=_ENOUGH,
    )


def connection(server: Server, nursery: trio.Nursery) -> Peer:
    """Open a connection to a server, without a network."""
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(server.serve_stream, theirs, "memory")
    return Peer(ours)


class Attacker:
    """Opens connections to a server, and measures."""

    def __init__(self, server: Server, nursery: trio.Nursery) -> None:
        self._server = server
        self._nursery = nursery
        self._peers: dict[bool, Peer] = {}
        #: Theirs, and not revoked while the connections that are kept are open.
        self.token = ""

    async def cost(self, kind: type, frames: Sequence[bytes]) -> float:
        """The seconds of the processor that it takes to answer frames with requests of a kind,
        which come in one segment.

        Of all threads, and with what this side needs to send and to look at what comes.
        """
        peer = await self._peer(kind)
        segment = b"".join([*frames, encode(Ping(request_id="last"))])
        began = time.process_time()
        await peer.stream.send_all(segment)
        await peer.expect_last("last")
        spent = time.process_time() - began
        peer.received.clear()
        return spent

    async def _peer(self, kind: type) -> Peer:
        """A connection for a kind of request: one for all that leave it as it is."""
        is_anonymous = kind in ANONYMOUS
        if kind not in ONCE and is_anonymous in self._peers:
            return self._peers[is_anonymous]
        peer = connection(self._server, self._nursery)
        if not is_anonymous:
            await peer.log_in(NAME)
        if kind not in ONCE:
            self._peers[is_anonymous] = peer
        return peer

    async def prepare(self) -> None:
        """Get what an attacker has: an account, a token and a room."""
        peer = await self._peer(CreateRoom)
        self.token = peer.token
        await peer.ask(CreateRoom(room=ROOM), Sent)


@asynccontextmanager
async def attacker() -> AsyncIterator[Attacker]:
    """An attacker, and a server without limits.

    Its index of texts takes no turn for their length: that would count for another request than the
    one it is made for. What indexing costs is measured by itself.
    """
    gc.collect()
    async with open_server(without_limits()) as server, trio.open_nursery() as nursery:
        mallory = Attacker(server, nursery)
        await mallory.prepare()
        with patch.object(indexer, "TURN", sys.maxsize):
            yield mallory
        nursery.cancel_scope.cancel()
