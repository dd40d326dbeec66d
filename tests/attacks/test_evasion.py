"""Attempts to write where the mode of a room does not permit it: at once, from several devices, by
another way. On one server with SQLite, and on two with one Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
import trio
from peers import Peer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.protocol.messages import (
    CreateRoom,
    Delete,
    Edit,
    Error,
    History,
    HistoryPage,
    IsTyping,
    Join,
    Leave,
    Ok,
    Payload,
    Ping,
    React,
    Send,
    Sent,
    SetAnnouncements,
    SetArchived,
    SetSlowMode,
    SetTopic,
    Typing,
)

pytestmark = pytest.mark.trio

ROOM: Final = "#garden"
#: Messages that a flood sends at once.
FLOOD: Final = 50
CAPS: Final = ("log", "typing")


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def people(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Peer, Peer, Peer]]:
    """Mei, whose room it is; and Bob, a member who has written the message 3, on two devices."""
    if request.param == "sqlite":
        stores = ["sqlite:///:memory:"]
    else:
        redis: RedisServer = request.getfixturevalue("redis_server")
        stores = [Nodes(redis).url()] * 2
    limits: dict[str, Any] = {"burst": 1000, "per_second": 1000.0}
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(running_server(config(store=url, **limits)))
            for url in stores
        ]
        mei = await stack.enter_async_context(servers[0].peer("mei", *CAPS))
        bob = await stack.enter_async_context(servers[0].peer("bob", *CAPS))
        phone = await stack.enter_async_context(servers[-1].peer("bob", *CAPS))
        await mei.ask(CreateRoom(room=ROOM), Sent)
        await bob.ask(Join(room=ROOM), Sent)
        await bob.ask(Send(to=ROOM, text="hello"), Sent)
        yield mei, bob, phone


async def texts(peer: Peer) -> list[str]:
    """Return what Bob has written since, as it reads now."""
    entries = (await peer.ask(History(conv=ROOM, after=3, limit=200), HistoryPage)).entries
    return [one.text for one in entries if one.kind == "text" and one.from_ == "bob"]


async def test_flood_of_numbered_messages_in_slow_mode_is_one(
    people: tuple[Peer, Peer, Peer],
) -> None:
    mei, bob, _ = people
    await mei.ask(SetSlowMode(room=ROOM, seconds=600), Sent)
    flood = [
        Send(to=ROOM, text=f"{n}", cid=f"f{n}", n=n, request_id=f"{n}") for n in range(1, FLOOD + 1)
    ]
    bob.received.clear()
    await bob.send(*flood)
    await bob.send(Ping(request_id="end"))
    await bob.expect_last("end")
    errors = [one for one in bob.received if isinstance(one, Error)]
    assert {one.code for one in errors} == {"slow_mode"}
    assert len(errors) == FLOOD - 1
    assert all(0 < (one.retry_after or 0) <= 600 for one in errors)
    assert await texts(mei) == ["1"]


async def test_two_devices_at_once_write_one_message_in_slow_mode(
    people: tuple[Peer, Peer, Peer],
) -> None:
    mei, bob, phone = people
    for number in range(10):
        await mei.ask(SetSlowMode(room=ROOM, seconds=600), Sent)

        async def write(peer: Peer, number: int = number) -> None:
            await peer.ask(Send(to=ROOM, text=f"{number} {id(peer)}"), Payload)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, bob)
            nursery.start_soon(write, phone)
        assert len(await texts(mei)) == number + 1
        await mei.ask(SetSlowMode(room=ROOM, seconds=0), Sent)


async def test_leaving_and_returning_does_not_evade_slow_mode(
    people: tuple[Peer, Peer, Peer],
) -> None:
    mei, bob, phone = people
    await mei.ask(SetSlowMode(room=ROOM, seconds=600), Sent)
    await bob.ask(Send(to=ROOM, text="one"), Sent)
    await bob.ask(Leave(room=ROOM), Sent)
    await phone.ask(Join(room=ROOM), Sent)
    assert (await phone.ask(Send(to=ROOM, text="two"), Error)).code == "slow_mode"
    assert await texts(mei) == ["one"]


async def test_there_is_no_other_way_to_write_in_a_closed_room(
    people: tuple[Peer, Peer, Peer],
) -> None:
    mei, bob, phone = people
    attempts = [
        Send(to=ROOM, text="x"),
        Send(to=ROOM, text="x", reply_to=3),
        Send(to=ROOM, text="waves", form="action"),
        Edit(to=ROOM, seq=3, text="x"),
    ]
    await mei.ask(SetAnnouncements(room=ROOM, on=True), Sent)
    for peer in (bob, phone):
        for attempt in attempts:
            assert (await peer.ask(attempt, Error)).args == {"rule": "announcements"}
    await bob.ask(React(to=ROOM, seq=3, emoji="👍"), Sent)
    await mei.ask(SetArchived(room=ROOM, on=True), Sent)
    attempts += [React(to=ROOM, seq=3, emoji="🎉"), React(to=ROOM, seq=3, emoji="👍", on=False)]
    for peer in (bob, phone, mei):
        for attempt in attempts:
            if peer is mei and isinstance(attempt, Edit):
                continue
            assert (await peer.ask(attempt, Error)).args == {"rule": "archived"}
    assert (await mei.ask(SetTopic(room=ROOM, topic="x"), Error)).args == {"rule": "archived"}
    mei.received.clear()
    await bob.ask(Typing(to=ROOM), Ok)
    await bob.ask(Delete(to=ROOM, seq=3), Sent)
    await mei.text(lambda entry: entry.kind == "delete")
    assert not any(isinstance(one, IsTyping) for one in mei.received)
    assert await texts(mei) == []
    await mei.ask(SetArchived(room=ROOM, on=False), Sent)
    await mei.ask(SetAnnouncements(room=ROOM, on=False), Sent)
    await bob.ask(Send(to=ROOM, text="at last"), Sent)


async def test_message_at_the_moment_of_archiving_is_before_it(
    people: tuple[Peer, Peer, Peer],
) -> None:
    mei, _, phone = people
    for _ in range(10):
        async with trio.open_nursery() as nursery:
            await phone.send(*(Send(to=ROOM, text=f"{n}", cid=None) for n in range(8)))
            nursery.start_soon(mei.ask, SetArchived(room=ROOM, on=True), Sent)
        await phone.ask(History(conv=ROOM), HistoryPage)
        entries = (await mei.ask(History(conv=ROOM, limit=200), HistoryPage)).entries
        archived = max(entry.seq for entry in entries if entry.kind == "archive")
        assert not any(entry.seq > archived for entry in entries)
        await mei.ask(SetArchived(room=ROOM, on=False), Sent)
