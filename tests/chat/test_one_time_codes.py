"""One-time codes: their form, and logging in with one."""

from __future__ import annotations

import argon2
import pytest
from msgspec.structs import replace
from storing import Clock
from talking import World

from gochat.chat import one_time_codes
from gochat.chat.accounts import Accounts
from gochat.chat.hashing import HashingQueue
from gochat.chat.names import NameKey
from gochat.chat.passwords import Passwords
from gochat.errors import ChatError

PASSWORD = "correct horse"
HOUR = 3600 * 1000


@pytest.fixture
async def accounts(world: World, clock: Clock) -> Accounts:
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    return Accounts(world.store, clock, passwords=Passwords(hasher), queue=HashingQueue())


@pytest.mark.parametrize(
    ("typed", "password"),
    [
        ("{}", ""),
        ("{} ", ""),
        (" {}  ", ""),
        ("{} correct horse", PASSWORD),
        ("{}\t correct horse", PASSWORD),
        ("{}\u3000correct horse", PASSWORD),
        ("{}\ncorrect horse", PASSWORD),
    ],
)
def test_code_is_found_in_what_is_typed(typed: str, password: str) -> None:
    code = one_time_codes.make()
    kept = one_time_codes.kept(one_time_codes.hashed(code, 7))
    assert kept is not None
    assert kept.expires == 7
    for spelling in (code, code.lower()):
        given = one_time_codes.given(typed.format(spelling))
        assert given is not None
        assert (given.code, given.password) == (code, password)
        assert given.is_that(kept)
        assert not given._replace(code=one_time_codes.make()).is_that(kept)


@pytest.mark.parametrize(
    "typed",
    ["", " ", "2222", "2222-2222-2222", "2222-2222-2222-2222-2222", "2222-2222-2222-2222x",
     "2222-2222-2222-222O new", "2222 2222 2222 2222 new", "x 2222-2222-2222-2222 new",
     "２２２２-2222-2222-2222 new", "2222-2222-2222-222ſ new"],
)  # fmt: skip
def test_anything_else_is_a_password(typed: str) -> None:
    assert one_time_codes.given(typed) is None


def test_hash_of_a_password_is_not_a_code() -> None:
    argon = "$argon2id$v=19$m=8,t=1,p=1$x$y"
    for password_hash in ("", argon, "$code$7$ab", "$code$x$" + "0" * 64):
        assert one_time_codes.kept(password_hash) is None


def test_codes_differ() -> None:
    assert len({one_time_codes.make() for _ in range(1000)}) == 1000


@pytest.mark.trio
async def test_code_expires(accounts: Accounts, clock: Clock) -> None:
    issued = accounts.new_code(HOUR)
    name = await accounts.register_with_code("Ann", issued)
    assert (name, issued.expires) == ("Ann", clock.now + HOUR)
    clock.now += HOUR
    with pytest.raises(ChatError, match="has expired") as refusal:
        await accounts.log_in("Ann", f"{issued.code} {PASSWORD}")
    assert refusal.value.code == "bad_credentials"
    clock.now -= 1
    assert (await accounts.log_in("Ann", f"{issued.code} {PASSWORD}")).generation == 1
    assert (await accounts.log_in("Ann", PASSWORD)).generation == 1


@pytest.mark.trio
async def test_code_of_a_disabled_account_stays(accounts: Accounts, world: World) -> None:
    issued = accounts.new_code(HOUR)
    await accounts.register_with_code("Ann", issued)
    ann = await world.store.account(NameKey("ann"))
    assert ann is not None
    off = replace(ann, state="disabled", generation=1)
    assert await world.store.administration.change_account(ann, off)
    with pytest.raises(ChatError) as refusal:
        await accounts.log_in("Ann", f"{issued.code} {PASSWORD}")
    assert refusal.value.code == "account_disabled"
    await world.store.administration.change_account(off, replace(ann, generation=2))
    assert (await accounts.log_in("Ann", f"{issued.code} {PASSWORD}")).generation == 3


@pytest.mark.trio
async def test_password_is_not_changed_with_a_disabled_account(
    accounts: Accounts, world: World
) -> None:
    """A session that is about to end may still ask for it."""
    await accounts.register("Ann", PASSWORD)
    who = await accounts.log_in("Ann", PASSWORD)
    ann = await world.store.account(who.key)
    assert ann is not None
    await world.store.administration.change_account(
        ann, replace(ann, state="disabled", generation=1)
    )
    with pytest.raises(ChatError) as refusal:
        await accounts.change_password(who, PASSWORD, "a better password")
    assert refusal.value.code == "account_disabled"
    assert (await world.store.account(who.key)) == replace(ann, state="disabled", generation=1)
