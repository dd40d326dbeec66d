"""What changing a room requires: that there is such a room, who is in it, and who operates it."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from gochat.chat import conversations, names
from gochat.chat.accounts import Identity
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.directory import Destination, Directory
from gochat.chat.drafts import make_draft
from gochat.chat.facts import INSIDE, Facts, Role
from gochat.chat.log import Draft
from gochat.chat.muting import saying_why
from gochat.chat.names import NameKey
from gochat.chat.operating import acting_on, operating
from gochat.chat.refusals import not_inside, operators_only
from gochat.chat.room_state import RoomState
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Member

_PAGE: Final = 1000


class RoomAccess:
    """The base of what makes drafts that change rooms. Each method raises ChatError if its
    requirement is not met."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store: Final = store
        self._directory: Final = directory

    async def _room(self, who: Identity, address: str, *, or_lobby: bool = False) -> RoomState:
        if not address.startswith("#"):
            raise conversations.unknown(address, "room")
        key = conversations.key(address, who.key, "room")
        if key == LOBBY_KEY and not or_lobby:
            raise ChatError(
                ErrorCode.NOT_PERMITTED,
                "#lobby is everybody's: it stays as it is",
                field="room",
                details={"rule": "lobby"},
            )
        room = await self._store.room(key, who.key)
        if room is None or room.is_hidden:
            raise conversations.unknown(address, "room")
        return room

    async def _own_room(self, who: Identity, address: str, *, to: str | None = None) -> RoomState:
        room = await self._room(who, address)
        if not room.is_inside:
            raise not_inside(room.name, "room")
        if to is not None and room.role != "operator":
            raise operators_only(to)
        return room

    async def _operated(
        self, who: Identity, address: str, *, to: str, or_lobby: bool = False
    ) -> tuple[RoomState, Facts]:
        """Return a room, and the facts by which a person acts as an operator there."""
        room = await self._room(who, address, or_lobby=or_lobby)
        if room.key != LOBBY_KEY and not room.is_inside:
            raise not_inside(room.name, "room")
        facts = await operating(self._store, who, room)
        if facts is None:
            raise operators_only(to)
        return room, facts

    async def _acting_on(self, who: Identity, room: RoomState, facts: Facts, key: NameKey) -> Facts:
        """Return the facts by which a person may act on another one, not on themselves."""
        if key == who.key:
            raise ChatError(
                ErrorCode.BAD_REQUEST,
                f"to go yourself, leave {room.name}",
                field="name",
                details={"rule": "oneself"},
            )
        return await acting_on(self._store, who, room, facts, key)

    async def _saying_why(self, who: Identity, room: RoomState, facts: Facts, reason: str) -> Facts:
        """Return the facts by which a person may do something for a reason."""
        return await saying_why(self._store, who, room, facts, reason) or facts

    async def _succeeding(
        self, who: Identity, room: RoomState, facts: Facts, key: NameKey, role: Role
    ) -> tuple[list[Draft], Facts]:
        """Return what makes that a room has an operator once a person has been removed from it.

        That is not sure where who removes an operator is none, but a moderator of the server.
        """
        if role != "operator" or facts.sender == ("operator",):
            return [], facts
        heir, needs_heir = await self._succession(room, key)
        assert heir is not None  # who removes them is there
        drafts, subject = [], names.known(heir.name)
        if needs_heir:
            # A new cid at each try, as when the last operator leaves.
            is_member = replace(facts, subject=("member",), acts_on=None)
            to = Destination.of(room)
            drafts.append(
                make_draft(who, to, "operator", is_member, text=heir.name, subject=subject)
            )
        return drafts, replace(facts, operator=subject)

    async def _succession(self, room: RoomState, leaving: NameKey) -> tuple[Member | None, bool]:
        """Return another operator, or else the member of longest standing.

        Also return whether that member must be made an operator first.
        """
        heir: Member | None = None
        after, more = "", True
        while more:
            members, _, more = await self._store.members(room.key, after=after, limit=_PAGE)
            for member in members:
                after = names.known(member.name)
                if after == leaving:
                    continue
                if member.operator:
                    return member, False
                if heir is None or member.since < heir.since:
                    heir = member
        return heir, True

    async def _somebody(self, name: str) -> tuple[NameKey, str]:
        try:
            key = names.fold_person(name)
            if key in self._directory.gone:
                raise KeyError
            return key, (await self._directory.people((key,)))[key]
        except (ChatError, KeyError):
            raise conversations.nobody(name.removeprefix("@"), "name") from None

    async def _member(
        self, room: RoomState, name: str, *, or_invited: bool = False
    ) -> tuple[NameKey, str, Role]:
        key, shown = await self._somebody(name)
        theirs = await self._store.room(room.key, key)
        role: Role = "nobody" if theirs is None else theirs.standing
        if role not in INSIDE and not (or_invited and role == "invited"):
            raise ChatError(
                ErrorCode.NOT_A_MEMBER,
                f"{shown} is not in {room.name}",
                field="name",
                details={"conv": room.name, "name": shown},
            )
        return key, shown, role
