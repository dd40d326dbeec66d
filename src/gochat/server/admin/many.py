"""The command that makes accounts for a list of names.

Whoever asks makes the codes, and keeps them before the first account is made. So a request can be
repeated, after an interruption, too: an account that has its code already was made before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gochat.chat import names, one_time_codes
from gochat.chat.account import Account
from gochat.chat.accounts import IssuedCode, taken
from gochat.chat.server_roles import require_over
from gochat.chat.skeletons import looks_taken
from gochat.errors import ChatError, ErrorCode
from gochat.server.admin import changes
from gochat.server.admin.arguments import MAX_HOURS, NewAccounts, OneOfMany
from gochat.server.admin.call import Call, Handler
from gochat.storage.common.clock import wall_clock

#: Milliseconds.
_HOUR: Final = 3600 * 1000

#: What became of one: it was ``created``, or only checked and is ``free``; it was ``created
#: before``, with the same code, which nobody has used yet; its name is ``taken``; or it was
#: ``refused``.
Outcome: TypeAlias = Literal["created", "free", "created before", "taken", "refused"]


class Made(Struct, frozen=True, kw_only=True):
    """What became of one account; `text` is why, if it was not made."""

    name: str
    outcome: Outcome
    text: str = ""


class MadeMany(Struct, frozen=True, kw_only=True):
    """What became of each, in the order of the request."""

    accounts: tuple[Made, ...]


async def create_many(call: Call, new: NewAccounts) -> MadeMany:
    """Check accounts, or create those that can be."""
    for one in new.accounts:
        require_over(call.actor, one.role)
    call.services.accounts.require_local()
    if new.only_check:
        return MadeMany(accounts=await _checked(call, new))
    return MadeMany(accounts=tuple([await _make(call, one, new.expires) for one in new.accounts]))


async def _checked(call: Call, new: NewAccounts) -> tuple[Made, ...]:
    valid = []
    for one in new.accounts:
        try:
            valid.append(names.check(one.name))
        except ChatError:
            continue
    similar = await call.services.store.administration.similar(valid)
    return tuple([await _check(call, one.name, similar) for one in new.accounts])


async def _check(call: Call, name: str, similar: Mapping[str, names.NameKey]) -> Made:
    try:
        shown = names.check(name)
    except ChatError as error:
        return Made(name=name, outcome="refused", text=error.text)
    if await call.services.store.account(names.fold(name)) is not None:
        return Made(name=shown, outcome="taken", text=taken(shown).text)
    if shown in similar:
        text = f"{looks_taken(shown).text} (that of {similar[shown]})"
        return Made(name=shown, outcome="refused", text=text)
    return Made(name=shown, outcome="free")


async def _make(call: Call, one: OneOfMany, expires: int) -> Made:
    code = one_time_codes.given(one.code)
    if code is None or code.password:
        return Made(name=one.name, outcome="refused", text="invalid one-time code")
    try:
        key, shown = names.fold(one.name), names.check(one.name)
        account, outcome = await call.services.store.account(key), "created before"
        if account is None:
            _require_valid(expires)
            await call.record(shown, "with a code")
            issued = IssuedCode(code.code, expires)
            await call.services.accounts.register_with_code(one.name, issued)
            account, outcome = await call.services.store.account(key), "created"
        if account is None or not _has(account, code):
            return Made(name=shown, outcome="taken", text=taken(shown).text)
        if account.role != one.role:
            await changes.change(call, shown, lambda account: replace(account, role=one.role))
    except ChatError as error:
        await call.failed(error.text)
        call.done()
        return Made(name=one.name, outcome="refused", text=error.text)
    call.done()
    return Made(name=shown, outcome="created" if outcome == "created" else "created before")


def _require_valid(expires: int) -> None:
    now = wall_clock()
    if not now < expires <= now + MAX_HOURS * _HOUR:
        has_expired = expires <= now
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            f"its one-time code {'has expired' if has_expired else 'would be valid for too long'}",
            field="expires",
        )


def _has(account: Account, code: one_time_codes.GivenCode) -> bool:
    kept = one_time_codes.kept(account.password_hash)
    return kept is not None and code.is_that(kept)


HANDLERS: Final[Mapping[str, Handler]] = {
    "account create-many": create_many,
}
