"""Peers that read slowly: whatever the server sends them on its own waits for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from gochat_faults.proxy import Lane, Plan, open_proxy
from patience import PATIENCE
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.conversations import LOBBY_KEY, addressed, private
from gochat.chat.log import Batch, Logged
from gochat.chat.names import NameKey
from gochat.client import Message as Text
from gochat.client import Reset, Synchronised, open_client
from gochat.client.connection import Connection
from gochat.protocol.codec import encode
from gochat.protocol.framing import frame
from gochat.protocol.messages import (
    Bye,
    Conversation,
    CreateRoom,
    Error,
    History,
    HistoryPage,
    Join,
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
    Sync,
    Synced,
    Who,
)
from gochat.server.app import open_server

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


@pytest.mark.parametrize(
    ("store", "rooms", "each", "length"),
    [
        *(("sqlite", *of) for of in [(3, 345, 1), (30, 40, 1), (150, 10, 1), (2, 499, 1)]),
        ("sqlite", 2, 499, 1500),
        pytest.param("redis", 30, 40, 1, marks=pytest.mark.redis),  # a session is the same on both
    ],
    indirect=["store"],
)
async def test_client_that_reads_slowly_catches_up_while_others_send(
    store: str, rooms: int, each: int, length: int
) -> None:
    """Asking is the flow control: all that was missed comes, with a mailbox of the least size."""
    names = [f"#room{number:03}" for number in range(rooms)]
    limits = config(store=store, mailbox_bytes=SMALL)
    async with running_server(limits) as server, server.peer("bob") as bob:
        async with server.peer("mei", "log") as mei:
            await move_in(bob, mei, names)
            token = mei.token
            have = {one.conv: one for one in await _pages(mei, {}, limit=0)}
        for name in names:
            await say(bob, name, ["x" * length] * (each - 1))
        heads = dict.fromkeys(names, each + 2)
        async with server.connect_slowly() as mei, trio.open_nursery() as nursery:
            is_in = trio.Event()

            async def talk() -> None:
                while not is_in.is_set():
                    for name in names[:3]:
                        sent = await bob.ask(Send(to=name, text="y"), Sent)
                        heads[name] = sent.seq

            await mei.ask(Resume(token=token, caps=("log",)), LoggedIn)
            nursery.start_soon(talk)
            listed = await _pages(mei, have, limit=200)
            is_in.set()
            await trio.testing.wait_all_tasks_blocked(0.05)
            last = dict.fromkeys(names, 2)
            for state in listed:
                assert not state.reset
                if state.entries and state.entries[0].seq > last[state.conv] + 1:
                    page = await mei.ask(History(conv=state.conv, after=2, limit=200), HistoryPage)
                    last[state.conv] = page.entries[-1].seq
                    while last[state.conv] + 1 < state.entries[0].seq:
                        after = History(conv=state.conv, after=last[state.conv], limit=200)
                        page = await mei.ask(after, HistoryPage)
                        last[state.conv] = page.entries[-1].seq
                for entry in state.entries:
                    if entry.seq > last[state.conv]:
                        assert entry.seq == last[state.conv] + 1
                        last[state.conv] += 1
            while True:
                for message in mei.received:
                    if isinstance(message, Message) and message.seq > last[message.to]:
                        assert message.seq == last[message.to] + 1
                        last[message.to] += 1
                mei.received.clear()
                if last == heads:
                    break
                await mei.receive()


async def _pages(peer: Peer, have: Mapping[str, Conversation], *, limit: int) -> list[Conversation]:
    """Return what has changed, of all pages."""
    listed: list[Conversation] = []
    after: str | None = ""
    while after is not None:
        known = tuple(
            Position(
                conv=one.conv, epoch=one.epoch, seq=one.head, ts=one.ts, read=one.read,
                level=one.level,
            )
            for one in have.values() if one.conv > after
        )  # fmt: skip
        page = await peer.ask(Sync(after=after, have=known, limit=limit), Synced)
        listed += page.conversations
        after = page.next
    return listed


@pytest.mark.parametrize(
    ("rooms", "each", "most"),
    [(3, 345, {Sync: 3, Who: 1, History: 3}), (30, 40, {Sync: 4, Who: 1})],
)
async def test_client_library_catches_up_in_few_round_trips(
    rooms: int, each: int, most: dict[type[Request], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 300 ms each way, each of these takes 0.6 s; here it is less, and they are counted."""
    asked: Counter[type[Request]] = Counter()
    post = Connection.post

    def counting(connection: Connection, request: Request, *waiter: Any) -> None:
        asked[type(request)] += 1
        post(connection, request, *waiter)

    monkeypatch.setattr(Connection, "post", counting)
    is_away = False
    slow = Lane(delay=0.03)
    names = [f"#room{number:03}" for number in range(rooms)]
    async with (
        running_server() as server,
        open_proxy(
            (server.host, server.port), lambda _: Plan(up=slow, down=slow, refuse=is_away)
        ) as proxy,
        open_client(f"gochat://127.0.0.1:{proxy.port}") as mei,
        server.peer("bob") as bob,
    ):
        async with server.peer("mei") as phone:
            await move_in(bob, phone, names)
        events = aiter(mei)
        await mei.log_in("mei", PASSWORD)
        while not isinstance(await anext(events), Synchronised):
            pass
        is_away = True
        proxy.cut()
        for name in names:
            await say(bob, name, ["x"] * (each - 1))
        is_away = False
        asked.clear()
        mei.reconnect_now()
        last = dict.fromkeys(names, 2)
        with trio.fail_after(PATIENCE):
            while last != dict.fromkeys(names, each + 2):
                event = await anext(events)
                assert not isinstance(event, Reset)
                if isinstance(event, Text):
                    assert event.seq == last[event.conversation] + 1
                    last[event.conversation] = event.seq
        del asked[Resume]  # one for each attempt
        assert asked.keys() <= most.keys()
        assert all(count <= most[kind] for kind, count in asked.items()), asked


async def test_thousand_private_messages_from_strangers_lock_nobody_out() -> None:
    async with running_server(config(mailbox_bytes=SMALL)) as server:
        async with server.peer("mei") as mei:
            token = mei.token
        for name in ("ann", "bob", "eve"):
            async with server.peer(name) as stranger:
                await say(stranger, "@mei", ["hi " + "x" * 1000] * 360)
        async with server.connect_slowly() as mei:
            await mei.send(Resume(token=token), Ping())
            await mei.expect(Pong)
            last = dict.fromkeys(("ann", "bob", "eve"), 0)
            for message in mei.received:
                if isinstance(message, Message):
                    assert message.seq == last[message.from_] + 1
                    last[message.from_] += 1
            assert set(last.values()) == {361}


async def test_peer_that_never_reads_is_evicted() -> None:
    limits = config(mailbox_bytes=SMALL, write_timeout=0.5)
    async with running_server(limits) as server, server.peer("bob") as bob:
        async with server.peer("mei") as mei:
            token = mei.token
        await say(bob, "@mei", ["x" * 2000] * 480)
        async with server.connect_slowly() as mei:
            await mei.send(Resume(token=token))
            await bob.sees(online="mei")
            await bob.sees(offline="mei")


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
        hub = server.services.hub
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
            hub.deliver(Batch(entries))  # 800 KB in 200 posts, without a pause
            expected = [addressed(one.entry, NameKey("quick")) for one in entries]
            assert [await quick.text() for _ in entries] == expected
            assert [(await slow.text()).seq for _ in range(100)] == [*range(1, 101)]
        nursery.cancel_scope.cancel()
