"""The rules of the chat over a store, for tests without a server."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest
from storing import Chat

from gochat.chat import conversations, names
from gochat.chat.accounts import Identity
from gochat.chat.conversations import ConversationKey
from gochat.chat.directory import Directory
from gochat.chat.drafts import Drafts
from gochat.chat.log import Appended, Draft, Unchanged
from gochat.chat.moderation import Moderation
from gochat.chat.rooms import RoomDrafts
from gochat.chat.store import Store
from gochat.errors import ChatError
from gochat.protocol.messages import Message, Send


class World(Chat):
    """A store with people, and drafts for it. People are identified by their display names."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.directory = Directory(store)
        self.drafts = Drafts(store, self.directory)
        self.rooms = RoomDrafts(store, self.directory)
        self.moderation = Moderation(store, self.directory)

    async def draft(
        self,
        who: str,
        request: Any,
        rooms: Collection[ConversationKey] | None = None,
        *,
        asks: bool = False,
    ) -> list[Draft]:
        """Return the drafts of a request; `rooms` are those that the person is assumed to be in, by
        default those that they are in. With `asks` nothing is assumed."""
        identity = Identity(names.fold(who), who)
        kind = type(request).__name__
        if kind in ("Send", "Edit", "Delete", "React"):
            make = getattr(self.drafts, kind.lower())
            if rooms is None and not asks:
                rooms = await self.rooms_of(who)
            return [await make(identity, rooms, request)]
        where = self.moderation if hasattr(self.moderation, _ROOM_REQUESTS[kind]) else self.rooms
        make = getattr(where, _ROOM_REQUESTS[kind])
        drafts: list[Draft] = await make(identity, request)
        return drafts

    async def ask(self, who: str, *requests: Any) -> list[Message]:
        """Carry out a request, which must be accepted entirely. Return the entries, if any."""
        entries = []
        for request in requests:
            for result in await self.append(*await self.draft(who, request)):
                assert isinstance(result, Appended | Unchanged), result
                if isinstance(result, Appended):
                    entries.append(result.entry)
        return entries

    async def is_refused(self, who: str, request: Any) -> tuple[str, str | None]:
        """Make a request that a rule must refuse; return code and field."""
        with pytest.raises(ChatError) as caught:
            await self.draft(who, request)
        assert caught.value.text.isprintable()
        return str(caught.value.code), caught.value.field

    async def talk(self, who: str, to: str, *texts: str) -> Sequence[Message]:
        """Send a message, as people do."""
        return await self.ask(who, *(Send(to=to, text=text) for text in texts))

    async def rooms_of(self, who: str) -> set[ConversationKey]:
        """Return the rooms of which a person is a member."""
        keys = await self.store.conversation_keys(names.fold(who))
        return {key for key in keys if not conversations.is_private(key)}


_ROOM_REQUESTS = {
    "CreateRoom": "create",
    "Join": "join",
    "Leave": "leave",
    "Invite": "invite",
    "Kick": "kick",
    "Decline": "decline",
    "SetTopic": "set_topic",
    "SetOperator": "set_operator",
    "SetAccess": "set_access",
    "SetHistory": "set_history",
    "Ban": "ban",
    "SetSlowMode": "set_slow_mode",
    "SetAnnouncements": "set_announcements",
    "SetArchived": "set_archived",
    "Unban": "unban",
}
