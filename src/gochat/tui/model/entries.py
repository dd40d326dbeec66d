"""What is seen of a conversation: its entries, and the changes that happen to them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gochat.protocol.messages import EntryKind, Form
from gochat.tui.model.reactions import Tally

MessageState: TypeAlias = Literal["sent", "pending", "failed"]


@dataclass(slots=True, kw_only=True, eq=False)
class TimelineEntry:
    """What is seen of one log entry, or of one message on its way there.

    `key` is unique in the timeline. It is the seq, or the `cid` of what has no seq yet, or for what
    is in no log a name of its own. That is what has the `kind` ``presence`` (somebody came online)
    or ``hidden``: what was written before is hidden from this person.
    """

    key: str
    kind: EntryKind | Literal["presence", "hidden"]
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
    edited: int | None = None
    deleted: bool = False
    mention: bool = False
    reply_to: int | None = None
    reply: tuple[str, str] | None = None
    reactions: dict[str, Tally] = field(default_factory=dict)
    #: Of a pending message: its index in the outbox, in whose order messages are sent.
    outbox_index: int = 0
    #: What the log held when the server described this entry: changes up to there are in it.
    as_of: int = 0


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
