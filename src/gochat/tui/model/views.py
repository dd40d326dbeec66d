"""The parts of the model: one conversation, the connection, and what is to be drawn again. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from gochat.client import ConnectionState, Conversation, HistorySetting, Level
from gochat.client.moments import milliseconds
from gochat.tui.language import _
from gochat.tui.model.entries import Change
from gochat.tui.model.timeline import Timeline
from gochat.tui.model.typists import Typists


@dataclass(slots=True, kw_only=True)
class ConversationView:
    """One conversation as this person sees it.

    `conv` is its address, ``#room`` or ``@name``. `head` is the newest seq there is, as far as is
    known. `history` is whether those who join a room can read what was written before. `joined` is
    False for a room that the person has left, while it is still shown. `divider` is the seq after
    which the messages were unread when the conversation was opened. `time` is that of the newest
    entry, in milliseconds since the Unix epoch. `muted_until` is when a mute on
    this device ends, in seconds since the Unix epoch; 0: there is none.
    """

    conv: str
    timeline: Timeline
    epoch: str = ""
    head: int = 0
    read: int = 0
    unread: int = 0
    mentions: int = 0
    level: Level = "all"
    muted_until: float = 0.0
    topic: str = ""
    operator: bool = False
    is_moderator: bool = False
    private: bool = False
    history: HistorySetting = "shown"
    slow_mode: timedelta = timedelta(0)
    announcements: bool = False
    archived: bool = False
    joined: bool = True
    time: int = 0
    divider: int | None = None
    #: The seqs of its pinned messages, what was pinned last first; None: not known yet.
    pins: list[int] | None = None
    #: How often that has changed here: an answer from before does not fit.
    pin_changes: int = 0
    #: Of a room: who is in it, and whether they are an operator; None: not known yet.
    members: dict[str, bool] | None = None
    #: How often that has changed here: an answer from before does not fit.
    member_changes: int = 0
    #: What was typed and not sent.
    draft: str = ""
    #: A message that is being edited: its seq, and its text as far as it was written.
    edit: tuple[int, str] | None = None
    typing: Typists = field(default_factory=Typists)

    @property
    def is_begun(self) -> bool:
        """True if something was typed here that nobody has got."""
        return bool(self.draft.strip() or self.edit)

    @property
    def is_room(self) -> bool:
        """True for the lobby and rooms, False for the conversation of two people."""
        return self.conv.startswith("#")

    @property
    def operates(self) -> bool:
        """True if the person may do what operators may, but for what makes a room theirs."""
        is_public = self.is_room and self.joined and not self.private
        return self.operator or (self.is_moderator and is_public)

    @property
    def closed(self) -> str:
        """Why the person can't write here, as a sentence without its full stop, or empty."""
        if self.archived:
            return _("This room is archived: it can be read, but not written to")
        if self.announcements and not self.operates:
            return _("Only operators write here")
        return ""

    @property
    def name(self) -> str:
        """The address without its sign."""
        return self.conv[1:]

    @property
    def wanted(self) -> Level:
        """What the person wants to know of, now."""
        return "none" if self.muted_until else self.level

    @property
    def badge(self) -> int:
        """How many are unread, where the person wants to know: as they have set the level."""
        match self.wanted:
            case "all":
                return self.unread
            case "mentions":
                return self.unread if self.mentions else 0
            case "none":
                return 0

    @property
    def rank(self) -> int | None:
        """How urgent what is unread is: 0 for mentions and private messages, 1 for others."""
        if not self.badge:
            return None
        return 0 if self.mentions or not self.is_room else 1

    def describe(self, conversation: Conversation, *, counts: bool = True) -> None:
        """Take what the server says of the conversation; what is unread only with `counts`."""
        self.epoch = conversation.epoch
        self.head = max(self.head, conversation.head) if self.epoch else conversation.head
        if counts:
            self.read = conversation.read
            self.unread, self.mentions = conversation.unread, conversation.mentions
        self.level, self.topic = conversation.level, conversation.topic
        self.operator, self.private = conversation.operator, conversation.private
        self.history, self.slow_mode = conversation.history, conversation.slow_mode
        self.announcements, self.archived = conversation.announcements, conversation.archived
        if conversation.time is not None:
            self.time = max(self.time, milliseconds(conversation.time))
        self.joined = True


AttentionKind: TypeAlias = Literal["mention", "direct", "message", "invite"]


@dataclass(frozen=True, slots=True)
class Attention:
    """An event that may notify this person while they look elsewhere."""

    conv: str
    sender: str
    text: str
    kind: AttentionKind


@dataclass(slots=True)
class Changes:
    """What must be drawn again. `logs` has the changes of the timelines, by conversation.

    `stale`: what is known of the conversations can't be enough; the server has to be asked.
    `waits`: the person has begun to wait for something, or no longer does.
    `activity_stale`: the same of what concerns the person, of which `activity` has changed;
    `pins_stale` of what is pinned, and of what the person has saved.
    `closed_reports`: the ids of reports that somebody has resolved.
    """

    conversations: bool = False
    people: bool = False
    connection: bool = False
    outbox: bool = False
    typing: bool = False
    stale: bool = False
    activity: bool = False
    activity_stale: bool = False
    pins_stale: bool = False
    waits: bool = False
    logs: dict[str, list[Change]] = field(default_factory=dict)
    attention: list[Attention] = field(default_factory=list)
    closed_reports: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.conversations or self.people or self.connection or self.outbox or self.typing
            or self.stale or self.activity or self.activity_stale or self.pins_stale
            or self.waits or self.logs or self.attention or self.closed_reports
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Connection:
    """How the client stands with the server; `until` is when it tries again (the model's clock)."""

    state: ConnectionState = ConnectionState.OFFLINE
    reason: str = ""
    until: float | None = None
