"""Reads for a peer are paid for first, are few if little is sent, and end with the peer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import process_time
from typing import Any

import pytest
import trio
from patience import PATIENCE
from peers import Peer, config
from storing import Chat, draft

from gochat.protocol.messages import LoggedIn, Message, Ping, Pong, Resume
from gochat.server.app import open_server
from gochat.server.server import Server
from gochat.server.session import Session
from gochat.server.waiting_messages import QUIET_PAGES
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio


class Reads:
    """Counts reads of the log, and can be paused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.fifty = trio.Event()
        self.may_go_on = trio.Event()
        self.may_go_on.set()
        for method in ("page", "waiting", "conversation"):
            monkeypatch.setattr(SqliteStore, method, self._counted(getattr(SqliteStore, method)))

    def _counted(self, method: Any) -> Any:
        async def counted(*args: Any, **options: Any) -> Any:
            await self.may_go_on.wait()
            self.count += 1
            if self.count == 50:
                self.fifty.set()
            return await method(*args, **options)

        return counted


async def populate(server: Server, *, own: int = 0, friends: int, of: str = "Mallory") -> Chat:
    """Give mallory notes, and a private conversation with each of some friends, with one message in
    each."""
    chat = Chat(server.services.store)
    names = [f"Friend{number}" for number in range(friends)]
    await chat.register(*names)
    await chat.append(*[draft("Mallory", "@Mallory", text=f"note {n}") for n in range(own)])
    for name in names:
        who, to = ("Mallory", f"@{name}") if of == "Mallory" else (name, "@Mallory")
        await chat.append(draft(who, to, text="hi"))
    return chat


def connection(server: Server, nursery: trio.Nursery, ended: trio.Event) -> Peer:
    ours, theirs = map(trio.SocketStream, trio.socket.socketpair())

    async def serve() -> None:
        await server.serve_stream(theirs, "socket")
        ended.set()

    nursery.start_soon(serve)
    return Peer(ours)


async def token(server: Server, nursery: trio.Nursery) -> str:
    ended = trio.Event()
    peer = connection(server, nursery, ended)
    await peer.log_in("mallory")
    await peer.stream.aclose()
    with trio.fail_after(PATIENCE):
        await ended.wait()
    return peer.token


async def test_notes_and_read_conversations_are_not_read_to_catch_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It used to be a query for each conversation, and a page for every few notes."""
    async with open_server(config()) as server, trio.open_nursery() as nursery:
        resume = Resume(token=await token(server, nursery))
        await populate(server, own=900, friends=30, of="friends")
        chat = Chat(server.services.store)
        for number in range(29):
            assert await chat.mark_read("Mallory", f"@Friend{number}", 1)
        reads = Reads(monkeypatch)
        peer = connection(server, nursery, trio.Event())
        await peer.send(resume, Ping())
        await peer.expect(LoggedIn)
        await peer.expect(Pong)
        assert [m.text for m in peer.received if isinstance(m, Message)] == ["hi"]
        assert reads.count == 2  # the notes, and the conversation with the unread friend
        await peer.stream.aclose()
        nursery.cancel_scope.cancel()


async def test_catch_up_without_entries_ends_with_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nothing else is written to it, which would show sooner that it is gone.
    limits = config(presence_interval=60)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        resume = Resume(token=await token(server, nursery))
        await populate(server, friends=40)
        reads, ended = Reads(monkeypatch), trio.Event()
        reads.may_go_on = trio.Event()
        peer = connection(server, nursery, ended)
        await peer.send(resume)
        await peer.expect(LoggedIn)
        await peer.stream.aclose()
        reads.may_go_on.set()
        with trio.fail_after(PATIENCE):
            await ended.wait()
        assert 1 <= reads.count <= QUIET_PAGES + 2
        nursery.cancel_scope.cancel()


async def test_catch_up_goes_on_as_it_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = config(request_budget=100, request_budget_per_second=0.01)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        resume = Resume(token=await token(server, nursery))
        await populate(server, friends=120, of="friends")
        reads, ended, waits = Reads(monkeypatch), trio.Event(), trio.Event()
        while_there = Session.while_there

        async def noted(session: Session, turn: Callable[[], Awaitable[None]]) -> None:
            if reads.fifty.is_set():
                waits.set()
            await while_there(session, turn)

        monkeypatch.setattr(Session, "while_there", noted)
        peer = connection(server, nursery, ended)
        await peer.send(resume)
        await peer.expect(LoggedIn)
        with trio.fail_after(PATIENCE):
            await waits.wait()
        assert reads.count < 100
        assert not ended.is_set()
        await peer.stream.aclose()
        with trio.fail_after(PATIENCE):
            await ended.wait()
        nursery.cancel_scope.cancel()


#: Seconds of the processor's time by which two short readings differ on a busy machine.
NOISE = 0.002


async def spent(count: int, ask: Any) -> float:
    """Return CPU seconds, the least of some runs."""
    least = 1e9
    for _ in range(count):
        began = process_time()
        await ask()
        least = min(least, process_time() - began)
    return least


async def test_reactions_of_many_people_cost_little_more_than_those_of_ten() -> None:
    """It used to read each row, with its account: six times as much."""
    async with open_server(config()) as server:
        chat = Chat(server.services.store)
        people = [f"P{number}" for number in range(90)]
        await chat.register("Mei", *people)
        await chat.append(*[draft("Mei", "#lobby", text="x") for _ in range(40)])
        for seq in range(1, 41):
            crowd = people if seq <= 20 else people[:10]
            await chat.append(
                *[
                    draft(name, "#lobby", emoji, kind="react", ref=seq)
                    for emoji in "👍🎉"
                    for name in crowd
                ]
            )
        many = await spent(5, lambda: chat.page("Mei", "#lobby", before=21, limit=20))
        few = await spent(5, lambda: chat.page("Mei", "#lobby", before=41, limit=20))
        assert many < 3 * few + NOISE


async def test_cost_of_counting_unread_notes_is_constant() -> None:
    async with open_server(config()) as server:
        chat = Chat(server.services.store)
        await chat.register("Mei", "Bob")
        await chat.append(draft("Mei", "@Bob", text="x"))
        for _ in range(16):
            await chat.append(*[draft("Mei", "@Mei", text="x") for _ in range(500)])
        many = await spent(9, lambda: chat.seen("Mei", "@Mei"))
        few = await spent(9, lambda: chat.seen("Mei", "@Bob"))
        assert many < 3 * few + NOISE
