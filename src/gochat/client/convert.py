"""From what the server sends to what programs get. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

from gochat.client import entries, events, models
from gochat.client.entries import LogEntry, MessageId
from gochat.client.errors import INVALID_REPLY, InvalidReply
from gochat.client.moments import moment
from gochat.protocol import messages as wire

#: Whole seconds, at most some three years of them.
_SECONDS: Final = re.compile(r"[0-9]{1,8}")
_ACTIVITY: Final[dict[str, models.ActivityKind]] = {
    "mention": "mention", "reply": "reply", "reaction": "reaction",
}  # fmt: skip


def to_entry(entry: wire.Message, me: str | None) -> LogEntry:
    """Return an entry of a log as `me` sees it."""
    conversation, text, reason = entry.conversation, entry.text, entry.reason
    message = MessageId(conversation, entry.ref or 0)
    common: dict[str, Any] = {
        "conversation": conversation,
        "sender": entry.from_,
        "is_own": entry.from_ == me,
        "time": moment(entry.ts),
        "epoch": entry.epoch,
        "seq": entry.seq,
        "cid": entry.cid,
    }
    match entry.kind:
        case "text":
            return entries.Message(
                **common,
                text=text,
                form=entry.form,
                meta=entry.meta,
                mentions=entry.mentions,
                reply_to=None if entry.ref is None else message,
                edited=entry.edited,
                deleted=entry.deleted,
                pinned=entry.pinned,
                reactions=entry.reactions,
            )
        case "edit":
            return entries.MessageEdited(
                **common,
                message=message,
                text=text,
                mentions=entry.mentions,
                deleted=entry.deleted,
            )
        case "delete":
            return entries.MessageDeleted(**common, message=message, reason=reason)
        case "react":
            return entries.ReactionAdded(**common, message=message, emoji=text)
        case "unreact":
            return entries.ReactionRemoved(**common, message=message, emoji=text)
        case "pin":
            return entries.MessagePinned(**common, message=message)
        case "unpin":
            return entries.MessageUnpinned(**common, message=message)
        case "create":
            return entries.RoomCreated(**common, private=text == "private")
        case "join":
            return entries.PersonJoined(**common)
        case "leave":
            return entries.PersonLeft(**common, reason=reason)
        case "invite":
            return entries.PersonInvited(**common, name=text)
        case "kick":
            return entries.PersonKicked(**common, name=text, reason=reason)
        case "ban":
            duration = timedelta(seconds=entry.seconds) if entry.seconds else None
            return entries.PersonBanned(**common, name=text, duration=duration, reason=reason)
        case "unban":
            return entries.PersonUnbanned(**common, name=text)
        case "slow":
            interval = timedelta(seconds=int(text) if _SECONDS.fullmatch(text) else 0)
            return entries.SlowModeChanged(**common, interval=interval)
        case "announcements":
            return entries.AnnouncementsChanged(**common, on=text == "on")
        case "archive":
            return entries.ArchiveChanged(**common, archived=text == "on")
        case "hand_over":
            return entries.RoomHandedOver(**common)
        case "decline":
            return entries.InvitationDeclined(**common)
        case "topic":
            return entries.TopicChanged(**common, topic=text)
        case "operator":
            return entries.OperatorAdded(**common, name=text)
        case "member":
            return entries.OperatorRemoved(**common, name=text)
        case "access":
            return entries.AccessChanged(**common, private=text == "private")
        case "history":
            return entries.HistoryChanged(
                **common, history="hidden" if text == "hidden" else "shown"
            )
        case unknown:
            return entries.UnknownEntry(**common, kind=unknown)


def to_event(
    event: (
        wire.Presence
        | wire.Marked
        | wire.ActivityChanged
        | wire.SavedChanged
        | wire.Invited
        | wire.Uninvited
        | wire.Blocked
        | wire.Unblocked
        | wire.IsTyping
        | wire.Reported
        | wire.ReportClosed
        | wire.NewLogin
    ),
) -> events.ClientEvent:
    """Return an event that is not an entry of a log."""
    match event:
        case wire.Presence():
            return events.Presence(
                online=tuple(map(to_person, event.online)), offline=event.offline
            )
        case wire.Marked():
            return events.Marked(
                conversation=event.conv,
                read=event.read,
                unread=event.unread,
                mentions=event.mentions,
                level=event.level,
            )
        case wire.ActivityChanged():
            return events.ActivityChanged()
        case wire.SavedChanged():
            return events.SavedChanged(message=MessageId(event.conv, event.seq), on=event.on)
        case wire.Invited():
            return events.Invited(to_invitation(event))
        case wire.Uninvited():
            return events.Uninvited(event.room)
        case wire.Blocked():
            return events.PersonBlocked(event.name)
        case wire.Unblocked():
            return events.PersonUnblocked(event.name)
        case wire.IsTyping():
            return events.IsTyping(event.conversation, event.from_)
        case wire.Reported():
            return events.MessagesReported(
                id=event.id,
                time=moment(event.ts),
                sender=event.from_,
                conversation=event.conv,
                names=event.names,
                reason=event.reason,
            )
        case wire.ReportClosed():
            return events.ReportClosed(event.id)
        case _:
            return event


def to_person(person: wire.Person) -> models.Person:
    """Return a person who is online."""
    return models.Person(
        name=person.name,
        away=person.away,
        status=None if person.status is None else to_status(person.status),
    )


def to_status(status: wire.Status) -> models.Status:
    """Return a person's status."""
    return models.Status(
        emoji=status.emoji,
        text=status.text,
        until=moment(status.until) if status.until else None,
    )


def to_invitation(invitation: wire.Invitation | wire.Invited) -> models.Invitation:
    """Return an invitation."""
    return models.Invitation(
        room=invitation.room,
        sender=invitation.from_,
        time=moment(invitation.ts),
        topic=invitation.topic,
    )


