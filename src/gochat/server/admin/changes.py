"""The commands that change accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gochat.chat import names, restrictions
from gochat.chat.account import Account, AccountState, require_not_deleted
from gochat.chat.accounts import has_changed, taken
from gochat.chat.names import NameKey
from gochat.chat.refusals import account_banned
from gochat.chat.restriction import duration
from gochat.chat.server_roles import require_over
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import RestrictionKind
from gochat.server.admin.accounts import Standing, require_account
from gochat.server.admin.arguments import (
    NewAccount,
    NewRole,
    OfAccount,
    Reset,
    Restricting,
    RestrictionPage,
)
from gochat.server.admin.call import Call, Handler
from gochat.server.restriction_requests import listed
from gochat.server.revocation import DISABLED, ENDED
from gochat.storage.common.clock import wall_clock

#: Milliseconds.
_HOUR: Final = 3600 * 1000
#: Tries to change an account that others are changing.
TRIES: Final = 3
RESET: Final = "the password was reset: ask whoever runs the server for a code"


class Restricted(Struct, frozen=True, kw_only=True):
    """A restriction in a list; `expires` is 0 if it has to be lifted."""

    name: str
    kind: RestrictionKind
    by: str
    at: int
    expires: int
    reason: str


class ShownRestrictions(Struct, frozen=True, kw_only=True):
    """A page of who is restricted; `next` is empty on the last one."""

    restrictions: tuple[Restricted, ...]
    next: str


class Created(Struct, frozen=True, kw_only=True):
    """A new account; `code` is empty if it has a password."""

    name: str
    code: str = ""
    expires: int = 0


class Issued(Created, frozen=True, kw_only=True):
    """A one-time code. `sessions_ended`: it is confirmed that all sessions have ended."""

    sessions_ended: bool


class Changed(Standing, frozen=True, kw_only=True):
    """An account as it is now. `sessions_ended`: it is confirmed that its sessions have ended.

    That is null where none had to.
    """

    sessions_ended: bool | None = None


class Ended(Struct, frozen=True, kw_only=True):
    """How many sessions were revoked, and whether it is confirmed that they have ended."""

    name: str
    sessions: int
    sessions_ended: bool


async def create(call: Call, new: NewAccount) -> Created:
    """Create an account, with a password or a one-time code."""
    accounts, shown = call.services.accounts, names.check(new.name)
    if await call.services.store.account(names.fold(new.name)) is not None:
        raise taken(shown)
    await call.record(shown, "with a password" if new.password is not None else "with a code")
    if new.password is not None:
        return Created(name=await accounts.register(new.name, new.password, is_reserved_too=True))
    issued = accounts.new_code(new.hours * _HOUR)
    name = await accounts.register_with_code(new.name, issued)
    return Created(name=name, code=issued.code, expires=issued.expires)


async def disable(call: Call, of: OfAccount) -> Changed:
    """Disable an account, and end its sessions."""
    return await _set_state(call, of.name, "disabled")


async def enable(call: Call, of: OfAccount) -> Changed:
    """Enable an account again."""
    return await _set_state(call, of.name, "active")


async def _set_state(call: Call, name: str, state: AccountState) -> Changed:
    def alter(account: Account) -> Account:
        if account.state == state:
            return account
        return replace(account, state=state, generation=account.generation + 1)

    before, after = await change(call, name, alter)
    if before == after or state == "active":
        return _changed(after)
    return _changed(after, sessions_ended=await _end_older(call, after, DISABLED))


async def set_role(call: Call, new: NewRole) -> Changed:
    """Set the role of an account."""
    require_over(call.actor, new.role)
    return await _alter(call, new.name, lambda account: replace(account, role=new.role))


async def ban(call: Call, of: Restricting) -> Changed:
    """Ban an account from the server, and end its sessions."""
    before, after = await _restrict(call, of.name, "ban", of.seconds, on=True)
    if before == after or after.ban is None:
        return _changed(after)
    return _changed(
        after, sessions_ended=await _end_older(call, after, account_banned(after.ban).text)
    )


async def unban(call: Call, of: OfAccount) -> Changed:
    """Lift the ban of an account."""
    return _changed((await _restrict(call, of.name, "ban", None, on=False))[1])


async def mute(call: Call, of: Restricting) -> Changed:
    """Mute an account in the lobby and public rooms."""
    _, after = await _restrict(call, of.name, "mute", of.seconds, on=True)
    call.services.hub.set_away(after.key, None)  # everybody reads it
    call.services.hub.set_status(after.key, None)
    return _changed(after)


async def unmute(call: Call, of: OfAccount) -> Changed:
    """Lift the mute of an account."""
    return _changed((await _restrict(call, of.name, "mute", None, on=False))[1])


async def _restrict(
    call: Call, name: str, kind: RestrictionKind, seconds: int | None, *, on: bool
) -> tuple[Account, Account]:
    making = restrictions.Change(kind=kind, on=on, seconds=seconds, reason=call.reason)
    return await change(
        call,
        name,
        lambda account: making.made(call.actor, account, wall_clock()),
        duration(seconds),
    )


async def list_restricted(call: Call, page: RestrictionPage) -> ShownRestrictions:
    """List who is banned or muted now."""
    after = NameKey(page.after and names.known(page.after))
    found, has_more = await listed(call.services, after, page.limit)
    return ShownRestrictions(
        restrictions=tuple(
            Restricted(
                name=one.name,
                kind=one.kind,
                by=one.by,
                at=one.ts,
                expires=one.until,
                reason=one.reason,
            )
            for one in found
        ),
        next=names.known(found[-1].name) if has_more and found else "",
    )


async def bot_on(call: Call, of: OfAccount) -> Changed:
    """Mark an account as a bot."""
    return await _alter(call, of.name, lambda account: replace(account, bot=True))


async def bot_off(call: Call, of: OfAccount) -> Changed:
    """Mark an account as a person's."""
    return await _alter(call, of.name, lambda account: replace(account, bot=False))


