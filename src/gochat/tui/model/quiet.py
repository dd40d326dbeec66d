"""When nothing may notify the person: at hours of the day, or for a while. Pure.

What is in the lists stays as it is; only the bell and the desktop are silent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from gochat.tui.language import _

_HOURS: Final = re.compile(
    r"([01]?[0-9]|2[0-3]):([0-5][0-9]) ?[-–] ?([01]?[0-9]|2[0-3]):([0-5][0-9])"
)
#: In minutes.
_DAY: Final = 24 * 60


def read_hours(text: str) -> tuple[int, int]:
    """Return the minutes of the day at which a span as ``22:00-07:00`` begins and ends.

    Raises:
        ValueError: it is written otherwise, or has no length.
    """
    found = _HOURS.fullmatch(text.strip())
    if found is None:
        raise ValueError(_('write hours as "22:00-07:00", not {text!r}', text=text))
    hour, minute, end_hour, end_minute = map(int, found.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if start == end:
        raise ValueError(_("{text!r} ends when it begins", text=text))
    return start, end


class Quiet:
    """When the person is not to be disturbed. Times are in seconds since the Unix epoch."""

    def __init__(self, hours: Sequence[str] = ()) -> None:
        self.set_hours(hours)
        #: Until when the person has asked for quiet; 0 if they have not.
        self.asked_until = 0.0

    def set_hours(self, hours: Sequence[str]) -> None:
        """Be quiet each day at these hours of this machine's clock. Raises ValueError."""
        self._hours = [read_hours(text) for text in hours]

    def until(self, now: float) -> float | None:
        """Return until when it is quiet, or None if it is not quiet `now`.

        Where one span ends as another begins, that is the end of the first.
        """
        ends = [self.asked_until] if self.asked_until > now else []
        local = datetime.fromtimestamp(now).astimezone()
        minute = local.hour * 60 + local.minute
        for start, end in self._hours:
            if (minute - start) % _DAY < (end - start) % _DAY:
                left = timedelta(minutes=(end - minute) % _DAY)
                ends.append((local.replace(second=0, microsecond=0) + left).timestamp())
        return max(ends, default=None)
