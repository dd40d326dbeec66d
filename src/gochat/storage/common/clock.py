"""The clock of this machine."""

from __future__ import annotations

import time


def wall_clock() -> int:
    """Return the time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
