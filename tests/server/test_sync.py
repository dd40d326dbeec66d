"""Catching up by `sync`, with bare frames: on a server with SQLite, and on two with one Redis."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec import structs
from patience import PATIENCE, until
from peers import Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer
from trio.testing import MockClock

from gochat.chat.log import Page
from gochat.protocol.codec import encode
from gochat.protocol.framing import HEADER_SIZE
from gochat.protocol.messages import (
    Conversation,
    CreateRoom,
    Edit,
    Error,
    Invite,
    Join,
    Kick,
    Leave,
    LoggedIn,
    Mark,
    Marked,
    Message,
    Ok,
    Payload,
    Position,
    Resume,
    Send,
    Sent,
    SetHistory,
    Sync,
    Synced,
)
from gochat.server import sockets, sync
from gochat.server.session import Session
from gochat.server.session_loop import SessionLoop
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio

FRAME = 64 * 1024
#: So many positions fit a frame with names that are not the longest.
MAX_POSITIONS = 400


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def stores(request: pytest.FixtureRequest) -> list[str]:
    """The URL of each server's store."""
    if request.param == "sqlite":
        return ["sqlite:///:memory:"]
    redis: RedisServer = request.getfixturevalue("redis_server")
    return [Nodes(redis).url()] * 2


@pytest.fixture
async def servers(stores: list[str]) -> AsyncIterator[list[RunningServer]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_server(config(store=s))) for s in stores]


async def say(peer: Peer, to: str, *texts: str) -> Sent:
    """Send messages and return the last acknowledgement."""
    return [await peer.ask(Send(to=to, text=text), Sent) for text in texts][-1]


async def pages(peer: Peer, *have: Position, limit: int = 50) -> list[Synced]:
    """Return all pages."""
    found: list[Synced] = []
    after: str | None = ""
    while after is not None:
        left = sorted((p for p in have if p.conv > (after or "")), key=attrgetter("conv"))
        some = left[:MAX_POSITIONS]
        page = await peer.ask(Sync(after=after, have=tuple(some), limit=limit), Synced)
        after = page.next
        if len(some) < len(left) and (after is None or after > some[-1].conv):
            # What comes after these is for the next page.
            after = some[-1].conv
            listed = [one for one in page.conversations if one.conv <= after]
            page = structs.replace(page, conversations=tuple(listed))
        found.append(page)
    return found


async def synced(peer: Peer, *have: Position, limit: int = 50) -> dict[str, Conversation]:
    """Return all conversations that have changed, by address."""
    found = await pages(peer, *have, limit=limit)
    return {one.conv: one for page in found for one in page.conversations}


def position(of: Conversation) -> Position:
    """Return the position of a client that has all of a conversation."""
    return Position(
        conv=of.conv, epoch=of.epoch, seq=of.head, ts=of.ts, read=of.read, level=of.level
    )


def texts(of: Conversation) -> list[str]:
    return [entry.text for entry in of.entries]


async def test_first_sync_lists_all_with_their_newest_entries(servers: list[RunningServer]) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await mei.ask(CreateRoom(room="#Garden"), Sent)
        await say(mei, "#lobby", *"abc")
        last = await say(mei, "@bob", "psst")
        found = await synced(bob, limit=2)
        assert list(found) == ["#lobby", "@mei"]
        assert texts(found["#lobby"]) == ["b", "c"]
        assert found["@mei"] == Conversation(
            conv="@mei",
            epoch=last.epoch,
            head=1,
            ts=last.ts,
            unread=1,
            entries=found["@mei"].entries,
        )
        assert list(await synced(mei)) == ["#Garden", "#lobby", "@bob"]


async def test_unchanged_conversations_are_left_out(servers: list[RunningServer]) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await say(mei, "#lobby", "one")
        await say(mei, "@bob", "psst")
        have = [position(one) for one in (await synced(bob)).values()]
        (page,) = await pages(bob, *have)
        assert (page.conversations, page.gone) == ((), ())
        await say(mei, "@bob", "again")
        found = await synced(bob, *have)
        assert {conv: texts(one) for conv, one in found.items()} == {"@mei": ["again"]}
        assert not found["@mei"].reset


