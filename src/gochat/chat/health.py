"""Whether the store answers, as seen by its callers, and how fast it commits.

Each change of whether it answers is one line in the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog
import trio

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.histogram import SECONDS, SIZES, Histogram

log = structlog.stdlib.get_logger()

#: Seconds without a failure after which the store counts as available again. In a cluster one part
#: may fail while others answer; without this, each answer would be a change.
STEADY: Final = 1.0
#: Reasons that are logged during one outage: for example down, then loading its data, then a
#: replica.
MAX_REASONS: Final = 10


class StoreHealth:
    """Tracks whether the store answers. Used in the Trio thread, except for :meth:`committed`.

    Writing and reading are tracked separately (`channel`): a full disk can be read, and a
    successful read then says nothing about writing.
    """

    def __init__(self) -> None:
        self._failing: dict[str, str] = {}  # the reasons, as clients see them
        self._since: float | None = None
        self._last_failure = 0.0
        self._recovered = 0.0
        self._failures = 0
        self._reasons: set[str] = set()
        #: Failed operations since the start, by channel.
        self.failures: Counter[str] = Counter()
        #: What returns how many operations wait or are carried out, by channel.
        self.queues: list[tuple[str, Callable[[], int]]] = []
        #: Of the commits of all writers: seconds, and how many requests each one carried out.
        self.commit_seconds: Final = Histogram(SECONDS)
        self.commit_sizes: Final = Histogram(SIZES)

    def committed(self, seconds: float, requests: int) -> None:
        """Record a commit. Called by whoever writes, in whatever thread."""
        self.commit_seconds.observe(seconds)
        self.commit_sizes.observe(requests)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the store does not answer now, as clients see it."""
        return tuple(dict.fromkeys(self._failing.values()))

    @property
    def is_available(self) -> bool:
        """False from the first failure until everything has worked again for a moment."""
        return self._since is None

    def failed(self, channel: str, error: StoreUnavailable) -> None:
        """Record a failed operation. Ignores damage, for which the server stops."""
        if isinstance(error, StoreCorrupt):
            return
        now = trio.current_time()
        self._failing[channel] = error.public
        self._last_failure = now
        self._failures += 1
        self.failures[channel] += 1
        if self._since is None:
            self._since = now
        elif error.public in self._reasons or len(self._reasons) >= MAX_REASONS:
            return
        self._reasons.add(error.public)
        log.error("store unavailable", part=channel, reason=str(error))

    def succeeded(self, channel: str) -> None:
        """Record a success. Other channels that failed for the same reason count as recovered."""
        if self._failing and channel in self._failing:
            over = self._failing[channel]
            self._failing = {failing: why for failing, why in self._failing.items() if why != over}
            self._recovered = trio.current_time()

    def look(self) -> None:
        """Log that the store is available again, if it is. Call this about once a second."""
        if (
            self._since is not None
            and not self._failing
            and trio.current_time() - self._last_failure >= STEADY
        ):
            log.warning(
                "store available",
                duration=round(self._recovered - self._since, 3),
                failures=self._failures,
            )
            self._since, self._failures = None, 0
            self._reasons.clear()
