"""The time of log entries when the clock was wrong."""

from __future__ import annotations

import time
from typing import Final

import structlog

log = structlog.stdlib.get_logger()

#: Seconds between two warnings. Each conversation with a time too far ahead is set back once, and
#: the first warning is enough.
WARN_EVERY: Final = 60.0


class ClockWarnings:
    """Warn, at a bounded rate, that a conversation's time was set back. Used by one thread."""

    def __init__(self) -> None:
        self._warn_at = 0.0
        self._withheld = 0

    def note(self, ahead: int) -> None:
        """Record that a conversation's time was `ahead` of the clock by too many milliseconds."""
        now = time.monotonic()
        if now < self._warn_at:
            self._withheld += 1
            return
        log.warning(
            "conversation time set back to the clock",
            ahead=f"{ahead / 1000:.0f} s",
            reason="the clock was ahead when the last entry was written, or is behind now",
            withheld=self._withheld,
        )
        self._warn_at, self._withheld = now + WARN_EVERY, 0
