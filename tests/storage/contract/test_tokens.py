"""The Store's contract: session tokens, and the addresses of logins."""

from __future__ import annotations

import itertools

import pytest
import trio
from msgspec.structs import replace
from storing import NOON, Chat, Clock, account, make_token, person

from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.restriction import Restriction
from gochat.chat.store import LOGIN_ADDRESSES, LOGIN_MEMORY
from gochat.chat.token import MAX_DEVICES, MAX_PROGRAMS

pytestmark = pytest.mark.trio

MEI = person("mei")


async def test_token_is_found_until_it_expires(chat: Chat) -> None:
    token = make_token("mei")
    assert await chat.store.add_token(token) == []
    assert await chat.store.token(token.id, NOON) == token
    assert await chat.store.token(token.id, NOON + 999) == token
    assert await chat.store.token(token.id, NOON + 1000) is None
    assert await chat.store.token(b"o" * 16, NOON) is None
    assert await chat.store.token(token.digest, NOON) is None


async def test_token_is_stored_unchanged(chat: Chat) -> None:
    device = make_token(
        "mei", device="Mei's laptop 💻", address="10.0.0.1", created=NOON, seen=NOON
    )
    program = make_token(
        "mei",
        2,
        device="",
        created=NOON + 1,
        seen=NOON + 2,
        scopes=("read", "send", "rooms"),
        rooms=(LOBBY_KEY, ConversationKey("#中文")),
    )
    for token in (device, program):
        await chat.store.add_token(token)
        assert await chat.store.token(token.id, NOON) == token
    assert list(await chat.store.tokens(MEI, NOON)) == [device, program]


async def test_tokens_of_an_account_are_the_valid_ones_by_age(chat: Chat) -> None:
    store = chat.store
    third = make_token("mei", 1, created=3)
    first = make_token("mei", 2, created=1)
    second = make_token("mei", 3, created=2, expires=NOON + 500)
    of_bob = make_token("bob", 4)
    outdated = make_token("mei", 5, generation=7)
    for token in (third, first, second, of_bob, outdated):
        await store.add_token(token)
    assert list(await store.tokens(MEI, NOON)) == [first, second, third]
    assert list(await store.tokens(MEI, NOON + 500)) == [first, third]
    assert list(await store.tokens(person("bob"), NOON)) == [of_bob]
    assert list(await store.tokens(person("nobody"), NOON)) == []


async def test_revoked_token_is_gone_and_others_are_not(chat: Chat) -> None:
    store, tokens = chat.store, [make_token("mei", number) for number in (1, 2)]
    for token in tokens:
        await store.add_token(token)
    assert await store.revoke_token(MEI, tokens[0].id)
    assert not await store.revoke_token(MEI, tokens[0].id)
    assert not await store.revoke_token(MEI, b"never there")
    assert await store.token(tokens[0].id, NOON) is None
    assert list(await store.tokens(MEI, NOON)) == [tokens[1]]


async def test_token_of_another_account_is_not_revoked(chat: Chat) -> None:
    token = make_token("mei")
    await chat.store.add_token(token)
    assert not await chat.store.revoke_token(person("bob"), token.id)
    assert await chat.store.revoke_other_tokens(person("bob"), token.id) == []
    assert await chat.store.token(token.id, NOON) == token


async def test_all_other_tokens_of_an_account_are_revoked(chat: Chat) -> None:
    store, tokens = chat.store, [make_token("mei", number) for number in (1, 2, 3)]
    of_bob = make_token("bob", 4)
    for token in (*tokens, of_bob, make_token("mei", 5, scopes=("read",))):
        await store.add_token(token)
    revoked = await store.revoke_other_tokens(MEI, tokens[1].id)
    assert sorted(revoked) == [bytes([number]) * 16 for number in (1, 3, 5)]
    assert list(await store.tokens(MEI, NOON)) == [tokens[1]]
    assert await store.token(of_bob.id, NOON) == of_bob
    assert await store.revoke_other_tokens(MEI, tokens[1].id) == []


