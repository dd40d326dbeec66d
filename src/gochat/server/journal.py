"""Lines in the log that peers cause: each kind at a bounded rate, and none lost uncounted.

Whoever can connect can cause events as fast as the network carries them. The first of a kind is
logged at once; what comes too fast after it is counted, and the count is logged with the next line
of the kind, or by itself when no more come. What people do has a rate for each address besides, so
that whoever logs in and out all the time neither fills the disk nor keeps out the lines of others.
"""

from __future__ import annotations

from typing import Final, NamedTuple, NoReturn

import structlog
import trio

from gochat.chat.health import StoreHealth
from gochat.server.limits import MAX_REMEMBERED, subscriber
from gochat.token_bucket import Buckets, TokenBucket

log = structlog.stdlib.get_logger()


class Rate(NamedTuple):
    """So many lines at once, and per second after that."""

    burst: float
    per_second: float


#: What goes wrong for a peer: one example says what it is, the count how often.
REFUSALS: Final = Rate(1, 0.1)
#: What people do. All of a reconnect storm of so many; after it, a few kilobytes per second.
ACTS: Final = Rate(1000, 20)
#: Of these, of each kind from one address, for each connection that it may have: more than anybody
#: does, and from 16 connections that do nothing else less than 100 bytes per second.
ACTS_OF_ONE: Final = Rate(10, 1 / 60)
#: Seconds between two looks for what was left out and has no line yet.
LOOK_EVERY: Final = 1.0


class _Kind:
    __slots__ = ("bucket", "left_out", "source", "summaries")

    def __init__(self, rate: Rate, now: float) -> None:
        self.bucket = TokenBucket(rate.burst, rate.per_second, now)
        self.summaries = TokenBucket(*REFUSALS, now)
        self.left_out = 0
        #: Where the last one that was left out came from, if from an address that had its share.
        self.source: str | None = None


class Journal:
    """Says which events are to be logged. A kind is an event and, of a refusal, its code: both are
    the program's own words, so there are few."""

    def __init__(self, connections_per_address: int = 1) -> None:
        self._kinds: dict[tuple[str, str], _Kind] = {}
        burst, per_second = (connections_per_address * part for part in ACTS_OF_ONE)
        self._sources: Buckets[tuple[str, str]] = Buckets(burst, per_second, MAX_REMEMBERED)

    def admit(
        self, event: str, code: str = "", *, rate: Rate = REFUSALS, source: str | None = None
    ) -> dict[str, int] | None:
        """Return None if an event is not to be logged, or fields for its line: how many of its
        kind were left out before it, if any were. `source`: the address that has a rate of its own
        for this event."""
        now = trio.current_time()
        kind = self._kinds.get((event, code))
        if kind is None:
            kind = self._kinds[event, code] = _Kind(rate, now)
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
        """Log how many were left out of each kind that may have a line again."""
        now = trio.current_time()
        for (event, code), kind in self._kinds.items():
            if not kind.left_out or kind.summaries.wait(now) or kind.bucket.take(now):
                continue
            kind.summaries.take(now)
            where = {} if kind.source is None else {"address": kind.source}
            log.info("events omitted", of=event, code=code or None, left_out=kind.left_out, **where)
            kind.left_out, kind.source = 0, None


async def keep(journal: Journal, health: StoreHealth) -> NoReturn:
    """Log what is over: an outage of the store, a flood of events. For ever."""
    while True:
        await trio.sleep(LOOK_EVERY)
        journal.flush()
        health.look()
