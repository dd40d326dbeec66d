"""Several nodes on one Redis: what a message costs each of them; and what keeping it costs.

A node more must leave what the others do as it was. So the same load is put on a node that is
alone and on one that is not, in turns, and what is compared is processor time: nodes that share
two cores with each other, with Redis and with who measures take turns, which says nothing of nodes
that have machines of their own.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import trio

from benchmarks import redis_server, servers
from benchmarks.appending import SPEAKER, append
from benchmarks.audience import Audience
from benchmarks.redis_server import Redis
from benchmarks.report import Report, Row, quantile
from benchmarks.servers import Gochat, Server, cpu_exactly
from gochat.chat.store import Store
from gochat.storage import open_store

#: Messages a second: so few that none waits for another, and each is written for itself.
RATE: Final = 20.0
ALONE: Final = "Redis, one node"


class Nodes(Server):
    """Nodes of one chat, as one server: who comes goes to each in turn, the first to the first."""

    acknowledges = True

    def __init__(self, name: str, nodes: Sequence[Gochat], redis: Redis | None) -> None:
        super().__init__(nodes[0].process, nodes[0].port)
        self.name = name
        self.nodes: Final = nodes
        self.redis: Final = redis

    @property
    def cpu_exactly(self) -> float:
        return sum(node.cpu_exactly for node in self.nodes)

    def clocks(self) -> list[float]:
        """The processor time of each node, and that of Redis."""
        found = [node.cpu_exactly for node in self.nodes]
        return [*found, self.redis.cpu_exactly if self.redis is not None else 0.0]

    def enter(self, names: list[str]) -> list[socket.socket]:
        connections = [self.nodes[n % len(self.nodes)].connect() for n in range(len(names))]
        for name, connection in zip(names, connections, strict=True):
            connection.sendall(self.nodes[0].greeting(name))
        for connection in connections:
            self.nodes[0].wait_until_in(connection)
        return connections

    def say(self, number: int, text: str) -> bytes:
        return self.nodes[0].say(number, text)


class Turn(NamedTuple):
    """One round: processor seconds of each node and of Redis, and the delays."""

    cpu: list[float]
    redis: float
    p50: float


def run(
    report: Report, directory: Path, receivers: int, messages: int, rounds: int, quiet: float
) -> None:
    """Broadcast over one node and over two, with so many receivers at each; show the table.

    The speaker is at the first node.
    """
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server.redis(directory / "redis"))

        def start(name: str, count: int, url: Callable[[int], str | None]) -> Audience:
            nodes = [
                stack.enter_context(servers.gochat(directory / f"{name}-{n}", store=url(n)))
                for n in range(count)
            ]
            has_redis = url(0) is not None
            server = Nodes(name, nodes, redis if has_redis else None)
            return stack.enter_context(_audience(server, receivers * count))

        audiences = {
            "SQLite": start("SQLite", 1, lambda _: None),
            ALONE: start(ALONE, 1, lambda _: f"{redis.url}?prefix=one"),
            "Redis, two nodes": start("Redis, two nodes", 2, lambda _: f"{redis.url}?prefix=two"),
        }
        found = _take_turns(list(audiences.values()), messages, rounds)
        idle = _idle(list(audiences.values()), quiet)
    report.table(
        f"Nodes with {receivers:,} receivers each, {RATE:.0f} messages a second",
        [
            _row(name, node, receivers, messages, turns, found[ALONE])
            | {"idle, CPU ms a second": idle[name][node] * 1e3}
            for name, turns in found.items()
            for node in range(len(turns[0].cpu))
        ],
    )


def _idle(audiences: Sequence[Audience], seconds: float) -> dict[str, list[float]]:
    """How much each node does while nobody says anything: processor seconds a second.

    By the clock that also knows the threads that have ended.
    """
    nodes = [audience.server for audience in audiences if isinstance(audience.server, Nodes)]
    before = [[node.cpu_exactly for node in server.nodes] for server in nodes]
    time.sleep(seconds)
    return {
        server.name: [
            (n.cpu_exactly - then) / seconds for n, then in zip(server.nodes, old, strict=True)
        ]
        for server, old in zip(nodes, before, strict=True)
    }


def _take_turns(audiences: Sequence[Audience], messages: int, rounds: int) -> dict[str, list[Turn]]:
    found: dict[str, list[Turn]] = {audience.server.name: [] for audience in audiences}
    for audience in audiences:
        audience.broadcast(min(messages, 10), rate=RATE)
    for number in range(rounds):
        turn = number % len(audiences)
        for audience in (*audiences[turn:], *audiences[:turn]):
            server = audience.server
            assert isinstance(server, Nodes)
            before = server.clocks()
            measured = audience.broadcast(messages, rate=RATE)
            spent = [now - then for now, then in zip(server.clocks(), before, strict=True)]
            p50 = quantile(measured.latencies, 0.5)
            found[server.name].append(Turn(spent[:-1], spent[-1], p50))
    return found


def _row(
    name: str, node: int, receivers: int, messages: int, turns: list[Turn], alone: list[Turn]
) -> Row:
    own = median(turn.cpu[node] for turn in turns)
    ratios = (turn.cpu[node] / other.cpu[0] for turn, other in zip(turns, alone, strict=True))
    return {
        "store and nodes": name,
        "node": "where it is said" if node == 0 else "the other",
        "CPU µs a message": own / messages * 1e6,
        "CPU µs a delivery": own / messages / receivers * 1e6,
        "× one node": median(ratios),
        "Redis CPU µs a message": None
        if name == "SQLite"
        else median(turn.redis for turn in turns) / messages * 1e6,
        "p50 ms": median(turn.p50 for turn in turns) * 1e3,
    }


@contextmanager
def _audience(server: Server, receivers: int) -> Iterator[Audience]:
    audience = Audience(server, receivers)
    try:
        yield audience
    finally:
        audience.close()


# -- keeping messages ----------------------------------------------------------------------------


def appends(report: Report, directory: Path, messages: int, rounds: int) -> None:
    """Append to each kind of store, one message after the other and 64 callers at once."""
    rows: list[Row] = []
    for callers, share in ((1, 10), (64, 1), (1000, 1)):
        where = directory / str(callers)
        where.mkdir(parents=True)
        found = trio.run(_compare, where, callers, messages // share, rounds)
        floor = found["SQLite, normal"]
        for name, these in found.items():
            rate = [per_second for per_second, _, _ in these]
            rows.append(
                {
                    "store": name,
                    "callers": callers,
                    "appends/s": median(rate),
                    "× SQLite": median(
                        mine / other for mine, (other, _, _) in zip(rate, floor, strict=True)
                    ),
                    "CPU µs each": median(own for _, own, _ in these) * 1e6,
                    "Redis CPU µs each": median(redis for _, _, redis in these) * 1e6
                    if name.startswith("Redis")
                    else None,
                }
            )
    report.table("Appending to a store", rows)


async def _compare(
    directory: Path, callers: int, messages: int, rounds: int
) -> dict[str, list[tuple[float, float, float]]]:
    found: dict[str, list[tuple[float, float, float]]] = {}
    with ExitStack() as processes:
        async with AsyncExitStack() as stack:
            stores: dict[str, tuple[Store, Redis | None]] = {}
            for how in ("normal", "full"):
                url = f"sqlite:///{directory / how}.db?synchronous={how}"
                stores[f"SQLite, {how}"] = await stack.enter_async_context(open_store(url)), None
            for how in ("everysec", "always"):
                redis = processes.enter_context(redis_server.redis(directory / how, how))
                store = await stack.enter_async_context(open_store(redis.url))
                stores[f"Redis, {how}"] = store, redis
            for store, _ in stores.values():
                await store.create_account(SPEAKER)
                await append(store, min(callers, 64), 200)
            order = list(stores.items())
            for number in range(rounds):
                turn = number % len(order)
                for name, (store, redis_or_none) in (*order[turn:], *order[:turn]):
                    before = redis_or_none.cpu_exactly if redis_or_none is not None else 0.0
                    cpu, begun = cpu_exactly(os.getpid()), time.perf_counter()
                    await append(store, callers, messages)
                    seconds = time.perf_counter() - begun
                    own = cpu_exactly(os.getpid()) - cpu
                    after = redis_or_none.cpu_exactly if redis_or_none is not None else 0.0
                    found.setdefault(name, []).append(
                        (messages / seconds, own / messages, (after - before) / messages)
                    )
    return found
