"""Counting failed logins and connections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gochat.chat.names import NameKey
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode
from gochat.server import limits as limits_module
from gochat.server.limits import ConnectionLimiter, LoginLimiter, subscriber

MEI, BOB = NameKey("mei"), NameKey("bob")
HOUR = 3600.0


class Guesser:
    """A person who guesses passwords, and a clock."""

    def __init__(self, **limits: float) -> None:
        self.limiter = LoginLimiter(Limits(**limits))  # type: ignore[arg-type]  # some are ints
        self.now = 1000.0

    def wait(self, account: NameKey = MEI, address: str = "10.0.0.1") -> float:
        """Return how long the next attempt must wait."""
        try:
            self.limiter.check(account, address, self.now)
        except ChatError as error:
            return error.retry_after or 0
        return 0

    def fail(self, times: int = 1, account: NameKey = MEI, address: str = "10.0.0.1") -> None:
        for _ in range(times):
            self.limiter.failed(account, address, self.now, is_known=False)

    def is_slow(self, address: str = "10.0.0.1") -> bool:
        """Return whether attempts from the address must queue."""
        return self.limiter.is_over(address, self.now)


# -- failed logins: an account from an address ----------------------------------------------------


def test_each_failure_after_some_doubles_the_wait() -> None:
    guesser = Guesser()
    guesser.fail(4)
    assert guesser.wait() == 0
    waits = []
    for _ in range(14):
        guesser.fail()
        waits.append(guesser.wait())
        guesser.now += waits[-1]
        assert guesser.wait() == 0
    assert waits == [2.0**n for n in range(12)] + [HOUR] * 2


def test_error_says_how_long_to_wait() -> None:
    guesser = Guesser()
    guesser.fail(6)
    guesser.now += 0.4
    with pytest.raises(ChatError) as caught:
        guesser.limiter.check(MEI, "10.0.0.1", guesser.now)
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after == pytest.approx(1.6)
    assert "in 2 s" in caught.value.text


def test_lockout_applies_to_one_account_from_one_address() -> None:
    guesser = Guesser()
    guesser.fail(10)
    assert guesser.wait() > 0
    assert guesser.wait(address="10.0.0.2") == 0
    assert guesser.wait(account=BOB) == 0


def test_success_forgets_only_the_failures_of_its_account() -> None:
    guesser = Guesser()
    guesser.fail(10)
    guesser.fail(5, account=BOB)
    guesser.limiter.succeeded(MEI, "10.0.0.1")
    guesser.limiter.succeeded(MEI, "10.0.0.9")
    assert guesser.wait() == 0
    assert guesser.wait(account=BOB) > 0
    guesser.fail(4)
    assert guesser.wait() == 0


def test_failures_are_forgotten_only_after_a_quiet_time() -> None:
    forgetful, stubborn = Guesser(login_failures_address=1000), Guesser(login_failures_address=1000)
    for guesser in (forgetful, stubborn):
        guesser.fail(4)
    for _ in range(10):
        forgetful.now += HOUR
        forgetful.fail()
        assert forgetful.wait() == 0, "one typing error an hour is no attack"
        stubborn.now += max(HOUR - 1, stubborn.wait())
        stubborn.fail()
        assert stubborn.wait() > 0
    assert stubborn.wait() >= 512


def test_wait_is_bounded_for_any_number_of_failures() -> None:
    guesser = Guesser(login_lockout=1, login_failures_address=100_000)
    guesser.fail(5000)  # 2.0 ** 1024 is an error
    assert guesser.wait() == 1


# -- failed logins: an address --------------------------------------------------------------------


def test_address_with_too_many_failures_is_slowed_down() -> None:
    guesser = Guesser()
    for number in range(19):
        guesser.fail(account=NameKey(f"p{number}"))
    assert not guesser.is_slow()
    guesser.fail(account=NameKey("p19"))
    assert guesser.is_slow()
    assert guesser.wait(account=BOB) == 0, "and not locked out"
    assert not guesser.is_slow("10.0.0.2")
    guesser.now += HOUR - 1
    guesser.fail(account=NameKey("p20"))
    guesser.now += HOUR - 1
    assert guesser.is_slow(), "an hour after the last failure"
    guesser.now += 1
    assert not guesser.is_slow()
    for number in range(19):
        guesser.fail(account=NameKey(f"q{number}"))
    assert not guesser.is_slow(), "it begins anew"


def test_success_does_not_reset_the_failures_of_an_address() -> None:
    guesser = Guesser()
    for number in range(20):
        guesser.fail(account=NameKey(f"p{number}"))
        guesser.limiter.succeeded(BOB, "10.0.0.1")
    assert guesser.is_slow()


def test_typing_errors_of_a_school_do_not_add_up_over_a_day() -> None:
    guesser = Guesser()
    for number in range(200):
        guesser.now += 300
        guesser.fail(account=NameKey(f"pupil{number}"))
        assert not guesser.is_slow()


def test_mistakes_of_known_people_do_not_slow_an_address_down() -> None:
    guesser = Guesser()
    for number in range(100):
        guesser.limiter.failed(NameKey(f"p{number}"), "10.0.0.1", guesser.now, is_known=True)
    assert not guesser.is_slow()
    for _ in range(10):
        guesser.limiter.failed(MEI, "10.0.0.1", guesser.now, is_known=True)
    assert guesser.wait() > 0, "their own account's limit holds"


@given(st.lists(st.tuples(st.sampled_from(["mei", "bob"]), st.floats(0, 10_000)), max_size=60))
def test_wait_never_exceeds_the_lockout(tries: list[tuple[str, float]]) -> None:
    guesser = Guesser()
    for account, pause in tries:
        guesser.now += pause
        guesser.fail(account=NameKey(account))
        assert 0 <= guesser.wait() <= HOUR


def test_records_are_bounded_and_the_oldest_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits_module, "MAX_REMEMBERED", 10)
    guesser = Guesser()
    guesser.fail(10, address="10.9.9.9")
    guesser.fail(10, address="10.8.8.8")
    for number in range(9):
        guesser.fail(address=f"10.0.0.{number}")
        guesser.fail(address="10.9.9.9")
    assert guesser.wait(address="10.9.9.9") > 0
    assert guesser.wait(address="10.8.8.8") == 0
    assert len(guesser.limiter._by_account) == len(guesser.limiter._by_address) == 10


# -- which addresses count as one -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::2:3:4:5", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("?", "10.0.0.1", False),
        ("::1", "127.0.0.1", False),
    ],
)
def test_addresses_of_one_subscriber_count_as_one(one: str, other: str, same: bool) -> None:
    assert (subscriber(one) == subscriber(other)) is same


def test_guesser_is_recognised_at_any_address_of_its_network() -> None:
    guesser = Guesser()
    for number in range(10):
        guesser.fail(address=f"2001:db8::{number:x}")
    assert guesser.wait(address="2001:db8::ffff") > 0
    guesser.limiter.succeeded(MEI, "2001:db8::abcd")
    assert guesser.wait(address="2001:db8::ffff") == 0


# -- connections ----------------------------------------------------------------------------------


def test_connections_of_an_address_are_bounded_alone() -> None:
    limiter = ConnectionLimiter(Limits(connections_per_address=3), 100)
    for number in range(3):
        assert limiter.refusal("::1") is None
        limiter.opened("::1" if number else "::2")
    assert limiter.refusal("::3") == ErrorCode.RATE_LIMITED
    assert limiter.refusal("10.0.0.1") is None
    limiter.closed("::1")
    assert limiter.refusal("::3") is None


def test_connections_that_have_not_logged_in_are_bounded_in_total() -> None:
    limiter = ConnectionLimiter(Limits(anonymous_max=2), 100)
    limiter.opened("10.0.0.1")
    limiter.opened("10.0.0.2")
    assert limiter.refusal("10.0.0.3") == ErrorCode.SERVER_FULL
    limiter.logged_in()
    assert limiter.refusal("10.0.0.3") is None
    limiter.logged_out()
    assert limiter.refusal("10.0.0.3") == ErrorCode.SERVER_FULL


def test_connections_are_bounded_in_total() -> None:
    limiter = ConnectionLimiter(Limits(), 2)
    for address in ("10.0.0.1", "10.0.0.2"):
        limiter.opened(address)
        limiter.logged_in()
    assert limiter.refusal("10.0.0.3") == ErrorCode.SERVER_FULL


class ConnectionsMachine(RuleBasedStateMachine):
    """Whatever connects and disconnects, the counts match the open connections."""

    def __init__(self) -> None:
        super().__init__()
        self.limiter = ConnectionLimiter(Limits(connections_per_address=3, anonymous_max=4), 8)
        self.there: list[tuple[str, bool]] = []

    @rule(address=st.sampled_from(["10.0.0.1", "::1", "::2", "2001:db8::1"]))
    def connect(self, address: str) -> None:
        if self.limiter.refusal(address) is None:
            self.limiter.opened(address)
            self.there.append((address, False))

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def log_in_or_out(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.there) - 1))
        address, is_logged_in = self.there[index]
        self.limiter.logged_out() if is_logged_in else self.limiter.logged_in()
        self.there[index] = (address, not is_logged_in)

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        address, is_logged_in = self.there.pop(data.draw(st.integers(0, len(self.there) - 1)))
        if is_logged_in:
            self.limiter.logged_out()
        self.limiter.closed(address)

    @invariant()
    def counts_are_right(self) -> None:
        anonymous = sum(not is_logged_in for _, is_logged_in in self.there)
        assert (self.limiter.total, self.limiter.anonymous) == (len(self.there), anonymous)
        assert self.limiter.total <= 8
        counts = self.limiter._by_address
        assert sum(counts.values()) == len(self.there)
        assert all(1 <= many <= 3 for many in counts.values())


TestConnectionsMachine = ConnectionsMachine.TestCase
