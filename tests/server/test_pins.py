"""Pinned messages, with bare frames: on a server with SQLite, and on two with one Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from peers import Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.protocol.messages import (
    Block,
    CreatedToken,
    CreateRoom,
    CreateToken,
    Delete,
    Edit,
    Error,
    History,
    HistoryPage,
    Invite,
    Join,
    Kick,
    LoggedIn,
    Message,
    Ok,
    Pin,
    PinList,
    Pinned,
    Pins,
    Resume,
    Send,
    Sent,
    SetHistory,
)

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


async def say(peer: Peer, to: str, text: str) -> Sent:
    return await peer.ask(Send(to=to, text=text), Sent)


async def listed(peer: Peer, conv: str, limit: int = 50) -> list[Pinned]:
    """Return everything that is listed, page by page; `seqs` of each page name all of it."""
    found: list[Pinned] = []
    while True:
        before = found[-1].seq if found else None
        page = await peer.ask(Pins(conv=conv, before=before, limit=limit), PinList)
        found += page.pins
        if not page.more:
            assert page.seqs == tuple(one.entry.seq for one in found)
            return found


async def shown(peer: Peer, conv: str) -> list[tuple[str, str]]:
    """Return what is listed, as who pinned it and what it reads."""
    return [(one.by, one.entry.text) for one in await listed(peer, conv)]


async def test_both_people_of_a_private_conversation_pin_and_see_it_at_once(
    servers: list[RunningServer],
) -> None:
    async with (
        servers[0].peer("mei", "log") as mei,
        servers[-1].peer("bob", "log") as bob,
        servers[-1].peer("bob") as minimal,
    ):
        first, second = [await say(mei, "@bob", text) for text in ("one", "two")]
        await bob.ask(Pin(to="@mei", seq=first.seq), Sent)
        pin = await mei.expect(Message, lambda one: one.kind == "pin")
        assert (pin.conversation, pin.ref, pin.from_) == ("@bob", first.seq, "bob")
        await mei.ask(Pin(to="@bob", seq=second.seq), Sent)
        await bob.expect(Message, lambda one: one.kind == "pin" and one.from_ == "mei")
        await mei.ask(Edit(to="@bob", seq=second.seq, text="three"), Sent)
        for peer, conv in ((mei, "@bob"), (bob, "@mei"), (minimal, "@mei")):
            assert await shown(peer, conv) == [("mei", "three"), ("bob", "one")]
            assert [one.entry.seq for one in await listed(peer, conv, limit=1)] == [2, 1]
        page = await bob.ask(History(conv="@mei"), HistoryPage)
        assert [one.pinned for one in page.entries[:2]] == [True, True]
        await mei.ask(Pin(to="@bob", seq=first.seq, on=False), Sent)
        await mei.ask(Delete(to="@bob", seq=second.seq), Sent)
        assert await shown(bob, "@mei") == []
        assert not any(isinstance(one, Message) and one.kind != "text" for one in minimal.received)
        await mei.ask(Block(name="bob"), Ok)
        refused = await mei.ask(Pin(to="@bob", seq=first.seq), Error)
        assert (refused.code, refused.field) == ("blocked", "to")


async def test_who_is_removed_or_came_later_reads_nothing_through_pins(
    servers: list[RunningServer],
) -> None:
    async with (
        servers[0].peer("mei", "log") as mei,
        servers[-1].peer("bob", "log") as bob,
        servers[0].peer("ann", "log") as ann,
    ):
        await mei.ask(CreateRoom(room=ROOM, private=True), Sent)
        await mei.ask(SetHistory(room=ROOM, history="hidden"), Sent)
        await mei.ask(Invite(room=ROOM, name="bob"), Sent)
        await bob.ask(Join(room=ROOM), Sent)
        secret = await say(mei, ROOM, "secret")
        refused = await bob.ask(Pin(to=ROOM, seq=secret.seq), Error)
        assert (refused.code, refused.args) == ("not_permitted", {"rule": "operator"})
        await mei.ask(Pin(to=ROOM, seq=secret.seq), Sent)
        assert await shown(bob, ROOM) == [("mei", "secret")]
        await mei.ask(Invite(room=ROOM, name="ann"), Sent)
        assert (await ann.ask(Pins(conv=ROOM), Error)).code == "not_a_member"
        await ann.ask(Join(room=ROOM), Sent)
        assert await shown(ann, ROOM) == []
        await mei.ask(Pin(to=ROOM, seq=(await say(ann, ROOM, "hi")).seq), Sent)
        assert await shown(ann, ROOM) == [("mei", "hi")]
        await mei.ask(Kick(room=ROOM, name="bob"), Sent)
        assert (await bob.ask(Pins(conv=ROOM), Error)).code == "unknown_conversation"


async def test_long_messages_end_a_page_at_the_frame(servers: list[RunningServer]) -> None:
    async with servers[0].peer("mei", "log") as mei:
        for _ in range(20):
            await say(mei, "@mei", "\U0001f331" * 3900)
        for seq in range(1, 21):
            await mei.ask(Pin(to="@mei", seq=seq), Sent)
        page = await mei.ask(Pins(conv="@mei", limit=50), PinList)
        assert 1 < len(page.pins) < 20
        assert page.more
        assert [one.entry.seq for one in await listed(mei, "@mei")] == [*range(20, 0, -1)]


async def test_program_limited_to_rooms_lists_and_pins_only_there(
    servers: list[RunningServer],
) -> None:
    async with servers[0].peer("mei", "log") as mei:
        await mei.ask(CreateRoom(room=ROOM), Sent)
        seq = (await say(mei, ROOM, "look")).seq
        await say(mei, "@mei", "note")
        made = await mei.ask(
            CreateToken(device="bot", scopes=("read", "send"), rooms=(ROOM,), lifetime=3600),
            CreatedToken,
        )
        async with servers[-1].connect() as bot:
            await bot.ask(Resume(token=made.token), LoggedIn)
            await bot.ask(Pin(to=ROOM, seq=seq, request_id="1"), Sent)
            assert await shown(bot, ROOM) == [("mei", "look")]
            assert (await bot.ask(Pins(conv="@mei"), Error)).code == "not_permitted"
            assert (await bot.ask(Pin(to="@mei", seq=1), Error)).code == "not_permitted"
