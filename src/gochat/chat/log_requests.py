"""The requests that write to the log, and the entry that each asks for. Pure."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from gochat.protocol.messages import (
    Ban,
    CreateRoom,
    Decline,
    Delete,
    Edit,
    EntryKind,
    Invite,
    Join,
    Kick,
    Leave,
    Pin,
    React,
    Send,
    SetAccess,
    SetAnnouncements,
    SetArchived,
    SetHistory,
    SetOperator,
    SetSlowMode,
    SetTopic,
    Unban,
)

#: The requests that change rooms.
RoomRequest: TypeAlias = (
    CreateRoom | Join | Leave | Invite | Kick | Decline
    | SetTopic | SetOperator | SetAccess | SetHistory
    | Ban | Unban | SetSlowMode | SetAnnouncements | SetArchived
)  # fmt: skip
LogRequest: TypeAlias = Send | Edit | Delete | React | Pin | RoomRequest


def content(request: LogRequest) -> tuple[EntryKind, str, int | None]:
    """Return the kind, text and ref of the entry that a request appends.

    Names and emoji are as they were typed; the entry has the spelling that is displayed.
    """
    match request:
        case Send(text=text, reply_to=ref):
            return "text", text, ref
        case Edit(text=text, seq=seq):
            return "edit", text, seq
        case Delete(seq=seq):
            return "delete", "", seq
        case React(emoji=emoji, seq=seq, on=on):
            return ("react" if on else "unreact"), emoji, seq
        case Pin(seq=seq, on=on):
            return ("pin" if on else "unpin"), "", seq
        case CreateRoom(private=private):
            return "create", "private" if private else "public", None
        case Join():
            return "join", "", None
        case Leave():
            return "leave", "", None
        case Invite(name=name):
            return "invite", name, None
        case Kick(name=name):
            return "kick", name, None
        case Decline():
            return "decline", "", None
        case SetTopic(topic=topic):
            return "topic", topic, None
        case SetOperator(name=name, on=on):
            return ("operator" if on else "member"), name, None
        case SetAccess(private=private):
            return "access", "private" if private else "public", None
        case SetHistory(history=history):
            return "history", history, None
        case Ban(name=name):
            return "ban", name, None
        case Unban(name=name):
            return "unban", name, None
        case SetSlowMode(seconds=seconds):
            return "slow", str(seconds), None
        case SetAnnouncements(on=on):
            return "announcements", "on" if on else "off", None
        case SetArchived(on=on):
            return "archive", "on" if on else "off", None
        case _:
            assert_never(request)
