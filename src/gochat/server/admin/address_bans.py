"""The commands about bans of addresses and networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gochat.chat.network_bans import Change, Network, address_of, parse, require_harmless, spoken
from gochat.chat.restriction import Restriction, held
from gochat.errors import ChatError, ErrorCode
from gochat.server.admin.arguments import BanPage, NewBan, OfNetwork
from gochat.server.admin.call import Call, Handler
from gochat.storage.common.clock import wall_clock

#: Tries to change a ban that others are changing.
TRIES: Final = 3


class ShownBan(Struct, frozen=True, kw_only=True):
    """A ban in a list; `expires` is 0 if it has to be removed."""

    network: str
    by: str
    at: int
    expires: int
    reason: str

    @classmethod
    def of(cls, network: Network, ban: Restriction) -> ShownBan:
        """Return what a list shows of a ban."""
        return cls(
            network=spoken(network),
            by=ban.by,
            at=ban.since,
            expires=ban.until,
            reason=ban.reason,
        )


class ShownBans(Struct, frozen=True, kw_only=True):
    """A page of bans; `next` is empty on the last one."""

    bans: tuple[ShownBan, ...]
    next: str


class Removed(Struct, frozen=True, kw_only=True):
    """A network whose ban was lifted; `changed`: there was one."""

    network: str
    changed: bool


async def add(call: Call, new: NewBan) -> ShownBan:
    """Ban a network, and end the connections from there."""
    network = parse(new.network)
    if not new.force:
        try:
            require_harmless(network)
        except ChatError as error:
            raise ChatError(error.code, f"{error.text}: to ban it anyway, give --force") from None
    _, ban = await _change(call, network, Change(on=True, seconds=new.seconds, reason=call.reason))
    assert ban is not None
    return ShownBan.of(network, ban)


async def remove(call: Call, of: OfNetwork) -> Removed:
    """Lift the ban of a network."""
    network = parse(of.network)
    before, _ = await _change(call, network, Change(on=False))
    return Removed(network=spoken(network), changed=before is not None)


async def _change(
    call: Call, network: Network, change: Change
) -> tuple[Restriction | None, Restriction | None]:
    """Record a change of a ban, and make it; return the ban before and after it."""
    services = call.services
    for attempt in range(TRIES):
        before = (await services.store.network_bans.all()).get(str(network))
        after = change.made(call.actor, before, wall_clock())
        if after is None and before is None:
            return before, after
        if not attempt:
            await call.record(spoken(network), f"for {change.seconds} s" if change.seconds else "")
        if await services.address_bans.change(network, before, after):
            return before, after
    raise ChatError(
        ErrorCode.BUSY,
        f"the ban of {spoken(network)} was changed at the same time: try again",
        details={"rule": "conflict"},
    )


async def list_all(call: Call, page: BanPage) -> ShownBans:
    """List the bans that hold now."""
    address = address_of(page.address)
    if page.address and address is None:
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            f"invalid address {page.address!r}: expected one as 203.0.113.7 or 2001:db8::1",
            field="address",
        )
    now, after = wall_clock(), parse(page.after) if page.after else None
    found = sorted(
        (
            (ipaddress.ip_network(text), ban)
            for text, ban in (await call.services.store.network_bans.all()).items()
            if held(ban, now) is not None
        ),
        key=lambda one: _place(one[0]),
    )
    wanted = [
        (network, ban)
        for network, ban in found
        if (address is None or address in network)
        and (after is None or _place(network) > _place(after))
    ]
    shown = [ShownBan.of(network, ban) for network, ban in wanted[: page.limit]]
    has_more = len(wanted) > len(shown)
    return ShownBans(bans=tuple(shown), next=shown[-1].network if has_more else "")


def _place(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


HANDLERS: Final[Mapping[str, Handler]] = {
    "address-ban add": add,
    "address-ban remove": remove,
    "address-ban list": list_all,
}
