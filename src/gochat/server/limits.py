"""Limits that hold between requests: rates, failed logins, connections.

Pure bookkeeping: each takes the present time, in seconds of a monotonic clock, and answers how long
to wait, 0 meaning "go on". What they remember is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeVar

from gochat.chat.names import NameKey
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode

K = TypeVar("K")

#: Addresses and accounts whose failures are remembered; the oldest is forgotten first. An attacker
#: with more addresses than this is not stopped by counting addresses.
MAX_REMEMBERED: Final = 100_000


class _Failures:
    __slots__ = ("count", "until")

    def __init__(self) -> None:
        self.count = 0
        self.until = 0.0


class LoginLimiter:
    """Counts failed logins: per account and address, and per address.

    Never per account alone: that would let anybody lock anybody out.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_account: OrderedDict[tuple[NameKey, str], _Failures] = OrderedDict()
        self._by_address: OrderedDict[str, _Failures] = OrderedDict()

    def check(self, account: NameKey, address: str, now: float) -> None:
        """Raise ``rate_limited`` if this address must wait before it tries this account."""
        until = 0.0
        if (failures := self._by_account.get((account, address))) is not None:
            until = failures.until
        if (failures := self._by_address.get(address)) is not None:
            until = max(until, failures.until)
        if until > now:
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                f"too many failed logins: try again in {until - now:.0f} s",
                retry_after=until - now,
            )

    def failed(self, account: NameKey, address: str, now: float) -> None:
        """Note a failed login."""
        limits = self._limits
        failures = _remembered(self._by_account, (account, address))
        failures.count += 1
        over = failures.count - limits.login_failures_account
        if over >= 0:
            failures.until = now + min(2.0**over, limits.login_lockout)
        failures = _remembered(self._by_address, address)
        failures.count += 1
        if failures.count >= limits.login_failures_address:
            failures.count = 0
            failures.until = now + limits.login_lockout

    def succeeded(self, account: NameKey, address: str) -> None:
        """Forget the failures for this account from this address."""
        self._by_account.pop((account, address), None)


def _remembered(table: OrderedDict[K, _Failures], key: K) -> _Failures:
    failures = table.get(key)
    if failures is None:
        failures = table[key] = _Failures()
        if len(table) > MAX_REMEMBERED:
            table.popitem(last=False)
    return failures


class ConnectionLimiter:
    """Counts connections: in total, per address, and those that have not logged in."""

    def __init__(self, limits: Limits, max_connections: int) -> None:
        self._limits = limits
        self._max_connections = max_connections
        self._by_address: dict[str, int] = {}
        self.total = 0
        self.anonymous = 0

    def refusal(self, address: str) -> ErrorCode | None:
        """Return why one more connection from this address is refused, or None."""
        if self.total >= self._max_connections or self.anonymous >= self._limits.anonymous_max:
            return ErrorCode.SERVER_FULL
        if self._by_address.get(address, 0) >= self._limits.connections_per_address:
            return ErrorCode.RATE_LIMITED
        return None

    def opened(self, address: str) -> None:
        """Count a connection, as not logged in."""
        self.total += 1
        self.anonymous += 1
        self._by_address[address] = self._by_address.get(address, 0) + 1

    def logged_in(self) -> None:
        """Count one connection less that has not logged in."""
        self.anonymous -= 1

    def logged_out(self) -> None:
        """Count one connection more that has not logged in."""
        self.anonymous += 1

    def closed(self, address: str) -> None:
        """Count a connection no more; it has been logged out."""
        self.total -= 1
        self.anonymous -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
