"""Moderation of rooms: check who may do what, and make drafts, as in :mod:`gochat.chat.rooms`.

A ban removes a person from a room, or withdraws their invitation, and keeps them out until it ends
or is lifted: they can neither join nor be invited. Being removed (`kick`) is not a ban. Who is
banned has the role ``banned`` (:data:`gochat.chat.facts.Role`), which the commits of joining and
inviting compare as they do any other role.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from gochat.chat.accounts import Identity
from gochat.chat.directory import Destination
from gochat.chat.drafts import draft_of
from gochat.chat.facts import Facts, Role
from gochat.chat.log import Draft
from gochat.chat.room_access import RoomAccess
from gochat.chat.room_state import RoomState
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Ban, SetAnnouncements, SetArchived, SetSlowMode, Unban

#: Bans of a room that have not ended. Concurrent bans can exceed it.
MAX_BANS: Final = 1000


class Moderation(RoomAccess):
    """Makes the drafts of what operators do to people, and to writing. As
    :class:`~gochat.chat.rooms.RoomDrafts`."""

    async def ban(self, who: Identity, request: Ban) -> list[Draft]:
        """Ban a person, whether or not they are in the room; it replaces an earlier ban."""
        room, facts = await self._operated(who, request.room, to="ban people")
        key, name = await self._somebody(request.name)
        facts = await self._acting_on(who, room, facts, key)
        theirs = await self._store.room(room.key, key)
        before = theirs.ban if theirs is not None else None
        if before is None:
            await self._require_place(room)
        elif (request.seconds, before.until, before.reason) == (None, 0, request.reason):
            return []
        role: Role = "nobody" if theirs is None else theirs.standing
        drafts, facts = await self._succeeding(who, room, facts, key, role)
        if facts.operator is not None or facts.sender != ("operator",):
            facts = replace(facts, subject=(role,))
        facts = await self._saying_why(who, room, facts, request.reason)
        to = Destination.of(room)
        return [*drafts, draft_of(request, who, to, facts, text=name, subject=key)]

    async def unban(self, who: Identity, request: Unban) -> list[Draft]:
        """Lift a ban."""
        room, facts = await self._operated(who, request.room, to="lift bans")
        key, name = await self._somebody(request.name)
        theirs = await self._store.room(room.key, key)
        if theirs is None or theirs.ban is None:
            return []
        facts = replace(facts, subject=("banned",))
        return [draft_of(request, who, Destination.of(room), facts, text=name, subject=key)]

    async def set_slow_mode(self, who: Identity, request: SetSlowMode) -> list[Draft]:
        """Set how long members wait between two messages."""
        room, facts = await self._operated(who, request.room, to="set slow mode", or_lobby=True)
        return self._set(who, request, room, facts, is_so=room.modes.slow == request.seconds)

    async def set_announcements(self, who: Identity, request: SetAnnouncements) -> list[Draft]:
        """Choose whether only operators can write."""
        room, facts = await self._operated(who, request.room, to="choose who writes", or_lobby=True)
        return self._set(who, request, room, facts, is_so=room.modes.announcements == request.on)

    async def set_archived(self, who: Identity, request: SetArchived) -> list[Draft]:
        """Archive a room, or bring it back."""
        room, facts = await self._operated(who, request.room, to="archive a room, or bring it back")
        return self._set(who, request, room, facts, is_so=room.modes.archived == request.on)

    def _set(
        self,
        who: Identity,
        request: SetSlowMode | SetAnnouncements | SetArchived,
        room: RoomState,
        facts: Facts,
        *,
        is_so: bool,
    ) -> list[Draft]:
        return [] if is_so else [draft_of(request, who, Destination.of(room), facts)]

    async def listed(self, who: Identity, room: str) -> RoomState:
        """Return a room whose bans a person may see."""
        return (await self._operated(who, room, to="see who is banned"))[0]

    async def _require_place(self, room: RoomState) -> None:
        found, _ = await self._store.bans(room.key, after="", limit=MAX_BANS)
        if len(found) >= MAX_BANS:
            raise ChatError(
                ErrorCode.TOO_MANY,
                f"{room.name} has {MAX_BANS:,} bans: lift some first",
                field="room",
                details={"rule": "bans", "max": MAX_BANS},
            )
