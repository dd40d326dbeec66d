"""Attempts to read entries from before joining a room that hides its history, by every request.

On one server with SQLite, and on two with one Redis.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import pytest
from msgspec import structs
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer
from worst_inputs import REQUESTS

from gochat.protocol.messages import (
    MAX_TIME,
    Activity,
    AddressBans,
    Away,
    Ban,
    BanAddress,
    Bans,
    Block,
    Blocks,
    ChangePassword,
    CreateRoom,
    CreateToken,
    Decline,
    Delete,
    Edit,
    EndSession,
    Error,
    Found,
    HandOver,
    Hello,
    History,
    HistoryPage,
    Invite,
    Join,
    Kick,
    Leave,
    Login,
    Logout,
    Mark,
    MarkActivity,
    Members,
    Message,
    Payload,
    Pin,
    Ping,
    Pins,
    Pong,
    Position,
    React,
    Register,
    Report,
    Reports,
    ResolveReport,
    Restrict,
    Restrictions,
    Resume,
    Rooms,
    Save,
    Saved,
    Search,
    Send,
    Sent,
    Sessions,
    SetAccess,
    SetAnnouncements,
    SetArchived,
    SetHistory,
    SetOperator,
    SetSlowMode,
    SetStatus,
    SetTopic,
    Statuses,
    Sync,
    Typing,
    Unban,
    UnbanAddress,
    Unblock,
    Unrestrict,
    Who,
)

pytestmark = pytest.mark.trio

DEN: Final = "#den"
#: The secret in every hidden text, and the reactions to those messages.
SECRET, EMOJI = "zanzibar", "🦜"
CAPS: Final = ("log", "typing")


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def stores(request: pytest.FixtureRequest) -> list[str]:
    """The URL of each server's store."""
    if request.param == "sqlite":
        return ["sqlite:///:memory:"]
    redis: RedisServer = request.getfixturevalue("redis_server")
    return [Nodes(redis).url()] * 2


