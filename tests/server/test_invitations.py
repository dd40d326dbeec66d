"""Invitations, with bare frames: on a server with SQLite, and on two with one Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from peers import Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.rooms import MAX_INVITATIONS, MAX_TOPIC
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    CreateRoom,
    Decline,
    Error,
    Invitation,
    Invite,
    Invited,
    Join,
    Kick,
    Leave,
    Message,
    Ok,
    Ping,
    Pong,
    Position,
    Send,
    Sent,
    SetTopic,
    Sync,
    Synced,
    Uninvited,
)
from gochat.storage.redis import RedisStore
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio

ROOM = "#Garden"


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def servers(request: pytest.FixtureRequest) -> AsyncIterator[list[RunningServer]]:
    """One server, or two with one store; Mei is at the first and Bob at the last."""
    urls = ["sqlite:///:memory:"]
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        urls = [Nodes(redis).url()] * 2
    limits: dict[str, Any] = {"burst": 1000, "per_second": 1000.0, "request_budget": 1_000_000}
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running_server(config(store=url, **limits)))
            for url in urls
        ]


@pytest.fixture
async def mei(servers: list[RunningServer]) -> AsyncIterator[Peer]:
    async with servers[0].peer("mei", "log") as peer:
        yield peer


@pytest.fixture
async def bob(servers: list[RunningServer]) -> AsyncIterator[Peer]:
    async with servers[-1].peer("bob", "log") as peer:
        yield peer


async def invite(mei: Peer, room: str = ROOM, *, private: bool = True) -> Sent:
    """Create a room with a topic, and invite Bob."""
    await mei.ask(CreateRoom(room=room, topic="trees", private=private), Sent)
    return await mei.ask(Invite(room=room, name="bob"), Sent)


async def pending(peer: Peer) -> list[str]:
    return [one.room for one in (await peer.ask(Sync(), Synced)).invitations]


async def events(peer: Peer) -> list[Any]:
    """Return the entries and invitations that a session was sent, without the lobby."""
    await peer.ask(Ping(), Pong)
    return [
        one
        for one in peer.received
        if isinstance(one, Invited | Uninvited | Message) and getattr(one, "to", "") != "#lobby"
    ]


async def test_who_is_offline_finds_the_invitation_by_sync(
    servers: list[RunningServer], mei: Peer
) -> None:
    async with servers[-1].peer("bob", "log"):
        pass
    sent = await invite(mei)
    async with servers[-1].peer("bob", "log") as bob:
        page = await bob.ask(Sync(), Synced)
        assert page.invitations == (Invitation(room=ROOM, from_="mei", ts=sent.ts, topic="trees"),)
        assert [one.conv for one in page.conversations] == ["#lobby"]
        have = (Position(conv=ROOM, epoch=sent.epoch, seq=sent.seq, ts=sent.ts),)
        assert (await bob.ask(Sync(have=have), Synced)).gone == (ROOM,)


async def test_invitation_is_only_in_the_first_page(mei: Peer, bob: Peer) -> None:
    await invite(mei)
    await bob.expect(Invited)
    assert (await bob.ask(Sync(after="#a"), Synced)).invitations == ()


async def test_all_sessions_with_the_log_are_sent_invitations_and_no_entry(
    servers: list[RunningServer], mei: Peer, bob: Peer
) -> None:
    async with servers[0].peer("bob", "log") as phone, servers[0].peer("bob") as minimal:
        sent = await invite(mei)
        await mei.ask(Kick(room=ROOM, name="bob"), Sent)
        for peer in (bob, phone):
            await peer.expect(Uninvited)
            assert await events(peer) == [
                Invited(room=ROOM, from_="mei", ts=sent.ts, topic="trees"),
                Uninvited(room=ROOM),
            ]
            assert await pending(peer) == []
        assert await events(minimal) == []


async def test_declined_on_one_device_is_gone_on_the_other(
    servers: list[RunningServer], mei: Peer, bob: Peer
) -> None:
    async with servers[0].peer("bob", "log") as phone:
        sent = await invite(mei)
        await phone.expect(Invited)
        await bob.ask(Decline(room="#garden", cid="c1"), Ok)
        assert await events(bob) == [
            Invited(room=ROOM, from_="mei", ts=sent.ts, topic="trees"),
            Uninvited(room=ROOM),
        ]
        await phone.expect(Uninvited)
        assert await pending(bob) == await pending(phone) == []
        entry = await mei.text(lambda m: m.kind == "decline")
        assert (entry.from_, entry.text, entry.cid) == ("bob", "", "c1")
        assert (await bob.ask(Join(room=ROOM), Error)).code == "unknown_conversation"


async def test_declining_shows_nothing_of_rooms(mei: Peer, bob: Peer) -> None:
    await mei.ask(CreateRoom(room="#secret", private=True), Sent)
    await mei.ask(CreateRoom(room="#public"), Sent)
    await bob.ask(Join(room="#public"), Sent)
    for room in ("#secret", "#nothing", "#public", "#lobby"):
        await bob.ask(Decline(room=room), Ok)
    for other in ("@mei", "garden", "#"):
        assert (await bob.ask(Decline(room=other), Error)).code in (
            "unknown_conversation",
            "bad_name",
        )
    await mei.ask(Ping(), Pong)
    assert "decline" not in [one.kind for one in mei.received if isinstance(one, Message)]


async def test_joining_uses_the_invitation_up(mei: Peer, bob: Peer) -> None:
    await invite(mei)
    await bob.expect(Invited)
    await bob.ask(Join(room=ROOM), Sent)
    assert [getattr(one, "kind", one.msg_type) for one in await events(bob)] == [
        "invited", "join", "uninvited",
    ]  # fmt: skip
    assert await pending(bob) == []
    await bob.ask(Leave(room=ROOM), Sent)
    assert [getattr(one, "kind", one.msg_type) for one in await events(bob)][3:] == ["leave"]


async def test_who_was_not_invited_is_not_uninvited(mei: Peer, bob: Peer) -> None:
    await mei.ask(CreateRoom(room=ROOM), Sent)
    await bob.ask(Join(room=ROOM), Sent)
    await mei.ask(Kick(room=ROOM, name="bob"), Sent)
    await bob.text(lambda m: m.kind == "kick")
    assert [getattr(one, "kind", one.msg_type) for one in await events(bob)] == ["join", "kick"]


@pytest.mark.parametrize("last", ["leave", "kick"])
async def test_invitations_end_with_a_private_room(
    servers: list[RunningServer], mei: Peer, bob: Peer, last: str
) -> None:
    """Here the last member leaves; an operator can't remove themselves, so nobody is kicked last,
    but who is kicked before doesn't end the room."""
    await invite(mei)
    await bob.expect(Invited)
    if last == "kick":
        async with servers[0].peer("eve", "log") as eve:
            await mei.ask(Invite(room=ROOM, name="eve"), Sent)
            await eve.ask(Join(room=ROOM), Sent)
            await mei.ask(Kick(room=ROOM, name="eve"), Sent)
        assert await pending(bob) == [ROOM]
    await mei.ask(Leave(room=ROOM), Sent)
    await bob.expect(Uninvited)
    assert await pending(bob) == []
    await bob.ask(Decline(room=ROOM), Ok)


