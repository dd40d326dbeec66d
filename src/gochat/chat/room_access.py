"""What changing a room requires: that there is such a room, who is in it, and who operates it."""

from __future__ import annotations

from typing import Final

from gochat.chat import conversations, names
from gochat.chat.accounts import Identity
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.directory import Directory
from gochat.chat.facts import INSIDE, Role
from gochat.chat.names import NameKey
from gochat.chat.refusals import not_inside
from gochat.chat.room_state import RoomState
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode


class RoomAccess:
    """The base of what makes drafts that change rooms. Each method raises ChatError if its
    requirement is not met."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store: Final = store
        self._directory: Final = directory

    async def _room(self, who: Identity, address: str) -> RoomState:
        if not address.startswith("#"):
            raise conversations.unknown(address, "room")
        key = conversations.key(address, who.key, "room")
        if key == LOBBY_KEY:
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

    async def _somebody(self, name: str) -> tuple[NameKey, str]:
        try:
            key = names.fold_person(name)
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


def operators_only(what: str) -> ChatError:
    """Return the error for what only operators may do."""
    return ChatError(
        ErrorCode.NOT_PERMITTED,
        f"only operators can {what}",
        field="room",
        details={"rule": "operator"},
    )
