"""Registering, logging in, changing passwords; and what each costs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import argon2
import pytest
import trio
from patience import PATIENCE, until
from storing import NOON, Clock
from talking import World

from gochat.chat.account import Account
from gochat.chat.accounts import Accounts, Identity
from gochat.chat.hashing import HashingQueue
from gochat.chat.names import NameKey
from gochat.chat.passwords import Passwords
from gochat.chat.tokens import Tokens
from gochat.errors import ChatError, StoreUnavailable

pytestmark = pytest.mark.trio

T = TypeVar("T")
PASSWORD = "correct horse"
OTHER = "battery staple"
ANN = Identity(NameKey("ann"), "Ann")


class Hasher(argon2.PasswordHasher):
    """Hashes at next to no cost, counts hashes, and can hold them back."""

    def __init__(self, passes: int = 1) -> None:
        super().__init__(time_cost=passes, memory_cost=8, parallelism=1)
        self.hashed = 0
        self.verified = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.threads: set[int] = set()
        self.compared: list[str | bytes] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.hashed += 1
        return self._held_back(lambda: super(Hasher, self).hash(password, salt=salt))

    def verify(
        self,
        hash: str | bytes,  # noqa: A002 - argon2's
        password: str | bytes,
    ) -> Literal[True]:
        self.verified += 1
        self.compared.append(hash)
        return self._held_back(lambda: super(Hasher, self).verify(hash, password))

    def _held_back(self, work: Callable[[], T]) -> T:
        self.threads.add(threading.get_ident())
        self.may_go_on.wait(PATIENCE)
        return work()


@pytest.fixture
def hasher() -> Hasher:
    return Hasher()


@pytest.fixture
async def accounts(world: World, hasher: Hasher, clock: Clock) -> Accounts:
    accounts = Accounts(
        world.store, clock, passwords=Passwords(hasher), queue=HashingQueue(slots=2)
    )
    await accounts.register("Ann", PASSWORD)
    hasher.hashed = 0
    return accounts


@pytest.fixture
def tokens(world: World, clock: Clock) -> Tokens:
    return Tokens(world.store, clock)


async def code(attempt: Callable[..., object], *args: object) -> str:
    """Return the code with which `attempt` is refused."""
    with pytest.raises(ChatError) as caught:
        await attempt(*args)  # type: ignore[misc]  # any of several methods
    return str(caught.value.code)


async def set_hash(world: World, password_hash: str) -> None:
    """Change Ann's password hash from elsewhere."""
    assert await world.store.change_password(await stored(world), password_hash)


async def stored(world: World) -> Account:
    account = await world.store.account(ANN.key)
    assert account is not None
    return account


# -- registering ----------------------------------------------------------------------------------


async def test_registered_person_logs_in_with_any_spelling_of_the_name(accounts: Accounts) -> None:
    assert await accounts.register("Zoe\u0308", PASSWORD) == "Zoë"
    for name in ("Zoë", "ZOË", "zoe\u0308"):
        assert await accounts.log_in(name, PASSWORD) == Identity(NameKey("zoë"), "Zoë")


async def test_only_a_hash_of_the_password_is_stored(accounts: Accounts, world: World) -> None:
    account = await stored(world)
    assert account.password_hash.startswith("$argon2id$")
    assert PASSWORD not in repr(account)
    assert account.created == NOON


async def test_taken_name_is_refused_in_any_spelling_without_a_hash(
    accounts: Accounts, hasher: Hasher
) -> None:
    with pytest.raises(ChatError) as caught:
        await accounts.register("ＡＮＮ", OTHER)
    assert (caught.value.code, caught.value.field) == ("name_taken", "name")
    assert hasher.hashed == 0


async def test_one_of_two_concurrent_registrations_wins(accounts: Accounts, world: World) -> None:
    outcomes = []

    async def register(name: str, password: str) -> None:
        try:
            outcomes.append((await accounts.register(name, password), password))
        except ChatError as error:
            outcomes.append((str(error.code), ""))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(register, "Ted", PASSWORD)
        nursery.start_soon(register, "TED", OTHER)
    (loser, _), (winner, password) = sorted(outcomes, key=lambda outcome: outcome[1] != "")
    assert loser == "name_taken"
    assert await accounts.log_in("ted", password) == Identity(NameKey("ted"), winner)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, "密码" * 65])
