"""The Store: what gochat keeps, and the log, behind one protocol.

Two implementations, :mod:`gochat.storage.sqlite` and :mod:`gochat.storage.redis`; one contract
test suite runs over both. Common to all methods:

- Each may raise :exc:`~gochat.errors.StoreUnavailable`. What was asked for then did not happen,
  or (only when the store fails in the middle of a commit) may have happened; an append is safe to
  repeat with its `cid`.
- Where damage is met, by any of them or in the background, that is a
  :exc:`~gochat.errors.StoreCorrupt`. From then on each raises it at once, nothing is written any
  more, and `follow` raises it, too.
- Each is a checkpoint. A cancelled write may or may not have been made, as with a failed one.
- People and conversations are given by their keys, which the caller has checked: that they are
  well formed, and that the person may do this.
- Times are milliseconds since the Unix epoch.
- Addresses and names are in the order of their code points.

The log
=======

Every conversation is a log of entries with seq 1, 2, 3 … without gaps. An entry is more than a
line of chat: joining a room, a topic, an edit are entries too, and what they change (the list of
members, the text as it reads now) is changed in the commit that appends them. So the log is the
one history of all that happened, and everything else is a view of it.

Entries are ordered by seq, not by time. Within a conversation `ts` never goes back, unless the
clock was wrong by more than :data:`MAX_AHEAD`: a clock that is set back by less waits there until
it has caught up, and from a time further ahead the next entry returns to the clock. The clock is
that of the store, one for all nodes: on Redis that of the Redis server, not of the node.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import trio
from msgspec import Struct

from gochat.chat.conversations import ConversationKey
from gochat.chat.facts import INSIDE, Facts, Role
from gochat.chat.health import StoreHealth
from gochat.chat.names import NameKey
from gochat.chat.node_bus import NodeBus
from gochat.errors import ChatError
from gochat.protocol.messages import (
    Conversation,
    EntryKind,
    HistorySetting,
    Level,
    Member,
    Message,
    Room,
)

#: An unread or mention count stops here: nobody reads on from the exact number, and counting must
#: not take longer the longer somebody was away.
MAX_COUNTED = 1000

#: Milliseconds for which the time of a conversation may be ahead of the clock. More than what a
#: clock is off that is kept by NTP, or that somebody corrects by hand; little enough that the times
#: of new entries are soon those of the clock again when it had jumped.
MAX_AHEAD: Final = 5 * 60 * 1000

#: Milliseconds for which a store remembers from which addresses somebody has logged in.
LOGIN_MEMORY: Final = 30 * 24 * 3600 * 1000
#: How many of them: a person has a home, an office, a telephone, and travels.
LOGIN_ADDRESSES: Final = 16
#: Tokens of an account: more devices than anybody has, and few enough that whoever logs in all the
#: time fills no disk.
MAX_TOKENS: Final = 100

#: A position in what a store commits, of all conversations together. Opaque: a caller takes it
#: from :class:`Batch` and hands it back.
Cursor: TypeAlias = object


class Account(Struct, frozen=True, kw_only=True):
    """Somebody who registered. `name` is the form that is shown; `generation` counts how often the
    password was changed."""

    key: NameKey
    name: str
    password_hash: str
    created: int
    generation: int = 0


class Token(Struct, frozen=True, kw_only=True):
    """A session token, kept as the SHA-256 digest of the secret.

    `generation` is that of the account whose password was proved for it: it is valid while the
    account still has the same. `address` is where it was last used from, empty if not known.
    """

    digest: bytes
    account: NameKey
    expires: int
    generation: int = 0
    address: str = ""


class Draft(Struct, frozen=True, kw_only=True):
    """What somebody says, on its way into the log.

    `to`, `sender`, `kind`, `text`, `ref`, `cid` and `mentions` become the entry's
    (:class:`~gochat.protocol.messages.Message`); `conversation` and `sender_key` are the keys.
    `subject` is the key of the person whom an ``invite``, ``kick``, ``operator`` or ``member``
    entry is about, and `mentioned` the keys of `mentions`. `facts` is what the draft was decided
    on, where that can change.
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

    def is_repeated_by(self, entry: Message) -> bool:
        """True if an entry, as it reads now, is what this draft says: kind, text and ref are the
        same. What was edited or deleted since counts as the same text."""
        has_changed = entry.deleted or entry.edited is not None
        return (entry.kind, entry.ref) == (self.kind, self.ref) and (
            entry.text == self.text or has_changed
        )


