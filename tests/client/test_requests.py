"""Requests and their replies: matched, repeated after a reconnect, bounded in time, cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from scripted_server import (
    Watcher,
    heard,
    logged_in,
    meanwhile,
    said,
)

from gochat.client import (
    ActivityItem,
    ActivityPage,
    ChatError,
    Client,
    ConnectionLost,
    ConnectionState,
    Entry,
    Found,
    HistoryPage,
    InvalidReply,
    Member,
    Message,
    MessageEdited,
    MessageId,
    Person,
    PinnedMessage,
    Room,
    SavedMessage,
    SavedPage,
    StateChanged,
    Status,
)
from gochat.client.convert import to_sent
from gochat.client.moments import moment
from gochat.client.options import InternalOptions
from gochat.protocol import messages as wire

pytestmark = pytest.mark.anyio


async def test_page_beside_an_entry_of_another_history_is_refused() -> None:
    async with logged_in() as (_, client, peer):
        page = wire.HistoryPage(conv="#lobby", epoch="e2", head=9, entries=(said(7, epoch="e2"),))
        for entry, is_refused in ((heard(8), True), (heard(8, epoch="e2"), False), (8, False)):
            for bound in ("before", "after", "around"):
                ask = partial(client.history, "#lobby", **{bound: entry})  # type: ignore[arg-type]
                async with meanwhile(ask) as outcome:
                    await peer.reply(await peer.expect(wire.History), page)
                if not is_refused:
                    assert outcome.result().epoch == "e2"
                    continue
                with pytest.raises(ChatError) as refused:
                    outcome.result()
                assert refused.value.code == "bad_cursor"


SENT = wire.Sent(to="#garden", epoch="e1", seq=7, ts=9)
WHERE = to_sent(SENT)
LOBBY_3, BOB_3 = MessageId("#lobby", 3), MessageId("@bob", 3)


@pytest.mark.parametrize(
    ("call", "request_", "reply", "result"),
    [
        (
            lambda c: c.edit(LOBBY_3, "new"),
            wire.Edit(to="#lobby", seq=3, text="new"),
            SENT,
            WHERE,
        ),
        (lambda c: c.delete(BOB_3), wire.Delete(to="@bob", seq=3), SENT, WHERE),
        (
            lambda c: c.react(BOB_3, "🌱"),
            wire.React(to="@bob", seq=3, emoji="🌱"),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.react(BOB_3, "🌱", on=False),
            wire.React(to="@bob", seq=3, emoji="🌱", on=False),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.create_room("#garden", topic="plants", private=True),
            wire.CreateRoom(room="#garden", topic="plants", private=True),
            SENT,
            WHERE,
        ),
        (lambda c: c.join("#garden"), wire.Join(room="#garden"), SENT, WHERE),
        (lambda c: c.leave("#garden"), wire.Leave(room="#garden"), SENT, WHERE),
        (lambda c: c.invite("#g", "bob"), wire.Invite(room="#g", name="bob"), SENT, WHERE),
        (lambda c: c.kick("#g", "bob"), wire.Kick(room="#g", name="bob"), SENT, WHERE),
        (
            lambda c: c.ban("#g", "bob", duration=timedelta(hours=1), reason="spam"),
            wire.Ban(room="#g", name="bob", seconds=3600, reason="spam"),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.set_slow_mode("#g", timedelta(minutes=1)),
            wire.SetSlowMode(room="#g", seconds=60),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.set_announcements("#g", on=True),
            wire.SetAnnouncements(room="#g", on=True),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.set_archived("#g", on=True),
            wire.SetArchived(room="#g", on=True),
            SENT,
            WHERE,
        ),
        (lambda c: c.unban("#g", "bob"), wire.Unban(room="#g", name="bob"), SENT, WHERE),
        (lambda c: c.decline("#g"), wire.Decline(room="#g"), wire.Ok(), None),
        (
            lambda c: c.set_topic("#g", "t"),
            wire.SetTopic(room="#g", topic="t"),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.set_operator("#g", "bob", on=False),
            wire.SetOperator(room="#g", name="bob", on=False),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.set_access("#g", private=True),
            wire.SetAccess(room="#g", private=True),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.set_access("#g", private=False, history="hidden"),
            wire.SetAccess(room="#g", private=False, history="hidden"),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.set_history("#g", "hidden"),
            wire.SetHistory(room="#g", history="hidden"),
            SENT,
            WHERE,
        ),
        (
            lambda c: c.history("#lobby", before=9, limit=2),
            wire.History(conv="#lobby", before=9, limit=2),
            wire.HistoryPage(conv="#lobby", epoch="e1", head=9, entries=(said(7), said(8))),
            HistoryPage(conversation="#lobby", epoch="e1", head=9, entries=(heard(7), heard(8))),
        ),
        (
            lambda c: c.search("seeds", conversation="#lobby"),
            wire.Search(query="seeds", conv="#lobby"),
            wire.Found(hits=(said(8),), cursor="next"),
            Found(hits=(heard(8),), cursor="next"),  # type: ignore[arg-type]  # an entry of any kind, here a message
        ),
        (
            lambda c: c.activity(limit=5),
            wire.Activity(limit=5),
            wire.ActivityList(
                items=(
                    wire.ActivityItem(kind="reply", ts=9000, entry=said(8), about="hi"),
                    wire.ActivityItem(kind="of another time", ts=8000, entry=said(7)),
                ),
                seen=1000,
                cursor="next",
            ),
            ActivityPage(
                items=(
                    ActivityItem(kind="reply", time=moment(9000), entry=heard(8), about="hi"),  # type: ignore[arg-type]  # likewise
                ),
                seen=moment(1000),
                cursor="next",
            ),
        ),
        (
            lambda c: c.mark_activity(moment(9000)),
            wire.MarkActivity(seen=9000),
            wire.Ok(),
            None,
        ),
        (
            lambda c: c.pins("#lobby"),
            wire.Pins(conv="#lobby", limit=50),
            wire.PinList(
                conv="#lobby",
                pins=(wire.Pinned(seq=9, by="bob", ts=9000, entry=said(8)),),
                seqs=(8,),
            ),
            [
                PinnedMessage(message=heard(8), sender="bob", time=moment(9000), seq=9)  # type: ignore[arg-type]  # likewise
            ],
        ),
        (lambda c: c.save(BOB_3), wire.Save(to="@bob", seq=3), wire.Ok(), None),
        (lambda c: c.unsave(BOB_3), wire.Save(to="@bob", seq=3, on=False), wire.Ok(), None),
        (
            lambda c: c.saved(limit=5),
            wire.Saved(limit=5),
            wire.SavedList(items=(wire.SavedItem(ts=9000, entry=said(8)),), cursor="next"),
            SavedPage(
                items=(SavedMessage(message=heard(8), time=moment(9000)),),  # type: ignore[arg-type]  # likewise
                cursor="next",
            ),
        ),
        (
            lambda c: c.pinned_seqs("#lobby"),
            wire.Pins(conv="#lobby", limit=1),
            wire.PinList(conv="#lobby", pins=(), seqs=(8, 3)),
            (8, 3),
        ),
        (lambda c: c.mark_read(MessageId("#g", 3)), wire.Mark(conv="#g", read=3), wire.Ok(), None),
        (
            lambda c: c.set_level("#g", "none"),
            wire.Mark(conv="#g", level="none"),
            wire.Ok(),
            None,
        ),
        (lambda c: c.away("tea"), wire.Away(text="tea"), wire.Ok(), None),
        (lambda c: c.away(None), wire.Away(), wire.Ok(), None),
        (
            lambda c: c.set_status("on holiday", emoji="🌴", duration=timedelta(hours=1)),
            wire.SetStatus(text="on holiday", emoji="🌴", seconds=3600),
            wire.Ok(),
            None,
        ),
        (lambda c: c.set_status(""), wire.SetStatus(), wire.Ok(), None),
        (
            lambda c: c.statuses(["bob", "mei", "bob"]),
            wire.Statuses(names=("bob", "mei")),
            wire.StatusList(people=(wire.Person(name="bob", status=wire.Status(text="tea")),)),
            {"bob": Status(text="tea")},
        ),
        (
            lambda c: c.who(),
            wire.Who(),
            wire.People(people=(wire.Person(name="bob"),), total=1),
            [Person(name="bob")],
        ),
        (
            lambda c: c.rooms(),
            wire.Rooms(),
            wire.RoomList(rooms=(wire.Room(room="#garden"),)),
            [Room(name="#garden")],
        ),
        (
            lambda c: c.members("#garden"),
            wire.Members(room="#garden"),
            wire.MemberList(room="#garden", members=(wire.Member(name="bob", since=5),), total=1),
            [Member(name="bob", since=moment(5))],
        ),
    ],
)
async def test_each_call_sends_its_request_and_returns_its_reply(
    call: Callable[[Client], Awaitable[Any]],
    request_: wire.Request,
    reply: wire.Reply,
    result: Any,
) -> None:
    async with logged_in() as (_, client, peer):
        async with meanwhile(call, client) as outcome:
            received = await peer.expect(type(request_))
            for field in request_.__struct_fields__:
                if field not in ("request_id", "cid", "n"):
                    assert getattr(received, field) == getattr(request_, field)
            if isinstance(received, wire.Write):
                assert getattr(received, "cid", None)
                assert received.n == 1
            await peer.reply(received, reply)
        assert outcome.result() == result


async def test_concurrent_requests_get_their_own_replies() -> None:
    async with logged_in() as (_, client, peer):
        async with (
            meanwhile(client.history, "#one") as one,
            meanwhile(client.history, "#two") as two,
        ):
            requests = {(r := await peer.expect(wire.History)).conv: r for _ in range(2)}
            for conv in ("#two", "#one"):
                page = wire.HistoryPage(conv=conv, epoch="e1", head=0, entries=())
                await peer.reply(requests[conv], page)
        assert (one.result().conversation, two.result().conversation) == ("#one", "#two")


async def test_refused_request_raises_the_error_of_the_server() -> None:
    async with logged_in() as (_, client, peer):
        async with meanwhile(client.join, "#secret") as outcome:
            error = wire.Error(
                code="not_permitted", text="by invitation only", field="room", retry_after=3.5
            )
            await peer.reply(await peer.expect(wire.Join), error)
        with pytest.raises(ChatError, match="by invitation only") as caught:
            outcome.result()
        assert (caught.value.code, caught.value.field) == ("not_permitted", "room")
        assert caught.value.retry_after == 3.5
        async with meanwhile(client.mark_read, MessageId("#lobby", 1)) as outcome_2:
            await peer.reply(await peer.expect(wire.Mark), wire.Ok())
        outcome_2.result()


async def test_reply_of_the_wrong_type_is_an_error() -> None:
    async with logged_in() as (_, client, peer):
        async with meanwhile(client.who) as outcome:
            await peer.reply(await peer.expect(wire.Who), wire.Ok())
        with pytest.raises(InvalidReply, match="unexpected answer from the server: 'ok'"):
            outcome.result()


async def test_malformed_reply_is_an_error() -> None:
    async with logged_in() as (_, client, peer):
        async with meanwhile(client.history, "#lobby") as outcome:
            request = await peer.expect(wire.History)
            entry = said(1, form="hologram")
            page = wire.HistoryPage(conv="#lobby", epoch="e1", head=1, entries=(entry,))
            await peer.reply(request, page)
        with pytest.raises(InvalidReply, match="invalid answer from the server"):
            outcome.result()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda c: c.history("#lobby", limit=1000), "malformed"),
        (lambda c: c.join("#" + "x" * 300), "malformed"),
        (lambda c: c.edit(LOBBY_3, "x" * 70_000), "frame_too_large"),
        (lambda c: c.edit(LOBBY_3, "half of a pair: \ud800"), "malformed"),
    ],
)
async def test_request_that_fits_no_frame_is_not_sent(
    call: Callable[[Client], Awaitable[Any]], code: str
) -> None:
    async with logged_in() as (_, client, peer):
        with pytest.raises(ChatError) as caught:
            await call(client)
        assert caught.value.code == code
        await peer.settle()


async def test_request_without_a_reply_times_out() -> None:
    async with logged_in() as (_, client, peer):
        # The requests before took their time.
        client._requester._options = InternalOptions(request_timeout=0.05)
        async with meanwhile(client.rooms) as outcome:
            request = await peer.expect(wire.Rooms)
        with pytest.raises(ConnectionLost, match=r"did not answer within 0\.05 s"):
            outcome.result()
        await peer.reply(request, wire.RoomList(rooms=()))  # too late: ignored
        await peer.settle()
        assert client.state is ConnectionState.CONNECTED


async def test_cancelled_request_does_not_disturb_the_connection() -> None:
    async with logged_in() as (_, client, peer):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.rooms)
            request = await peer.expect(wire.Rooms)
            tasks.cancel_scope.cancel()
        await peer.reply(request, wire.RoomList(rooms=()))
        async with meanwhile(client.who) as outcome:
            await peer.reply(await peer.expect(wire.Who), wire.People(people=(), total=0))
        assert outcome.result() == []


async def test_requests_cancelled_while_writing_leave_no_half_frame() -> None:
    """The server reads nothing, so the socket fills up in the middle of a frame."""
    async with logged_in() as (_, client, peer):
        async with anyio.create_task_group() as tasks:
            for number in range(60):
                tasks.start_soon(client.edit, MessageId("#lobby", number + 1), "x" * 60_000)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert {(await peer.expect(wire.Edit)).seq for _ in range(60)} == set(range(1, 61))
        await peer.settle()


async def test_entry_of_a_cancelled_request_appears_in_its_position() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.edit, LOBBY_3, "new")
            request = await peer.expect(wire.Edit)
            tasks.cancel_scope.cancel()
        entry = wire.Message(
            to="#lobby", epoch="e1", seq=2, ts=2, from_="mei", kind="edit", text="new", ref=1
        )
        await peer.send(said(1), entry)
        await peer.reply(request, wire.Sent(to="#lobby", epoch="e1", seq=2, ts=2))
        await peer.send(said(3))
        entries = [await events.next_of(Entry) for _ in range(3)]
        assert [(e.seq, type(e)) for e in entries] == [
            (1, Message), (2, MessageEdited), (3, Message),
        ]  # fmt: skip


async def test_request_is_repeated_with_the_same_cid_after_a_reconnect() -> None:
    async with logged_in() as (server, client, peer):
        async with meanwhile(client.edit, LOBBY_3, "new") as outcome:
            first = await peer.expect(wire.Edit)
            await peer.cut()
            peer = await server.accept()
            await peer.welcome()
            again = await peer.expect(wire.Edit)
            assert (again.cid, again.n) == (first.cid, 1)
            await peer.reply(again, wire.Sent(to="#lobby", epoch="e1", seq=2, ts=2, dup=True))
        assert outcome.result().seq == 2


async def test_request_made_while_reconnecting_waits() -> None:
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.cut()
        while (await events.next_of(StateChanged)).state is not ConnectionState.RECONNECTING:
            pass
        async with meanwhile(client.rooms) as outcome:
            peer = await server.accept()
            await peer.accept_login()
            request = await peer.expect(wire.Rooms, wire.Sync, wire.Who)
            await peer.reply(request, wire.RoomList(rooms=()))
        assert outcome.result() == []


async def test_password_change_is_not_repeated_after_a_reconnect() -> None:
    async with logged_in() as (server, client, peer):
        async with meanwhile(client.change_password, "old", "new") as outcome:
            await peer.expect(wire.ChangePassword)
            await peer.cut()
            peer = await server.accept()
            await peer.welcome()
        await peer.settle()
        with pytest.raises(ConnectionLost, match="closed the connection"):
            outcome.result()


async def test_typing_is_sent_without_waiting_and_without_errors() -> None:
    async with logged_in() as (_, client, peer):
        await client.typing("#lobby")
        request = await peer.expect(wire.Typing)
        assert (request.to, request.request_id) == ("#lobby", None)
        await client.typing("#" + "x" * 300)
        await peer.settle()


async def test_typing_while_offline_is_dropped() -> None:
    async with logged_in() as (_, client, peer):
        async with meanwhile(client.log_out):
            await peer.reply(await peer.expect(wire.Logout), wire.LoggedOut())
        await client.typing("#lobby")


async def test_requests_beyond_the_bound_wait() -> None:
    """A program that sends too many is slowed down, and gets all its replies in order."""
    async with logged_in() as (_, client, peer):
        answered: list[int] = []

        async def ask(number: int) -> None:
            await client.mark_read(MessageId("#lobby", number))
            answered.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(ask, number)
            requests = [await peer.expect(wire.Mark) for _ in range(64)]
            await peer.settle()  # no more than these are sent before the first reply
            for request in requests:
                await peer.reply(request, wire.Ok())
            for _ in range(36):
                await peer.reply(await peer.expect(wire.Mark), wire.Ok())
        assert sorted(answered) == list(range(100))


async def test_requests_of_a_task_keep_their_order_among_others() -> None:
    async with logged_in() as (_, client, peer):

        async def ask(first: int) -> None:
            for number in range(first, first + 5):
                await client.mark_read(MessageId("#lobby", number))

        async with anyio.create_task_group() as tasks:
            for first in (0, 100):
                tasks.start_soon(ask, first)
            seen: list[int] = []
            for _ in range(10):
                request = await peer.expect(wire.Mark)
                seen.append(request.read or 0)
                await peer.reply(request, wire.Ok())
        assert [seq for seq in seen if seq < 100] == list(range(5))
        assert [seq for seq in seen if seq >= 100] == list(range(100, 105))


async def test_ping_of_the_server_is_answered() -> None:
    async with logged_in() as (_, _, peer):
        await peer.send(wire.Ping(request_id="p1"))
        assert (await peer.expect(wire.Pong)).request_id == "p1"


async def test_reply_to_an_unknown_request_is_ignored() -> None:
    async with logged_in() as (_, client, peer):
        await peer.send(wire.Ok(request_id="r999"), wire.Ok(), wire.Error(code="busy", text="busy"))
        await peer.settle()
        assert client.state is ConnectionState.CONNECTED


SLOWLY = wire.Error(code="rate_limited", text="slowly", retry_after=0.01)


async def test_rate_limited_read_is_repeated() -> None:
    async with logged_in() as (_, client, peer):
        async with meanwhile(client.history, "#lobby") as outcome:
            for _ in range(2):
                await peer.reply(await peer.expect(wire.History), SLOWLY)
            page = wire.HistoryPage(
                conv="#lobby", epoch="e1", head=0, entries=(), older=False, newer=False
            )
            await peer.reply(await peer.expect(wire.History), page)
        assert outcome.result().head == 0


async def test_writes_and_final_refusals_are_not_repeated() -> None:
    async with logged_in() as (_, client, peer):
        async with meanwhile(client.join, "#garden") as joined:
            await peer.reply(await peer.expect(wire.Join), SLOWLY)
        with pytest.raises(ChatError, match="slowly"):
            joined.result()
        async with meanwhile(client.history, "#x") as read:
            error = wire.Error(code="not_a_member", text="join it first")
            await peer.reply(await peer.expect(wire.History), error)
        with pytest.raises(ChatError, match="join it first"):
            read.result()
