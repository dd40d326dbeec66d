"""Broadcast: people speak in #lobby, everybody else hears them.

All servers run at the same time and take turns, round by round, so that whatever else the machine
does meets all of them; a row has the medians of its rounds. ``× floor`` is the ratio of a round's
time (paced: of its p50) to the floor's of the same round: below 1 is faster than the floor, which
does not coalesce on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmarks import irc, servers
from benchmarks.apart import AudienceApart, open_apart
from benchmarks.audience import Measured
from benchmarks.report import Report, Row, quantile
from benchmarks.servers import Server

EACH: Final = "floor, frame by frame"
SPEAKERS: Final = 50


class Way(NamedTuple):
    """A way of speaking. `rate` 0: as soon as fewer than `in_flight` are unheard."""

    name: str
    messages: int
    in_flight: int = 1
    rate: float = 0.0
    speakers: int = 1


def ways(receivers: int, scale: float) -> list[Way]:
    """The ways, with as many messages as take seconds with so many receivers."""

    def messages(thousands: float) -> int:
        return max(20, int(thousands * 1000 * 1000 / receivers * scale))

    return [
        Way("one at a time", messages(0.2)),
        Way("64 in flight", messages(2), in_flight=64),
        Way("flat out (512 in flight)", messages(4), in_flight=512),
        Way("flat out, 10 speakers", messages(4), in_flight=512, speakers=10),
        Way("flat out, 50 speakers", messages(4), in_flight=512, speakers=50),
        Way("10 a second", max(10, int(30 * scale)), rate=10),
        Way("100 a second", max(50, int(200 * scale)), rate=100),
    ]


def run(
    report: Report,
    directory: Path,
    *,
    receivers: int,
    rounds: int,
    scale: float,
    only: Sequence[str] = (),
    with_peers: bool = False,
    store: str | None = None,
    tls: bool = False,
) -> None:
    """Measure broadcasts to so many receivers, and show the table."""
    with ExitStack() as stack:
        running: list[Server] = [
            stack.enter_context(servers.floor(directory / "floor")),
            stack.enter_context(servers.floor(directory / "each", "each")),
            stack.enter_context(servers.gochat(directory / "gochat", store=store, tls=tls)),
        ]
        if with_peers:
            running += [
                stack.enter_context(start(directory / start.__name__)) for start in irc.installed()
            ]
        audiences = [
            stack.enter_context(open_apart(server, receivers, SPEAKERS)) for server in running
        ]
        kind = " over TLS" if tls else ""
        kind += f" with {store.partition(':')[0]}" if store else ""
        for way in ways(receivers, scale):
            if not only or way.name in only:
                title = f"Broadcast to {receivers:,}{kind}: {way.name}"
                report.table(title, _compare(audiences, way, rounds))


def _compare(audiences: Sequence[AudienceApart], way: Way, rounds: int) -> list[Row]:
    found: dict[str, list[Measured]] = {audience.server.name: [] for audience in audiences}
    for audience in audiences:  # buffers grow, caches fill
        audience.broadcast(min(way.messages, 20), in_flight=way.in_flight)
    for number in range(rounds):
        turn = number % len(audiences)
        for audience in (*audiences[turn:], *audiences[:turn]):
            if way.rate and audience.server.name == EACH:
                continue  # one at a time it is the floor
            if way.speakers > 1 and not audience.server.has_one_order:
                continue  # the audience compares what all receive, byte by byte
            # Written singly, many in flight take as much longer each.
            fewer = 16 if audience.server.name == EACH and way.in_flight > 1 else 1
            found[audience.server.name].append(
                audience.broadcast(
                    max(1, way.messages // fewer),
                    in_flight=way.in_flight,
                    rate=way.rate,
                    speaking=way.speakers,
                )
            )
    return [_row(way, name, these, found["floor"]) for name, these in found.items() if these]


def _row(way: Way, name: str, these: list[Measured], floors: list[Measured]) -> Row:
    def of(values: Iterator[float]) -> float:
        return median(values)

    def ratio(m: Measured, f: Measured) -> float:
        if way.rate:
            return quantile(m.latencies, 0.5) / quantile(f.latencies, 0.5)
        return m.seconds / f.seconds * f.messages / m.messages

    return {
        "server": name,
        "k deliveries/s": None if way.rate else of(m.deliveries / m.seconds / 1e3 for m in these),
        "p50 ms": of(quantile(m.latencies, 0.5) * 1e3 for m in these),
        "p99 ms": of(quantile(m.latencies, 0.99) * 1e3 for m in these),
        "× floor": of(ratio(m, f) for m, f in zip(these, floors, strict=True)),
        "CPU µs each": of(m.cpu / m.deliveries * 1e6 for m in these),
        "CPU × floor": of(
            m.cpu / f.cpu * f.messages / m.messages for m, f in zip(these, floors, strict=True)
        ),
        "messages a read": of(m.deliveries / m.reads for m in these),
        "ack p50": of(quantile(m.acks, 0.5) * 1e3 for m in these) if these[0].acks else None,
        "ack p99": of(quantile(m.acks, 0.99) * 1e3 for m in these) if these[0].acks else None,
        "generator busy": of(m.generator_cpu / m.seconds for m in these),
    }
