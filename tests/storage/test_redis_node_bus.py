"""What nodes tell each other outside the log, and how they detect each other's end."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import pytest
import trio
from gochat_faults.proxy import open_proxy
from patience import PATIENCE, until
from redis_nodes import MISSED_WITHIN, Nodes, counted_beats
from redis_process import RedisServer

from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.names import NameKey
from gochat.chat.node_bus import (
    HERE,
    Acknowledged,
    Arrived,
    AwaySet,
    Here,
    Left,
    MarkerMoved,
    Missed,
    Node,
    NodeBus,
    NodeEvent,
    PersonHere,
    Revoked,
    Typed,
)
from gochat.chat.store import Store
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import IsTyping, Marked
from gochat.storage.redis.nodes import bus, operations
from gochat.storage.redis.nodes.bus import BEATS, RedisNodeBus

pytestmark = pytest.mark.trio

TEN_YEARS = 10 * 365 * 24 * 3600 * 1000

MEI = PersonHere(NameKey("mei"), "Mei")
BOB = PersonHere(NameKey("bob"), "Bob", "lunch")


@pytest.fixture
def nodes(redis_server: RedisServer) -> Nodes:
    """Nodes with their own data."""
    return Nodes(redis_server)


class Told:
    """The events that a node received, and who is where according to them."""

    def __init__(self) -> None:
        self.events: list[tuple[Node, NodeEvent]] = []
        self.people: dict[Node, dict[str, str | None]] = {}

    def __call__(self, node: Node, events: Sequence[NodeEvent]) -> None:
        for event in events:
            self.events.append((node, event))
            if isinstance(event, Here):
                self.people[node] = {person.name: person.away for person in event.people}
                continue
            if node != HERE:
                assert node in self.people, "it was not said before who is there"
            match event:
                case Arrived(person):
                    self.people[node][person.name] = person.away
                case Left(key):
                    self.people[node].pop(key.title(), None)

    @property
    def online(self) -> set[str]:
        return {name for people in self.people.values() for name in people}

    def of(self, kind: type[NodeEvent]) -> list[NodeEvent]:
        return [event for _, event in self.events if isinstance(event, kind)]


def node_bus(store: Store) -> NodeBus:
    assert store.node_bus is not None
    return store.node_bus


async def join(nursery: trio.Nursery, store: Store) -> Told:
    """Run the node bus in the background."""
    told = Told()
    await nursery.start(node_bus(store).run, told)
    return told


async def test_arrivals_and_departures_reach_nodes_in_order(nodes: Nodes) -> None:
    async with nodes.open() as one, nodes.open() as two, trio.open_nursery() as nursery:
        first, second = await join(nursery, one), await join(nursery, two)
        node_bus(one).publish(Arrived(MEI))
        node_bus(two).publish(Arrived(BOB))
        await until(lambda: first.online == {"Bob"} and second.online == {"Mei"})
        for _ in range(50):
            node_bus(one).publish(Left(MEI.key))
            node_bus(one).publish(Arrived(MEI))
        node_bus(one).publish(Left(MEI.key))
        await until(lambda: not second.online)
        assert len(second.of(Left)) == 51
        nursery.cancel_scope.cancel()


async def test_arrival_while_everybody_is_published_anew(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands are made in a thread, in which the people at this node must not change."""
    async with nodes.open() as one, nodes.open() as two, trio.open_nursery() as nursery:
        sender = node_bus(one)
        assert isinstance(sender, RedisNodeBus)
        await join(nursery, one)
        second = await join(nursery, two)
        for person in (MEI, BOB):
            sender.publish(Arrived(person))
        await until(lambda: second.online == {"Mei", "Bob"})
        token, encode = trio.lowlevel.current_trio_token(), operations._encode
        eve = PersonHere(NameKey("eve"), "Eve")

        def met_by_an_arrival(value: object) -> bytes:
            monkeypatch.undo()
            trio.from_thread.run_sync(sender.publish, Arrived(eve), trio_token=token)
            return encode(value)

        monkeypatch.setattr(operations, "_encode", met_by_an_arrival)
        sender.doubt()
        await until(lambda: second.online == {"Mei", "Bob", "Eve"})
        nursery.cancel_scope.cancel()


async def test_node_that_starts_later_learns_who_is_where(nodes: Nodes) -> None:
    async with nodes.open() as one, nodes.open() as two, trio.open_nursery() as nursery:
        first = await join(nursery, one)
        for person in (MEI, BOB):
            node_bus(one).publish(Arrived(person))
        node_bus(one).publish(Left(MEI.key))
        node_bus(one).publish(AwaySet(BOB.key, "back soon"))
        await until(lambda: bool(first.of(AwaySet)))  # its own event is back: it has all
        second = await join(nursery, two)
        assert list(second.people.values()) == [{"Bob": "back soon"}]
        nursery.cancel_scope.cancel()


