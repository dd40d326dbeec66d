"""The log of a conversation: what is appended to it, and what is read from it.

Every conversation is a log of entries with seq 1, 2, 3 … without gaps, of which the oldest may no
longer be kept (:mod:`gochat.chat.retention`). An entry is more than a line
of chat: a join, a topic, an edit are entries too, and the commit that appends them also changes
what they affect (the list of members, the current text). So the log is the one history of all that
happened, and everything else is a view of it.

Entries are ordered by seq, not by time. Within a conversation `ts` never decreases, unless the
clock was wrong by more than :data:`MAX_AHEAD`. If the clock is set back by less, `ts` stays where
it is until the clock has caught up; if the conversation is further ahead, the next entry returns to
the clock. So many entries can have one `ts`, but only those of at most :data:`MAX_AHEAD`: for that
long, `ts` and seq don't tell an entry from another one that a rewritten log has in its place. The
epoch does: each log has its own, and a store that lost data changes it. A room is never deleted, so
its name never stands for another log in the same epoch. The clock is that of the store, one for all
nodes: on Redis that of the Redis server, not of the node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct

from gochat.chat import extras
from gochat.chat.conversations import ConversationKey
from gochat.chat.emoji import normalise
from gochat.chat.facts import Facts
from gochat.chat.names import NameKey
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.messages import EntryKind, Message

#: Milliseconds for which the time of a conversation may be ahead of the clock. More than the error
#: of a clock that is kept by NTP or corrected by hand; little enough that after a jump of the clock
#: new entries soon have its time again.
MAX_AHEAD: Final = 5 * 60 * 1000

#: The kinds of entries that change a message.
OF_MESSAGES: Final[frozenset[EntryKind]] = frozenset(
    {"edit", "delete", "react", "unreact", "pin", "unpin"}
)


class Draft(Struct, frozen=True, kw_only=True, gc=False):
    """An entry that is to be appended to the log.

    `to`, `sender`, `kind`, `text`, `ref`, `cid` and `mentions` become the entry's
    (:class:`~gochat.protocol.messages.Message`); `conversation` and `sender_key` are the keys.
    `subject` is the key of the person whom an ``invite``, ``kick``, ``ban``, ``unban``,
    ``operator`` or ``member`` entry is about, and `mentioned` the keys of `mentions`: none where
    everybody is mentioned. `facts` is what the decision to allow the draft was based on, where that
    can change. `extra` is what :mod:`gochat.chat.extras` makes of the entry's form, metadata and
    reason.
    """

    conversation: ConversationKey
    to: str
    sender_key: NameKey
    sender: str
    kind: EntryKind = "text"
    text: str = ""
    ref: int | None = None
    cid: str | None = None
    mentions: tuple[str, ...] = ()
    mentioned: tuple[NameKey, ...] = ()
    subject: NameKey | None = None
    facts: Facts | None = None
    extra: str = ""

    def is_repeated_by(self, entry: Message) -> bool:
        """Return True if an entry, in its current form, is what this draft makes.

        Its kind, text, ref and extras are equal. An edited or deleted text counts as equal, and so
        does another spelling of an emoji.
        """
        if (entry.kind, entry.ref) != (self.kind, self.ref):
            return False
        if not entry.deleted and extras.of_entry(entry) != self.extra:
            return False
        if entry.text == self.text or entry.deleted or entry.edited is not None:
            return True
        emoji = normalise(entry.text) if entry.kind in ("react", "unreact") else None
        return emoji is not None and emoji == normalise(self.text)


class Appended(Struct, frozen=True, gc=False):
    """A draft that is committed.

    With `dup` it was committed before, and `entry` is that entry in its current form.
    """

    entry: Message
    dup: bool = False


class Unchanged(Struct, frozen=True):
    """A draft that was not appended, because what it asks for is so already."""


#: What became of drafts, in their order.
Outcomes: TypeAlias = Sequence[Appended | Unchanged | ChatError]

#: Is called with them, or with why there are none.
Done: TypeAlias = Callable[[Outcomes | StoreUnavailable], None]


#: A context around what is delivered and answered in one step of the Trio thread.
Together: TypeAlias = Callable[[], AbstractContextManager[object]]


class Submission(NamedTuple):
    """Drafts to append, and what is called with their outcomes."""

    drafts: Sequence[Draft]
    done: Done


class Logged(Struct, frozen=True, gc=False):
    """An entry with the key of its conversation; `subject` as in :class:`Draft`.

    `floor`, of a ``join``: the floor of the person who joins (:mod:`gochat.chat.history`). `topic`,
    of an ``invite``: that of the room. `uninvited` are those whose invitation this entry ended.
    `author`: of a reply in a room, and of a reaction given or taken back, who wrote the message
    that it is about, unless that is its sender.
    """

    conversation: ConversationKey
    entry: Message
    subject: NameKey | None = None
    floor: int = 0
    topic: str = ""
    uninvited: tuple[NameKey, ...] = ()
    author: NameKey | None = None


class Batch(Struct, frozen=True):
    """The entries that one or more commits added, in order."""

    entries: Sequence[Logged]


class Page(Struct, frozen=True):
    """Contiguous entries in the order of seq; `head` is the newest seq of the conversation.

    `floor` is the viewer's: entries up to it are left out. `is_inside` is whether the viewer was in
    the room at the moment of reading; for the lobby and private conversations it is always true.
    Entries up to `base` are no longer kept (:mod:`gochat.chat.retention`).
    """

    epoch: str
    head: int
    entries: Sequence[Message]
    is_inside: bool = True
    floor: int = 0
    base: int = 0


class Waiting(Struct, frozen=True):
    """Messages of others in a conversation, in the order of seq.

    All entries up to `read_to` were examined, which may be many more than the messages. While
    `read_to` is less than `head`, there are more to examine.
    """

    head: int
    read_to: int
    messages: Sequence[Message]
