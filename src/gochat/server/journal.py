"""Lines in the log that peers cause: each kind at a bounded rate, and none lost uncounted.

Whoever can connect can cause events as fast as the network carries them. The first of a kind is
logged at once; what comes too fast after it is counted, and the count is logged with the next line
of the kind, or by itself when no more come.
"""

from __future__ import annotations

from typing import Final, NamedTuple, NoReturn

import structlog
import trio

from gochat.chat.health import StoreHealth
from gochat.chat.rate import TokenBucket

log = structlog.stdlib.get_logger()


class Rate(NamedTuple):
    """So many lines at once, and per second after that."""

    burst: float
    per_second: float


#: What goes wrong for a peer: one example tells what it is, the count how often.
REFUSALS: Final = Rate(1, 0.1)
#: What people do. All of a reconnect storm of so many; after it, a few kilobytes per second.
ACTS: Final = Rate(1000, 20)
#: Seconds between two looks for what was left out and has no line yet.
LOOK_EVERY: Final = 1.0


class _Kind:
    __slots__ = ("bucket", "left_out")

    def __init__(self, rate: Rate, now: float) -> None:
        self.bucket = TokenBucket(rate.burst, rate.per_second, now)
        self.left_out = 0


class Journal:
    """Says which events are to be logged. A kind is an event and, of a refusal, its code: both are
    the program's own words, so there are few."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def admit(self, event: str, code: str = "", *, rate: Rate = REFUSALS) -> dict[str, int] | None:
        """Return None if an event is not to be logged, or fields for its line: how many of its
        kind were left out before it, if any were."""
        now = trio.current_time()
        kind = self._kinds.get((event, code))
        if kind is None:
            kind = self._kinds[event, code] = _Kind(rate, now)
        if kind.bucket.take(now):
            kind.left_out += 1
            return None
        left_out, kind.left_out = kind.left_out, 0
        return {"left_out": left_out} if left_out else {}

    def flush(self) -> None:
        """Log how many were left out of each kind that may have a line again."""
        now = trio.current_time()
        for (event, code), kind in self._kinds.items():
            if kind.left_out and not kind.bucket.take(now):
                log.info("events left out", of=event, code=code or None, left_out=kind.left_out)
                kind.left_out = 0


async def keep(journal: Journal, health: StoreHealth) -> NoReturn:
    """Log what is over: an outage of the store, a flood of events. For ever."""
    while True:
        await trio.sleep(LOOK_EVERY)
        journal.flush()
        health.look()