class Scene:
    """Mei's private room, which hides its history, and Bob, who was a member, was removed, and has
    rejoined: in two sessions, with the log capability and without, and as an operator."""

    def __init__(self, servers: Sequence[RunningServer], mei: Peer, bob: Peer, minimal: Peer):
        self.servers = servers
        self.mei = mei
        self.bob = bob
        self.minimal = minimal
        self.floor = 0
        self.epoch = ""
        self.cursor: str | None = None
        #: Everything that the sessions that must not read it were sent.
        self.seen: list[object] = []

    async def play(self) -> None:
        mei, bob = self.mei, self.bob
        await mei.ask(CreateRoom(room=DEN, private=True), Sent)
        await mei.ask(Invite(room=DEN, name="bob"), Sent)
        await bob.ask(Join(room=DEN), Sent)
        await bob.ask(Send(to=DEN, text=f"I said {SECRET}", cid="bobs"), Sent)
        await mei.ask(SetHistory(room=DEN, history="hidden"), Sent)
        for number in range(3):
            await mei.ask(Send(to=DEN, text=f"{SECRET} {number} @bob"), Sent)
        await mei.ask(React(to=DEN, seq=7, emoji=EMOJI), Sent)
        await mei.ask(Edit(to=DEN, seq=8, text=f"{SECRET} changed @bob"), Sent)
        await mei.ask(Pin(to=DEN, seq=8), Sent)
        await mei.ask(Kick(room=DEN, name="bob"), Sent)
        await mei.ask(Send(to=DEN, text=f"{SECRET} while @bob is away"), Sent)
        await mei.ask(Invite(room=DEN, name="bob"), Sent)
        joined = await bob.ask(Join(room=DEN), Sent)
        self.floor, self.epoch = joined.seq - 1, joined.epoch
        await self.catch_up(self.minimal)
        for peer in (bob, self.minimal):
            peer.received.clear()
        await mei.ask(SetOperator(room=DEN, name="bob"), Sent)
        self.cursor = (await mei.ask(Search(query=SECRET, limit=1), Found)).cursor
        assert self.cursor is not None

    async def catch_up(self, peer: Peer) -> None:
        """Wait until a session has Mei's latest message."""
        said = await self.mei.ask(Send(to="#lobby", text="now"), Sent)
        await peer.text(lambda message: (message.to, message.seq) == ("#lobby", said.seq))

    async def change(self) -> None:
        """Make Mei change the hidden messages, while Bob is there."""
        mei = self.mei
        await mei.ask(Edit(to=DEN, seq=7, text=f"{SECRET} again @bob"), Sent)
        await mei.ask(React(to=DEN, seq=7, emoji=EMOJI, on=False), Sent)
        await mei.ask(React(to=DEN, seq=7, emoji=EMOJI), Sent)
        await mei.ask(Send(to=DEN, text="as I said", reply_to=7), Sent)

    def attempts(self) -> Mapping[type, Sequence[Any]]:
        """Return Bob's requests, of every kind."""
        seqs = range(self.floor + 1)
        bounds: list[dict[str, Any]] = [
            {name: seq} for name in ("before", "after", "around") for seq in seqs
        ]
        bounds += [
            {"at": 0},
            {"at": MAX_TIME},
            {},
            {"after": self.floor},
            {"before": self.floor + 1},
            {"before": 99},
        ]
        caps: tuple[tuple[str, ...], ...] = (CAPS, ())
        return {
            Register: [Register(name="bob", password=PASSWORD)],
            Login: [Login(name="bob", password=PASSWORD, caps=each) for each in caps],
            Resume: [Resume(token=self.bob.token, caps=each) for each in caps],
            Who: [Who()],
            Away: [Away(text="x"), Away()],
            SetStatus: [SetStatus(emoji="🌴", text="x", seconds=60), SetStatus()],
            Statuses: [Statuses(names=("mei", "bob"))],
            Send: [
                Send(to=DEN, text=f"I said {SECRET}", cid="bobs"),  # it was sent before
                *(Send(to=DEN, text="x", reply_to=seq) for seq in seqs),
            ],
            Edit: [Edit(to=DEN, seq=seq, text="x") for seq in seqs],
            Delete: [Delete(to=DEN, seq=seq) for seq in seqs],
            React: [
                React(to=DEN, seq=seq, emoji="👍", on=on) for seq in seqs for on in (True, False)
            ],
            Pin: [Pin(to=DEN, seq=seq, on=on) for seq in seqs for on in (True, False)],
            Typing: [Typing(to=DEN)],
            History: [
                History(conv=DEN, limit=limit, **each) for each in bounds for limit in (1, 200)
            ],
            Search: [
                Search(query=query, conv=conv, cursor=cursor, limit=50)
                for query in (SECRET, "a", "bob")
                for conv in (None, DEN)
                for cursor in (None, self.cursor)
            ],
            Sync: [
                Sync(have=(Position(conv=DEN, epoch=epoch, seq=seq, ts=1),), limit=limit)
                for epoch in (self.epoch, "another")
                for seq in seqs
                for limit in (0, 1, 200)
            ],
            Mark: [
                *(Mark(conv=DEN, read=seq, level="mentions") for seq in seqs),
                Mark(conv=DEN, level="all"),
            ],
            Activity: [Activity(limit=50), Activity(cursor="9999999999999 9 #den")],
            MarkActivity: [MarkActivity(seen=1)],
            Save: [Save(to=DEN, seq=seq or 1, on=on) for seq in seqs for on in (True, False)],
            Saved: [Saved(limit=50), Saved(cursor="9999999999999 9 9 #den")],
            Pins: [Pins(conv=DEN), Pins(conv=DEN, before=2**53 - 1, limit=50)],
            CreateRoom: [CreateRoom(room=DEN)],
            Join: [Join(room=DEN)],
            Leave: [Leave(room="#elsewhere")],
            Invite: [Invite(room=DEN, name="bob")],
            Kick: [Kick(room=DEN, name="bob")],
            Decline: [Decline(room=DEN)],
            SetTopic: [SetTopic(room=DEN, topic="x")],
            SetOperator: [SetOperator(room=DEN, name="bob")],
            SetAccess: [
                SetAccess(room=DEN, private=False),
                SetAccess(room=DEN, private=False, history="shown"),
                SetAccess(room=DEN, private=True),
            ],
            SetHistory: [
                SetHistory(room=DEN, history="shown"),
                SetHistory(room=DEN, history="hidden"),
            ],
            Ban: [Ban(room=DEN, name="bob")],
            Unban: [Unban(room=DEN, name="bob")],
            Bans: [Bans(room=DEN)],
            SetSlowMode: [SetSlowMode(room=DEN, seconds=0)],
            SetAnnouncements: [SetAnnouncements(room=DEN, on=False)],
            SetArchived: [SetArchived(room=DEN, on=False)],
            Block: [Block(name="eve")],
            Unblock: [Unblock(name="eve")],
            Blocks: [Blocks()],
            Report: [Report(to=DEN, seqs=(seq,)) for seq in range(1, 9)],
            Reports: [Reports()],
            ResolveReport: [ResolveReport(id=1)],
            Restrict: [Restrict(name="eve", kind="mute", seconds=60)],
            Unrestrict: [Unrestrict(name="eve", kind="mute")],
            Restrictions: [Restrictions()],
            BanAddress: [BanAddress(network="203.0.113.7")],
            UnbanAddress: [UnbanAddress(network="203.0.113.7")],
            AddressBans: [AddressBans()],
            HandOver: [HandOver(room=DEN, name="eve")],
            Rooms: [Rooms()],
            Members: [Members(room=DEN)],
            Sessions: [Sessions()],
            EndSession: [EndSession(id="0" * 32)],
            CreateToken: [CreateToken(device="bot", scopes=("read",), lifetime=60, rooms=(DEN,))],
            Hello: [Hello()],
            Ping: [Ping()],
            Pong: [Pong()],
            ChangePassword: [ChangePassword(old="wrong horse", new="another horse")],
            Logout: [Logout()],
        }

    async def attack(self, peer: Peer, *, besides: tuple[type, ...] = ()) -> None:
        """Send every request on a session that is logged in; or on new ones, before a login."""
        for kind, requests in self.attempts().items():
            for request in requests if kind not in besides else ():
                if kind in (Register, Login, Resume):
                    for server in self.servers:
                        await self.arrive(server, request)
                elif kind is Pong:
                    await peer.send(request)  # not answered
                else:
                    await peer.ask(request, Payload)

    async def arrive(self, server: RunningServer, request: Any) -> None:
        async with server.connect() as peer:
            await peer.ask(request, Payload)
            await peer.ask(Ping(), Pong)
            self.seen += peer.received

    async def require_nothing_seen(self) -> None:
        """Assert that none of the secrets has arrived."""
        for peer in (self.bob, self.minimal):
            await self.catch_up(peer)
            self.seen += peer.received
        for one in self.seen:
            assert SECRET not in repr(one), one
            assert EMOJI not in repr(one), one


