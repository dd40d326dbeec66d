"""A program whose only task that takes events waits for a reply, behind more than the buffer has
room for. The bounds are lowered here: the rules are the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from patience import PATIENCE
from scripted_server import Peer, lobby, logged_in, said

from gochat.client import (
    Client,
    Invited,
    Message,
    NewLogin,
    Person,
    Presence,
    Reset,
    Synchronised,
    Uninvited,
    buffer,
)
from gochat.protocol import messages as wire

pytestmark = pytest.mark.anyio

BOUND = 256
#: Far more than the buffer takes, and than may be missed without showing the newest page instead.
FLOOD = 2000
TEXT = "x" * 300


@pytest.fixture(autouse=True)
def _low_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer, "EVENT_BUFFER", 64)
    monkeypatch.setattr(buffer, "EVENT_BUFFER_BEFORE_REPLY", BOUND)


class Lobby:
    """The lobby's log on a server that answers what a client asks to catch up."""

    def __init__(self) -> None:
        self.log: list[wire.Message] = []
        self.people: list[wire.Person] = []
        self.asked: list[wire.Request] = []

    def say(self, count: int = 1, **fields: Any) -> list[wire.Message]:
        """Append entries, and return them."""
        first = len(self.log) + 1
        entries = [said(seq, TEXT, **fields) for seq in range(first, first + count)]
        self.log += entries
        return entries

    async def flood(self, peer: Peer, count: int) -> None:
        entries = self.say(count)
        for at in range(0, count, 100):
            await peer.send(*entries[at : at + 100])

    async def serve(self, peer: Peer) -> None:
        """Answer all requests that read."""
        while True:
            request = await peer.receive(wire.Ping, wire.Pong)
            self.asked.append(request)
            await peer.reply(request, self.answer(request))

    def answer(self, request: wire.Request) -> wire.Reply:
        head = len(self.log)
        match request:
            case wire.Sync(have=have, limit=limit):
                seq = have[0].seq if have else 0
                first = max(seq, head - limit)
                return wire.Synced(conversations=(lobby(head, "e1", *self.log[first:]),))
            case wire.Who():
                return wire.People(people=tuple(self.people), total=len(self.people))
            case wire.History(after=int(after), limit=limit):
                return wire.HistoryPage(
                    conv="#lobby",
                    epoch="e1",
                    head=head,
                    entries=tuple(self.log[after : after + limit]),
                )
            case wire.Rooms():
                return wire.RoomList(rooms=())
        raise AssertionError(f"not expected: {request}")


class Program:
    """Answers the first message, and waits until that is sent before it takes the next event."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._heard = anyio.Event()
        self._wanted = 1
        self.events: list[object] = []
        self.seqs: list[int] = []
        self.sent: list[int] = []

    async def run(self) -> None:
        async for event in self._client:
            self.events.append(event)
            if isinstance(event, Message):
                self.seqs.append(event.seq)
                if not self.sent:
                    self.sent.append((await self._client.send("#lobby", "hello").sent()).seq)
            if len(self.seqs) >= self._wanted:
                self._heard.set()

    async def hear(self, count: int) -> None:
        """Wait until it has taken `count` messages."""
        self._wanted, self._heard = count, anyio.Event()
        if len(self.seqs) < count:
            with anyio.fail_after(PATIENCE):
                await self._heard.wait()

    def of(self, *kinds: type) -> list[object]:
        return [event for event in self.events if isinstance(event, kinds)]


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Program]:
    program = Program(client)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(program.run)
        yield program
        tasks.cancel_scope.cancel()


async def test_reply_is_read_behind_more_events_than_there_is_room_for() -> None:
    async with logged_in() as (_, client, peer), running(client) as program:
        world = Lobby()
        await peer.send(*world.say())
        request = await peer.expect(wire.Send)
        await world.flood(peer, FLOOD)
        world.people.append(wire.Person(name="eve"))
        await peer.send(
            wire.Presence(online=(wire.Person(name="eve"),)),
            wire.Invited(room="#garden", from_="eve", ts=1),
            wire.Uninvited(room="#garden"),
            login := NewLogin(address="192.0.2.1", by="token"),
            *world.say(from_="mei", cid=request.cid),
        )
        head = len(world.log)
        await peer.reply(
            request, wire.Sent(to="#lobby", epoch="e1", seq=head, ts=head, cid=request.cid)
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.serve, peer)
            await program.hear(head)
            tasks.cancel_scope.cancel()
        assert program.sent == [head]
        assert program.seqs == list(range(1, head + 1))
        # What is not in a log is in the snapshot, and what is in neither was kept.
        assert program.of(Reset, Presence, Invited, Uninvited) == []
        first, *_, last = program.of(Synchronised)
        assert isinstance(last, Synchronised)
        assert last.people == (Person(name="eve"),)
        assert first != last
        assert program.of(NewLogin) == [login]


async def test_reply_is_read_after_a_reconnect_with_a_full_buffer() -> None:
    async with logged_in() as (server, client, peer), running(client) as program:
        world = Lobby()
        await peer.send(*world.say())
        request = await peer.expect(wire.Send)
        await world.flood(peer, FLOOD)
        await peer.settle()
        await peer.cut()
        world.say(from_="mei", cid=request.cid)
        head = len(world.log)
        peer = await server.accept()
        assert isinstance(await peer.accept_login(), wire.Resume)
        sync = await peer.expect(wire.Sync)
        assert sync.limit == 0  # there is no room for entries
        await peer.reply(sync, world.answer(sync))
        who = await peer.expect(wire.Who)
        await peer.reply(who, world.answer(who))
        again = await peer.expect(wire.Send)
        assert again.cid == request.cid
        await peer.settle()  # what is missing is not fetched yet
        await peer.reply(
            again, wire.Sent(to="#lobby", epoch="e1", seq=head, ts=head, cid=again.cid, dup=True)
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.serve, peer)
            await program.hear(head)
            tasks.cancel_scope.cancel()
        assert program.sent == [head]
        assert program.seqs == list(range(1, head + 1))
        assert program.of(Reset) == []
