"""Several nodes on one Redis: one log for all of them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from gochat_faults.proxy import open_proxy
from patience import until
from redis_nodes import Nodes
from redis_process import RedisServer
from storing import Chat, Following, draft, follow, key, person

from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.log import Appended, Unchanged
from gochat.chat.store import Store
from gochat.errors import ChatError, LogInterrupted
from gochat.storage import open_store
from gochat.storage.common.clock import wall_clock
from gochat.storage.redis.feed import Feed
from gochat.storage.redis.link.pipeline import Operation
from gochat.storage.redis.order import Order, Placed, Position
from gochat.storage.redis.reading import Reading

pytestmark = pytest.mark.trio

TEN_YEARS = 10 * 365 * 24 * 3600 * 1000


@pytest.fixture
def nodes(redis_server: RedisServer) -> Nodes:
    """Nodes with their own data."""
    return Nodes(redis_server)


async def test_all_nodes_deliver_all_entries_in_one_order(nodes: Nodes) -> None:
    rounds, people = 20, [f"p{number}" for number in range(20)]
    followings = [Following() for _ in range(3)]
    async with nodes.open() as one, nodes.open() as two, nodes.open() as three:
        await Chat(one).register("Mei", *people)
        async with trio.open_nursery() as background:
            for store, following in zip((one, two, three), followings, strict=True):
                await follow(background, store, following)

            async def talk(number: int, who: str) -> None:
                chat = Chat((one, two)[number % 2])
                for turn in range(rounds):
                    await chat.say(who, "#lobby" if turn % 4 else "@Mei", f"{turn}")

            async with trio.open_nursery() as talking:
                for number, who in enumerate(people):
                    talking.start_soon(talk, number, who)
            total = rounds * len(people)
            for following in followings:
                await until(lambda: len(following.logged) == total)  # noqa: B023 -- at once
            background.cancel_scope.cancel()
    orders = []
    for following in followings:
        order = defaultdict(list)
        for one_entry in following.logged:
            entry = one_entry.entry
            order[one_entry.conversation].append((entry.seq, entry.from_, entry.text))
        orders.append(order)
    assert orders[0] == orders[1] == orders[2]
    assert [seq for seq, _, _ in orders[0][LOBBY_KEY]] == list(range(1, 301))


async def test_same_cid_on_two_nodes_at_once_is_one_entry(nodes: Nodes) -> None:
    async with nodes.open() as one, nodes.open() as two:
        await Chat(one).register("Mei")
        results: list[Appended | Unchanged | ChatError] = []

        async def send(store: Store) -> None:
            results.extend(await store.append([draft("Mei", "#lobby", "hello", cid="c1")]))

        async with trio.open_nursery() as nursery:
            for store in (one, two) * 10:
                nursery.start_soon(send, store)
        appended = [result for result in results if isinstance(result, Appended)]
        assert sorted(result.dup for result in appended) == [False] + [True] * 19
        assert {result.entry.seq for result in appended} == {1}


async def test_entry_of_another_node_is_acknowledged_after_this_node_has_it(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry, one that a rule refuses, and a new entry that comes after it."""
    following, returned = Following(), list[str]()
    first, second = (draft("Mei", "#lobby", cid, cid=cid) for cid in ("first", "second"))
    held: list[tuple[Feed, Sequence[Placed]]] = []

    def arrived(node: Any) -> set[str]:
        of_node = (entries for feed, entries in held if feed.order is node._order)
        return {one.entry.entry.text for entries in of_node for one in entries}

    async def acknowledge(*wanted: str, request: Awaitable[object]) -> None:
        await request
        returned.extend(wanted)
        assert {*wanted} <= {one.entry.text for one in following.logged}

    waiting, delivered = list[Order](), Order.delivered

    async def noted(order: Order, positions: Iterable[Position], histories: int) -> None:
        waiting.append(order)
        await delivered(order, positions, histories)

    def has_its_replies(node: Any) -> bool:
        return bool(returned) or waiting.count(node._order) == 3

    async with nodes.open() as one, nodes.open() as two, trio.open_nursery() as nursery:
        await Chat(one).register("Mei")
        await follow(nursery, two, following)
        monkeypatch.setattr(Order, "delivered", noted)
        monkeypatch.setattr(Feed, "deliver", lambda *arguments: held.append(arguments))
        await one.append([first])
        for wanted, request in (
            ("first", two.append([first])),
            ("first", two.find_by_cid(first)),
            ("second", two.append([second])),
        ):
            nursery.start_soon(partial(acknowledge, wanted, request=request))
        await until(lambda: {"first", "second"} <= arrived(two))
        await until(lambda: has_its_replies(two))
        await trio.testing.wait_all_tasks_blocked()
        assert (returned, following.logged) == ([], [])
        monkeypatch.undo()
        for feed, entries in held:
            feed.deliver(entries)
        await until(lambda: len(returned) == 3)
        nursery.cancel_scope.cancel()


