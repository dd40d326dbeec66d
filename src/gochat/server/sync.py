"""Catching up: the pages of `sync`, each a walk over some of a person's conversations.

A client asks for a page at a time, so asking is the flow control: nothing is sent to catch up that
was not requested, and a page is one frame. It consists of the store's present state, which may be
ahead of the events that this node has delivered; the client drops what comes twice.

A conversation that has not changed costs two look-ups; the others are read and paid for one by one,
and where the budget is used up, the page ends. It always has at least one, so each page that is
granted makes progress.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Final

from msgspec import structs

from gochat.chat import conversations
from gochat.chat.accounts import Identity
from gochat.chat.conversations import ConversationKey, Summary
from gochat.chat.log import Page
from gochat.chat.names import NameKey
from gochat.chat.rooms import MAX_INVITATIONS
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    Conversation,
    Invitation,
    Message,
    Position,
    Sync,
    Synced,
)
from gochat.server.budget import PER_CONVERSATION, PER_ENTRY, PER_SUMMARY, OverBudget
from gochat.server.hub import OnlinePerson
from gochat.server.pages import ENVELOPE, as_received, size
from gochat.server.services import Services
from gochat.server.session import Session

#: Conversations that are looked up for one page.
MAX_WALKED: Final = 1000
#: Bytes of the longest `next`: an address from `have`, which is unknown here, of 256 control
#: characters, escaped twice.
LONGEST_ADDRESS: Final = 256 * 7
#: Attempts to read a conversation whose log is being replaced.
MAX_TRIES: Final = 3


class Synchroniser:
    """Answers `sync`."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._budgets = services.budgets
        self._gone = services.directory.gone
        self._room = services.config.limits.frame_bytes - ENVELOPE

    async def sync(
        self, session: Session, who: Identity, person: OnlinePerson, request: Sync
    ) -> None:
        """Reply with a page of what has changed."""
        have: dict[ConversationKey | str, Position] = {}
        for position in request.have:
            key: ConversationKey | str = position.conv  # not an address
            with suppress(ChatError):
                key = conversations.key(position.conv, who.key)
            have[key] = position
            await session.give_way()
        for _ in range(MAX_TRIES):
            changes = person.invitation_changes
            synced = await self._page_of(session, who, request, have)
            # What is read of invitations must not be older than what was sent of them meanwhile.
            if request.after or changes == person.invitation_changes:
                session.reply(synced)
                return
        raise StoreUnavailable("the person's invitations keep changing")

    async def _page_of(
        self,
        session: Session,
        who: Identity,
        request: Sync,
        have: dict[ConversationKey | str, Position],
    ) -> Synced:
        page = _SyncPage(self._room)
        if not request.after:
            page.invite(await self._invitations(session, who))
        found, is_more = await self._store.summaries(who.key, after=request.after, limit=MAX_WALKED)
        self._budgets.spend(session.address, who.key, len(found) * PER_SUMMARY)
        end = found[-1].address if is_more else None
        found = [summary for summary in found if session.grant.sees(summary.key)]
        summaries = {summary.address: summary for summary in found}
        gone = await self._not_theirs(session, who.key, have, found)
        walked = request.after
        for address in sorted({*summaries, *gone}):
            if address <= request.after or (end is not None and address > end):
                continue
            summary = summaries.get(address)
            if summary is None:
                is_in = page.add_gone(address)
            else:
                had = have.get(summary.key)
                is_in = _is_unchanged(summary, had) or await self._add(
                    session, who.key, page, summary, had, request.limit
                )
            if not is_in:
                end = walked
                break
            walked = address
            await session.give_way()
        return Synced(
            conversations=tuple(page.conversations),
            gone=tuple(page.gone),
            invitations=page.invitations,
            next=end,
            request_id=request.request_id,
        )

    async def _invitations(self, session: Session, who: Identity) -> list[Invitation]:
        """Return the person's invitations to rooms that the session may see."""
        found = await self._store.invitations(who.key)
        self._budgets.spend(session.address, who.key, len(found) * PER_SUMMARY)
        return [
            invitation
            for invitation in found
            if session.grant.sees(conversations.key(invitation.room, who.key, "room"))
        ]

    async def _not_theirs(
        self,
        session: Session,
        person: NameKey,
        have: dict[ConversationKey | str, Position],
        found: Sequence[Summary],
    ) -> set[str]:
        """Return the addresses of positions in conversations that are not the person's."""
        others = have.keys() - {summary.key for summary in found}
        if (rooms := session.grant.rooms) is not None:
            others &= rooms  # of others it learns nothing, not even that they are not the person's
        if not others:
            return set()
        theirs = await self._store.conversation_keys(person)
        self._budgets.spend(session.address, person, len(theirs) * PER_SUMMARY)
        return {have[key].conv for key in others if key not in theirs}

    async def _add(
        self,
        session: Session,
        person: NameKey,
        page: _SyncPage,
        summary: Summary,
        position: Position | None,
        limit: int,
    ) -> bool:
        """Read a changed conversation; return False if the page has to end before it."""
        missed = summary.head - (position.seq if position is not None else 0)
        cost = PER_CONVERSATION + PER_ENTRY * max(0, min(limit, missed))
        if page.is_empty:
            self._budgets.spend(session.address, person, cost)
        else:
            try:
                self._budgets.charge(session.address, person, cost)
            except OverBudget:
                return False
        session.require_not_left()
        conversation = await self._read(person, summary.key, position, limit)
        if conversation is not None:
            return page.add(conversation)
        # They have left it since.
        return position is None or page.add_gone(position.conv)

    async def _read(
        self, person: NameKey, key: ConversationKey, position: Position | None, limit: int
    ) -> Conversation | None:
        """Return a conversation with what a client lacks of it; None if it is not the person's."""
        for _ in range(MAX_TRIES):
            state = await self._store.conversation(person, key)
            if state is None:
                return None
            try:
                entries = await self._missed(person, key, state, position, limit)
                is_reset = entries is None
                if entries is None:
                    entries = await self._missed(person, key, state, None, limit) or ()
            except _Replaced:
                continue
            seen = tuple(as_received(entries, person, self._gone))
            return structs.replace(state, entries=seen, reset=is_reset)
        raise StoreUnavailable("the log is being replaced")

    async def _missed(
        self,
        person: NameKey,
        key: ConversationKey,
        state: Conversation,
        position: Position | None,
        limit: int,
    ) -> Sequence[Message] | None:
        """Return the newest entries after a position; None if the position is of another log."""
        last = 0
        if position is not None:
            last = position.seq
            if position.epoch != state.epoch or last > state.head:
                return None
            if last == state.head:
                return () if not last or position.ts == state.ts else None
        # Entries up to the floor are hidden, also the times of those that the client may have.
        is_seen = position is not None and last > state.floor
        wanted = min(limit, state.head - last)
        is_whole = wanted == state.head - last
        found: Sequence[Message] = ()
        if wanted:
            # If it reaches down to the position, also read the entry there.
            count = wanted + (1 if is_seen and is_whole else 0)
            page = await self._page(person, key, state, before=state.head + 1, limit=count)
            found = page.entries
        if position is not None and is_seen:
            there = found[:1]
            if not is_whole:
                page = await self._page(person, key, state, after=last - 1, limit=1)
                there = page.entries
            # A store may keep only the newest entries.
            if there and there[0].seq == last and there[0].ts != position.ts:
                return None
        return [entry for entry in found if entry.seq > last]

    async def _page(
        self,
        person: NameKey,
        key: ConversationKey,
        state: Conversation,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> Page:
        page = await self._store.page(key, viewer=person, before=before, after=after, limit=limit)
        is_same = page.epoch == state.epoch and page.head >= state.head
        if not (is_same and page.is_inside and page.floor == state.floor):
            raise _Replaced
        return page


class _Replaced(Exception):
    """The log, or the person's view of it, was replaced between two reads."""


class _SyncPage:
    """What fits into one frame."""

    def __init__(self, room: int) -> None:
        self._room = room - LONGEST_ADDRESS  # bytes
        self.conversations: list[Conversation] = []
        self.gone: list[str] = []
        self.invitations: tuple[Invitation, ...] = ()

    def invite(self, invitations: Sequence[Invitation]) -> None:
        """Add the invitations, the newest with their topic as long as half the frame lasts.

        Without topics, even the largest number leaves room for a conversation.
        """
        kept = invitations[:MAX_INVITATIONS]
        found = {invitation.room: structs.replace(invitation, topic="") for invitation in kept}
        room = self._room // 2 - sum(map(_size_of_invitation, found.values()))
        for invitation in sorted(kept, key=attrgetter("ts"), reverse=True):
            room -= _size_of_invitation(invitation) - _size_of_invitation(found[invitation.room])
            if room < 0:
                break
            found[invitation.room] = invitation
        self.invitations = tuple(found.values())
        self._room -= sum(map(_size_of_invitation, self.invitations))

    @property
    def is_empty(self) -> bool:
        """True as long as nothing was added."""
        return not (self.conversations or self.gone)

    def add(self, conversation: Conversation) -> bool:
        """Add a conversation, unless it doesn't fit. The first one always fits.

        It may have fewer entries then: the newest.
        """
        bare = structs.replace(conversation, entries=())
        room = self._room - _size(Synced(conversations=(bare,)))
        kept = list(_newest(conversation.entries, room))
        if room < 0 or (len(kept) < len(conversation.entries) and not self.is_empty):
            return False
        self._room = room - sum(size(entry) for entry in kept)
        self.conversations.append(structs.replace(conversation, entries=tuple(kept[::-1])))
        return True

    def add_gone(self, address: str) -> bool:
        """Add the address of a conversation that is not the person's, unless it doesn't fit."""
        room = self._room - _size(Synced(conversations=(), gone=(address,)))
        if room < 0:
            return False
        self._room = room
        self.gone.append(address)
        return True


def _size_of_invitation(invitation: Invitation) -> int:
    return _size(Synced(conversations=(), invitations=(invitation,)))


_EMPTY: Final = len(encode(Synced(conversations=())))


def _size(synced: Synced) -> int:
    """Return the bytes that one part takes in a page."""
    return len(encode(synced)) - _EMPTY + 1  # and a comma


def _newest(entries: Sequence[Message], room: int) -> Iterator[Message]:
    """Yield the entries that fit into `room` bytes, the newest first."""
    for entry in reversed(entries):
        room -= size(entry)
        if room < 0:
            return
        yield entry


def _is_unchanged(summary: Summary, position: Position | None) -> bool:
    """Return True if a client knows all there is to know."""
    return position is not None and (
        (position.epoch, position.seq, position.ts, position.read, position.level)
        == (summary.epoch, summary.head, summary.ts, summary.read, summary.level)
    )
