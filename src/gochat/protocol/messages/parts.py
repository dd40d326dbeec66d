"""What payloads are made of: the types of fields and their bounds, and the JSON objects in them.

:class:`Message`, an entry of a log, is here, too: it is an event, and a part of pages.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, TypeAlias, get_args

from msgspec import Meta, Struct, field

LOBBY: Final = "#lobby"

#: Integers stay in the range that every JSON implementation keeps exactly.
Int: TypeAlias = Annotated[int, Meta(ge=0, le=2**53 - 1)]
#: The number of an entry in its conversation: they count from 1.
Seq: TypeAlias = Annotated[int, Meta(ge=1, le=2**53 - 1)]
#: The number of a write on its connection: they count from 1.
Number: TypeAlias = Annotated[int, Meta(ge=1, le=2**53 - 1)]
#: A moment, in milliseconds since the Unix epoch. The maximum is a day before the end of the year
#: 9999, so that it is a date in every time zone.
MAX_TIME: Final = 253_402_214_400_000
Time: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_TIME)]
#: A time span, at most a year. Infinity and NaN are not JSON, but 1e308 is.
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=31_536_000)]
#: The same in whole seconds.
WholeSeconds: TypeAlias = Annotated[int, Meta(ge=0, le=31_536_000)]
#: A correlation id: chosen by the client, and echoed.
RequestId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
#: A client's id for one log entry that it writes, unique per sender; a retry carries the same.
Cid: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
#: A name, conversation, token, invite or emoji as it arrives; the chat's rules check it further.
ShortText: TypeAlias = Annotated[str, Meta(max_length=256)]
PageSize: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
#: What a person calls a device or a program.
MAX_DEVICE_NAME: Final = 64
DeviceName: TypeAlias = Annotated[str, Meta(max_length=MAX_DEVICE_NAME)]


#: What a person wants to be notified of in a conversation.
Level: TypeAlias = Literal["all", "mentions", "none"]
#: What a program's token may do: read; write messages; join and change rooms.
TokenScope: TypeAlias = Literal["read", "send", "rooms"]
#: Whether people who join a room can read older entries.
HistorySetting: TypeAlias = Literal["shown", "hidden"]
#: The role of an account at the server.
ServerRole: TypeAlias = Literal["member", "moderator", "admin"]
#: How an account is restricted at the server: it can't log in, or not write in public.
RestrictionKind: TypeAlias = Literal["ban", "mute"]
#: Who may create an account: anybody, who has an invite code, or nobody.
Registration: TypeAlias = Literal["open", "invite", "closed"]


class Capability(StrEnum):
    """What a client can list in ``caps`` at login, to receive more than the six functions need."""

    #: Log entries of every kind (edits, reactions, joins …), so that `seq` has no gaps for it;
    #: ``sent`` for everything it writes; ``marked``, ``new_login``: what the person's other
    #: sessions do.
    LOG = "log"
    #: ``ping``, to be answered by ``pong`` in time.
    HEARTBEAT = "heartbeat"
    #: ``is_typing``.
    TYPING = "typing"
    #: The status of people, where they are listed, and ``presence`` when one changes.
    STATUS = "status"


class Payload(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The base of every payload: immutable, and tagged by its class.

    None can be in a reference cycle, so the collector need not look at them.
    """

    msg_type: ClassVar[str]