async def test_invitation_to_a_public_room_outlives_its_members(mei: Peer, bob: Peer) -> None:
    await invite(mei, private=False)
    await bob.expect(Invited)
    await mei.ask(Leave(room=ROOM), Sent)
    assert await pending(bob) == [ROOM]
    await bob.ask(Join(room=ROOM), Sent)
    assert await pending(bob) == []


async def test_topic_is_the_present_one(mei: Peer, bob: Peer) -> None:
    await invite(mei)
    await mei.ask(SetTopic(room=ROOM, topic="roses"), Sent)
    (invitation,) = (await bob.ask(Sync(), Synced)).invitations
    assert invitation.topic == "roses"


async def test_one_more_than_the_most_is_refused(mei: Peer, bob: Peer) -> None:
    """So many fit a page, with the topics of the newest, and a conversation."""
    # Each character takes seven bytes of a frame.
    topic = "\x01" * MAX_TOPIC
    for number in range(MAX_INVITATIONS):
        room = f"#{number:03}" + "\U00020000" * 29
        await mei.ask(CreateRoom(room=room, topic=topic), Sent)
        await mei.ask(Invite(room=room, name="bob"), Sent)
    await mei.ask(CreateRoom(room="#more"), Sent)
    refused = await mei.ask(Invite(room="#more", name="bob"), Error)
    assert (refused.code, refused.field) == ("too_many", "name")
    assert refused.args == {"rule": "invitations", "max": MAX_INVITATIONS}
    await mei.ask(Send(to="#lobby", text="hello"), Sent)
    page = await bob.ask(Sync(), Synced)
    assert len(encode(page)) <= 64 * 1024
    assert len(page.invitations) == MAX_INVITATIONS
    with_topic = [one for one in page.invitations if one.topic]
    assert with_topic
    oldest = min(one.ts for one in with_topic)
    assert all(one.ts <= oldest for one in page.invitations if not one.topic)
    assert [one.conv for one in page.conversations] == ["#lobby"]
    await bob.ask(Decline(room=page.invitations[0].room), Ok)
    await mei.ask(Invite(room="#more", name="bob"), Sent)


async def test_page_is_not_older_than_the_events_before_it(
    servers: list[RunningServer], mei: Peer, bob: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read before an invitation is not what follows the event of it."""
    await mei.ask(CreateRoom(room=ROOM), Sent)
    reads = 0
    for kind in (SqliteStore, RedisStore):
        read = kind.invitations

        async def slowly(self: Any, person: Any, read: Any = read) -> Any:
            nonlocal reads
            found = await read(self, person)
            if person == "bob" and (reads := reads + 1) == 1:
                await mei.ask(Invite(room=ROOM, name="bob"), Sent)
                for server in servers:
                    async with server.peer("bob", "log") as other:
                        await other.ask(Ping(), Pong)
            return found

        monkeypatch.setattr(kind, "invitations", slowly)
    page = await bob.ask(Sync(), Synced)
    if any(isinstance(one, Invited) for one in bob.received):
        assert [one.room for one in page.invitations] == [ROOM]
    else:
        await bob.expect(Invited)
