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
from gochat.server.app import open_server
from gochat.server.server import Server
from gochat.storage.indexing import turns

#: More than any test uses, and less than any bound of a type.
_ENOUGH = 1_000_000


def without_limits() -> Config:
    """Return limits that refuse nothing, so that the cost of accepted requests is measured."""
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
    """Opens connections to a server, and measures the cost of requests."""

    def __init__(self, server: Server, nursery: trio.Nursery) -> None:
        self._server = server
        self._nursery = nursery
        self._peers: dict[bool, Peer] = {}
        #: The attacker's token, not revoked while reused connections are open.
        self.token = ""

    async def cost(self, kind: type, frames: Sequence[bytes]) -> float:
        """Return the CPU seconds that it takes to answer frames with requests of a kind, sent in
        one segment.

        Includes all threads, and what this side needs to send and to check the replies.
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
        """Return a connection for a kind of request: the same one for all that leave it
        unchanged."""
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
        """Create an account, a token and a room for the attacker."""
        peer = await self._peer(CreateRoom)
        self.token = peer.token
        await peer.ask(CreateRoom(room=ROOM), Sent)


@asynccontextmanager
async def attacker() -> AsyncIterator[Attacker]:
    """An attacker, and a server without limits.

    The server's text index does not index long texts in turns: a turn would count for another
    request than the one that caused it. The cost of indexing is measured separately.
    """
    # What other tests have left is not looked through while a request is measured. Nor is what is
    # older: in a run of all tests, to look through that takes longer than most of these tests.
    gc.collect(1)
    async with open_server(without_limits()) as server, trio.open_nursery() as nursery:
        mallory = Attacker(server, nursery)
        await mallory.prepare()
        with patch.object(turns, "TURN", sys.maxsize):
            yield mallory
        nursery.cancel_scope.cancel()
