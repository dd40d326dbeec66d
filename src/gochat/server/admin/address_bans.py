"""The commands about bans of addresses and networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from gochat.chat import network_bans
from gochat.chat.network_bans import Change, Network, address_of, parse, require_harmless, spoken
from gochat.chat.restriction import Restriction, held
from gochat.errors import ChatError, ErrorCode
from gochat.server.admin.command import DURATION, Arguments, Call, Command
from gochat.storage.common.clock import wall_clock

#: Tries to change a ban that others are changing.
TRIES: Final = 3

NetworkText = Annotated[
    str,
    Meta(
        max_length=network_bans.MAX_TEXT,
        description="an address, or a network as 203.0.113.0/24 or 2001:db8::/32",
    ),
]


class OfNetwork(Arguments, frozen=True, kw_only=True):
    """The network that a command is about."""

    network: NetworkText


class NewBan(OfNetwork, frozen=True, kw_only=True):
    """A network to ban, and for how long."""

    seconds: Annotated[
        Annotated[int, Meta(ge=1, le=31_536_000)] | None,
        Meta(
            extra=DURATION,
            description="for how long: 90s, 30m, 2h or 7d (default: until it is removed)",
        ),
    ] = None
    force: Annotated[
        bool, Meta(description="also if it includes the server's own machine (loopback)")
    ] = False


class Page(Arguments, frozen=True, kw_only=True):
    """Which bans to list, in the order of their networks."""

    after: Annotated[
        str,
        Meta(
            max_length=network_bans.MAX_TEXT, description="begin after this one, `next` of a page"
        ),
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=500, description="how many (default: 100)")] = 100
    address: Annotated[
        str,
        Meta(
            max_length=network_bans.MAX_TEXT,
            description="only those that keep out this address",
        ),
    ] = ""


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


async def list_all(call: Call, page: Page) -> ShownBans:
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


COMMANDS: Final[Mapping[str, Command]] = {
    "address-ban add": Command(
        NewBan,
        "admin",
        add,
        "ban an address or a network for a time: connections from there end, and are refused",
        acts=True,
    ),
    "address-ban remove": Command(
        OfNetwork, "admin", remove, "lift the ban of an address or a network", acts=True
    ),
    "address-ban list": Command(
        Page, "admin", list_all, "list from where nobody can connect, until when and why"
    ),
}
