"""A node that says nothing itself: what it costs to follow what is said elsewhere.

The speakers are in a process of their own: ``python -m benchmarks.following URL CALLERS MESSAGES``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Final

import trio

from benchmarks import redis_server
from benchmarks.appending import SPEAKER, append
from benchmarks.redis_server import Redis
from benchmarks.report import Report, Row
from benchmarks.servers import PATIENCE, cpu_exactly
from gochat.chat.log import Batch
from gochat.storage import open_store


def run(report: Report, directory: Path, messages: int, rounds: int, crowds: Sequence[int]) -> None:
    """Follow with one node, and with four, while so many people speak at once; show the table.

    One who speaks alone says a tenth of the messages.
    """
    rows: list[Row] = []
    with redis_server.redis(directory / "redis") as redis:
        for callers in crowds:
            count = messages if callers > 1 else messages // 10
            found: dict[int, list[_Followed]] = {0: [], 1: [], 4: []}
            for _ in range(rounds):
                for followers, these in found.items():
                    these.append(trio.run(_follow, redis, followers, callers, count))
            rows += [_row(callers, followers, these) for followers, these in found.items()]
    report.table("Following what is appended elsewhere", rows)


class _Followed:
    """One round, for each message: µs of this process and of Redis; and batches."""

    def __init__(self, messages: int, cpu: float, redis: float, batches: int) -> None:
        self.cpu: Final = cpu / messages * 1e6
        self.redis: Final = redis / messages * 1e6
        self.batch: Final = messages / batches if batches else 0.0


def _row(callers: int, followers: int, these: list[_Followed]) -> Row:
    return {
        "callers": callers,
        "followers": followers,
        "CPU µs each": median(one.cpu for one in these) / followers if followers else None,
        "entries a batch": median(one.batch for one in these) if followers else None,
        "Redis CPU µs each": median(one.redis for one in these),
    }


async def _follow(redis: Redis, followers: int, callers: int, messages: int) -> _Followed:
    seen, batches = [0] * followers, 0
    done = [trio.Event() for _ in range(followers)]

    def follow(number: int) -> Callable[[Batch], None]:
        def deliver(batch: Batch) -> None:
            nonlocal batches
            batches += number == 0
            seen[number] += len(batch.entries)
            if seen[number] >= messages:
                done[number].set()

        return deliver

    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store(redis.url)) for _ in range(followers)]
        async with trio.open_nursery() as nursery:
            for number, store in enumerate(stores):
                await nursery.start(store.follow, follow(number))
            own, its = cpu_exactly(os.getpid()), redis.cpu_exactly
            command = [sys.executable, "-m", "benchmarks.following", redis.url]
            await trio.run_process([*command, str(callers), str(messages)])
            with trio.fail_after(PATIENCE):
                for event in done:
                    await event.wait()
            own, its = cpu_exactly(os.getpid()) - own, redis.cpu_exactly - its
            nursery.cancel_scope.cancel()
    return _Followed(messages, own, its, batches)


async def _speak(url: str, callers: int, messages: int) -> None:
    async with open_store(url) as store:
        await store.create_account(SPEAKER)
        await append(store, callers, messages)


if __name__ == "__main__":
    trio.run(_speak, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
