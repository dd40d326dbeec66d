"""The commands about rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gochat.chat.handing_over import hand_over
from gochat.server.admin.accounts import require_account
from gochat.server.admin.arguments import NewOperator
from gochat.server.admin.call import Call, Handler


class HandedOver(Struct, frozen=True, kw_only=True):
    """A room and its new operator; `changed`: they were not one before."""

    room: str
    name: str
    changed: bool


async def give(call: Call, of: NewOperator) -> HandedOver:
    """Make an account an operator of a room."""
    account = await require_account(call, of.name)
    await call.record(account.name, f"operator of {of.room}")
    changed = await hand_over(call.services.store, of.room, account.name)
    return HandedOver(room=of.room, name=account.name, changed=changed)


HANDLERS: Final[Mapping[str, Handler]] = {
    "room hand-over": give,
}
