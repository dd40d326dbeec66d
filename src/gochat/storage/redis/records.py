"""What is in Redis, taken apart: entries of the log and of the feed; and messages made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from gochat.chat import conversations
from gochat.chat.conversations import ConversationKey
from gochat.chat.facts import Facts
from gochat.chat.names import NameKey, known
from gochat.chat.store import Logged
from gochat.protocol.messages import EntryKind, Level, Message, Reaction

#: The kind of what is in a feed but is no entry: a new epoch begins behind it.
NEW_EPOCH = "epoch"


class Record(Struct, array_like=True, frozen=True):
    """An entry as the log has it. ``append.lua`` writes these, too.

    `position` is in the partition's feed; `stamp`, in microseconds of the server's clock, orders
    the entries of all conversations. `texts` counts the messages up to this entry. `edited`: of a
    text, the seq of its last edit; of an edit, 0, or, as older versions of gochat left it, the seq
    of the edit before it, which is not erased yet. `mentions` are names with commas between them.
    What is not there is empty or 0.
    """

    ts: int
    position: int
    stamp: int
    texts: int
    edited: int
    deleted: int
    sender: str
    kind: EntryKind
    ref: int
    cid: str
    text: str
    mentions: str


class FeedEntry(Struct, array_like=True, frozen=True):
    """An entry as a feed has it: as it was said."""

    conversation: ConversationKey
    seq: int
    to: str
    subject: NameKey
    ts: int
    sender: str
    kind: EntryKind
    ref: int
    cid: str
    text: str
    mentions: str
    floor: int = 0

    def logged(self, epoch: str) -> Logged:
        """Return the entry as followers get it."""
        entry = Message(
            to=self.to,
            epoch=epoch,
            seq=self.seq,
            ts=self.ts,
            from_=self.sender,
            kind=self.kind,
            text=self.text,
            ref=self.ref or None,
            cid=self.cid or None,
            mentions=_names(self.mentions),
        )
        return Logged(self.conversation, entry, self.subject or None, self.floor)


class PackedDraft(Struct, frozen=True, kw_only=True):
    """A draft as ``append.lua`` takes it. What is not there is empty or 0; `now` is 0 for the
    clock of Redis. `people` are those of a private conversation: key and name of the sender, and of
    the other, if that is another."""

    now: int
    kind: str
    conversation: str
    to: str
    sender: str
    sender_name: str
    text: str
    ref: int
    cid: str
    mentions: str
    subject: str
    subject_name: str
    claim_memory: int
    feed_entries: int
    keep: int
    people: tuple[str, ...]
    max_ahead: int
    max_gate: int
    facts: Facts | None


class ParticipantRow(Struct, array_like=True, frozen=True):
    """A participant of a conversation. The scripts write these.

    `role` is empty where nobody has one; `read` is the seq of the read marker, and `texts` how many
    messages there are up to it. `floor`: see :mod:`gochat.chat.history`; rows from before there was
    one have none.
    """

    name: str
    role: str
    since: int
    read: int
    texts: int
    level: Level
    floor: int = 0


decode_row = msgspec.msgpack.Decoder(ParticipantRow).decode
decode_record = msgspec.msgpack.Decoder(Record).decode
decode_feed_entry = msgspec.msgpack.Decoder(FeedEntry).decode


class Shape:
    """How entries of one conversation look: what is the same for all of them."""

    __slots__ = ("_conversation", "_epoch", "_name_of", "_room")

    def __init__(
        self,
        conversation: ConversationKey,
        epoch: str,
        room: str,
        name_of: Callable[[NameKey], str],
    ) -> None:
        self._conversation = conversation
        self._epoch = epoch
        self._room = room
        self._name_of = name_of

    def to(self, sender: str) -> str:
        """Return where `sender` sends what they write here."""
        if not conversations.is_private(self._conversation):
            return self._room
        return "@" + self._name_of(conversations.peer(self._conversation, known(sender)))

    def message(self, seq: int, record: Record) -> Message:
        """Return the message of a record, without its reactions."""
        return Message(
            to=self.to(record.sender),
            epoch=self._epoch,
            seq=seq,
            ts=record.ts,
            from_=record.sender,
            kind=record.kind,
            text=record.text,
            ref=record.ref or None,
            cid=record.cid or None,
            mentions=_names(record.mentions),
            edited=(record.edited or None) if record.kind == "text" else None,
            deleted=bool(record.deleted),
        )


def reaction(given: Sequence[bytes | int]) -> tuple[int, Reaction]:
    """Return the seq of a message, and a reaction to it, from what ``page.lua`` says of it."""
    target, emoji, count, is_mine, *names = given
    assert isinstance(emoji, bytes)
    assert isinstance(target, int)
    assert isinstance(count, int)
    return target, Reaction(
        emoji=emoji.decode(),
        count=count,
        names=tuple(name.decode() for name in names if isinstance(name, bytes)),
        me=bool(is_mine),
    )


def _names(mentions: str) -> tuple[str, ...]:
    return tuple(mentions.split(",")) if mentions else ()
