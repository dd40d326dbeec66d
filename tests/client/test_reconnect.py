"""Reconnecting: missed entries appear once, in order, in their position."""

from __future__ import annotations

import pytest
from msgspec import structs
from scripted_server import (
    QUICK,
    FakeClock,
    Peer,
    ScriptedServer,
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
    ConnectionLost,
    ConnectionState,
    Conversation,
    Entry,
    Message,
    Reset,
    StateChanged,
    Synchronised,
)
from gochat.client.convert import to_conversation
from gochat.client.options import InternalOptions
from gochat.protocol import messages as wire

pytestmark = pytest.mark.anyio

RECONNECTING = ConnectionState.RECONNECTING


def position(seq: int, *, epoch: str = "e1") -> wire.Position:
    return wire.Position(conv="#lobby", epoch=epoch, seq=seq, ts=seq)


async def snapshot(events: Watcher) -> list[Conversation]:
    """Return the conversations of the next snapshot."""
    return list((await events.next_of(Synchronised)).conversations)


async def messages(events: Watcher, count: int) -> list[int]:
    """Return the seqs of the next messages, which are all of one history."""
    return [(await events.next_of(Entry)).seq for _ in range(count)]


async def come_back(
    server: ScriptedServer,
    *entries: wire.Message,
    events: tuple[wire.Event, ...] = (),
    epoch: str = "e1",
    reset: bool = False,
    gone: tuple[str, ...] = (),
    token: str = "token",
) -> tuple[Peer, wire.Resume]:
    """Accept the client's resume, send `events`, and `entries` as the newest that it missed."""
    peer = await server.accept()
    states = [lobby(entries[-1].seq, epoch, *entries, reset=reset)] if entries else []
    request = await peer.welcome("mei", *events, conversations=states, gone=gone, token=token)
    assert isinstance(request, wire.Resume)
    await peer.settle()
    return peer, request


async def test_reconnect_asks_for_what_is_after_its_positions() -> None:
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.send(said(1), said(2))
        assert await messages(events, 2) == [1, 2]
        await peer.cut()
        peer, request = await come_back(server, said(3), said(4), token="the next token")
        assert (request.token, peer.have) == ("token", (position(2),))
        assert set(request.caps) == set(wire.Capability)
        assert client.token == "the next token"
        lost = await events.next()
        assert lost == StateChanged(RECONNECTING, 0.0, "the server closed the connection")
        assert await events.next() == StateChanged(RECONNECTING, None, lost.reason)
        assert await events.next() == StateChanged(ConnectionState.CONNECTED)
        assert isinstance(await events.next(), Synchronised)
        await peer.send(said(4), said(5))
        assert await messages(events, 3) == [3, 4, 5]


async def test_seam_between_missed_and_live_has_each_entry_once() -> None:
    """Entries that the server sends twice around the seam, or out of order, make no difference."""
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.send(said(1))
        await peer.cut()
        peer, _ = await come_back(
            server, said(2), said(3), events=(said(4), said(2), said(3), said(3))
        )
        await peer.send(said(4), said(2), said(5))
        assert await messages(events, 5) == [1, 2, 3, 4, 5]


async def test_gap_is_filled_from_history_before_later_entries() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await peer.send(said(1), said(4), said(5))
        request = await peer.expect(wire.History)
        assert (request.conv, request.after, request.before) == ("#lobby", 1, None)
        page = wire.HistoryPage(
            conv="#lobby", epoch="e1", head=5, entries=(said(2), said(3), said(4))
        )
        await peer.reply(request, page)
        assert await messages(events, 5) == [1, 2, 3, 4, 5]
        await peer.settle()


async def test_gap_that_fills_in_time_is_not_fetched() -> None:
    clock = FakeClock()
    async with logged_in(InternalOptions(clock=clock)) as (_, client, peer):
        events = Watcher(client)
        await peer.send(said(1), said(3))
        await peer.settle()
        await peer.send(said(2))
        await peer.settle()
        await clock.pass_sleep(0.25)
        await peer.settle()  # only the pong, no history request
        assert await messages(events, 3) == [1, 2, 3]