async def test_changed_marker_or_level_lists_a_conversation(servers: list[RunningServer]) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await say(mei, "#lobby", "one")
        before = (await synced(bob))["#lobby"]
        await bob.ask(Mark(conv="#lobby", read=1), Ok)
        found = (await synced(bob, position(before)))["#lobby"]
        assert (found.read, found.unread, found.entries, found.reset) == (1, 0, (), False)
        await bob.ask(Mark(conv="#lobby", level="none"), Ok)
        found = (await synced(bob, position(found)))["#lobby"]
        assert (found.level, found.entries) == ("none", ())
        assert await synced(bob, position(found)) == {}
        for unknown in ("read", "level"):
            had = structs.replace(position(found), **{unknown: None})
            assert list(await synced(bob, had)) == ["#lobby"]


@pytest.mark.parametrize("limit", [0, 1, 3, 50])
async def test_entries_are_the_newest_after_the_position(
    servers: list[RunningServer], limit: int
) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await say(mei, "#lobby", "0")
        had = position((await synced(bob))["#lobby"])
        await say(mei, "#lobby", *"1234")
        await mei.ask(Edit(to="#lobby", seq=4, text="three"), Sent)
        found = (await synced(bob, had, limit=limit))["#lobby"]
        seqs = [entry.seq for entry in found.entries]
        assert seqs == list(range(7 - min(limit, 5), 7))
        assert (found.head, found.reset) == (6, False)
        if limit >= 3:
            assert texts(found)[-3:] == ["three", "4", "three"]  # as they read now


@pytest.mark.parametrize("wrong", ["epoch", "ts", "ts behind", "ts far behind", "ahead"])
async def test_position_in_another_log_is_reset(servers: list[RunningServer], wrong: str) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await say(mei, "#lobby", *"abcdefgh")
        entries = (await synced(bob))["#lobby"].entries
        right = position((await synced(bob))["#lobby"])
        behind = structs.replace(right, seq=6, ts=entries[5].ts)
        far = structs.replace(right, seq=2, ts=entries[1].ts)
        for had, missed in ((behind, "gh"), (far, "fgh")):
            found = (await synced(bob, had, limit=3))["#lobby"]
            assert (texts(found), found.reset) == (list(missed), False)
        had = {
            "epoch": structs.replace(right, epoch="another"),
            "ts": structs.replace(right, ts=right.ts - 1),
            "ts behind": structs.replace(behind, ts=behind.ts - 1),
            "ts far behind": structs.replace(far, ts=far.ts - 1),
            "ahead": structs.replace(right, seq=9),
        }[wrong]
        found = (await synced(bob, had, limit=3))["#lobby"]
        assert (texts(found), found.reset) == (list("fgh"), True)


async def test_position_without_entries_is_of_any_log_with_its_epoch(
    servers: list[RunningServer],
) -> None:
    async with servers[0].peer("mei", "log") as mei:
        empty = (await synced(mei))["#lobby"]
        assert (empty.head, empty.ts, empty.entries) == (0, 0, ())
        assert await synced(mei, position(empty)) == {}
        await say(mei, "#lobby", "one")
        found = (await synced(mei, position(empty)))["#lobby"]
        assert (texts(found), found.reset) == (["one"], False)


async def test_store_that_was_changed_by_other_means_is_noticed(tmp_path: Path) -> None:
    """As one that was restored from a backup; the log is as long as before."""
    path = tmp_path / "gochat.db"
    store = f"sqlite:///{path}"
    async with running_server(config(store=store)) as server, server.peer("mei", "log") as mei:
        await say(mei, "#lobby", "as it was")
        had = position((await synced(mei))["#lobby"])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE entry SET text = 'as it is'")
    db.close()
    async with running_server(config(store=store)) as server, server.peer("mei", "log") as mei:
        found = (await synced(mei, had))["#lobby"]
        assert (found.epoch != had.epoch, found.head) == (True, had.seq)
        assert (texts(found), found.reset) == (["as it is"], True)


