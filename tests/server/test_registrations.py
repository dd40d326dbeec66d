"""The cost of registering, and the limit on trying invite codes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
from msgspec import structs
from peers import LIMITS, PASSWORD, config, running_server

from gochat.config import Limits, Registration
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import Error, Register, Registered
from gochat.server.limits import network
from gochat.server.registrations import (
    PER_NETWORK,
    WRONG_INVITES,
    WRONG_INVITES_IN_ALL,
    RegistrationLimiter,
)

CODES = ("blue-heron-27", "quiet-river-93")
WINDOW = 600.0


class Registrar:
    """People who register, and a clock."""

    def __init__(self, *, in_all: int = 300, per_address: int = 30) -> None:
        self.now = 1000.0
        limits = Limits(registrations=in_all, registrations_per_address=per_address)
        self.limiter = RegistrationLimiter(limits, lambda: self.now)

    def register(self, address: str = "10.0.0.1", error: ErrorCode | None = None) -> str:
        """Register; return "", or the code of the refusal."""
        try:
            with self.limiter.attempt(address):
                if error is not None:
                    raise ChatError(error, "no")
        except ChatError as refusal:
            return str(refusal.code)
        return ""

    def guess(self, code: str, address: str = "10.0.0.1") -> str:
        """Try an invite code; return "", or the code of the refusal."""

        async def find(code: str) -> str | None:
            return code if code in CODES else None

        attempt = self.limiter.check_invite(address, code, find)
        with contextlib.suppress(StopIteration):
            try:
                attempt.send(None)
            except ChatError as refusal:
                return str(refusal.code)
        return ""


def in_a_row(outcomes: Sequence[str]) -> int:
    """Return how many came before the first that was rate limited."""
    return [*outcomes, "rate_limited"].index("rate_limited")


def test_address_may_register_a_class_and_more_over_time() -> None:
    registrar = Registrar()
    assert in_a_row([registrar.register() for _ in range(100)]) == 30
    registrar.now += WINDOW / 30
    assert registrar.register() == ""
    assert registrar.register() == "rate_limited"
    assert registrar.register("10.0.1.1") == ""


def test_address_may_register_a_tenth_of_all_unless_that_is_configured() -> None:
    for in_all, per_address, expected in ((300, 0, 30), (20_000, 0, 2000), (5, 0, 1), (300, 7, 7)):
        registrar = Registrar(in_all=in_all, per_address=per_address)
        assert in_a_row([registrar.register() for _ in range(2100)]) == expected


@pytest.mark.parametrize(
    "error", [ErrorCode.BAD_NAME, ErrorCode.BAD_PASSWORD, ErrorCode.NAME_TAKEN]
)
def test_failures_are_charged_only_to_their_sender(error: ErrorCode) -> None:
    registrar = Registrar(in_all=60)
    assert in_a_row([registrar.register(error=error) for _ in range(1000)]) == 30
    for number in range(1000):
        registrar.register(f"10.1.{number % 200}.1", error=error)
    assert registrar.register() == "rate_limited"
    fresh = [registrar.register(f"10.2.{number}.1") for number in range(60)]
    assert in_a_row(fresh) == 60


def test_mistakes_do_not_reduce_the_accounts_of_an_address() -> None:
    registrar = Registrar()
    for _ in range(29):
        registrar.register(error=ErrorCode.NAME_TAKEN)
    assert in_a_row([registrar.register() for _ in range(30)]) == 30


def test_temporary_failures_are_free() -> None:
    registrar = Registrar()
    for _ in range(100):
        assert registrar.register(error=ErrorCode.BUSY) == "busy"
        with pytest.raises(StoreUnavailable), registrar.limiter.attempt("10.0.0.1"):
            raise StoreUnavailable("no disk")
    assert registrar.register() == ""


def test_attempts_in_progress_count() -> None:
    registrar = Registrar(per_address=2)
    with registrar.limiter.attempt("10.0.0.1"), registrar.limiter.attempt("10.0.0.1"):
        assert registrar.register() == "rate_limited"


@pytest.mark.parametrize("address", ["10.0.{}.{}", "2001:db8:{:x}:{:x}::1"])
def test_network_has_twice_an_address_and_at_most_half_the_total(address: str) -> None:
    registrar = Registrar(in_all=300, per_address=30)
    one_network = [registrar.register(address.format(0, n % 250)) for n in range(300)]
    assert one_network.count("") == PER_NETWORK * 30
    tight = Registrar(in_all=30, per_address=30)
    assert [tight.register(address.format(0, n % 250)) for n in range(300)].count("") == 15
    assert tight.register("192.0.2.1") == "", "nobody can use it up for others"


def test_total_is_bounded() -> None:
    registrar = Registrar()
    outcomes = [registrar.register(f"10.{n // 200}.{n % 200}.1") for n in range(1000)]
    assert outcomes.count("") == 300


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.200", True),
        ("10.0.0.1", "10.0.1.1", False),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("::ffff:10.0.0.1", "10.0.0.2", True),
        ("?", "?", True),
        ("memory", "?", False),
    ],
)
def test_which_addresses_are_of_one_network(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


# -- invite codes ---------------------------------------------------------------------------------


def test_address_with_many_wrong_invite_codes_is_refused_any_code() -> None:
    registrar = Registrar()
    assert registrar.guess(CODES[1]) == ""
    guesses = [registrar.guess(f"guess-{n}") for n in range(1000)]
    assert in_a_row(guesses) == WRONG_INVITES
    assert set(guesses[:WRONG_INVITES]) == {"bad_invite"}
    assert registrar.guess(CODES[0]) == "rate_limited", "else guessing would go on"
    assert registrar.guess(CODES[0], "10.0.1.1") == ""
    registrar.now += WINDOW / WRONG_INVITES
    assert registrar.guess(CODES[0]) == ""


def test_wrong_invite_codes_are_counted_in_total() -> None:
    registrar = Registrar()
    guesses = [registrar.guess("guess", f"10.{n // 200}.{n % 200}.1") for n in range(2000)]
    assert in_a_row(guesses) == WRONG_INVITES_IN_ALL


def test_missing_invite_code_is_not_a_guess() -> None:
    registrar = Registrar()
    assert {registrar.guess("") for _ in range(100)} == {"bad_invite"}
    assert registrar.guess(CODES[0]) == ""


def test_right_invite_codes_cost_nothing() -> None:
    registrar = Registrar()
    assert {registrar.guess(CODES[n % 2]) for n in range(100)} == {""}


# -- on a server ----------------------------------------------------------------------------------


@pytest.mark.trio
async def test_sender_of_nonsense_cant_keep_others_from_registering() -> None:
    limits = structs.replace(
        LIMITS,
        registrations=Limits().registrations,
        registrations_per_address=0,
    )
    async with running_server(structs.replace(config(), limits=limits)) as server:
        async with server.connect() as peer:
            for _ in range(30):
                error = await peer.ask(Register(name="mei", password="short"), Error)
                assert error.code == "bad_password"
            error = await peer.ask(Register(name="mei", password="short"), Error)
            assert error.code == "rate_limited"
            assert error.retry_after == pytest.approx(20, abs=10)


@pytest.mark.trio
async def test_reserved_names_and_lookalikes_are_refused() -> None:
    async with running_server() as server, server.connect() as peer:
        for name in ("admin", "ɡochat", "nickserv"):
            error = await peer.ask(Register(name=name, password=PASSWORD), Error)
            assert (error.code, error.field) == ("name_taken", "name")
            assert "reserved" in error.text
        await peer.ask(Register(name="paul", password=PASSWORD), Registered)
        error = await peer.ask(Register(name="pɑul", password=PASSWORD), Error)
        assert error.text == "'pɑul' looks like a name that is taken: choose another name"
    own = structs.replace(config(), registration=Registration(reserved_names=("boss",)))
    async with running_server(own) as server, server.connect() as peer:
        error = await peer.ask(Register(name="Boss", password=PASSWORD), Error)
        assert error.code == "name_taken"
        await peer.ask(Register(name="admin", password=PASSWORD), Registered)
