"""Several sessions of one account: in step, and online once."""

from __future__ import annotations

import pytest
from peers import Peer, running_server

from gochat.protocol.messages import (
    Away,
    Conversation,
    CreateRoom,
    Join,
    Mark,
    Marked,
    Ok,
    People,
    Presence,
    Send,
    Sent,
    Sync,
    Synced,
    Who,
)

pytestmark = pytest.mark.trio


async def state(peer: Peer, conv: str) -> Conversation:
    reply = await peer.ask(Sync(limit=0), Synced)
    return next(c for c in reply.conversations if c.conv == conv)


async def test_unread_and_mentions_are_counted_from_the_read_marker() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        for text in ("one", "two @bob", "three"):
            await mei.ask(Send(to="#lobby", text=text), Sent)
        now = await state(bob, "#lobby")
        assert (now.head, now.read, now.unread, now.mentions) == (3, 0, 3, 1)
        await bob.ask(Mark(conv="#lobby", read=2), Ok)
        now = await state(bob, "#lobby")
        assert (now.read, now.unread, now.mentions) == (2, 1, 0)
        await bob.ask(Mark(conv="#lobby", read=1), Ok)
        assert (await state(bob, "#lobby")).read == 2, "a marker never moves back"


async def test_own_messages_are_not_unread() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        await mei.ask(Send(to="#lobby", text="x"), Sent)
        now = await state(mei, "#lobby")
        assert (now.read, now.unread) == (0, 0)


async def test_markers_agree_on_all_devices() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob", "log") as laptop, server.peer("bob", "log") as phone:
            await mei.ask(Send(to="#lobby", text="x"), Sent)
            await laptop.ask(Mark(conv="#lobby", read=1), Ok)
            marked = await phone.expect(Marked)
            assert (marked.conv, marked.read, marked.unread) == ("#lobby", 1, 0)
            await phone.ask(Mark(conv="#lobby", level="none"), Ok)
            assert (await laptop.expect(Marked, lambda m: m.level == "none")).read == 1


async def test_marker_and_level_are_set_together_and_reported_once() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob", "log") as bob:
            await mei.ask(Send(to="#lobby", text="x"), Sent)
            await bob.ask(Mark(conv="#lobby", read=1, level="mentions"), Ok)
            await bob.ask(Mark(conv="#lobby", read=1), Ok)  # it is there already
            await bob.ask(Mark(conv="#lobby"), Ok)  # nothing is to be changed
            marked = [event for event in bob.received if isinstance(event, Marked)]
            assert marked == [Marked(conv="#lobby", read=1, level="mentions")]
            now = await state(bob, "#lobby")
            assert (now.read, now.level) == (1, "mentions")


async def test_room_joined_on_one_device_is_delivered_on_the_other() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob") as laptop, server.peer("bob") as phone:
            await mei.ask(CreateRoom(room="#cats"), Sent)
            await laptop.ask(Join(room="#cats"), Sent)
            await mei.ask(Send(to="#cats", text="purr"), Sent)
            for device in (laptop, phone):
                assert (await device.text()).text == "purr"


async def test_away_notice_is_published_and_listed() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await bob.ask(Away(text="lunch"), Ok)
        event = await mei.expect(Presence, lambda p: any(x.away for x in p.online))
        assert [(p.name, p.away) for p in event.online if p.away] == [("bob", "lunch")]
        people = (await mei.ask(Who(), People)).people
        assert {p.name: p.away for p in people} == {"bob": "lunch", "mei": None}
        await bob.ask(Away(), Ok)
        await mei.expect(
            Presence, lambda p: any(x.name == "bob" and x.away is None for x in p.online)
        )
