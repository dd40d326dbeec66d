"""Deleting an account, which whoever runs the server does.

The account stays, without anything but its name, so that nobody else can have the name, and what
was written there keeps its author in the log. To people that author is :data:`DELETED`: no account
can have such a name, with a space in it. With the messages kept, nothing in the log changes. To
remove them, they are deleted like any others, by entries of their author, so everybody learns of
it; that takes time, during which the state of the account says so.

Everything here can be done again: what was cut short is completed by doing it once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from itertools import islice
from typing import Final, Protocol

from msgspec import structs

from gochat.chat import conversations, names
from gochat.chat.account import Account
from gochat.chat.accounts import Identity
from gochat.chat.commits import Outcome, settle
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.directory import Destination
from gochat.chat.drafts import make_draft
from gochat.chat.log import Draft
from gochat.chat.names import NameKey
from gochat.chat.store import Store
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.messages import Decline, Leave, Message
from gochat.protocol.text import DELETED

#: Entries read at once, and entries appended at once: some milliseconds each.
PAGE: Final = 200
TOGETHER: Final = 20

#: Kinds of entries whose text is the name of whom they are about.
ABOUT_SOMEBODY: Final = frozenset({"invite", "kick", "ban", "unban", "operator", "member"})


class LeavingDrafts(Protocol):
    """What drafts the leaving of rooms: :class:`~gochat.chat.rooms.RoomDrafts`."""

    async def leave(self, who: Identity, request: Leave) -> list[Draft]:
        """Draft leaving a room."""

    async def decline(self, who: Identity, request: Decline) -> list[Draft]:
        """Draft turning down an invitation."""


def shown_name(name: str, gone: Collection[NameKey]) -> str:
    """Return a name as people see it: :data:`DELETED` for who was deleted."""
    return DELETED if gone and names.known(name) in gone else name


def without_names(entry: Message, gone: Collection[NameKey]) -> Message:
    """Return an entry as people see it: who was deleted is called :data:`DELETED`."""
    if not gone:
        return entry
    changed: dict[str, object] = {}
    if names.known(entry.from_) in gone:
        changed["from_"] = DELETED
    if entry.kind in ABOUT_SOMEBODY and names.known(entry.text) in gone:
        changed["text"] = DELETED
    if any(names.known(name) in gone for one in entry.reactions for name in one.names):
        changed["reactions"] = tuple(
            structs.replace(
                one,
                names=tuple(DELETED if names.known(name) in gone else name for name in one.names),
            )
            for one in entry.reactions
        )
    return structs.replace(entry, **changed) if changed else entry


async def withdraw(store: Store, rooms: LeavingDrafts, account: Account, now: int) -> list[str]:
    """Take a person out of everything: rooms, invitations, blocks, markers.

    A room whose last operator they are gets another one, as when somebody leaves. Return the rooms
    that nobody is left in, and that are private, so that nobody can join them.

    Raises:
        ChatError: ``busy``, or another: it did not work out, and can be repeated.
        StoreUnavailable: likewise.
    """
    who = Identity(account.key, account.name)
    deserted: list[str] = []
    for key in await store.conversation_keys(account.key):
        if key == LOBBY_KEY or conversations.is_private(key):
            continue
        room = await store.room(key, account.key)
        if room is None:
            continue
        await _settle(store, partial(rooms.leave, who, Leave(room=room.name)))
        if room.private and room.members == 1:
            deserted.append(room.name)
    for invitation in await store.invitations(account.key):
        await _settle(store, partial(rooms.decline, who, Decline(room=invitation.room)))
    for name in await store.blocked(account.key):
        await store.set_blocked(account.key, names.known(name), on=False)
    for one in await store.admission.invitations():
        if one.maker == account.key and not one.revoked:
            await store.admission.revoke(one.digest, now)
    return deserted


async def _settle(store: Store, decide: Callable[[], Awaitable[list[Draft]]]) -> None:
    async def decide_again(_: object) -> list[Draft]:
        return await decide()

    outcome: Outcome = await settle(decide_again, store.append)
    if isinstance(outcome, ChatError | StoreUnavailable):
        raise outcome


async def remove_messages(
    store: Store, account: Account, pause: Callable[[], Awaitable[object]]
) -> int:
    """Delete what a person wrote, and take back their reactions; return how much there was.

    Between two steps it calls `pause`.
    """
    who, cursor, removed = Identity(account.key, account.name), "", 0
    while found := await store.administration.conversations(after=cursor):
        for key, after in found:
            cursor = after
            is_private = conversations.is_private(key)
            if not is_private or who.key in conversations.participants(key):
                removed += await _remove_from(store, who, key, pause)
    return removed


async def _remove_from(
    store: Store, who: Identity, key: ConversationKey, pause: Callable[[], Awaitable[object]]
) -> int:
    after, removed = 0, 0
    while True:
        page = await store.page(key, viewer=who.key, after=after, limit=PAGE)
        drafts = iter([one for entry in page.entries for one in _taking_back(who, key, entry)])
        while some := list(islice(drafts, TOGETHER)):
            # One that somebody else has deleted meanwhile is refused, and so be it.
            await store.append(some)
            removed += len(some)
            await pause()
        if not page.entries or page.entries[-1].seq >= page.head:
            return removed
        after = page.entries[-1].seq
        await pause()


def _taking_back(who: Identity, key: ConversationKey, entry: Message) -> Iterable[Draft]:
    if entry.kind != "text" or entry.deleted:
        return
    to = Destination(key, entry.to, who.key)
    if names.known(entry.from_) == who.key:
        yield make_draft(who, to, "delete", None, ref=entry.seq)
        return
    for reaction in entry.reactions:
        if reaction.me:
            yield make_draft(who, to, "unreact", None, text=reaction.emoji, ref=entry.seq)
