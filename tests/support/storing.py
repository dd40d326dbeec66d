"""Helpers for tests of stores, in the words of the chat: who sends what, where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import trio

from gochat.chat import conversations, names
from gochat.chat.account import Account
from gochat.chat.conversations import ConversationKey
from gochat.chat.log import Appended, Batch, Draft, Logged, Page, Unchanged
from gochat.chat.names import NameKey
from gochat.chat.room_state import RoomState
from gochat.chat.store import Store
from gochat.chat.token import Token
from gochat.errors import ChatError
from gochat.protocol import search_query
from gochat.protocol.messages import Conversation, EntryKind, Message
from gochat.protocol.text import EVERYBODY

#: The time at which tests begin.
NOON = 1_700_000_000_000


class Clock:
    """A wall clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


class OpenStore(Protocol):
    """Opens the test's store; reopening it after closing gives the same store."""

    def __call__(self) -> AbstractAsyncContextManager[Store]: ...


class Chat:
    """A store, and its people, identified by their display names."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def register(self, *people: str) -> None:
        for name in people:
            assert await self.store.create_account(account(name))

    async def append(self, *drafts: Draft) -> list[Appended | Unchanged | ChatError]:
        return await self.store.append(drafts)

    async def say(self, who: str, to: str, text: str, **fields: Any) -> Message:
        """Append one message, which must be accepted and new."""
        return await self.do(who, to, "text", text, **fields)

    async def do(
        self, who: str, to: str, kind: EntryKind, text: str = "", **fields: Any
    ) -> Message:
        """Append one entry, which must be accepted and new."""
        (result,) = await self.append(draft(who, to, text, kind=kind, **fields))
        assert isinstance(result, Appended), result
        assert not result.dup
        return result.entry

    async def refused(
        self, who: str, to: str, kind: EntryKind, text: str = "", **fields: Any
    ) -> str:
        """Append one entry, which must be refused; return the code."""
        (result,) = await self.append(draft(who, to, text, kind=kind, **fields))
        assert isinstance(result, ChatError), result
        return str(result.code)

    async def page(
        self,
        who: str,
        to: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 200,
    ) -> Page:
        return await self.store.page(
            key(to, who),
            viewer=names.fold(who),
            before=before,
            after=after,
            limit=limit,
        )

    async def entries(self, who: str, to: str) -> Sequence[Message]:
        """Return the newest page, as `who` sees it."""
        return (await self.page(who, to)).entries

    async def seen(self, who: str, to: str) -> Conversation:
        """Return a conversation as `who` sees it; it must be one of theirs."""
        state = await self.store.conversation(names.fold(who), key(to, who))
        assert state is not None
        return state

    async def addresses(self, who: str) -> list[str]:
        """Return the addresses of all conversations of `who`, in the store's order."""
        found, more = await self.store.summaries(names.fold(who), after="", limit=200)
        assert not more
        return [summary.address for summary in found]

    async def mark_read(self, who: str, to: str, seq: int) -> bool:
        return await self.store.mark_read(names.fold(who), key(to, who), seq)

    async def room(self, who: str, to: str) -> RoomState:
        """Return a room as `who` sees it; it must exist."""
        room = await self.store.room(key(to, who), names.fold(who))
        assert room is not None
        return room

    async def members(self, to: str) -> list[str]:
        """Return the names of all members of a room, those of operators with a star."""
        found, total, more = await self.store.members(key(to, "nobody"), after="", limit=200)
        assert (total, more) == (len(found), False)
        return [member.name + "*" * member.operator for member in found]

    async def find(self, who: str, query: str, **where: str) -> list[str]:
        """Return the texts that `who` finds: in `to`, of the person `sender`."""
        conversation = key(where["to"], who) if "to" in where else None
        sender = names.fold(where["sender"]) if "sender" in where else None
        hits, cursor = await self.store.search(
            names.fold(who), search_query.parse(query).terms,
            sender=sender, conversation=conversation, limit=50,
        )  # fmt: skip
        assert cursor is None
        return [hit.text for hit in hits]


class Following:
    """What a follower of the log received."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def __call__(self, batch: Batch) -> None:
        self.batches.append(batch)

    @property
    def logged(self) -> list[Logged]:
        return [one for batch in self.batches for one in batch.entries]

    def seqs(self, conversation: str) -> list[int]:
        """Return the seqs of one conversation, in the order of delivery."""
        return [one.entry.seq for one in self.logged if one.conversation == conversation]


async def follow(nursery: trio.Nursery, store: Store, deliver: Callable[[Batch], None]) -> None:
    """Follow the log in the background, from now on."""
    await nursery.start(_follow, store, deliver)


async def _follow(
    store: Store,
    deliver: Callable[[Batch], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    await store.follow(deliver, task_status=task_status)


def account(name: str, password_hash: str = "hash") -> Account:
    return Account(
        key=names.fold(name), name=name, password_hash=password_hash, created=NOON - 1000
    )


def key(to: str, who: str) -> ConversationKey:
    """Return the key of what `who` calls `to`."""
    return conversations.key(to, names.fold(who))


def person(name: str) -> NameKey:
    return names.fold(name)


def make_token(who: str, number: int = 1, **fields: Any) -> Token:
    """Return a person's token, valid for a second after noon; its id is 16 times `number`."""
    token_id = bytes([number]) * 16
    given: dict[str, Any] = {"digest": bytes([number]) * 32, "expires": NOON + 1000} | fields
    return Token(id=token_id, account=person(who), **given)


def draft(
    who: str,
    to: str,
    text: str = "",
    *,
    kind: EntryKind = "text",
    mentions: Sequence[str] = (),
    subject: str | None = None,
    **fields: Any,
) -> Draft:
    """Return what `who` sends to `to`; `fields` are additional ones of the draft."""
    return Draft(
        conversation=key(to, who),
        to=to,
        sender_key=names.fold(who),
        sender=who,
        kind=kind,
        text=text,
        mentions=tuple(mentions),
        mentioned=() if EVERYBODY in mentions else tuple(map(names.fold, mentions)),
        subject=None if subject is None else names.fold(subject),
        **fields,
    )
