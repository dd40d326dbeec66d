"""The intake: what is plain is done where it is read; the rest as if nobody had looked at it."""

from __future__ import annotations

import os
import random
import socket
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trio.lowlevel
from patience import PATIENCE
from peers import Peer, RunningServer, config, running_server
from session_steps import session_steps

from gochat.chat.log import Submission, Together
from gochat.errors import ErrorCode
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    Bye,
    CreateRoom,
    Edit,
    Error,
    History,
    HistoryPage,
    Join,
    Kick,
    Message,
    Ping,
    Pong,
    Request,
    Send,
    Sent,
)
from gochat.server import intake
from gochat.server.plain_sends import MOST_TOGETHER, PlainSends
from gochat.storage.sqlite import SqliteStore, database, pace
from gochat.storage.sqlite.transaction import Transaction

pytestmark = pytest.mark.trio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the server's database."""
    return tmp_path / "chat.db"


@pytest.fixture
async def server(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningServer]:
    """A server on disk, whose commits count as fast however busy the machine is."""
    monkeypatch.setattr(pace, "LIMIT", inf)
    monkeypatch.setattr(pace, "LIMIT_APART", inf)
    monkeypatch.setattr(pace, "READ_LIMIT", inf)
    monkeypatch.setattr(database, "BUSY_TIMEOUT", PATIENCE)
    async with running_server(config(store=f"sqlite:///{path}")) as running:
        yield running


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the database, as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


async def have_arrived() -> None:
    """Wait until the server has read everything and waits for its database."""
    for _ in range(50):
        await trio.testing.wait_all_tasks_blocked(0.001)


@pytest.mark.parametrize("caps", [["log"], []], ids=["log", "minimal"])
@pytest.mark.parametrize("to", ["#lobby", "@bob", "#garden"])
async def test_plain_message_needs_no_task_of_its_session_and_no_other_thread(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, to: str, caps: list[str]
) -> None:
    threads = []
    commit = Transaction.commit

    def noted(transaction: Transaction, entries: int = 0) -> None:
        threads.append(threading.current_thread())
        commit(transaction, entries)

    async with server.peer("mei", *caps) as mei, server.peer("bob", *caps) as bob:
        await mei.ask(CreateRoom(room="#garden"), Sent)
        await bob.ask(Join(room="#garden"), Sent)
        await mei.ask(Send(to=to, text="the first one of a new log"), Sent)
        monkeypatch.setattr(Transaction, "commit", noted)
        here, row = [threading.current_thread()], 0
        async with session_steps() as steps:
            for number in range(200):
                threads.clear()
                before = steps.count
                await mei.ask(Send(to=to, text=f"{number}"), Sent)
                await bob.text(lambda message: message.text == f"{number}")  # noqa: B023 -- at once
                # On a busy machine the writer's thread may not be done with the one before.
                row = row + 1 if threads == here and steps.count == before else 0
                if row == 5:
                    break
        assert row == 5


class _Passes(trio.abc.Instrument):
    """In which pass of the event loop who is woken, and messages are taken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.woken: list[int] = []
        self.taken: list[int] = []
        wake, take = intake.Source.wake, intake.Source.take

        def counted_wake(source: intake.Source, arrived: Any = None) -> None:
            if source._task is not None:
                self.woken.append(self.count)
            wake(source, arrived)

        def counted_take(source: intake.Source, data: bytes) -> Submission | None:
            self.taken.append(self.count)
            return take(source, data)

        monkeypatch.setattr(intake.Source, "wake", counted_wake)
        monkeypatch.setattr(intake.Source, "take", counted_take)

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_crowd_is_woken_a_few_at_a_time_and_overtaken_by_a_message(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the crowd costs its session's task, which would all run before anything else."""
    monkeypatch.setattr(intake, "SLICE", PATIENCE)  # however busy the machine is
    crowd = 5 * intake.MOST_WOKEN
    async with server.peer("mei", "log") as mei, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(server.connect()) for _ in range(crowd)]
        for peer in peers:
            await peer.ask(Ping(), Pong)
        await mei.ask(Send(to="#lobby", text="the first one of a new log"), Sent)
        passes = _Passes(monkeypatch)
        trio.lowlevel.add_instrument(passes)
        message = Send(to="#lobby", text="in the middle of it")
        write_at_once(*((peer, Ping(request_id="crowd")) for peer in peers), (mei, message))
        for peer in peers:
            await peer.expect(Pong, lambda pong: pong.request_id == "crowd")
        await mei.expect(Sent)
        trio.lowlevel.remove_instrument(passes)
        woken, taken = list(passes.woken), list(passes.taken)
    assert len(woken) >= crowd
    assert max(map(woken.count, woken)) <= intake.MOST_WOKEN
    assert taken[0] < woken[-1]