async def test_password_length_is_bounded(accounts: Accounts, password: str) -> None:
    with pytest.raises(ChatError) as caught:
        await accounts.register("ted", password)
    assert (caught.value.code, caught.value.field) == ("bad_password", "password")
    assert "8 to 128" in caught.value.text
    assert await code(accounts.change_password, ANN, PASSWORD, password) == "bad_password"


@pytest.mark.parametrize("password", ["12345678", "密码密码密码密码", "😀" * 128, "\x00" * 8])
async def test_password_is_any_text_of_the_right_length(accounts: Accounts, password: str) -> None:
    await accounts.register("ted", password)
    await accounts.log_in("ted", password)
    assert await code(accounts.log_in, "ted", password + " ") == "bad_credentials"


async def test_refused_registration_creates_no_account(accounts: Accounts, world: World) -> None:
    assert await code(accounts.register, "a b", PASSWORD) == "bad_name"
    assert await code(accounts.register, "ted", "short") == "bad_password"
    assert await world.store.account(NameKey("ted")) is None


# -- logging in -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ann", OTHER),
        ("ann", ""),
        ("ann", PASSWORD.upper()),
        ("nobody", PASSWORD),
        ("not a name", PASSWORD),
        ("", PASSWORD),
        ("ann\x00", PASSWORD),
        ("x" * 1000, PASSWORD),
    ],
)
async def test_wrong_name_and_wrong_password_look_and_cost_the_same(
    accounts: Accounts, hasher: Hasher, name: str, password: str
) -> None:
    with pytest.raises(ChatError) as caught:
        await accounts.log_in(name, password)
    assert (caught.value.code, caught.value.field) == ("bad_credentials", "password")
    assert caught.value.text == "the name or the password is wrong"
    assert (hasher.verified, hasher.hashed) == (1, 0)
    [compared] = hasher.compared
    assert str(compared).startswith("$argon2id$v=19$m=8,t=1,p=1$"), "as costly as a real one"


async def test_hashing_runs_outside_the_trio_thread(accounts: Accounts, hasher: Hasher) -> None:
    hasher.threads.clear()
    await accounts.log_in("ann", PASSWORD)
    await accounts.register("ted", PASSWORD)
    assert hasher.threads
    assert threading.get_ident() not in hasher.threads


async def test_login_at_a_full_queue_is_refused_alone(
    world: World, clock: Clock, hasher: Hasher
) -> None:
    queue = HashingQueue(3)
    accounts = Accounts(world.store, clock, passwords=Passwords(hasher), queue=queue)
    await accounts.register("ann", PASSWORD)
    arrived = []

    async def log_in() -> None:
        arrived.append(await accounts.log_in("ann", PASSWORD))

    hasher.may_go_on.clear()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(log_in)
        await until(lambda: queue.waiting == 3)
        with pytest.raises(ChatError) as caught:
            await accounts.log_in("ann", PASSWORD)
        assert caught.value.code == "busy"
        assert caught.value.retry_after is not None
        assert await code(accounts.register, "ted", PASSWORD) == "busy"
        assert await code(accounts.log_in, "nobody", PASSWORD) == "busy"
        hasher.may_go_on.set()
    assert len(arrived) == 3
    await log_in()  # there is room again


async def test_cancelled_login_frees_its_slot(world: World, clock: Clock, hasher: Hasher) -> None:
    queue = HashingQueue(50)
    accounts = Accounts(world.store, clock, passwords=Passwords(hasher), queue=queue)
    await accounts.register("ann", PASSWORD)
    hasher.may_go_on.clear()
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(accounts.log_in, "ann", PASSWORD)
        await until(lambda: queue.waiting == 50)
        nursery.cancel_scope.cancel()
        hasher.may_go_on.set()
    assert queue.waiting == 0
    assert hasher.verified < 50, "those who only waited cost nothing"
    await accounts.log_in("ann", PASSWORD)


# -- parameters that rise -------------------------------------------------------------------------