async def _alter(call: Call, name: str, alter: Callable[[Account], Account]) -> Changed:
    _, after = await change(call, name, alter)
    return _changed(after)


async def reset_password(call: Call, reset: Reset) -> Issued:
    """Put a one-time code in the place of a password, and end the sessions."""
    account = await require_account(call, reset.name)
    require_over(call.actor, account.role)
    require_not_deleted(account)
    await call.record(account.name, f"for {reset.hours} hours")
    try:
        issued = await call.services.accounts.reset_password(account, reset.hours * _HOUR)
    except StoreUnavailable:
        call.services.revocations.doubt()  # the change may have been committed
        raise
    after = replace(account, generation=account.generation + 1)
    is_confirmed = await _end_older(call, after, RESET)
    return Issued(
        name=account.name, code=issued.code, expires=issued.expires, sessions_ended=is_confirmed
    )


async def end_sessions(call: Call, of: OfAccount) -> Ended:
    """End all sessions of an account."""
    account, services = await require_account(call, of.name), call.services
    require_over(call.actor, account.role)
    await call.record(account.name)
    valid = {token.id for token in await services.store.tokens(account.key, wall_clock())}
    try:
        tokens = await services.store.revoke_other_tokens(account.key, b"")
    except StoreUnavailable:
        services.revocations.doubt()
        raise
    is_confirmed = not tokens or await services.revocations.ended_by_operator(
        account.key, ENDED, tokens=tokens
    )
    return Ended(
        name=account.name,
        sessions=len(valid.intersection(tokens)),
        sessions_ended=is_confirmed,
    )


async def change(
    call: Call, name: str, alter: Callable[[Account], Account], detail: str = ""
) -> tuple[Account, Account]:
    """Record a change of an account, and make it; return the account before and after it.

    One that changes nothing is not recorded.

    Raises:
        ChatError: ``unknown_person``, ``not_permitted``; or ``busy`` if others change it, too.
    """
    services = call.services
    for attempt in range(TRIES):
        before = await require_account(call, name)
        require_over(call.actor, before.role)
        require_not_deleted(before)
        after = alter(before)
        if after == before:
            return before, after
        if not attempt:
            has_role = before.role != after.role
            detail = f"{before.role} to {after.role}" if has_role else detail
            await call.record(before.name, detail)
        try:
            if await services.store.administration.change_account(before, after):
                return before, after
        except StoreUnavailable:
            services.revocations.doubt()  # it may have been committed
            raise
        finally:  # also where the store can't say whether it was done
            if after.role != before.role:
                services.roles.changed(before.key)
    raise has_changed(name)


async def _end_older(call: Call, account: Account, text: str) -> bool:
    return await call.services.revocations.ended_by_operator(
        account.key, text, generation=account.generation
    )


def _changed(account: Account, *, sessions_ended: bool | None = None) -> Changed:
    standing = {field: getattr(Standing.of(account), field) for field in Standing.__struct_fields__}
    return Changed(**standing, sessions_ended=sessions_ended)


HANDLERS: Final[Mapping[str, Handler]] = {
    "account create": create,
    "account disable": disable,
    "account enable": enable,
    "account reset-password": reset_password,
    "account ban": ban,
    "account unban": unban,
    "account mute": mute,
    "account unmute": unmute,
    "account restrictions": list_restricted,
    "account end-sessions": end_sessions,
    "role set": set_role,
    "bot on": bot_on,
    "bot off": bot_off,
}