async def test_new_password_revokes_all_tokens_even_those_added_later(chat: Chat) -> None:
    """A login with the old password may write its token late."""
    mine = [make_token("mei", number) for number in range(3)]
    program = make_token("mei", 3, scopes=("read",))
    other = make_token("bob", 4)
    for token in (*mine, program, other):
        await chat.store.add_token(token)
    await chat.store.change_password(account("Mei"), "new")
    late, new = make_token("mei", 5), make_token("mei", 6, generation=1)
    for token in (late, new):
        await chat.store.add_token(token)
    for token in (*mine, program, late):
        assert await chat.store.token(token.id, NOON) is None
    assert list(await chat.store.tokens(MEI, NOON)) == [new]
    for token in (new, other):
        assert await chat.store.token(token.id, NOON) == token


async def test_token_is_renewed_only_forward_and_not_once_revoked(chat: Chat, clock: Clock) -> None:
    store, token = chat.store, make_token("mei", address="10.0.0.1", seen=NOON - 1)
    await store.add_token(token)
    clock.now = NOON + 300
    assert await store.renew_token(token.id, NOON + 2000, "10.0.0.2")
    renewed = replace(token, expires=NOON + 2000, address="10.0.0.2", seen=NOON + 300)
    assert await store.token(token.id, NOON + 1999) == renewed
    assert await store.renew_token(token.id, NOON + 10, "10.0.0.2")
    assert await store.token(token.id, NOON) == renewed
    await store.revoke_token(MEI, token.id)
    assert not await store.renew_token(token.id, NOON + 3000, "10.0.0.2")
    await store.add_token(token)
    await store.change_password(account("Mei"), "new")
    assert not await store.renew_token(token.id, NOON + 3000, "10.0.0.2")
    assert await store.token(token.id, NOON) is None


async def test_expired_tokens_may_be_forgotten_but_no_others(chat: Chat) -> None:
    valid = make_token("mei", 100, expires=NOON + 1)
    await chat.store.add_token(valid)
    for number in range(20):
        await chat.store.add_token(make_token("mei", number, expires=NOON - 1))
    assert await chat.store.token(valid.id, NOON) == valid


async def test_devices_not_seen_for_longest_make_room_for_another(chat: Chat) -> None:
    store, seen = chat.store, NOON - 10_000
    devices = [make_token("mei", n, seen=seen + n, created=n) for n in range(MAX_DEVICES)]
    of_bob, program = make_token("bob", 200), make_token("mei", 201, scopes=("read",))
    for token in (program, *devices, of_bob):
        assert await store.add_token(token) == []
    assert await store.renew_token(devices[0].id, NOON + 1000, "")  # it was used
    assert await store.add_token(make_token("mei", 100, seen=NOON)) == [devices[1].id]
    assert await store.token(devices[1].id, NOON) is None
    await store.revoke_token(MEI, devices[5].id)
    assert await store.add_token(make_token("mei", 101, seen=NOON)) == []
    assert await store.add_token(make_token("mei", 102, seen=NOON)) == [devices[2].id]
    left = {token.id for token in await store.tokens(MEI, NOON)}
    assert len(left) == MAX_DEVICES + 1
    assert {program.id, devices[0].id, devices[3].id} < left
    assert await store.token(of_bob.id, NOON) == of_bob


async def test_programs_tokens_are_refused_beyond_their_number(chat: Chat) -> None:
    store = chat.store
    programs = [make_token("mei", n, scopes=("read",)) for n in range(MAX_PROGRAMS)]
    device = make_token("mei", 100)
    for token in (device, *programs):
        assert await store.add_token(token) == []
    refused = make_token("mei", 101, scopes=("send",))
    assert await store.add_token(refused) is None
    assert await store.token(refused.id, NOON) is None
    for number in range(MAX_DEVICES):  # logging in ends none of them
        await store.add_token(make_token("mei", 110 + number, seen=NOON + number))
    assert {token.id for token in programs} < {t.id for t in await store.tokens(MEI, NOON)}
    await store.revoke_token(MEI, programs[0].id)
    assert await store.add_token(refused) == []


