"""A run: many people talk while everything breaks; then all is mended, and the invariant checked.

Every choice is drawn from the seed. Two runs with one seed make the same choices, though not at the
same moments: the kernel's scheduler has no seed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

import trio

from gochat.client import Client, open_client
from gochat_faults.bare_client import BareClient
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
from gochat_faults.proxy import BLACKHOLE, NO_FAULTS, Lane, Plan, Proxy, serve_proxy
from gochat_faults.recorder import OPTIONS, PASSWORD, Recorder, Talk
from gochat_faults.server_process import ServerProcess, open_server

Person: TypeAlias = Recorder | BareClient

#: Where a server can be made to kill itself, and about how often a busy one comes there before.
CRASH_POINTS: Final[dict[str, int]] = {
    "append": 200,
    "insert": 100,
    "committed": 100,
    "ack": 200,
    "fan-out": 100,
    "frame": 400,
    "index": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A run. Times are in seconds.

    `people` with the client library and `bare_people` without it talk for `duration`, each
    pausing `pace` on average between two messages. Of those with the library every third one ends
    and begins anew now and then, and every fifth has a second device.

    Something happens to the server about every `server_fault_every`; or, with `bombs`, it is made
    to kill itself at each of these in turn, and the run is over with the last, if that is earlier.
    Without `breaks_network`, connections are cut only by that. What is mended at the end must be
    as new within `heal_timeout`.
    """

    seed: int
    people: int = 16
    bare_people: int = 4
    duration: float = 10.0
    pace: float = 0.1
    server_fault_every: float = 2.0
    bombs: tuple[str, ...] = ()
    breaks_network: bool = True
    heal_timeout: float = 40.0
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Report:
    """What happened in a run, in numbers, and what must not have. `faults` are counts."""

    seed: int
    seconds: float = 0.0
    healed_in: float = 0.0
    starting: float = 0.0
    said: int = 0
    acknowledged: int = 0
    repeated_acks: int = 0
    entries: int = 0
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
            f"acknowledged ({self.repeated_acks} again) of {self.said} said, {self.seen} seen, by "
            f"{self.clients} clients over {self.connections} connections in {self.seconds:.0f} s, "
            f"{self.starting:.0f} of them starting servers; "
            f"healed in {self.healed_in:.1f} s; ack p50 {self.ack_p50 * 1000:.0f} ms, "
            f"p99 {self.ack_p99 * 1000:.0f} ms; faults: {faults}"
        )


class NotHealed(Exception):
    """Everything was mended, but not everything arrived in time; the text says what did not."""


async def run(scenario: Scenario, directory: Path) -> Report:
    """Play a scenario, with its files in `directory`, and check the invariant.

    The history is kept in ``history.jsonl`` there.

    Raises:
        NotHealed: somebody did not get everything in time after all was mended.
    """
    report = Report(seed=scenario.seed)
    began = time.monotonic()
    with open_journal(directory / "history.jsonl") as journal:
        async with open_server(directory, scenario.settings) as server:
            names = [f"p{number:02}" for number in range(scenario.people + scenario.bare_people)]
            talks = await _prepare(server, journal, names, scenario)
            people = _people(scenario, journal, talks, directory)
            proxies: list[Proxy] = []
            async with trio.open_nursery() as nursery:
                for person in people:
                    plan = Planner(f"{scenario.seed}/{person.client}", scenario.breaks_network)
                    proxies.append(await nursery.start(serve_proxy, server.address, plan))
                    nursery.start_soon(person.run, proxies[-1].port)
                with trio.move_on_after(scenario.duration):
                    if scenario.bombs:
                        await _blow_up_the_server(server, scenario.bombs, journal, report)
                    else:
                        await _break_the_server(server, scenario, journal, report)
                healing = time.monotonic()
                await _heal(server, journal, proxies, people)
                await _wait_until_settled(server, journal, people, talks, scenario, report)
                report.healed_in = time.monotonic() - healing
                nursery.cancel_scope.cancel()
            for proxy in proxies:
                report.faults += proxy.counts
            server.terminate()
            await server.wait()
            report.faults["server starts"] = server.starts
            report.starting = server.starting
        report.clients = sum(person.clients for person in people)
    report.connections = report.faults.pop("connections", 0)
    report.seconds = time.monotonic() - began
    _count(report, journal.events)
    report.violations = check(journal.events)
    return report


# -- before ---------------------------------------------------------------------------------------


async def _prepare(
    server: ServerProcess, journal: Journal, names: list[str], scenario: Scenario
) -> dict[str, Talk]:
    """Register everybody and make all conversations, so that each reader's start is known."""
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
    for name in names:
        async with logged_in(server, name) as client:
            for room, members in rooms.items():
                if name == members[0]:
                    await client.create_room(room)
                elif name in members:
                    await client.join(room)
    for one, other in pairs:
        async with logged_in(server, one) as client:
            outgoing = client.send(f"@{other}", "hello")
            conversation = common_name(f"@{other}", one)
            journal.add(Said(journal.now(), one, one, conversation, outgoing.cid, "hello"))
            sent = await outgoing.sent()
            journal.add(
                Acknowledged(journal.now(), one, one, outgoing.cid, sent.epoch, sent.seq, sent.dup)
            )
    return {
        name: Talk(addresses[name], Random(f"{scenario.seed}/{name}"), scenario.pace)
        for name in names
    }


