"""A run: many people chat while everything breaks; then all is repaired, and the invariant checked.

Every choice is drawn from the seed. Two runs with one seed make the same choices, but not at the
same moments: the kernel's scheduler has no seed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

import trio
from patience import PATIENCE

from gochat.client import Client
from gochat.tui.model.entries import described
from gochat_faults.bare_client import BareClient
from gochat_faults.breaking import Breaker
from gochat_faults.checker import Violation, check
from gochat_faults.history import (
    Acknowledged,
    Event,
    Journal,
    Logged,
    Said,
    Seen,
    common_name,
    open_journal,
)
from gochat_faults.node_client import NodeClient
from gochat_faults.proxy import BLACKHOLE, NO_FAULTS, Lane, Plan, Proxy, Target, serve_proxy
from gochat_faults.recorder import Recorder, Talk, logged_in, move_in
from gochat_faults.site import Site, StoreKind, open_site

Person: TypeAlias = Recorder | BareClient | NodeClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A run. Times are in seconds.

    `people` with the client library, `bare_people` without it and `node_people` with the example
    for Node send messages for `duration`, each pausing `pace` on average between two. Of those with
    the library every third one restarts now and then, and every fifth has a second device. With
    several servers they are spread over all of them, including the devices of one person; and every
    fourth client's connections go to changing servers.

    Servers are broken about every `server_fault_every`. With `faults`, by these in turn
    (:data:`~gochat_faults.breaking.FAULTS`), and the run ends after the last; with `bombs`, the
    first server kills itself at each of these in turn, likewise. Without `breaks_network`,
    connections are cut only by that. Once everything is repaired at the end, it must recover within
    `heal_timeout`.

    `store` determines what can be broken (:mod:`~gochat_faults.site`); with `waits`, nodes wait for
    a replica before they acknowledge.
    """

    seed: int
    store: StoreKind = "sqlite"
    waits: bool = False
    people: int = 16
    bare_people: int = 4
    node_people: int = 2
    duration: float = 10.0
    pace: float = 0.1
    server_fault_every: float = 2.0
    faults: tuple[str, ...] = ()
    bombs: tuple[str, ...] = ()
    breaks_network: bool = True
    heal_timeout: float = PATIENCE
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Report:
    """What happened in a run, in numbers, and its violations. `faults` are counts."""

    seed: int
    seconds: float = 0.0
    healed_in: float = 0.0
    starting: float = 0.0
    said: int = 0
    acknowledged: int = 0
    repeated_acks: int = 0
    entries: int = 0
    taken: int = 0
    seen: int = 0
    clients: int = 0
    connections: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ack_p50: float = 0.0
    ack_p99: float = 0.0
    violations: list[Violation] = field(default_factory=list)

    def __str__(self) -> str:
        faults = ", ".join(f"{what} {count}" for what, count in sorted(self.faults.items()))
        return (
            f"seed {self.seed}: {len(self.violations)} violations; {self.acknowledged} "
            f"acknowledged ({self.repeated_acks} again, {self.taken} taken away by the run) of "
            f"{self.said} said, {self.seen} seen, by "
            f"{self.clients} clients over {self.connections} connections in {self.seconds:.0f} s, "
            f"{self.starting:.0f} of them starting servers; "
            f"healed in {self.healed_in:.1f} s; ack p50 {self.ack_p50 * 1000:.0f} ms, "
            f"p99 {self.ack_p99 * 1000:.0f} ms; faults: {faults}"
        )


class NotHealed(Exception):
    """Everything was repaired, but not everything arrived in time; the text says what did not."""


async def run(scenario: Scenario, directory: Path) -> Report:
    """Run a scenario, with its files in `directory`, and check the invariant.

    The history is kept in ``history.jsonl`` there.

    Raises:
        NotHealed: not everyone got everything in time after all was repaired.
        ServerFailed: a server ended otherwise than it was made to.
    """
    report = Report(seed=scenario.seed)
    began = time.monotonic()
    with open_journal(directory / "history.jsonl") as journal:
        wait = 1 if scenario.waits else 0
        async with open_site(scenario.store, directory, scenario.settings, wait=wait) as site:
            count = scenario.people + scenario.bare_people + scenario.node_people
            names = [f"p{number:02}" for number in range(count)]
            talks = await _prepare(site, journal, names, scenario)
            people = _people(scenario, journal, talks, directory)
            proxies: list[Proxy] = []
            breaker = Breaker(site, scenario.store, scenario.seed, journal, report.faults)
            breaker.only_unacknowledged = scenario.waits
            async with trio.open_nursery() as nursery:
                for number, person in enumerate(people):
                    plan = Planner(f"{scenario.seed}/{person.client}", scenario.breaks_network)
                    target = _server_of(person, number, site, scenario.seed)
                    proxies.append(await nursery.start(serve_proxy, target, plan))
                    nursery.start_soon(person.run, proxies[-1].port)
                if scenario.bombs:
                    with trio.move_on_after(scenario.duration):
                        await breaker.blow_up(scenario.bombs)
                elif scenario.faults:
                    await breaker.run_through(scenario.faults, scenario.server_fault_every)
                else:
                    await breaker.run(scenario.duration, scenario.server_fault_every)
                healing = time.monotonic()
                journal.fault("mended everything")
                for person in people:
                    person.stop_talking.set()
                await site.mend()
                for proxy in proxies:
                    proxy.heal()
                await _wait_until_settled(site, journal, people, talks, scenario, report)
                report.healed_in = time.monotonic() - healing
                nursery.cancel_scope.cancel()
            for proxy in proxies:
                report.faults += proxy.counts
            for node in site.nodes:
                node.terminate()
                await node.wait_for_end(0)
            report.faults["server starts"] = site.starts
            report.starting = site.starting
        report.clients = sum(person.clients for person in people)
    report.connections = report.faults.pop("connections", 0)
    report.seconds = time.monotonic() - began
    _count(report, journal.events)
    report.violations = check(journal.events)
    return report


