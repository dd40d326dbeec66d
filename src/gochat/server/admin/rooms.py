"""The commands about rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from gochat.chat.handing_over import hand_over
from gochat.server.admin.accounts import Name, require_account
from gochat.server.admin.command import Arguments, Call, Command


class OfRoom(Arguments, frozen=True, kw_only=True):
    """A room, and who gets it."""

    room: Annotated[str, Meta(max_length=200, description="the room, as '#garden'")]
    name: Name


class HandedOver(Struct, frozen=True, kw_only=True):
    """A room and its new operator; `changed`: they were not one before."""

    room: str
    name: str
    changed: bool


async def give(call: Call, of: OfRoom) -> HandedOver:
    """Make an account an operator of a room."""
    account = await require_account(call, of.name)
    await call.record(account.name, f"operator of {of.room}")
    changed = await hand_over(call.services.store, of.room, account.name)
    return HandedOver(room=of.room, name=account.name, changed=changed)


COMMANDS: Final[Mapping[str, Command]] = {
    "room hand-over": Command(
        OfRoom,
        "admin",
        give,
        "make an account an operator of a room, also of one that everybody has left",
        acts=True,
    ),
}