@pytest.mark.parametrize(
    "request_",
    [
        Send(to="#lobby", text="have you seen @nobody, @bob?"),
        Send(to="#lobby", text="yes", reply_to=1),
        Send(to="@ann", text="the first message to her"),
    ],
    ids=["unknown name", "reply", "first private message"],
)
async def test_message_for_which_rows_are_looked_up_needs_no_task_of_its_session(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, request_: Send
) -> None:
    async with server.peer("ann"), server.peer("bob"), server.peer("mei", "log") as mei:
        await mei.ask(Send(to="#lobby", text="one"), Sent)
        with submitted(monkeypatch) as counts:
            async with session_steps() as steps:
                await mei.ask(request_, Sent)
        assert (steps.count, counts) == (0, [1])


async def test_messages_that_arrive_while_their_session_is_busy_are_taken_like_others(
    server: RunningServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.peer("mei", "log") as mei:
        await mei.ask(Send(to="#lobby", text="one"), Sent)
        with submitted(monkeypatch) as counts:
            with locked(path):
                await mei.send(Edit(to="#lobby", seq=1, text="once", request_id="e"))
                await have_arrived()
                await mei.send(Send(to="#lobby", text="two", request_id="s"))
                await have_arrived()
            await mei.expect(Sent, lambda sent: sent.request_id == "s")
        assert counts == [1]
        assert [m.text for m in mei.received if isinstance(m, Message)] == ["one", "once", "two"]


async def test_message_that_arrives_before_the_last_is_settled_needs_no_task_of_its_session(
    server: RunningServer, path: Path
) -> None:
    async with server.peer("mei", "log") as mei:
        await mei.ask(Send(to="#lobby", text="warm"), Sent)
        await have_arrived()
        async with session_steps() as steps:
            with locked(path):
                for number in range(3):
                    await mei.send(Send(to="#lobby", text=f"{number}", request_id=f"{number}"))
                    await have_arrived()
            await mei.expect(Sent, lambda sent: sent.request_id == "2")
            assert steps.count == 0
        said = [message.text for message in mei.received if isinstance(message, Message)]
        assert said == ["warm", "0", "1", "2"]


async def test_end_that_arrives_before_the_last_message_is_settled_is_seen(
    server: RunningServer, path: Path
) -> None:
    """After other messages, too: no event announces the end again."""
    async with server.peer("bob", "log") as bob:
        async with server.peer("mei", "log") as mei:
            await mei.ask(Send(to="#lobby", text="warm"), Sent)
            with locked(path):
                for text in ("one", "two", "last words"):
                    await mei.send(Send(to="#lobby", text=text))
                    await have_arrived()
                await mei.stream.aclose()
                await have_arrived()
            await bob.text(lambda message: message.text == "last words")
        await bob.sees(offline="mei")


async def test_end_that_arrives_with_the_last_message_is_seen(
    server: RunningServer, path: Path
) -> None:
    """Also where both arrive while the session is busy, so that no event announces the end."""
    async with server.peer("bob", "log") as bob:
        async with server.peer("mei", "log") as mei:
            await mei.ask(Send(to="#lobby", text="one"), Sent)
            with locked(path):
                await mei.send(Edit(to="#lobby", seq=1, text="once"))
                await have_arrived()
                await mei.send(Send(to="#lobby", text="last words"))
                await mei.stream.aclose()
                await have_arrived()
            await bob.text(lambda message: message.text == "last words")
        await bob.sees(offline="mei")


def _script() -> list[Request]:
    """Requests of which each has a reply; messages and others in all orders."""
    texts = iter(range(1000))

    def send() -> Request:
        number = next(texts)
        return Send(to="#lobby", text=f"{number}", cid=f"c{number}", request_id=f"c{number}")

    requests: list[Request] = []
    for number in range(6):
        requests += [send(), Ping(request_id=f"p{number}"), send(), send()]
        requests.append(History(conv="#lobby", limit=1, request_id=f"h{number}"))
        requests.append(Edit(to="#lobby", seq=1, text=f"edit {number}", request_id=f"e{number}"))
        requests.append(Send(to="#nowhere", text="refused", request_id=f"r{number}"))
    requests += [send() for _ in range(MOST_TOGETHER + 3)]
    return [*requests, Ping(request_id="last")]


@pytest.mark.parametrize("seed", range(6))
async def test_order_is_that_of_arrival_however_the_bytes_are_cut(
    server: RunningServer, seed: int
) -> None:
    requests = _script()
    data = b"".join(map(encode, requests))
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(1, len(data)), k=[0, 1, 10, 60, 200, 400][seed]))
    async with server.peer("mei", "log") as mei:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mei.expect_last, "last")
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                await mei.stream.send_all(data[start:end])
                if chance.random() < 0.5:
                    await trio.lowlevel.checkpoint()
        replies = [
            request_id
            for message in mei.received
            if not isinstance(message, Message)
            and (request_id := getattr(message, "request_id", None)) is not None
        ]
        wanted = [one.request_id for one in requests]
        assert replies[-len(wanted) :] == wanted
        said = [m.cid for m in mei.received if isinstance(m, Message) and m.kind == "text"]
        assert said == [one.cid for one in requests if isinstance(one, Send) and one.cid]


