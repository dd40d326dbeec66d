"""Entries of a timeline as items of the chat log."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from gochat.protocol.text import is_mentioned
from gochat.tui.chat_log import LogMessage, LogNotice, Reaction
from gochat.tui.language import N_, _, pgettext
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.model.highlights import Highlights
from gochat.tui.model.presentation import because, moment, span

_EXCERPT: Final = 120
_NONE: Final = Highlights()


def log_item(
    entry: TimelineEntry, me: str, highlights: Highlights = _NONE, blocked: Collection[str] = ()
) -> LogMessage | LogNotice:
    """Return an entry of the timeline as the log shows it to `me`, whose `highlights` count as
    mentions, and who blocks those in `blocked`.

    Names and texts are as they were received: the log makes them safe.
    """
    at = moment(entry.ts)
    if entry.kind != "text":
        return _notice(entry, me, at, blocked)
    reply = None
    if entry.reply is not None:
        sender, text = entry.reply
        reply = (sender, text[:_EXCERPT]) if sender else ("", _("an earlier message"))
    return LogMessage(
        key=entry.key,
        sender=entry.sender,
        # The header stays: anybody can type the line that an action reads as.
        text=f"\\* {entry.sender} {entry.text}" if entry.form == "action" else entry.text,
        time=at,
        own=entry.own,
        state=entry.state,
        edited=entry.edited is not None,
        pinned=entry.pinned,
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


def _notice(entry: TimelineEntry, me: str, at: datetime, blocked: Collection[str]) -> LogNotice:
    who = _("you") if entry.sender == me else entry.sender
    subject = pgettext("somebody does it to you", "you") if entry.text == me else entry.text
    group: str | None = None
    match entry.kind:
        case "presence":
            group = N_("came online") if entry.text == "online" else N_("went offline")
            text = _("{who} {did}", who=who, did=_(group))
        case "join" | "leave":
            group = N_("joined") if entry.kind == "join" else N_("left")
            text = because(_("{who} {did}", who=who, did=_(group)), entry.reason)
            if entry.reason:
                group = None  # its reason is shown, so it stands alone
        case "pin" | "unpin":
            text = _pinning(entry, who, blocked)
        case "create":
            text = (
                _("{who} created this private room", who=who)
                if entry.text == "private"
                else _("{who} created this room", who=who)
            )
        case "invite":
            text = _("{who} invited {whom}", who=who, whom=subject)
        case "kick":
            text = because(_("{who} removed {whom}", who=who, whom=subject), entry.reason)
        case "ban":
            text = because(_ban(entry, who, subject), entry.reason)
        case "unban":
            text = _("{who} lifted the ban of {whom}", who=who, whom=subject)
        case "slow" if entry.text == "0":
            text = _("{who} ended slow mode", who=who)
        case "slow":
            time = span(timedelta(seconds=int(entry.text)))
            text = _("{who} set slow mode: one message every {time}", who=who, time=time)
        case "announcements" if entry.text == "on":
            text = _("{who} let only operators write here", who=who)
        case "announcements":
            text = _("{who} let everybody here write", who=who)
        case "archive":
            text = (
                _("{who} archived this room", who=who)
                if entry.text == "on"
                else _("{who} brought this room back from the archive", who=who)
            )
        case "hand_over":
            text = _("{who} became an operator, appointed by the admins of the server", who=who)
        case "decline":
            text = _("{who} declined the invitation", who=who)
        case "topic":
            text = (
                _("{who} set the topic: {topic}", who=who, topic=entry.text)
                if entry.text
                else _("{who} took the topic away", who=who)
            )
        case "operator":
            text = _("{who} made {whom} an operator", who=who, whom=subject)
        case "member":
            text = _("{who} made {whom} a member without operator rights", who=who, whom=subject)
        case "access":
            text = (
                _("{who} made this room private", who=who)
                if entry.text == "private"
                else _("{who} made this room public", who=who)
            )
        case "history" if entry.text == "hidden":
            text = _("{who} hid earlier messages from those who join from now on", who=who)
        case "history":
            text = _("{who} let those who join read messages from here on", who=who)
        case "hidden":
            text = _("Messages before you joined are hidden")
        case "removed":
            text = _("Earlier messages are no longer kept")
        case _:
            text = entry.text
    return LogNotice(key=entry.key, time=at, text=text, group=group, who=entry.sender)


def _pinning(entry: TimelineEntry, who: str, blocked: Collection[str]) -> str:
    quoted = "" if entry.reply is None or entry.reply[0] in blocked else entry.reply[1]
    excerpt = " ".join(quoted[:_EXCERPT].split())
    if entry.kind == "pin":
        if excerpt:
            return _("{who} pinned: {text}", who=who, text=excerpt)
        return _("{who} pinned a message", who=who)
    if excerpt:
        return _("{who} unpinned: {text}", who=who, text=excerpt)
    return _("{who} unpinned a message", who=who)


def _ban(entry: TimelineEntry, who: str, whom: str) -> str:
    if entry.duration is None:
        return _("{who} banned {whom}", who=who, whom=whom)
    return _("{who} banned {whom} for {time}", who=who, whom=whom, time=span(entry.duration))
