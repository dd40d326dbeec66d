"""Rows of the log, and the messages made from them."""

# ruff: noqa: S608 -- the statements contain only this package's own lists of columns

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from hashlib import blake2b
from sys import intern
from typing import Final, TypeAlias, TypeVar, cast

from msgspec import structs

from gochat.chat import conversations
from gochat.chat.conversations import ConversationKey
from gochat.chat.extras import extended
from gochat.chat.log import Appended, Draft
from gochat.chat.names import NameKey
from gochat.chat.refusals import cid_conflict
from gochat.protocol.messages import EntryKind, Message, Reaction
from gochat.storage.sqlite.errors import required

#: An entry's id is its conversation's id, shifted left by this, plus its seq.
SEQ_BITS: Final = 32
MAX_SEQ: Final = (1 << SEQ_BITS) - 1
#: Names in a reaction: enough to show who reacted; the others are only counted.
MAX_REACTION_NAMES: Final = 10

#: A row of :data:`COLUMNS`.
Row: TypeAlias = tuple[
    int,
    int,
    str,
    str,
    EntryKind,
    str,
    int | None,
    str | None,
    str | None,
    int | None,
    int,
    str | None,
    int | None,
]
#: Columns of :data:`FROM`; `a` is the sender's account.
COLUMNS: Final = (
    "e.id, e.ts, a.name, e.sender, e.kind, e.text, e.ref, e.cid, e.mentions, e.edited, e.deleted,"
    " e.extra, e.pinned"
)
FROM: Final = "entry e JOIN account a ON a.key = e.sender"


def last_position(db: sqlite3.Connection) -> int:
    """Return the position of the log's last entry; 0 if it is empty. Looks at each conversation."""
    (position,) = db.execute(
        "SELECT max((SELECT e.position FROM entry e WHERE e.id BETWEEN c.id << ?1"
        " AND (c.id << ?1) + ?2 ORDER BY e.id DESC LIMIT 1)) FROM conversation c",
        (SEQ_BITS, MAX_SEQ),
    ).fetchone()
    return position or 0


Word = TypeVar("Word", bound=str)


def shared(word: Word) -> Word:
    """Return the object that the code has for this word.

    A field is left out on the wire if it is the default itself: an equal string is sent.
    """
    return cast("Word", intern(word))


def first_id(conversation: int) -> int:
    """Return the id before a conversation's first entry, that of seq 0."""
    return conversation << SEQ_BITS


def last_id(conversation: int) -> int:
    """Return the highest id that an entry of a conversation can have."""
    return conversation << SEQ_BITS | MAX_SEQ


class Shape:
    """Make messages from rows of one conversation, with what all its entries share."""

    __slots__ = ("_epoch", "_peers", "_room")

    def __init__(
        self, db: sqlite3.Connection, key: ConversationKey, room: str | None, epoch: str
    ) -> None:
        self._epoch = epoch
        self._room = room or ""
        #: In a private conversation: the address to which each of the two writes.
        self._peers: dict[str, str] = {}
        if room is None:
            for person in conversations.participants(key):
                peer = conversations.peer(key, person)
                row = db.execute("SELECT name FROM account WHERE key = ?", (peer,)).fetchone()
                self._peers[person] = "@" + required(row, f"the account of {peer}")[0]

    def to(self, sender: NameKey) -> str:
        """Return the address that `sender` uses for this conversation."""
        return self._room or self._peers[sender]

    def message(self, row: Row) -> Message:
        """Return the message for a row, without its reactions."""
        id_, ts, name, sender, kind, text, ref, cid, mentions, edited, deleted, extra, pinned = row
        entry = Message(
            to=self._room or self._peers[sender],
            epoch=self._epoch,
            seq=id_ & MAX_SEQ,
            ts=ts,
            from_=name,
            kind=shared(kind),
            text=text,
            ref=ref,
            cid=cid,
            mentions=tuple(mentions.split(",")) if mentions else (),
            edited=edited,
            deleted=bool(deleted),
            pinned=pinned is not None,
        )
        return extended(entry, extra)

    def dropped(self, draft: Draft, seq: int, ts: int, name: str) -> Message:
        """Return the message that a draft made before, and that is no longer kept."""
        return Message(
            to=self.to(draft.sender_key),
            epoch=self._epoch,
            seq=seq,
            ts=ts,
            from_=name,
            kind=draft.kind,
            text=draft.text,
            ref=draft.ref,
            cid=draft.cid,
        )


