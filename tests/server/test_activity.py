"""A person's activity, with bare frames: on a server with SQLite, and on two with one Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from peers import Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.activity import PER_CONVERSATION
from gochat.protocol.messages import (
    Activity,
    ActivityChanged,
    ActivityItem,
    ActivityList,
    Block,
    CreatedToken,
    CreateRoom,
    CreateToken,
    Delete,
    Edit,
    Error,
    Invite,
    Join,
    Kick,
    LoggedIn,
    MarkActivity,
    Message,
    Ok,
    React,
    Resume,
    Send,
    Sent,
)
from gochat.server import listed_entries

pytestmark = pytest.mark.trio

ROOM = "#garden"


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def servers(request: pytest.FixtureRequest) -> AsyncIterator[list[RunningServer]]:
    """One server with SQLite, or two with one Redis."""
    urls = ["sqlite:///:memory:"]
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        urls = [Nodes(redis).url()] * 2
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_server(config(store=url))) for url in urls]


async def say(peer: Peer, to: str, text: str, reply_to: int | None = None) -> Sent:
    return await peer.ask(Send(to=to, text=text, reply_to=reply_to), Sent)


async def items(peer: Peer, limit: int = 50) -> list[ActivityItem]:
    """Return everything that is listed, page by page."""
    found: list[ActivityItem] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await peer.ask(Activity(cursor=cursor, limit=limit), ActivityList)
        found += page.items
        cursor = page.cursor
    return found


async def shown(peer: Peer) -> list[tuple[str, str, str, str]]:
    """Return kind, conversation, text and what it is about, of everything that is listed."""
    return [
        (one.kind, one.entry.conversation, one.entry.text, one.about) for one in await items(peer)
    ]


async def test_what_concerns_a_person_is_listed_newest_first(servers: list[RunningServer]) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await mei.ask(CreateRoom(room=ROOM), Sent)
        await bob.ask(Join(room=ROOM), Sent)
        seeds = await say(mei, ROOM, "who has seeds?")
        await say(bob, ROOM, "I do", seeds.seq)
        await say(bob, "#lobby", "hi @mei")
        await say(bob, ROOM, "@mei how many?", seeds.seq)
        await say(mei, "@bob", "psst")
        await bob.ask(React(to="@mei", seq=1, emoji="👍"), Sent)
        assert await shown(mei) == [
            ("reaction", "@bob", "👍", "psst"),
            ("mention", ROOM, "@mei how many?", ""),
            ("mention", "#lobby", "hi @mei", ""),
            ("reply", ROOM, "I do", "who has seeds?"),
        ]
        assert [one.entry.seq for one in await items(mei, limit=1)] == [2, 5, 1, 4]
        await say(mei, ROOM, "@room done")
        assert await shown(bob) == [("mention", ROOM, "@room done", "")]


async def test_what_is_nothing_to_them_any_more_is_not_listed(
    servers: list[RunningServer],
) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        own = await say(mei, "#lobby", "hello")
        gone = await say(bob, "#lobby", "@mei one")
        changed = await say(bob, "#lobby", "@mei two")
        await say(bob, "#lobby", "three", own.seq)
        await bob.ask(React(to="#lobby", seq=own.seq, emoji="👍"), Sent)
        assert len(await items(mei)) == 4
        await bob.ask(Delete(to="#lobby", seq=gone.seq), Sent)
        await bob.ask(Edit(to="#lobby", seq=changed.seq, text="two"), Sent)
        await bob.ask(React(to="#lobby", seq=own.seq, emoji="👍", on=False), Sent)
        assert await shown(mei) == [("reply", "#lobby", "three", "hello")]
        await bob.ask(React(to="#lobby", seq=own.seq, emoji="🎉"), Sent)
        await mei.ask(Delete(to="#lobby", seq=own.seq), Sent)
        assert await shown(mei) == [("reply", "#lobby", "three", "")]
        await mei.ask(Block(name="bob"), Ok)
        assert await shown(mei) == []


async def test_who_was_removed_is_not_shown_what_was_said_there(
    servers: list[RunningServer],
) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await mei.ask(CreateRoom(room=ROOM, private=True), Sent)
        await mei.ask(Invite(room=ROOM, name="bob"), Sent)
        await bob.ask(Join(room=ROOM), Sent)
        await say(mei, ROOM, "@bob look")
        assert len(await items(bob)) == 1
        await mei.ask(Kick(room=ROOM, name="bob"), Sent)
        assert await items(bob) == []


async def test_seen_on_one_device_is_seen_on_the_other(servers: list[RunningServer]) -> None:
    async with (
        servers[0].peer("mei", "log") as mei,
        servers[-1].peer("bob", "log") as bob,
        servers[0].peer("bob", "log") as phone,
        servers[-1].peer("bob") as minimal,
    ):
        await say(mei, "#lobby", "@bob hi")
        for device in (bob, phone):
            await device.expect(ActivityChanged)
        page = await bob.ask(Activity(), ActivityList)
        assert page.seen == 0
        ts = page.items[0].ts
        await bob.ask(MarkActivity(seen=ts), Ok)
        await phone.expect(ActivityChanged)
        for device in (bob, phone, minimal):
            assert (await device.ask(Activity(), ActivityList)).seen == ts
        await bob.ask(MarkActivity(seen=ts - 1), Ok)
        assert (await phone.ask(Activity(), ActivityList)).seen == ts
        # A clock that is wrong does not hide what comes later.
        await bob.ask(MarkActivity(seen=9_000_000_000_000), Ok)
        assert (await phone.ask(Activity(), ActivityList)).seen < ts + 3_600_000
        assert not any(isinstance(one, ActivityChanged) for one in minimal.received)


async def test_only_those_concerned_are_notified(servers: list[RunningServer]) -> None:
    async with (
        servers[0].peer("mei", "log") as mei,
        servers[-1].peer("bob", "log") as bob,
        servers[0].peer("ann", "log") as ann,
    ):
        await mei.ask(CreateRoom(room=ROOM), Sent)
        own = await say(mei, "#lobby", "hello")
        await say(bob, "#lobby", "hi", own.seq)
        await bob.ask(React(to="#lobby", seq=own.seq, emoji="👍"), Sent)
        await bob.ask(React(to="#lobby", seq=own.seq, emoji="👍", on=False), Sent)
        for _ in range(3):
            await mei.expect(ActivityChanged)
        await say(mei, ROOM, "@bob is not here")
        await say(mei, "@ann", "plain")
        await say(bob, "#lobby", "the end")
        for peer in (mei, ann):
            await peer.expect(Message, lambda message: message.text == "the end")
        assert not any(isinstance(one, ActivityChanged) for one in (*bob.received, *ann.received))
        assert sum(isinstance(one, ActivityChanged) for one in mei.received) == 3


async def test_a_day_away_is_listed_in_pages(
    servers: list[RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed_entries, "MAX_READ", 30)
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob") as bob:
        await mei.ask(CreateRoom(room=ROOM), Sent)
        await bob.ask(Join(room=ROOM), Sent)
        for number in range(PER_CONVERSATION + 10):
            for to in ("#lobby", ROOM):
                await say(mei, to, f"@bob {number}")
        for seq in range(60, PER_CONVERSATION + 11):
            await mei.ask(Delete(to="#lobby", seq=seq), Sent)
        found = await items(bob)
        assert len(found) == PER_CONVERSATION + 49
        assert [one.ts for one in found] == sorted((one.ts for one in found), reverse=True)
        assert len({(one.entry.to, one.entry.seq) for one in found}) == len(found)
        first = await bob.ask(Activity(limit=50), ActivityList)
        assert len(first.items) < 30
        assert first.cursor is not None
        error = await bob.ask(Activity(cursor="nonsense"), Error)
        assert (error.code, error.field) == ("bad_cursor", "cursor")


async def test_long_entries_end_a_page_at_the_frame(servers: list[RunningServer]) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob") as bob:
        for _ in range(20):
            await say(mei, "#lobby", "@bob " + "\U0001f331" * 3000)
        page = await bob.ask(Activity(limit=50), ActivityList)
        assert 1 < len(page.items) < 20
        assert len(await items(bob)) == 20


async def test_activity_outlasts_a_restart(tmp_path: Path) -> None:
    settings = config(store=f"sqlite:///{tmp_path / 'chat.db'}")
    async with (
        running_server(settings) as server,
        server.peer("mei") as mei,
        server.peer("bob") as bob,
    ):
        await say(mei, "#lobby", "@bob one")
        ts = (await items(bob))[0].ts
        await bob.ask(MarkActivity(seen=ts), Ok)
        token = bob.token
    async with running_server(settings) as server, server.connect() as bob:
        await bob.ask(Resume(token=token), LoggedIn)
        page = await bob.ask(Activity(), ActivityList)
        assert [one.entry.text for one in page.items] == ["@bob one"]
        assert page.seen == ts


async def test_program_limited_to_rooms_is_shown_only_theirs(
    servers: list[RunningServer],
) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await mei.ask(CreateRoom(room=ROOM), Sent)
        await bob.ask(Join(room=ROOM), Sent)
        await say(mei, ROOM, "@bob in the room")
        await say(mei, "#lobby", "@bob in the lobby")
        made = await bob.ask(
            CreateToken(device="bot", scopes=("read",), rooms=(ROOM,), lifetime=3600), CreatedToken
        )
        async with servers[0].connect() as bot:
            await bot.ask(Resume(token=made.token), LoggedIn)
            assert [text for _, _, text, _ in await shown(bot)] == ["@bob in the room"]
            error = await bot.ask(MarkActivity(seen=1), Error)
            assert error.code == "not_permitted"
