"""Resuming: missed entries come in order, then live ones; without gaps, nothing twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from patience import PATIENCE
from peers import PASSWORD, Peer, config, running_server

from gochat.chat.store import Page
from gochat.protocol.messages import (
    Bye,
    CaughtUp,
    ChangePassword,
    CreateRoom,
    Edit,
    Error,
    LoggedIn,
    Message,
    PasswordChanged,
    Ping,
    Pong,
    Position,
    Resume,
    Send,
    Sent,
)
from gochat.server.app import Server, open_server
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio


async def say(peer: Peer, *texts: str, to: str = "#lobby") -> Sent:
    """Send messages and return the last acknowledgement."""
    return [await peer.ask(Send(to=to, text=text), Sent) for text in texts][-1]


async def resumed(peer: Peer, token: str, *positions: Position) -> list[Message | CaughtUp]:
    """Resume and return what was sent before a ping was answered."""
    await peer.send(
        Resume(token=token, caps=("log",), positions=positions), Ping(request_id="done")
    )
    sent: list[Message | CaughtUp] = []
    while True:
        match await peer.receive():
            case Pong(request_id="done"):
                return sent
            case Message() | CaughtUp() as message:
                sent.append(message)
            case Error() as error:
                raise AssertionError(error)


async def test_resume_needs_a_token_and_no_password() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.connect() as again:
        reply = await again.ask(Resume(token=mei.token), LoggedIn)
        assert reply.name == "mei"
        assert reply.token == mei.token


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 43])
async def test_wrong_token_is_refused(token: str) -> None:
    async with running_server() as server, server.connect() as peer:
        assert (await peer.ask(Resume(token=token), Error)).code == "bad_token"
        await peer.log_in("mei")


async def test_token_expires() -> None:
    async with running_server(config(token_lifetime=60)) as server, server.peer("mei") as mei:
        reply = await mei.ask(ChangePassword(old=PASSWORD, new=PASSWORD), PasswordChanged)
        now = (await say(mei, "now")).ts
        assert now < reply.expires <= now + 60_000


async def test_missed_entries_arrive_in_order_before_live_ones() -> None:
    async with running_server() as server, server.peer("bob") as bob:
        async with server.peer("mei") as mei:
            token = mei.token
            first = await say(bob, "one")
        await say(bob, "two", "three")
        async with server.connect() as mei:
            position = Position(conv="#lobby", epoch=first.epoch, seq=first.seq)
            caught_up, *missed = await resumed(mei, token, position)
            assert caught_up == CaughtUp(conv="#lobby", epoch=first.epoch, seq=1, head=3)
            assert [m.text for m in missed if isinstance(m, Message)] == ["two", "three"]
            await say(bob, "four")
            assert (await mei.text()).text == "four"


async def test_last_of_several_positions_in_a_conversation_counts() -> None:
    """Otherwise the reply to a frame full of them would be a thousand times its size."""
    async with running_server() as server, server.peer("bob") as bob, server.connect() as again:
        async with server.peer("mei", "log") as mei:
            token = mei.token
        first = await say(bob, "one", "two", "three")
        positions = [
            Position(conv=conv, epoch=first.epoch, seq=seq)
            for conv, seq in (("#lobby", 0), ("#LOBBY", 1), ("#lobby", 2))
        ]
        caught_up, *entries = await resumed(again, token, *positions)
        assert isinstance(caught_up, CaughtUp)
        assert [entry.text for entry in entries if isinstance(entry, Message)] == ["three"]


async def test_resume_is_seamless_while_others_send() -> None:
    total = 600
    async with running_server() as server, server.peer("bob", "log") as bob:
        async with server.peer("mei") as mei:
            token = mei.token
            epoch = (await say(bob, "0")).epoch

        async with trio.open_nursery() as nursery:

            async def talk() -> None:
                for number in range(1, total):
                    await bob.send(Send(to="#lobby", text=str(number)))
                    await bob.expect(Sent)

            nursery.start_soon(talk)
            seen = 1
            while seen < total:
                async with server.connect() as mei:
                    position = Position(conv="#lobby", epoch=epoch, seq=seen)
                    for message in await resumed(mei, token, position):
                        if isinstance(message, Message):
                            assert message.seq == seen + 1
                            seen += 1
                    for _ in range(min(7, total - seen)):
                        message = await mei.text()
                        assert message.seq == seen + 1
                        seen += 1


async def test_resume_that_missed_too_much_gets_the_newest_page() -> None:
    async with running_server(config(resume_max=20)) as server, server.peer("bob") as bob:
        async with server.peer("mei") as mei:
            token = mei.token
        first = await say(bob, "0")
        await say(bob, *[str(n) for n in range(1, 300)])
        async with server.connect() as mei:
            position = Position(conv="#lobby", epoch=first.epoch, seq=1)
            caught_up, *newest = await resumed(mei, token, position)
            assert isinstance(caught_up, CaughtUp)
            assert not caught_up.recovered
            assert (caught_up.seq, caught_up.head) == (100, 300)
            assert [m.seq for m in newest if isinstance(m, Message)] == list(range(101, 301))


async def test_client_without_the_log_capability_is_caught_up_on_messages() -> None:
    async with running_server() as server, server.peer("bob") as bob, server.peer("mei") as mei:
        epoch = (await say(bob, "one")).epoch
        await bob.ask(Edit(to="#lobby", seq=1, text="One"), Sent)
        await say(bob, "two")
        async with server.connect() as again:
            position = Position(conv="#lobby", epoch=epoch, seq=0)
            await again.send(Resume(token=mei.token, positions=(position,)), Ping())
            await again.expect(Pong)
            said = [m for m in again.received if isinstance(m, Message)]
            assert [(m.seq, m.text) for m in said] == [(1, "One"), (3, "two")]


@pytest.mark.parametrize("wrong", ["epoch", "ahead"])
async def test_position_in_another_history_is_not_used(wrong: str) -> None:
    async with running_server() as server, server.peer("bob") as bob:
        async with server.peer("mei") as mei:
            token = mei.token
        last = await say(bob, "one", "two")
        position = (
            Position(conv="#lobby", epoch="another", seq=2)
            if wrong == "epoch"
            else Position(conv="#lobby", epoch=last.epoch, seq=3)
        )
        async with server.connect() as mei:
            caught_up, *newest = await resumed(mei, token, position)
            assert isinstance(caught_up, CaughtUp)
            assert not caught_up.recovered
            assert [m.text for m in newest if isinstance(m, Message)] == ["one", "two"]


async def test_unreadable_conversations_are_skipped() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.connect() as again:
        positions = [
            Position(conv=conv, epoch="x", seq=0) for conv in ("#nowhere", "nonsense", "@nobody")
        ]
        sent = await resumed(again, mei.token, *positions)
        assert [m for m in sent if isinstance(m, Message)] == []


async def test_password_change_ends_other_sessions_and_their_tokens() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        old_token = mei.token
        async with server.peer("mei") as elsewhere:
            reply = await mei.ask(
                ChangePassword(old=PASSWORD, new="another horse"), PasswordChanged
            )
            bye = (await elsewhere.at_end())[-1]
            assert isinstance(bye, Bye)
            assert bye.reason == "session_revoked"
        async with server.connect() as again:
            assert (await again.ask(Resume(token=old_token), Error)).code == "bad_token"
            await again.ask(Resume(token=reply.token), LoggedIn)
        await mei.ask(Ping(), Pong)


async def test_password_change_needs_the_old_password() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        error = await mei.ask(ChangePassword(old="wrong horse", new="another horse"), Error)
        assert error.code == "bad_credentials"


async def test_guessing_the_old_password_is_slowed() -> None:
    limits = config(login_failures_account=3)
    async with running_server(limits) as server, server.peer("mei") as mei:
        guess = ChangePassword(old="wrong horse", new="another horse")
        codes = [(await mei.ask(guess, Error)).code for _ in range(4)]
        assert codes == ["bad_credentials"] * 3 + ["rate_limited"]


async def test_restarted_server_has_all_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'gochat.db'}"
    async with running_server(config(store=store)) as server, server.peer("mei", "log") as mei:
        token = mei.token
        sent = await say(mei, "before")
    async with running_server(config(store=store)) as server, server.connect() as mei:
        position = Position(conv="#lobby", epoch=sent.epoch, seq=0)
        [_, message] = await resumed(mei, token, position)
        assert isinstance(message, Message)
        assert message.text == "before"
        assert (await say(mei, "after")).seq == 2


class Reads:
    """Counts the pages that are read from the log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._page = SqliteStore.page
        reads = self

        async def page(store: SqliteStore, *args: Any, **options: Any) -> Page:
            reads.count += 1
            return await reads._page(store, *args, **options)

        monkeypatch.setattr(SqliteStore, "page", page)


