"""What people write as their status: ``:palm: on holiday until 18:00``. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gochat.tui.input.commands import duration
from gochat.tui.input.emoji import with_emoji
from gochat.tui.language import N_, _
from gochat.tui.text.wrap import clusters

#: How long a status may be kept.
LONGEST: Final = timedelta(days=365)
_UNTIL: Final = re.compile(r"(?:^|\s)until ([01]?[0-9]|2[0-3]):([0-5][0-9])$")
_FOR: Final = re.compile(r"(?:^|\s)for ([0-9]+[smhdw])$")
_KEYCAP: Final = "\u20e3"


@dataclass(frozen=True, slots=True)
class NewStatus:
    """A status to be set: an emoji, a text, or both; for how long, None: until it is cleared."""

    emoji: str
    text: str
    duration: timedelta | None = None

    @property
    def shown(self) -> str:
        """The emoji and the text."""
        return " ".join(filter(None, (self.emoji, self.text)))


def read(text: str, now: datetime) -> NewStatus | None:
    """Return the status that a text means at a local time; None if nothing is left of it.

    It may begin with an emoji, or the name of one between colons, and end with ``until 18:00`` or
    ``for 2h``.
    """
    text = " ".join(with_emoji(text).split())
    time = None
    if found := _UNTIL.search(text):
        time = until(now, int(found[1]), int(found[2]))
    elif (found := _FOR.search(text)) and (time := duration(found[1])) and time > LONGEST:
        time = None
    if found and time is not None:
        text = text[: found.start()].rstrip()
    emoji, _gap, rest = text.partition(" ")
    if not is_emoji(emoji):
        emoji, rest = "", text
    return NewStatus(emoji, rest.strip(), time) if emoji or rest else None


def until(now: datetime, hour: int, minute: int) -> timedelta:
    """Return how long it is from a local time until the clock shows this."""
    there = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if there <= now:
        there += timedelta(days=1)
    # By the clock on the wall: the day may have 23 or 25 hours.
    there = there.replace(tzinfo=None).astimezone(None)
    return timedelta(seconds=round((there - now).total_seconds()))


def is_emoji(text: str) -> bool:
    """Return whether a text is one emoji; a server knows better."""
    if not text or len(clusters(text)) != 1:
        return False
    return unicodedata.category(text[0]) == "So" or _KEYCAP in text


#: What is offered: an emoji, a text, and how long: minutes, None until it is cleared, 0 for today.
_OFFERED: Final = (
    ("📅", N_("In a meeting"), 60),
    ("🍽️", N_("At lunch"), 60),
    ("🎧", N_("Focusing"), 120),
    ("🚌", N_("On my way"), 30),
    ("🏠", N_("Working from home"), 0),
    ("🤒", N_("Off sick"), 0),
    ("🌴", N_("On holiday"), None),
)
_TIMES: Final = (None, 30, 60, 240, 0)


def _time(minutes: int | None, now: datetime) -> timedelta | None:
    if minutes is None:
        return None
    return timedelta(minutes=minutes) if minutes else until(now, 23, 59)


def offered(now: datetime) -> list[NewStatus]:
    """Return what many people say, in the person's language."""
    return [NewStatus(emoji, _(text), _time(time, now)) for emoji, text, time in _OFFERED]


def with_times(new: NewStatus, now: datetime) -> list[NewStatus]:
    """Return a status with the times that it may last; only with its own, if it has one."""
    if new.duration is not None:
        return [new]
    return [NewStatus(new.emoji, new.text, _time(time, now)) for time in _TIMES]
