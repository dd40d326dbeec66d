"""A node whose knowledge of a room's members is outdated."""

from __future__ import annotations

import pytest
from peers import Peer, running_server

from gochat.protocol.messages import (
    CreateRoom,
    Delete,
    Edit,
    Error,
    Found,
    History,
    HistoryPage,
    Invite,
    Join,
    Kick,
    LoggedIn,
    Members,
    Message,
    Ping,
    Pong,
    Position,
    React,
    Request,
    Resume,
    Search,
    Send,
    Sent,
    Sync,
    Synced,
)
from gochat.server.hub import Hub
from gochat.storage.sqlite import facts

pytestmark = pytest.mark.trio

DEN = "#den"


async def den(mei: Peer, bob: Peer) -> Sent:
    """Mei's private room with Bob in it, and Bob's messages there."""
    await mei.ask(CreateRoom(room=DEN, private=True), Sent)
    await mei.ask(Invite(room=DEN, name="bob"), Sent)
    await bob.ask(Join(room=DEN), Sent)
    return await bob.ask(Send(to=DEN, text="psst"), Sent)


async def test_removed_member_neither_writes_nor_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        seq = (await den(mei, bob)).seq
        monkeypatch.setattr(Hub, "_exit", lambda *_: None)
        await mei.ask(Kick(room=DEN, name="bob"), Sent)
        await mei.ask(Send(to=DEN, text="a secret"), Sent)
        requests: list[Request] = [
            Send(to=DEN, text="x"),
            Edit(to=DEN, seq=seq, text="x"),
            Delete(to=DEN, seq=seq),
            React(to=DEN, seq=seq, emoji="🌹"),
            History(conv=DEN),
            History(conv=DEN, after=seq),
            Members(room=DEN),
        ]
        for request in requests:
            # As for any private room of which they are not a member.
            assert (await bob.ask(request, Error)).code == "unknown_conversation", request
        assert (await bob.ask(Search(query="psst"), Found)).hits == ()
        assert (await bob.ask(Search(query="psst", conv=DEN), Found)).hits == ()


async def test_messages_sent_together_are_each_decided_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob", "log") as bob:
            await den(mei, bob)
            monkeypatch.setattr(Hub, "_exit", lambda *_: None)
            await mei.ask(Kick(room=DEN, name="bob"), Sent)
            texts = (("#lobby", "1"), (DEN, "2"), ("@mei", "3"), (DEN, "4"))
            await bob.send(
                *(Send(to=to, text=text, request_id=text) for to, text in texts),
                Ping(request_id="end"),
            )
            replies: list[object] = []
            while not isinstance(reply := await bob.receive(), Pong):
                if isinstance(reply, Error | Sent):
                    replies.append((reply.request_id, reply.msg_type))
            assert replies == [("1", "sent"), ("2", "error"), ("3", "sent"), ("4", "error")]


async def test_removed_member_gets_nothing_to_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        said = await den(mei, bob)
        monkeypatch.setattr(Hub, "_exit", lambda *_: None)
        await mei.ask(Kick(room=DEN, name="bob"), Sent)
        async with server.connect() as again:
            await again.ask(Resume(token=bob.token, caps=("log",)), LoggedIn)
            position = Position(conv=DEN, epoch=said.epoch, seq=0, ts=0)
            page = await again.ask(Sync(have=(position,)), Synced)
            assert page.gone == (DEN,)
            assert [one.conv for one in page.conversations] == ["#lobby"]
            assert not [m for m in again.received if isinstance(m, Message)]


async def test_member_who_joined_at_another_node_writes_and_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Hub, "enter", lambda *_: None)
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await den(mei, bob)
        await bob.ask(History(conv=DEN), HistoryPage)
        await bob.ask(Send(to=DEN, text="x"), Sent)


async def test_request_whose_facts_keep_changing_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await den(mei, bob)
        compared: list[object] = []
        monkeypatch.setattr(facts, "hold", lambda *given: compared.append(given))
        # A message has one more try: where it was read.
        for request, tries in ((Send(to=DEN, text="x"), 4), (Kick(room=DEN, name="bob"), 3)):
            compared.clear()
            error = await mei.ask(request, Error)
            assert (error.code, error.retry_after) == ("busy", 0.5)
            assert len(compared) == tries
        monkeypatch.undo()
        kinds = [entry.kind for entry in (await bob.ask(History(conv=DEN), HistoryPage)).entries]
        assert kinds == ["create", "invite", "join", "text"]