def to_conversation(conversation: wire.Conversation) -> models.Conversation:
    """Return a conversation, without its entries."""
    return models.Conversation(
        name=conversation.conv,
        epoch=conversation.epoch,
        head=conversation.head,
        time=moment(conversation.ts) if conversation.head else None,
        read=conversation.read,
        unread=conversation.unread,
        mentions=conversation.mentions,
        level=conversation.level,
        topic=conversation.topic,
        operator=conversation.operator,
        private=conversation.private,
        history=conversation.history,
        slow_mode=timedelta(seconds=conversation.slow),
        announcements=conversation.announcements,
        archived=conversation.archived,
        floor=conversation.floor,
    )


def to_room(room: wire.Room) -> models.Room:
    """Return a room of the list of rooms."""
    return models.Room(
        name=room.room,
        topic=room.topic,
        members=room.members,
        private=room.private,
        joined=room.joined,
        archived=room.archived,
    )


def to_member(member: wire.Member) -> models.Member:
    """Return a member of a room."""
    return models.Member(
        name=member.name,
        since=moment(member.since),
        operator=member.operator,
        online=member.online,
    )


def to_ban(ban: wire.RoomBan) -> models.RoomBan:
    """Return a ban from a room."""
    return models.RoomBan(
        name=ban.name,
        sender=ban.by,
        time=moment(ban.ts),
        until=moment(ban.until) if ban.until else None,
        reason=ban.reason,
    )


def to_report(report: wire.OpenReport) -> models.Report:
    """Return a report, with its messages."""
    return models.Report(
        id=report.id,
        time=moment(report.ts),
        sender=report.from_,
        conversation=report.conv,
        messages=tuple(
            models.ReportedMessage(
                seq=one.seq,
                sender=one.from_,
                time=moment(one.ts),
                text=one.text,
                edited=one.edited,
            )
            for one in report.messages
        ),
        reason=report.reason,
    )


def to_restriction(restriction: wire.Restriction) -> models.Restriction:
    """Return a restriction at the server."""
    return models.Restriction(
        name=restriction.name,
        kind=restriction.kind,
        sender=restriction.by,
        time=moment(restriction.ts),
        until=moment(restriction.until) if restriction.until else None,
        reason=restriction.reason,
    )


def to_address_ban(ban: wire.AddressBan) -> models.AddressBan:
    """Return the ban of an address or a network."""
    return models.AddressBan(
        network=ban.network,
        sender=ban.by,
        time=moment(ban.ts),
        until=moment(ban.until) if ban.until else None,
        reason=ban.reason,
    )


def to_session(session: wire.Session) -> models.Session:
    """Return a session of the account."""
    return models.Session(
        id=session.id,
        device=session.device,
        address=session.address,
        created=moment(session.created),
        seen=moment(session.seen),
        online=session.online,
        this=session.this,
        scopes=session.scopes,
        rooms=session.rooms,
    )


def to_token(token: wire.CreatedToken) -> models.CreatedToken:
    """Return a program's token."""
    return models.CreatedToken(id=token.id, token=token.token, expires=moment(token.expires))


def to_sent(sent: wire.Sent) -> models.Sent:
    """Return where an entry is in the log."""
    return models.Sent(
        conversation=sent.to,
        time=moment(sent.ts),
        epoch=sent.epoch,
        seq=sent.seq,
        repeated=sent.dup,
    )


def to_page(page: wire.HistoryPage, me: str | None) -> models.HistoryPage:
    """Return a page of a log as `me` sees it."""
    return models.HistoryPage(
        conversation=page.conv,
        epoch=page.epoch,
        head=page.head,
        entries=tuple(to_entry(entry, me) for entry in page.entries),
        older=page.older,
        newer=page.newer,
        floor=page.floor,
        base=page.base,
    )


def to_found(found: wire.Found, me: str | None) -> models.Found:
    """Return a page of what a search has found; a hit that is not a message is left out."""
    hits = (to_entry(hit, me) for hit in found.hits)
    return models.Found(
        hits=tuple(hit for hit in hits if isinstance(hit, entries.Message)), cursor=found.cursor
    )


def to_activity(page: wire.ActivityList, me: str | None) -> models.ActivityPage:
    """Return a page of what concerns `me`; kinds that are not known here are left out."""
    return models.ActivityPage(
        items=tuple(
            models.ActivityItem(
                kind=_ACTIVITY[item.kind],
                time=moment(item.ts),
                entry=entry,
                about=item.about,
            )
            for item in page.items
            if item.kind in _ACTIVITY
            and isinstance(
                entry := to_entry(item.entry, me), entries.Message | entries.ReactionAdded
            )
        ),
        seen=moment(page.seen),
        cursor=page.cursor,
    )


def to_pinned(pinned: wire.Pinned, me: str | None) -> models.PinnedMessage:
    """Return a pinned message as `me` sees it. Raises InvalidReply if it is not a message."""
    message = to_entry(pinned.entry, me)
    if not isinstance(message, entries.Message):
        raise InvalidReply(INVALID_REPLY, "the server sent a pinned entry that is not a message")
    return models.PinnedMessage(
        message=message, sender=pinned.by, time=moment(pinned.ts), seq=pinned.seq
    )


def to_saved(page: wire.SavedList, me: str | None) -> models.SavedPage:
    """Return a page of what `me` has saved; what is not a message is left out."""
    found = ((item, to_entry(item.entry, me)) for item in page.items)
    return models.SavedPage(
        items=tuple(
            models.SavedMessage(message=entry, time=moment(item.ts))
            for item, entry in found
            if isinstance(entry, entries.Message)
        ),
        cursor=page.cursor,
    )
