"""The command that deletes an account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gochat.chat.accounts import has_changed
from gochat.chat.deletion import withdraw
from gochat.chat.server_roles import require_over
from gochat.errors import StoreUnavailable
from gochat.server.admin.accounts import require_account
from gochat.server.admin.arguments import Deletion
from gochat.server.admin.call import Call, Handler
from gochat.storage.common.clock import wall_clock

#: What those are sent who are logged in.
TEXT: Final = "this account was deleted: ask whoever runs the server"


class Deleted(Struct, frozen=True, kw_only=True):
    """A deleted account.

    `state` is ``removing`` while its messages go. `sessions_ended`: it is confirmed that all
    sessions have ended. `deserted` are the private rooms that nobody is in any more.
    """

    name: str
    state: str
    sessions_ended: bool
    deserted: tuple[str, ...]


async def delete(call: Call, of: Deletion) -> Deleted:
    """Delete an account. Of one that was deleted, complete what was cut short."""
    services = call.services
    before = await require_account(call, of.name)
    require_over(call.actor, before.role)
    await call.record(before.name, f"messages: {of.messages}")
    after = replace(
        before,
        state="removing" if of.messages == "remove" else "deleted",
        role="member",
        bot=False,
        ban=None,
        mute=None,
        generation=before.generation + 1,
    )
    try:
        if not await services.store.administration.change_account(before, after):
            raise has_changed(before.name)
    except StoreUnavailable:
        services.revocations.doubt()  # it may have been committed
        raise
    is_confirmed = await services.revocations.ended_by_operator(
        after.key, TEXT, generation=after.generation
    )
    await services.store.administration.forget(after.key)
    await services.report_keeper.forget({after.key})
    deserted = await withdraw(services.store, services.rooms, after, wall_clock())
    services.deleted.note(after.key)
    return Deleted(
        name=after.name,
        state=after.state,
        sessions_ended=is_confirmed,
        deserted=tuple(deserted),
    )


HANDLERS: Final[Mapping[str, Handler]] = {
    "account delete": delete,
}