async def test_positions_that_are_not_the_persons_are_gone(servers: list[RunningServer]) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await mei.ask(CreateRoom(room="#den", private=True), Sent)
        await mei.ask(Invite(room="#den", name="bob"), Sent)
        convs = ["#den", "#nowhere", "@mei", "@nobody", "nonsense", ""]
        have = [Position(conv=conv, epoch="x", seq=1, ts=1) for conv in convs]
        (page,) = [await bob.ask(Sync(have=tuple(have)), Synced)]
        assert page.gone == ("#den", "#nowhere", "@mei", "@nobody", "nonsense")
        assert [one.conv for one in page.conversations] == ["#lobby"]
        await bob.ask(Join(room="#den"), Sent)
        await bob.ask(Leave(room="#den"), Sent)
        assert "#den" in (await bob.ask(Sync(have=tuple(have)), Synced)).gone


async def test_last_of_several_positions_counts_however_it_is_spelled(
    servers: list[RunningServer],
) -> None:
    async with servers[0].peer("mei", "log") as mei:
        await say(mei, "#lobby", *"abc")
        right = position((await synced(mei))["#lobby"])
        wrong = [structs.replace(right, conv=conv, seq=0, ts=0) for conv in ("#lobby", "#Lobby")]
        reply = await mei.ask(Sync(have=(*wrong, right)), Synced)
        assert reply.conversations == ()
        reply = await mei.ask(Sync(have=(right, *wrong)), Synced)
        assert [texts(one) for one in reply.conversations] == [["a", "b", "c"]]
        assert reply.gone == ()


async def test_room_left_and_rejoined_meanwhile(servers: list[RunningServer]) -> None:
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        await mei.ask(CreateRoom(room="#den", private=True), Sent)
        await mei.ask(Invite(room="#den", name="bob"), Sent)
        await bob.ask(Join(room="#den"), Sent)
        had = position((await synced(bob))["#den"])
        await mei.ask(SetHistory(room="#den", history="hidden"), Sent)
        await mei.ask(Kick(room="#den", name="bob"), Sent)
        await say(mei, "#den", "a secret")
        (page,) = await pages(bob, had)
        assert page.gone == ("#den",)
        await mei.ask(Invite(room="#den", name="bob"), Sent)
        joined = await bob.ask(Join(room="#den"), Sent)
        await say(mei, "#den", "welcome back")
        # Below the floor even the time of an entry is hidden, so it is not compared.
        for wrong in (had, structs.replace(had, ts=1), structs.replace(had, seq=joined.seq - 1)):
            found = (await synced(bob, wrong))["#den"]
            assert (found.floor, found.reset) == (joined.seq - 1, False)
            assert [(entry.kind, entry.seq) for entry in found.entries] == [
                ("join", joined.seq),
                ("text", joined.seq + 1),
            ]


async def test_member_who_is_removed_between_two_reads_gets_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_server() as server:
        async with server.peer("mei", "log") as mei, server.peer("bob", "log") as bob:
            await mei.ask(CreateRoom(room="#den"), Sent)
            await bob.ask(Join(room="#den"), Sent)
            had = position((await synced(bob))["#den"])
            read = SqliteStore.page

            async def page(store: SqliteStore, *what: Any, **options: Any) -> Page:
                monkeypatch.undo()
                await mei.ask(Kick(room="#den", name="bob"), Sent)
                await say(mei, "#den", "a secret")
                return await read(store, *what, **options)

            await say(mei, "#den", "psst")
            monkeypatch.setattr(SqliteStore, "page", page)
            (reply,) = await pages(bob, had)
            assert reply.gone == ("#den",)
            assert "secret" not in repr(reply)


async def test_pages_fit_their_frames_and_go_on_where_they_end(
    servers: list[RunningServer],
) -> None:
    rooms = [f"#room{number:02}" for number in range(12)]
    async with servers[0].peer("mei", "log") as mei:
        for room in rooms:
            await mei.ask(CreateRoom(room=room), Sent)
            await say(mei, room, *['"\\\n' * 1000] * 3)
        found = await pages(mei)
        assert len(found) > 2
        assert all(len(encode(page)) - HEADER_SIZE <= FRAME for page in found)
        listed = [one for page in found for one in page.conversations]
        assert [one.conv for one in listed] == ["#lobby", *rooms]
        assert all([entry.seq for entry in one.entries] == [1, 2, 3, 4] for one in listed[1:])
        assert [page.next for page in found[:-1]] == [
            page.conversations[-1].conv for page in found[:-1]
        ]
        # One that is too large for any page has fewer entries, the newest.
        await say(mei, rooms[0], *["x" * 4000] * 50)
        large = (await synced(mei, limit=200))[rooms[0]]
        assert 10 < len(large.entries) < 50
        assert large.entries[-1].seq == large.head
        assert large.entries[0].seq == large.head - len(large.entries) + 1