async def test_positions_without_missed_entries_read_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each used to cost a page, and a frame can ask for 1,280."""
    async with running_server() as server, server.peer("bob") as bob, server.peer("mei") as mei:
        await say(bob, "psst", to="@mei")
        reads = Reads(monkeypatch)
        async with server.connect() as again:
            convs = ["#nowhere", "@bob", *(f"@nobody{number}" for number in range(50))]
            positions = [Position(conv=conv, epoch="x", seq=0) for conv in convs]
            sent = await resumed(again, mei.token, *positions)
        assert [m.conv for m in sent if isinstance(m, CaughtUp)] == ["@bob"]
        assert reads.count == 2  # after the position, of another history, and the newest


async def test_catch_up_ends_with_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a client that is gone would still cost the others."""
    rooms = [f"#room{number}" for number in range(20)]
    reads, is_gone = Reads(monkeypatch), trio.Event()
    page = SqliteStore.page

    async def page_after(store: SqliteStore, *args: Any, **options: Any) -> Page:
        await is_gone.wait()
        return await page(store, *args, **options)

    monkeypatch.setattr(SqliteStore, "page", page_after)
    async with open_server(config()) as server:
        async with connected(server) as mei:
            await mei.log_in("mei")
            for room in rooms:
                await mei.ask(CreateRoom(room=room), Sent)
            await mei.stream.aclose()
        async with connected(server) as again:
            positions = [Position(conv=room, epoch="x", seq=0) for room in rooms]
            await again.send(Resume(token=mei.token, positions=tuple(positions)))
            await again.expect(LoggedIn)
            await again.stream.aclose()
            is_gone.set()
        assert 1 <= reads.count <= 4  # one was in progress; the end is noticed by a failed write


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Peer]:
    """Connect to a server; leaving waits until the server has ended the connection, too."""
    ours, theirs = map(trio.SocketStream, trio.socket.socketpair())
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery, ours:
            nursery.start_soon(server.serve_stream, theirs, "socket")
            yield Peer(ours)
