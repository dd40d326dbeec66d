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

What the methods take and return is in :mod:`gochat.chat.log`, :mod:`gochat.chat.account`,
:mod:`gochat.chat.token`, :mod:`gochat.chat.room_state` and :mod:`gochat.chat.conversations`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import trio

from gochat.chat.account import Account
from gochat.chat.activity import ActivityIndex
from gochat.chat.administration import Administration
from gochat.chat.admission_store import AdmissionStore
from gochat.chat.conversations import ConversationKey, Summary
from gochat.chat.health import StoreHealth
from gochat.chat.log import (
    Appended,
    Batch,
    Draft,
    Page,
    Submission,
    Together,
    Unchanged,
    Waiting,
)
from gochat.chat.names import NameKey
from gochat.chat.network_bans import NetworkBanStore
from gochat.chat.node_bus import NodeBus
from gochat.chat.pins import PinRef
from gochat.chat.reports import ReportStore
from gochat.chat.restriction import Restriction
from gochat.chat.retention import RetentionStore
from gochat.chat.room_state import RoomState
from gochat.chat.saved import SavedRef
from gochat.chat.token import Token
from gochat.errors import ChatError
from gochat.protocol.messages import (
    Conversation,
    Invitation,
    Level,
    Member,
    Message,
    Room,
    RoomBan,
    Status,
)

#: Unread and mention counts stop here: nobody needs a larger exact number, and the time to count
#: must not grow with the length of an absence.
MAX_COUNTED: Final = 1000

#: Milliseconds for which a store remembers the addresses from which somebody has logged in.
LOGIN_MEMORY: Final = 30 * 24 * 3600 * 1000
#: How many of these addresses: a person has a home, an office, a telephone, and travels.
LOGIN_ADDRESSES: Final = 16


class Store(Protocol):
    """Everything that gochat keeps. See the module's docstring for what applies to all methods."""

    @property
    def node_bus(self) -> NodeBus | None:
        """The bus that connects the nodes sharing this store; None if there is only one node."""
        ...

    @property
    def at_once(self) -> Store:
        """The same store, for :func:`.at_once.at_once`: what it asks is answered without waiting.

        Each method raises WouldWait where that is not possible, or not now.
        """
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
    def retention(self) -> RetentionStore:
        """For how long entries are kept."""
        ...

    @property
    def network_bans(self) -> NetworkBanStore:
        """From where nobody may connect."""
        ...

    @property
    def reports(self) -> ReportStore:
        """Which messages people have reported."""
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

    async def set_status(self, account: Account, status: Status | None) -> bool:
        """Set a person's status, or take it back with None; return whether that was done.

        Only if their account still has the generation, state and mute of `account`, except that
        None is always taken.
        """
        ...

    async def statuses(self, keys: Collection[NameKey]) -> dict[NameKey, Status]:
        """Return the statuses of those of `keys` who have one, which may have ended."""
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
        :data:`~.token.MAX_DEVICES`, those not seen for longest. Return None, and add nothing, where
        a program's token would make more than :data:`~.token.MAX_PROGRAMS`. Tokens that are not
        valid don't count, and may be deleted.

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

    async def void_token(self, token_id: bytes, now: int) -> Token | None:
        """Return the token with this id if it is not valid only because its account was banned or
        disabled since; else None, or perhaps what it was."""
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
        - ``edit``, ``delete``, ``react``, ``unreact``, ``pin``, ``unpin`` of a seq that is not a
          message, or is deleted: ``unknown_message``;
        - ``react`` with a reaction that its sender has given already, ``unreact`` of one that the
          sender has not given: :class:`Unchanged`. So a client that counts reactions by the entries
          counts right. Likewise ``pin`` of what is pinned, and ``unpin`` of what is not;
        - ``pin`` in a conversation with :data:`~gochat.chat.pins.MAX_PINS`: ``too_many``.

        A mention of somebody who blocks the sender is left out of the entry, and of the counts; on
        several servers also if that was so a moment before the commit, but not if it is new.

        Each entry's effect is part of its commit:

        - ``text`` in a private conversation adds it to both people's conversations; `mentioned` is
          kept for the counts. It moves no read marker;
        - ``edit`` replaces the current text and mentions, and removes those of the edit before it,
          which is marked deleted: of a message's edits only the last one has a text; ``delete``
          removes them from the entry itself and its last edit (which is marked deleted, too), the
          counts and the search, and the reactions with them, and unpins it; ``react``/``unreact``
          set or clear one reaction (one per person, message and emoji); ``pin``/``unpin`` pin a
          message, or no longer;
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

    def submit(self, submissions: Sequence[Submission], together: Together) -> None:
        """Append the drafts of several callers that have no task to wait; never wait.

        It is one :meth:`append` for each submission, in whatever order, whose `done` gets what that
        would return, or the :exc:`~gochat.errors.StoreUnavailable` that it would raise.
        Each is called once, in the Trio thread, before this returns or later; but not if the store
        is closed before. It must not raise. Where the entries are delivered in the same step as
        `done` is called, and that is a later one, both happen inside `together`, if possible.
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

    async def pins(self, conversation: ConversationKey) -> list[PinRef]:
        """Return what is pinned in a conversation, what was pinned last first.

        At most :data:`~gochat.chat.pins.MAX_PINS`, whoever may read them.
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
            ChatError: ``bad_cursor``: it is not a cursor of this store's present history.
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

    async def activity(self, person: NameKey) -> ActivityIndex:
        """Return what may concern the person in their conversations (:mod:`.activity`).

        It is of the store's present state, which may be ahead of what :meth:`follow` delivered.
        """
        ...

    async def mark_activity(self, person: NameKey, seen: int) -> bool:
        """Move forward up to when a person has seen their activity; return whether it moved."""
        ...

    async def set_saved(self, person: NameKey, ref: SavedRef, *, on: bool) -> bool:
        """Save a message for a person, or no longer; return whether that has changed.

        What is saved already keeps its time, and without `on` the times of `ref` mean nothing. If
        the list is full, what the person can't read any more is taken from it.

        Raises:
            ChatError: ``too_many``: it is full all the same.
        """
        ...

    async def saved(self, person: NameKey, *, all_of_them: bool = False) -> list[SavedRef]:
        """Return what a person has saved, what was saved last first.

        What is in conversations that are theirs, after their floor in each; or with `all_of_them`
        everything that is kept.
        """
        ...

    async def set_level(self, person: NameKey, conversation: ConversationKey, level: Level) -> bool:
        """Set what the person is notified of, and return whether the conversation is one of theirs.

        If it is not, as a private one without entries, nothing is kept.
        """
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

    async def mute(self, person: NameKey) -> Restriction | None:
        """Return the mute of a person at the server, if there is one that has not ended."""
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
