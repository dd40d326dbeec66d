"""Limits that apply across requests: failed logins, writes, connections.

These classes perform no I/O: methods that depend on time take the current time, in seconds of a
monotonic clock. The state is bounded. Addresses are counted by subscriber: for IPv6 that is a
network of 2^64 addresses, so that nobody has a fresh one for each try.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from math import ceil
from typing import Final, TypeVar

from gochat.chat.names import NameKey
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode
from gochat.token_bucket import TokenBucket

K = TypeVar("K")

#: The part of the limit on file descriptors that connections may take; the store, the logs and the
#: listeners need some, too.
DESCRIPTORS_FOR_CONNECTIONS: Final = 0.8

#: Addresses and accounts whose failures are remembered; the oldest is forgotten first. Counting
#: addresses does not stop an attacker with more addresses than this.
MAX_REMEMBERED: Final = 100_000


#: Maximum number of times that a wait is doubled. 2^40 seconds are longer than any lockout that can
#: be configured, and a float can't hold 2^1024.
MAX_DOUBLINGS: Final = 40


#: Prefix lengths of the networks of an address, by the version of IP: what is commonly assigned to
#: one institution, and to one customer.
NETWORK_BITS: Final = {4: (24,), 6: (48, 56)}
#: How many times an address's limit applies to a network: an IPv6 customer has many /64s.
PER_NETWORK: Final = {48: 16, 56: 4}


@lru_cache(maxsize=4096)
def subscriber(address: str) -> str:
    """Return the address or network as which `address` is counted."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address  # anything but an IP address counts by itself
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(ip) >> 64 << 64))


@lru_cache(maxsize=4096)
def networks(address: str) -> tuple[str, ...]:
    """Return the networks for which an address is also counted; the widest first."""
    try:
        ip = ipaddress.ip_address(subscriber(address))
    except ValueError:
        return (address,)
    return tuple(
        str(ipaddress.ip_network(f"{ip}/{bits}", strict=False)) for bits in NETWORK_BITS[ip.version]
    )


def network(address: str) -> str:
    """Return the widest network for which an address is counted."""
    return networks(address)[0]


class _Failures:
    """Failed logins. No try is allowed before `until`; they count until `expires`."""

    __slots__ = ("count", "expires", "until")

    def __init__(self, now: float, expires: float) -> None:
        self.count = 0
        self.until = now
        self.expires = expires