class Position(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client has of one conversation: every entry up to `seq`, whose `ts` is given.

    `read` and `level` are those that it knows; if one of them is null, `Sync` always lists the
    conversation.
    """

    conv: ShortText
    epoch: ShortText
    seq: Int
    ts: Time
    read: Int | None = None
    level: Level | None = None


class Status(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a person says of themselves: an emoji, a line of text, or both.

    It ends at `until`; 0 means when it is taken back.
    """

    emoji: str = ""
    text: str = ""
    until: Time = 0


class Person(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A person, who is online if the frame does not say otherwise. `away` is their notice while
    they are away. Only sessions with the capability `status` are sent `status`."""

    name: str
    away: str | None = None
    status: Status | None = None


class Conversation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation as one person sees it.

    `head` is the newest seq in the log and `ts` the time of that entry, `read` the person's read
    marker, `unread` the number of other people's messages after it, and `mentions` the number of
    those that mention the person. `level` is what the person wants to be notified of. `topic`
    and what follows belong to rooms: entries up to `floor` are hidden from the person; `slow` is
    the number of seconds between two messages of a member, `announcements`: only operators write,
    `archived`: nobody does.

    `entries` and `reset` are only in `Synced`: the newest entries that the client lacks, up to
    `head`; and whether what it has is of another log, so that it must forget that.
    """

    conv: str
    epoch: str
    head: Int
    ts: Time = 0
    read: Int = 0
    unread: Int = 0
    mentions: Int = 0
    level: Level = "all"
    topic: str = ""
    operator: bool = False
    private: bool = False
    history: HistorySetting = "shown"
    slow: WholeSeconds = 0
    announcements: bool = False
    archived: bool = False
    floor: Int = 0
    entries: tuple[Message, ...] = ()
    reset: bool = False


class Room(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A room in the list of rooms. `joined`: the person who asked is a member; `archived`: nobody
    writes there any more."""

    room: str
    topic: str = ""
    members: Int = 0
    private: bool = False
    joined: bool = False
    archived: bool = False


class Member(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member of a room; `since` is when they joined (milliseconds since the Unix epoch)."""

    name: str
    since: Time
    operator: bool = False
    online: bool = False


class RoomBan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person who is banned from a room, by whom and since when.

    It ends at `until`; 0 means when it is lifted.
    """

    name: str
    by: str
    ts: Time
    until: Time = 0
    reason: str = ""


class Restriction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person who is banned from the server or muted, by whom and since when.

    It ends at `until`; 0 means when it is lifted.
    """

    name: str
    kind: RestrictionKind
    by: str
    ts: Time
    until: Time = 0
    reason: str = ""


class AddressBan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An address or a network from where nobody connects, banned by whom and since when.

    It ends at `until`; 0 means when it is lifted.
    """

    network: str
    by: str
    ts: Time
    until: Time = 0
    reason: str = ""


class ReportedMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as it read when it was reported; `edited`: its text was not the first one."""

    seq: Seq
    from_: str = field(name="from")
    ts: Time
    text: str
    edited: bool = False


class OpenReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Messages that somebody has reported, with copies of them.

    `from` is who did; empty if that account was deleted. `conv` is the conversation as they see it.
    """

    id: Int
    ts: Time
    from_: str = field(name="from")
    conv: str
    messages: tuple[ReportedMessage, ...]
    reason: str = ""


class Session(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session of an account: a device on which its person is logged in, or a program.

    `seen` is when it was last used, to a day; `address` where, of an IPv6 address the first 64
    bits. `online`: a connection uses it now. `this`: the session that asked. Only a program's
    session has `scopes`, and perhaps `rooms`.
    """

    id: str
    device: str
    address: str
    created: Time
    seen: Time
    online: bool = False
    this: bool = False
    scopes: tuple[TokenScope, ...] = ()
    rooms: tuple[str, ...] = ()


class Invitation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A room to which the person is invited, by whom and when, and its topic.

    `from` is empty, and `topic` too, where it is not known.
    """

    room: str
    from_: str = field(name="from")
    ts: Time
    topic: str = ""


class ActivityItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that concerns the person, since when, and the entry that does.

    `kind` is ``mention``, ``reply`` or ``reaction``; leave out those you don't know. `about` is the
    beginning of what the person wrote themselves, where the entry is about that.
    """

    kind: str
    ts: Time
    entry: Message
    about: str = ""


class Limits(Struct, frozen=True, kw_only=True):
    """The server's limits that a client can respect by itself."""

    frame_bytes: Int
    text_chars: Int
    burst: Int
    per_second: Annotated[float, Meta(ge=0)]
    history_page: Int


#: What a log entry is. ``text`` is a message; the others change a message or the room.
EntryKind: TypeAlias = Literal[
    "text", "edit", "delete", "react", "unreact", "pin", "unpin",
    "create", "join", "leave", "invite", "kick", "decline", "topic", "operator", "member",
    "access", "history", "ban", "unban",
    "slow", "announcements", "archive", "hand_over",
]  # fmt: skip


#: How a message reads: ``action`` is what its sender does ("* mei waves"), a ``notice`` is from a
#: program and must not be answered by one.
Form: TypeAlias = Literal["text", "notice", "action"]


class Reaction(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How often `emoji` was given, by whom (the first ten), and whether the reader gave it
    (`me`)."""

    emoji: str
    count: Int
    names: tuple[str, ...] = ()
    me: bool = False


class Message(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a conversation's log; also the event that delivers it.

    `to` is where the sender sent it, so one encoding serves all: a receiver whose own name is not
    `from` finds the private conversation ``@mei`` under ``to="@bob", from="mei"``.

    ========== ==================== ============================================
    `kind`     `ref`                `text`
    ========== ==================== ============================================
    text       seq it replies to    the message
    edit       seq it changes       the new text
    delete     seq it deletes       empty
    react      seq it reacts to     the emoji
    unreact    seq it reacted to    the emoji
    pin        seq it pins          empty
    unpin      seq it pinned        empty
    create     –                    ``public`` or ``private``
    join       –                    empty
    leave      –                    empty
    invite     –                    the name of the person invited
    kick       –                    the name of the person removed
    decline    –                    empty
    topic      –                    the new topic
    operator   –                    the name of the new operator
    member     –                    the name of the former operator
    access     –                    ``public`` or ``private``
    history    –                    ``shown`` or ``hidden``
    ban        –                    the name of the person banned
    unban      –                    the name of the person no longer banned
    slow       –                    seconds between a member's messages, in digits
    announcements –                 ``on`` or ``off``
    archive    –                    ``on`` or ``off``
    hand_over  –                    empty
    ========== ==================== ============================================

    In replies to `History`, `Search` and `Sync` a ``text`` entry is given in its present
    form: `edited` is the seq of the edit whose text it has, `deleted` means that it was deleted,
    `pinned` that it is pinned, and `reactions` are those at that moment. An ``edit`` that is
    `deleted` has lost its text: a later edit, or a deletion, follows. `cid` is the sender's, for
    their own devices.

    An ``edit``, ``react`` or ``unreact`` of a message that is hidden from the reader, because they
    joined after it, is `deleted`, and has no text.

    `form` and `meta` are of ``text`` entries, `reason` of ``kick``, ``ban``, ``leave`` and
    ``delete``, `seconds` of ``ban``: for how long; 0 means until it is lifted.
    `meta` has keys of the form ``prefix/name``; it is what the sender's program says, and proves
    nothing. `conv` is the conversation as the receiver sees it, if that is not `to`.
    """

    msg_type: ClassVar[str] = "message"
    to: str
    epoch: str
    seq: Seq
    ts: Time
    from_: str = field(name="from")
    #: An :data:`EntryKind`, or one that only a newer server knows.
    kind: Annotated[str, Meta(examples=list(get_args(EntryKind)))] = "text"
    text: str = ""
    ref: Int | None = None
    cid: str | None = None
    mentions: tuple[str, ...] = ()
    edited: Int | None = None
    deleted: bool = False
    pinned: bool = False
    reactions: tuple[Reaction, ...] = ()
    form: Form = "text"
    meta: dict[str, str] = {}
    reason: str = ""
    seconds: WholeSeconds = 0
    conv: str | None = None

    @property
    def conversation(self) -> str:
        """The conversation, as the receiver sees it."""
        return self.to if self.conv is None else self.conv


class Pinned(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pinned message, in its present form: by whom it was pinned and when, and by which entry
    (`seq`)."""

    seq: Seq
    by: str
    ts: Time
    entry: Message


class SavedItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that the person has saved, since when, and the message in its present form."""

    ts: Time
    entry: Message
