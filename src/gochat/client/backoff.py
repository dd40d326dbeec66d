"""When to retry. Pure: the caller supplies the randomness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: The largest random addition to the delay that the server asks for, as a share of it: it may ask
#: many clients for the same delay at once.
SPREAD: Final = 0.5


class Backoff:
    """Delays that grow with each failure: full jitter, from 0 up to a bound that doubles.

    Times are in seconds. Full jitter (the whole delay is random, not a part of it) spreads a
    thousand clients that lost the same server most evenly over the time in which they come back.
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
        """Start over after a success."""
        self._bound = self._base


def spread(random: Callable[[], float], retry_after: float) -> float:
    """Return a random addition to the delay that the server asks for, so that clients spread."""
    return random() * retry_after * SPREAD