@asynccontextmanager
async def logged_in(server: ServerProcess, name: str) -> AsyncIterator[Client]:
    """Open a client that nothing is done to, and log it in; register before if need be."""
    async with open_client(server.url, options=OPTIONS) as client:
        if name not in server.registered:
            await client.register(name, PASSWORD)
            server.registered.add(name)
        await client.log_in(name, PASSWORD)
        yield client


def _people(
    scenario: Scenario, journal: Journal, talks: dict[str, Talk], directory: Path
) -> list[Person]:
    people: list[Person] = []
    for number, (name, talk) in enumerate(talks.items()):
        if number >= scenario.people:
            people.append(BareClient(journal, name, talk))
        elif number % 3 == 0:
            people.append(Recorder(journal, name, talk, outbox=directory / f"{name}.outbox"))
        else:
            people.append(Recorder(journal, name, talk))
        if number < scenario.people and number % 5 == 0:
            other = Talk(talk.addresses, Random(f"{scenario.seed}/{name}-b"), scenario.pace)
            people.append(Recorder(journal, name, other, device="-b"))
    return people


class Planner:
    """Draws what happens to a person's connections, the n-th always the same."""

    def __init__(self, seed: str, breaks_anything: bool) -> None:
        self._seed = seed
        self._breaks_anything = breaks_anything

    def __call__(self, number: int) -> Plan:
        if not self._breaks_anything:
            return NO_FAULTS
        random = Random(f"{self._seed}/{number}")
        reset = random.random() < 0.7
        kind = random.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
        some = int(random.lognormvariate(9.5, 1.8))  # bytes: 13 thousand, give or take a lot
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


# -- meanwhile ------------------------------------------------------------------------------------


async def _break_the_server(
    server: ServerProcess, scenario: Scenario, journal: Journal, report: Report
) -> None:
    """Kill, stop and freeze the server and start it again, until cancelled."""
    random = Random(f"{scenario.seed}/server")
    points = list(CRASH_POINTS)
    random.shuffle(points)
    while True:
        with trio.move_on_after(random.expovariate(1 / scenario.server_fault_every)):
            await server.wait_ended()
        what = random.choice(("kill", "kill", "stop", "freeze", "bomb", "bomb"))
        if server.is_running:
            await _do(what, server, random)
        if what == "freeze":
            report.faults["server frozen"] += 1
            journal.fault("froze the server for a while")
            continue
        await server.wait()
        _note_end(server, f"server: {what}", journal, report)
        if what == "bomb":
            points.append(points.pop(0))
            await server.start(f"{points[0]}:{random.randint(1, CRASH_POINTS[points[0]])}")
        else:
            await server.start()


async def _blow_up_the_server(
    server: ServerProcess, bombs: Iterable[str], journal: Journal, report: Report
) -> None:
    """Have the server die by each of `bombs`."""
    for bomb in bombs:
        server.kill()
        await server.wait()
        await server.start(bomb)
        await server.wait_ended()
        _note_end(server, "server: died by itself", journal, report)


def _note_end(server: ServerProcess, how: str, journal: Journal, report: Report) -> None:
    point = server.crashed_at()
    if point is not None:
        how = f"server died at {point}"
    report.faults[how] += 1
    journal.fault(how)


async def _do(what: str, server: ServerProcess, random: Random) -> None:
    match what:
        case "stop":
            server.terminate()
        case "freeze":
            server.freeze()
            await trio.sleep(random.uniform(0.1, 3))
            server.thaw()
        case _:
            server.kill()


# -- after ----------------------------------------------------------------------------------------


async def _heal(
    server: ServerProcess, journal: Journal, proxies: list[Proxy], people: list[Person]
) -> None:
    """Mend everything, and let nobody say anything more."""
    journal.fault("mended everything")
    for person in people:
        person.stop_talking.set()
    server.kill()
    await server.wait()
    await server.start()
    for proxy in proxies:
        proxy.heal()


async def _wait_until_settled(
    server: ServerProcess,
    journal: Journal,
    people: list[Person],
    talks: dict[str, Talk],
    scenario: Scenario,
    report: Report,
) -> None:
    """Wait until all outboxes are empty, read the log, and wait until all have seen its end."""
    deadline = trio.current_time() + scenario.heal_timeout
    await _until(deadline, "outboxes", lambda: {p.client for p in people if not p.has_settled})
    heads: dict[str, int] = {}
    for name, talk in talks.items():
        async with logged_in(server, name) as client:
            for address in talk.addresses:
                conversation = common_name(address, name)
                if conversation not in heads:
                    heads[conversation] = await _read_log(client, name, address, journal)
    report.entries = sum(heads.values())
    await _until(
        deadline,
        "readers",
        lambda: {
            f"{person.client} in {conversation}: {seq} of {heads[conversation]}"
            for person in people
            for conversation, seq in person.positions.items()
            if seq < heads[conversation]
        },
    )


async def _read_log(client: Client, name: str, address: str, journal: Journal) -> int:
    """Note all entries of a conversation, from the first, and return how many there are."""
    seq = 0
    while True:
        page = await client.history(address, after=seq, limit=200)
        for entry in page.entries:
            journal.add(
                Logged(
                    common_name(address, name), entry.epoch, entry.seq, entry.kind, entry.from_,
                    entry.cid, entry.text,
                )
            )  # fmt: skip
        seq = page.entries[-1].seq if page.entries else seq
        if not page.newer:
            return seq


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
    report.seen = sum(isinstance(event, Seen) for event in events)
    if latencies:
        report.ack_p50 = latencies[len(latencies) // 2]
        report.ack_p99 = latencies[len(latencies) * 99 // 100]
