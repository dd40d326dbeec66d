"""The `Store` protocol: everything that gochat keeps, including the log.

It has two implementations, :mod:`gochat.storage.sqlite` and :mod:`gochat.storage.redis`; one
contract test suite runs over both. Common to all methods:

- Each may raise :exc:`~gochat.errors.StoreUnavailable`. Then the operation did not happen, or (only
  when the store fails in the middle of a commit) may have happened; an append is safe to repeat
  with its `cid`.
- If the store is damaged, the method that notices it raises :exc:`~gochat.errors.StoreCorrupt`.
  From then on, also if a background task noticed it, every method, including `follow`, raises it
  at once, and nothing is written any more.
- Each can be cancelled, but need not yield: who calls many of them does so in between. A cancelled
  write may or may not have been made, as with a failed one.
- Arguments name people and conversations by their keys. The caller has checked that these are well
  formed, and that the person may do this.
- Times are milliseconds since the Unix epoch.
- Addresses and names are ordered by code points.

The log
=======

Every conversation is a log of entries with seq 1, 2, 3 … without gaps. An entry is more than a line
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

from collections.abc import Callable, Collection, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import trio
from msgspec import Struct

from gochat.chat import extras
from gochat.chat.account import Account
from gochat.chat.administration import Administration
from gochat.chat.admission_store import AdmissionStore
from gochat.chat.conversations import ConversationKey
from gochat.chat.emoji import normalise
from gochat.chat.facts import INSIDE, Facts, Role
from gochat.chat.health import StoreHealth
from gochat.chat.modes import Modes, refusal
from gochat.chat.names import NameKey
from gochat.chat.node_bus import NodeBus
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.messages import (
    Conversation,
    EntryKind,
    HistorySetting,
    Invitation,
    Level,
    Member,
    Message,
    Room,
    RoomBan,
    TokenScope,
)

#: Unread and mention counts stop here: nobody needs a larger exact number, and the time to count
#: must not grow with the length of an absence.
MAX_COUNTED = 1000

#: Milliseconds for which the time of a conversation may be ahead of the clock. More than the error
#: of a clock that is kept by NTP or corrected by hand; little enough that after a jump of the clock
#: new entries soon have its time again.
MAX_AHEAD: Final = 5 * 60 * 1000

#: Milliseconds for which a store remembers the addresses from which somebody has logged in.
LOGIN_MEMORY: Final = 30 * 24 * 3600 * 1000
#: How many of these addresses: a person has a home, an office, a telephone, and travels.
LOGIN_ADDRESSES: Final = 16
#: Tokens of an account, of its devices and of its programs. Neither kind takes the other's room:
#: logging in again and again ends no program, and programs log nobody out.
MAX_DEVICES: Final = 24
MAX_PROGRAMS: Final = 8
#: In bytes.
TOKEN_ID_SIZE: Final = 16


class Token(Struct, frozen=True, kw_only=True):
    """A session: a device on which a person is logged in, or a program's.

    `id` names it; `digest` is the SHA-256 of its secret. `generation` is the account's at the time
    of the login; the token is valid while the account still has the same. `device` is what its
    owner calls it, and `address` where it was last used from. `created`, `seen` (its last use, to a
    day) and `expires` are in milliseconds since the Unix epoch.

    A program's token has `scopes`, and perhaps `rooms`, by their keys
    (:class:`~gochat.chat.grants.Grant`); a device's has neither.
    """

    id: bytes
    digest: bytes
    account: NameKey
    expires: int
    generation: int = 0
    device: str = ""
    address: str = ""
    created: int = 0
    seen: int = 0
    scopes: tuple[TokenScope, ...] = ()
    rooms: tuple[ConversationKey, ...] = ()

    @property
    def is_program(self) -> bool:
        """Whether it was made for a program, and not by a login."""
        return bool(self.scopes)


class Draft(Struct, frozen=True, kw_only=True):
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


class Appended(Struct, frozen=True):
    """A draft that is committed.

    With `dup` it was committed before, and `entry` is that entry in its current form.
    """

    entry: Message
    dup: bool = False


class Unchanged(Struct, frozen=True):
    """A draft that was not appended, because what it asks for is so already."""


class Logged(Struct, frozen=True):
    """An entry with the key of its conversation; `subject` as in :class:`Draft`.

    `floor`, of a ``join``: the floor of the person who joins (:mod:`gochat.chat.history`). `topic`,
    of an ``invite``: that of the room. `uninvited` are those whose invitation this entry ended.
    """

    conversation: ConversationKey
    entry: Message
    subject: NameKey | None = None
    floor: int = 0
    topic: str = ""
    uninvited: tuple[NameKey, ...] = ()


class Batch(Struct, frozen=True):
    """The entries that one or more commits added, in order."""

    entries: Sequence[Logged]


class Page(Struct, frozen=True):
    """Contiguous entries in the order of seq; `head` is the newest seq of the conversation.

    `floor` is the viewer's: entries up to it are left out. `is_inside` is whether the viewer was in
    the room at the moment of reading; for the lobby and private conversations it is always true.
    """

    epoch: str
    head: int
    entries: Sequence[Message]
    is_inside: bool = True
    floor: int = 0


class Summary(Struct, frozen=True):
    """What can be read of a person's conversation without counting anything.

    `address` is as the person sees it. `head` is the newest seq, 0 without entries, and `ts` the
    time of that entry, or 0. `read` and `level` are the person's.
    """

    key: ConversationKey
    address: str
    epoch: str
    head: int
    ts: int
    read: int
    level: Level


class Waiting(Struct, frozen=True):
    """Messages of others in a conversation, in the order of seq.

    All entries up to `read_to` were examined, which may be many more than the messages. While
    `read_to` is less than `head`, there are more to examine.
    """

    head: int
    read_to: int
    messages: Sequence[Message]


class RoomState(Struct, frozen=True, kw_only=True):
    """A room. `role` is that of the person it was read for: None if not a member."""

    key: ConversationKey
    name: str
    topic: str
    private: bool
    members: int
    role: Literal["member", "operator", "invited", "banned"] | None = None
    history: HistorySetting = "shown"
    modes: Modes = Modes()
    #: Milliseconds until slow mode lets the person write.
    wait: int = 0
    #: Of a person who is banned.
    ban: RoomBan | None = None

    @property
    def standing(self) -> Role:
        """The role, as :class:`Facts` has it."""
        return self.role or "nobody"

    def refusal(self, kind: EntryKind, field: str) -> ChatError | None:
        """Return None, or the error for an entry of a kind that the room's modes don't permit."""
        why = self.modes.closed(kind, is_operator=self.role == "operator", is_waiting=self.wait > 0)
        return None if why is None else refusal(why, self.name, self.modes, self.wait, field)

    @property
    def is_inside(self) -> bool:
        """True if the person is in the room."""
        return self.role in INSIDE

    @property
    def is_hidden(self) -> bool:
        """True if the room's existence must be kept from the person.

        It is private, and they are neither in it nor invited.
        """
        return self.private and self.role in (None, "banned")


class Submission(NamedTuple):
    """Drafts to append, and what is called with their outcomes."""

    drafts: Sequence[Draft]
    done: Callable[[Sequence[Appended | Unchanged | ChatError] | StoreUnavailable], None]


class Store(Protocol):
    """Everything that gochat keeps. See the module's docstring for what applies to all methods."""

    @property
    def node_bus(self) -> NodeBus | None:
        """The bus that connects the nodes sharing this store; None if there is only one node."""
        ...

    @property
    def admission(self) -> AdmissionStore:
        """What is kept of who may register."""
        ...

    @property
    def health(self) -> StoreHealth:
        """Whether the store answers; every method updates it."""
        ...

    @property
    def administration(self) -> Administration:
        """What only those use who administer the server."""
        ...

    @property
    def unindexed(self) -> int:
        """How much waits for the search index: texts in SQLite, conversations in Redis."""
        ...

    async def check_writable(self) -> None:
        """Write something that nobody sees, wherever the store writes, and wait for the commit.

        Raises:
            StoreUnavailable: nothing can be written now.
            StoreCorrupt: the store is damaged.
        """
        ...

    # -- accounts and tokens --------------------------------------------------------------------

    async def create_account(self, account: Account, invitation: bytes | None = None) -> bool:
        """Add an account, as a member of the lobby whose history it has "read".

        Return False, and change nothing, if the key is taken. Of concurrent calls with one key, one
        succeeds. With the digest of an `invitation`, take one of its uses in the same step.

        Raises:
            ChatError: ``name_taken``: the name looks like that of another account
                (:mod:`gochat.chat.skeletons`). Of concurrent calls with similar names at most one
                succeeds. ``bad_invite``: the invitation can't be used.
        """
        ...

    async def account(self, key: NameKey) -> Account | None:
        """Return the account, or None."""
        ...

    async def display_names(self, keys: Collection[NameKey]) -> dict[NameKey, str]:
        """Return those of `keys` that are accounts, each with its displayed name."""
        ...

    async def change_password(self, proved: Account, password_hash: str) -> bool:
        """Replace an account's password hash and increment its generation, in one step.

        Only if it still has the generation of `proved`: of concurrent changes one succeeds. Return
        whether the change was made. From then on no token of an earlier generation is valid,
        whenever it is added, and the addresses that the account has logged in from are forgotten.
        """
        ...

    async def rehash_password(self, proved: Account, password_hash: str) -> bool:
        """Replace the hash of the same password, and return whether it was replaced.

        Only if the account still has the generation and the hash of `proved`.
        """
        ...

    async def add_token(self, token: Token, address: str | None = None) -> Collection[bytes] | None:
        """Add a token; `address` is where its account logged in from, None if not by password.

        Return the ids of the tokens that it revoked: where a device makes more than
        :data:`MAX_DEVICES`, those not seen for longest. Return None, and add nothing, where a
        program's token would make more than :data:`MAX_PROGRAMS`. Tokens that are not valid don't
        count, and may be deleted.

        It remembers the account's last :data:`LOGIN_ADDRESSES` addresses, each for
        :data:`LOGIN_MEMORY`.
        """
        ...

    async def last_login(self, account: NameKey, address: str) -> int | None:
        """Return when the account last logged in by password from this address, if remembered."""
        ...

    async def token(self, token_id: bytes, now: int) -> Token | None:
        """Return the token with this id, or None if it is not valid.

        It is not valid if it is unknown, revoked, expired, or of another generation than its
        account. Sees every revocation that completed before the call.
        """
        ...

    async def tokens(self, account: NameKey, now: int) -> Sequence[Token]:
        """Return the account's valid tokens, in the order in which they were created."""
        ...

    async def renew_token(self, token_id: bytes, expires: int, address: str) -> bool:
        """Extend a token's validity (never shorten it), and record that it is used now, from there.

        Return False, and change nothing, if it was revoked or is of another generation; renewing
        never brings it back.
        """
        ...

    async def revoke_token(self, account: NameKey, token_id: bytes) -> bool:
        """Delete an account's token; return False if it has none with this id."""
        ...

    async def revoke_other_tokens(self, account: NameKey, token_id: bytes) -> Collection[bytes]:
        """Delete all tokens of an account but this one, and return their ids."""
        ...

    # -- the log --------------------------------------------------------------------------------

    async def append(self, drafts: Sequence[Draft]) -> list[Appended | Unchanged | ChatError]:
        """Commit `drafts`, in order, and return the outcome of each.

        Returns after the commit, and after every follower (:meth:`follow`) was given the entries,
        those of ``dup`` included: whatever the caller then sends comes after them. If that can't be
        said, because following was interrupted or takes too long, it raises StoreUnavailable,
        although they are committed. Drafts of several callers may share one commit.

        Nothing overtakes a draft that fails for now: the list ends with the first one whose facts
        don't hold any more, and those after it were not looked at. If it raises, those that were
        committed are the first ones of `drafts`.

        Otherwise each draft is accepted or refused separately:

        - a `cid` that its sender used before, with the same conversation, kind, text and ref: the
          first one's entry, ``dup=True``; with anything else ``cid_conflict``. An edited or deleted
          text counts as the same;
        - `facts` that don't hold: :exc:`~gochat.errors.FactsChanged`. Drafts before it in the same
          commit count;
        - a sender, subject, mentioned person or peer of a private conversation without an account:
          ``unknown_person``;
        - to a room that does not exist: ``unknown_conversation``; ``create`` of one that does, or
          that looks like another one (:mod:`gochat.chat.skeletons`): ``room_exists``;
        - ``edit``, ``delete``, ``react``, ``unreact`` of a seq that is not a message, or is
          deleted: ``unknown_message``;
        - ``react`` with a reaction that its sender has given already, ``unreact`` of one that the
          sender has not given: :class:`Unchanged`. So a client that counts reactions by the entries
          counts right.

        A mention of somebody who blocks the sender is left out of the entry, and of the counts; on
        several servers also if that was so a moment before the commit, but not if it is new.

        Each entry's effect is part of its commit:

        - ``text`` in a private conversation adds it to both people's conversations; `mentioned` is
          kept for the counts. It moves no read marker;
        - ``edit`` replaces the current text and mentions, and removes those of the edit before it,
          which is marked deleted: of a message's edits only the last one has a text; ``delete``
          removes them from the entry itself and its last edit (which is marked deleted, too), the
          counts and the search, and the reactions with them; ``react``/``unreact`` set or clear one
          reaction (one per person, message and emoji);
        - ``create`` creates the room (text ``private`` or ``public``) with the sender as member and
          operator; ``join``, ``leave``, ``invite``, ``kick``, ``decline``, ``topic``, ``operator``,
          ``member`` and ``access`` change it as :class:`~gochat.protocol.messages.Message` says. A
          person who joins has "read" the entries before, and gets their floor
          (:mod:`gochat.chat.history`); joining a room without members makes them its operator.
          ``history`` sets which floor those who join get; where it was hidden, ``access`` with
          ``public`` shows it again, from that entry on. Joining uses up an invitation, ``decline``
          ends it, and ``kick`` withdraws it; when the last member leaves a private room, all
          invitations to it lapse. Nobody can leave the lobby. ``ban`` does what ``kick`` does, and
          gives the person the role ``banned`` for the entry's `seconds`, or until ``unban``; it
          replaces an earlier ban. Bans outlast the members of a room. ``slow``, ``announcements``
          and ``archive`` set the modes of the room (:mod:`gochat.chat.modes`); in slow mode, a
          ``text`` begins the wait of its sender. ``hand_over`` makes its sender an operator, and a
          member before that; if they were not one and the room is private, they and who joins
          later get a floor right before it.
        """
        ...

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Append the drafts of several callers that have no task to wait; never wait.

        It is one :meth:`append` for each submission, in order, whose `done` gets what that would
        return, or the :exc:`~gochat.errors.StoreUnavailable` that it would raise. Each is called
        once, in the Trio thread and in order, before this returns or later; but not if the store is
        closed before. It must not raise.
        """
        ...

    async def follow(
        self,
        deliver: Callable[[Batch], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Call `deliver` with every batch committed from now on, in commit order, until cancelled.

        `deliver` is called in the Trio thread, must not block, and must not raise. Calls
        `task_status.started` when it follows. An entry is delivered after its
        commit, and before :meth:`append` or :meth:`find_by_cid` returns it.

        Raises:
            LogInterrupted: it can't continue from its position, because the log has another history
                now, or entries in between no longer exist. The caller must start again.
            StoreCorrupt: any part of the store found damage. The store is unusable.
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
    ) -> Page:
        """Return at most `limit` entries after the floor of `viewer`.

        They are the last ones before `before`, or the first ones after `after`, or the newest; each
        in its current form and as `viewer` sees it (:func:`gochat.chat.history.as_seen`), with its
        reactions.

        They are of the store's present state, which may be ahead of what :meth:`follow` delivered.
        A conversation without entries has head 0.
        """
        ...

    async def waiting(
        self,
        conversation: ConversationKey,
        *,
        viewer: NameKey,
        after: int,
        limit: int,
    ) -> Waiting:
        """Return the first messages after `after` that others wrote and that are not deleted.

        At most `limit`, among a bounded number of entries. Otherwise as :meth:`page`.
        """
        ...

    async def message(
        self, conversation: ConversationKey, seq: int, *, viewer: NameKey
    ) -> Message | None:
        """Return the ``text`` entry with this seq in its current form.

        None if there is none, or if it is not after the floor of `viewer`.
        """
        ...

    async def find_by_cid(self, draft: Draft) -> Appended | ChatError | None:
        """Return what :meth:`append` would if the `cid` of `draft` was used before, or None.

        For a retry that a rule refuses. Does not find a draft that is not committed yet. Also finds
        an entry that is not after the floor of its sender, who wrote it. Like :meth:`append`, it
        returns an entry after every follower was given it, or raises StoreUnavailable.
        """
        ...

    async def search(
        self,
        viewer: NameKey,
        terms: tuple[str, ...],
        *,
        sender: NameKey | None = None,
        conversation: ConversationKey | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> tuple[list[Message], str | None]:
        """Return messages that contain all `terms`, and the next page's cursor.

        Searches only the conversations of `viewer`, after their floor in each; only messages of
        `sender`, if one is given, who needs no terms. The terms are words and phrases, and must
        occur in any order, compared without case; one of any script is also found inside another
        word. First come the messages that have them as they are, newest first, then those in which
        only accents differ, newest first. A cursor continues after the last hit of its page.

        Raises:
            ChatError: ``bad_cursor``: it is not a cursor of this kind of store.
        """
        ...

    # -- a person's conversations ---------------------------------------------------------------

    async def conversation_keys(self, person: NameKey) -> dict[ConversationKey, int]:
        """Return the keys of a person's conversations: lobby, rooms, private.

        The values are the person's floors in them.
        """
        ...

    async def private_markers(self, person: NameKey) -> dict[ConversationKey, tuple[int, int]]:
        """Return the read marker and the newest seq of each private conversation of a person."""
        ...

    async def summaries(
        self, person: NameKey, *, after: str, limit: int
    ) -> tuple[list[Summary], bool]:
        """Return a page of the person's conversations by address, and whether there are more.

        A private conversation exists from its first message on, and has the peer's name as its
        address; one with oneself has one's own. Takes two look-ups for each. They are of the
        store's present state, which may be ahead of what :meth:`follow` delivered.
        """
        ...

    async def conversation(
        self, person: NameKey, conversation: ConversationKey
    ) -> Conversation | None:
        """Return one conversation as the person sees it, or None if it is not one of theirs.

        `unread` and `mentions` count messages of others that are not deleted, and stop at
        :data:`MAX_COUNTED`.
        """
        ...

    async def mark_read(self, person: NameKey, conversation: ConversationKey, seq: int) -> bool:
        """Move the read marker forward, at most to the head, and return whether it moved.

        It does not in a conversation that is not one of theirs.
        """
        ...

    async def set_level(self, person: NameKey, conversation: ConversationKey, level: Level) -> None:
        """Set what the person is notified of, if the conversation is one of theirs."""
        ...

    # -- blocks ---------------------------------------------------------------------------------

    async def set_blocked(self, person: NameKey, other: NameKey, *, on: bool) -> bool:
        """Make a person block another one, or no longer; return whether that has changed.

        Both have accounts. From the return on, what :meth:`append` says of blocks holds.
        """
        ...

    async def blocked(self, person: NameKey) -> list[str]:
        """Return the names of those whom a person blocks, by their keys."""
        ...

    async def blockers(self, one: NameKey, other: NameKey) -> Collection[NameKey]:
        """Return those of two people who block the other."""
        ...

    # -- rooms ----------------------------------------------------------------------------------

    async def room(self, key: ConversationKey, person: NameKey) -> RoomState | None:
        """Return a room or the lobby, with the role of `person`; None if there is none."""
        ...

    async def rooms(self, person: NameKey, *, after: str, limit: int) -> tuple[list[Room], bool]:
        """Return a page of a person's rooms by address, and whether there are more.

        They are the public rooms, and those that `person` is in or invited to.
        """
        ...

    async def invitations(self, person: NameKey) -> list[Invitation]:
        """Return a person's pending invitations, by the name of the room.

        Of those from an older gochat, `from` is empty.
        """
        ...

    async def members(
        self, key: ConversationKey, *, after: str, limit: int
    ) -> tuple[list[Member], int, bool]:
        """Return a page of the members, the number of members, and whether there are more.

        The page is in order of key, with `online` unset. Invited people are not members.
        """
        ...

    async def bans(
        self, key: ConversationKey, *, after: str, limit: int
    ) -> tuple[list[RoomBan], bool]:
        """Return a page of the bans of a room that have not ended, and whether there are more.

        It is in order of the key of who is banned, from after the key `after`.
        """
        ...
