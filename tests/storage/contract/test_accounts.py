"""The Store's contract: accounts."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from msgspec.structs import replace
from storing import NOON, Chat, account, make_token, person

from gochat.chat.account import Account
from gochat.chat.store import Store
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
    token = make_token("mei")
    await chat.store.add_token(token)
    assert await chat.store.rehash_password(account("Mei"), "stronger")
    stronger = replace(account("Mei"), password_hash="stronger")
    assert await chat.store.account(person("mei")) == stronger
    assert await chat.store.token(token.id, NOON) == token
    assert not await chat.store.rehash_password(account("Mei"), "late")
    assert await chat.store.change_password(account("Mei"), "new"), "the password was the same"
    assert not await chat.store.rehash_password(stronger, "late")
    mei = await chat.store.account(person("mei"))
    assert mei == replace(account("Mei"), password_hash="new", generation=1)
