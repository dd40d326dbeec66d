"""A thousand connections: each gets every broadcast once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest
import trio
from peers import Peer, running_server

from gochat.protocol.messages import LoggedIn, Message, Resume, Send, Sent

pytestmark = pytest.mark.trio

CROWD = 1000


@contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    """Allow this process `count` file descriptors."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_thousand_connections_receive_a_broadcast_each() -> None:
    with many_descriptors(2 * CROWD + 200):
        async with running_server() as server, AsyncExitStack() as stack:
            mei = await stack.enter_async_context(server.peer("mei"))
            bob = await stack.enter_async_context(server.peer("bob"))
            crowd: list[Peer] = []

            async def arrive() -> None:
                peer = await stack.enter_async_context(server.connect())
                await peer.ask(Resume(token=bob.token), LoggedIn)  # all of one device
                crowd.append(peer)

            for _ in range(CROWD // 50):
                async with trio.open_nursery() as nursery:
                    for _ in range(50):
                        nursery.start_soon(arrive)
            for number in range(3):
                await mei.ask(Send(to="#lobby", text=f"hello, all {number}"), Sent)
            for peer in crowd:
                for number in range(3):
                    message = await peer.text()
                    assert (message.text, message.seq) == (f"hello, all {number}", number + 1)
            assert len(crowd) == CROWD
            assert not [m for m in mei.received if isinstance(m, Message)]
