"""A session's own entries: with the log, all come, in order of seq, before they are acknowledged.

With bare frames, so that no library hides what comes twice, late or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trio
from msgspec import structs
from peers import Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.protocol.messages import (
    Ban,
    CreateRoom,
    Delete,
    Edit,
    History,
    HistoryPage,
    Invite,
    Join,
    Kick,
    Leave,
    Message,
    Ok,
    React,
    Send,
    Sent,
    SetAccess,
    SetHistory,
    SetOperator,
    SetTopic,
    Unban,
)

pytestmark = pytest.mark.trio


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def nodes(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[RunningServer, RunningServer]]:
    """Two nodes of one deployment; on SQLite the same server twice."""
    if request.param == "sqlite":
        async with running_server(config(store=f"sqlite:///{tmp_path / 'chat.db'}")) as server:
            yield server, server
        return
    redis: RedisServer = request.getfixturevalue("redis_server")
    store = Nodes(redis).url()
    async with (
        running_server(config(store=store)) as one,
        running_server(config(store=store)) as other,
    ):
        yield one, other


def own(peer: Peer) -> list[Message]:
    return [m for m in peer.received if isinstance(m, Message) and m.from_ == peer.name]


async def write(peer: Peer, request: Any) -> Message:
    """Make a request, and return its entry, which must have come once, before the reply."""
    sent = await peer.ask(structs.replace(request, cid=uuid4().hex), Sent)
    (entry,) = [m for m in own(peer) if (m.to, m.epoch, m.seq) == (sent.to, sent.epoch, sent.seq)]
    assert (entry.cid, entry.ts) == (sent.cid, sent.ts)
    return entry


async def test_every_kind_of_entry_comes_before_its_acknowledgement(
    nodes: tuple[RunningServer, RunningServer],
) -> None:
    here, there = nodes
    async with here.peer("Mei", "log") as mei, there.peer("bob", "log") as bob:
        requests: list[Any] = [
            Send(to="#lobby", text="hi, @mei and @BOB"),
            Edit(to="#lobby", seq=1, text="hi, @bob"),
            React(to="#lobby", seq=1, emoji="❤"),
            React(to="#lobby", seq=1, emoji="❤", on=False),
            Delete(to="#lobby", seq=1),
            Send(to="@BOB", text="psst"),
            CreateRoom(room="#club", private=True),
            Invite(room="#Club", name="@BOB"),
        ]
        written = [await write(mei, request) for request in requests]
        await write(bob, Join(room="#club"))
        requests = [
            SetTopic(room="#club", topic="News"),
            SetHistory(room="#club", history="hidden"),
            SetOperator(room="#club", name="BOB"),
            SetOperator(room="#club", name="MEI", on=False),
        ]
        written += [await write(mei, request) for request in requests]
        written += [await write(bob, SetOperator(room="#club", name="mei"))]
        await write(mei, SetAccess(room="#club", private=False, history="hidden"))
        await write(mei, Kick(room="#club", name="Bob"))
        await write(mei, Ban(room="#club", name="Bob", seconds=60, reason="spam"))
        await write(mei, Unban(room="#club", name="Bob"))
        await write(mei, Leave(room="#club"))
        assert written[0].mentions == ("Mei", "bob")
        assert [(m.kind, m.text) for m in written[2:]] == [
            ("react", "❤️"),
            ("unreact", "❤️"),
            ("delete", ""),
            ("text", "psst"),
            ("create", "private"),
            ("invite", "bob"),
            ("topic", "News"),
            ("history", "hidden"),
            ("operator", "bob"),
            ("member", "Mei"),
            ("operator", "Mei"),
        ]
        club = [m.seq for m in mei.received if isinstance(m, Message) and m.to == "#club"]
        assert club == list(range(1, len(club) + 1))


async def test_entries_of_all_come_once_in_order_of_seq(
    nodes: tuple[RunningServer, RunningServer],
) -> None:
    """Whatever others say at the same time, at this node and at others."""
    here, there = nodes
    async with (
        here.peer("mei", "log") as mei,
        here.peer("mei", "log") as phone,
        there.peer("mei", "log") as tablet,
        there.peer("bob", "log") as bob,
    ):
        peers = (mei, phone, tablet, bob)

        async def talk(peer: Peer, number: int) -> None:
            for count in range(25):
                cid = f"{number} {count}"
                await peer.send(Send(to="#lobby", text=cid, cid=cid, request_id=cid))
            for count in range(25):
                sent = await peer.expect(Sent)
                assert sent.cid == f"{number} {count}"
                assert any(
                    isinstance(m, Message) and (m.seq, m.cid) == (sent.seq, sent.cid)
                    for m in peer.received
                )

        async with trio.open_nursery() as nursery:
            for number, peer in enumerate(peers):
                nursery.start_soon(talk, peer, number)
        for peer in peers:
            while len(seqs := [m.seq for m in peer.received if isinstance(m, Message)]) < 100:
                await peer.receive()
            assert seqs == list(range(1, 101))


async def test_duplicate_is_acknowledged_after_what_came_before_it(
    nodes: tuple[RunningServer, RunningServer],
) -> None:
    """Tried again through another node, it is answered when that node has the entry itself."""
    here, there = nodes
    async with here.peer("mei") as mei, there.peer("mei", "log") as again:
        for number in range(30):
            one = Send(to="#lobby", text=f"{number}", cid=f"{number}")
            await mei.ask(one, Sent)
            dup = await again.ask(one, Sent)
            assert dup.dup
            assert [m.seq for m in own(again)] == list(range(1, dup.seq + 1))


async def test_session_without_the_log_is_sent_what_others_say_only(
    nodes: tuple[RunningServer, RunningServer],
) -> None:
    here, there = nodes
    async with here.peer("mei") as mei, there.peer("mei") as other, there.peer("bob") as bob:
        for peer in (mei, other):
            await peer.ask(Send(to="#lobby", text="mine"), Sent)
            await peer.ask(Send(to="@bob", text="mine"), Sent)
        await bob.ask(Send(to="#lobby", text="his"), Sent)
        await bob.ask(Send(to="@mei", text="his"), Sent)
        for peer in (mei, other):
            assert [(await peer.text()).text for _ in range(2)] == ["his", "his"]
            assert own(peer) == []


async def test_what_is_so_already_is_answered_ok_and_writes_nothing(
    nodes: tuple[RunningServer, RunningServer],
) -> None:
    here, there = nodes
    async with here.peer("mei", "log") as mei, there.peer("bob", "log") as bob:
        await write(mei, CreateRoom(room="#club", topic="News"))
        await write(bob, Join(room="#club"))
        await write(mei, Send(to="#club", text="hello"))
        requests: list[tuple[Peer, Any]] = [
            (mei, React(to="#club", seq=4, emoji="❤️")),
            (mei, Invite(room="#club", name="eve")),
            (mei, SetOperator(room="#club", name="Bob")),
            (mei, SetTopic(room="#club", topic="Gossip")),
            (mei, SetAccess(room="#club", private=True)),
            (mei, SetHistory(room="#club", history="hidden")),
            (bob, SetOperator(room="#club", name="MEI", on=False)),
        ]
        async with here.connect() as eve:
            await eve.register("eve")
        sent = []
        for number, (peer, request) in enumerate(requests):
            sent.append(await peer.ask(structs.replace(request, cid=f"{number}"), Sent))
            for cid in (None, "again"):
                done = await peer.ask(structs.replace(request, cid=cid), Ok)
                assert done.cid == cid, request
        for request in (Join(room="#CLUB"), React(to="#club", seq=4, emoji="❤", on=False)):
            await bob.ask(request, Ok)
        for number, ((peer, request), first) in enumerate(zip(requests, sent, strict=True)):
            again = await peer.ask(structs.replace(request, cid=f"{number}"), Sent)
            assert (again.seq, again.dup) == (first.seq, True), request
        page = await bob.ask(History(conv="#club", limit=100), HistoryPage)
        assert page.head == sent[-1].seq
        # Also where no reply is asked for: what comes is the answer.
        async with there.peer("bob") as minimal:
            await minimal.send(Join(room="#club"))
            assert await minimal.expect(Ok) == Ok()


async def test_what_changes_nothing_takes_no_token_of_the_rate_limit() -> None:
    limits = config(burst=3, per_second=1e-6)
    async with running_server(limits) as server, server.peer("mei") as mei:
        await mei.ask(Send(to="#lobby", text="hello"), Sent)
        await mei.ask(React(to="#lobby", seq=1, emoji="👍"), Sent)
        for _ in range(5):
            await mei.ask(React(to="#lobby", seq=1, emoji="👍"), Ok)
            await mei.ask(React(to="#lobby", seq=1, emoji="🎉", on=False), Ok)
        await mei.ask(Send(to="#lobby", text="one more"), Sent)