async def test_unreadable_gap_holds_nothing_up() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await peer.send(said(1), said(4))
        error = wire.Error(code="not_a_member", text="you are not in it")
        await peer.reply(await peer.expect(wire.History), error)
        assert await messages(events, 2) == [1, 4]


async def test_gap_is_fetched_again_after_an_unavailable_store() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await peer.send(said(1), said(3))
        error = wire.Error(code="unavailable", text="later", retry_after=0.001)
        await peer.reply(await peer.expect(wire.History), error)
        page = wire.HistoryPage(conv="#lobby", epoch="e1", head=3, entries=(said(2), said(3)))
        await peer.reply(await peer.expect(wire.History), page)
        assert await messages(events, 3) == [1, 2, 3]


async def test_unchanged_conversations_are_in_the_snapshot() -> None:
    states = [lobby(1, conv=f"#r{n}", read=n) for n in range(3)]
    async with opened() as (server, client):
        events = Watcher(client)
        async with meanwhile(client.log_in, "mei", "correct horse"):
            await (peer := await server.accept()).welcome(conversations=states)
        assert (await events.next_of(Synchronised)).conversations == tuple(
            map(to_conversation, states)
        )
        await peer.cut()
        peer = await server.accept()
        changed = structs.replace(states[1], head=2, ts=2, entries=(said(2, to="#r1"),))
        await peer.welcome(conversations=(changed,))
        assert [(one.seq, one.ts, one.read, one.level) for one in peer.have] == [
            (1, 1, n, "all") for n in range(3)
        ]
        states[1] = structs.replace(changed, entries=())
        assert (await events.next_of(Synchronised)).conversations == tuple(
            map(to_conversation, states)
        )
        message = await events.next_of(Message)
        assert (message.conversation, message.seq) == ("#r1", 2)


async def test_pages_are_asked_for_until_there_is_no_next() -> None:
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.send(said(1))
        assert await messages(events, 1) == [1]
        await peer.cut()
        peer = await server.accept()
        await peer.accept_login("mei")
        request = await peer.expect(wire.Sync)
        assert (request.after, request.have) == ("", (position(1),))
        page = wire.Synced(conversations=(lobby(1, conv="#a"),), next="#k")
        await peer.reply(request, page)
        request = await peer.expect(wire.Sync)
        assert (request.after, request.have) == ("#k", (position(1),))
        error = wire.Error(code="rate_limited", text="too fast", retry_after=0.001)
        await peer.reply(request, error)
        request = await peer.expect(wire.Sync)
        await peer.reply(request, wire.Synced(conversations=(lobby(2, "e1", said(2)),)))
        await peer.reply(await peer.expect(wire.Who), wire.People(people=(), total=0))
        found = await events.next_of(Synchronised)
        assert [one.name for one in found.conversations] == ["#a", "#lobby"]
        assert await messages(events, 1) == [2]


async def test_conversation_left_elsewhere_is_no_longer_resumed() -> None:
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.send(said(1), said(7, to="#garden", from_="mei", kind="join"))
        assert await messages(events, 2) == [1, 7]
        await peer.cut()
        peer, _ = await come_back(server, gone=("#garden",))
        assert {p.conv for p in peer.have} == {"#lobby", "#garden"}
        await peer.cut()
        peer, _ = await come_back(server)
        assert {p.conv for p in peer.have} == {"#lobby"}


async def test_room_starts_over_after_a_kick_or_leave() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)

        def happens(seq: int, kind: str, from_: str, text: str = "") -> wire.Message:
            return said(seq, text, to="#garden", from_=from_, kind=kind)

        await peer.send(happens(20, "join", "mei"))
        assert await messages(events, 1) == [20]
        await peer.send(happens(21, "kick", "bob", "mei"), happens(40, "join", "mei"))
        assert await messages(events, 2) == [21, 40]
        await peer.send(happens(41, "leave", "mei"), happens(60, "join", "mei"))
        assert await messages(events, 2) == [41, 60]
        await peer.settle()


async def test_missing_too_much_resets_to_the_newest_page() -> None:
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.send(said(1))
        assert await messages(events, 1) == [1]
        await peer.cut()
        page = (said(900), said(901))
        peer, _ = await come_back(server, *page)
        await peer.send(said(902))
        assert isinstance(await events.next_of(Synchronised), Synchronised)
        assert await events.next() == Reset("#lobby", "e1", tuple(map(seen, page)))
        assert await events.next() == heard(902)


