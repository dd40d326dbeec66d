"""Entries of a timeline as items of the chat log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from gochat.protocol.text import is_mentioned
from gochat.tui.chat_log import LogMessage, LogNotice, Reaction
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.model.highlights import Highlights
from gochat.tui.model.presentation import moment, span

_EXCERPT: Final = 120
_NONE: Final = Highlights()


def log_item(
    entry: TimelineEntry, me: str, highlights: Highlights = _NONE
) -> LogMessage | LogNotice:
    """Return an entry of the timeline as the log shows it to `me`, whose `highlights` count as
    mentions.

    Names and texts are as they were received: the log makes them safe.
    """
    at = moment(entry.ts)
    if entry.kind != "text":
        return _notice(entry, me, at)
    reply = None
    if entry.reply is not None:
        sender, text = entry.reply
        reply = (sender, text[:_EXCERPT]) if sender else ("", "an earlier message")
    return LogMessage(
        key=entry.key,
        sender=entry.sender,
        # The header stays: anybody can type the line that an action reads as.
        text=f"\\* {entry.sender} {entry.text}" if entry.form == "action" else entry.text,
        time=at,
        own=entry.own,
        state=entry.state,
        edited=entry.edited is not None,
        deleted=entry.deleted,
        mention=not entry.own
        and (is_mentioned(me, entry.mentions) or highlights.are_in(entry.text)),
        mentions=entry.mentions,
        reactions=tuple(
            Reaction(emoji, tally.count, tally.me) for emoji, tally in entry.reactions.items()
        ),
        reply=reply,
        error=entry.error,
        dim=entry.form == "notice",
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
            text = f"{who} {group}{_because(entry)}"
            if entry.reason:
                group = None  # its reason is shown, so it stands alone
        case "pin" | "unpin":
            _, quoted = entry.reply or ("", "")
            excerpt = " ".join(quoted[:_EXCERPT].split())
            what = f": {excerpt}" if excerpt else " a message"
            text = f"{who} {'pinned' if entry.kind == 'pin' else 'unpinned'}{what}"
        case "create":
            kind = "private " if entry.text == "private" else ""
            text = f"{who} created this {kind}room"
        case "invite":
            text = f"{who} invited {subject}"
        case "kick":
            text = f"{who} removed {subject}{_because(entry)}"
        case "ban":
            time = f" for {span(entry.duration)}" if entry.duration is not None else ""
            text = f"{who} banned {subject}{time}{_because(entry)}"
        case "unban":
            text = f"{who} lifted the ban of {subject}"
        case "slow" if entry.text == "0":
            text = f"{who} ended slow mode"
        case "slow":
            text = (
                f"{who} set slow mode: one message every {span(timedelta(seconds=int(entry.text)))}"
            )
        case "announcements" if entry.text == "on":
            text = f"{who} let only operators write here"
        case "announcements":
            text = f"{who} let everybody here write"
        case "archive":
            text = (
                f"{who} archived this room"
                if entry.text == "on"
                else (f"{who} brought this room back from the archive")
            )
        case "hand_over":
            text = f"{who} became an operator, appointed by who runs the server"
        case "decline":
            text = f"{who} declined the invitation"
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
        case "removed":
            text = "Earlier messages are no longer kept"
        case _:
            text = entry.text
    return LogNotice(key=entry.key, time=at, text=text, group=group, who=entry.sender)


def _because(entry: TimelineEntry) -> str:
    return f": {entry.reason}" if entry.reason else ""
