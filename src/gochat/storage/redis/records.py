"""Decode records of the log and the feed, and make messages from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from gochat.chat import conversations
from gochat.chat.conversations import ConversationKey
from gochat.chat.extras import extended
from gochat.chat.facts import Facts
from gochat.chat.log import Logged
from gochat.chat.names import NameKey, known
from gochat.protocol.messages import EntryKind, Level, Message, Reaction, RoomBan, TokenScope

#: The kind of a feed element that is not an entry: a new epoch begins after it.
NEW_EPOCH = "epoch"


class Record(Struct, array_like=True, frozen=True):
    """An entry as stored in the log, also by ``append.lua``.

    `position` is its position in the partition's feed. `stamp`, in microseconds of the server's
    clock, orders the entries of all conversations. `texts` counts the messages up to this entry.
    `edited`: for a text, the seq of its last edit; for an edit, 0 or, in data from older versions
    of gochat, the seq of the previous edit, which is not erased yet. `mentions` are comma-separated
    names, `extra` is of :mod:`gochat.chat.extras`. `pinned`: the seq of the entry that pinned it.
    Missing values are empty or 0.
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
    extra: str = ""
    pinned: int = 0


class TokenRecord(Struct, array_like=True, frozen=True):
    """A session token as stored, also by ``token_add.lua``: see :class:`gochat.chat.token.Token`.

    `digest` is in hexadecimal digits.
    """

    digest: str
    generation: int
    device: str
    address: str
    created: int
    seen: int
    expires: int
    scopes: tuple[TokenScope, ...]
    rooms: tuple[ConversationKey, ...]


class InvitationRecord(Struct, array_like=True, frozen=True):
    """An invitation to the server as stored, also by ``invitation_take.lua``.

    See :class:`gochat.chat.admission_store.ServerInvitation`; what is missing is empty.
    """

    maker: str
    room: str
    note: str
    uses: int
    created: int
    expires: int


class FeedEntry(Struct, array_like=True, frozen=True):
    """An entry as stored in a feed: as it was appended. `author` is a display name."""

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
    extra: str = ""
    topic: str = ""
    uninvited: tuple[NameKey, ...] = ()
    author: str = ""

    def logged(self, epoch: str) -> Logged:
        """Return the entry as followers receive it."""
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
        entry = extended(entry, self.extra)
        return Logged(
            self.conversation,
            entry,
            self.subject or None,
            self.floor,
            self.topic,
            self.uninvited,
            known(self.author) if self.author else None,
        )


class PackedDraft(Struct, frozen=True, kw_only=True):
    """A draft as ``append.lua`` takes it. Missing values are empty or 0.

    `now` is 0 for the clock of Redis. `people` belong to a private conversation: key and name of
    each participant. `has_claim`: the claim of its cid is on the same server. `seconds` and
    `reason` are those of a ban.
    """

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
    extra: str
    subject: str
    subject_name: str
    claim_memory: int
    feed_entries: int
    keep: int
    people: tuple[str, ...]
    max_ahead: int
    max_gate: int
    activity_kept: int
    max_pins: int
    facts: Facts | None
    has_claim: bool
    seconds: int
    reason: str


class ParticipantRow(Struct, array_like=True, frozen=True):
    """A participant of a conversation. The scripts write these, too.

    `role` is empty in a private conversation. `read` is the seq of the read marker, and `texts` the
    number of messages up to it. `floor`: see :mod:`gochat.chat.history`. `inviter` is the name of
    who invited a person who is not a member yet. Older rows have neither.
    """

    name: str
    role: str
    since: int
    read: int
    texts: int
    level: Level
    floor: int = 0
    inviter: str = ""


class BanRow(Struct, array_like=True, frozen=True):
    """A ban of a person from a room, by whom and since when; `ends` is 0 if it has to be lifted.

    ``append.lua`` writes these, too. Names are display names.
    """

    name: str
    by: str
    since: int
    ends: int
    reason: str

    def shown(self) -> RoomBan:
        """Return it as operators get it."""
        return RoomBan(
            name=self.name, by=self.by, ts=self.since, until=self.ends, reason=self.reason
        )

    def holds(self, now: int) -> bool:
        """Whether it has not ended at `now`."""
        return not self.ends or self.ends > now


decode_ban = msgspec.msgpack.Decoder(BanRow).decode
decode_row = msgspec.msgpack.Decoder(ParticipantRow).decode
decode_record = msgspec.msgpack.Decoder(Record).decode
decode_feed_entry = msgspec.msgpack.Decoder(FeedEntry).decode


class Shape:
    """Make messages from records of one conversation, with what all its entries share."""

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
        """Return the address that `sender` uses for this conversation."""
        if not conversations.is_private(self._conversation):
            return self._room
        return "@" + self._name_of(conversations.peer(self._conversation, known(sender)))

    def message(self, seq: int, record: Record) -> Message:
        """Return the message of a record, without its reactions."""
        entry = Message(
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
            pinned=record.pinned > 0,
        )
        return extended(entry, record.extra)


def reaction(given: Sequence[bytes | int]) -> tuple[int, Reaction]:
    """Return the seq of a message, and a reaction to it, from a reply of ``page.lua``."""
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