async def test_new_epoch_at_the_resume_resets() -> None:
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.send(said(1), said(2), said(3))
        await peer.cut()
        entry = said(1, epoch="e2")
        peer, _ = await come_back(server, entry, epoch="e2", reset=True)
        assert peer.have == (position(3),)
        assert await events.next_of(Reset) == Reset("#lobby", "e2", (seen(entry),))
        await peer.cut()
        peer, _ = await come_back(server)
        assert [(one.epoch, one.seq, one.ts) for one in peer.have] == [("e2", 1, 1)]


async def test_rewritten_log_with_the_same_epoch_resets() -> None:
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.send(said(1), said(2))
        await peer.cut()
        other = (said(1, "another"), said(2, "too"), said(3, "three"))
        await come_back(server, *other, reset=True)
        assert await events.next_of(Reset) == Reset("#lobby", "e1", tuple(map(seen, other)))


async def test_new_epoch_on_a_live_connection_resets_by_history() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await peer.send(said(1), said(2), said(2, epoch="e2"))
        request = await peer.expect(wire.History)
        assert (request.conv, request.after, request.before) == ("#lobby", None, None)
        entries = (said(1, epoch="e2"), said(2, epoch="e2"))
        page = wire.HistoryPage(conv="#lobby", epoch="e2", head=2, entries=entries)
        await peer.reply(request, page)
        await peer.send(said(3, epoch="e2"))
        assert await events.next_of(Reset) == Reset("#lobby", "e2", tuple(map(seen, entries)))
        assert await events.next() == heard(3, epoch="e2")


@pytest.mark.parametrize("code", ["bad_token", "account_banned", "account_disabled"])
async def test_password_login_after_a_refused_token_misses_nothing(code: str) -> None:
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.send(said(1))
        await peer.cut()
        peer = await server.accept()
        error = wire.Error(code=code, text="your session has ended: log in")
        await peer.reply(await peer.expect(wire.Resume), error)
        while (changed := await events.next_of(StateChanged)).state is not ConnectionState.OFFLINE:
            pass
        assert changed.reason == "your session has ended: log in"
        assert client.token is None
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.welcome(conversations=(lobby(2, "e1", said(2)),))
        assert peer.have == (position(1),)
        assert await messages(events, 1) == [2]


async def test_another_account_starts_empty() -> None:
    async with logged_in() as (server, client, peer):
        await peer.send(said(1))
        await peer.settle()
        async with meanwhile(client.log_out):
            await peer.reply(await peer.expect(wire.Logout), wire.LoggedOut())
        async with meanwhile(client.log_in, "bob", "correct horse"):
            peer = await server.accept()
            await peer.welcome("bob", conversations=(lobby(9),))
        await peer.settle()  # no history is requested
        await peer.cut()
        peer = await server.accept()
        await peer.welcome("bob")
        assert [(one.conv, one.seq) for one in peer.have] == [("#lobby", 9)]


# -- when to reconnect ----------------------------------------------------------------------------


async def test_reconnect_attempts_are_spread_and_back_off() -> None:
    clock = FakeClock()
    options = InternalOptions(clock=clock, random=lambda: 1.0)
    async with logged_in(options) as (server, client, peer):
        events = Watcher(client)
        await peer.cut()
        waits = []
        for wait in (0.5, 1, 2, 4, 8, 16, 30, 30):
            while (changed := await events.next_of(StateChanged)).retry_in is None:
                pass
            waits.append(changed.retry_in)
            await clock.pass_sleep(wait)
            await (await server.accept()).cut()
        assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
        await clock.pass_sleep(30)
        await come_back(server)
        assert client.state is ConnectionState.CONNECTED


async def test_stable_connection_resets_the_backoff() -> None:
    clock = FakeClock()
    options = InternalOptions(clock=clock, random=lambda: 1.0)
    async with logged_in(options) as (server, _, peer):
        await peer.cut()
        await clock.pass_sleep(0.5)
        peer, _ = await come_back(server)
        await peer.cut()  # at once: the backoff goes on
        await clock.pass_sleep(1)
        peer, _ = await come_back(server)
        clock.advance(11)
        await peer.settle()
        await peer.cut()
        await clock.pass_sleep(0.5)
        await come_back(server)