async def test_time_is_that_of_redis_whatever_the_nodes_clocks(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(nodes.url()) as one, open_store(nodes.url()) as two:
        await Chat(one).register("Mei")
        now = wall_clock()
        right = await Chat(one).say("Mei", "#lobby", "what time is it?")
        monkeypatch.setattr(time, "time_ns", lambda: (now + TEN_YEARS) * 1_000_000)
        wrong = await Chat(two).say("Mei", "#lobby", "late")
    assert 0 <= right.ts - now < 60_000
    assert right.ts <= wrong.ts < now + 60_000


async def test_gate_closed_by_a_fast_clock_is_open(nodes: Nodes) -> None:
    async with nodes.open("partitions=1") as store:
        chat = Chat(store)
        await chat.register("Mei")
        with nodes.client() as client:
            client.hset(f"{nodes.prefix}:{{0}}:state", "gate", wall_clock() + TEN_YEARS)
        await chat.say("Mei", "#lobby", "hello")


async def test_changes_on_one_node_are_read_on_the_other(nodes: Nodes) -> None:
    async with nodes.open() as one, nodes.open() as two:
        here, there = Chat(one), Chat(two)
        await here.register("Mei", "Bob")
        await here.do("Mei", "#garden", "create", "private")
        assert await there.refused("Bob", "#garden", "create", "public") == "room_exists"
        await there.do("Bob", "#garden", "join")
        await here.say("Mei", "#garden", "hello @Bob", mentions=["Bob"])
        await there.do("Bob", "#garden", "react", "👍", ref=3)
        assert (await here.entries("Mei", "#garden"))[2].reactions[0].names == ("Bob",)
        seen = await there.seen("Bob", "#garden")
        assert (seen.head, seen.unread, seen.mentions) == (4, 1, 1)
        assert await here.mark_read("Bob", "#garden", 3)
        assert (await there.seen("Bob", "#garden")).unread == 0


async def test_search_finds_nothing_in_a_room_after_a_kick(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with nodes.open() as one, nodes.open() as two:
        chat = Chat(one)
        await chat.register("Mei", "Bob")
        await chat.do("Mei", "#den", "create", "private")
        await chat.do("Bob", "#den", "join")
        await chat.say("Mei", "#den", "roses")
        await chat.say("Mei", "#lobby", "roses, too")
        assert await Chat(two).find("Bob", "roses") == ["roses, too", "roses"]
        keys = await two.conversation_keys(person("Bob"))
        await chat.do("Mei", "#den", "kick", "Bob", subject="Bob")

        def before(*_: object) -> Operation[dict[ConversationKey, int]]:
            yield []
            return keys

        monkeypatch.setattr(Reading, "conversation_keys", before)
        assert await Chat(two).find("Bob", "roses") == ["roses, too"]


async def test_page_and_later_entries_on_another_node_are_everything_once(
    nodes: Nodes,
) -> None:
    seen: list[list[int]] = []
    async with nodes.open() as one, nodes.open() as two:
        here, there = Chat(one), Chat(two)
        await here.register("Mei", "Bob")

        async def talk() -> None:
            for number in range(200):
                if number % 20 == 0:
                    nursery.start_soon(arrive)
                await here.say("Mei", "#lobby", str(number))
            done.set()

        async def arrive() -> None:
            following = Following()
            async with trio.open_nursery() as mine:
                await follow(mine, two, following)
                page = await there.page("Bob", "#lobby", after=0, limit=1000)
                await done.wait()
                await until(lambda: 200 in {page.head, *following.seqs("#lobby")[-1:]})
                mine.cancel_scope.cancel()
            later = following.seqs("#lobby")
            # A page may be ahead of what is delivered, never behind.
            assert not later or later[0] <= page.head + 1
            seen.append(
                [entry.seq for entry in page.entries] + [seq for seq in later if seq > page.head]
            )

        done = trio.Event()
        async with trio.open_nursery() as nursery:
            await talk()
    assert seen == [list(range(1, 201))] * 10


async def test_node_with_lost_connections_catches_up(nodes: Nodes) -> None:
    following = Following()
    async with (
        nodes.open() as one,
        open_proxy(("127.0.0.1", nodes.server.port)) as proxy,
        nodes.open(port=proxy.port) as two,
        trio.open_nursery() as nursery,
    ):
        chat = Chat(one)
        await chat.register("Mei")
        await follow(nursery, two, following)
        for number in range(100):
            if number % 10 == 5:
                proxy.cut()
            await chat.say("Mei", "#lobby", str(number))
        await until(lambda: len(following.logged) == 100)
        assert following.seqs("#lobby") == list(range(1, 101))
        nursery.cancel_scope.cancel()


async def test_node_away_for_longer_than_the_feed_starts_over(
    nodes: Nodes,
) -> None:
    following = Following()
    interrupted = trio.Event()

    async def follow_until_interrupted(store: Store) -> None:
        with pytest.raises(LogInterrupted):
            await store.follow(following)
        interrupted.set()

    options = "feed_entries=100"
    async with (
        nodes.open(options) as one,
        open_proxy(("127.0.0.1", nodes.server.port)) as proxy,
        nodes.open(options, port=proxy.port) as two,
        trio.open_nursery() as nursery,
    ):
        here, there = Chat(one), Chat(two)
        await here.register("Mei", "Bob")
        nursery.start_soon(follow_until_interrupted, two)
        await here.say("Mei", "#lobby", "before")
        await until(lambda: len(following.logged) == 1)
        proxy.freeze()
        for _ in range(10):
            await here.append(*(draft("Mei", "#lobby", "meanwhile") for _ in range(50)))
        proxy.heal()
        await interrupted.wait()
        anew = Following()
        await follow(nursery, two, anew)
        page = await there.page("Bob", "#lobby", limit=1000)
        await here.say("Mei", "#lobby", "after")
        await until(lambda: anew.seqs("#lobby")[-1:] == [502])
        # A page may be ahead of what is delivered, never behind.
        later = [seq for seq in anew.seqs("#lobby") if seq > page.head]
        seqs = [entry.seq for entry in page.entries] + later
        assert seqs == list(range(1, 503))
        nursery.cancel_scope.cancel()
    before = following.seqs("#lobby")  # perhaps with entries in transit when it was cut off
    assert before == list(range(1, len(before) + 1))
    assert len(before) < 100


async def test_log_is_trimmed_to_the_newest_entries_if_configured(nodes: Nodes) -> None:
    async with nodes.open("keep=100") as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.say("Mei", "#lobby", "old", cid="old")
        await chat.do("Bob", "#lobby", "react", "👍", ref=1)
        await chat.append(*(draft("Mei", "#lobby", f"needle {n}") for n in range(500)))
        newest = await chat.page("Bob", "#lobby", limit=1000)
        seqs = [entry.seq for entry in newest.entries]
        assert 100 <= len(seqs) < 120
        assert seqs == list(range(502 - len(seqs) + 1, 503))
        assert newest.entries[-1].text == "needle 499"
        assert (await chat.page("Bob", "#lobby", before=seqs[0])).entries == []
        assert (await chat.page("Bob", "#lobby", after=0, limit=3)).entries[0].seq == seqs[0]
        assert await store.message(key("#lobby", "Bob"), 1, viewer=person("Bob")) is None
        assert await chat.refused("Mei", "#lobby", "delete", ref=1) == "unknown_message"
        await chat.do("Mei", "#lobby", "edit", "needle new", ref=502)
        assert (await chat.entries("Bob", "#lobby"))[-2].text == "needle new"
        assert (await chat.seen("Bob", "#lobby")).unread == len(seqs)
        (again,) = await chat.append(draft("Mei", "#lobby", "old", cid="old"))
        assert isinstance(again, Appended)
        assert (again.dup, again.entry.seq) == (True, 1)
        found, cursor = await store.search(person("Bob"), ("needle",), limit=1000)
        assert (len(found), cursor) == (len(seqs), None)


async def test_feeds_are_trimmed_after_a_time(nodes: Nodes) -> None:
    async with nodes.open("feed_time=1") as store:
        chat = Chat(store)
        await chat.register("Mei")
        await chat.say("Mei", "#lobby", "to be forgotten")
        (feed,) = nodes.keys("*:feed")
        with nodes.client() as client:
            assert client.xlen(feed) == 1
            await until(lambda: client.xlen(feed) == 0)
        assert [entry.text for entry in await chat.entries("Mei", "#lobby")] == ["to be forgotten"]
        following = Following()
        async with trio.open_nursery() as nursery:
            await follow(nursery, store, following)
            await chat.say("Mei", "#lobby", "and on")
            nursery.cancel_scope.cancel()
        assert following.seqs("#lobby") == [2]


# -- cids ----------------------------------------------------------------------------------------


async def test_cid_is_remembered_for_ever(nodes: Nodes) -> None:
    """An app's outbox may return after months."""
    async with nodes.open("keep=20") as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        said = await chat.say("Mei", "#lobby", "hello", cid="c")
        with nodes.client() as client:
            for name in nodes.keys("*"):
                if client.ttl(name) > 0:  # as after some time
                    client.delete(name)
        (again,) = await chat.append(draft("Mei", "#lobby", "hello", cid="c"))
        assert again == Appended(said, dup=True)
        for number in range(100):  # until it is trimmed
            await chat.say("Bob", "#lobby", f"{number}")
        (again,) = await chat.append(draft("Mei", "#lobby", "hello", cid="c"))
        assert isinstance(again, Appended)
        assert (again.dup, again.entry.seq) == (True, said.seq)
