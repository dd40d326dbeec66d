"""The time of the log, where the clock was wrong."""

from __future__ import annotations

import time
from typing import Final

import structlog

log = structlog.stdlib.get_logger()

#: Seconds between two warnings: each conversation that bears a time too far ahead goes back once,
#: and the first of them says all there is to know.
WARN_EVERY: Final = 60.0


class ClockWarnings:
    """Warns that a conversation's time went back, at a bounded rate. Used by one thread."""

    def __init__(self) -> None:
        self._warn_at = 0.0
        self._withheld = 0

    def note(self, ahead: int) -> None:
        """Note that a conversation's time was `ahead` of the clock by too many milliseconds."""
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