class Appended(Struct, frozen=True):
    """A draft that is committed. `dup`: it was before, and `entry` is that one, as it reads now."""

    entry: Message
    dup: bool = False


class Logged(Struct, frozen=True):
    """An entry with the key of its conversation; `subject` as in :class:`Draft`.

    `floor`, of a ``join``: the floor of who joins (:mod:`gochat.chat.history`).
    """

    conversation: ConversationKey
    entry: Message
    subject: NameKey | None = None
    floor: int = 0


class Batch(Struct, frozen=True):
    """What one or more commits added, in their order; `cursor` is the position behind it."""

    entries: Sequence[Logged]
    cursor: Cursor


class Page(Struct, frozen=True):
    """Contiguous entries in the order of seq; `head` is the newest seq there is.

    `floor` is the viewer's: no entry up to it is among them. `is_inside`: whether the viewer was in
    the room in the moment in which it was read. Of the lobby and of private conversations it is
    always true.
    """

    epoch: str
    head: int
    entries: Sequence[Message]
    is_inside: bool = True
    floor: int = 0


class Waiting(Struct, frozen=True):
    """Messages of others in a conversation, in the order of seq.

    All entries up to `read_to` were looked at, which may be many more than the messages; there are
    more to look at while that is less than `head`.
    """

    head: int
    read_to: int
    messages: Sequence[Message]


class RoomState(Struct, frozen=True, kw_only=True):
    """A room. `role` is that of the person asked about: None if not a member."""

    key: ConversationKey
    name: str
    topic: str
    private: bool
    members: int
    role: Literal["member", "operator", "invited"] | None = None
    history: HistorySetting = "shown"

    @property
    def standing(self) -> Role:
        """The role, as :class:`Facts` has it."""
        return self.role or "nobody"

    @property
    def is_inside(self) -> bool:
        """True if the person is in the room."""
        return self.role in INSIDE

    @property
    def is_hidden(self) -> bool:
        """True if the person must not learn that there is this room: it is private, and they are
        neither in it nor invited."""
        return self.private and self.role is None


