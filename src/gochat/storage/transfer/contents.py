"""The contents of a store, independent of the engine: how a copy reads and writes them.

Each engine has a :class:`Source` and a :class:`Target`; :mod:`gochat.storage.transfer.copy` copies
from one to the other, and compares them. All methods block, and work in bounded pieces: entries a
few at a time, people and conversations by the hundred. Everything else about one conversation comes
at once.

Derived data is not copied but made anew: unread counts, mentions, what concerns people, the search
index, member counts. Neither is short-lived data copied: the feed that nodes follow, and presence.

All methods raise :exc:`~gochat.errors.StoreUnavailable` and :exc:`~gochat.errors.StoreCorrupt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from gochat.chat.account import Account
from gochat.chat.administration import AuditEntry
from gochat.chat.admission_store import ServerInvitation
from gochat.chat.conversations import ConversationKey
from gochat.chat.modes import Modes
from gochat.chat.names import NameKey
from gochat.chat.reports import Report
from gochat.chat.restriction import Restriction
from gochat.chat.retention import Rule
from gochat.chat.saved import SavedRef
from gochat.chat.token import Token
from gochat.protocol.messages import EntryKind, HistorySetting, Level

#: Accounts, or sessions, per piece.
MANY: Final = 500
#: Conversations per piece.
GROUP: Final = 100


class AccountRecord(Struct, array_like=True, frozen=True):
    """An account, with its owner's marker and level in the lobby, where everybody is a member.

    `blocked` are the people whom the owner blocks, in order. `activity_seen`: up to when the owner
    has seen their activity (:mod:`gochat.chat.activity`). `saved`: what they have saved
    (:mod:`gochat.chat.saved`), what was saved last first.
    """

    account: Account
    read: int
    level: Level
    blocked: tuple[NameKey, ...] = ()
    activity_seen: int = 0
    saved: tuple[SavedRef, ...] = ()


class BanRecord(Struct, array_like=True, frozen=True):
    """A ban from a room; `name` and `by` are display names, `until` is 0 without an end."""

    person: NameKey
    name: str
    by: str
    since: int
    until: int
    reason: str


class ConversationRecord(Struct, array_like=True, frozen=True):
    """A conversation, with entries from seq `base` + 1 to `head`.

    `name` is empty for a private conversation; `private` also marks a room by invitation. `history`
    and `floor` are for rooms (:mod:`gochat.chat.history`), and so are
    `bans`, ordered by key, and `modes`.
    """

    key: ConversationKey
    name: str
    topic: str
    private: bool
    base: int
    head: int
    history: HistorySetting = "shown"
    floor: int = 0
    bans: tuple[BanRecord, ...] = ()
    modes: Modes = Modes()


class ParticipantRecord(Struct, array_like=True, frozen=True):
    """A participant of a conversation; `role` is empty in a private conversation.

    `inviter` is the name of who invited a person who is not a member yet, if it is known.
    """

    person: NameKey
    name: str
    role: str
    since: int
    read: int
    level: Level
    floor: int = 0
    inviter: str = ""


class ReactionRecord(Struct, array_like=True, frozen=True):
    """A reaction of a person, from the entry `seq`."""

    seq: int
    emoji: str
    name: str


class EntryRecord(Struct, array_like=True, frozen=True):
    """A log entry as it reads now.

    `sender` and `mentions` (comma-separated) are display names. `edited` is the seq of a text's
    last edit, the only edit that is not `deleted`. `extra` is of :mod:`gochat.chat.extras`.
    `pinned` is the seq of the entry that pinned it (:mod:`gochat.chat.pins`). Missing values are
    empty or 0.
    """

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
    extra: str = ""
    pinned: int = 0


class AdmissionRecord(Struct, frozen=True):
    """Who may register: the mode, empty if none was set, and the invitations to the server."""

    mode: str
    invitations: tuple[ServerInvitation, ...]


class Source(Protocol):
    """A store to read; nobody changes it meanwhile."""

    def fingerprint(self) -> str:
        """Return a value that changes whenever something is appended."""
        ...

    def require_idle(self) -> None:
        """Raise :exc:`~gochat.errors.StoreUnavailable` if a server uses the store."""
        ...

    def conversations(self) -> Iterator[Sequence[ConversationRecord]]:
        """Yield all conversations, including the lobby, in pieces of at most :data:`GROUP`."""
        ...

    def find(self, keys: Sequence[ConversationKey]) -> list[ConversationRecord | None]:
        """Return these conversations in order, None for each that does not exist."""
        ...

    def entries(
        self, wanted: Sequence[tuple[ConversationRecord, int]], limit: int
    ) -> list[list[EntryRecord]]:
        """Return, for each conversation and seq, the first entries after it, at most `limit`."""
        ...

    def participants(self, records: Sequence[ConversationRecord]) -> list[list[ParticipantRecord]]:
        """Return the participants of each, ordered by key; for the lobby an empty list."""
        ...

    def people(self) -> Iterator[Sequence[AccountRecord]]:
        """Yield all accounts, in pieces of at most :data:`MANY`."""
        ...

    def audit(self) -> Iterator[Sequence[AuditEntry]]:
        """Yield the audit log, the oldest first, in pieces of at most :data:`MANY`."""
        ...

    def tokens(self, now: int) -> Iterator[Sequence[Token]]:
        """Yield the sessions that have not expired, in pieces of at most :data:`MANY`."""
        ...

    def admission(self) -> AdmissionRecord:
        """Return who may register."""
        ...

    def retention(self) -> dict[str, Rule]:
        """Return for how long entries are kept, by scope."""
        ...

    def network_bans(self) -> dict[str, Restriction]:
        """Return from where nobody may connect, by network."""
        ...

    def reports(self) -> list[Report]:
        """Return the reports of messages, by id."""
        ...


class Target(Protocol):
    """A copy being made. An interruption loses nothing.

    All methods but `extend` can be repeated, with the same result.
    """

    #: The new store so far, to continue from and to compare.
    contents: Source

    def heads(self, records: Sequence[ConversationRecord]) -> list[int]:
        """Return the seq of each conversation's last copied entry, `base` without any."""
        ...

    def extend(self, pieces: Sequence[tuple[ConversationRecord, Sequence[EntryRecord]]]) -> None:
        """Append the next entries of these conversations."""
        ...

    def describe(
        self, described: Sequence[tuple[ConversationRecord, Sequence[ParticipantRecord]]]
    ) -> None:
        """Set the other data of conversations whose entries are all copied."""
        ...

    def put_people(self, people: Sequence[AccountRecord]) -> None:
        """Set accounts. All conversations must be copied already."""
        ...

    def put_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries to the audit log; those that are there already stay."""
        ...

    def forget_tokens(self) -> None:
        """Delete all sessions, which are then copied again."""
        ...

    def put_tokens(self, tokens: Sequence[Token], now: int) -> None:
        """Add sessions. All accounts must be copied already."""
        ...

    def put_admission(self, record: AdmissionRecord) -> None:
        """Set who may register. All accounts must be copied already."""
        ...

    def put_retention(self, rules: Mapping[str, Rule]) -> None:
        """Set for how long entries are kept."""
        ...

    def put_network_bans(self, bans: Mapping[str, Restriction]) -> None:
        """Set from where nobody may connect."""
        ...

    def put_reports(self, reports: Sequence[Report]) -> None:
        """Set the reports of messages."""
        ...

    def complete(self) -> int:
        """Create the derived data. Return the number of cids that were dropped.

        These are cids that their sender has used again, where the engine stores each only once.
        """
        ...

    def publish(self) -> None:
        """Make the copy available to servers."""
        ...
