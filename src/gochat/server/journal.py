"""Rate limits for log lines that peers cause: none is omitted without being counted.

Anyone who can connect can cause events as fast as the network carries them. The first of a kind is
logged at once; those beyond the rate are counted, and the count is logged with the next line of the
kind, or in a line of its own if no more come. Actions of people also have a rate for each address,
so that a peer that logs in and out all the time neither fills the disk nor suppresses the lines of
others.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple, NoReturn

import structlog
import trio

from gochat.chat.health import StoreHealth
from gochat.server.limits import MAX_REMEMBERED, subscriber
from gochat.token_bucket import Buckets, TokenBucket

log = structlog.stdlib.get_logger()


class Rate(NamedTuple):
    """A rate limit of lines: the burst, and per second after that."""

    burst: float
    per_second: float


#: Failures of peers: one example says what it is, the count how often.
REFUSALS: Final = Rate(1, 0.1)
#: Actions of people. Enough for a reconnect storm of this size; after it, a few kilobytes per
#: second.
ACTS: Final = Rate(1000, 20)
#: The same for each kind from one address, times the connections it may have: more than anybody
#: does, and at 16 connections, if they do nothing else, less than 100 bytes per second.
ACTS_OF_ONE: Final = Rate(10, 1 / 60)
#: Seconds between two checks for omitted events that have no line yet.
LOOK_EVERY: Final = 1.0


class _Kind:
    __slots__ = ("bucket", "left_out", "source", "summaries", "total")

    def __init__(self, rate: Rate, now: float) -> None:
        self.bucket = TokenBucket(rate.burst, rate.per_second, now)
        self.summaries = TokenBucket(*REFUSALS, now)
        self.left_out = self.total = 0
        #: The address of the last omitted event, if that address exceeded its rate.
        self.source: str | None = None


class Journal:
    """Decides which events are logged.

    A kind is an event and, for a refusal, its code: both come from the program, so there are few.
    """

    def __init__(self, connections_per_address: int = 1) -> None:
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._sources: Buckets[tuple[str, str]] = Buckets(
            *_of_address(connections_per_address), MAX_REMEMBERED
        )
        #: Ended connections, by their reason.
        self.ended: Counter[str] = Counter()

    def configure(self, connections_per_address: int) -> None:
        """Change how many lines an address may cause."""
        self._sources.configure(*_of_address(connections_per_address), trio.current_time())

    def totals(self) -> dict[tuple[str, str], int]:
        """Return how often each kind of event has happened, logged or not."""
        return {key: kind.total for key, kind in self._kinds.items()}

    def admit(
        self, event: str, code: str = "", *, rate: Rate = REFUSALS, source: str | None = None
    ) -> dict[str, int] | None:
        """Return fields for the line of an event, or None if it must be omitted.

        The fields are how many of its kind were omitted before it, if any. `source` is the address
        that has a rate of its own for this event.
        """
        now = trio.current_time()
        kind = self._kinds.get((event, code))
        if kind is None:
            kind = self._kinds[event, code] = _Kind(rate, now)
        kind.total += 1
        if source is not None:
            source = subscriber(source)
            if self._sources.of((event, source), now).take(now):
                kind.left_out += 1
                kind.source = source
                return None
        if kind.bucket.take(now):
            kind.left_out += 1
            return None
        left_out, kind.left_out, kind.source = kind.left_out, 0, None
        return {"left_out": left_out} if left_out else {}

    def flush(self) -> None:
        """Log the number of omitted events of each kind that may have a line again."""
        now = trio.current_time()
        for (event, code), kind in self._kinds.items():
            if not kind.left_out or kind.summaries.wait(now) or kind.bucket.take(now):
                continue
            kind.summaries.take(now)
            where = {} if kind.source is None else {"address": kind.source}
            log.info("events omitted", of=event, code=code or None, left_out=kind.left_out, **where)
            kind.left_out, kind.source = 0, None


def _of_address(connections: int) -> Rate:
    burst, per_second = ACTS_OF_ONE
    return Rate(connections * burst, connections * per_second)


async def keep(journal: Journal, health: StoreHealth) -> NoReturn:
    """Log the end of outages of the store, and counts of omitted events. Runs for ever."""
    while True:
        await trio.sleep(LOOK_EVERY)
        journal.flush()
        health.look()