async def test_tokens_that_are_not_valid_take_no_room(chat: Chat) -> None:
    store = chat.store
    for n in range(MAX_PROGRAMS):
        await store.add_token(make_token("mei", n, scopes=("read",), expires=NOON - 1))
    await store.change_password(account("Mei"), "new")
    for n in range(MAX_PROGRAMS):
        await store.add_token(make_token("mei", 20 + n, scopes=("read",)))  # a late login's
    new = [make_token("mei", 40 + n, scopes=("read",), generation=1) for n in range(MAX_PROGRAMS)]
    for token in new:
        assert await store.add_token(token) == []


async def test_concurrent_tokens_never_exceed_their_number(chat: Chat) -> None:
    outcomes: list[object] = []

    async def add(number: int) -> None:
        outcomes.append(await chat.store.add_token(make_token("mei", number, scopes=("read",))))

    async with trio.open_nursery() as nursery:
        for number in range(2 * MAX_PROGRAMS):
            nursery.start_soon(add, number)
    assert outcomes.count(None) == MAX_PROGRAMS
    assert len(await chat.store.tokens(MEI, NOON)) == MAX_PROGRAMS


async def test_last_login_address_is_stored(chat: Chat, clock: Clock) -> None:
    store, number = chat.store, itertools.count()

    async def log_in(who: str, address: str | None) -> int:
        token = make_token(who, next(number), expires=NOON * 2)
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
        token = make_token("mei", number, expires=NOON * 2)
        await chat.store.add_token(token, address)
    known = [await chat.store.last_login(person("mei"), address) for address in addresses]
    assert known[:4] == [None] * 4
    assert None not in known[4:]


async def test_addresses_are_forgotten_in_time(chat: Chat, clock: Clock) -> None:
    """Also while their owner goes on logging in, from elsewhere."""
    for number, address in enumerate(("10.0.0.1", "10.0.0.2")):
        clock.now += LOGIN_MEMORY
        await chat.store.add_token(make_token("mei", number, expires=2 * clock()), address)
    assert await chat.store.administration.addresses(MEI) == [("10.0.0.2", clock())]


async def test_people_are_found_by_where_they_were_seen(chat: Chat, clock: Clock) -> None:
    """Where their valid sessions were used last, and where they have logged in by password."""
    store, bob = chat.store, person("bob")
    began = clock()

    async def seen() -> dict[NameKey, dict[str, int]]:
        people = [MEI, bob, person("nobody")]
        return await store.administration.seen_from(people, clock())

    assert await seen() == {}
    token = make_token("mei", 1, expires=began + 10_000)
    await store.add_token(replace(token, address="10.0.0.1", seen=began), "10.0.0.1")
    program = make_token("bob", 2, expires=began + 10_000)
    await store.add_token(replace(program, address="10.0.0.9", seen=began), None)
    assert await seen() == {MEI: {"10.0.0.1": began}, bob: {"10.0.0.9": began}}
    clock.now += 1000
    assert await store.renew_token(token.id, began + 20_000, "2001:db8::")
    assert (await seen())[MEI] == {"10.0.0.1": began, "2001:db8::": began + 1000}
    clock.now += 10_000
    assert bob not in await seen(), "the session has expired"
    clock.now += LOGIN_MEMORY
    assert await seen() == {}, "so has what is remembered of the login"


async def test_token_that_a_ban_has_voided_still_says_whose_it_was(chat: Chat) -> None:
    """Until the account is deleted, or has another password."""
    store, bans = chat.store, chat.store.administration
    token = make_token("mei")
    await store.add_token(token)
    assert await store.void_token(b"o" * 16, NOON) is None
    before = await store.account(MEI)
    assert before is not None
    ban = Restriction(by="Bob", role="admin", since=NOON)
    banned = replace(before, ban=ban, generation=before.generation + 1)
    assert await bans.change_account(before, banned)
    assert await store.token(token.id, NOON) is None
    assert list(await store.tokens(MEI, NOON)) == []
    assert not await store.renew_token(token.id, NOON + 9999, "10.0.0.1")
    assert await store.void_token(token.id, NOON) == token
    assert await store.void_token(token.id, NOON + 1000) is None
    deleted = replace(banned, state="deleted", generation=banned.generation + 1)
    assert await bans.change_account(banned, deleted)
    assert await store.void_token(token.id, NOON) is None