def find_by_cid(
    db: sqlite3.Connection,
    draft: Draft,
    conversation: int | None,
    shape: Shape | None,
    *,
    has_dropped: bool = True,
) -> Appended | None:
    """Return the entry with the `cid` of a draft, if its sender has used it before.

    `shape` belongs to the draft's conversation, if that exists. Of an entry that is no longer kept,
    the draft has the text; without `has_dropped` there are none.

    Raises:
        ChatError: ``cid_conflict``: the entry differs, or is in another conversation.
    """
    row = db.execute(
        f"SELECT {COLUMNS} FROM {FROM} WHERE e.sender = ? AND e.cid = ?",
        (draft.sender_key, draft.cid),
    ).fetchone()
    if row is None:
        return _find_dropped(db, draft, conversation, shape) if has_dropped else None
    if conversation is not None and shape is not None and row[0] >> SEQ_BITS == conversation:
        entry = shape.message(row)
        if draft.is_repeated_by(entry):
            (entry,) = with_reactions(db, conversation, [entry], draft.sender_key)
            return Appended(entry, dup=True)
    raise cid_conflict()


def _find_dropped(
    db: sqlite3.Connection, draft: Draft, conversation: int | None, shape: Shape | None
) -> Appended | None:
    if draft.cid is None:
        return None
    row = db.execute(
        "SELECT entry, ts FROM dropped_cid WHERE digest = ?",
        (cid_digest(draft.sender_key, draft.cid),),
    ).fetchone()
    if row is None:
        return None
    id_, ts = row
    if conversation is None or shape is None or id_ >> SEQ_BITS != conversation:
        raise cid_conflict()
    query = "SELECT name FROM account WHERE key = ?"
    (name,) = required(
        db.execute(query, (draft.sender_key,)).fetchone(), f"the account of {draft.sender_key}"
    )
    return Appended(shape.dropped(draft, id_ & MAX_SEQ, ts, name), dup=True)


def cid_digest(sender: NameKey, cid: str) -> bytes:
    """Return what is remembered of the cid of an entry that is no longer kept."""
    return blake2b(f"{sender}\0{cid}".encode(), digest_size=10).digest()


def has_dropped_cids(db: sqlite3.Connection) -> bool:
    """Return whether entries with a cid are no longer kept."""
    return db.execute("SELECT 1 FROM dropped_cid LIMIT 1").fetchone() is not None


def with_reactions(
    db: sqlite3.Connection,
    conversation: int,
    messages: Iterable[Message],
    viewer: NameKey | None,
) -> list[Message]:
    """Return contiguous messages of a conversation with their reactions, as `viewer` sees them."""
    messages = list(messages)
    if not messages:
        return messages
    base = first_id(conversation)
    span = (base + messages[0].seq, base + messages[-1].seq)
    # Most messages have no or few reactions. Where many people react, query only the people to be
    # named.
    groups = db.execute(
        "SELECT entry, emoji, count(*), max(person = ?) FROM reaction"
        " WHERE entry BETWEEN ? AND ? GROUP BY entry, emoji ORDER BY entry, min(seq)",
        (viewer, *span),
    ).fetchall()
    if not groups:
        return messages
    named: dict[tuple[int, str], list[str]] = {}
    if max(count for _, _, count, _ in groups) <= MAX_REACTION_NAMES:
        for entry, emoji, person in db.execute(
            "SELECT entry, emoji, person FROM reaction WHERE entry BETWEEN ? AND ?"
            " ORDER BY entry, seq",
            span,
        ):
            named.setdefault((entry, emoji), []).append(person)
    else:
        for entry, emoji, _, _ in groups:
            rows = db.execute(
                "SELECT person FROM reaction WHERE entry = ? AND emoji = ? ORDER BY seq LIMIT ?",
                (entry, emoji, MAX_REACTION_NAMES),
            )
            named[entry, emoji] = [person for (person,) in rows]
    names: dict[str, str] = {}
    for person in {person for people in named.values() for person in people}:
        row = db.execute("SELECT name FROM account WHERE key = ?", (person,)).fetchone()
        names[person] = required(row, f"the account of {person}")[0]
    given: dict[int, list[Reaction]] = {}
    for entry, emoji, count, me in groups:
        people = tuple(names[person] for person in named[entry, emoji])
        reaction = Reaction(emoji=emoji, count=count, names=people, me=bool(me))
        given.setdefault(entry - base, []).append(reaction)
    return [
        structs.replace(message, reactions=tuple(given[message.seq]))
        if message.seq in given
        else message
        for message in messages
    ]
