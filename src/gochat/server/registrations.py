"""Rate limits for new accounts and invite codes: per address, per network, in total.

What costs everybody is counted by its result: a new account counts for the address, its network and
the server. A failed attempt counts only for its sender, so nobody can use up for others what they
don't get themselves; and no network gets more than half of what the server allows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Final, TypeVar

import structlog
import trio

from gochat.chat.admission import Admission, bad_invite, not_valid
from gochat.chat.store import Store
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.server.limits import MAX_REMEMBERED, network, subscriber
from gochat.token_bucket import Buckets, TokenBucket

log = structlog.stdlib.get_logger()

T = TypeVar("T")

#: A network has this many times the limit of one of its addresses.
PER_NETWORK: Final = 2
#: The part (1/SHARE) of all accounts that one address can make, unless that is configured.
SHARE: Final = 10
#: Wrong invite codes allowed in each window, from one address and in total. Codes have 80
#: random bits, so this protects the store from being asked all the time, not the codes.
WRONG_INVITES: Final = 10
WRONG_INVITES_IN_ALL: Final = 300
#: Seconds after which a node sees the mode that another one has set, at most.
LOOK_EVERY: Final = 5.0


class _Counts:
    """Token buckets: one for each address, one for each network, and optionally one for all."""

    def __init__(
        self, address: int, network: int, in_all: int | None, window: float, now: float
    ) -> None:
        self._addresses: Buckets[str] = Buckets(address, address / window, MAX_REMEMBERED)
        self._networks: Buckets[str] = Buckets(network, network / window, MAX_REMEMBERED)
        self._all = None if in_all is None else TokenBucket(in_all, in_all / window, now)

    def configure(
        self, address: int, network: int, in_all: int | None, window: float, now: float
    ) -> None:
        """Change the limits."""
        self._addresses.configure(address, address / window, now)
        self._networks.configure(network, network / window, now)
        if self._all is not None and in_all is not None:
            self._all.configure(in_all, in_all / window, now)

    def wait(self, address: str, now: float) -> float:
        """Return the seconds until this address is allowed another."""
        return max(bucket.wait(now) for bucket in self._of(address, now))

    def charge(self, address: str, now: float) -> None:
        """Count one, whether it is allowed or not."""
        for bucket in self._of(address, now):
            bucket.charge(now)

    def give_back(self, address: str, now: float) -> None:
        """Undo one :meth:`charge`."""
        for bucket in self._of(address, now):
            bucket.give_back()

    def _of(self, address: str, now: float) -> Iterator[TokenBucket]:
        yield self._addresses.of(subscriber(address), now)
        yield self._networks.of(network(address), now)
        if self._all is not None:
            yield self._all


class RegistrationLimiter:
    """Admits attempts to register, and charges for their outcome."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._clock = clock
        made, failed, guessed = _rates(limits)
        window, now = limits.registration_window, clock()
        self._made = _Counts(*made, window, now)
        self._failed = _Counts(*failed, window, now)
        self._guessed = _Counts(*guessed, window, now)

    def configure(self, limits: Limits) -> None:
        """Change the limits, also for addresses that have used some of them."""
        window, now = limits.registration_window, self._clock()
        for counts, rates in zip(
            (self._made, self._failed, self._guessed), _rates(limits), strict=True
        ):
            counts.configure(*rates, window, now)

    @contextmanager
    def attempt(self, address: str) -> Iterator[None]:
        """Charge for the outcome of the block: an account, or, if it raises ChatError, a failure.

        Charges nothing if it fails as busy or unavailable. Raises ChatError, ``rate_limited``, if
        there have been too many of either.
        """
        self._require(self._made, address)
        self._require(self._failed, address)
        self._made.charge(address, self._clock())  # before the work, for concurrent attempts
        is_made = False
        try:
            yield
            is_made = True
        except ChatError as error:
            if error.code != ErrorCode.BUSY:
                self._failed.charge(address, self._clock())
            raise
        finally:
            if not is_made:
                self._made.give_back(address, self._clock())

    async def check_invite(
        self, address: str, code: str | None, find: Callable[[str], Awaitable[T | None]]
    ) -> T:
        """Return what `find` returns for an invite code.

        Raises:
            ChatError: ``bad_invite`` if that is None, or ``rate_limited`` if too many were; the
                latter also for a valid code.
        """
        if not code:  # not a guess: clients find out this way that they need one
            raise bad_invite("an invite code is required to register")
        self._require(self._guessed, address)
        found = await find(code)
        if found is None:
            # Only now, so that a class that registers together is not taken for a crowd of
            # guessers. Whoever guesses on many connections at once gets one more guess on each.
            self._guessed.charge(address, self._clock())
            log.info("invite code refused", address=address)
            raise not_valid()
        return found

    def _require(self, counts: _Counts, address: str) -> None:
        if wait := counts.wait(address, self._clock()):
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                f"too many registrations: try again in {ceil(wait)} s",
                retry_after=wait,
                details={"limit": "registrations"},
            )


def _rates(limits: Limits) -> tuple[tuple[int, int, int | None], ...]:
    """Return what is allowed in a window: accounts, failures and guesses.

    Each from an address, from a network, and in all.
    """
    per_address = limits.registrations_per_address or max(1, limits.registrations // SHARE)
    per_network = max(1, min(limits.registrations // 2, PER_NETWORK * per_address))
    per_address = min(per_address, per_network)
    return (
        (per_address, per_network, limits.registrations),
        (per_address, per_network, None),
        (WRONG_INVITES, PER_NETWORK * WRONG_INVITES, WRONG_INVITES_IN_ALL),
    )


async def follow_mode(
    admission: Admission,
    store: Store,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Read who may register, for those who only ask; and again and again where others can set it.

    A registration itself always goes by what is in the store. Calls `task_status.started` when it
    was read once, or can't be.
    """
    with suppress(StoreUnavailable):
        await admission.mode()
    task_status.started()
    while store.node_bus is not None:
        await trio.sleep(LOOK_EVERY)
        with suppress(StoreUnavailable):
            await admission.mode()
