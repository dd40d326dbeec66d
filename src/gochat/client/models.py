"""What a client's requests return. All are immutable; a time is a ``datetime`` in UTC."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct

from gochat.client.entries import LogEntry, Message, ReactionAdded
from gochat.protocol.messages import HistorySetting, Level, RestrictionKind, TokenScope


class Sent(Struct, frozen=True, kw_only=True):
    """The position of an entry in the log, and when it was committed.

    `repeated`: an earlier attempt had already committed it.
    """

    conversation: str
    time: datetime
    epoch: str
    seq: int
    repeated: bool = False


class Conversation(Struct, frozen=True, kw_only=True):
    """A conversation as the person sees it; `name` is ``#lobby``, ``#room``, or ``@name``.

    `head` is the newest seq in its log, in the history `epoch`, and `time` that entry's time, or
    None while there is none. `read` is the person's read marker, `unread` the number of other
    people's messages after it, and `mentions` the number of those that mention the person. `level`
    is what the person wants to be notified of. The others belong to rooms; `operator`: the person
    is one; entries up to `floor` are hidden from the person. A member waits for `slow_mode` between
    two messages; with `announcements` only operators write, and nobody does if it is `archived`.
    """

    name: str
    epoch: str
    head: int
    time: datetime | None
    read: int = 0
    unread: int = 0
    mentions: int = 0
    level: Level = "all"
    topic: str = ""
    operator: bool = False
    private: bool = False
    history: HistorySetting = "shown"
    slow_mode: timedelta = timedelta(0)
    announcements: bool = False
    archived: bool = False
    floor: int = 0


class Room(Struct, frozen=True, kw_only=True):
    """A room in the list of rooms. `members` counts them; `joined`: the person is one."""

    name: str
    topic: str = ""
    members: int = 0
    private: bool = False
    joined: bool = False
    archived: bool = False


class Status(Struct, frozen=True, kw_only=True):
    """What a person says of themselves: an emoji, a line of text, or both.

    Others write both: make the text harmless before showing it. It ends at `until`; None: when it
    is taken back. A client is not notified of the end.
    """

    emoji: str = ""
    text: str = ""
    until: datetime | None = None


class Person(Struct, frozen=True, kw_only=True):
    """A person who is online; `away` is their notice while they are away."""

    name: str
    away: str | None = None
    status: Status | None = None


class Member(Struct, frozen=True, kw_only=True):
    """A member of a room, `since` when they joined."""

    name: str
    since: datetime
    operator: bool = False
    online: bool = False


class RoomBan(Struct, frozen=True, kw_only=True):
    """A person who is banned from a room, by whom (`sender`) and since when (`time`).

    It ends at `until`; None: when it is lifted.
    """

    name: str
    sender: str
    time: datetime
    until: datetime | None = None
    reason: str = ""


class ReportedMessage(Struct, frozen=True, kw_only=True):
    """A message as it read when it was reported; `edited`: its text was not the first one."""

    seq: int
    sender: str
    time: datetime
    text: str
    edited: bool = False


class Report(Struct, frozen=True, kw_only=True):
    """Messages that `sender` has reported, and why. `conversation` is as the sender sees it.

    `sender` is empty if that account was deleted.
    """

    id: int
    time: datetime
    sender: str
    conversation: str
    messages: tuple[ReportedMessage, ...]
    reason: str = ""


class Restriction(Struct, frozen=True, kw_only=True):
    """A person who is banned from the server (`kind` ``"ban"``), or writes nothing in the lobby and
    in public rooms (``"mute"``): by whom (`sender`) and since when (`time`).

    It ends at `until`; None: when it is lifted.
    """

    name: str
    kind: RestrictionKind
    sender: str
    time: datetime
    until: datetime | None = None
    reason: str = ""


class AddressBan(Struct, frozen=True, kw_only=True):
    """An address or a network from where nobody connects, banned by whom (`sender`) and since when.

    `network` is an address as ``203.0.113.7``, or a network as ``203.0.113.0/24``. The ban ends at
    `until`; None: when it is lifted.
    """

    network: str
    sender: str
    time: datetime
    until: datetime | None = None
    reason: str = ""


class Invitation(Struct, frozen=True, kw_only=True):
    """A room to which the person is invited, by whom (`sender`) and when, and its topic.

    `sender` and `topic` are empty where they are not known.
    """

    room: str
    sender: str
    time: datetime
    topic: str = ""


class Session(Struct, frozen=True, kw_only=True):
    """A session of the account: a device on which the person is logged in, or a program.

    `seen` is when it was last used, to a day; `address` where, of an IPv6 address the first 64
    bits. `online`: a connection uses it now. `this`: the session that asked. Only a program's
    session has `scopes`, and perhaps `rooms`.
    """

    id: str
    device: str
    address: str
    created: datetime
    seen: datetime
    online: bool = False
    this: bool = False
    scopes: tuple[TokenScope, ...] = ()
    rooms: tuple[str, ...] = ()


class CreatedToken(Struct, frozen=True, kw_only=True):
    """A program's token, which is shown only here. `id` is that of its session."""

    id: str
    token: str
    expires: datetime


class HistoryPage(Struct, frozen=True, kw_only=True):
    """Entries of a conversation in the order of `seq`, without gaps.

    `older` and `newer` say whether there are more on that side. `head` is the newest seq of the
    log, in the history `epoch`. Entries up to `floor` are hidden from the person, and those up to
    `base` are no longer kept by the server.
    """

    conversation: str
    epoch: str
    head: int
    entries: tuple[LogEntry, ...]
    older: bool = False
    newer: bool = False
    floor: int = 0
    base: int = 0


ActivityKind: TypeAlias = Literal["mention", "reply", "reaction"]


class ActivityItem(Struct, frozen=True, kw_only=True):
    """Something that concerns the person, since `time`: a message that mentions them or is a reply
    to one of theirs, or a reaction to one of theirs. `about` is how that one begins.

    It is new if `time` is after :attr:`ActivityPage.seen`, and its seq after the read marker of its
    conversation.
    """

    kind: ActivityKind
    time: datetime
    entry: Message | ReactionAdded
    about: str = ""


class ActivityPage(Struct, frozen=True, kw_only=True):
    """A page of what concerns the person, the newest first.

    They have seen it up to `seen`. `cursor` asks for the next page; None: there is none. A page may
    have few items, or none, and a cursor.
    """

    items: tuple[ActivityItem, ...]
    seen: datetime
    cursor: str | None = None


class PinnedMessage(Struct, frozen=True, kw_only=True):
    """A message that is pinned in its conversation, as it reads now.

    `sender` pinned it, at `time`, by the entry `seq`.
    """

    message: Message
    sender: str
    time: datetime
    seq: int


class SavedMessage(Struct, frozen=True, kw_only=True):
    """A message that the person has saved for themselves, at `time`, as it reads now."""

    message: Message
    time: datetime


class SavedPage(Struct, frozen=True, kw_only=True):
    """A page of what the person has saved, what was saved last first.

    `cursor` asks for the next page; None: there is none. A page may have few items, or none, and a
    cursor.
    """

    items: tuple[SavedMessage, ...]
    cursor: str | None = None


class Found(Struct, frozen=True, kw_only=True):
    """A page of the messages that a search has found, newest first, as they read now.

    `cursor` asks for the next page; None: there is none. A page may hold few hits, or none, and
    have a cursor: the server looks at a bounded number of messages.
    """

    hits: tuple[Message, ...]
    cursor: str | None = None
