"""Bans of addresses and networks: nobody connects from there, whoever they are.

Admins set them, for a time or until they are lifted, and whoever runs the server; what somebody of
a higher role has set only such a one lifts or replaces. IPv4 addresses that are written as IPv6
(``::ffff:203.0.113.7``) count as IPv4. One that has ended is none: nothing has to happen at its
end. Unix sockets have no address, so no ban keeps them out.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from gochat.chat.bounds import MAX_NETWORK
from gochat.chat.extras import MAX_REASON
from gochat.chat.names import NameKey
from gochat.chat.refusals import check_length
from gochat.chat.restriction import Restriction, held
from gochat.chat.server_roles import RANKS, Actor, ServerRole, require_role
from gochat.errors import ChatError, ErrorCode

Network: TypeAlias = IPv4Network | IPv6Network
#: Where a network is in lists: its version of IP, address, and length of its prefix.
_Place: TypeAlias = tuple[int, int, int]

#: Bans that a store keeps. In memory and in Redis, that is a few megabytes.
MAX_BANS: Final = 10_000
#: Bans that are put in order one by one.
FEW: Final = 100
#: Addresses whose parsed form is kept: those of all who are connected to a node.
_ADDRESSES: Final = 65_536
#: What `force` is needed for: programs of the server's own machine connect from there.
_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
#: Where IPv6 has the addresses of IPv4.
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class NetworkBanStore(Protocol):
    """What a store does for this: see :class:`gochat.chat.store.Store` for what applies to all."""

    async def version(self) -> int:
        """Return a number that every change increases."""
        ...

    async def all(self) -> dict[str, Restriction]:
        """Return all bans by their networks (:func:`parse`, as texts), those that ended included.

        They are those of the last :meth:`version`, or newer.
        """
        ...

    async def change(
        self,
        network: str,
        before: Restriction | None,
        after: Restriction | None,
        by: tuple[NameKey, ServerRole] | None = None,
    ) -> bool:
        """Set the ban of a network, or with None lift it; return whether it was done.

        Only if there is still the ban `before` (None: no ban), and the person in `by` still has
        that role: of concurrent changes one succeeds.

        Raises:
            ChatError: ``too_many``: there are :data:`MAX_BANS` others.
        """
        ...


class Change(Struct, frozen=True, kw_only=True):
    """A ban that somebody sets, for `seconds`, None until it is lifted; or lifts (`on` false)."""

    on: bool
    seconds: int | None = None
    reason: str = ""

    def made(self, actor: Actor, before: Restriction | None, now: int) -> Restriction | None:
        """Return what a ban is after it.

        Raises:
            ChatError: ``not_permitted``, ``text_too_long``.
        """
        require_role(actor, "admin")
        check_length(self.reason, MAX_REASON, "a reason", "reason")
        earlier = held(before, now)
        if earlier is not None and RANKS[actor.role] < RANKS[earlier.role]:
            raise ChatError(
                ErrorCode.NOT_PERMITTED,
                f"it was set by {earlier.by}, who has a higher role",
                details={"rule": "rank"},
            )
        if not self.on:
            return None
        until = now + 1000 * self.seconds if self.seconds else 0
        return Restriction(
            by=actor.name, role=actor.role, since=now, until=until, reason=self.reason
        )


def parse(text: str, field: str = "network") -> Network:
    """Return the network that somebody means by an address, or a network in CIDR notation.

    `field` is what an error names.

    Raises:
        ChatError: ``bad_request``: it is neither.
    """
    text = text.strip()
    try:
        if "%" in text:
            raise ValueError("a zone")
        network = ipaddress.ip_network(text[:MAX_NETWORK], strict=False)
        address = ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        raise _invalid(
            f"invalid network {text[:MAX_NETWORK]!r}: expected an address, or a network as "
            "203.0.113.0/24 or 2001:db8::/32",
            field=field,
        ) from None
    if address != network.network_address:
        raise _invalid(
            f"{text} has bits set after its prefix: did you mean {spoken(unmapped(network))}?",
            field=field,
        )
    return unmapped(network)


def unmapped(network: Network) -> Network:
    """Return the network of IPv4 for one that is written as IPv6."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


@lru_cache(_ADDRESSES)
def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return a peer's address as it is compared; None if it has none, as on a unix socket."""
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def spoken(network: Network) -> str:
    """Return a network as people write it: one of a single address as that."""
    is_one = network.prefixlen == network.max_prefixlen
    return str(network.network_address if is_one else network)


