"""When to try again, and how fast to go. Pure: the caller brings the time and the dice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: What is to be sent waits for the limits that a server announced no longer than this (seconds): if
#: it is too early, the server says so.
MAX_PACE: Final = 60.0


class Backoff:
    """Delays that grow with each failure: full jitter, from 0 up to a bound that doubles.

    Full jitter (the whole delay is random, not a part of it) spreads a thousand clients that lost
    the same server most evenly over the time in which they come back.
    """

    def __init__(self, base: float, cap: float, random: Callable[[], float]) -> None:
        self._base = base
        self._cap = cap
        self._random = random
        self._bound = base

    def next(self) -> float:
        """Return the next delay in seconds."""
        delay = self._random() * self._bound
        self._bound = min(self._cap, self._bound * 2)
        return delay

    def reset(self) -> None:
        """Start over: it worked."""
        self._bound = self._base


class Pace:
    """A token bucket as the server's, to stay within its limit instead of being refused.

    The server's word is what counts: this one only saves round trips, so it may be wrong about
    what other sessions of the account have used up.
    """

    def __init__(self, burst: int, per_second: float, now: float) -> None:
        self._burst = float(max(burst, 1))
        self._per_second = per_second
        self._tokens = self._burst
        self._filled = now

    def wait(self, now: float) -> float:
        """Return the seconds until the next one may go."""
        self._fill(now)
        if self._tokens >= 1 or self._per_second <= 0:
            return 0.0
        return min((1 - self._tokens) / self._per_second, MAX_PACE)

    def spend(self, now: float) -> None:
        """Count one that goes now, whether it waited or not."""
        self._fill(now)
        self._tokens = max(self._tokens - 1, -self._burst)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
