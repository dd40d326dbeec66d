"""Budgets: who pays for requests, and what is charged besides their cost.

Messages and everything else that is written to the log have a rate limit of their own, and quotas
(:mod:`.daily_quotas`). Requests that read, log in or are only passed on are charged to budgets.
Each person has one, for all devices together; so has each address, for everybody who shares it;
and, for IPv6, each network of 2^72 addresses, which is what a home is commonly assigned. A
request is admitted while anything is left in each of them, and then costs what its line in
:mod:`.requests` says, even if that is more: the remainder is owed. Extra costs that are only known
afterwards are charged afterwards.

In addition, each frame costs what decoding its size takes, whatever its contents, and each refusal
what the reply takes: refused and unknown requests must not be free. These charges are never
refused, but owed; and a session that owes is not read from until it has paid, with a maximum pause
each time.

The unit is about a millisecond of processor time. An honest client never comes near the end of a
budget; `tests/server/test_budget.py` has the costs of the most demanding ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from gochat.chat.names import NameKey
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode
from gochat.server.limits import MAX_REMEMBERED, networks, subscriber
from gochat.token_bucket import Buckets, TokenBucket

#: Fixed cost of a search.
SEARCH: Final = 10.0
#: Extra cost of each entry that a page of history may have or that a sync reads, and of each
#: position of a sync, and name that a status is asked for.
PER_ENTRY: Final = 0.01
PER_POSITION: Final = 0.02
#: Extra cost of a page of history by its time: some twenty entries are looked up one by one.
BY_TIME: Final = 5.0
#: Cost of each conversation that a sync looks up, and of each that it gives.
PER_SUMMARY: Final = 0.005
PER_CONVERSATION: Final = 0.5
#: Fixed cost of a page of a person's activity, or of what they have saved, and of each entry that
#: is looked at for it, or that a page of pinned messages may have.
ACTIVITY: Final = 3.0
PER_ITEM: Final = 0.3
#: Cost of a login: the person's rooms are looked up, a token is written, everybody is notified.
ARRIVING: Final = 10.0
#: Cost of each page of waiting messages that is read.
PAGE: Final = 1.0
#: Cost of each read marker that is read for them.
PER_MARKER: Final = 0.005
#: Cost of a write that appends nothing: it exceeds the rate limit, is refused by a rule, or is a
#: duplicate. It takes no turn of the rate limit, but needs lookups.
REFUSED_WRITE: Final = 1.0
#: Cost of each second of processor time of a search beyond its fixed cost: searching much of the
#: log is expensive, but a common search must not be.
PER_SECOND_OF_SEARCH: Final = 500.0
#: Cost of each frame, and of each of its bytes: brackets, in no known field, cost most to decode.
FRAME: Final = 0.02
PER_BYTE: Final = 0.03 / 1024
#: Cost of each reply that refuses something, whatever the reason.
REFUSAL: Final = 0.1
#: What a session may owe for frames and refusals before it is charged, to save lookups.
UNCHARGED: Final = 0.5
#: Longest pause, in seconds, each time that a session exceeds its budget or owes: long enough that
#: refusing its requests costs next to nothing, and short enough that an honest client doesn't
#: consider the server dead.
MAX_PAUSE: Final = 1.0
#: Cost of a connection, and of one with TLS.
CONNECTION: Final = 1.0
HANDSHAKE: Final = 3.0

#: Several people may share an address. It has the budget of as many as it may have connections,
#: except that not all of them are busy all the time.
BUSY_SHARE: Final = 0.25
#: The budget of an IPv6 network is that of this many addresses.
PER_NETWORK: Final = 2


class OverBudget(ChatError):
    """A budget is used up."""

    def __init__(self, wait: float) -> None:
        super().__init__(
            ErrorCode.RATE_LIMITED,
            f"too many requests: try again in {wait:.1f} s",
            retry_after=wait,
            details={"limit": "request_budget"},
        )
        #: Seconds until something is left again.
        self.wait: Final = wait


def scanning(seconds: float) -> float:
    """Return the extra cost of a search that took `seconds` of processor time."""
    return max(0.0, seconds * PER_SECOND_OF_SEARCH - SEARCH)


class Budgets:
    """The budgets of all people and addresses of a server. `clock` is monotonic, in seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._clock = clock
        person, address, network = _rates(limits)
        self._people: Buckets[NameKey] = Buckets(*person, MAX_REMEMBERED)
        self._addresses: Buckets[str] = Buckets(*address, MAX_REMEMBERED)
        self._networks: Buckets[str] = Buckets(*network, MAX_REMEMBERED)

    def configure(self, limits: Limits) -> None:
        """Change the limits, also of budgets that are in use."""
        now = self._clock()
        person, address, network = _rates(limits)
        self._people.configure(*person, now)
        self._addresses.configure(*address, now)
        self._networks.configure(*network, now)

    def charge(self, address: str, person: NameKey | None, cost: float) -> None:
        """Charge an address, and a person if one is logged in, for a request.

        Raises OverBudget, and charges nothing, if one of the budgets has nothing left.
        """
        if not cost:
            return
        now = self._clock()
        payers = tuple(self._payers(address, person, now))
        wait = max(payer.wait(now) for payer in payers)
        if wait:
            raise OverBudget(wait)
        for payer in payers:
            payer.charge(now, cost)

    def spend(self, address: str, person: NameKey | None, cost: float) -> float:
        """Charge for work already done. The budgets may go into debt.

        Return the seconds until something is left again; 0 if something is.
        """
        now = self._clock()
        wait = 0.0
        for payer in self._payers(address, person, now):
            payer.charge(now, cost)
            wait = max(wait, payer.wait(now))
        return wait

    def _payers(self, address: str, person: NameKey | None, now: float) -> Iterator[TokenBucket]:
        if person is not None:
            yield self._people.of(person, now)
        yield self._addresses.of(subscriber(address), now)
        *_, narrowest = networks(address)
        if ":" in narrowest:
            yield self._networks.of(narrowest, now)


def _rates(limits: Limits) -> tuple[tuple[float, float], ...]:
    """Return the burst and the rate of a person, of an address and of an IPv6 network."""
    burst, rate = limits.request_budget, limits.request_budget_per_second
    many = limits.connections_per_address
    of_address = burst * many, rate * max(1.0, many * BUSY_SHARE)
    return (burst, rate), of_address, (PER_NETWORK * of_address[0], PER_NETWORK * of_address[1])
