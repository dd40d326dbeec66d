"""The entries of a conversation's log: messages, what changes them, and what happens in rooms.

Each kind of entry has a class of its own, all with :class:`Entry` as their base; :data:`LogEntry`
is the union of them. They come as events, in pages of history, and among the hits of a search. All
are immutable. A time is a ``datetime`` in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from msgspec import Struct

from gochat.protocol.messages import Form, HistorySetting, Reaction


class MessageRef(Protocol):
    """Names one message: what :meth:`~gochat.client.Client.reply`, ``edit``, ``delete``, ``react``,
    ``pin`` and ``mark_read`` take.

    A :class:`Message` does, any other :class:`Entry`, what a sent message has become
    (:class:`~gochat.client.Sent`), and a :class:`MessageId`.
    """

    @property
    def conversation(self) -> str:
        """The conversation, as the person sees it."""
        ...

    @property
    def seq(self) -> int:
        """Its number there."""
        ...


class MessageId(Struct, frozen=True, gc=False):
    """Names a message: its conversation, and its seq there, which counts from 1."""

    conversation: str
    seq: int


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """What all entries have.

    `conversation` is where, as the person sees it: ``#lobby``, ``#room``, or ``@name``. `sender`
    wrote it; `is_own`: that was this person, on whichever device. `seq` numbers the entries of a
    conversation without gaps, within the history `epoch`. `cid` is what an own message had as
    :class:`~gochat.client.Outgoing`.
    """

    conversation: str
    sender: str
    is_own: bool
    time: datetime
    epoch: str
    seq: int
    cid: str | None = None

    @property
    def is_private(self) -> bool:
        """Whether the conversation is one of two people."""
        return self.conversation.startswith("@")


class Message(Entry, frozen=True, kw_only=True):
    """Somebody said something.

    Of a `form` of ``action`` the text is what the sender does ("* mei waves"); a ``notice`` is from
    a program, and must not be answered by one. `meta` is what the sender's program says, with keys
    as ``prefix/name``; it proves nothing. `mentions` are the names of those whom the text mentions,
    after ``"@room"`` if it mentions everybody in the room.

    In pages it is as it reads now: `edited` is the seq of the edit whose text it has, `deleted`
    means that it was deleted, `pinned` that it is pinned, and `reactions` are those at that moment.
    """

    text: str
    form: Form = "text"
    meta: Mapping[str, str] = {}
    mentions: tuple[str, ...] = ()
    reply_to: MessageId | None = None
    edited: int | None = None
    deleted: bool = False
    pinned: bool = False
    reactions: tuple[Reaction, ...] = ()


class MessageEdited(Entry, frozen=True, kw_only=True):
    """`message` now reads `text`.

    With `deleted` the text is gone, and nothing changes by this: another edit, or the message's
    deletion, has followed, or the message is hidden from this person.
    """

    message: MessageId
    text: str
    mentions: tuple[str, ...] = ()
    deleted: bool = False


class MessageDeleted(Entry, frozen=True, kw_only=True):
    """`message` was deleted by its author, or by an operator."""

    message: MessageId
    reason: str = ""


class ReactionAdded(Entry, frozen=True, kw_only=True):
    """The sender reacted to `message` with `emoji`, which is empty if the message is hidden."""

    message: MessageId
    emoji: str


class ReactionRemoved(Entry, frozen=True, kw_only=True):
    """The sender took `emoji` back from `message`; it is empty if the message is hidden."""

    message: MessageId
    emoji: str


class MessagePinned(Entry, frozen=True, kw_only=True):
    """The sender pinned `message`, for everybody in the conversation."""

    message: MessageId


class MessageUnpinned(Entry, frozen=True, kw_only=True):
    """The sender unpinned `message`."""

    message: MessageId


class RoomCreated(Entry, frozen=True, kw_only=True):
    """The sender created the room, and is its operator."""

    private: bool


class PersonJoined(Entry, frozen=True, kw_only=True):
    """The sender joined the room."""


class PersonLeft(Entry, frozen=True, kw_only=True):
    """The sender left the room."""

    reason: str = ""


class PersonInvited(Entry, frozen=True, kw_only=True):
    """The sender invited `name` to the room. Who is invited gets
    :class:`~gochat.client.Invited`."""

    name: str


class PersonKicked(Entry, frozen=True, kw_only=True):
    """The sender, an operator, removed `name` from the room, or took their invitation back."""

    name: str
    reason: str = ""


class PersonBanned(Entry, frozen=True, kw_only=True):
    """The sender, an operator, banned `name` from the room: removed them, if they were in it, and
    keeps them out for `duration`; None: until the ban is lifted."""

    name: str
    duration: timedelta | None = None
    reason: str = ""


class PersonUnbanned(Entry, frozen=True, kw_only=True):
    """The sender lifted the ban of `name`."""

    name: str


class SlowModeChanged(Entry, frozen=True, kw_only=True):
    """The sender set how long a member waits between two messages; zero: not at all."""

    interval: timedelta


class AnnouncementsChanged(Entry, frozen=True, kw_only=True):
    """From now on only operators write in the room (`on`), or all members."""

    on: bool


class ArchiveChanged(Entry, frozen=True, kw_only=True):
    """The sender archived the room, in which nobody writes then, or brought it back."""

    archived: bool


class RoomHandedOver(Entry, frozen=True, kw_only=True):
    """Who runs the server made the sender an operator of the room, and a member before that."""


class InvitationDeclined(Entry, frozen=True, kw_only=True):
    """The sender turned down an invitation to the room."""


class TopicChanged(Entry, frozen=True, kw_only=True):
    """The sender set the room's topic."""

    topic: str


class OperatorAdded(Entry, frozen=True, kw_only=True):
    """The sender made `name` an operator of the room."""

    name: str


class OperatorRemoved(Entry, frozen=True, kw_only=True):
    """The sender made `name` an ordinary member again."""

    name: str


class AccessChanged(Entry, frozen=True, kw_only=True):
    """The sender made the room private (by invitation only), or public."""

    private: bool


class HistoryChanged(Entry, frozen=True, kw_only=True):
    """The sender chose whether people who join from now on can read older entries."""

    history: HistorySetting


class UnknownEntry(Entry, frozen=True, kw_only=True):
    """An entry of a `kind` that this version of the library doesn't know: the server is newer.

    It counts in `seq` like any other. Show nothing of it.
    """

    kind: str


LogEntry: TypeAlias = (
    Message | MessageEdited | MessageDeleted | ReactionAdded | ReactionRemoved
    | MessagePinned | MessageUnpinned
    | RoomCreated | PersonJoined | PersonLeft | PersonInvited | PersonKicked | InvitationDeclined
    | PersonBanned | PersonUnbanned | SlowModeChanged | AnnouncementsChanged | ArchiveChanged
    | RoomHandedOver
    | TopicChanged | OperatorAdded | OperatorRemoved | AccessChanged | HistoryChanged
    | UnknownEntry
)  # fmt: skip
