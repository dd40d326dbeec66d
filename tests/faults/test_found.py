"""Regressions that the fault runs found, each as small as possible."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from peers import Peer, RunningServer, running_server

from gochat.client.connection import Connection
from gochat.client.convert import to_entry
from gochat.client.events import Reset
from gochat.client.options import InternalOptions
from gochat.client.outbox import Outbox
from gochat.client.session import Session
from gochat.client.sync_state import SyncState
from gochat.errors import LogInterrupted
from gochat.protocol.messages import (
    Bye,
    Conversation,
    CreateRoom,
    HistoryPage,
    Join,
    Limits,
    LoggedIn,
    Login,
    Message,
    Ping,
    Pong,
    Position,
    Resume,
    Send,
    Sent,
    Sync,
    Synced,
)
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio


def while_rooms_are_loaded(
    monkeypatch: pytest.MonkeyPatch, name: str, do: Callable[[], Awaitable[object]]
) -> None:
    """Make `do` run, once, while the rooms of an arriving session are being looked up."""
    look_up = SqliteStore.conversation_keys
    is_done = False

    async def look_up_slowly(self: SqliteStore, person: Any) -> Any:
        nonlocal is_done
        keys = await look_up(self, person)
        if person == name and not is_done:
            is_done = True
            await do()
        return keys

    monkeypatch.setattr(SqliteStore, "conversation_keys", look_up_slowly)


async def until_pong(peer: Peer) -> list[Message]:
    """Return the messages sent to `peer` before a ping was answered."""
    await peer.send(Ping(request_id="done"))
    heard: list[Message] = []
    while True:
        match await peer.receive():
            case Pong(request_id="done"):
                return heard
            case Message() as event:
                heard.append(event)


async def room_of_two(server: RunningServer, bob: Peer) -> tuple[str, Position]:
    """Make mei join bob's room and leave; return her token and how far she read it."""
    await bob.ask(CreateRoom(room="#garden"), Sent)
    async with server.peer("mei", "log") as mei:
        joined = await mei.ask(Join(room="#garden"), Sent)
        position = Position(conv="#garden", epoch=joined.epoch, seq=joined.seq, ts=joined.ts)
        return mei.token, position


@pytest.mark.parametrize("has_another_session", [False, True])
async def test_room_message_during_a_resume_arrives_once_in_order(
    monkeypatch: pytest.MonkeyPatch, has_another_session: bool
) -> None:
    async with running_server() as server, server.peer("bob", "log") as bob:
        token, position = await room_of_two(server, bob)
        await bob.ask(Send(to="#garden", text="before"), Sent)
        async with trio.open_nursery() as nursery, server.connect() as mei:
            if has_another_session:
                await nursery.start(_stay, server, token)
            while_rooms_are_loaded(
                monkeypatch, "mei", lambda: bob.ask(Send(to="#garden", text="meanwhile"), Sent)
            )
            await mei.send(Resume(token=token, caps=("log",)), Sync(have=(position,)))
            await mei.expect(LoggedIn)
            page = await mei.expect(Synced)
            (garden,) = [one for one in page.conversations if one.conv == "#garden"]
            await bob.ask(Send(to="#garden", text="after"), Sent)
            heard = [m for m in await until_pong(mei) if m.seq > garden.head]
            assert [(m.seq, m.text) for m in (*garden.entries, *heard)] == [
                (position.seq + 1, "before"),
                (position.seq + 2, "meanwhile"),
                (position.seq + 3, "after"),
            ]
            nursery.cancel_scope.cancel()


async def _stay(server: RunningServer, token: str, *, task_status: trio.TaskStatus[None]) -> None:
    async with server.connect() as peer:
        await peer.ask(Resume(token=token), LoggedIn)
        task_status.started()
        await trio.sleep_forever()