async def test_transient_events_arrive_unchanged(nodes: Nodes) -> None:
    events: list[NodeEvent] = [
        Typed(LOBBY_KEY, MEI.key, IsTyping(to="#lobby", from_="Mei")),
        MarkerMoved(MEI.key, Marked(conv="@Bob", read=7, unread=2, level="mentions")),
        Revoked(MEI.key),
    ]
    async with nodes.open() as one, nodes.open() as two, trio.open_nursery() as nursery:
        first, second = await join(nursery, one), await join(nursery, two)
        for event in events:
            node_bus(one).publish(event)
        await until(
            lambda: [n for _, n in second.events if not isinstance(n, Here | Missed)] == events
        )
        assert not first.of(Typed), "nobody is told what they said themselves"
        nursery.cancel_scope.cancel()


async def test_revocation_is_confirmed_once_every_node_acknowledged_it(
    nodes: Nodes,
) -> None:
    revoked = Revoked(MEI.key, 1, receipt="r")
    outcomes: list[bool] = []

    async def confirm(store: Store) -> None:
        outcomes.append(await node_bus(store).confirm(revoked))

    async with (
        nodes.open("lease=600") as one,
        nodes.open("lease=600") as two,
        nodes.open("lease=600") as three,
        trio.open_nursery() as nursery,
    ):
        await join(nursery, one)
        await confirm(one)
        assert outcomes == [True], "there is nobody else"
        others = [await join(nursery, store) for store in (two, three)]
        nursery.start_soon(confirm, one)
        await until(lambda: all(told.of(Revoked) == [revoked] for told in others))
        node_bus(two).publish(Acknowledged("r"))
        node_bus(two).publish(AwaySet(MEI.key, "a mark in the order of things"))
        await until(lambda: bool(others[1].of(AwaySet)))
        assert outcomes == [True]
        node_bus(three).publish(Acknowledged("r"))
        await until(lambda: outcomes == [True, True])
        nursery.cancel_scope.cancel()


async def test_live_node_without_an_acknowledgement_confirms_nothing(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "CONFIRM_WITHIN", 0.001)
    async with nodes.open("lease=600") as one, nodes.open("lease=600") as two:
        async with trio.open_nursery() as nursery:
            await join(nursery, one)
            await join(nursery, two)
            assert not await node_bus(one).confirm(Revoked(MEI.key, 1, receipt="r"))
            nursery.cancel_scope.cancel()


async def test_revocation_needs_no_confirmation_of_a_dead_node(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "CONFIRM_WITHIN", PATIENCE)
    async with (
        open_proxy(("127.0.0.1", nodes.server.port)) as proxy,
        nodes.open("lease=3") as one,
        nodes.open("lease=3", port=proxy.port) as two,
        trio.open_nursery() as nursery,
    ):
        await join(nursery, one)
        second = await join(nursery, two)
        proxy.freeze()
        missed = len(second.of(Missed))
        assert await node_bus(one).confirm(Revoked(MEI.key, 1, receipt="r"))
        assert not node_bus(two).has_lease, "it knows that nobody waits for it any more"
        proxy.heal()
        await until(lambda: node_bus(two).has_lease)
        assert len(second.of(Missed)) > missed, "before it has a lease again"
        await until(lambda: bool(second.of(Revoked)))
        nursery.cancel_scope.cancel()


async def test_concurrent_away_notices_end_the_same_at_all_nodes(nodes: Nodes) -> None:
    async with nodes.open() as one, nodes.open() as two, trio.open_nursery() as nursery:
        told = [await join(nursery, one), await join(nursery, two)]
        for number in range(20):
            node_bus(one).publish(AwaySet(MEI.key, f"one {number}"))
            node_bus(two).publish(AwaySet(MEI.key, f"two {number}"))
        await until(lambda: all(len(each.of(AwaySet)) == 40 for each in told))
        assert told[0].of(AwaySet) == told[1].of(AwaySet)
        nursery.cancel_scope.cancel()


async def test_stopping_node_notifies_the_others(nodes: Nodes) -> None:
    async with nodes.open("lease=3600") as one, trio.open_nursery() as nursery:
        first = await join(nursery, one)
        async with nodes.open("lease=3600") as two, trio.open_nursery() as short:
            await join(short, two)
            node_bus(two).publish(Arrived(MEI))
            await until(lambda: first.online == {"Mei"})
            short.cancel_scope.cancel()
        await until(lambda: not first.online)
        nursery.cancel_scope.cancel()