@asynccontextmanager
async def scene(stores: list[str]) -> AsyncIterator[Scene]:
    limits = config(burst=1000, per_second=1000.0, request_budget=1_000_000)
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(running_server(structs.replace(limits, store=url)))
            for url in stores
        ]
        mei = await stack.enter_async_context(servers[0].peer("mei", *CAPS))
        bob = await stack.enter_async_context(servers[-1].peer("bob", *CAPS))
        minimal = await stack.enter_async_context(servers[0].peer("bob"))
        played = Scene(servers, mei, bob, minimal)
        await played.play()
        yield played


async def test_no_request_reads_entries_from_before_joining(stores: list[str]) -> None:
    async with scene(stores) as played:
        # New request types can't be forgotten here.
        assert set(played.attempts()) == set(REQUESTS)
        await played.change()
        await played.attack(played.bob, besides=(Logout,))
        await played.attack(played.minimal, besides=(Logout, Login, Resume))
        # The changes reveal nothing more.
        await played.change()
        await played.attack(played.bob, besides=(Logout,))
        await played.require_nothing_seen()
        # It is still there for its members.
        found = await played.mei.ask(Search(query=SECRET), Found)
        assert len(found.hits) == 5
        page = await played.mei.ask(History(conv=DEN, after=0, limit=200), HistoryPage)
        assert (page.entries[0].seq, page.floor) == (1, 0)
        assert [reaction.emoji for reaction in page.entries[6].reactions] == [EMOJI]


async def test_member_who_joins_once_public_reads_from_there(stores: list[str]) -> None:
    async with scene(stores) as played, played.servers[-1].peer("eve", *CAPS) as eve:
        public = SetAccess(room=DEN, private=False)
        assert (await played.mei.ask(public, Error)).field == "history"
        sent = await played.mei.ask(structs.replace(public, history="hidden"), Sent)
        await eve.ask(Join(room=DEN), Sent)
        await played.change()
        hers = Scene(played.servers, played.mei, eve, eve)
        hers.floor, hers.epoch, hers.cursor = sent.seq - 1, sent.epoch, played.cursor
        await hers.attack(eve, besides=(Logout, Login, Send))  # her own messages are not hidden
        await hers.require_nothing_seen()
        page = await eve.ask(History(conv=DEN, after=0), HistoryPage)
        assert (page.floor, page.entries[0].kind) == (sent.seq - 1, "access")


async def test_changes_of_hidden_messages_leave_no_gap_in_the_log(
    stores: list[str],
) -> None:
    async with scene(stores) as played:
        await played.change()
        bob = played.bob
        await played.catch_up(bob)
        entries = [m for m in bob.received if isinstance(m, Message) and m.to == DEN]
        first = entries[0].seq
        assert [entry.seq for entry in entries] == list(range(first, first + len(entries)))
        changes = [entry for entry in entries if entry.ref == 7 and entry.kind != "text"]
        assert [entry.kind for entry in changes] == ["edit", "unreact", "react"]
        for entry in changes:
            assert (entry.text, entry.mentions, entry.deleted) == ("", (), True)
        page = await bob.ask(History(conv=DEN, after=first - 1, limit=200), HistoryPage)
        assert list(page.entries) == entries
        # Without the log capability only messages arrive.
        await played.catch_up(played.minimal)
        said = [m for m in played.minimal.received if isinstance(m, Message) and m.to == DEN]
        assert [entry.text for entry in said] == ["as I said"]


async def test_page_reports_nothing_older(stores: list[str]) -> None:
    async with scene(stores) as played:
        floor = played.floor
        page = await played.bob.ask(History(conv=DEN), HistoryPage)
        assert (page.older, page.floor, page.entries[0].seq) == (False, floor, floor + 1)
        page = await played.bob.ask(History(conv=DEN, before=floor), HistoryPage)
        assert (page.older, page.newer, page.entries) == (False, True, ())
        page = await played.bob.ask(History(conv=DEN, around=3, limit=1), HistoryPage)
        assert (page.older, page.newer) == (False, True)
