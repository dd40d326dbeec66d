"""What each request costs, and who pays for it.

Messages and all else that is written to the log have a limit of their own, and quotas
(:mod:`.quotas`). What reads, logs in or is only passed on is paid for from a budget: each person
has one, for all devices together, and so has each address, for all who share it, and of IPv6 each
network of 2^72 addresses, which is what a home is commonly given. A request is let in while
anything is left in each of them, and then costs what the table says, also where that is more: it is
owed. What turns out to cost more is charged afterwards.

Besides, each frame costs what its size takes to be understood, whatever is in it, and each refusal
what it takes to reply: what is refused, or not even known, must not be free. That is never refused
itself, but owed; and whoever owes is not read from until it is paid, at most for a while each time.

The unit is about a millisecond of the processor. An honest client never comes near the end of a
budget; `tests/server/test_budget.py` has what the dearest of them do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from gochat.chat.names import NameKey
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import (
    Away,
    ChangePassword,
    Conversations,
    CreateRoom,
    Delete,
    Edit,
    History,
    Invite,
    Join,
    Kick,
    Leave,
    Login,
    Logout,
    MarkRead,
    Members,
    Ping,
    Pong,
    React,
    Register,
    Request,
    Resume,
    Rooms,
    Search,
    Send,
    SetAccess,
    SetHistory,
    SetLevel,
    SetOperator,
    SetTopic,
    Typing,
    Who,
)
from gochat.server.limits import MAX_REMEMBERED, networks, subscriber
from gochat.token_bucket import Buckets, TokenBucket

#: What a request costs, whatever is in it. What is paid from the limit on writing costs nothing
#: here, as long as that lasts.
COSTS: Final[Mapping[type, float]] = {
    Ping: 0.1,
    Pong: 0.0,  # the frame
    Typing: 0.5,
    History: 1.0,
    MarkRead: 1.0,
    SetLevel: 1.0,
    Who: 2.0,
    Resume: 3.0,
    Members: 4.0,
    Conversations: 5.0,
    Rooms: 5.0,
    Away: 5.0,  # everybody is sent it
    Logout: 5.0,
    Search: 10.0,
    Login: 10.0,
    Register: 10.0,
    ChangePassword: 20.0,
    Send: 0.0,
    Edit: 0.0,
    Delete: 0.0,
    React: 0.0,
    CreateRoom: 0.0,
    Join: 0.0,
    Leave: 0.0,
    Invite: 0.0,
    Kick: 0.0,
    SetTopic: 0.0,
    SetOperator: 0.0,
    SetAccess: 0.0,
    SetHistory: 0.0,
}
#: More for each entry that a page of history may have, and for each position of a resume.
PER_ENTRY: Final = 0.01
PER_POSITION: Final = 0.02
#: For a person to arrive: their rooms are looked up, a token is written, everybody is sent it.
ARRIVING: Final = 10.0
#: For each page that is read to catch up.
PAGE: Final = 1.0
#: For each read marker that is read to catch up.
PER_MARKER: Final = 0.005
#: For what is refused by the limit on writing, and for what turns out to have been granted before:
#: that has to be looked up.
REFUSED_WRITE: Final = 1.0
#: For each second of the processor that a search takes beyond what is paid: looking through much of
#: the log is dear, and what everybody looks for must not be.
PER_SECOND_OF_SEARCH: Final = 500.0
#: For each frame, and more for each byte of it: brackets, of which no field is known, cost most.
FRAME: Final = 0.02
PER_BYTE: Final = 0.03 / 1024
#: For each reply that refuses something, whatever and why.
REFUSAL: Final = 0.1
#: What a session may owe for frames and refusals before it is charged: so not each costs a look-up.
UNCHARGED: Final = 0.5
#: Seconds that a session pauses at most, each time that it is refused for its budget, or owes: long
#: enough that refusing what it asks for costs next to nothing, and not so long that an honest
#: client takes it for a dead server.
MAX_PAUSE: Final = 1.0
#: For a connection, and with TLS.
CONNECTION: Final = 1.0
HANDSHAKE: Final = 3.0

#: An address may have several people behind it. It has the budget of as many as it may have
#: connections; but not all of them are busy all the time.
BUSY_SHARE: Final = 0.25
#: The budget of a network of IPv6 is that of so many addresses.
PER_NETWORK: Final = 2


class OverBudget(ChatError):
    """Somebody's budget is used up."""

    def __init__(self, wait: float) -> None:
        super().__init__(
            ErrorCode.RATE_LIMITED,
            f"too many requests: try again in {wait:.1f} s",
            retry_after=wait,
        )
        #: Seconds until there is something left again.
        self.wait: Final = wait


def cost(request: Request) -> float:
    """Return what a request costs its sender."""
    fixed = COSTS[type(request)]
    if isinstance(request, History):
        return fixed + request.limit * PER_ENTRY
    if isinstance(request, Resume):
        return fixed + len(request.positions) * PER_POSITION
    return fixed


def scanning(seconds: float) -> float:
    """Return what a search costs besides, for which a thread has worked for so long."""
    return max(0.0, seconds * PER_SECOND_OF_SEARCH - COSTS[Search])


class Budgets:
    """The budgets of all people and addresses of a server. `clock` is monotonic, in seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._clock = clock
        burst, rate = limits.request_budget, limits.request_budget_per_second
        many = limits.connections_per_address
        busy = max(1.0, many * BUSY_SHARE)
        self._people: Buckets[NameKey] = Buckets(burst, rate, MAX_REMEMBERED)
        self._addresses: Buckets[str] = Buckets(burst * many, rate * busy, MAX_REMEMBERED)
        self._networks: Buckets[str] = Buckets(
            PER_NETWORK * burst * many, PER_NETWORK * rate * busy, MAX_REMEMBERED
        )

    def charge(self, address: str, person: NameKey | None, cost: float) -> None:
        """Charge for what is asked for from an address, and by a person if anybody is logged in.

        Raises OverBudget, and charges nothing, if one of them has nothing left.
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
        """Charge for what turned out to cost more, or was done already; it may be owed.

        Returns the seconds until there is something left again; 0 if there is.
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
