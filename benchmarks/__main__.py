"""``make bench``: measure everything, print tables, and write them as JSON.

Ratios within one run are what to look at: each scenario measures a floor, or its own rest, in turns
with what it is about, so that they hold on a machine that others use, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import (
    app,
    beside,
    broadcast,
    connections,
    following,
    nodes,
    pasting,
    reading,
    redis_server,
    siege,
    talk,
)
from benchmarks.report import Report

#: Receivers beyond which not all is measured, and the ways that are.
MANY: Final = 5000
FEW_WAYS: Final = ("one at a time", "64 in flight", "flat out (512 in flight)", "10 a second")


def main() -> None:
    """Measure what is asked for."""
    scenarios: dict[str, Callable[[Report, Path, argparse.Namespace], None]] = {
        "broadcast": _broadcast,
        "talk": _talk,
        "requests": _requests,
        "idle": _idle,
        "arrivals": _arrivals,
        "logins": _logins,
        "siege": _siege,
        "slow": _slow,
        "reading": _reading,
        "app": _app,
        "nodes": _nodes,
        "appends": _appends,
        "following": _following,
        "pasting": _pasting,
    }
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("only", nargs="*", help=f"scenarios, of {', '.join(scenarios)}")
    parser.add_argument("--quick", action="store_true", help="in less than a minute")
    parser.add_argument("--peers", action="store_true", help="ergo, ngircd and inspircd, too")
    parser.add_argument("--receivers", type=int, nargs="*", help="sizes of broadcasts")
    parser.add_argument("--connections", type=int, nargs="*", help="numbers of idle connections")
    parser.add_argument("--messages", type=int, help="messages in the log that is read")
    parser.add_argument("--rounds", type=int, help="turns of each server")
    parser.add_argument("--ways", nargs="*", default=[], help="ways of broadcasting or talking")
    parser.add_argument("--store", metavar="URL", help="of broadcasts: a Redis that may be filled")
    parser.add_argument("--tls", action="store_true", help="broadcasts over TLS")
    parser.add_argument("--json", type=Path, default=Path("build/benchmark.json"))
    args = parser.parse_args()
    if unknown := set(args.only) - set(scenarios):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    known = {way.name for way in broadcast.ways(1000, 1)} | {way.name for way in talk.ways(1000, 1)}
    if unknown := set(args.ways) - known:
        parser.error(
            f"there is no way {', '.join(map(repr, sorted(unknown)))}: use one of {sorted(known)}"
        )
    _raise_descriptor_limit()
    report = Report(args.json)
    for name, value in report.environment.items():
        print(f"{name}: {value}")
    for name, scenario in scenarios.items():
        if name in args.only or not args.only:
            with tempfile.TemporaryDirectory(prefix="gochat-bench-") as directory:
                scenario(report, Path(directory), args)
    print(f"\nwritten to {args.json}")


def _broadcast(report: Report, directory: Path, args: argparse.Namespace) -> None:
    run = partial(
        broadcast.run,
        report,
        rounds=args.rounds or (1 if args.quick else 5),
        scale=0.1 if args.quick else 1.0,
    )
    for receivers in args.receivers or ([100] if args.quick else [100, 1000, 10_000]):
        # As many as that are a matter of numbers, and the peers take minutes to let them in.
        with_peers = args.peers and receivers <= MANY
        run(
            directory / str(receivers),
            receivers=receivers,
            only=args.ways or (FEW_WAYS if receivers > MANY else ()),
            with_peers=with_peers,
            store=args.store,
            tls=args.tls,
        )
    if args.receivers or args.store or args.tls or args.quick:
        return
    ways = args.ways or FEW_WAYS
    run(directory / "tls", receivers=1000, only=ways, tls=True)
    with redis_server.redis(directory / "redis") as redis:
        run(directory / "on-redis", receivers=1000, only=ways, store=redis.url)


def _talk(report: Report, directory: Path, args: argparse.Namespace) -> None:
    talk.run(
        report,
        directory,
        people=40 if args.quick else 1000,
        rounds=args.rounds or (1 if args.quick else 5),
        scale=0.1 if args.quick else 1.0,
        only=args.ways,
        with_redis=not args.quick,
        with_peers=args.peers,
    )


def _requests(report: Report, directory: Path, args: argparse.Namespace) -> None:
    people, messages, quiet = (40, 3000, 0.5) if args.quick else (1000, 50_000, 3.0)
    rounds = args.rounds or (1 if args.quick else 5)
    beside.requests(report, directory, people, messages, rounds, quiet)


def _logins(report: Report, directory: Path, args: argparse.Namespace) -> None:
    receivers, seconds = (50, 1.0) if args.quick else (200, 10.0)
    beside.logins(report, directory, receivers, seconds)


def _siege(report: Report, directory: Path, args: argparse.Namespace) -> None:
    people, of, seconds = (
        (40, siege.Siege(guessers=10, logins=20, strangers=500), 2.0)
        if args.quick
        else (200, siege.Siege(guessers=50, logins=250, strangers=10_000), 20.0)
    )
    siege.run(report, directory, people, of, rate=50, seconds=seconds)


def _idle(report: Report, directory: Path, args: argparse.Namespace) -> None:
    sizes = args.connections or ([100] if args.quick else [1000, 15_000])
    connections.idle(report, directory, sizes, whispers=200 if args.quick else 1000)


def _arrivals(report: Report, directory: Path, args: argparse.Namespace) -> None:
    connections.arrivals(report, directory, 200 if args.quick else 5000)


def _slow(report: Report, directory: Path, args: argparse.Namespace) -> None:
    receivers, messages, rounds = (50, 8000, 1) if args.quick else (200, 40_000, 2)
    connections.slow_readers(report, directory, receivers, messages, rounds)


def _reading(report: Report, directory: Path, args: argparse.Namespace) -> None:
    messages = args.messages or (2000 if args.quick else 100_000)
    times = 50 if args.quick else 300
    reading.run(report, directory, messages, times)
    for name, has_engine in ("plain", False), ("engine", True):
        with redis_server.redis(directory / name, has_engine=has_engine) as redis:
            reading.run(report, directory / f"on-{name}", messages, times, redis)


def _nodes(report: Report, directory: Path, args: argparse.Namespace) -> None:
    rounds = args.rounds or (1 if args.quick else 9)
    messages, quiet = (10, 1.0) if args.quick else (100, 20.0)
    for receivers in args.receivers or ([20] if args.quick else [10, 500]):
        nodes.run(report, directory / str(receivers), receivers, messages, rounds, quiet)


def _appends(report: Report, directory: Path, args: argparse.Namespace) -> None:
    rounds = args.rounds or (1 if args.quick else 7)
    nodes.appends(report, directory, 1000 if args.quick else 10_000, rounds)


def _app(report: Report, directory: Path, args: argparse.Namespace) -> None:
    messages = args.messages or (1000 if args.quick else 100_000)
    starts, keys = (1, 10) if args.quick else (10, 400)
    scrolls = not args.quick
    app.run(report, directory, messages=messages, starts=starts, keys=keys, scrolls=scrolls)


def _following(report: Report, directory: Path, args: argparse.Namespace) -> None:
    rounds = args.rounds or (1 if args.quick else 5)
    crowds = [64] if args.quick else [1, 64, 1000]
    following.run(report, directory, 1000 if args.quick else 10_000, rounds, crowds)


def _pasting(report: Report, directory: Path, args: argparse.Namespace) -> None:
    pasting.run(report, directory, rounds=args.rounds or (1 if args.quick else 5))


def _raise_descriptor_limit() -> None:
    if sys.platform != "win32":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