async def test_password_is_rehashed_when_the_parameters_rise(
    accounts: Accounts, world: World, clock: Clock
) -> None:
    before = await stored(world)
    stronger = Accounts(world.store, clock, passwords=Passwords(Hasher(passes=2)))
    assert await code(stronger.log_in, "ann", OTHER) == "bad_credentials"
    assert await stored(world) == before
    await stronger.log_in("ann", PASSWORD)
    after = await stored(world)
    assert "t=2," in after.password_hash
    await stronger.log_in("ann", PASSWORD)
    assert await stored(world) == after, "once is enough"


async def test_queued_login_may_hash_several_times(
    accounts: Accounts, world: World, clock: Clock
) -> None:
    stronger = Accounts(
        world.store, clock, passwords=Passwords(Hasher(passes=2)), queue=HashingQueue(1)
    )
    await stronger.log_in("ann", PASSWORD)
    assert "t=2," in (await stored(world)).password_hash
    await stronger.change_password(ANN, PASSWORD, OTHER)
    assert await stronger.log_in("ann", OTHER) == ANN._replace(generation=1)


async def test_hash_of_the_typed_form_is_replaced_by_the_prepared_form(
    accounts: Accounts, world: World, hasher: Hasher
) -> None:
    typed, otherwise = "cafe\u0301\u00a0au lait", "caf\u00e9 au lait"
    await set_hash(world, argon2.PasswordHasher(1, 8, 1).hash(typed))
    assert await code(accounts.log_in, "ann", otherwise) == "bad_credentials"
    assert await accounts.log_in("ann", typed) == ANN._replace(generation=1)
    assert await accounts.log_in("ann", otherwise) == ANN._replace(generation=1)
    hasher.verified = 0
    assert await code(accounts.log_in, "ann", OTHER) == "bad_credentials"
    assert hasher.verified == 1, "once, where the forms are the same"


async def test_rehashing_never_restores_an_old_password(
    accounts: Accounts, world: World, clock: Clock
) -> None:
    hasher = Hasher(passes=2)
    stronger = Accounts(world.store, clock, passwords=Passwords(hasher))
    hash_, token = hasher.hash, trio.lowlevel.current_trio_token()

    def changed_meanwhile(password: str | bytes, *, salt: bytes | None = None) -> str:
        trio.from_thread.run(set_hash, world, new, trio_token=token)
        return hash_(password, salt=salt)

    new = hash_(OTHER)
    hasher.hash = changed_meanwhile  # type: ignore[method-assign]  # the moment in between
    await stronger.log_in("ann", PASSWORD)
    assert (await stored(world)).password_hash == new


async def test_invalid_hash_refuses_every_login(accounts: Accounts, world: World) -> None:
    for nonsense in ("", "!", "$argon2id$v=19$m=8,t=1,p=1$AAAA", "x" * 1000):
        await set_hash(world, nonsense)
        assert await code(accounts.log_in, "ann", PASSWORD) == "bad_credentials"


# -- changing the password ------------------------------------------------------------------------


async def test_password_change_revokes_every_token(accounts: Accounts, tokens: Tokens) -> None:
    old = [await tokens.issue(ANN) for _ in range(3)]
    await accounts.register("ted", PASSWORD)
    teds = await tokens.issue(Identity(NameKey("ted"), "ted"))
    ann = await accounts.change_password(ANN, PASSWORD, OTHER)
    assert ann == ANN._replace(generation=1)
    new = await tokens.issue(ann)
    assert await code(accounts.log_in, "ann", PASSWORD) == "bad_credentials"
    assert await accounts.log_in("ann", OTHER) == ann
    for token in old:
        assert await code(tokens.resume, token.text) == "bad_token"
    assert await tokens.resume(new.text) == (ann, new, False)
    await tokens.resume(teds.text)


async def test_password_change_needs_the_old_password(accounts: Accounts, tokens: Tokens) -> None:
    token = await tokens.issue(ANN)
    assert await code(accounts.change_password, ANN, OTHER, "new password") == "bad_credentials"
    assert await accounts.log_in("ann", PASSWORD) == ANN
    await tokens.resume(token.text)


