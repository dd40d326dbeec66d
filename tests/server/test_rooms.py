"""Rooms: who gets in, who may do what, and who is notified."""

from __future__ import annotations

import pytest
from peers import Peer, running_server

from gochat.protocol.messages import (
    Ban,
    BanList,
    Bans,
    CreateRoom,
    Delete,
    Error,
    History,
    HistoryPage,
    Invite,
    Invited,
    Join,
    Kick,
    Leave,
    MemberList,
    Members,
    Message,
    Payload,
    RoomList,
    Rooms,
    Send,
    Sent,
    SetAccess,
    SetOperator,
    SetTopic,
    Sync,
    Synced,
)
from gochat.server.read_requests import MAX_BANS

pytestmark = pytest.mark.trio


async def done(peer: Peer, *requests: Payload) -> Sent:
    return [await peer.ask(request, Sent) for request in requests][-1]


async def refused(peer: Peer, request: Payload) -> str:
    return (await peer.ask(request, Error)).code


async def members(peer: Peer, room: str) -> dict[str, bool]:
    reply = await peer.ask(Members(room=room), MemberList)
    return {member.name: member.operator for member in reply.members}


async def test_room_messages_reach_only_members() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        async with server.peer("eve") as eve:
            await done(mei, CreateRoom(room="#Cats", topic="meow"))
            await done(bob, Join(room="#cats"))
            await done(mei, Send(to="#cats", text="purr"))
            message = await bob.text(lambda m: m.kind == "text")
            assert (message.to, message.text) == ("#Cats", "purr")
            await done(mei, Send(to="#lobby", text="all"))
            assert (await eve.text()).text == "all"
            assert await refused(eve, Send(to="#cats", text="x")) == "not_a_member"
            assert await refused(eve, History(conv="#cats")) == "not_a_member"


async def test_room_is_created_once() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await done(mei, CreateRoom(room="#cats"))
        assert await refused(bob, CreateRoom(room="#CATS")) == "room_exists"
        assert await refused(bob, CreateRoom(room="#lobby")) == "room_exists"
        for name in ("cats", "#", "#a b", "@bob"):
            assert await refused(bob, CreateRoom(room=name)) == "bad_name"


async def test_members_are_notified_of_joins_and_leaves() -> None:
    async with running_server() as server, server.peer("mei", "log") as mei:
        async with server.peer("bob", "log") as bob:
            await done(mei, CreateRoom(room="#cats"))
            await done(bob, Join(room="#cats"), Leave(room="#cats"))
            assert (await mei.text(lambda m: m.kind == "join")).from_ == "bob"
            assert (await mei.text(lambda m: m.kind == "leave")).from_ == "bob"
            await done(mei, Send(to="#cats", text="alone"), Send(to="#lobby", text="all"))
            assert (await bob.text(lambda m: m.kind == "text")).text == "all"


async def test_private_room_is_joined_by_invitation() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob", "log") as bob:
            await done(mei, CreateRoom(room="#den", private=True))
            assert await refused(bob, Join(room="#den")) == "unknown_conversation"
            assert [r.room for r in (await bob.ask(Rooms(), RoomList)).rooms] == ["#lobby"]
            await done(mei, Invite(room="#den", name="bob"))
            assert (await bob.expect(Invited)).room == "#den"
            await done(bob, Join(room="#den"))
            assert await members(bob, "#den") == {"bob": False, "mei": True}
            assert await refused(bob, Invite(room="#den", name="mei")) == "not_permitted"


async def test_kicked_member_is_notified_and_gets_nothing_after() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob", "log") as bob:
            await done(mei, CreateRoom(room="#cats"))
            await done(bob, Join(room="#cats"))
            await done(mei, Kick(room="#cats", name="bob"), Send(to="#cats", text="gone"))
            await done(mei, Send(to="#lobby", text="all"))
            assert (await bob.text(lambda m: m.kind in ("kick", "text"))).kind == "kick"
            assert (await bob.text(lambda m: m.kind == "text")).text == "all"
            assert await refused(bob, Send(to="#cats", text="x")) == "not_a_member"


async def test_only_operators_change_a_room() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await done(mei, CreateRoom(room="#cats"))
        await done(bob, Join(room="#cats"))
        changes = (
            SetTopic(room="#cats", topic="dogs"),
            SetAccess(room="#cats", private=True),
            SetOperator(room="#cats", name="mei", on=False),
            Kick(room="#cats", name="mei"),
        )
        for change in changes:
            assert await refused(bob, change) == "not_permitted"
        await done(mei, SetOperator(room="#cats", name="bob"))
        for change in changes:
            await done(bob, change)
        assert await members(bob, "#cats") == {"bob": True}


