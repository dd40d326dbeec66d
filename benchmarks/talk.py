"""Talk in small circles and in the lobby: what a message costs, and how long it takes.

All servers run at the same time and take turns, round by round, as in :mod:`benchmarks.broadcast`.
A row has the medians of its rounds, and ratios are of rounds with the same number. What gochat is
compared with is the bare path, which does in the same language what cannot be left out, and nothing
else: by how much ``× bare path`` is above 1 is what all else costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import irc, redis_server, servers
from benchmarks.crowd import ROOM, Crowd, Talked, Way, open_crowd
from benchmarks.report import Report, Row
from benchmarks.servers import Talking

_BARE: Final = "bare path"


def ways(people: int, scale: float) -> list[Way]:
    """The ways, with as many messages as take seconds; times `scale`."""

    def messages(number: int) -> int:
        return max(2, int(number * scale))

    return [
        Way("private, 100 a second", "private", messages(600), rate=100),
        Way("private, 500 a second", "private", messages(3000), rate=500),
        Way("private, flat out", "private", messages(20 * people)),
        Way(f"rooms of {ROOM}, flat out", "room", messages(10 * people)),
        Way("lobby, 64 in flight", "lobby", messages(4_000_000 // people), in_flight=64),
    ]


def run(
    report: Report,
    directory: Path,
    *,
    people: int,
    rounds: int,
    scale: float,
    only: Sequence[str] = (),
    with_redis: bool = False,
    with_peers: bool = False,
) -> None:
    """Measure how so many people talk, on each server; show a table for each way."""
    with ExitStack() as stack:
        running: list[Talking] = [
            stack.enter_context(servers.bare_path(directory / "bare-path")),
            stack.enter_context(servers.gochat(directory / "gochat")),
        ]
        if with_redis:
            redis = stack.enter_context(redis_server.redis(directory / "redis"))
            on_redis = stack.enter_context(servers.gochat(directory / "on-redis", store=redis.url))
            on_redis.name = "gochat on Redis"
            running.append(on_redis)
            shared = stack.enter_context(
                servers.gochat(directory / "shared", store=f"{redis.url}?prefix=shared", workers=2)
            )
            shared.name = "gochat on Redis, 2 workers"
            running.append(shared)
        if with_peers:
            running += [
                stack.enter_context(start(directory / start.__name__)) for start in irc.installed()
            ]
        crowds = [stack.enter_context(open_crowd(one, directory, people)) for one in running]
        for way in ways(people, scale):
            if not only or way.name in only:
                found = _take_turns(crowds, way, rounds)
                rows = [_row(way, name, these, found[_BARE]) for name, these in found.items()]
                raw: list[Row] = [
                    {"server": name, "round": number, **talked._asdict()}
                    for name, these in found.items()
                    for number, talked in enumerate(these)
                ]
                report.table(f"Talk among {people:,}: {way.name}", rows, raw)


def _take_turns(crowds: Sequence[Crowd], way: Way, rounds: int) -> dict[str, list[Talked]]:
    found: dict[str, list[Talked]] = {crowd.server.name: [] for crowd in crowds}
    for crowd in crowds:  # buffers grow, caches fill
        crowd.talk(way._replace(messages=max(1, way.messages // 20)))
    for number in range(rounds):
        turn = number % len(crowds)
        for crowd in (*crowds[turn:], *crowds[:turn]):
            found[crowd.server.name].append(crowd.talk(way))
    return found


def _row(way: Way, name: str, these: Sequence[Talked], bare: Sequence[Talked]) -> Row:
    def middle(value: Callable[[Talked], float]) -> float:
        return median(map(value, these))

    def ratio(value: Callable[[Talked], float]) -> float:
        return median(value(one) / value(other) for one, other in zip(these, bare, strict=True))

    row: Row = {"server": name}
    if not way.rate:
        row["messages/s"] = middle(lambda one: one.messages / one.seconds)
        if way.kind == "lobby":
            row["k deliveries/s"] = middle(lambda one: one.deliveries / one.seconds / 1e3)
        row["messages/s × bare path"] = ratio(lambda one: 1 / one.seconds)
    return row | {
        "CPU µs a message": middle(lambda one: one.cpu / one.messages * 1e6),
        "CPU × bare path": ratio(lambda one: one.cpu),
        "p50 ms": middle(lambda one: one.p50 * 1e3),
        "p99 ms": middle(lambda one: one.p99 * 1e3),
        "p50 × bare path": ratio(lambda one: one.p50),
        "generator busy": middle(lambda one: one.cpu_generator / one.seconds),
    }
