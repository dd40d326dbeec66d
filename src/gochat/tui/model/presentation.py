"""What the model holds, in the words and forms in which it is shown. Pure but for the log's items.

Names and texts of others go to the log as they are: it makes them safe. Everything else that shows
them goes through :func:`~gochat.tui.text.sanitise.one_line`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

from gochat.client import ConnectionState
from gochat.protocol.messages import MAX_TIME
from gochat.tui.chat_log import LogMessage, LogNotice, Reaction
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.text.sanitise import one_line

_EXCERPT: Final = 120


def sentence(text: str) -> str:
    """Return an error's text as a sentence: a capital at its start, a full stop at its end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def local_zone() -> tzinfo:
    """Return the time zone of this machine."""
    return datetime.now().astimezone().tzinfo or UTC


def moment(ts: int, zone: tzinfo) -> datetime:
    """Return a time (milliseconds since the Unix epoch) as a date; a later one as the last."""
    return datetime.fromtimestamp(min(max(ts, 0), MAX_TIME) / 1000, zone)


def item(entry: TimelineEntry, me: str, zone: tzinfo) -> LogMessage | LogNotice:
    """Return an entry of the timeline as the log shows it."""
    at = moment(entry.ts, zone)
    if entry.kind != "text":
        return _notice(entry, me, at)
    reply = None
    if entry.reply is not None:
        sender, text = entry.reply
        reply = (sender, text[:_EXCERPT]) if sender else ("", "an earlier message")
    return LogMessage(
        key=entry.key,
        sender=entry.sender,
        text=entry.text,
        time=at,
        own=entry.own,
        state=entry.state,
        edited=entry.edited is not None,
        deleted=entry.deleted,
        mention=entry.mention,
        reactions=tuple(
            Reaction(emoji, tally.count, tally.me) for emoji, tally in entry.reactions.items()
        ),
        reply=reply,
        error=entry.error,
    )


def _notice(entry: TimelineEntry, me: str, at: datetime) -> LogNotice:
    who = "you" if entry.sender == me else entry.sender
    subject = "you" if entry.text == me else entry.text
    group: str | None = None
    match entry.kind:
        case "presence":
            group = "came online" if entry.text == "online" else "went offline"
            text = f"{who} {group}"
        case "join" | "leave":
            group = "joined" if entry.kind == "join" else "left"
            text = f"{who} {group}"
        case "create":
            kind = "private " if entry.text == "private" else ""
            text = f"{who} created this {kind}room"
        case "invite":
            text = f"{who} invited {subject}"
        case "kick":
            text = f"{who} removed {subject}"
        case "topic":
            text = (
                f"{who} set the topic: {entry.text}" if entry.text else f"{who} took the topic away"
            )
        case "operator":
            text = f"{who} made {subject} an operator"
        case "member":
            text = f"{who} made {subject} a member without operator rights"
        case "access":
            text = f"{who} made this room {entry.text}"
        case "history" if entry.text == "hidden":
            text = f"{who} hid earlier messages from those who join from now on"
        case "history":
            text = f"{who} let those who join read messages from here on"
        case "hidden":
            text = "Messages before you joined are hidden"
        case _:
            text = entry.text
    return LogNotice(key=entry.key, time=at, text=text, group=group, who=entry.sender)


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


def ago(ts: int, now: float | None = None) -> str:
    """Return how long ago something was, short: ``5 min``, ``3 h``, ``12 Nov``."""
    seconds = max(0, (time.time() if now is None else now) - ts / 1000)
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    if seconds < 86400:
        return f"{seconds // 3600:.0f} h"
    return moment(ts, local_zone()).strftime("%d %b")