async def test_room_always_has_an_operator() -> None:
    async with (
        running_server() as server,
        server.peer("mei", "log") as mei,
        server.peer("bob") as bob,
    ):
        async with server.peer("ann") as ann:
            await done(mei, CreateRoom(room="#cats"))
            joined = await done(bob, Join(room="#cats"))
            while (await done(mei, Send(to="#cats", text="wait"))).ts <= joined.ts:
                pass  # a millisecond later, so that the order of joining is clear
            await done(ann, Join(room="#cats"))
            demote = SetOperator(room="#cats", name="mei", on=False)
            assert await refused(mei, demote) == "bad_request"
            await done(mei, Leave(room="#cats"))
            assert await members(bob, "#cats") == {"ann": False, "bob": True}
            entries = [m for m in mei.received if isinstance(m, Message)]
            assert [(m.kind, m.text) for m in entries][-2:] == [("operator", "bob"), ("leave", "")]


async def test_lobby_cannot_be_changed() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        for request in (
            Leave(room="#lobby"),
            SetTopic(room="#lobby", topic="x"),
            Kick(room="#lobby", name="mei"),
            Join(room="#lobby"),
        ):
            assert await refused(mei, request) == "not_permitted"


async def test_rooms_are_listed_with_topic_members_and_membership() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await done(mei, CreateRoom(room="#cats", topic="meow"), CreateRoom(room="#dogs"))
        await done(bob, Join(room="#cats"))
        cats, dogs, lobby = (await bob.ask(Rooms(), RoomList)).rooms
        assert (cats.room, cats.topic, cats.members, cats.joined) == ("#cats", "meow", 2, True)
        assert (dogs.room, dogs.joined) == ("#dogs", False)
        assert (lobby.room, lobby.members, lobby.joined) == ("#lobby", 2, True)


async def test_creator_of_a_room_with_a_topic_sees_its_whole_log() -> None:
    async with running_server() as server, server.peer("mei", "log") as mei:
        await done(mei, CreateRoom(room="#cats", topic="meow"))
        assert (await done(mei, Send(to="#cats", text="purr"))).seq == 3
        entries = [(m.seq, m.kind) for m in mei.received if isinstance(m, Message)]
        assert entries == [(1, "create"), (2, "topic"), (3, "text")]


async def test_retry_of_a_one_time_request_gets_the_first_seq() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        for peer, request in (
            (mei, CreateRoom(room="#cats", cid="1")),
            (bob, Join(room="#cats", cid="2")),
            (bob, Send(to="#cats", text="woof", cid="3")),
            (bob, Delete(to="#cats", seq=3, cid="4")),
            (mei, Kick(room="#cats", name="bob", cid="5")),
            (mei, Leave(room="#cats", cid="6")),
        ):
            first, again = [await peer.ask(request, Sent) for _ in range(2)]
            assert (again.seq, again.dup) == (first.seq, True), request
        await done(bob, Join(room="#cats"))
        assert await members(bob, "#cats") == {"bob": True}, "who joins an empty room runs it"


async def test_membership_survives_a_new_login() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob") as bob:
            await done(mei, CreateRoom(room="#cats"))
            await done(bob, Join(room="#cats"))
        async with server.peer("bob") as bob:
            await done(mei, Send(to="#cats", text="purr"))
            assert (await bob.text()).text == "purr"
            mine = (await bob.ask(Sync(), Synced)).conversations
            assert {c.conv for c in mine} == {"#cats", "#lobby"}
            page = await bob.ask(History(conv="#cats"), HistoryPage)
            assert [m.kind for m in page.entries] == ["create", "join", "text"]


async def test_operator_deletes_messages_of_others_in_the_room() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await done(mei, CreateRoom(room="#cats"))
        await done(bob, Join(room="#cats"))
        said = await done(bob, Send(to="#cats", text="woof"))
        await done(mei, Delete(to="#cats", seq=said.seq))
        page = await bob.ask(History(conv="#cats"), HistoryPage)
        assert [m.deleted for m in page.entries if m.kind == "text"] == [True]


async def test_page_of_bans_has_as_many_as_wanted_and_fits_a_frame() -> None:
    people = [f"p{number:02}" for number in range(MAX_BANS + 1)]
    async with running_server() as server, server.peer("mei") as mei, server.connect() as other:
        await done(mei, CreateRoom(room="#cats"))
        for name in people:
            await other.register(name)
            await done(mei, Ban(room="#cats", name=name))
        for limit, expected in ((2, 2), (200, MAX_BANS)):
            page = await mei.ask(Bans(room="#cats", limit=limit), BanList)
            assert [ban.name for ban in page.bans] == people[:expected]
            assert page.more
        page = await mei.ask(Bans(room="#cats", after=people[MAX_BANS - 1]), BanList)
        assert ([ban.name for ban in page.bans], page.more) == (people[MAX_BANS:], False)
