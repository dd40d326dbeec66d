"""The stream of events: complete, in order, bounded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import anyio
import anyio.lowlevel
import pytest
from patience import PATIENCE
from scripted_server import (
    QUICK,
    FakeClock,
    Watcher,
    heard,
    lobby,
    logged_in,
    meanwhile,
    opened,
    said,
    seen,
)

from gochat.client import (
    ConnectionState,
    Invitation,
    Invited,
    IsTyping,
    Marked,
    Message,
    NewLogin,
    Person,
    Presence,
    StateChanged,
    Status,
    Synchronised,
    Uninvited,
    UnknownEntry,
)
from gochat.client.buffer import EVENT_BUFFER, EVENT_BUFFER_BEFORE_REPLY, EventBuffer
from gochat.client.entries import Entry
from gochat.client.options import InternalOptions
from gochat.protocol import messages as wire
from gochat.protocol.messages import EntryKind

pytestmark = pytest.mark.anyio


def test_private_conversation_is_named_as_its_receiver_sees_it() -> None:
    """By the server: the client compares no names."""
    assert heard(1, to="@mei", from_="bob").conversation == "@bob"
    assert heard(1, to="@bob", from_="mei").conversation == "@bob"
    assert heard(1).conversation == "#lobby"


@pytest.mark.parametrize("kind", get_args(EntryKind))
def test_entry_of_each_kind_has_a_type_of_its_own(kind: str) -> None:
    entry = heard(2, "bob", kind=kind, ref=1)
    assert isinstance(entry, Entry)
    assert not isinstance(entry, UnknownEntry)


async def test_entry_of_a_kind_that_only_a_newer_server_knows_is_counted() -> None:
    """Live and in a page: nothing after it waits, and the connection stays."""
    async with opened() as (server, client):
        events = Watcher(client)
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.welcome(conversations=(lobby(1, "e1", said(1)),))
        assert await events.next_of(Message) == heard(1)
        await peer.send(said(2, kind="vote", ref=1), said(3))
        unknown = await events.next()
        assert isinstance(unknown, UnknownEntry)
        assert (unknown.kind, unknown.seq, unknown.sender) == ("vote", 2, "bob")
        assert await events.next() == heard(3)

        await peer.cut()
        peer = await server.accept()
        missed = said(4, kind="poll")
        await peer.welcome(conversations=(lobby(5, "e1", missed, said(5)),))
        assert await events.next_of(UnknownEntry) == seen(missed)
        assert await events.next() == heard(5)


async def test_server_events_are_yielded_in_order() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await events.next_of(Synchronised)
        status = wire.Status(emoji="🌴", text="on holiday", until=1_000)
        bob = wire.Person(name="bob", away="tea", status=status)
        await peer.send(
            wire.Presence(online=(bob,), offline=("eve",)),
            wire.Marked(conv="#lobby", read=3, unread=1),
            wire.IsTyping(to="@mei", from_="bob", conv="@bob"),
            wire.IsTyping(to="@bob", from_="mei"),
            wire.Invited(room="#garden", from_="bob", ts=1_000, topic="trees"),
            wire.Uninvited(room="#garden"),
            login := NewLogin(address="192.0.2.1", by="token"),
            said(1),
        )
        second = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
        invitation = Invitation(room="#garden", sender="bob", topic="trees", time=second)
        shown = Status(emoji="🌴", text="on holiday", until=second)
        assert [await events.next() for _ in range(8)] == [
            Presence(online=(Person(name="bob", away="tea", status=shown),), offline=("eve",)),
            Marked(conversation="#lobby", read=3, unread=1, mentions=0, level="all"),
            IsTyping("@bob", "bob"),
            IsTyping("@bob", "mei"),
            Invited(invitation),
            Uninvited("#garden"),
            login,
            heard(1),
        ]


async def test_events_during_the_snapshot_follow_it() -> None:
    async with opened() as (server, client):
        events = Watcher(client)
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            first, second = wire.Presence(offline=("bob",)), said(8)
            await peer.accept_login("mei", first)
            await peer.reply(await peer.expect(wire.Sync), wire.Synced(conversations=(lobby(8),)))
            await peer.send(second)
            await peer.reply(await peer.expect(wire.Who), wire.People(people=(), total=0))
        await peer.send(said(9))
        assert await events.next() == StateChanged(ConnectionState.CONNECTING)
        assert await events.next() == StateChanged(ConnectionState.CONNECTED)
        assert isinstance(await events.next(), Synchronised)
        left = Presence(offline=("bob",))
        assert [await events.next() for _ in range(3)] == [left, seen(second), heard(9)]


async def test_message_already_counted_by_the_snapshot_is_not_lost() -> None:
    """The list may include a message whose event is still on its way."""
    async with opened() as (server, client):
        events = Watcher(client)
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.welcome(conversations=(lobby(8),))
        await peer.send(said(8), said(9))
        assert [(await events.next_of(Message)).seq for _ in range(2)] == [8, 9]


async def test_refused_snapshot_is_requested_again() -> None:
    clock = FakeClock()
    async with opened(InternalOptions(clock=clock)) as (server, client):
        events = Watcher(client)
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.accept_login()
        error = wire.Error(code="unavailable", text="later", retry_after=4.0)
        await peer.reply(await peer.expect(wire.Sync), error)
        await peer.send(said(1))
        await clock.pass_sleep(4)
        await peer.reply(await peer.expect(wire.Sync), wire.Synced(conversations=()))
        await peer.reply(await peer.expect(wire.Who), wire.People(people=(), total=0))
        await events.next_of(Synchronised)
        assert await events.next() == heard(1)


async def test_event_is_delivered_once_over_all_iterators() -> None:
    async with logged_in() as (_, client, peer):
        await peer.send(said(1), said(2))
        async for event in client:
            if event == heard(1):
                break
        async for event in client:
            assert event == heard(2)
            break


async def test_two_tasks_cannot_wait_for_the_next_event() -> None:
    async with logged_in() as (_, client, _), anyio.create_task_group() as tasks:
        await Watcher(client).next_of(Synchronised)

        async def wait() -> None:
            await anext(aiter(client))

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="another task waits"):
            await anext(aiter(client))
        tasks.cancel_scope.cancel()


async def test_cancelled_wait_takes_no_event() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await events.next_of(Synchronised)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await events.next()
        await peer.send(said(1))
        await peer.settle()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await events.next()
        assert await events.next() == heard(1)


async def test_slow_consumer_pauses_reading_and_loses_nothing() -> None:
    batches, batch = 256, 32
    text = "x" * 4000  # 32 MB together, far more than sockets buffer
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await events.next_of(Synchronised)
        done = anyio.Event()

        async def flood() -> None:
            for first in range(1, batches * batch, batch):
                await peer.send(*(said(seq, text) for seq in range(first, first + batch)))
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flood)
            connection = client._supervisor._connection
            assert connection is not None
            with anyio.fail_after(PATIENCE):
                while not connection._is_paused:  # it has not stopped reading yet
                    await anyio.lowlevel.checkpoint()
            assert not done.is_set()
            for seq in range(1, batches * batch + 1):
                assert (await events.next_of(Message)).seq == seq


async def test_consumer_can_make_requests_however_many_events_wait() -> None:
    """The reply comes after events that the waiting task does not take meanwhile."""
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await events.next_of(Synchronised)
        async with meanwhile(client.rooms) as outcome:
            request = await peer.expect(wire.Rooms)
            for first in range(1, 4 * EVENT_BUFFER, 256):
                await peer.send(*(said(seq) for seq in range(first, first + 256)))
            await peer.reply(request, wire.RoomList(rooms=()))
        assert outcome.result() == []
        assert [(await events.next_of(Message)).seq for _ in range(4 * EVENT_BUFFER)] == list(
            range(1, 4 * EVENT_BUFFER + 1)
        )


async def test_request_resumes_reading() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await events.next_of(Synchronised)
        for first in range(1, 2 * EVENT_BUFFER, 256):
            await peer.send(*(said(seq) for seq in range(first, first + 256)))
        await anyio.wait_all_tasks_blocked()
        async with meanwhile(client.rooms) as outcome:
            await peer.reply(await peer.expect(wire.Rooms), wire.RoomList(rooms=()))
        assert outcome.result() == []


# -- the buffer by itself ---------------------------------------------------------------------


async def test_only_the_newest_events_are_kept_until_the_first_wait() -> None:
    buffer = EventBuffer()
    buffer.put(heard(seq) for seq in range(1, EVENT_BUFFER + 11))
    await buffer.wait_for_room()
    assert await anext(buffer) == heard(11)


async def test_buffer_bound_is_higher_while_a_request_waits() -> None:
    buffer = EventBuffer()
    buffer.put([heard(0)])
    await anext(buffer)
    buffer.put(heard(seq) for seq in range(EVENT_BUFFER))
    async with meanwhile(buffer.wait_for_room) as outcome:
        await anyio.wait_all_tasks_blocked()
        assert not outcome.done.is_set()
        buffer.expect_reply(is_due=True)
    buffer.put(heard(seq) for seq in range(EVENT_BUFFER_BEFORE_REPLY - EVENT_BUFFER))
    assert buffer.is_full
    await buffer.wait_for_room()  # the reply comes after more, which the owner doesn't put
    buffer.put(heard(seq) for seq in range(EVENT_BUFFER_BEFORE_REPLY))
    async with meanwhile(buffer.wait_for_room) as outcome:
        await anyio.wait_all_tasks_blocked()
        assert not outcome.done.is_set()
        await anext(buffer)


async def test_attempts_to_reconnect_do_not_fill_the_buffer() -> None:
    buffer = EventBuffer()
    buffer.put([heard(0)])
    await anext(buffer)
    states = [StateChanged(ConnectionState.RECONNECTING, float(n)) for n in range(EVENT_BUFFER + 9)]
    for state in states:
        buffer.put_state(state)
    buffer.put_state(back := StateChanged(ConnectionState.CONNECTED))
    taken = [await anext(buffer) for _ in range(EVENT_BUFFER + 1)]
    assert taken == [*states[: EVENT_BUFFER - 1], states[-1], back]


async def test_events_waiting_at_the_close_are_still_delivered() -> None:
    buffer = EventBuffer()
    buffer.hold()
    buffer.put([heard(1)])
    buffer.close()
    assert [event async for event in buffer] == [heard(1)]


async def test_consumer_waiting_at_the_close_is_woken() -> None:
    buffer = EventBuffer()
    ended = False

    async def take() -> None:
        nonlocal ended
        async for _ in buffer:
            pass
        ended = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        buffer.close()
    assert ended


async def test_bounds_match_the_documentation() -> None:
    assert EVENT_BUFFER == 1024
    assert QUICK.heartbeat_interval == 25
