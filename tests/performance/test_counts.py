"""What delivering costs, in counts that are the same on every machine.

A broadcast must cost one write for each receiver, and everything else once: the benchmarks show
what that is worth, these tests keep it so.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from math import inf
from pathlib import Path
from types import FrameType, SimpleNamespace

import pytest
import structlog
import trio
from peers import Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.conversations import ConversationKey
from gochat.chat.log import Appended, Draft, Logged
from gochat.chat.names import NameKey
from gochat.cli.serve import COLLECT_AFTER
from gochat.protocol.codec import encode
from gochat.protocol.messages import CreateRoom, Join, Message, Payload, Presence, Send, Sent
from gochat.server import intake, posting
from gochat.server.mailbox import Mailbox
from gochat.storage.redis import feed
from gochat.storage.redis.link.wire import Arguments, Wire
from gochat.storage.sqlite import pace
from gochat.storage.sqlite.transaction import Transaction

pytestmark = pytest.mark.trio

#: Packages of the server that the peers of these tests don't use.
SERVER = ("/gochat/server/", "/gochat/chat/", "/gochat/storage/")


class Counting(trio.abc.Instrument):
    """Counts, from `start` on, what the server does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        commit = Transaction.commit

        def counting_encode(payload: Payload) -> bytes:
            self.counts["encodes"] += 1
            return encode(payload)

        def counting_write(descriptor: int, data: bytes) -> int:
            self.counts["writes"] += 1
            return os.write(descriptor, data)

        def counting_commit(transaction: Transaction, entries: int = 0) -> None:
            self.counts["commits"] += 1
            commit(transaction, entries)

        send = Wire.send

        def counting_send(wire: Wire, commands: Iterable[Arguments]) -> None:
            if threading.current_thread().name == "gochat redis writer":
                self.counts["round trips"] += 1
            send(wire, commands)

        monkeypatch.setattr(pace, "LIMIT", inf)  # the machine may be busy
        monkeypatch.setattr(pace, "LIMIT_APART", inf)
        monkeypatch.setattr(feed, "LOOKS", 10_000)
        monkeypatch.setattr(Wire, "send", counting_send)
        monkeypatch.setattr(posting, "encode", counting_encode)
        monkeypatch.setattr("gochat.server.outlets.os", SimpleNamespace(write=counting_write))
        monkeypatch.setattr(Transaction, "commit", counting_commit)

    def start(self) -> None:
        self.counts.clear()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.counts["steps"] += 1


@asynccontextmanager
async def crowd(directory: Path, size: int) -> AsyncIterator[tuple[Peer, list[Peer]]]:
    """A speaker and so many listeners, after all have heard of each other."""
    async with (
        running_server(config(store=f"sqlite:///{directory / 'chat.db'}")) as server,
        AsyncExitStack() as stack,
    ):
        yield await _gather(stack, [server], size)


@asynccontextmanager
async def crowds(nodes: Nodes, count: int, size: int) -> AsyncIterator[tuple[Peer, list[Peer]]]:
    """The same over so many nodes, with as many listeners at each; the speaker is at the first."""
    async with AsyncExitStack() as stack:
        configuration = config(store=nodes.url())
        servers = [
            await stack.enter_async_context(running_server(configuration)) for _ in range(count)
        ]
        yield await _gather(stack, servers, size)


async def _gather(
    stack: AsyncExitStack, servers: list[RunningServer], size: int
) -> tuple[Peer, list[Peer]]:
    listeners = [
        await _arrive(server, stack, f"listener{number}-{n}")
        for number, server in enumerate(servers)
        for n in range(size)
    ]
    speaker = await _arrive(servers[0], stack, "speaker")
    for listener in listeners:
        await listener.sees(online="speaker")
    if not any(isinstance(message, Presence) for message in speaker.received):
        await speaker.sees(online="speaker")
    await _say(speaker, "is everything warm?")
    for listener in listeners:
        await listener.text()
    return speaker, listeners


async def _arrive(server: RunningServer, stack: AsyncExitStack, name: str) -> Peer:
    return await stack.enter_async_context(server.peer(name, "log"))


async def _say(speaker: Peer, *texts: str) -> None:
    await speaker.send(*(Send(to="#lobby", text=text) for text in texts))
    for _ in texts:
        await speaker.expect(Sent)


async def _have_heard(listeners: list[Peer], *texts: str) -> None:
    for listener in listeners:
        assert [(await listener.expect(Message)).text for _ in texts] == list(texts)


