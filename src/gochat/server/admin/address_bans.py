"""The commands about bans of addresses and networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gochat.chat.network_bans import Change, Network, address_of, parse, require_harmless, spoken
from gochat.chat.restriction import Restriction
from gochat.chat.server_roles import Actor
from gochat.errors import ChatError, ErrorCode
from gochat.server.address_bans import By, proxies_of
from gochat.server.admin.arguments import BanPage, NewBan, OfNetwork
from gochat.server.admin.call import Call, Handler
from gochat.storage.common.clock import wall_clock


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
            require_harmless(network, proxies=proxies_of(call.services.config))
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
    async def actor() -> tuple[Actor, By]:
        return call.actor, None

    return await call.services.address_bans.make(network, change, actor, call.record)


async def list_all(call: Call, page: BanPage) -> ShownBans:
    """List the bans that hold now."""
    address = address_of(page.address)
    if page.address and address is None:
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            f"invalid address {page.address!r}: expected one as 203.0.113.7 or 2001:db8::1",
            field="address",
        )
    after = parse(page.after) if page.after else None
    bans, now = await call.services.address_bans.current(), wall_clock()
    wanted, has_more = bans.page(after, page.limit, now, including=address)
    shown = [ShownBan.of(network, ban) for network, ban in wanted]
    return ShownBans(bans=tuple(shown), next=shown[-1].network if has_more else "")


HANDLERS: Final[Mapping[str, Handler]] = {
    "address-ban add": add,
    "address-ban remove": remove,
    "address-ban list": list_all,
}