class Store(Protocol):
    """What gochat keeps. See the module's docstring for what holds for all methods."""

    @property
    def node_bus(self) -> NodeBus | None:
        """How the nodes that share this store talk to each other; None if there is only one."""
        ...

    @property
    def health(self) -> StoreHealth:
        """Whether the store answers; every method takes note of it."""
        ...

    # -- accounts and tokens --------------------------------------------------------------------

    async def create_account(self, account: Account) -> bool:
        """Keep a new account, a member of the lobby whose history it has "read".

        Return False, and change nothing, if the key is taken. Of two at the same time one wins.

        Raises:
            ChatError: ``name_taken``: the name looks like that of another account
                (:mod:`gochat.chat.skeletons`). Of two at the same time at most one is kept.
        """
        ...

    async def account(self, key: NameKey) -> Account | None:
        """Return the account, or None."""
        ...

    async def display_names(self, keys: Collection[NameKey]) -> dict[NameKey, str]:
        """Return those of `keys` that are accounts, each with the name that is shown."""
        ...

    async def change_password(self, proved: Account, password_hash: str) -> bool:
        """Replace an account's password hash and count its generation up, in one step, if it still
        has the generation of `proved`: of several changes at once one is made.

        Return whether it was made. From then on no token of an earlier generation is valid,
        whenever it is added, and the addresses that the account has logged in from are forgotten.
        """
        ...

    async def rehash_password(self, proved: Account, password_hash: str) -> bool:
        """Replace the hash of the same password, if the account still has the generation and the
        hash of `proved`. Return whether it was replaced."""
        ...

    async def add_token(self, token: Token, address: str | None = None) -> None:
        """Keep a token, and from which address its account has logged in for it, if by password.

        May forget tokens that have expired. Of an account it keeps the :data:`MAX_TOKENS` that
        are valid for longest, and so were used last; the others are revoked. Of its addresses it
        remembers the last :data:`LOGIN_ADDRESSES`, each for :data:`LOGIN_MEMORY`.
        """
        ...

    async def last_login(self, account: NameKey, address: str) -> int | None:
        """Return when the account last logged in by password from this address, if remembered."""
        ...

    async def token(self, digest: bytes, now: int) -> Token | None:
        """Return the token, or None if it is not valid: unknown, revoked, expired, or of another
        generation than its account. What was revoked before this was called is seen."""
        ...

    async def renew_token(self, digest: bytes, expires: int, address: str) -> bool:
        """Move the end of a token forward (never back), and note where it is used from.

        Return False, and change nothing, if it was revoked or is of another generation; it never
        comes back by this.
        """
        ...

    async def revoke_token(self, digest: bytes) -> None:
        """Forget a token; no error if it is unknown."""
        ...

    # -- the log --------------------------------------------------------------------------------

    async def append(self, drafts: Sequence[Draft]) -> list[Appended | ChatError]:
        """Commit `drafts`, in their order, and return what became of each.

        Returns after the commit. Drafts of several callers may share one commit. Each draft is
        taken or refused by itself:

        - a `cid` that its sender used before, with the same conversation, kind, text and ref: the
          first one's entry, ``dup=True``; otherwise ``cid_conflict``. What was edited or deleted
          since counts as the same text;
        - its `facts`, where they are not so: :exc:`~gochat.errors.FactsChanged`. What is before it
          in the same commit counts;
        - a sender, subject, mentioned or private conversation's person who has no account:
          ``unknown_person``;
        - to a room that does not exist: ``unknown_conversation``; ``create`` of one that does,
          or that looks like another one (:mod:`gochat.chat.skeletons`): ``room_exists``;
        - ``edit``, ``delete``, ``react``, ``unreact`` of a seq that is not a message, or is
          deleted:
          ``unknown_message``;
        - ``react`` with what its sender has given already: the entry that gave it, ``dup=True``,
          with the draft's `cid`; ``unreact`` of what the sender has not given: ``bad_request``.
          Who counts reactions by the entries counts right.

        Each entry's effect is part of its commit:

        - ``text`` in a private conversation makes it one of both people's conversations;
          `mentioned` is kept for the counts. It moves no read marker;
        - ``edit`` replaces text and mentions as they read now, and removes those of the edit before
          it, which is marked deleted: of a message's edits only the last one has a text;
          ``delete`` removes them from the entry itself and its last edit (which is marked deleted,
          too), the counts and the search, and the reactions with them; ``react``/``unreact`` set
          or clear one reaction (one per person, message and emoji);
        - ``create`` makes the room (text ``private`` or ``public``) with the sender as member and
          operator; ``join``, ``leave``, ``invite``, ``kick``, ``topic``, ``operator``, ``member``
          and ``access`` change it as :class:`~gochat.protocol.messages.Message` says. Who joins
          has "read" what was before, and gets their floor (:mod:`gochat.chat.history`); who joins a
          room that nobody is in becomes its operator. ``history`` says what floor those who join
          get; where it was hidden, ``access`` with ``public`` shows it again, from that entry on.
          An invitation is used up by joining, and taken back by ``kick``; with the last member who
          leaves a private room all invitations to it lapse. The lobby keeps everybody.
        """
        ...

    async def follow(
        self,
        deliver: Callable[[Batch], None],
        *,
        task_status: trio.TaskStatus[Cursor] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Call `deliver` with every batch committed from now on, in commit order, until cancelled.

        `deliver` is called in the Trio thread, must not block, and must not raise. Starts with the
        cursor of the position from which on it follows. An entry is delivered before or after
        `append` returns it, but always after its commit.

        Raises:
            LogInterrupted: it can't go on from where it was, because the log has another history
                now, or something that lies between is no longer there. Who follows starts anew.
            StoreCorrupt: damage was met, by whatever part of the store. It is of no use any more.
        """
        ...

    async def page(
        self,
        conversation: ConversationKey,
        *,
        viewer: NameKey,
        before: int | None = None,
        after: int | None = None,
        limit: int,
        as_of: Cursor | None = None,
    ) -> Page:
        """Return at most `limit` entries after the floor of `viewer`: the last ones before
        `before`, or the first ones after `after`, or the newest; each as it reads now and as
        `viewer` sees it (:func:`gochat.chat.history.as_seen`), with its reactions.

        With `as_of`, the log as it was at that cursor (for `head`, and for which entries there
        are, not for how they read): what comes later comes by `follow`. A conversation that
        nobody has written to has head 0.
        """
        ...

    async def waiting(
        self,
        conversation: ConversationKey,
        *,
        viewer: NameKey,
        after: int,
        limit: int,
        as_of: Cursor | None = None,
    ) -> Waiting:
        """Return the first messages after `after` that others wrote and that are not deleted: at
        most `limit`, among a bounded number of entries. Otherwise as :meth:`page`."""
        ...

    async def message(
        self, conversation: ConversationKey, seq: int, *, viewer: NameKey
    ) -> Message | None:
        """Return the ``text`` entry with this seq as it reads now, or None if there is none, or it
        is not after the floor of `viewer`."""
        ...

    async def find_by_cid(self, draft: Draft) -> Appended | ChatError | None:
        """Return what :meth:`append` would if the `cid` of `draft` was used before, or None.

        For a retry that a rule refuses. A draft that is still on its way is not found. Also what
        is not after the floor of its sender is found: whoever said it knows it.
        """
        ...

    async def search(
        self,
        viewer: NameKey,
        query: str,
        *,
        conversation: ConversationKey | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> tuple[list[Message], str | None]:
        """Return messages that contain `query`, newest first, and the next page's cursor.

        Looks only in the conversations of `viewer`, after their floor in each. All words of `query`
        must be there, in any order, compared without case; a word of any script is found also
        inside another. A cursor goes on behind the last hit of its page; with one that is none of
        ours nothing is found.
        """
        ...

    # -- a person's conversations ---------------------------------------------------------------

    async def conversation_keys(self, person: NameKey) -> dict[ConversationKey, int]:
        """Return the keys of all conversations of a person: lobby, rooms, private; each with the
        person's floor in it."""
        ...

    async def private_markers(self, person: NameKey) -> dict[ConversationKey, tuple[int, int]]:
        """Return the read marker and the newest seq of each private conversation of a person."""
        ...

    async def conversations(
        self, person: NameKey, *, after: str, limit: int
    ) -> tuple[list[Conversation], bool]:
        """Return a page of the person's conversations by address, and whether there are more.

        A private one is there from its first message on, with the peer's name as its address, the
        one with oneself with one's own. `unread` and `mentions` are of messages of others that are
        not deleted, and stop at :data:`MAX_COUNTED`.
        """
        ...

    async def conversation(
        self, person: NameKey, conversation: ConversationKey
    ) -> Conversation | None:
        """Return one conversation as the person sees it, or None if it is not one of theirs."""
        ...

    async def mark_read(self, person: NameKey, conversation: ConversationKey, seq: int) -> bool:
        """Move the read marker forward, at most to the head. Return whether it moved; it does not
        in a conversation that is not one of theirs."""
        ...

    async def set_level(self, person: NameKey, conversation: ConversationKey, level: Level) -> None:
        """Set what the person wants to be notified of; nothing, where it is not one of theirs."""
        ...

    # -- rooms ----------------------------------------------------------------------------------

    async def room(self, key: ConversationKey, person: NameKey) -> RoomState | None:
        """Return a room, with the role of `person`, or None. The lobby is one, too."""
        ...

    async def rooms(self, person: NameKey, *, after: str, limit: int) -> tuple[list[Room], bool]:
        """Return a page of the public rooms and those that `person` is in or invited to, by
        address, and whether there are more."""
        ...

    async def members(
        self, key: ConversationKey, *, after: str, limit: int
    ) -> tuple[list[Member], int, bool]:
        """Return a page of the members in order of key (`online` unset), how many there are, and
        whether there are more. Invited people are no members."""
        ...
