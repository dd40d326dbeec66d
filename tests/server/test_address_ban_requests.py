"""Bans of addresses in the chat: who may, never themselves, and what comes of it on all nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from moderated import Stage, open_stage, stores_of
from msgspec import structs
from peers import Peer

from gochat.chat.network_bans import parse
from gochat.chat.restriction import Restriction
from gochat.protocol.messages import (
    AddressBan,
    AddressBanList,
    AddressBans,
    BanAddress,
    Bye,
    Error,
    Hello,
    Ok,
    Ping,
    Pong,
    ServerInfo,
    UnbanAddress,
)
from gochat.storage.common.clock import wall_clock

pytestmark = pytest.mark.trio


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with open_stage(*stores_of(request)) as stage:
        yield stage


async def at(stage: Stage, address: str, name: str = "", node: int = 0) -> Peer:
    """Connect from an address to a node, and log in if a name is given."""
    ours, theirs = trio.testing.memory_stream_pair()
    stage.start(node, theirs, address)
    peer = Peer(ours)
    if name:
        await peer.log_in(name, "log")
        await peer.ask(Hello(), ServerInfo)
    return peer


async def admin(stage: Stage) -> Peer:
    """Log an admin in from 198.51.100.1."""
    await stage.peer("mei", "admin")
    return await at(stage, "198.51.100.1", "mei")


async def refused(peer: Peer, request: BanAddress | UnbanAddress | AddressBans) -> tuple[str, str]:
    """Return code and rule of the error."""
    error = await peer.ask(request, Error)
    return error.code, str(error.args.get("rule", ""))


async def listed(peer: Peer) -> list[AddressBan]:
    found: list[AddressBan] = []
    while True:
        after = found[-1].network if found else ""
        page = await peer.ask(AddressBans(after=after), AddressBanList)
        found += page.bans
        if not page.more:
            return found


async def test_admin_bans_a_network_on_all_nodes_and_lifts_it(stage: Stage) -> None:
    mei = await admin(stage)
    inside = [
        await at(stage, "203.0.113.7", f"p{node}", node) for node in range(len(stage.servers))
    ]
    await mei.ask(BanAddress(network="203.0.113.0/24", seconds=3600, reason="spam"), Ok)
    for peer in inside:
        *_, bye = await peer.at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "address_banned"
        assert bye.text.endswith(" UTC: spam")
    await mei.ask(BanAddress(network="::ffff:192.0.2.1"), Ok)
    first, second = await listed(mei)
    assert (first.network, first.by, first.until, first.reason) == ("192.0.2.1", "mei", 0, "")
    assert (second.network, second.reason) == ("203.0.113.0/24", "spam")
    assert second.until == second.ts + 3_600_000
    await mei.ask(UnbanAddress(network="203.0.113.0/24"), Ok)
    await mei.ask(UnbanAddress(network="203.0.113.0/24"), Ok)  # there is none any more
    await (await at(stage, "203.0.113.7")).ask(Ping(), Pong)
    assert await stage.acts() == [
        ("mei (admin)", "address-ban add", "203.0.113.0/24", "for 1h", "spam"),
        ("mei (admin)", "address-ban add", "192.0.2.1", "", ""),
        ("mei (admin)", "address-ban remove", "203.0.113.0/24", "", ""),
    ]


async def test_nobody_bans_themselves_at_another_node(stage: Stage) -> None:
    mei = await admin(stage)
    await at(stage, "192.0.2.77", "mei", node=len(stage.servers) - 1)
    assert await refused(mei, BanAddress(network="192.0.2.0/24")) == ("bad_request", "own_address")
    await mei.ask(BanAddress(network="192.0.2.0/26"), Ok)


async def test_nobody_bans_themselves_or_the_server(stage: Stage) -> None:
    """Neither from where they send it nor from where their other device is."""
    mei = await admin(stage)
    await at(stage, "2001:db8::7", "mei")
    for own in ("198.51.100.1", "198.51.0.0/16", "::ffff:198.51.100.0/120", "2001:db8::/32"):
        assert await refused(mei, BanAddress(network=own)) == ("bad_request", "own_address"), own
    for own in ("127.0.0.1", "0.0.0.0/0", "::/0", "::1"):
        assert await refused(mei, BanAddress(network=own)) == ("bad_request", "loopback"), own
    for nothing in ("somewhere", "", "203.0.113.7/24", "203.0.113.0/33", "fe80::1%eth0", "1" * 200):
        found = await refused(mei, BanAddress(network=nothing))
        assert found == ("bad_request", "network"), nothing
    assert await refused(mei, UnbanAddress(network="?")) == ("bad_request", "network")
    assert await refused(mei, AddressBans(after="?")) == ("bad_request", "network")
    too_long = BanAddress(network="203.0.113.7", reason="x" * 201)
    assert await refused(mei, too_long) == ("text_too_long", "")
    assert await listed(mei) == []
    assert await stage.acts() == []


async def test_nobody_bans_the_proxy_that_everybody_comes_by(stage: Stage) -> None:
    mei = await admin(stage)
    for server in stage.servers:
        config = structs.replace(server.services.config, proxy_from=("10.0.0.5", "unix"))
        server.services.config = config
    assert await refused(mei, BanAddress(network="10.0.0.0/24")) == ("bad_request", "proxy")
    await mei.ask(BanAddress(network="10.0.0.6"), Ok)


async def test_only_admins_do_and_not_to_what_the_owner_has_set(stage: Stage) -> None:
    mei = await admin(stage)
    mod = await stage.peer("mod", "moderator")
    for request in (
        BanAddress(network="192.0.2.1"),
        BanAddress(network="?"),
        UnbanAddress(network="192.0.2.1"),
        AddressBans(),
    ):
        assert await refused(mod, request) == ("not_permitted", "role")
    ban = Restriction(by="uid 0", role="owner", since=wall_clock(), reason="spam")
    bans = stage.servers[-1].services.address_bans  # another node, which has set it just now
    assert await bans.change(parse("192.0.2.1"), None, ban)
    assert await refused(mei, UnbanAddress(network="192.0.2.1")) == ("not_permitted", "rank")
    assert await refused(mei, BanAddress(network="192.0.2.1")) == ("not_permitted", "rank")
    assert [one.by for one in await listed(mei)] == ["uid 0"]
    assert await stage.acts() == []


async def test_all_bans_are_listed_page_by_page_in_their_order(stage: Stage) -> None:
    """Also with the longest reasons, of which no more would fit a frame."""
    mei = await admin(stage)
    longest = Restriction(by="n" * 32, role="owner", since=wall_clock(), reason="\x01" * 200)
    networks = [f"192.0.{number}.0/24" for number in range(9, 120)] + ["2001:db8::/32"]
    for network in reversed(networks):
        assert await stage.store.network_bans.change(network, None, longest)
    assert [ban.network for ban in await listed(mei)] == networks