class LoginLimiter:
    """Counts failed logins: per account and address, and per address.

    Never per account alone: that would let anybody lock anybody out. The failures for an account
    are forgotten after a lockout's time without another; those of an address a lockout's time after
    the first, because it may be a whole school's, whose typing errors never end. An address with
    too many isn't locked out: its tries are queued (:mod:`.login_line`).
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_account: OrderedDict[tuple[NameKey, str], _Failures] = OrderedDict()
        self._by_address: OrderedDict[str, _Failures] = OrderedDict()

    def configure(self, limits: Limits) -> None:
        """Change the limits. Waits that have begun end as they would have."""
        self._limits = limits

    def check(self, account: NameKey, address: str, now: float) -> None:
        """Raise ``rate_limited`` if this address must wait before it tries this account."""
        failures = self._by_account.get((account, subscriber(address)))
        if failures is not None and failures.until > now:
            wait = failures.until - now
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                f"too many failed logins: try again in {ceil(wait)} s",
                retry_after=wait,
                details={"limit": "login_failures_account"},
            )

    def is_over(self, address: str, now: float) -> bool:
        """Return whether too many logins have failed from this address."""
        failures = self._by_address.get(subscriber(address))
        return (
            failures is not None
            and failures.count >= self._limits.login_failures_address
            and now < failures.expires
        )

    def failed(self, account: NameKey, address: str, now: float, *, is_known: bool) -> None:
        """Count a failed login.

        One for an account that is known at the address doesn't count for the address: it is
        probably its owner's mistake, and whoever guesses has few tries for it anyway.
        """
        limits, address = self._limits, subscriber(address)
        failures = self._remembered(self._by_account, (account, address), now)
        failures.count += 1
        over = failures.count - limits.login_failures_account
        if over >= 0:
            wait = min(2.0 ** min(over, MAX_DOUBLINGS), limits.login_lockout)
            failures.until = now + wait
        failures.expires = max(now, failures.until) + limits.login_lockout
        if is_known:
            return
        failures = self._remembered(self._by_address, address, now)
        failures.count += 1
        if failures.count >= limits.login_failures_address:
            failures.expires = now + limits.login_lockout

    def succeeded(self, account: NameKey, address: str) -> None:
        """Forget the failures for this account from this address."""
        self._by_account.pop((account, subscriber(address)), None)

    def _remembered(self, table: OrderedDict[K, _Failures], key: K, now: float) -> _Failures:
        failures = table.get(key)
        if failures is None or now >= failures.expires:
            failures = table[key] = _Failures(now, now + self._limits.login_lockout)
        table.move_to_end(key)
        if len(table) > MAX_REMEMBERED:
            table.popitem(last=False)
        return failures


def max_connections(limits: Limits) -> int:
    """Return the maximum number of connections: as configured, or as the system allows."""
    if limits.max_connections:
        return limits.max_connections
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 10_000
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(1, int(soft * DESCRIPTORS_FOR_CONNECTIONS))


class WriteLimiter:
    """Limits how often each person may write to the log, on all their devices together.

    A person's usage is remembered after they have left, until their bucket would be full again:
    logging in again does not refill it.
    """

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left: dict[NameKey, TokenBucket] = {}

    def configure(
        self, burst: float, per_second: float, online: Iterable[TokenBucket], now: float
    ) -> None:
        """Change the limits, also of those who are online, whose buckets these are."""
        self._burst = burst
        self._per_second = per_second
        for bucket in (*online, *self._left.values()):
            bucket.configure(burst, per_second, now)

    def joined(self, key: NameKey, now: float) -> TokenBucket:
        """Return the bucket of a person who comes online."""
        bucket = self._left.pop(key, None) or TokenBucket(self._burst, self._per_second, now)
        # The first to leave is the first to be full again, give or take the time to fill one.
        for other in tuple(islice(self._left, 2)):
            if self._left[other].full_at <= now:
                del self._left[other]
        return bucket

    def left(self, key: NameKey, bucket: TokenBucket) -> None:
        """Keep the bucket of a person who goes offline."""
        self._left[key] = bucket


class ConnectionLimiter:
    """Counts connections: in total, per address and network, and those not logged in."""

    def __init__(self, limits: Limits, max_connections: int) -> None:
        self._limits = limits
        #: In total.
        self.most = max_connections
        self._by_address: Counter[str] = Counter()
        self._by_network: Counter[str] = Counter()
        self.total = 0
        self.anonymous = 0

    def configure(self, limits: Limits, max_connections: int) -> None:
        """Change the limits for new connections."""
        self._limits = limits
        self.most = max_connections

    def refusal(self, address: str) -> ErrorCode | None:
        """Return why one more connection from this address is refused, or None."""
        most = self._limits.connections_per_address
        if self._by_address[subscriber(address)] >= most:
            return ErrorCode.RATE_LIMITED
        for wider in networks(address):
            _, _, bits = wider.partition("/")
            if ":" in wider and self._by_network[wider] >= most * PER_NETWORK[int(bits)]:
                return ErrorCode.RATE_LIMITED
        if self.total >= self.most or self.anonymous >= self._limits.anonymous_max:
            return ErrorCode.SERVER_FULL
        return None

    def of_network(self, network: str) -> int:
        """Return the number of connections from a network."""
        return self._by_network[network]

    def opened(self, address: str) -> None:
        """Count a new connection, as not logged in."""
        address = subscriber(address)
        self.total += 1
        self.anonymous += 1
        self._by_address[address] += 1
        self._by_network.update(networks(address))

    def logged_in(self) -> None:
        """Count a connection as logged in."""
        self.anonymous -= 1

    def logged_out(self) -> None:
        """Count a connection as not logged in any more."""
        self.anonymous += 1

    def closed(self, address: str) -> None:
        """Stop counting a connection. It must have been logged out."""
        address = subscriber(address)
        self.total -= 1
        self.anonymous -= 1
        for counts, key in (
            (self._by_address, address),
            *((self._by_network, wider) for wider in networks(address)),
        ):
            counts[key] -= 1
            if not counts[key]:
                del counts[key]
