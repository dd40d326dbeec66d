"""How late the event loop is: everything that anybody waits for is late by as much."""

from __future__ import annotations

from typing import Final, NoReturn

import trio

from gochat.histogram import Histogram

#: Seconds between two measurements. A stall of that length is seen by every second scrape, and
#: measuring costs less than a ten-thousandth of a core.
EVERY: Final = 0.25


async def measure(lag: Histogram) -> NoReturn:
    """Record by how many seconds a sleep ends too late, for ever."""
    while True:
        due = trio.current_time() + EVERY
        await trio.sleep_until(due)
        lag.observe(max(0.0, trio.current_time() - due))