async def test_retry_after_of_a_bye_is_obeyed() -> None:
    clock = FakeClock()
    options = InternalOptions(clock=clock, random=lambda: 0.5)
    async with logged_in(options) as (server, client, peer):
        events = Watcher(client)
        bye = wire.Bye(reason="server_closing", text="back in a minute", retry_after=60.0)
        await peer.send(bye)
        while (changed := await events.next_of(StateChanged)).state is not RECONNECTING:
            pass
        assert changed == StateChanged(RECONNECTING, 75.0, "back in a minute"), "spread over 30 s"
        await clock.pass_sleep(75.0)
        await come_back(server)


async def test_retry_after_of_a_busy_server_is_obeyed() -> None:
    clock = FakeClock()
    options = InternalOptions(clock=clock, random=lambda: 0.0)
    async with logged_in(options) as (server, client, peer):
        await peer.cut()
        peer = await server.accept()
        error = wire.Error(code="busy", text="too many logins", retry_after=7.0)
        await peer.reply(await peer.expect(wire.Resume), error)
        await clock.pass_sleep(7)
        await come_back(server)
        assert client.state is ConnectionState.CONNECTED


async def test_reconnect_now_skips_the_backoff() -> None:
    options = InternalOptions(clock=FakeClock(), random=lambda: 0.5)
    async with logged_in(options) as (server, client, peer):
        client.reconnect_now()  # connected: does nothing
        events = Watcher(client)
        await peer.cut()
        while (await events.next_of(StateChanged)).state is not RECONNECTING:
            pass
        client.reconnect_now()
        await come_back(server)
        assert client.state is ConnectionState.CONNECTED


async def test_reconnect_now_still_obeys_retry_after() -> None:
    clock = FakeClock()
    options = InternalOptions(clock=clock, random=lambda: 0.5)
    async with logged_in(options) as (server, client, peer):
        events = Watcher(client)
        await peer.send(wire.Bye(reason="server_closing", text="back soon", retry_after=60.0))
        while (await events.next_of(StateChanged)).state is not RECONNECTING:
            pass
        client.reconnect_now()
        assert (await events.next_of(StateChanged)).retry_in == 60.0
        await clock.pass_sleep(60.0)
        await come_back(server)


async def test_revoked_session_stays_ended() -> None:
    async with logged_in() as (_, client, peer):
        events = Watcher(client)
        await peer.send(wire.Bye(reason="session_revoked", text="the password was changed"))
        await events.next_of(Synchronised)
        changed = await events.next_of(StateChanged)
        assert changed == StateChanged(ConnectionState.OFFLINE, reason="the password was changed")
        assert client.token is None


@pytest.mark.parametrize("reason", ["protocol_error", "replaced"])
async def test_client_does_not_reconnect_after_a_final_bye(reason: str) -> None:
    """The server does not understand the client; or newer connections of the account have replaced
    it, and each reconnect would replace another one."""
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        await peer.send(wire.Bye(reason=reason, text="do not come back"))
        await events.next_of(Synchronised)
        changed = await events.next_of(StateChanged)
        assert changed == StateChanged(ConnectionState.OFFLINE, reason="do not come back")
        assert client.token == "token"  # still valid if the program is asked to try again
        async with meanwhile(client.resume, "token") as outcome:
            await (await server.accept()).welcome()
        outcome.result()


async def test_logout_while_reconnecting_ends_the_attempts() -> None:
    clock = FakeClock()
    async with logged_in(InternalOptions(clock=clock)) as (_, client, peer):
        events = Watcher(client)
        await peer.cut()
        while (await events.next_of(StateChanged)).state is not RECONNECTING:
            pass
        with pytest.raises(ConnectionLost, match="the server was not notified"):
            await client.log_out()
        assert client.state is ConnectionState.OFFLINE
        assert client.token is None


async def test_client_works_without_a_consumer_of_events() -> None:
    async with logged_in(QUICK) as (server, _, peer):
        await peer.send(*(said(seq) for seq in range(1, 300)))
        await peer.cut()
        peer, _ = await come_back(server)
        assert peer.have == (position(299),)