async def test_nothing_of_a_session_overtakes_its_message_and_others_go_on(
    server: RunningServer, path: Path
) -> None:
    async with server.peer("mei", "log") as mei, server.peer("bob", "log") as bob:
        await mei.ask(Send(to="@bob", text="warm"), Sent)
        with locked(path):
            await mei.send(Send(to="@bob", text="waits", request_id="s"), Ping(request_id="p"))
            await have_arrived()
            await mei.send(Send(to="@bob", text="waits, too", request_id="s2"))
            await have_arrived()
            await bob.ask(Ping(), Pong)
            await bob.ask(History(conv="@mei", limit=1), HistoryPage)
        await mei.expect(Sent, lambda sent: sent.request_id == "s2")
        order = [getattr(message, "request_id", None) for message in mei.received]
        assert [one for one in order if one in ("s", "p", "s2")] == ["s", "p", "s2"]
        await bob.text(lambda message: message.text == "waits, too")
        said = [message.text for message in bob.received if isinstance(message, Message)]
        assert said == ["warm", "waits", "waits, too"]


async def test_message_is_decided_again_if_its_sender_was_kicked_meanwhile(
    server: RunningServer, path: Path
) -> None:
    async with server.peer("mei", "log") as mei, server.peer("bob", "log") as bob:
        await mei.ask(CreateRoom(room="#garden"), Sent)
        await bob.ask(Join(room="#garden"), Sent)
        await bob.ask(Send(to="#garden", text="warm"), Sent)
        with locked(path):
            await mei.send(Kick(room="#garden", name="bob", request_id="k"))
            await have_arrived()
            await bob.send(
                Send(to="#garden", text="too late", request_id="late"),
                Send(to="#lobby", text="after it", request_id="after"),
            )
            await have_arrived()
        await mei.expect(Sent, lambda sent: sent.request_id == "k")
        refusal = await bob.expect(Error)
        assert (refusal.code, refusal.request_id) == (ErrorCode.NOT_A_MEMBER, "late")
        await bob.expect(Sent, lambda sent: sent.request_id == "after")
        page = await mei.ask(History(conv="#garden", limit=10), HistoryPage)
        assert [entry.text for entry in page.entries if entry.kind == "text"] == ["warm"]