# -- before ---------------------------------------------------------------------------------------


async def _prepare(
    site: Site, journal: Journal, names: list[str], scenario: Scenario
) -> dict[str, Talk]:
    """Register everyone and create all conversations, so that each reader's start is known."""
    random = Random(f"{scenario.seed}/people")
    rooms = {"#garden": names[::2], "#kitchen": names[: len(names) // 2]}
    pairs = random.sample(list(combinations(names, 2)), k=min(len(names), 30))
    addresses: dict[str, list[str]] = {name: ["#lobby"] for name in names}
    for room, members in rooms.items():
        for name in members:
            addresses[name].append(room)
    for one, other in pairs:
        addresses[one].append(f"@{other}")
        addresses[other].append(f"@{one}")
    for number, name in enumerate(names):
        rooms_of = [room for room, members in rooms.items() if name in members]
        await move_in(site.node(number).url, name, rooms_of)
        site.nodes[0].registered.add(name)
    for one, other in pairs:
        async with logged_in(site.nodes[0], one) as client:
            outgoing = client.send(f"@{other}", "hello")
            conversation = common_name(f"@{other}", one)
            journal.add(
                Said(journal.now(), f"{one}-before", one, conversation, outgoing.cid, "hello")
            )
            sent = await outgoing.sent()
            journal.add(
                Acknowledged(
                    journal.now(),
                    f"{one}-before",
                    one,
                    outgoing.cid,
                    sent.epoch,
                    sent.seq,
                    sent.repeated,
                )
            )
    return {
        name: Talk(addresses[name], Random(f"{scenario.seed}/{name}"), scenario.pace)
        for name in names
    }


def _people(
    scenario: Scenario, journal: Journal, talks: dict[str, Talk], directory: Path
) -> list[Person]:
    people: list[Person] = []
    for number, (name, talk) in enumerate(talks.items()):
        if number >= scenario.people + scenario.bare_people:
            people.append(NodeClient(journal, name, talk))
        elif number >= scenario.people:
            people.append(BareClient(journal, name, talk))
        elif number % 3 == 0:
            people.append(Recorder(journal, name, talk, outbox=directory / f"{name}.outbox"))
        else:
            people.append(Recorder(journal, name, talk))
        if number < scenario.people and number % 5 == 0:
            other = Talk(talk.addresses, Random(f"{scenario.seed}/{name}-b"), scenario.pace)
            people.append(Recorder(journal, name, other, device="-b"))
    return people


def _server_of(person: Person, number: int, site: Site, seed: int) -> Target:
    if number % 4 == 3:
        return lambda connection: (
            site.node(
                Random(f"{seed}/{person.client}/{connection}").randrange(len(site.nodes))
            ).address
        )
    return site.node(number).address


class Planner:
    """Draws the faults of a person's connections, the n-th always the same."""

    def __init__(self, seed: str, breaks_anything: bool) -> None:
        self._seed = seed
        self._breaks_anything = breaks_anything

    def __call__(self, number: int) -> Plan:
        if not self._breaks_anything:
            return NO_FAULTS
        random = Random(f"{self._seed}/{number}")
        reset = random.random() < 0.7
        kind = random.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
        some = int(random.lognormvariate(9.5, 1.8))  # bytes: 13 thousand, with a large spread
        match kind:
            case "none":
                return Plan(cut_at=random.uniform(5, 15), reset=reset)
            case "cut":
                return Plan(cut_at=random.expovariate(0.5), reset=reset)
            case "cut down":
                return Plan(down=Lane(cut_after=some), reset=reset)
            case "cut up":
                return Plan(up=Lane(cut_after=some // 4), reset=reset)
            case "swallow acks":
                return Plan(swallow_acks=random.randint(1, 4), reset=reset)
            case "stall":
                return Plan(down=Lane(stall_after=some), receive_buffer=4096)
            case "slow":
                lane = Lane(bytes_per_second=random.choice((200, 2000, 20000)))
                return Plan(down=lane, receive_buffer=4096, cut_at=random.uniform(1, 6))
            case "delay":
                lane = Lane(delay=random.uniform(0.01, 0.3))
                return Plan(up=lane, down=lane, cut_at=random.uniform(2, 8), reset=reset)
            case "lose":
                return Plan(up=Lane(lose_after=some), down=Lane(lose_after=some))
            case "blackhole":
                return BLACKHOLE
            case "refuse":
                return Plan(refuse=True)
            case _:
                return NO_FAULTS


_KINDS: Final = {
    "none": 2, "cut": 4, "cut down": 5, "cut up": 4, "swallow acks": 5, "stall": 1, "slow": 2,
    "delay": 2, "lose": 1, "blackhole": 0.5, "refuse": 2,
}  # fmt: skip


# -- after ----------------------------------------------------------------------------------------


async def _wait_until_settled(
    site: Site,
    journal: Journal,
    people: list[Person],
    talks: dict[str, Talk],
    scenario: Scenario,
    report: Report,
) -> None:
    """Wait until all outboxes are empty and everyone has seen the end of the log; record the log.

    A client that learns late of a loss resends only then. So this repeats until nothing has changed
    meanwhile.
    """
    deadline = trio.current_time() + scenario.heal_timeout
    logs: dict[str, Log] = {}
    while True:
        await _until(deadline, "outboxes", lambda: {p.unsettled for p in people if p.unsettled})
        before, logs = logs, await _read_logs(site, talks)
        if logs == before:
            break
        heads = {conversation: (log.epoch, log.head) for conversation, log in logs.items()}
        await _until(deadline, "readers", lambda: _behind(people, heads))  # noqa: B023 -- at once
    for log in logs.values():
        for entry in log.entries:
            journal.add(entry)
    report.entries = sum(log.head for log in logs.values())


@dataclass(frozen=True, slots=True)
class Log:
    """A conversation's log, as read."""

    epoch: str
    entries: tuple[Logged, ...]

    @property
    def head(self) -> int:
        """The seq of the last entry."""
        return self.entries[-1].seq if self.entries else 0


def _behind(people: list[Person], heads: dict[str, tuple[str, int]]) -> set[str]:
    return {
        f"{person.client} in {conversation}: {position} of {heads[conversation]}"
        for person in people
        for conversation, position in person.positions.items()
        if not _is_at(position, heads[conversation])
    }


def _is_at(position: tuple[str, int], head: tuple[str, int]) -> bool:
    # A conversation without an entry since its loss has no epoch that anyone could have seen.
    return head[1] == 0 or (position[0] == head[0] and position[1] >= head[1])


async def _read_logs(site: Site, talks: dict[str, Talk]) -> dict[str, Log]:
    """Read all conversations, from their first entries."""
    logs: dict[str, Log] = {}
    for number, (name, talk) in enumerate(talks.items()):
        async with logged_in(site.node(number), name) as client:
            for address in talk.addresses:
                conversation = common_name(address, name)
                if conversation not in logs:
                    logs[conversation] = await _read_log(client, address, conversation)
    return logs


async def _read_log(client: Client, address: str, conversation: str) -> Log:
    entries: list[Logged] = []
    while True:
        after = entries[-1].seq if entries else 0
        page = await client.history(address, after=after, limit=200)
        entries += [
            Logged(conversation, one.epoch, one.seq, kind, one.sender, one.cid, text)
            for one in page.entries
            for kind, text in [described(one)]
        ]
        if not page.newer:
            return Log(page.epoch, tuple(entries))


async def _until(deadline: float, what: str, missing: Callable[[], set[str]]) -> None:
    while still := missing():
        if trio.current_time() > deadline:
            raise NotHealed(f"{what}: {sorted(still)}")
        await trio.sleep(0.02)


def _count(report: Report, events: list[Event]) -> None:
    said = {event.cid: event.at for event in events if isinstance(event, Said)}
    acknowledged: dict[str, float] = {}
    for event in events:
        if isinstance(event, Acknowledged):
            acknowledged.setdefault(event.cid, event.at)
            report.repeated_acks += event.dup
    latencies = sorted(at - said[cid] for cid, at in acknowledged.items() if cid in said)
    report.said = len(said)
    report.acknowledged = len(acknowledged)
    logged = {event.cid for event in events if isinstance(event, Logged)}
    report.taken = len(acknowledged.keys() - logged)
    report.seen = sum(isinstance(event, Seen) for event in events)
    if latencies:
        report.ack_p50 = latencies[len(latencies) // 2]
        report.ack_p99 = latencies[len(latencies) * 99 // 100]