async def test_private_message_during_a_minimal_login_arrives_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_server() as server, server.peer("bob") as bob, server.connect() as mei:
        await mei.register("mei")
        await bob.ask(Send(to="@mei", text="before"), Sent)
        while_rooms_are_loaded(
            monkeypatch, "mei", lambda: bob.ask(Send(to="@mei", text="meanwhile"), Sent)
        )
        await mei.send(Login(name="mei", password="correct horse"))
        heard = await until_pong(mei)
        assert [m.text for m in heard] == ["before", "meanwhile"]
        assert await until_pong(mei) == []  # a receipt, for closing may reset the connection
        async with server.connect() as again:
            await mei.stream.aclose()
            await bob.sees(offline="mei")
            await again.send(Login(name="mei", password="correct horse"))
            assert await until_pong(again) == [], "what was delivered does not come again"


def said(seq: int) -> Message:
    return Message(to="#lobby", epoch="e1", seq=seq, ts=seq, from_="mei", text=f"{seq}")


def interrupting(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """Return what interrupts the log, and waits until it is followed anew."""
    follow = SqliteStore.follow
    begun, interrupted = trio.Event(), trio.Event()

    async def follow_until_interrupted(
        self: SqliteStore, deliver: Any, *, task_status: Any
    ) -> None:
        nonlocal interrupted
        interrupted = trio.Event()
        begun.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(follow, self, deliver, task_status=task_status))
            await interrupted.wait()
            nursery.cancel_scope.cancel()
        raise LogInterrupted("its history is another")

    async def interrupt() -> None:
        nonlocal begun
        begun = trio.Event()
        interrupted.set()
        await begun.wait()
        await trio.testing.wait_all_tasks_blocked()

    monkeypatch.setattr(SqliteStore, "follow", follow_until_interrupted)
    return interrupt


async def test_session_arriving_during_an_interruption_gets_nothing_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Entries committed between two runs of the follower are missing from what was held back."""
    interrupt = interrupting(monkeypatch)
    async with running_server() as server, server.peer("bob", "log") as bob:
        async with server.peer("mei", "log") as mei:
            token = mei.token
        await bob.ask(Send(to="#lobby", text="missed"), Sent)

        async def meanwhile() -> None:
            await bob.ask(Send(to="#lobby", text="meanwhile"), Sent)
            await interrupt()

        async with server.connect() as mei:
            while_rooms_are_loaded(monkeypatch, "mei", meanwhile)
            await mei.send(Resume(token=token, caps=("log",)))
            heard = await mei.at_end()
        assert [m.text for m in heard if isinstance(m, Message)] == []
        assert isinstance(heard[-1], Bye)


class _Asked:
    """A connection on which something else happens before it answers."""

    def __init__(self, page: HistoryPage, meanwhile: Callable[[], object]) -> None:
        self._page = page
        self._meanwhile = meanwhile
        self.is_asked = False

    def accept_frames(self, size: int) -> None:
        """Send frames of any size."""

    async def ask(self, request: object, kind: object) -> HistoryPage:
        if not self.is_asked:
            self.is_asked = True
            self._meanwhile()
            return self._page
        return HistoryPage(conv="#lobby", epoch="e2", head=1, entries=(said_anew(),))


def said_anew() -> Message:
    return Message(to="#lobby", epoch="e2", seq=1, ts=1, from_="bob", text="anew")


async def test_reply_to_an_older_request_is_not_used_as_the_newest_page() -> None:
    """The request was for entries after the 10th of an old history; the new one has only one."""
    options = InternalOptions()
    sync_state = SyncState(Outbox(options.clock), options.clock)
    sync_state.name = "mei"
    sync_state.limits = Limits(
        frame_bytes=65536, text_chars=4000, burst=10, per_second=5, history_page=200
    )
    inbox = sync_state.inbox
    inbox.begin("mei")
    lobby = Conversation(conv="#lobby", epoch="e1", head=10, ts=10)
    inbox.synced(Sync(), Synced(conversations=(lobby,)))
    inbox.receive(said(10))
    inbox.receive(said(12))
    (want,) = inbox.wants().values()
    late = HistoryPage(conv="#lobby", epoch="e2", head=1, entries=())
    asked: Any = _Asked(late, lambda: inbox.receive(said_anew()))
    connection: Connection = asked
    await Session(connection, sync_state, options)._fetch("#lobby", want)
    shown = [event for event in sync_state.buffer._ready if isinstance(event, Reset)]
    assert shown == [Reset("#lobby", "e2", (to_entry(said_anew(), "mei"),))]
