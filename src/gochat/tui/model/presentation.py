"""What the model holds, in words.

Names and texts of other people are shown as :func:`~gochat.tui.text.sanitise.one_line` returns
them; the log makes its own safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from gochat.client import ConnectionState
from gochat.protocol.messages import MAX_TIME
from gochat.tui.model.activity import ActivityRow
from gochat.tui.model.chat import ChatModel
from gochat.tui.text.sanitise import one_line


def sentence(text: str) -> str:
    """Return an error's text as a sentence: a capital at its start, a full stop at its end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def moment(ts: int) -> datetime:
    """Return a time (milliseconds since the Unix epoch) as a date; a later one as the last.

    It is in this machine's zone, with the offset from UTC that the zone has at that time: in winter
    a message of the summer is shown with the time at which it was read then.
    """
    return datetime.fromtimestamp(min(max(ts, 0), MAX_TIME) / 1000, UTC).astimezone()


def connection_line(model: ChatModel, *, short: bool = False) -> tuple[str, str, str]:
    """Return how the connection is: a sign, a text, and ``good``, ``busy`` or ``bad``.

    The `short` text leaves out who is connected. Who can read what is sent is added by
    :class:`~gochat.tui.widgets.status_bar.StatusBar`.
    """
    connection = model.connection
    match connection.state:
        case ConnectionState.CONNECTED:
            return "●", "" if short else f"connected as {one_line(model.me)}", "good"
        case ConnectionState.CONNECTING:
            return "◌", "connecting…", "busy"
        case ConnectionState.RECONNECTING:
            seconds = model.retry_in()
            if seconds is None:
                return "◌", "reconnecting…", "busy"
            return "◌", f"reconnecting in {seconds} s", "busy"
        case ConnectionState.OFFLINE:
            return "○", "offline", "bad"


def quiet_line(model: ChatModel, *, short: bool = False) -> str:
    """Return until when nothing notifies the person; empty if it does."""
    if (until := model.quiet_until) is None:
        return ""
    time = shown_time(until, model.wall_clock())
    return f"quiet until {time}" if short else f"do not disturb until {time}"


def typing_line(names: Sequence[str]) -> str:
    """Return who is typing, in words."""
    shown = [one_line(name) for name in names]
    match shown:
        case []:
            return ""
        case [first]:
            return f"{first} is typing…"
        case [first, second]:
            return f"{first} and {second} are typing…"
        case _:
            return f"{shown[0]} and {len(shown) - 1} others are typing…"


def count(number: int) -> str:
    """Return a number for a badge."""
    return str(number) if number < 1000 else "999+"


def span(duration: timedelta) -> str:
    """Return a time span in its largest whole unit: ``30 s``, ``90 min``, ``2 h``, ``7 days``."""
    seconds = int(duration.total_seconds())
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            number = seconds // size
            return "1 day" if (number, unit) == (1, "days") else f"{number} {unit}"
    return f"{seconds} s"


def shown_time(at: float, now: float) -> str:
    """Return a time to come as people say it: ``07:00``, or with another day ``3 Dec 07:00``.

    Both are in seconds since the Unix epoch.
    """
    local = datetime.fromtimestamp(at, UTC).astimezone()
    is_today = local.date() == datetime.fromtimestamp(now, UTC).astimezone().date()
    return f"{local:%H:%M}" if is_today else f"{day(local, now)} {local:%H:%M}"


def ago(time: datetime, now: float) -> str:
    """Return how long before `now` (seconds since the Unix epoch) a time was, short: ``5 min``,
    ``3 h``, ``12 Nov``, ``12 Nov 2025``."""
    seconds = max(0, now - time.timestamp())
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    if seconds < 86400:
        return f"{seconds // 3600:.0f} h"
    return day(time, now)


def day(time: datetime, now: float) -> str:
    """Return the date of a time as people say it: the year where it is another than that of `now`
    (seconds since the Unix epoch)."""
    local = time.astimezone()
    is_this_year = local.year == datetime.fromtimestamp(now, UTC).astimezone().year
    return f"{local.day} {local:%b}" + ("" if is_this_year else f" {local.year}")


def describe(row: ActivityRow) -> str:
    """Return what its sender did, in one line: "replied in #garden"."""
    where = one_line(row.conv)
    about = one_line(row.about)
    match row.kind:
        case "mention":
            return f"in {where}" if row.conv.startswith("#") else "to you"
        case "reply":
            return f"replied in {where}"
        case "reaction":
            return f"reacted {one_line(row.text)} in {where}" + (f": {about}" if about else "")
        case "invitation":
            topic = one_line(row.text)
            return f"invites you to {where}" + (f": {topic}" if topic else "")
        case "unread":
            return "1 unread message" if row.number == 1 else f"{count(row.number)} unread messages"