@pytest.mark.parametrize("size", [3, 60])
async def test_a_message_is_encoded_once_and_written_once_to_each(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    async with crowd(tmp_path, size) as (speaker, listeners):
        counting.start()
        await _say(speaker, "hello")
        assert counting.counts["encodes"] == 1
        assert counting.counts["writes"] == size + 1, "the speaker gets the acknowledgement with it"
        await _have_heard(listeners, "hello")


async def test_messages_that_arrive_together_share_a_commit_and_a_write_to_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    async with crowd(tmp_path, 20) as (speaker, listeners):
        texts = [f"number {n}" for n in range(50)]
        counting.start()
        await _say(speaker, *texts)
        assert counting.counts["commits"] == 1
        assert counting.counts["encodes"] == 50
        assert counting.counts["writes"] == 20 + 1
        await _have_heard(listeners, *texts)


async def test_a_private_message_costs_one_commit_and_a_write_to_each_of_the_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    async with crowd(tmp_path, 20) as (speaker, listeners):
        await speaker.ask(Send(to="@listener0-0", text="warm"), Sent)
        counting.start()
        await speaker.ask(Send(to="@listener0-0", text="hello"), Sent)
        assert counting.counts["commits"] == 1
        assert counting.counts["encodes"] == 2, "with and without `conv`"
        assert counting.counts["writes"] == 2
        await listeners[0].text(lambda message: message.text == "hello")


@pytest.mark.parametrize(
    ("to", "text", "most"),
    [("@listener0-0", "hello", 180), ("#garden", "@listener0-0: hello", 215)],
)
async def test_a_message_is_few_calls(
    to: str, text: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of functions written in Python, in the server's own packages. Each takes some 0.4 µs."""
    Counting(monkeypatch)
    calls: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and any(part in frame.f_code.co_filename for part in SERVER):
            calls.append(frame.f_code.co_qualname)

    async with crowd(tmp_path, 3) as (speaker, listeners):
        await speaker.ask(CreateRoom(room="#garden"), Sent)
        await listeners[0].ask(Join(room="#garden"), Sent)
        for number in range(12):
            if number == 2:
                sys.setprofile(note)
            await speaker.ask(Send(to=to, text=text), Sent)
            await listeners[0].text(lambda message: message.text == text)
        sys.setprofile(None)
    assert 100 < len(calls) / 10 < most, Counter(calls).most_common()


async def test_what_a_room_says_and_an_acknowledgement_are_one_piece() -> None:
    """So no memory channel is made for them, which costs more than all else in the mailbox."""
    mailbox = Mailbox()
    for frames in (b"x" * 12_000, b"y" * 200):
        mailbox.put(frames)
    assert mailbox.size == mailbox.length == 12_200


async def test_the_collector_does_not_look_while_messages_are_taken() -> None:
    """Of each some 20 objects live until the step ends."""
    assert COLLECT_AFTER[0] > 20 * intake.MOST
    assert COLLECT_AFTER[0] * (COLLECT_AFTER[1] + 1) <= 6_000, "else a crowd's login waits for it"


async def test_messages_to_redis_are_few_calls_in_its_thread(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of functions written in Python, in the server's own packages; and whether a connection is
    still there is looked up once for all that are sent together."""
    looks: list[Wire] = []
    is_stale = Wire.is_stale

    def counted(wire: Wire) -> bool:
        looks.append(wire)
        return is_stale(wire)

    monkeypatch.setattr(Wire, "is_stale", counted)
    calls: list[str] = []
    is_counting = False

    def note(frame: FrameType, event: str, _: object) -> None:
        is_writer = is_counting and threading.current_thread().name == "gochat redis writer"
        if is_writer and event == "call" and "/gochat/" in frame.f_code.co_filename:
            calls.append(frame.f_code.co_qualname)

    threading.setprofile(note)
    try:
        async with crowds(Nodes(redis_server), 1, 10) as (speaker, listeners):
            await _say(speaker, "warm")
            await _have_heard(listeners, "warm")
            looks.clear()
            is_counting = True
            texts = [f"number {n}" for n in range(50)]
            await _say(speaker, *texts)
            is_counting = False
            await _have_heard(listeners, *texts)
    finally:
        threading.setprofile(None)
    assert 10 < len(calls) / 50 < 45, Counter(calls).most_common()
    assert 1 <= len(looks) < 10


async def test_the_collector_need_not_look_at_messages() -> None:
    sent = Sent(to="@mei", epoch="e", seq=1, ts=1)
    entry = Message(to="@mei", epoch="e", seq=1, ts=1, from_="bob", text="hi")
    draft = Draft(
        conversation=ConversationKey("@bob,mei"), to="@mei", sender_key=NameKey("bob"), sender="bob"
    )
    for made in (sent, entry, draft, Logged(draft.conversation, entry), Appended(entry)):
        assert not gc.is_tracked(made)


async def test_a_further_node_encodes_and_writes_for_its_own_people_only(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    for count in (1, 2, 3):
        async with crowds(Nodes(redis_server), count, 10) as (speaker, listeners):
            counting.start()
            await _say(speaker, "hello")
            await _have_heard(listeners, "hello")
            assert counting.counts["round trips"] == 1, "whoever else there is"
            assert counting.counts["encodes"] == count, "once at each"
            assert counting.counts["writes"] == 10 * count + 1, (
                "the speaker's acknowledgement with it"
            )


async def test_messages_that_arrive_together_share_a_round_trip_to_redis(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    async with crowds(Nodes(redis_server), 1, 10) as (speaker, listeners):
        texts = [f"number {n}" for n in range(50)]
        counting.start()
        await _say(speaker, *texts)
        await _have_heard(listeners, *texts)
        assert counting.counts["round trips"] == 1
        assert counting.counts["encodes"] == 50


async def test_delivering_switches_to_no_task_of_a_receiver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    steps = []
    for size in (3, 60):
        (directory := tmp_path / str(size)).mkdir()
        async with crowd(directory, size) as (speaker, listeners):
            trio.lowlevel.add_instrument(counting)
            counting.start()
            await _say(speaker, "hello")
            trio.lowlevel.remove_instrument(counting)
            steps.append(counting.counts["steps"])
            await _have_heard(listeners, "hello")
    assert steps[1] < steps[0] + 20, "a task step for each of 57 more would be 57 more"


async def test_nothing_is_logged_for_a_message(tmp_path: Path) -> None:
    async with crowd(tmp_path, 3) as (speaker, listeners):
        with structlog.testing.capture_logs() as logs:
            await _say(speaker, "hello", "and again")
            await _have_heard(listeners, "hello", "and again")
        assert logs == []


async def test_an_entry_and_its_acknowledgement_pass_through_no_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gochat.server.mailbox.trio", None)  # so none can be made
    mailbox = Mailbox()
    for number in range(10):
        mailbox.put(b"entry %d" % number)
        mailbox.put(b"sent %d" % number)
        assert mailbox.take() == b"entry %dsent %d" % (number, number)
