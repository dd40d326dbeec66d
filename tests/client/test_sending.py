"""Sending messages: kept until acknowledged, sent again after a reconnect, in order, once."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest
from scripted_server import (
    FakeClock,
    Watcher,
    heard,
    lobby,
    logged_in,
    meanwhile,
    opened,
    said,
    scripted_server,
    seen,
)

from gochat.client import (
    ChatError,
    ConnectionLost,
    ConnectionState,
    Limits,
    Message,
    MessageId,
    Outgoing,
    OutgoingChanged,
    OutgoingState,
    Reset,
    StateChanged,
    Synchronised,
    open_client,
)
from gochat.client.options import InternalOptions
from gochat.client.outbox import RECENT_SECONDS
from gochat.client.outgoing import new_cid
from gochat.protocol import messages as wire

pytestmark = pytest.mark.anyio

PENDING, SENT, FAILED = OutgoingState


async def test_message_is_acknowledged_and_appears_once_in_its_position() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await events.next_of(Synchronised)
        outgoing = client.reply(MessageId("#Lobby", 1), "hello")
        assert (outgoing.state, client.outbox) == (PENDING, (outgoing,))
        await peer.send(said(1))
        request = await peer.expect(wire.Send)
        assert (request.to, request.text, request.reply_to) == ("#Lobby", "hello", 1)
        entry = wire.Message(
            to="#lobby", epoch="e1", seq=2, ts=22, from_="mei", text="hello", ref=1,
            cid=outgoing.cid, mentions=("mei",),
        )  # fmt: skip
        await peer.send(entry)
        assert (await outgoing.sent()).seq == 2
        assert (outgoing.state, client.outbox) == (SENT, ())
        await peer.reply(request, wire.Sent(to="#lobby", epoch="e1", seq=2, ts=22, cid=request.cid))
        await peer.send(said(3))
        assert await events.next() == heard(1)
        assert await events.next() == OutgoingChanged(outgoing)
        assert await events.next() == seen(entry)
        assert await events.next() == heard(3)


async def test_message_from_before_the_login_is_sent_with_it() -> None:
    async with opened() as (server, client):
        outgoing = client.send("#lobby", "early")
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.welcome()
        await peer.take("early", 1)
        await outgoing.sent()
        assert outgoing.sender == "mei"


async def test_message_with_a_lost_acknowledgement_is_sent_again() -> None:
    """The server accepted it, but the reply was lost: the same cid makes it SENT once, also if its
    entry comes later, in a page."""
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        outgoing = client.send("#lobby", "hello")
        first = await peer.expect(wire.Send)
        await peer.cut()
        peer = await server.accept()
        await peer.welcome(conversations=(lobby(0),))
        again = await peer.take("hello", 1, dup=True)
        assert again.cid == first.cid == outgoing.cid
        await outgoing.sent()
        await peer.send(said(1, "hello", from_="mei", cid=outgoing.cid), said(2))
        seen = []
        while not isinstance(event := await events.next(), Message) or event.seq != 2:
            if isinstance(event, Message | OutgoingChanged):
                seen.append(event)
        assert [type(event) for event in seen] == [OutgoingChanged, Message]


async def test_message_found_among_missed_entries_is_acknowledged() -> None:
    async with logged_in() as (server, client, peer):
        await peer.send(said(1))
        outgoing = client.send("#lobby", "hello")
        await peer.expect(wire.Send)
        await peer.cut()
        peer = await server.accept()
        entry = said(2, "hello", from_="mei", cid=outgoing.cid)
        await peer.welcome(conversations=(lobby(2, "e1", entry),))
        assert (await outgoing.sent()).seq == 2
        await peer.settle()  # it is not sent again


@pytest.mark.parametrize("way", ["history", "search"])
async def test_page_that_contains_a_message_acknowledges_it(way: str) -> None:
    async with logged_in() as (server, client, peer):
        outgoing = client.send("#lobby", "hello")
        request = await peer.expect(wire.Send)
        entry = said(2, "hello", from_="mei", cid=outgoing.cid)
        if way == "history":
            async with meanwhile(client.history, "#lobby"):
                page = wire.HistoryPage(conv="#lobby", epoch="e1", head=2, entries=(said(1), entry))
                await peer.reply(await peer.expect(wire.History), page)
        else:
            async with meanwhile(client.search, "hello"):
                await peer.reply(await peer.expect(wire.Search), wire.Found(hits=(entry,)))
        assert (outgoing.state, (await outgoing.sent()).seq, client.outbox) == (SENT, 2, ())
        conflict = wire.Error(code="cid_conflict", text="something else was said with this cid")
        await peer.reply(request, conflict)
        await peer.settle()
        assert outgoing.state is SENT
        await peer.cut()
        peer = await server.accept()
        await peer.welcome(conversations=(lobby(2, "e1", said(1), entry),))
        await peer.settle()  # it is not sent again


async def test_messages_arrive_in_order_through_reconnects() -> None:
    async with logged_in() as (server, client, peer):
        outgoing = [client.send("#lobby", text) for text in ("one", "two", "three")]
        await peer.take("one", 1)
        assert (await peer.expect(wire.Send)).text == "two"
        await peer.cut()
        peer = await server.accept()
        await peer.welcome(conversations=(lobby(1),))
        await peer.take("two", 2)
        await peer.take("three", 3)
        assert [(await one.sent()).seq for one in outgoing] == [1, 2, 3]


async def test_messages_to_several_conversations_are_in_flight_together() -> None:
    async with logged_in() as (_, client, peer):
        client.send("#lobby", "one")
        client.send("@bob", "two")
        client.send("@eve", "three")
        for text in ("one", "two", "three"):
            assert (await peer.expect(wire.Send)).text == text


async def test_rate_limit_in_the_middle_keeps_the_order() -> None:
    clock = FakeClock()
    async with logged_in(InternalOptions(clock=clock)) as (_, client, peer):
        outgoing = [client.send("#lobby", text) for text in ("one", "two", "three")]
        await peer.take("one", 1)
        request, behind = await peer.expect(wire.Send), await peer.expect(wire.Send)
        assert (request.text, request.n, behind.text, behind.n) == ("two", 2, "three", 3)
        error = wire.Error(code="rate_limited", text="slowly", retry_after=3.0, cid=request.cid)
        await peer.reply(request, error)
        error = wire.Error(code="out_of_order", text="2", args={"due": 2}, cid=behind.cid)
        await peer.reply(behind, error)
        await peer.settle()  # nothing is sent meanwhile
        assert [one.state for one in outgoing] == [SENT, PENDING, PENDING]
        await clock.pass_sleep(3)
        await peer.take("two", 2)
        await peer.take("three", 3)
        await outgoing[2].sent()


async def test_pace_stays_within_the_announced_limits() -> None:
    clock = FakeClock()
    limits = Limits(frame_bytes=65536, text_chars=4000, burst=2, per_second=4.0, history_page=200)
    async with logged_in(InternalOptions(clock=clock), limits=limits) as (_, client, peer):
        for text in ("one", "two", "three"):
            client.send("#lobby", text)
        await peer.take("one", 1)
        await peer.take("two", 2)
        await peer.settle()
        await clock.pass_sleep(0.25)
        await peer.take("three", 3)


async def test_refused_message_fails_and_later_ones_go_on() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        first, second = client.send("@nobody", "one"), client.send("@nobody", "two")
        request = await peer.expect(wire.Send)
        error = wire.Error(code="unknown_person", text="no account is named nobody", field="to")
        await peer.reply(request, error)
        with pytest.raises(ChatError, match="no account is named nobody") as caught:
            await first.sent()
        assert (caught.value.code, caught.value.field) == ("unknown_person", "to")
        assert await events.next_of(OutgoingChanged) == OutgoingChanged(first)
        await peer.take("two", 1)
        await second.sent()
        assert client.outbox == (first,)
        client.retry(first)
        assert await events.next_of(OutgoingChanged) == OutgoingChanged(second)
        await events.next_of(Message)
        assert await events.next() == OutgoingChanged(first)
        assert first.state is PENDING
        await peer.take("one", 2)
        await first.sent()


async def test_failed_message_can_be_discarded() -> None:
    async with logged_in() as (_, client, peer):
        outgoing = client.send("@nobody", "one")
        error = wire.Error(code="unknown_person", text="no account is named nobody")
        await peer.reply(await peer.expect(wire.Send), error)
        with pytest.raises(ChatError):
            await outgoing.sent()
        client.discard(outgoing)
        assert client.outbox == ()
        client.retry(outgoing)
        await peer.settle()


async def test_message_that_fits_no_frame_fails() -> None:
    async with logged_in() as (_, client, peer):
        too_long, fine = client.send("#lobby", "x" * 70_000), client.send("#lobby", "fine")
        await peer.take("fine", 1)
        await fine.sent()
        with pytest.raises(ChatError) as caught:
            await too_long.sent()
        assert caught.value.code == "frame_too_large"


async def test_wait_for_a_message_can_be_cancelled() -> None:
    async with logged_in() as (_, client, peer):
        outgoing = client.send("#lobby", "hello")
        with anyio.move_on_after(0):
            await outgoing.sent()
        assert outgoing.state is PENDING
        await peer.take("hello", 1)
        assert (await outgoing.sent()).seq == 1


async def test_several_tasks_can_wait_for_a_message() -> None:
    async with logged_in() as (_, client, peer):
        outgoing = client.send("#lobby", "hello")
        async with meanwhile(outgoing.sent) as one, meanwhile(outgoing.sent) as two:
            await peer.take("hello", 1)
        assert one.result() == two.result()


async def test_client_reconnects_if_a_message_gets_no_reply() -> None:
    clock = FakeClock()
    options = InternalOptions(clock=clock, heartbeat_interval=1e6, random=lambda: 0.0)
    async with logged_in(options) as (server, client, peer):
        events = Watcher(client)
        outgoing = client.send("#lobby", "hello")
        await peer.expect(wire.Send)
        await clock.pass_sleep(30)
        while (changed := await events.next_of(StateChanged)).state is not (
            ConnectionState.RECONNECTING
        ):
            pass
        assert changed.reason == "the server did not answer within 30 s"
        peer = await server.accept()
        await peer.welcome()
        await peer.take("hello", 1)
        await outgoing.sent()


async def test_messages_lost_by_the_server_are_resent_before_new_ones() -> None:
    """A lagging replica took over: it lacks messages that the old master had acknowledged."""
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        kept, lost = client.send("#lobby", "kept"), client.send("#lobby", "lost")
        await peer.take("kept", 1)
        await peer.take("lost", 2)
        await lost.sent()
        await peer.cut()
        new = client.send("#lobby", "new")
        peer = await server.accept()
        entry = said(1, "kept", epoch="e2", from_="mei", cid=kept.cid)
        await peer.welcome(conversations=(lobby(1, "e2", entry, reset=True),))
        assert await events.next_of(Reset) == Reset("#lobby", "e2", (seen(entry),))
        assert await events.next() == OutgoingChanged(lost)
        assert (lost.state, client.outbox) == (PENDING, (lost, new))
        assert (await peer.take("lost", 2, epoch="e2")).cid == lost.cid
        await peer.take("new", 3, epoch="e2")
        await new.sent()
        assert (lost.state, kept.state) == (SENT, SENT)
        assert [(await events.next_of(Message)).text for _ in range(2)] == ["lost", "new"]


async def test_new_history_is_noticed_from_an_own_entry() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        first, second = client.send("#lobby", "first"), client.send("#lobby", "second")
        await peer.take("first", 1)
        await peer.take("second", 1, epoch="e2")
        await second.sent()
        request = await peer.expect(wire.History)
        entry = said(1, "second", epoch="e2", from_="mei", cid=second.cid)
        page = wire.HistoryPage(conv="#lobby", epoch="e2", head=1, entries=(entry,))
        await peer.reply(request, page)
        await peer.take("first", 2, epoch="e2")
        await first.sent()
        reset = await events.next_of(Reset)
        assert reset.entries == (seen(entry),)


async def test_nothing_goes_before_what_a_new_history_may_lack() -> None:
    """What was acknowledged before comes first, though it is known to be lost only later."""
    async with logged_in() as (_, client, peer):
        old = client.send("#lobby", "old")
        await peer.take("old", 1)
        await old.sent()
        await peer.send(said(1, epoch="e2"))
        request = await peer.expect(wire.History)
        new, other = client.send("#lobby", "new"), client.send("@bob", "other")
        await peer.take("other", 1)
        await other.sent()
        page = wire.HistoryPage(conv="#lobby", epoch="e2", head=1, entries=(said(1, epoch="e2"),))
        await peer.reply(request, page)
        await peer.take("old", 2, epoch="e2")
        await peer.take("new", 3, epoch="e2")
        await new.sent()


async def test_messages_lost_with_their_room_are_resent_whenever_it_is_there_again() -> None:
    clock = FakeClock()
    options = InternalOptions(
        clock=clock, heartbeat_interval=1e6, gap_grace=0.0, random=lambda: 0.0
    )
    async with opened(options) as (server, client):
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.welcome(conversations=(lobby(0), lobby(0, conv="#kitchen")))
        lost = client.send("#kitchen", "lost")
        await peer.take("lost", 1)
        await lost.sent()
        await peer.cut()
        peer = await server.accept()
        await peer.welcome(conversations=(lobby(0, "e2", reset=True),), gone=("#kitchen",))
        clock.advance(10 * RECENT_SECONDS)  # until it is found and joined again
        join = said(1, "", kind="join", to="#kitchen", epoch="e2", from_="mei")
        await peer.send(join)
        request = await peer.expect(wire.History)
        page = wire.HistoryPage(conv="#kitchen", epoch="e2", head=1, entries=(join,))
        await peer.reply(request, page)
        await peer.take("lost", 2, epoch="e2")
        await lost.sent()


async def test_waiting_messages_are_sent_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    async with logged_in(outbox=path) as (_, client, peer):
        first, second = client.send("#lobby", "one"), client.send("#lobby", "two")
        await peer.expect(wire.Send)
    async with opened(outbox=path) as (server, client):
        assert [outgoing.cid for outgoing in client.outbox] == [first.cid, second.cid]
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.welcome(conversations=(lobby(1),))
        assert (await peer.take("one", 1, dup=True)).cid == first.cid
        assert (await peer.take("two", 2)).cid == second.cid
        await peer.settle()
    async with opened(outbox=path) as (_, client):
        assert client.outbox == ()


async def test_messages_of_another_account_are_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    async with logged_in(outbox=path) as (_, client, peer):
        client.send("#lobby", "by mei")
        await peer.expect(wire.Send)
    async with opened(outbox=path) as (server, client):
        async with meanwhile(client.log_in, "bob", "correct horse"):
            peer = await server.accept()
            await peer.welcome("bob")
        assert client.outbox == ()
        client.send("#lobby", "by bob")
        await peer.take("by bob", 1)


async def test_sending_with_a_closed_client_is_refused() -> None:
    async with scripted_server() as server, open_client(server.url) as client:
        pass
    with pytest.raises(ConnectionLost, match="closed"):
        client.send("#lobby", "hello")


async def test_waiting_for_a_message_ends_with_the_client() -> None:
    """Otherwise a task would wait for ever for a message that is never sent."""
    waiting: list[Outgoing] = []
    async with anyio.create_task_group() as tasks:
        async with scripted_server() as server, open_client(server.url) as client:
            waiting.append(client.send("#lobby", "hello"))

            async def wait() -> None:
                with pytest.raises(ConnectionLost, match="closed"):
                    await waiting[0].sent()

            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()


def test_ids_of_one_hour_begin_alike_and_tell_nobody_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    for now in (1_764_536_400.0, 1_764_536_401.0, 1_764_539_999.9, 1_764_540_000.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        made.append(new_cid())
    assert [len(bytes.fromhex(cid)) for cid in made] == [16] * 4
    assert made[0][:5] == made[1][:5] == made[2][:5] < made[3][:5]
    assert len({cid[5:] for cid in made}) == 4