def require_harmless(network: Network, *own: str, proxies: Iterable[str] = ()) -> None:
    """Require that a ban keeps out neither the server's own machine, nor its `proxies`, nor its
    maker, who is connected from `own`.

    What a proxy itself asks comes from its own address: without its checks it sends nobody.

    Raises:
        ChatError: ``bad_request``.
    """
    if any(one.version == network.version and one.overlaps(network) for one in _LOOPBACK):
        raise _invalid(
            f"{spoken(network)} includes the server's own machine (the loopback addresses)",
            "loopback",
        )
    for proxy in proxies:
        trusted = unmapped(ipaddress.ip_network(proxy))
        if trusted.version == network.version and includes(network, trusted):
            raise _invalid(
                f"{spoken(network)} includes {spoken(trusted)}, a proxy of this server", "proxy"
            )
    for one in own:
        address = address_of(one)
        if address is not None and address in network:
            raise _invalid(f"{spoken(network)} includes your own address", "own_address")


def includes(network: Network, other: Network) -> bool:
    """Return whether all of another network of the same version of IP is in a network."""
    return network.prefixlen <= other.prefixlen and other.network_address in network


def too_many() -> ChatError:
    """Return the error for a ban that is one more than a store keeps."""
    return ChatError(
        ErrorCode.TOO_MANY,
        f"a server keeps at most {MAX_BANS:,} bans of networks: lift some, or ban a larger network",
        details={"rule": "network_bans", "max": MAX_BANS},
    )


def _invalid(text: str, rule: str = "network", field: str = "network") -> ChatError:
    return ChatError(ErrorCode.BAD_REQUEST, text, field=field, details={"rule": rule})


def _length_and_prefix(network: Network) -> tuple[tuple[int, int], int]:
    """Return the version of IP and how many bits are free, and the number that the others are."""
    free = network.max_prefixlen - network.prefixlen
    return (network.version, free), int(network.network_address) >> free


def order(network: Network) -> _Place:
    """Return the key by which lists of networks are sorted: those of IPv4 come first."""
    return network.version, int(network.network_address), network.prefixlen


class BannedNetworks:
    """Bans, to be looked up. That takes a step for each different length of their prefixes."""

    def __init__(self, bans: Mapping[str, Restriction]) -> None:
        self._bans: dict[str, Restriction] = {}
        self._by_length: dict[tuple[int, int], dict[int, Restriction]] = {}
        #: The places of all in their order, and the network of each.
        self._places: list[_Place] = []
        self._networks: dict[_Place, Network] = {}
        self.update(bans)

    def update(self, bans: Mapping[str, Restriction]) -> dict[str, Restriction]:
        """Replace the bans by these; return those that are new or were changed.

        Networks that were there before are only compared: to parse them again would take twenty
        times as long, a tenth of a second or two for as many as there can be.
        """
        added = {text: ban for text, ban in bans.items() if self._bans.get(text) != ban}
        for text in self._bans.keys() - bans.keys():
            self._remove(ipaddress.ip_network(text))
        is_many = len(added) > FEW
        for text, ban in added.items():
            self._add(ipaddress.ip_network(text), ban, in_order=not is_many)
        if is_many:
            self._places = sorted(self._networks)
        return added

    def _add(self, network: Network, ban: Restriction, *, in_order: bool) -> None:
        self._bans[str(network)] = ban
        length, prefix = _length_and_prefix(network)
        self._by_length.setdefault(length, {})[prefix] = ban
        place = order(network)
        if place not in self._networks:
            self._networks[place] = network
            if in_order:
                insort(self._places, place)

    def _remove(self, network: Network) -> None:
        del self._bans[str(network)]
        length, prefix = _length_and_prefix(network)
        del self._by_length[length][prefix]
        if not self._by_length[length]:
            del self._by_length[length]
        place = order(network)
        del self._networks[place]
        del self._places[bisect_left(self._places, place)]

    def of(self, network: Network) -> Restriction | None:
        """Return the ban of exactly this network, whether or not it has ended."""
        return self._bans.get(str(network))

    def page(
        self,
        after: Network | None,
        limit: int,
        now: int,
        *,
        including: IPv4Address | IPv6Address | None = None,
    ) -> tuple[list[tuple[Network, Restriction]], bool]:
        """Return at most `limit` bans that hold at `now`, in their :func:`order` from after a
        network, and whether there are more; of those only that include an address, if given."""
        start = 0 if after is None else bisect_right(self._places, order(after))
        networks = (self._networks[place] for place in islice(self._places, start, None))
        wanted = (
            (network, ban)
            for network in networks
            if (ban := self._bans[str(network)]).holds(now)
            and (including is None or including in network)
        )
        found = list(islice(wanted, limit + 1))
        return found[:limit], len(found) > limit

    def find(self, address: str, now: int) -> Restriction | None:
        """Return the ban that holds for an address at `now`, of several the one that lasts longest.

        `now` is in milliseconds since the Unix epoch.
        """
        if not self._by_length or (ip := address_of(address)) is None:
            return None
        version, number = ip.version, int(ip)
        found: Restriction | None = None
        for (of_version, free), bans in self._by_length.items():
            if of_version == version and (ban := held(bans.get(number >> free), now)) is not None:
                if not ban.until:
                    return ban
                if found is None or ban.until > found.until:
                    found = ban
        return found