async def test_lease_from_a_fast_clock_does_not_last_for_years(nodes: Nodes) -> None:
    async with nodes.open("lease=0.5") as one, trio.open_nursery() as nursery:
        with nodes.client() as client:
            until_then = (time.time_ns() // 1_000_000) + TEN_YEARS
            client.hset(f"{nodes.prefix}:{{0}}:nodes", "gone", until_then)
            client.hset(f"{nodes.prefix}:{{0}}:o:gone", MEI.key, msgspec.msgpack.encode(MEI))
        first = await join(nursery, one)
        await until(lambda: not first.online)
        nursery.cancel_scope.cancel()


async def test_silent_node_is_gone_within_the_lease_and_returns(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = counted_beats(monkeypatch)
    async with (
        open_proxy(("127.0.0.1", nodes.server.port)) as proxy,
        nodes.open("lease=2") as one,
        nodes.open("lease=2", port=proxy.port) as two,
        trio.open_nursery() as nursery,
    ):
        first, second = await join(nursery, one), await join(nursery, two)
        node_bus(two).publish(Arrived(MEI))
        node_bus(one).publish(Arrived(BOB))
        await until(lambda: first.online == {"Mei"} and second.online == {"Bob"})
        proxy.freeze()
        silent_since = beats()
        await until(lambda: not first.online)
        assert beats() - silent_since <= MISSED_WITHIN
        assert second.online == {"Bob"}, "it is the one that is cut off, and misses nobody"
        node_bus(two).publish(Left(MEI.key))
        node_bus(two).publish(Arrived(PersonHere(NameKey("eve"), "Eve")))
        proxy.heal()
        await until(lambda: first.online == {"Eve"})
        assert second.online == {"Bob"}
        nursery.cancel_scope.cancel()


async def test_outage_of_redis_makes_nobody_appear_gone(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, beats = 1.0, counted_beats(monkeypatch)
    async with (
        open_proxy(("127.0.0.1", nodes.server.port)) as proxy,
        nodes.open(f"lease={lease}&timeout=1", port=proxy.port) as one,
        nodes.open(f"lease={lease}&timeout=1", port=proxy.port) as two,
        trio.open_nursery() as nursery,
    ):
        first, second = await join(nursery, one), await join(nursery, two)
        node_bus(one).publish(Arrived(MEI))
        node_bus(two).publish(Arrived(BOB))
        await until(lambda: first.online == {"Bob"} and second.online == {"Mei"})
        proxy.freeze()
        with nodes.client() as client:
            leases = f"{nodes.prefix}:{{0}}:nodes"
            last = max(map(int, client.hvals(leases)))
            await until(lambda: client.time()[0] * 1000 > last)
        proxy.heal()
        proxy.cut()
        node_bus(one).publish(AwaySet(MEI.key, "still here"))
        node_bus(two).publish(AwaySet(BOB.key, "still here"))
        for told, name in ((first, "Bob"), (second, "Mei")):
            await until(lambda: {name: "still here"} in told.people.values())  # noqa: B023 -- at once
        # Until both have renewed their leases again, and long enough to trust what they find.
        until_then = beats() + 2 * (BEATS + 1)
        await until(lambda: beats() >= until_then)
        for told in (first, second):
            assert told.of(Here).count(Here()) <= 1, "only that nobody was there at the beginning"
        assert (first.online, second.online) == ({"Bob"}, {"Mei"})
        nursery.cancel_scope.cancel()


async def test_nodes_rediscover_each_other_in_an_emptied_redis(
    nodes: Nodes,
) -> None:
    async with (
        nodes.open("lease=1") as one,
        nodes.open("lease=1") as two,
        trio.open_nursery() as nursery,
    ):
        first, second = await join(nursery, one), await join(nursery, two)
        node_bus(one).publish(Arrived(MEI))
        await until(lambda: second.online == {"Mei"})
        with nodes.client() as client:
            client.delete(*(f"{nodes.prefix}:{{0}}:{name}" for name in ("nodes", "notices")))
        node_bus(two).publish(Arrived(BOB))
        await until(lambda: first.online == {"Bob"})
        async with nodes.open() as three:
            third = await join(nursery, three)
            await until(lambda: third.online == {"Mei", "Bob"})
            nursery.cancel_scope.cancel()


async def test_event_that_only_newer_nodes_know_is_left_out(nodes: Nodes) -> None:
    """While nodes are upgraded one after the other; those around it are received."""
    async with nodes.open() as one, nodes.open() as two, trio.open_nursery() as nursery:
        first, _ = await join(nursery, one), await join(nursery, two)
        await until(lambda: len(first.people) == 1)
        [node] = first.people
        events = [["Arrived", ["mei", "Mei"]], ["LaterThing", {"a": 1}], ["Left", "mei"]]
        with nodes.client() as client:
            notice = {
                "n": node,
                "e": msgspec.msgpack.encode([*events, ["Arrived", ["bob", "Bob"]]]),
            }
            client.xadd(f"{nodes.prefix}:{{0}}:notices", notice)
        await until(lambda: first.online == {"Bob"})
        assert [type(event) for event in (*first.of(Arrived), *first.of(Left))] == [
            *(Arrived, Arrived),
            Left,
        ]
        nursery.cancel_scope.cancel()


async def test_node_with_a_late_first_beat_starts(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis was up just before; the machine may be busy."""
    beat, failures = RedisNodeBus._beat, 2

    async def late(self: RedisNodeBus) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnavailable("Redis did not answer in time")
        await beat(self)

    monkeypatch.setattr(RedisNodeBus, "_beat", late)
    async with nodes.open() as store, trio.open_nursery() as nursery:
        await join(nursery, store)
        assert failures == 0
        nursery.cancel_scope.cancel()
