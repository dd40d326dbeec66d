"""What is seen of a conversation: its entries, and the changes that happen to them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias, assert_never

from gochat.client import (
    AccessChanged,
    AnnouncementsChanged,
    ArchiveChanged,
    Form,
    HistoryChanged,
    InvitationDeclined,
    LogEntry,
    Message,
    MessageDeleted,
    MessageEdited,
    MessagePinned,
    MessageUnpinned,
    OperatorAdded,
    OperatorRemoved,
    PersonBanned,
    PersonInvited,
    PersonJoined,
    PersonKicked,
    PersonLeft,
    PersonUnbanned,
    ReactionAdded,
    ReactionRemoved,
    RoomCreated,
    RoomHandedOver,
    SlowModeChanged,
    TopicChanged,
    UnknownEntry,
)
from gochat.client.moments import milliseconds
from gochat.protocol.messages import EntryKind
from gochat.tui.model.reactions import Tally, tally_of

MessageState: TypeAlias = Literal["sent", "pending", "failed"]
#: Entries that change others, and are not seen themselves.
Amendment: TypeAlias = MessageEdited | MessageDeleted | ReactionAdded | ReactionRemoved
#: Entries that are not seen themselves.
Unseen: TypeAlias = Amendment | UnknownEntry


@dataclass(slots=True, kw_only=True, eq=False)
class TimelineEntry:
    """What is seen of one log entry, or of one message on its way there.

    `key` is unique in the timeline. It is the seq, or the `cid` of what has no seq yet, or for what
    is in no log a name of its own. That is what has the `kind` ``presence`` (somebody came online),
    ``hidden`` (what was written before is hidden from this person) or ``removed`` (it is no longer
    kept).
    """

    key: str
    kind: EntryKind | Literal["presence", "hidden", "removed", "unknown"]
    sender: str
    text: str
    ts: int
    seq: int | None = None
    cid: str | None = None
    own: bool = False
    state: MessageState = "sent"
    error: str = ""
    form: Form = "text"
    reason: str = ""
    #: Of a ban: for how long; None: until it is lifted.
    duration: timedelta | None = None
    edited: int | None = None
    deleted: bool = False
    pinned: bool = False
    mentions: tuple[str, ...] = ()
    #: The message that this one replies to, or that a pin is about.
    reply_to: int | None = None
    reply: tuple[str, str] | None = None
    reactions: dict[str, Tally] = field(default_factory=dict)
    #: Of a pending message: its index in the outbox, in whose order messages are sent.
    outbox_index: int = 0
    #: What the log held when the server described this entry: changes up to there are in it.
    as_of: int = 0


def seen(entry: LogEntry, *, me: str, as_of: int) -> TimelineEntry:
    """Return what `me` sees of an entry that is not :data:`Unseen`; for `as_of`, see its field."""
    kind, text = described(entry)
    what = TimelineEntry(
        key=str(entry.seq), kind=kind, sender=entry.sender, text=text,
        ts=milliseconds(entry.time), seq=entry.seq, cid=entry.cid, own=entry.is_own, as_of=as_of,
    )  # fmt: skip
    match entry:
        case Message():
            what.form, what.edited, what.deleted = entry.form, entry.edited, entry.deleted
            what.mentions, what.pinned = entry.mentions, entry.pinned
            what.reply_to = None if entry.reply_to is None else entry.reply_to.seq
            what.reactions = {r.emoji: tally_of(r) for r in entry.reactions}
        case MessagePinned() | MessageUnpinned():
            what.reply_to = entry.message.seq
        case PersonLeft() | PersonKicked():
            what.reason = entry.reason
        case PersonBanned():
            what.reason, what.duration = entry.reason, entry.duration
        case _:
            pass
    return what


def described(entry: LogEntry) -> tuple[EntryKind | Literal["unknown"], str]:
    """Return the kind of an entry, and what there is to say beside who did it."""
    match entry:
        case Message():
            return "text", entry.text
        case MessageEdited():
            return "edit", entry.text
        case MessageDeleted():
            return "delete", ""
        case ReactionAdded():
            return "react", entry.emoji
        case ReactionRemoved():
            return "unreact", entry.emoji
        case MessagePinned():
            return "pin", ""
        case MessageUnpinned():
            return "unpin", ""
        case RoomCreated():
            return "create", "private" if entry.private else "public"
        case PersonJoined():
            return "join", ""
        case PersonLeft():
            return "leave", ""
        case PersonInvited():
            return "invite", entry.name
        case PersonKicked():
            return "kick", entry.name
        case PersonBanned():
            return "ban", entry.name
        case PersonUnbanned():
            return "unban", entry.name
        case SlowModeChanged():
            return "slow", str(int(entry.interval.total_seconds()))
        case AnnouncementsChanged():
            return "announcements", "on" if entry.on else "off"
        case ArchiveChanged():
            return "archive", "on" if entry.archived else "off"
        case RoomHandedOver():
            return "hand_over", ""
        case InvitationDeclined():
            return "decline", ""
        case TopicChanged():
            return "topic", entry.topic
        case OperatorAdded():
            return "operator", entry.name
        case OperatorRemoved():
            return "member", entry.name
        case AccessChanged():
            return "access", "private" if entry.private else "public"
        case HistoryChanged():
            return "history", entry.history
        case UnknownEntry():
            return "unknown", ""
        case _:
            assert_never(entry)


@dataclass(frozen=True, slots=True)
class Inserted:
    """`entries` are new, before the one with the key `before`, or at the end."""

    entries: tuple[TimelineEntry, ...]
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Prepended:
    """`entries` are new, before all others: older history."""

    entries: tuple[TimelineEntry, ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """What had the key `key` is now `entry`, in the same place."""

    key: str
    entry: TimelineEntry


@dataclass(frozen=True, slots=True)
class Removed:
    """What had the key `key` is gone."""

    key: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """All is new; look at the timeline again."""


Change: TypeAlias = Inserted | Prepended | Replaced | Removed | Renewed
