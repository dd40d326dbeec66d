"""What the model holds, in words.

Names and texts of other people are shown as :func:`~gochat.tui.text.sanitise.one_line` returns
them; the log makes its own safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from gochat.client import ConnectionState, Status
from gochat.protocol.messages import MAX_TIME
from gochat.tui.language import _, ngettext, pgettext
from gochat.tui.model.activity import ActivityRow
from gochat.tui.model.chat import ChatModel
from gochat.tui.text.dates import date_and_time, short_date
from gochat.tui.text.sanitise import one_line
from gochat.tui.text.wrap import clusters

#: Characters of a status that are shown, as many as a server allows, and of its emoji.
MAX_STATUS: Final = 80
MAX_SIGN: Final = 32
#: How a sentence ends, in any language.
_ENDS: Final = (".", "!", "?", "。", "！", "？")


def sentence(text: str) -> str:
    """Return an error's text as a sentence: a capital at its start, a full stop at its end."""
    return ended(text[:1].upper() + text[1:])


def ended(text: str) -> str:
    """Return a text that begins as it should, with a name say, with a full stop at its end."""
    return text if text.endswith(_ENDS) else _("{sentence}.", sentence=text)


def because(text: str, reason: str) -> str:
    """Return `text` with what is said about it, a reason or a topic, if there is any."""
    return _("{text}: {reason}", text=text, reason=reason) if reason else text


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
            connected = "" if short else _("connected as {person}", person=one_line(model.me))
            return "●", connected, "good"
        case ConnectionState.CONNECTING:
            return "◌", _("connecting…"), "busy"
        case ConnectionState.RECONNECTING:
            seconds = model.retry_in()
            if seconds is None:
                return "◌", _("reconnecting…"), "busy"
            return "◌", _("reconnecting in {seconds} s", seconds=seconds), "busy"
        case ConnectionState.OFFLINE:
            return "○", _("offline"), "bad"


def quiet_line(model: ChatModel, *, short: bool = False) -> str:
    """Return until when nothing notifies the person; empty if it does."""
    if (until := model.quiet_until) is None:
        return ""
    time = shown_time(until, model.wall_clock())
    if short:
        return _("quiet until {time}", time=time)
    return _("do not disturb until {time}", time=time)


def typing_line(names: Sequence[str]) -> str:
    """Return who is typing, in words."""
    shown = [one_line(name) for name in names]
    match shown:
        case []:
            return ""
        case [first]:
            return _("{person} is typing…", person=first)
        case [first, second]:
            return _("{one} and {other} are typing…", one=first, other=second)
        case _:
            return ngettext(
                "{person} and {n} other are typing…", "{person} and {n} others are typing…",
                len(shown) - 1, person=shown[0],
            )  # fmt: skip


def count(number: int) -> str:
    """Return a number for a badge."""
    return str(number) if number < 1000 else "999+"


def status_line(status: Status, now: float) -> str:
    """Return a status in words: its emoji, its text, and until when."""
    text = " ".join(filter(None, (status_sign(status), status_text(status))))
    if status.until is None:
        return text
    return _("{status} until {time}", status=text, time=shown_time(status.until.timestamp(), now))


def status_sign(status: Status) -> str:
    """Return the emoji of a status, if it is one character in the eyes of a reader."""
    shown = one_line(status.emoji[:MAX_SIGN])
    parts = clusters(shown)
    return shown if len(parts) == 1 and parts[0].cells <= 2 else ""


def status_text(status: Status) -> str:
    """Return the text of a status."""
    return one_line(status.text[:MAX_STATUS])


def span(duration: timedelta) -> str:
    """Return a time span in its largest whole unit: ``30 s``, ``90 min``, ``2 h``, ``7 days``."""
    seconds = int(duration.total_seconds())
    if seconds >= 86400 and seconds % 86400 == 0:
        return ngettext("{n} day", "{n} days", seconds // 86400)
    if seconds >= 3600 and seconds % 3600 == 0:
        return _("{n} h", n=seconds // 3600)
    if seconds >= 60 and seconds % 60 == 0:
        return _("{n} min", n=seconds // 60)
    return _("{n} s", n=seconds)


def shown_time(at: float, now: float) -> str:
    """Return a time to come as people say it: ``07:00``, or with another day ``3 Dec 07:00``.

    Both are in seconds since the Unix epoch.
    """
    local = datetime.fromtimestamp(at, UTC).astimezone()
    is_today = local.date() == datetime.fromtimestamp(now, UTC).astimezone().date()
    return f"{local:%H:%M}" if is_today else date_and_time(local, year=_is_other_year(local, now))


def ago(time: datetime, now: float) -> str:
    """Return how long before `now` (seconds since the Unix epoch) a time was, short: ``5 min``,
    ``3 h``, ``12 Nov``, ``12 Nov 2025``."""
    seconds = max(0, now - time.timestamp())
    if seconds < 60:
        return pgettext("how long ago", "now")
    if seconds < 3600:
        return pgettext("how long ago", "{n} min", n=int(seconds // 60))
    if seconds < 86400:
        return pgettext("how long ago", "{n} h", n=int(seconds // 3600))
    return day(time, now)


def day(time: datetime, now: float) -> str:
    """Return the date of a time as people say it: the year where it is another than that of `now`
    (seconds since the Unix epoch)."""
    local = time.astimezone()
    return short_date(local, year=_is_other_year(local, now))


def _is_other_year(local: datetime, now: float) -> bool:
    return local.year != datetime.fromtimestamp(now, UTC).astimezone().year


def describe(row: ActivityRow) -> str:
    """Return what its sender did, in one line: "replied in #garden"."""
    where = one_line(row.conv)
    about = one_line(row.about)
    match row.kind:
        case "mention":
            is_room = row.conv.startswith("#")
            return _("in {conversation}", conversation=where) if is_room else _("to you")
        case "reply":
            return _("replied in {conversation}", conversation=where)
        case "reaction":
            emoji = one_line(row.text)
            return because(_("reacted {emoji} in {room}", emoji=emoji, room=where), about)
        case "invitation":
            return because(_("invites you to {room}", room=where), one_line(row.text))
        case "report":
            people = one_line(row.text)
            text = _("reports {people} in {conversation}", people=people, conversation=where)
            return because(text, about)
        case "unread":
            return ngettext(
                "{n} unread message", "{n} unread messages", row.number, n=count(row.number)
            )


def report_resolved(report: int) -> str:
    """Return the notice that a report is resolved."""
    return _("Report {id} is resolved.", id=str(report))
