"""Saved messages, with bare frames: on a server with SQLite, and on two with one Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import trio
from peers import Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.protocol.messages import (
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
    Ok,
    Resume,
    Save,
    Saved,
    SavedChanged,
    SavedList,
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


async def say(peer: Peer, to: str, text: str) -> int:
    return (await peer.ask(Send(to=to, text=text), Sent)).seq


async def shown(peer: Peer, limit: int = 50) -> list[str]:
    """Return what is listed, page by page."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await peer.ask(Saved(cursor=cursor, limit=limit), SavedList)
        found += [item.entry.text for item in page.items]
        cursor = page.cursor
    return found


async def test_list_is_shared_by_the_devices_and_by_nobody_else(
    servers: list[RunningServer],
) -> None:
    async with (
        servers[0].peer("mei", "log") as mei,
        servers[0].peer("bob", "log") as bob,
        servers[-1].peer("bob", "log") as phone,
        servers[-1].peer("bob") as minimal,
    ):
        lobby = [await say(mei, "#lobby", text) for text in ("one", "two", "three")]
        private = await say(mei, "@bob", "psst")
        for to, seq in (("#lobby", lobby[0]), ("@mei", private), ("#lobby", lobby[2])):
            await bob.ask(Save(to=to, seq=seq), Ok)
            await phone.expect(SavedChanged, lambda one, seq=seq: one.seq == seq and one.on)  # type: ignore[misc]
            await trio.sleep(0.002)  # the order is that of times in milliseconds
        assert await shown(phone) == ["three", "psst", "one"]
        assert await shown(minimal, limit=1) == ["three", "psst", "one"]
        await mei.ask(Edit(to="#lobby", seq=lobby[0], text="new"), Sent)
        await mei.ask(Delete(to="#lobby", seq=lobby[2]), Sent)
        assert await shown(bob) == ["psst", "new"]
        await phone.ask(Save(to="@mei", seq=private, on=False), Ok)
        await bob.expect(SavedChanged, lambda one: not one.on)
        assert await shown(bob) == ["new"]
        assert await shown(mei) == []
        assert not any(isinstance(one, SavedChanged) for one in (*mei.received, *minimal.received))


async def test_only_messages_that_can_be_read_are_saved_and_shown(
    servers: list[RunningServer],
) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await mei.ask(CreateRoom(room=ROOM, private=True), Sent)
        seq = await say(mei, ROOM, "secret")
        assert (await bob.ask(Save(to=ROOM, seq=seq), Error)).code == "unknown_conversation"
        await mei.ask(Invite(room=ROOM, name="bob"), Sent)
        joined = await bob.ask(Join(room=ROOM), Sent)
        refused = await bob.ask(Save(to=ROOM, seq=joined.seq), Error)
        assert (refused.code, refused.field) == ("unknown_message", "seq")
        await bob.ask(Save(to=ROOM, seq=seq), Ok)
        assert await shown(bob) == ["secret"]
        await mei.ask(Kick(room=ROOM, name="bob"), Sent)
        assert await shown(bob) == []
        await mei.ask(Invite(room=ROOM, name="bob"), Sent)
        await bob.ask(Join(room=ROOM), Sent)
        assert await shown(bob) == ["secret"]


async def test_page_of_many_that_are_gone_ends_early(
    servers: list[RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed_entries, "MAX_READ", 5)
    async with servers[0].peer("mei", "log") as mei:
        seqs = [await say(mei, "@mei", f"{number}") for number in range(10)]
        for seq in seqs:
            await mei.ask(Save(to="@mei", seq=seq), Ok)
        for seq in seqs[3:]:
            await mei.ask(Delete(to="@mei", seq=seq), Sent)
        page = await mei.ask(Saved(), SavedList)
        assert (page.items, page.cursor is None) == ((), False)
        assert await shown(mei) == ["2", "1", "0"]
        error = await mei.ask(Saved(cursor="nonsense"), Error)
        assert (error.code, error.field) == ("bad_cursor", "cursor")


async def test_program_limited_to_rooms_is_shown_only_theirs(
    servers: list[RunningServer],
) -> None:
    async with servers[0].peer("mei", "log") as mei:
        await mei.ask(CreateRoom(room=ROOM), Sent)
        for to in (ROOM, "@mei"):
            await mei.ask(Save(to=to, seq=await say(mei, to, f"in {to}")), Ok)
        made = await mei.ask(
            CreateToken(device="bot", scopes=("read",), rooms=(ROOM,), lifetime=3600), CreatedToken
        )
        async with servers[-1].connect() as bot:
            await bot.ask(Resume(token=made.token), LoggedIn)
            assert await shown(bot) == [f"in {ROOM}"]
            assert (await bot.ask(Save(to="@mei", seq=1), Error)).code == "not_permitted"
