"""What a store holds, in no engine's terms: how one is read for a copy, and how a copy is written.

Each engine has a :class:`Source` and a :class:`Target`; :mod:`gochat.storage.transfer.copy` carries
from one to the other, and compares. Everything blocks, and comes in bounded pieces: entries a few
at a time, people and conversations by the hundred. What is kept of one conversation besides its
entries comes at once.

What can be made of the rest is not carried: how many messages there are up to a marker, who is
mentioned where, the search index, how many members a room has. Nor is what lives for minutes: the
feed that nodes follow, and who is online.

All methods raise :exc:`~gochat.errors.StoreUnavailable` and
:exc:`~gochat.errors.StoreCorrupt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from msgspec import Struct

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.store import Token
from gochat.protocol.messages import EntryKind, HistorySetting, Level

#: People, and sessions, that come together.
MANY: Final = 500
#: Conversations that come together.
GROUP: Final = 100


class AccountRecord(Struct, array_like=True, frozen=True):
    """An account, and how its owner stands in the lobby, where everybody is."""

    key: NameKey
    name: str
    password_hash: str
    created: int
    read: int
    level: Level
    generation: int = 0


class ConversationRecord(Struct, array_like=True, frozen=True):
    """A conversation. Its entries are those from seq `base` + 1 to `head`; `name` is empty where it
    is private, and `private` also says that a room is by invitation. `history` and `floor` are of
    rooms (:mod:`gochat.chat.history`)."""

    key: ConversationKey
    name: str
    topic: str
    private: bool
    base: int
    head: int
    history: HistorySetting = "shown"
    floor: int = 0


class ParticipantRecord(Struct, array_like=True, frozen=True):
    """Somebody in a conversation; `role` is empty where nobody has one."""

    person: NameKey
    name: str
    role: str
    since: int
    read: int
    level: Level
    floor: int = 0


class ReactionRecord(Struct, array_like=True, frozen=True):
    """A reaction that somebody has given, by the entry with this seq."""

    seq: int
    emoji: str
    name: str


class EntryRecord(Struct, array_like=True, frozen=True):
    """An entry of the log as it reads now. `sender` and `mentions`, between commas, are names as
    they are shown. `edited`: of a text, the seq of its last edit, the only one that is not
    `deleted`. What is not there is empty or 0."""

    seq: int
    ts: int
    sender: str
    kind: EntryKind
    text: str
    ref: int
    cid: str
    mentions: str
    edited: int
    deleted: bool
    reactions: tuple[ReactionRecord, ...] = ()


class Source(Protocol):
    """A store that nobody changes meanwhile, to be read."""

    def fingerprint(self) -> str:
        """Return what is the same only while nothing is appended."""
        ...

    def require_idle(self) -> None:
        """Raise :exc:`~gochat.errors.StoreUnavailable` if a server uses it."""
        ...

    def conversations(self) -> Iterator[Sequence[ConversationRecord]]:
        """Yield all conversations, at most :data:`GROUP` at once. The lobby is always there."""
        ...

    def find(self, keys: Sequence[ConversationKey]) -> list[ConversationRecord | None]:
        """Return these conversations, None for each that there isn't."""
        ...

    def entries(
        self, wanted: Sequence[tuple[ConversationRecord, int]], limit: int
    ) -> list[list[EntryRecord]]:
        """Return the first entries, at most `limit`, behind a seq; for each conversation."""
        ...

    def participants(self, records: Sequence[ConversationRecord]) -> list[list[ParticipantRecord]]:
        """Return who is in each of these, in the order of their keys; of the lobby nobody."""
        ...

    def people(self) -> Iterator[Sequence[AccountRecord]]:
        """Yield everybody, at most :data:`MANY` at once."""
        ...

    def tokens(self, now: int) -> Iterator[Sequence[Token]]:
        """Yield the sessions that have not ended, at most :data:`MANY` at once."""
        ...


class Target(Protocol):
    """A copy that is made. What was there when it was interrupted stays; all but `extend` may be
    done again, with the same result."""

    #: The new store so far; read to go on, and to compare.
    contents: Source

    def heads(self, records: Sequence[ConversationRecord]) -> list[int]:
        """Return the seq of the last entry that is there already, `base` if there is none."""
        ...

    def extend(self, pieces: Sequence[tuple[ConversationRecord, Sequence[EntryRecord]]]) -> None:
        """Add the next entries of these conversations."""
        ...

    def describe(
        self, described: Sequence[tuple[ConversationRecord, Sequence[ParticipantRecord]]]
    ) -> None:
        """Set what else there is of conversations, whose entries are all there."""
        ...

    def put_people(self, people: Sequence[AccountRecord]) -> None:
        """Set accounts. All conversations are there."""
        ...

    def forget_tokens(self) -> None:
        """Drop all sessions: they are copied again."""
        ...

    def put_tokens(self, tokens: Sequence[Token], now: int) -> None:
        """Add sessions. All accounts are there."""
        ...

    def complete(self) -> int:
        """Make what follows from the rest. Return how many cids are not kept, because their sender
        has used them again, and this engine knows each once."""
        ...

    def publish(self) -> None:
        """Let servers use it."""
        ...
