"""Messages of many people that are submitted together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import pytest
import trio
from patience import PATIENCE, until
from redis_nodes import Nodes
from redis_process import RedisServer
from storing import Chat, Following, draft, follow, person

from gochat.chat.facts import Facts
from gochat.chat.log import Appended, Draft, Outcomes, Submission
from gochat.chat.store import Store
from gochat.errors import ChatError, FactsChanged, StoreUnavailable
from gochat.storage.redis import feed, records
from gochat.storage.redis.link.wire import Arguments, Wire
from gochat.storage.redis.records import FeedEntry

pytestmark = pytest.mark.trio

PEOPLE = [f"Person{number}" for number in range(40)]


async def submit(store: Store, *drafts: Draft) -> list[Outcomes | StoreUnavailable]:
    """Submit drafts, each by somebody else; return what each of them gets."""
    found: dict[int, Outcomes | StoreUnavailable] = {}
    all_are_done = trio.Event()

    def done(number: int, outcomes: Outcomes | StoreUnavailable) -> None:
        found[number] = outcomes
        if len(found) == len(drafts):
            all_are_done.set()

    submissions = [Submission([one], partial(done, number)) for number, one in enumerate(drafts)]
    store.submit(submissions, nullcontext)
    with trio.fail_after(PATIENCE):
        await all_are_done.wait()
    return [found[number] for number in range(len(drafts))]


async def test_drafts_of_many_people_take_one_command_for_each_partition(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Arguments] = []
    send = Wire.send

    def counted(wire: Wire, commands: Iterable[Arguments]) -> None:
        commands = list(commands)
        sent.extend(command for command in commands if command[0] == "EVALSHA")
        send(wire, commands)

    nodes = Nodes(redis_server)
    async with nodes.open("partitions=2") as store:
        chat = Chat(store)
        await chat.register(*PEOPLE)
        drafts = [
            draft(one, f"@{other}", "hello")
            for one, other in zip(PEOPLE, reversed(PEOPLE), strict=True)
        ]
        await submit(store, *drafts)
        with monkeypatch.context() as patch:
            patch.setattr(Wire, "send", counted)
            outcomes = await submit(store, *drafts)
        appends = [words for words in sent if any("hello" in str(word) for word in words)]
        assert len(appends) == 2
        assert all(isinstance(one, list) and isinstance(one[0], Appended) for one in outcomes)
        last = await chat.entries(PEOPLE[0], f"@{PEOPLE[-1]}")
        assert [entry.seq for entry in last] == [1, 2, 3, 4]


async def test_what_becomes_of_a_draft_does_not_concern_those_of_others(
    redis_server: RedisServer,
) -> None:
    nodes = Nodes(redis_server)
    async with nodes.open("partitions=1") as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob", "Ann", "Eve")
        await chat.do("Mei", "#gone", "create", "public")
        await chat.say("Mei", "#lobby", "repeated", cid="1")
        with nodes.client() as client:
            client.delete(*nodes.keys("*:l:#gone"))
        outdated = draft("Eve", "@Bob", "blocked", facts=Facts(is_open=True))
        assert await store.set_blocked(person("Bob"), person("Eve"), on=True)
        outcomes = await submit(
            store,
            draft("Bob", "#lobby", "first"),
            draft("Mei", "#gone", "lost"),
            draft("Mei", "#lobby", "repeated", cid="1"),
            outdated,
            draft("Bob", "#nowhere", "refused"),
            draft("Ann", "#lobby", "last"),
        )
        lost = outcomes[1]
        assert isinstance(lost, StoreUnavailable)
        assert "vanished" in str(lost)
        found = [None if isinstance(one, StoreUnavailable) else one[0] for one in outcomes]
        assert [type(one) for one in found] == [
            Appended,
            type(None),
            Appended,
            FactsChanged,
            ChatError,
            Appended,
        ]
        assert [entry.text for entry in await chat.entries("Ann", "#lobby")] == [
            "repeated",
            "first",
            "last",
        ]


async def test_what_is_delivered_and_answered_in_one_step_is_together(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LOOKS", 10_000)
    events: list[str] = []

    @contextmanager
    def together() -> Iterator[None]:
        events.append("begins")
        yield
        events.append("ends")

    async with Nodes(redis_server).open() as store, trio.open_nursery() as nursery:
        await Chat(store).register("Mei")
        await follow(nursery, store, lambda _: events.append("delivered"))
        is_done = trio.Event()

        def done(_: object) -> None:
            events.append("done")
            is_done.set()

        store.submit([Submission([draft("Mei", "#lobby", "hello")], done)], together)
        with trio.fail_after(PATIENCE):
            await is_done.wait()
        nursery.cancel_scope.cancel()
    assert events == ["begins", "delivered", "done", "ends"]


async def test_feed_decodes_only_what_other_nodes_have_appended(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LOOKS", 10_000)
    decode = records.decode_feed_entry
    decoded: Counter[str] = Counter()

    def counted(packed: bytes) -> FeedEntry:
        entry = decode(packed)
        decoded[entry.text] += 1
        return entry

    nodes = Nodes(redis_server)
    async with nodes.open() as here, nodes.open() as there, trio.open_nursery() as nursery:
        await Chat(here).register("Mei", "Bob")
        first, second = Following(), Following()
        await follow(nursery, here, first)
        await follow(nursery, there, second)
        monkeypatch.setattr(feed, "decode_feed_entry", counted)
        for number in range(20):
            by, store = ("Mei", here) if number % 2 else ("Bob", there)
            await Chat(store).say(by, "#lobby", f"{number}")
            await until(lambda: len(first.logged) == len(second.logged))
        nursery.cancel_scope.cancel()
    assert set(decoded.values()) == {1}, "by the other node"
    assert len(decoded) == 20