async def test_password_changed_while_being_checked_is_refused(
    accounts: Accounts, tokens: Tokens, hasher: Hasher, world: World
) -> None:
    new = argon2.PasswordHasher(1, 8, 1).hash(OTHER)
    outcomes: list[str] = []

    async def intrude() -> None:
        who = await accounts.log_in("ann", PASSWORD)
        token = await tokens.issue(who)
        with pytest.raises(ChatError) as caught:
            await tokens.require_current(token.id, is_login=True)
        outcomes.append(caught.value.code)
        assert await code(tokens.resume, token.text) == "bad_token"

    async def take_over() -> None:
        outcomes.append(await code(accounts.change_password, ANN, PASSWORD, "my password"))

    hasher.may_go_on.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intrude)
        nursery.start_soon(take_over)
        await until(lambda: hasher.verified == 2)
        await set_hash(world, new)
        hasher.may_go_on.set()
    assert outcomes == ["bad_credentials", "bad_credentials"]
    assert await accounts.log_in("ann", OTHER) == ANN._replace(generation=1)


async def test_one_of_two_concurrent_password_changes_wins(
    accounts: Accounts, hasher: Hasher
) -> None:
    outcomes: dict[str, str] = {}

    async def change(new: str) -> None:
        try:
            await accounts.change_password(ANN, PASSWORD, new)
        except ChatError as error:
            outcomes[new] = str(error.code)

    hasher.may_go_on.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change, "one password")
        nursery.start_soon(change, OTHER)
        await until(lambda: hasher.verified == 2)  # both have verified the old one
        hasher.may_go_on.set()
    ((lost, why),) = outcomes.items()
    assert why == "bad_credentials"
    assert await code(accounts.log_in, "ann", lost) == "bad_credentials"
    (won,) = {"one password", OTHER} - {lost}
    assert await accounts.log_in("ann", won) == ANN._replace(generation=1)


async def test_login_survives_a_concurrent_rehash(
    accounts: Accounts, hasher: Hasher, world: World
) -> None:
    hasher.may_go_on.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accounts.log_in, "ann", PASSWORD)
        await until(lambda: hasher.verified == 1)
        again = argon2.PasswordHasher(1, 8, 1).hash(PASSWORD)
        assert await world.store.rehash_password(await stored(world), again)
        hasher.may_go_on.set()
    assert hasher.verified == 1


async def _down(*_: object) -> bool:
    raise StoreUnavailable("down")


async def test_unavailable_store_is_not_a_wrong_password(
    accounts: Accounts, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.store, "account", _down)
    for attempt in (accounts.log_in, accounts.register):
        with pytest.raises(StoreUnavailable):
            await attempt("ann", PASSWORD)


async def test_reserved_names_and_lookalikes_are_refused(world: World) -> None:
    accounts = Accounts(
        world.store, Clock(), passwords=Passwords(Hasher()), reserved_names=("admin", "Here")
    )
    for name in ("admin", "ADMIN", "admın", "аdmin".replace("а", "ɑ"), "here"):
        with pytest.raises(ChatError, match="reserved") as refusal:
            await accounts.register(name, PASSWORD)
        assert (refusal.value.code, refusal.value.field) == ("name_taken", "name")
    assert await accounts.register("administrator", PASSWORD) == "administrator"


async def test_account_of_a_name_reserved_later_still_works(world: World) -> None:
    before = Accounts(world.store, Clock(), passwords=Passwords(Hasher()))
    await before.register("admin", PASSWORD)
    after = Accounts(world.store, Clock(), passwords=Passwords(Hasher()), reserved_names=("admin",))
    assert (await after.log_in("admin", PASSWORD)).name == "admin"


# -- accounts of a directory ----------------------------------------------------------------------


class Elsewhere:
    """A directory that has the passwords, except, with `allows_local`, those of accounts here."""

    is_on = True

    def __init__(self, *, allows_local: bool) -> None:
        self.allows_local = allows_local


@pytest.mark.parametrize("allows_local", [True, False])
async def test_only_a_password_that_is_kept_here_is_reset(
    world: World, accounts: Accounts, clock: Clock, *, allows_local: bool
) -> None:
    directory: Any = Elsewhere(allows_local=allows_local)  # nobody logs in by it
    beside = Accounts(world.store, clock, directory=directory)
    ann = await stored(world)
    if allows_local:
        await beside.reset_password(ann, 1000)
        assert await code(accounts.log_in, "ann", PASSWORD) == "bad_credentials"
    else:
        assert await code(beside.reset_password, ann, 1000) == "not_permitted"
        await accounts.log_in("ann", PASSWORD)
