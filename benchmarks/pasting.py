"""A pasted page over a slow link: how long until all of it is acknowledged, by the client's window.

A window of one is what waiting for each acknowledgement costs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final
from unittest.mock import patch

import trio

from benchmarks import servers
from benchmarks.report import Report, Row
from benchmarks.servers import PASSWORD, Gochat
from gochat.client import Client, open_client

LINES: Final = 40
PER_SECOND: Final = 20.0
#: Seconds from one end of the link to the other and back.
ROUND_TRIP: Final = 0.2
WINDOWS: Final = (1, 8, 16, 32, 64, 128)
_SETTING: Final = "gochat.client.pipeline.WINDOW"


def run(report: Report, directory: Path, rounds: int) -> None:
    """Paste a page within the rate limit's burst, and one that exceeds it; show the table."""
    rows: list[Row] = []
    for burst in (LINES * 10, LINES // 2):
        place = directory / f"burst{burst}"
        with servers.gochat(place, burst=burst, per_second=PER_SECOND) as server:
            for window in WINDOWS:
                with patch(_SETTING, window):
                    took = trio.run(_measure, server, rounds, LINES / burst)
                rows.append(
                    {
                        "burst": burst,
                        "window": window,
                        "seconds": round(took, 3),
                        "round trips": round(took / ROUND_TRIP, 2),
                    }
                )
    report.table(f"{LINES} pasted lines over {1000 * ROUND_TRIP:.0f} ms", rows)


async def _measure(server: Gochat, rounds: int, used: float) -> float:
    """Return the median time of a page; between two, the limit recovers."""
    async with (
        _link(server.port) as port,
        open_client(f"gochat://127.0.0.1:{port}") as client,
    ):
        name = f"p{trio.current_time():.6f}".replace(".", "-")
        await client.register(name, PASSWORD)
        await client.log_in(name, PASSWORD)
        await client.conversations()
        await trio.sleep(3 * ROUND_TRIP)
        took = []
        for _ in range(rounds):
            took.append(await _paste(client))
            await trio.sleep(LINES / PER_SECOND if used > 1 else 0)
        return median(took)


async def _paste(client: Client) -> float:
    began = trio.current_time()
    outgoing = [client.send("#lobby", f"line {number}") for number in range(LINES)]
    sent = [await one.sent() for one in outgoing]
    took = trio.current_time() - began
    assert [one.seq for one in sent] == [*range(sent[0].seq, sent[0].seq + LINES)]
    return took


@asynccontextmanager
async def _link(target: int) -> AsyncIterator[int]:
    """Open a port that leads to `target`; every byte is half a round trip late, both ways."""

    async def carry(source: trio.SocketStream, sink: trio.SocketStream) -> None:
        put, take = trio.open_memory_channel[tuple[float, bytes]](10_000)

        async def arrive() -> None:
            async for due, data in take:
                await trio.sleep_until(due)
                await sink.send_all(data)
            await sink.send_eof()

        async with trio.open_nursery() as nursery, put:
            nursery.start_soon(arrive)
            async for data in source:
                await put.send((trio.current_time() + ROUND_TRIP / 2, bytes(data)))

    async def accept(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream("127.0.0.1", target)
        try:
            async with far, trio.open_nursery() as nursery:
                nursery.start_soon(carry, near, far)
                nursery.start_soon(carry, far, near)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, accept, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()
