"""What a blocked person can do to who blocks them, on one server with SQLite, and on two with one
Redis: nothing reaches them but what they read in a room that both are in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from peers import Peer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.protocol.messages import (
    Block,
    Blocked,
    BlockList,
    Blocks,
    CreateRoom,
    Delete,
    Edit,
    Error,
    History,
    HistoryPage,
    Invite,
    Join,
    Message,
    Ok,
    Payload,
    React,
    Send,
    Sent,
    Sync,
    Synced,
    Typing,
    Unblock,
    Unblocked,
)

pytestmark = pytest.mark.trio

CAPS = ("log", "typing")


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def people(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Peer, Peer, Peer]]:
    """Mei, who blocks Bob; her telephone, at the other server; and Bob, there."""
    if request.param == "sqlite":
        stores = ["sqlite:///:memory:"]
    else:
        redis: RedisServer = request.getfixturevalue("redis_server")
        stores = [Nodes(redis).url()] * 2
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(running_server(config(store=url))) for url in stores
        ]
        mei = await stack.enter_async_context(servers[0].peer("mei", *CAPS))
        phone = await stack.enter_async_context(servers[-1].peer("mei", *CAPS))
        bob = await stack.enter_async_context(servers[-1].peer("bob", *CAPS))
        await mei.ask(CreateRoom(room="#garden"), Sent)
        await bob.ask(Join(room="#garden"), Sent)
        await bob.ask(Send(to="@mei", text="first"), Sent)
        await mei.ask(Block(name="@BOB"), Ok)
        yield mei, phone, bob


async def settled(*peers: Peer) -> None:
    """Wait until all have what was said so far."""
    said = await peers[0].ask(Send(to="#lobby", text="now"), Sent)
    for peer in peers[1:]:
        await peer.text(lambda message: (message.to, message.seq) == ("#lobby", said.seq))


async def told(kind: type[Blocked | Unblocked], *peers: Peer) -> list[str]:
    """Return whose name each was sent in an event; it may be there already."""
    names = []
    for peer in peers:
        there = [one for one in peer.received if isinstance(one, kind)]
        names.append((there[-1] if there else await peer.expect(kind)).name)
    return names


async def refusal(peer: Peer, request: Any) -> tuple[str, dict[str, Any]]:
    error = await peer.ask(request, Error)
    return error.code, dict(error.args)


async def test_nothing_of_a_blocked_person_arrives(people: tuple[Peer, Peer, Peer]) -> None:
    mei, phone, bob = people
    await told(Blocked, mei, phone)
    await settled(bob, mei, phone)
    await bob.ask(CreateRoom(room="#trap", private=True), Sent)
    for peer in (mei, phone):
        peer.received.clear()
    for request in (
        Send(to="@mei", text="hello?"),
        Send(to="@mei", text="hello?", reply_to=1),
        Send(to="@mei", text="waves", form="action"),
        Edit(to="@mei", seq=1, text="hello?"),
        React(to="@mei", seq=1, emoji="👍"),
        Invite(room="#trap", name="mei"),
    ):
        args = {"name": "mei", "rule": "theirs"}
        assert await refusal(bob, request) == ("blocked", args), request
    assert await bob.ask(Typing(to="@mei", request_id="t"), Payload) is not None
    await settled(bob, mei, phone)
    for peer in (mei, phone):
        assert {type(one).__name__ for one in peer.received} <= {"Message", "Presence", "Sent"}
        arrived = [one for one in peer.received if isinstance(one, Message)]
        assert [(one.to, one.text) for one in arrived] == [("#lobby", "now")]
    page = await mei.ask(History(conv="@bob"), HistoryPage)
    assert [entry.text for entry in page.entries] == ["first"]
    synced = await mei.ask(Sync(), Synced)
    assert synced.invitations == ()


async def test_mention_by_a_blocked_person_is_none(people: tuple[Peer, Peer, Peer]) -> None:
    mei, phone, bob = people
    said = await bob.ask(Send(to="#garden", text="hey @mei"), Sent)
    await bob.ask(Edit(to="#garden", seq=said.seq, text="hey, @mei"), Sent)
    await bob.ask(Send(to="#lobby", text="@mei", reply_to=None), Sent)
    await settled(bob, mei, phone)
    synced = await phone.ask(Sync(), Synced)
    assert [one.mentions for one in synced.conversations] == [0, 0, 0]
    for entry in mei.received:
        assert not isinstance(entry, Message) or not entry.mentions


async def test_block_is_the_same_on_all_devices_and_ends(people: tuple[Peer, Peer, Peer]) -> None:
    mei, phone, bob = people
    assert await told(Blocked, mei, phone) == ["bob", "bob"]
    for peer in (mei, phone):
        assert (await peer.ask(Blocks(), BlockList)).names == ("bob",)
    assert not any(isinstance(one, Blocked) for one in bob.received)
    assert await refusal(mei, Send(to="@bob", text="x")) == (
        "blocked",
        {"name": "bob", "rule": "own"},
    )
    await bob.ask(Delete(to="@mei", seq=1), Sent)
    await phone.ask(Unblock(name="bob"), Ok)
    assert await told(Unblocked, mei, phone) == ["bob", "bob"]
    await bob.ask(Send(to="@mei", text="sorry"), Sent)
    await mei.ask(Send(to="@bob", text="fine"), Sent)


async def test_block_that_changes_nothing_is_not_published(
    people: tuple[Peer, Peer, Peer],
) -> None:
    mei, _, _ = people
    await told(Blocked, mei)
    for request in (Block(name="bob"), Unblock(name="mei2")):
        await mei.ask(request, Payload)
    for request in (Block(name="mei"), Unblock(name="mei")):
        assert await refusal(mei, request) == ("bad_request", {"rule": "oneself"})
    assert await refusal(mei, Block(name="nobody")) == ("unknown_person", {"name": "nobody"})
    await mei.ask(Blocks(), BlockList)
    assert sum(isinstance(one, Blocked) for one in mei.received) == 1


async def test_message_at_the_moment_of_the_block_is_before_it(
    people: tuple[Peer, Peer, Peer],
) -> None:
    """What is acknowledged to Mei is in force: nothing of Bob's is committed after."""
    mei, phone, bob = people
    for _ in range(10):
        await mei.ask(Unblock(name="bob"), Ok)
        done = trio.Event()

        async def write(done: trio.Event = done) -> None:
            while not done.is_set():
                await bob.ask(Send(to="@mei", text="x"), Payload)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await mei.ask(Block(name="bob"), Ok)
            head = (await phone.ask(History(conv="@bob"), HistoryPage)).head
            await mei.ask(History(conv="@bob"), HistoryPage)
            done.set()
        assert (await phone.ask(History(conv="@bob"), HistoryPage)).head == head
