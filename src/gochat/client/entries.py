"""Rebuild the log entry of a request from its acknowledgement. Pure."""

from __future__ import annotations

from typing import TypeAlias

from gochat.protocol.messages import (
    CreateRoom,
    Delete,
    Edit,
    EntryKind,
    Invite,
    Join,
    Kick,
    Leave,
    Message,
    React,
    Request,
    Send,
    Sent,
    SetAccess,
    SetHistory,
    SetOperator,
    SetTopic,
)

#: The requests that write to the log, and are answered with `Sent`.
Saying: TypeAlias = (
    Send | Edit | Delete | React
    | CreateRoom | Join | Leave | Invite | Kick | SetTopic | SetOperator | SetAccess
    | SetHistory
)  # fmt: skip


def entry_of(request: Request, sent: Sent, me: str) -> Message | None:
    """Return the entry that `request`, made by `me`, became, or None if it writes none.

    The server doesn't echo an entry to the session that wrote it, so this puts it in its place in
    the order without a fetch. `mentions` is missing: only the server knows it.
    """
    match request:
        case Send(text=text, reply_to=ref):
            return _entry(request, sent, me, "text", text, ref)
        case Edit(seq=ref, text=text):
            return _entry(request, sent, me, "edit", text, ref)
        case Delete(seq=ref):
            return _entry(request, sent, me, "delete", "", ref)
        case React(seq=ref, emoji=emoji, on=on):
            return _entry(request, sent, me, "react" if on else "unreact", emoji, ref)
        case CreateRoom(private=private):
            return _entry(request, sent, me, "create", _access(private))
        case Join():
            return _entry(request, sent, me, "join")
        case Leave():
            return _entry(request, sent, me, "leave")
        case Invite(name=name):
            return _entry(request, sent, me, "invite", name)
        case Kick(name=name):
            return _entry(request, sent, me, "kick", name)
        case SetTopic(topic=topic):
            return _entry(request, sent, me, "topic", topic)
        case SetOperator(name=name, on=on):
            return _entry(request, sent, me, "operator" if on else "member", name)
        case SetAccess(private=private):
            return _entry(request, sent, me, "access", _access(private))
        case SetHistory(history=history):
            return _entry(request, sent, me, "history", history)
        case _:
            return None


def _entry(
    request: Saying, sent: Sent, me: str, kind: EntryKind, text: str = "", ref: int | None = None
) -> Message:
    return Message(
        to=sent.to,
        epoch=sent.epoch,
        seq=sent.seq,
        ts=sent.ts,
        from_=me,
        kind=kind,
        text=text,
        ref=ref,
        cid=request.cid,
    )


def _access(private: bool) -> str:
    return "private" if private else "public"