async def test_message_is_kept_although_its_sender_leaves_at_once(server: RunningServer) -> None:
    async with server.peer("bob", "log") as bob:
        for number in range(5):
            async with server.peer("mei", "log") as mei:
                await mei.ask(Send(to="@bob", text="warm"), Sent)
                await mei.send(Send(to="@bob", text=f"last words {number}"))
            await bob.text(lambda message: message.text == f"last words {number}")  # noqa: B023 -- at once


async def test_sender_who_leaves_while_the_store_is_busy_loses_nothing(
    server: RunningServer, path: Path
) -> None:
    async with server.peer("bob", "log") as bob:
        async with server.peer("mei", "log") as mei:
            await mei.ask(Send(to="@bob", text="warm"), Sent)
            with locked(path):
                await mei.send(Send(to="@bob", text="last words"))
                await have_arrived()
                await mei.stream.aclose()
                await have_arrived()
            await bob.text(lambda message: message.text == "last words")
        await bob.sees(offline="mei")


async def test_fault_in_the_intake_costs_nobody_a_message(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("a bug")

    async with server.peer("mei", "log") as mei:
        await mei.ask(Send(to="#lobby", text="one"), Sent)
        monkeypatch.setattr(PlainSends, "_draft_all", fails)
        with structlog.testing.capture_logs() as logs:
            assert (await mei.ask(Send(to="#lobby", text="two"), Sent)).seq == 2
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["intake failed"]


async def test_fault_in_answering_ends_only_that_session(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("a bug")

    async with server.peer("mei", "log") as mei, server.peer("bob", "log") as bob:
        await mei.ask(Send(to="#lobby", text="one"), Sent)
        with monkeypatch.context() as patch:
            patch.setattr(PlainSends, "_answer", fails)
            await mei.send(Send(to="#lobby", text="two"))
            bye = [message for message in await mei.at_end() if isinstance(message, Bye)]
            assert [one.reason for one in bye] == ["internal"]
        assert (await bob.ask(Send(to="#lobby", text="three"), Sent)).seq == 3


async def test_dead_store_refuses_messages_and_says_so(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.peer("mei", "log") as mei:
        await mei.ask(Send(to="#lobby", text="one"), Sent)

        def full(*_: object, **__: object) -> None:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(Transaction, "commit", full)
            refusal = await mei.ask(Send(to="#lobby", text="two", cid="c"), Error)
            assert (refusal.code, refusal.cid) == (ErrorCode.UNAVAILABLE, "c")
            assert "disk is full" in refusal.text
        again = await mei.ask(Send(to="#lobby", text="two", cid="c"), Sent)
        assert (again.seq, again.dup) == (2, False)


async def test_numbered_message_behind_a_refused_one_is_out_of_order(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.peer("mei", "log") as mei:
        await mei.ask(Send(to="#lobby", text="one", n=1), Sent)

        def locked_out(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as patch:
            patch.setattr(Transaction, "commit", locked_out)
            await mei.send(
                Send(to="#lobby", text="two", n=2, request_id="2"),
                Send(to="#lobby", text="three", n=3, request_id="3"),
            )
            codes = [(await mei.expect(Error)).code for _ in range(2)]
        assert codes == [ErrorCode.UNAVAILABLE, ErrorCode.OUT_OF_ORDER]
        await mei.send(
            Send(to="#lobby", text="two", n=2, request_id="2"),
            Send(to="#lobby", text="three", n=3, request_id="3"),
        )
        assert [(await mei.expect(Sent)).seq for _ in range(2)] == [2, 3]


async def test_task_of_a_session_is_seen_where_it_has_something_to_do(
    server: RunningServer,
) -> None:
    async with server.peer("mei", "log") as mei:
        async with session_steps() as steps:
            await mei.ask(Ping(), Pong)
        assert steps.count > 0


@contextmanager
def submitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the messages of each step that the intake has taken."""
    counts: list[int] = []
    submit = SqliteStore.submit

    def counted(store: SqliteStore, submissions: Sequence[Submission], together: Together) -> None:
        counts.append(sum(len(submission.drafts) for submission in submissions))
        submit(store, submissions, together)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "submit", counted)
        yield counts


@asynccontextmanager
async def many(server: RunningServer, number: int) -> AsyncIterator[list[Peer]]:
    """People who have said something already."""
    async with AsyncExitStack() as stack:
        peers = [
            await stack.enter_async_context(server.peer(f"person{n}", "log")) for n in range(number)
        ]
        for peer in peers:
            await peer.ask(Send(to="#lobby", text="warm"), Sent)
        yield peers


async def own(peer: Peer, text: str) -> None:
    """Wait for a message that this person has written."""
    name = peer.name
    await peer.text(lambda message: message.from_ == name and message.text == text)


def write_at_once(*written: tuple[Peer, Request]) -> None:
    """Write to several connections before the server can read any of it."""
    for peer, request in written:
        assert isinstance(peer.stream, trio.SocketStream)
        data = encode(request)
        assert os.write(peer.stream.socket.fileno(), data) == len(data)


async def test_ping_waits_for_a_step_not_for_all_who_write_at_the_same_time(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST", 2)
    monkeypatch.setattr(intake, "MOST_BESIDE", 2)
    async with many(server, 40) as peers, server.peer("mei", "log") as mei:
        await mei.ask(Ping(), Pong)
        with submitted(monkeypatch) as counts:
            write_at_once(*((peer, Send(to="#lobby", text="now")) for peer in peers), (mei, Ping()))
            await mei.expect(Pong)
            assert sum(counts) < len(peers)
            for peer in peers:
                await own(peer, "now")
        assert sum(counts) == len(peers)
        assert max(counts) <= 2


async def test_fewer_messages_are_taken_in_a_step_while_others_make_requests(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST", 8)
    monkeypatch.setattr(intake, "MOST_BESIDE", 3)
    monkeypatch.setattr(intake, "SLICE", PATIENCE)  # however busy the machine is
    for beside, most in ((0.0, 8), (PATIENCE, 3)):
        monkeypatch.setattr(intake, "BESIDE", beside)
        async with many(server, 40) as peers, server.peer("mei", "log") as mei:
            await mei.ask(Ping(), Pong)
            with submitted(monkeypatch) as counts:
                write_at_once(*((peer, Send(to="#lobby", text="now")) for peer in peers))
                for peer in peers:
                    await own(peer, "now")
            assert sum(counts) == len(peers)
            assert max(counts) == most


async def test_slow_store_is_given_more_messages_although_it_has_some(
    server: RunningServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST", 2)
    monkeypatch.setattr(intake, "MOST_BESIDE", 2)
    async with many(server, 12) as peers:
        with submitted(monkeypatch) as counts, locked(path):
            write_at_once(*((peer, Send(to="#lobby", text="now")) for peer in peers))
            with trio.fail_after(PATIENCE):
                while sum(counts) < len(peers):  # noqa: ASYNC110 -- nothing says so
                    await trio.sleep(0.01)
        for peer in peers:
            await own(peer, "now")


async def test_much_that_is_lined_up_is_read_to_its_end(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST", 2)
    monkeypatch.setattr(intake, "MOST_BESIDE", 2)
    monkeypatch.setattr(intake, "MOST_BYTES", 1000)
    async with many(server, 12) as peers:
        write_at_once(
            *((peer, Send(to="#lobby", text="now" + "." * 500)) for peer in peers[:-1]),
            (peers[-1], Ping()),
        )
        await peers[-1].expect(Pong)
        for peer in peers[:-1]:
            await own(peer, "now" + "." * 500)


async def test_person_who_leaves_while_their_message_is_lined_up_stops_nobody(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST", 1)
    monkeypatch.setattr(intake, "MOST_BESIDE", 1)
    async with many(server, 8) as peers:
        write_at_once(*((peer, Send(to="#lobby", text="now")) for peer in peers))
        for peer in peers[1::2]:
            assert isinstance(peer.stream, trio.SocketStream)
            peer.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await peer.stream.aclose()  # a reset: what was not read yet is lost with it
        for peer in peers[::2]:
            await peer.ask(Send(to="#lobby", text="after"), Sent)
