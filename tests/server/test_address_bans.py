"""Bans of networks: who is connected from there, and who comes, on all nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing
from moderated import Stage, open_stage, stores_of
from msgspec import structs
from patience import eventually
from peers import Peer
from websocket_peer import WebSocketStream

from gochat.chat.network_bans import parse
from gochat.chat.restriction import Restriction
from gochat.protocol.messages import Bye, Error, Ping, Pong
from gochat.server import address_bans
from gochat.storage.common.clock import wall_clock

pytestmark = pytest.mark.trio

NET = parse("203.0.113.0/24")


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with open_stage(*stores_of(request)) as stage:
        yield stage


def ban(**fields: Any) -> Restriction:
    one = Restriction(by="uid 0", role="owner", since=wall_clock(), reason="spam")
    return structs.replace(one, **fields)


async def connect(stage: Stage, address: str, node: int = 0) -> Peer:
    """Connect from an address to a node."""
    ours, theirs = trio.testing.memory_stream_pair()
    stage.start(node, theirs, address)
    return Peer(ours)


async def turned_away(peer: Peer) -> tuple[Error, Bye]:
    *_, bye = received = await peer.at_end()
    [error] = [one for one in received if isinstance(one, Error)]
    assert isinstance(bye, Bye)
    assert error.text == bye.text
    return error, bye


def nodes(stage: Stage) -> range:
    return range(len(stage.servers))


async def test_ban_ends_all_sessions_from_there_and_no_others(stage: Stage) -> None:
    inside, outside = [], []
    for node in nodes(stage):
        for address in ("203.0.113.7", "::ffff:203.0.113.8"):
            inside += [await connect(stage, address, node) for _ in range(2)]
            await inside[-1].log_in(f"p{len(inside)}", "log")
        outside += [
            await connect(stage, address, node)
            for address in ("203.0.114.7", "2001:db8::1", "unix")
        ]
    until = wall_clock() + 3_600_000
    services = stage.servers[0].services
    assert await services.address_bans.change(NET, None, ban(until=until))
    for peer in inside:
        error, bye = await turned_away(peer)
        assert (error.code, bye.reason, bye.retry_after) == (
            *("address_banned", "address_banned"),
            None,
        )
        assert dict(error.args) == {"until": until, "reason": "spam"}
        assert error.text.endswith(" UTC: spam")
    for peer in outside:
        await peer.ask(Ping(), Pong)


async def test_who_comes_from_there_is_sent_why_until_it_ends_or_is_lifted(stage: Stage) -> None:
    bans = stage.servers[0].services.address_bans
    one = ban()
    assert await bans.change(NET, None, one)
    for node in nodes(stage):
        node_bans = stage.servers[node].services.address_bans

        async def is_banned(node_bans: address_bans.AddressBans = node_bans) -> bool:
            return node_bans.find("203.0.113.7") is not None

        await eventually(is_banned)
        error, _ = await turned_away(await connect(stage, "203.0.113.7", node))
        assert error.text == "this address is banned: spam"
        assert dict(error.args) == {"reason": "spam"}
    assert not await bans.change(NET, None, ban())  # another one has been faster
    assert await bans.change(NET, one, None)
    await (await connect(stage, "203.0.113.7")).ask(Ping(), Pong)


async def test_ban_that_has_ended_holds_nowhere_and_is_forgotten(stage: Stage) -> None:
    bans = stage.servers[0].services.address_bans
    assert await bans.change(NET, None, ban(until=wall_clock() - 1))
    await (await connect(stage, "203.0.113.7")).ask(Ping(), Pong)
    assert await stage.store.network_bans.all() == {}


async def test_node_that_missed_the_event_finds_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a command on a store of another node whose event was lost."""
    peer = await connect(stage, "203.0.113.7")
    await peer.ask(Ping(), Pong)
    await stage.store.network_bans.change(str(NET), None, ban())
    stage.servers[0].services.address_bans.look_soon()
    await turned_away(peer)


async def test_connection_that_was_in_a_handshake_meanwhile_is_turned_away(stage: Stage) -> None:
    for server in stage.servers:
        server.services.config = structs.replace(server.services.config, websocket=True)
    peer = await connect(stage, "203.0.113.7")  # the server waits for its first bytes
    await trio.testing.wait_all_tasks_blocked()
    assert not stage.servers[0].sessions
    assert await stage.servers[0].services.address_bans.change(NET, None, ban())
    browser = WebSocketStream(peer.stream)
    await browser.connect("example.org")
    error, _ = await turned_away(Peer(browser))
    assert error.code == "address_banned"
