"""The Store's contract: accounts and tokens."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
import trio
from msgspec.structs import replace
from storing import NOON, Chat, Clock, account, person

from gochat.chat.store import LOGIN_ADDRESSES, MAX_TOKENS, Account, Store, Token
from gochat.errors import ChatError

pytestmark = pytest.mark.trio


async def test_account_is_stored_unchanged(store: Store) -> None:
    given = Account(key=person("Mei"), name="Mei", password_hash="$argon2id$…", created=12345)
    assert await store.create_account(given) is True
    assert await store.account(person("Mei")) == given


async def test_unregistered_name_has_no_account(store: Store) -> None:
    assert await store.account(person("mei")) is None


async def test_taken_name_is_refused_and_its_owner_unchanged(store: Store) -> None:
    await store.create_account(account("Mei", "first"))
    assert await store.create_account(account("MEI", "second")) is False
    assert await store.account(person("mei")) == account("Mei", "first")


async def test_one_of_many_concurrent_registrations_wins(store: Store) -> None:
    outcomes: list[tuple[bool, str]] = []

    async def register(password_hash: str) -> None:
        is_mine = await store.create_account(account("Mei", password_hash))
        outcomes.append((is_mine, password_hash))

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(register, f"hash {number}")
    (winner,) = [password_hash for is_mine, password_hash in outcomes if is_mine]
    kept = await store.account(person("Mei"))
    assert kept is not None
    assert kept.password_hash == winner


async def test_name_that_looks_like_another_is_refused(store: Store) -> None:
    assert await store.create_account(account("Paul", "first"))
    for twin in ("pɑul", "PAUI"):
        with pytest.raises(ChatError, match="looks like a name that is taken") as refusal:
            await store.create_account(account(twin))
        assert (refusal.value.code, refusal.value.field) == ("name_taken", "name")
        assert await store.account(person(twin)) is None
    assert await store.create_account(account("PAUL", "second")) is False
    assert await store.account(person("paul")) == account("Paul", "first")


async def test_refused_name_claims_nothing(store: Store) -> None:
    """A Greek nu looks like "v", and its capital like "N"."""
    await store.create_account(account("no"))
    with pytest.raises(ChatError):
        await store.create_account(account("νο"))
    assert await store.create_account(account("vo"))


@pytest.mark.parametrize(("name", "twin"), [("alice", "ALlCE"), ("TAPAC", "тарас")])
async def test_name_that_looks_like_another_in_capitals_is_refused(
    store: Store, name: str, twin: str
) -> None:
    assert await store.create_account(account(name))
    with pytest.raises(ChatError, match="looks like"):
        await store.create_account(account(twin))


async def test_at_most_one_of_concurrent_lookalikes_is_registered(store: Store) -> None:
    kept: list[str] = []

    async def register(name: str) -> None:
        with suppress(ChatError):
            if await store.create_account(account(name)):
                kept.append(name)

    async with trio.open_nursery() as nursery:
        for name in ("paul", "pɑul", "pauI", "рауӏ"):  # the last one all Cyrillic: different
            nursery.start_soon(register, name)
    assert "рауӏ" in kept
    assert len(kept) <= 2


async def test_display_names_finds_existing_accounts(chat: Chat) -> None:
    keys = [person(name) for name in ("mei", "nobody", "BOB")]
    assert await chat.store.display_names(keys) == {"mei": "Mei", "bob": "Bob"}
    assert await chat.store.display_names([]) == {}


async def test_display_names_answers_for_thousands(store: Store) -> None:
    await store.create_account(account("Mei"))
    keys = [person(f"p{number}") for number in range(3000)]
    assert await store.display_names([*keys, person("mei")]) == {"mei": "Mei"}


async def test_password_hash_can_be_replaced(chat: Chat) -> None:
    assert await chat.store.change_password(account("Mei"), "new")
    mei, bob = await chat.store.account(person("mei")), await chat.store.account(person("bob"))
    assert mei == replace(account("Mei"), password_hash="new", generation=1)
    assert bob == account("Bob")


async def test_one_of_several_concurrent_password_changes_wins(chat: Chat) -> None:
    made: list[str] = []

    async def change(password_hash: str) -> None:
        if await chat.store.change_password(account("Mei"), password_hash):
            made.append(password_hash)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(change, f"hash {number}")
    (only,) = made
    mei = await chat.store.account(person("mei"))
    assert mei == replace(account("Mei"), password_hash=only, generation=1)
    assert await chat.store.change_password(mei, "next")
    assert not await chat.store.change_password(account("Nobody"), "none")
    assert await chat.store.account(person("nobody")) is None


async def test_rehash_keeps_the_generation_and_replaces_no_other_password(
    chat: Chat,
) -> None:
    token = Token(digest=b"d" * 32, account=person("mei"), expires=NOON + 1000)
    await chat.store.add_token(token)
    assert await chat.store.rehash_password(account("Mei"), "stronger")
    stronger = replace(account("Mei"), password_hash="stronger")
    assert await chat.store.account(person("mei")) == stronger
    assert await chat.store.token(token.digest, NOON) == token
    assert not await chat.store.rehash_password(account("Mei"), "late")
    assert await chat.store.change_password(account("Mei"), "new"), "the password was the same"
    assert not await chat.store.rehash_password(stronger, "late")
    mei = await chat.store.account(person("mei"))
    assert mei == replace(account("Mei"), password_hash="new", generation=1)


async def test_token_is_found_until_it_expires(chat: Chat) -> None:
    token = Token(digest=b"d" * 32, account=person("mei"), expires=NOON + 1000)
    await chat.store.add_token(token)
    assert await chat.store.token(token.digest, NOON) == token
    assert await chat.store.token(token.digest, NOON + 999) == token
    assert await chat.store.token(token.digest, NOON + 1000) is None
    assert await chat.store.token(b"other", NOON) is None


async def test_revoked_token_is_gone_and_others_are_not(chat: Chat) -> None:
    tokens = [
        Token(digest=bytes([number]) * 32, account=person("mei"), expires=NOON + 1000)
        for number in range(2)
    ]
    for token in tokens:
        await chat.store.add_token(token)
    await chat.store.revoke_token(tokens[0].digest)
    await chat.store.revoke_token(b"never there")
    assert await chat.store.token(tokens[0].digest, NOON) is None
    assert await chat.store.token(tokens[1].digest, NOON) == tokens[1]


async def test_new_password_revokes_all_tokens_even_those_added_later(chat: Chat) -> None:
    """A login with the old password may write its token late."""
    mine = [
        Token(digest=bytes([number]) * 32, account=person("mei"), expires=NOON + 1000)
        for number in range(3)
    ]
    other = Token(digest=b"b" * 32, account=person("bob"), expires=NOON + 1000)
    for token in (*mine, other):
        await chat.store.add_token(token)
    await chat.store.change_password(account("Mei"), "new")
    late = Token(digest=b"l" * 32, account=person("mei"), expires=NOON + 1000)
    new = Token(digest=b"n" * 32, account=person("mei"), expires=NOON + 1000, generation=1)
    for token in (late, new):
        await chat.store.add_token(token)
    assert [await chat.store.token(token.digest, NOON) for token in (*mine, late)] == [None] * 4
    for token in (new, other):
        assert await chat.store.token(token.digest, NOON) == token


async def test_token_is_renewed_only_forward_and_not_once_revoked(chat: Chat) -> None:
    store = chat.store
    token = Token(digest=b"d" * 32, account=person("mei"), expires=NOON + 1000, address="10.0.0.1")
    await store.add_token(token)
    assert await store.renew_token(token.digest, NOON + 2000, "10.0.0.2")
    renewed = replace(token, expires=NOON + 2000, address="10.0.0.2")
    assert await store.token(token.digest, NOON + 1999) == renewed
    assert await store.renew_token(token.digest, NOON + 10, "10.0.0.2")
    assert await store.token(token.digest, NOON) == renewed
    await store.revoke_token(token.digest)
    assert not await store.renew_token(token.digest, NOON + 3000, "10.0.0.2")
    await store.add_token(token)
    await store.change_password(account("Mei"), "new")
    assert not await store.renew_token(token.digest, NOON + 3000, "10.0.0.2")
    assert await store.token(token.digest, NOON) is None


async def test_expired_tokens_may_be_forgotten_but_no_others(chat: Chat) -> None:
    valid = Token(digest=b"v" * 32, account=person("mei"), expires=NOON + 1)
    await chat.store.add_token(valid)
    for number in range(20):
        await chat.store.add_token(
            Token(digest=bytes([number]) * 32, account=person("mei"), expires=NOON - 1)
        )
    assert await chat.store.token(valid.digest, NOON) == valid


async def test_last_login_address_is_stored(chat: Chat, clock: Clock) -> None:
    store, number = chat.store, itertools.count()

    async def log_in(who: str, address: str | None) -> int:
        token = Token(
            digest=next(number).to_bytes(32, "big"), account=person(who), expires=NOON * 2
        )
        await store.add_token(token, address)
        return clock()

    assert await store.last_login(person("mei"), "10.0.0.1") is None
    first = await log_in("mei", "10.0.0.1")
    await log_in("bob", None)
    assert await store.last_login(person("mei"), "10.0.0.1") == first
    assert await store.last_login(person("mei"), "10.0.0.2") is None
    assert await store.last_login(person("bob"), "10.0.0.1") is None
    clock.now += 1000
    assert await log_in("mei", "10.0.0.1") == first + 1000
    assert await store.last_login(person("mei"), "10.0.0.1") == first + 1000
    assert await store.rehash_password(account("Mei"), "the same")
    assert await store.last_login(person("mei"), "10.0.0.1") == first + 1000
    await log_in("bob", "10.0.0.1")
    assert await store.change_password(account("Mei", "the same"), "new")
    assert await store.last_login(person("mei"), "10.0.0.1") is None, "it may be a thief's"
    assert await store.last_login(person("bob"), "10.0.0.1") is not None


async def test_only_the_last_addresses_of_a_person_are_stored(chat: Chat, clock: Clock) -> None:
    addresses = [f"10.0.0.{number}" for number in range(LOGIN_ADDRESSES + 4)]
    for number, address in enumerate(addresses):
        clock.now += 1000
        token = Token(digest=bytes([number]) * 32, account=person("mei"), expires=NOON * 2)
        await chat.store.add_token(token, address)
    known = [await chat.store.last_login(person("mei"), address) for address in addresses]
    assert known[:4] == [None] * 4
    assert None not in known[4:]


async def test_only_the_last_used_tokens_of_an_account_are_valid(chat: Chat, clock: Clock) -> None:
    store, mei, bob = chat.store, person("mei"), person("bob")
    digests = [bytes([number]) * 32 for number in range(MAX_TOKENS + 3)]
    for number, digest in enumerate(digests[:MAX_TOKENS]):
        await store.add_token(Token(digest=digest, account=mei, expires=NOON * 2 + number))
    await store.add_token(Token(digest=b"b" * 31 + b"!", account=bob, expires=NOON + 10_000))
    assert await store.renew_token(digests[1], NOON * 2 + 1000, "")  # it was used
    await store.revoke_token(digests[5])  # so there is room for another
    late = [digests[MAX_TOKENS], digests[MAX_TOKENS + 1], digests[MAX_TOKENS + 2]]
    for number, digest in enumerate(late):
        await store.add_token(Token(digest=digest, account=mei, expires=NOON * 2 + 500 + number))
    valid = [digest for digest in digests if await store.token(digest, NOON) is not None]
    assert valid == [d for d in digests if d not in (digests[0], digests[2], digests[5])]
    assert await store.token(b"b" * 31 + b"!", NOON) is not None
