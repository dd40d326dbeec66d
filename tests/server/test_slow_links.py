"""Peers that read slowly: whatever the server sends them on its own waits for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from msgspec import structs
from peers import Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.conversations import LOBBY_KEY, private
from gochat.chat.names import NameKey
from gochat.chat.store import Batch, Logged
from gochat.protocol.codec import encode
from gochat.protocol.framing import frame
from gochat.protocol.messages import (
    Bye,
    CaughtUp,
    CreateRoom,
    Error,
    History,
    HistoryPage,
    Join,
    Kick,
    LoggedIn,
    MemberList,
    Members,
    Message,
    Payload,
    Person,
    Ping,
    Pong,
    Position,
    Presence,
    Request,
    Resume,
    Send,
    Sent,
)
from gochat.server.app import open_server
from gochat.server.catch_up import _Held

pytestmark = pytest.mark.trio

#: The smallest mailbox for frames of the usual size.
SMALL = 256 * 1024

MakeUrl = Callable[[], str]


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store of the test's own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'chat.db'}"
    redis: RedisServer = request.getfixturevalue("redis_server")
    return Nodes(redis).url()


async def say(peer: Peer, to: str, texts: list[str]) -> Sent:
    """Send many messages, in few segments; return the last acknowledgement."""
    for start in range(0, len(texts) - 1, 100):
        await peer.send(*(Send(to=to, text=text) for text in texts[start : start + 100]))
    return await peer.ask(Send(to=to, text="the last"), Sent)


async def move_in(bob: Peer, mei: Peer, rooms: list[str]) -> None:
    """Create rooms with both as members."""
    for room in rooms:
        await bob.send(CreateRoom(room=room))
    await bob.ask(Ping(), Pong)
    for room in rooms:
        await mei.send(Join(room=room))
    await mei.ask(Ping(), Pong)


class Reader:
    """Reads what a resumed session is sent, which must have no gaps and no duplicates."""

    def __init__(self, peer: Peer, me: str, positions: list[Position]) -> None:
        self.peer = peer
        self.me = me
        self.last = {position.conv: position.seq for position in positions}

    async def read_until(self, is_enough: Callable[[Payload], bool]) -> None:
        while True:
            message = await self.peer.receive()
            assert not isinstance(message, Bye | Error), message
            if isinstance(message, CaughtUp):
                assert message.recovered
                assert message.seq == self.last[message.conv]
            if isinstance(message, Message):
                conv = message.conversation
                assert message.seq == self.last[conv] + 1, conv
                self.last[conv] += 1
            if is_enough(message):
                return


@pytest.mark.parametrize(
    ("rooms", "each", "length"),
    [(3, 345, 1), (30, 40, 1), (150, 10, 1), (2, 499, 1), (2, 499, 1500)],
)
async def test_resume_after_missing_much_succeeds_at_once_while_others_send(
    store: str, rooms: int, each: int, length: int
) -> None:
    names = [f"#room{number}" for number in range(rooms)]
    # Messages sent while she resumes count as missed, too.
    limits = config(store=store, resume_max=2 * each + 1000)
    async with running_server(limits) as server, server.peer("bob") as bob:
        async with server.peer("mei", "log") as mei:
            await move_in(bob, mei, names)
            token = mei.token
        epoch = ""
        for name in names:
            epoch = (await say(bob, name, ["x" * length] * (each - 1))).epoch
        positions = [Position(conv=name, epoch=epoch, seq=2) for name in names]
        heads = dict.fromkeys(names, each + 2)
        async with server.connect_slowly() as mei:
            reader, is_in = Reader(mei, "mei", positions), trio.Event()

            async def talk() -> None:
                while not is_in.is_set():
                    for name in names[:3]:
                        sent = await bob.ask(Send(to=name, text="y" * length), Sent)
                        heads[name] = sent.seq

            async with trio.open_nursery() as nursery:
                await mei.send(
                    Resume(token=token, caps=("log",), positions=tuple(positions)), Ping()
                )
                await reader.read_until(lambda message: isinstance(message, LoggedIn))
                nursery.start_soon(talk)
                await reader.read_until(lambda message: isinstance(message, Pong))
                is_in.set()
            while reader.last != heads:
                await reader.read_until(lambda message: isinstance(message, Message))


async def test_thousand_private_messages_from_strangers_lock_nobody_out() -> None:
    async with running_server() as server:
        async with server.peer("mei", "log") as mei:
            token = mei.token
        positions = []
        for name in ("ann", "bob", "eve"):
            async with server.peer(name) as stranger:
                sent = await say(stranger, "@mei", ["hi"] * 360)
                positions.append(Position(conv=f"@{name}", epoch=sent.epoch, seq=0))
        async with server.connect_slowly() as mei:
            reader = Reader(mei, "mei", positions)
            await mei.send(Resume(token=token, caps=("log",), positions=tuple(positions)), Ping())
            await reader.read_until(lambda message: isinstance(message, Pong))
            assert set(reader.last.values()) == {361}


async def test_entries_that_cant_be_held_come_from_the_log(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = 0
    begin_again = _Held.begin_again

    def counted(held: _Held) -> None:
        nonlocal rounds
        rounds += 1
        begin_again(held)

    monkeypatch.setattr(_Held, "begin_again", counted)
    long = "x" * 2000
    limits = config(store=store, mailbox_bytes=SMALL)
    async with running_server(limits) as server, server.peer("bob") as bob:
        async with server.peer("mei", "log") as mei:
            await move_in(bob, mei, ["#one", "#two", "#gone"])
            token = mei.token
        epoch = (await say(bob, "#one", [long] * 480)).epoch
        positions = [
            Position(conv=conv, epoch=epoch, seq=seq)
            for conv, seq in (("#one", 2), ("#two", 2), ("#gone", 2))
        ]
        async with server.connect_slowly() as mei:
            reader = Reader(mei, "mei", positions)
            reader.last |= {"#lobby": 0, "@bob": 0}
            await mei.send(Resume(token=token, caps=("log",), positions=tuple(positions)), Ping())
            await reader.read_until(lambda message: isinstance(message, LoggedIn))
            heads = {}
            for number in range(3):  # far more than can be held while she reads nothing
                for conv in ("#lobby", "@mei", "#two", "#gone"):
                    heads[conv] = (await say(bob, conv, [f"{number} {long}"] * 60)).seq
            await bob.ask(Kick(room="#gone", name="mei"), Sent)
            await say(bob, "#gone", ["not for her"] * 10)
            await bob.ask(CreateRoom(room="#new"), Sent)
            await say(bob, "#new", ["before she came"])
            async with server.peer("mei") as phone:
                joined = (await phone.ask(Join(room="#new"), Sent)).seq
            reader.last["#new"] = joined - 1
            heads["#new"] = (await say(bob, "#new", ["welcome"])).seq
            await reader.read_until(lambda message: isinstance(message, Pong))
            await bob.ask(Send(to="#one", text="the end"), Sent)
            await reader.read_until(lambda m: isinstance(m, Message) and m.text == "the end")
            heads["@bob"] = heads.pop("@mei")
            heads["#gone"] += 1
            heads["#one"] = 484
            assert reader.last == heads
    assert rounds >= 1


async def test_peer_that_never_reads_after_catch_up_is_evicted() -> None:
    limits = config(mailbox_bytes=SMALL, write_timeout=0.5)
    async with running_server(limits) as server, server.peer("bob") as bob:
        async with server.peer("mei", "log") as mei:
            token = mei.token
        epoch = (await say(bob, "#lobby", ["x" * 2000] * 480)).epoch
        position = Position(conv="#lobby", epoch=epoch, seq=0)
        async with server.connect_slowly() as mei:
            await mei.send(Resume(token=token, caps=("log",), positions=(position,)))
            await bob.sees(online="mei")
            await bob.sees(offline="mei")


async def test_held_entries_are_bounded_even_if_tiny() -> None:
    held, kept = _Held(SMALL), 0
    while not held.has_overflowed:
        held.post(b"\0\0\0\1x")
        kept += 1
        assert kept < SMALL / 60
    assert held.take() == b""
    held.begin_again()
    held.post(b"again")
    assert (held.take(), held.take()) == (b"again", b"")


# -- replies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["history", "members", "unknown types"])
async def test_replies_to_pipelined_requests_never_evict_the_client(what: str) -> None:
    async with running_server(config(mailbox_bytes=SMALL)) as server, server.peer("bob") as bob:
        await bob.ask(CreateRoom(room="#room"), Sent)
        await say(bob, "#room", ["x" * 3000] * 30)
        request: Request
        kind: type[Payload]
        match what:
            case "history":
                request, kind, count = History(conv="#room", limit=200), HistoryPage, 60
            case "members":
                request, kind, count = Members(room="#room"), MemberList, 900
            case _:
                request, kind, count = Ping(), Error, 1700
        one = encode(request) if kind is not Error else frame(b'{"msg_type":"?","msg_data":"{}"}')
        async with server.connect_slowly() as slow:
            await slow.log_in("bob")
            await slow.stream.send_all(one * count)
            for _ in range(count):
                message = await slow.receive()
                while isinstance(message, Presence):
                    message = await slow.receive()
                assert isinstance(message, kind), message
            await slow.ask(Ping(), Pong)


async def test_ending_session_does_not_wait_until_all_replies_are_read() -> None:
    async with running_server(config(mailbox_bytes=SMALL, drain_timeout=60)) as server:
        async with server.peer("bob") as bob, server.connect_slowly() as slow:
            await say(bob, "#lobby", ["x" * 3000] * 30)
            await slow.log_in("bob")
            await slow.stream.send_all(encode(History(conv="#lobby", limit=200)) * 500)
            await slow.expect(HistoryPage)
            server.stop.set()
            *replies, bye = await slow.at_end()
            assert isinstance(bye, Bye)
            assert bye.reason == "server_closing"
            assert len(replies) < 100


# -- presence, and much at once -----------------------------------------------------------------


async def test_reader_is_not_evicted_by_many_arrivals_or_a_large_commit() -> None:
    async with open_server(config(mailbox_bytes=SMALL)) as server, trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, server.handle, [listener])
        host, port = listener.socket.getsockname()
        there = RunningServer(host, port, trio.Event())
        hub = server._services.hub
        async with there.connect_slowly() as slow, there.peer("quick", "log") as quick:
            await slow.log_in("slow")
            people = [f"{number:05}" + "𐐨" * 27 for number in range(10_000)]
            for name in people:
                hub.roster.arrive(NameKey(name), Person(name=name))
            seen: defaultdict[Peer, set[str]] = defaultdict(set)
            for peer in (slow, quick):
                while not seen[peer].issuperset(people):
                    presence = await peer.expect(Presence)
                    seen[peer].update(person.name for person in presence.online)
            keys = {LOBBY_KEY: "#lobby", private(NameKey("bob"), NameKey("quick")): "@quick"}
            entries = [
                Logged(key, Message(to=to, epoch="e", seq=seq, ts=1, from_="bob", text="x" * 4000))
                for seq in range(1, 101)
                for key, to in keys.items()
            ]
            hub.deliver(Batch(entries, hub.cursor))  # 800 KB in 200 posts, without a pause
            received = [structs.replace(await quick.text(), conv=None) for _ in entries]
            assert received == [one.entry for one in entries]
            assert [(await slow.text()).seq for _ in range(100)] == [*range(1, 101)]
        nursery.cancel_scope.cancel()