async def test_page_looks_up_a_bounded_number(
    servers: list[RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "MAX_WALKED", 3)
    rooms = [f"#r{number}" for number in range(8)]
    async with servers[0].peer("mei", "log") as mei:
        for room in rooms:
            await mei.ask(CreateRoom(room=room), Sent)
        have = [position(one) for one in (await synced(mei)).values()]
        gone = [Position(conv=f"#q{number}", epoch="x", seq=1, ts=1) for number in range(4)]
        found = await pages(mei, *have, *gone)
        assert [page.next for page in found] == ["#r1", "#r4", None]
        assert [page.conversations for page in found] == [()] * len(found)
        assert [conv for page in found for conv in page.gone] == [one.conv for one in gone]


async def test_changes_nothing_and_follows_events(servers: list[RunningServer]) -> None:
    """A page may be ahead of the events, never behind them."""
    async with servers[0].peer("mei", "log") as mei, servers[-1].peer("bob", "log") as bob:
        for seq in range(1, 21):
            await say(mei, "#lobby", str(seq))
            assert (await synced(bob))["#lobby"].head == seq
        with trio.fail_after(PATIENCE):
            while not any(isinstance(m, Message) and m.seq == 20 for m in bob.received):
                await bob.receive()
        seqs = [m.seq for m in bob.received if isinstance(m, Message)]
        assert seqs == list(range(1, 21))
        assert not [m for m in bob.received if isinstance(m, Marked)]
        assert (await synced(bob))["#lobby"].unread == 20


async def test_can_be_sent_right_behind_resume(servers: list[RunningServer]) -> None:
    async with servers[0].peer("mei", "log") as mei:
        async with servers[-1].peer("bob", "log") as bob:
            had = position((await synced(bob))["#lobby"])
        await say(mei, "#lobby", *"abc")
        async with servers[-1].connect() as again:
            await again.send(Resume(token=bob.token, caps=("log",)), Sync(have=(had,)))
            await again.expect(LoggedIn)
            reply = await again.expect(Synced)
            assert [texts(one) for one in reply.conversations] == [["a", "b", "c"]]
            await say(mei, "#lobby", "live")
            await again.expect(Message, lambda entry: entry.text == "live")


async def test_client_that_resumes_after_each_kill_misses_nothing(
    servers: list[RunningServer],
) -> None:
    """A client that follows the rules of the page, in bare frames."""
    total = 300
    async with servers[0].peer("mei", "log") as mei, AsyncExitStack() as stack:
        async with servers[-1].peer("bob", "log") as bob:
            token = bob.token
            had = position((await synced(bob))["#lobby"])

        async def talk() -> None:
            for number in range(total):
                await say(mei, "#lobby", str(number))

        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(talk)
        seen: list[str] = []
        round_ = 0
        while len(seen) < total:
            round_ += 1
            async with servers[round_ % len(servers)].connect() as again:
                await again.send(Resume(token=token, caps=("log",)), Sync(have=(had,), limit=200))
                await again.expect(LoggedIn)
                aside: list[Message] = []
                reply: Synced | None = None
                while reply is None:
                    match await again.receive():
                        case Message() as entry:
                            aside.append(entry)
                        case Synced() as reply:
                            pass
                entries = [e for one in reply.conversations for e in one.entries] + aside
                for _ in range(7):
                    for entry in entries:
                        if entry.seq > had.seq:
                            assert entry.seq == had.seq + 1
                            seen.append(entry.text)
                            had = structs.replace(had, seq=entry.seq, ts=entry.ts)
                    if len(seen) >= total:
                        break
                    entries = [await again.text()]
        assert seen == [str(number) for number in range(total)]


async def test_day_of_absence_with_a_thousand_conversations() -> None:
    async with running_server() as server, server.peer("mei", "log") as mei:
        for number in range(1000):
            await mei.ask(CreateRoom(room=f"#r{number:03}"), Sent)
        have, changed = await synced(mei, limit=0), ("#r100", "#r500", "#r900")
        assert len(have) == 1001
        for room in changed:
            await say(mei, room, *"abc")
        found = await pages(mei, *map(position, have.values()))
        assert [one.conv for page in found for one in page.conversations] == list(changed)
        assert all(texts(one) == list("abc") for page in found for one in page.conversations)


# -- what it costs ------------------------------------------------------------------------------


async def test_page_ends_where_the_budget_does_and_each_makes_progress(
    monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock
) -> None:
    monkeypatch.setattr(Session, "hold_back", lambda *_: None)  # time only passes below
    limits = config(request_budget=100, request_budget_per_second=20)
    async with running_server(limits) as server, server.peer("mei", "log") as mei:
        for number in range(150):
            await mei.ask(CreateRoom(room=f"#r{number:03}"), Sent)
        await mei.ask(Sync(limit=0), Synced)
        listed, refused, after = [], 0, ""
        with trio.fail_after(PATIENCE):
            while True:
                reply = await mei.ask(Sync(after=after, limit=0), Payload)
                if isinstance(reply, Error):
                    assert reply.code == "rate_limited"
                    refused += 1
                    mock_clock.jump(reply.retry_after or 0)
                    continue
                assert isinstance(reply, Synced)
                assert reply.conversations
                listed += [one.conv for one in reply.conversations]
                if reply.next is None:
                    break
                after = reply.next
        assert listed == sorted(["#lobby", *(f"#r{number:03}" for number in range(150))])
        assert refused


async def test_doubled_positions_bring_no_conversation_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = 0
    read = SqliteStore.conversation

    async def conversation(store: SqliteStore, *what: Any) -> Conversation | None:
        nonlocal reads
        reads += 1
        return await read(store, *what)

    monkeypatch.setattr(SqliteStore, "conversation", conversation)
    async with running_server() as server, server.peer("mei", "log") as mei:
        await say(mei, "#lobby", *"abc")
        have = tuple(Position(conv="#lobby", epoch="x", seq=n, ts=n) for n in range(500))
        reply = await mei.ask(Sync(have=have), Synced)
        assert [(one.conv, one.reset) for one in reply.conversations] == [("#lobby", True)]
        assert reads == 1


async def test_many_positions_of_strangers_are_answered_in_a_frame() -> None:
    async with running_server() as server, server.peer("mei", "log") as mei:
        convs = [f"@{number:03}" + "\x01" * 40 for number in range(100)]
        have = [Position(conv=conv, epoch="", seq=0, ts=0) for conv in convs]
        found = await pages(mei, *have)
        assert all(len(encode(page)) - HEADER_SIZE <= FRAME for page in found)
        assert [conv for page in found for conv in page.gone] == sorted(convs)


async def test_reads_end_with_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_server() as server, server.peer("mei", "log") as mei:
        for number in range(100):
            await mei.ask(CreateRoom(room=f"#r{number:03}"), Sent)
        reads, begun, may_go_on = 0, trio.Event(), trio.Event()
        read, ended = SqliteStore.conversation, trio.Event()
        run, sessions = SessionLoop.run, list[Session]()

        async def conversation(store: SqliteStore, *what: Any) -> Conversation | None:
            nonlocal reads
            reads += 1
            begun.set()
            await may_go_on.wait()
            return await read(store, *what)

        async def noted(loop: SessionLoop) -> None:
            sessions.append(loop._session)
            await run(loop)
            ended.set()

        monkeypatch.setattr(SqliteStore, "conversation", conversation)
        monkeypatch.setattr(SessionLoop, "run", noted)
        async with server.connect() as again:
            await again.send(Resume(token=mei.token, caps=("log",)), Sync())
            with trio.fail_after(PATIENCE):
                await begun.wait()
        [descriptor] = [session._descriptor for session in sessions]
        assert descriptor is not None
        await until(lambda: sockets.has_left(descriptor))
        may_go_on.set()
        with trio.fail_after(PATIENCE):
            await ended.wait()
        assert reads <= 2
