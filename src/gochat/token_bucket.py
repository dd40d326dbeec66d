"""A token bucket, for the server's rate limits and the client's pacing.

Pure: the caller passes the present time, in seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import Final, Generic, TypeVar

from gochat.errors import ChatError, ErrorCode

#: The part of a token that may be missing: a client that returns at the very moment it was given
#: must not be refused for a rounding error. It is owed, so the rate stays the same.
ROUNDING: Final = 1e-3

K = TypeVar("K")


class TokenBucket:
    """Allows `burst` at once, and `per_second` after that."""

    __slots__ = ("_burst", "_per_second", "_tokens", "_updated")

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = burst
        self._updated = now

    def configure(self, burst: float, per_second: float, now: float) -> None:
        """Change the settings from now on. What is there stays, up to the new burst."""
        self.wait(now)
        self._burst = burst
        self._per_second = per_second
        self._tokens = min(burst, self._tokens)

    def take(self, now: float, tokens: float = 1.0) -> float:
        """Take tokens and return 0, or take none and return the seconds until there is one.

        While there is one, more may be taken than there are: the missing ones are owed.
        """
        wait = self.wait(now)
        if not wait:
            self._tokens -= tokens
        return wait

    def wait(self, now: float) -> float:
        """Return the seconds until there is a token, and take none."""
        if now != self._updated:
            elapsed = now - self._updated
            self._tokens = min(self._burst, self._tokens + elapsed * self._per_second)
            self._updated = now
        if self._tokens >= 1 - ROUNDING:
            return 0.0
        return (1 - self._tokens) / self._per_second

    def give_back(self, tokens: float = 1.0) -> None:
        """Undo a :meth:`take` or :meth:`charge` that turned out to cost nothing."""
        self._tokens = min(self._burst, self._tokens + tokens)

    def charge(self, now: float, tokens: float = 1.0, *, max_debt: float = inf) -> None:
        """Take tokens, even if they are missing: the missing ones are owed, up to `max_debt`."""
        self.wait(now)
        self._tokens = max(self._tokens - tokens, -max_debt)

    @property
    def full_at(self) -> float:
        """When the bucket will be full again."""
        return self._updated + (self._burst - self._tokens) / self._per_second

    def refused(self, now: float) -> ChatError | None:
        """Take one token and return None, or return the error with the time to wait."""
        wait = self.take(now)
        if not wait:
            return None
        return ChatError(
            ErrorCode.RATE_LIMITED,
            f"too fast: try again in {wait:.1f} s",
            retry_after=wait,
            details={"limit": "per_second"},
        )


class Buckets(Generic[K]):
    """Buckets with the same settings, one for each key.

    With more than `max_remembered` keys the one that was unused for longest is forgotten, as if its
    bucket were full.
    """

    def __init__(self, burst: float, per_second: float, max_remembered: int) -> None:
        self._burst = burst
        self._per_second = per_second
        self._max_remembered = max_remembered
        self._buckets: OrderedDict[K, TokenBucket] = OrderedDict()

    def configure(self, burst: float, per_second: float, now: float) -> None:
        """Change the settings of all buckets: :meth:`TokenBucket.configure`."""
        self._burst = burst
        self._per_second = per_second
        for bucket in self._buckets.values():
            bucket.configure(burst, per_second, now)

    def of(self, key: K, now: float) -> TokenBucket:
        """Return the bucket of a key."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._burst, self._per_second, now)
            if len(self._buckets) > self._max_remembered:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket
