"""The commands that show accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import asdict

from gochat.chat import names, one_time_codes
from gochat.chat.account import Account
from gochat.chat.conversations import is_private
from gochat.chat.names import NameKey
from gochat.chat.network_bans import Network, address_of, parse
from gochat.chat.restriction import held
from gochat.chat.server_roles import ServerRole
from gochat.errors import ChatError, ErrorCode
from gochat.server.admin.arguments import AccountPage, OfAccount
from gochat.server.admin.call import Call, Handler
from gochat.storage.common.clock import wall_clock

#: Accounts looked at for one page of a list: with a filter few of them may be in it.
MAX_LOOKED_AT: Final = 5000
#: Accounts read at once.
PIECE: Final = 500


#: Whether an account has a password.
Password: TypeAlias = Literal["set", "code", "none"]


class Standing(Struct, frozen=True, kw_only=True):
    """An account in a list.

    `password` is ``set``; ``code``: one that waits to be used; or ``none``: a directory has it.
    """

    name: str
    role: ServerRole
    bot: bool
    state: str
    password: Password
    created: int

    @classmethod
    def of(cls, account: Account) -> Standing:
        """Return what a list shows of an account."""
        return cls(
            name=account.name,
            role=account.role,
            bot=account.bot,
            state=account.state,
            password=_password(account),
            created=account.created,
        )


class Located(Standing, frozen=True, kw_only=True):
    """An account in a list of those that were seen in a network.

    `addresses` are those there, the last one first; `seen` is when it was there last.
    """

    addresses: tuple[str, ...]
    seen: int

    @classmethod
    def at(cls, account: Account, places: Mapping[str, int]) -> Located:
        """Return what a list shows of an account that was seen at these addresses."""
        by_time = sorted(places, key=lambda address: (-places[address], address))
        return cls(
            **asdict(Standing.of(account)),
            addresses=tuple(by_time),
            seen=places[by_time[0]],
        )


class ShownAccounts(Struct, frozen=True, kw_only=True):
    """A page of accounts; `next` is empty on the last one."""

    accounts: tuple[Standing, ...]
    next: str


class Device(Struct, frozen=True, kw_only=True):
    """A session of an account: a device, or a program if it has `scopes`."""

    id: str
    device: str
    address: str
    created: int
    seen: int
    expires: int
    online: bool
    scopes: tuple[str, ...]


class ShownRestriction(Struct, frozen=True, kw_only=True):
    """A ban or a mute; `expires` is 0 if it has to be lifted."""

    kind: str
    by: str
    at: int
    expires: int
    reason: str


class ShownAccount(Standing, frozen=True, kw_only=True):
    """All that an operator is shown of an account. Private conversations are not."""

    seen: int
    online: bool
    rooms: tuple[str, ...]
    restrictions: tuple[ShownRestriction, ...]
    sessions: tuple[Device, ...]


async def require_account(call: Call, name: str) -> Account:
    """Return the account of this name.

    Raises:
        ChatError: ``unknown_person``, or the name is not a valid one.
    """
    account = await call.services.store.account(names.fold_person(name))
    if account is None:
        raise nobody(name, "`account list --matching` finds names")
    return account


def nobody(name: str, advice: str = "check the name") -> ChatError:
    """Return the error for a name without an account."""
    return ChatError(
        ErrorCode.UNKNOWN_PERSON,
        f"no account is named {name!r}: {advice}",
    )


def _password(account: Account) -> Password:
    if one_time_codes.kept(account.password_hash) is not None:
        return "code"
    return "set" if account.password_hash else "none"


def _includes(page: AccountPage, account: Account) -> bool:
    """Return whether an account is one of those to list."""
    return (
        page.role in (None, account.role)
        and page.state in (None, account.state)
        and page.password in (None, _password(account))
        and (account.bot or not page.bots)
        and page.matching.casefold() in account.name.casefold()
    )


async def list_all(call: Call, page: AccountPage) -> ShownAccounts:
    """List accounts."""
    network = _kept_as(parse(page.address, "address")) if page.address else None
    found: list[Standing] = []
    administration = call.services.store.administration
    after, has_more, looked_at = NameKey(page.after and names.known(page.after)), True, 0
    while has_more and len(found) < page.limit and looked_at < MAX_LOOKED_AT:
        some, has_more = await administration.accounts(after=after, limit=PIECE)
        wanted = [account.key for account in some if _includes(page, account)]
        seen = await administration.seen_from(wanted, wall_clock()) if network and wanted else {}
        for place, account in enumerate(some, start=1):
            after = account.key
            looked_at += 1
            shown = _shown(page, account, network, seen.get(account.key, {}))
            if shown is not None:
                found.append(shown)
                if len(found) == page.limit:
                    has_more = has_more or place < len(some)
                    break
    return ShownAccounts(accounts=tuple(found), next=after if has_more else "")


def _kept_as(network: Network) -> Network:
    """Return the network in which the addresses of `network` are, as they are kept: of an IPv6
    address that is its /64 (:func:`~gochat.server.limits.subscriber`)."""
    is_part = network.version == 6 and network.prefixlen > 64
    return network.supernet(new_prefix=64) if is_part else network


def _shown(
    page: AccountPage, account: Account, network: Network | None, seen: Mapping[str, int]
) -> Standing | None:
    """Return what a list shows of an account that was `seen` at these addresses, if it is in it."""
    if not _includes(page, account):
        return None
    if network is None:
        return Standing.of(account)
    places = {
        text: at
        for text, at in seen.items()
        if (address := address_of(text)) is not None and address in network
    }
    return Located.at(account, places) if places else None


async def show(call: Call, of: OfAccount) -> ShownAccount:
    """Show one account."""
    account, store = await require_account(call, of.name), call.services.store
    in_use = set(call.services.revocations.tokens_in_use(account.key))
    if store.node_bus is not None:
        in_use |= await store.node_bus.tokens_in_use(account.key)
    tokens = await store.tokens(account.key, wall_clock())
    conversations = await store.conversation_keys(account.key)
    return ShownAccount(
        **asdict(Standing.of(account)),
        seen=max((token.seen for token in tokens), default=0),
        online=call.services.hub.roster.get(account.key) is not None,
        rooms=tuple(sorted(key for key in conversations if not is_private(key))),
        restrictions=tuple(
            ShownRestriction(
                kind=kind, by=one.by, at=one.since, expires=one.until, reason=one.reason
            )
            for kind, given in (("ban", account.ban), ("mute", account.mute))
            if (one := held(given, wall_clock())) is not None
        ),
        sessions=tuple(
            Device(
                id=token.id.hex(),
                device=token.device,
                address=token.address,
                created=token.created,
                seen=token.seen,
                expires=token.expires,
                online=token.id in in_use,
                scopes=token.scopes,
            )
            for token in tokens
        ),
    )


HANDLERS: Final[Mapping[str, Handler]] = {
    "account list": list_all,
    "account show": show,
}
