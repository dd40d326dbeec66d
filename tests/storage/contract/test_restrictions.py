"""The Store's contract: a ban and a mute of an account, and what a mute keeps out of the log."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace
from storing import NOON, Chat, Clock, draft, person

from gochat.chat.account import Account
from gochat.chat.facts import Facts
from gochat.chat.log import OF_MESSAGES, Appended
from gochat.chat.restriction import Restriction
from gochat.errors import FactsChanged
from gochat.protocol.messages import EntryKind

pytestmark = pytest.mark.trio

LOBBY, GARDEN, DEN = "#lobby", "#garden", "#den"
OPEN = Facts(is_open=True)
FOREVER = Restriction(by="Mei", role="moderator", since=NOON, reason="spam")
WRITTEN: tuple[tuple[EntryKind, str], ...] = (
    *(("text", "x"), ("edit", "x"), ("react", "👍"), ("pin", "")),
)


async def change(chat: Chat, who: str, **fields: object) -> Account:
    before = await chat.store.account(person(who))
    assert before is not None
    after = replace(before, **fields)
    assert await chat.store.administration.change_account(before, after)
    assert await chat.store.account(person(who)) == after
    return after


async def can(
    chat: Chat, who: str, to: str = LOBBY, kind: EntryKind = "text", text: str = "x"
) -> bool:
    """Write an entry; return whether that was possible."""
    ref = 1 if kind in OF_MESSAGES else None
    (result,) = await chat.append(draft(who, to, text, kind=kind, ref=ref, facts=OPEN))
    assert isinstance(result, Appended | FactsChanged), result
    return isinstance(result, Appended)


async def test_who_is_muted_writes_nothing_in_public_until_it_ends(
    chat: Chat, clock: Clock
) -> None:
    rooms = [f"#room{number}" for number in range(5)]  # in several partitions of a Redis
    for room in rooms:
        await chat.do("Mei", room, "create", "public")
    await chat.say("Bob", LOBBY, "hello", facts=OPEN)
    until = clock.now + 1000
    await change(chat, "Bob", mute=replace(FOREVER, until=until))
    assert await chat.store.mute(person("Bob")) == replace(FOREVER, until=until)
    assert [await can(chat, "Bob", to) for to in (LOBBY, *rooms)] == [False] * 6
    assert [await can(chat, "Bob", LOBBY, *one) for one in WRITTEN] == [False] * len(WRITTEN)
    assert not await can(chat, "Bob", rooms[0], "topic")
    assert await can(chat, "Eve")
    clock.now = until - 1
    assert not await can(chat, "Bob")
    clock.now = until
    assert await chat.store.mute(person("Bob")) is None
    assert [await can(chat, "Bob", to) for to in (LOBBY, *rooms)] == [True] * 6


async def test_mute_until_it_is_lifted(chat: Chat, clock: Clock) -> None:
    await change(chat, "Bob", mute=FOREVER)
    clock.now += 400 * 24 * 3600 * 1000
    assert not await can(chat, "Bob")
    await change(chat, "Bob", mute=None)
    assert await can(chat, "Bob")


async def test_who_is_muted_reads_takes_back_and_writes_in_private(chat: Chat) -> None:
    await chat.say("Bob", LOBBY, "hello", facts=OPEN)
    await chat.do("Bob", LOBBY, "react", "👍", ref=1, facts=OPEN)
    await chat.do("Mei", DEN, "create", "private")
    await chat.do("Mei", DEN, "invite", "Bob", subject="Bob")
    await chat.do("Bob", DEN, "join")
    await change(chat, "Bob", mute=FOREVER)
    assert await can(chat, "Bob", "@Mei")
    assert await can(chat, "Bob", DEN)
    assert await can(chat, "Bob", LOBBY, "unreact", "👍")
    assert await can(chat, "Bob", LOBBY, "delete", "")
    await chat.do("Mei", DEN, "access", "public")
    assert not await can(chat, "Bob", DEN)


async def test_ban_and_mute_are_changed_only_from_what_they_were(chat: Chat) -> None:
    banned = await change(chat, "Bob", ban=FOREVER, generation=1)
    store = chat.store.administration
    for stale in (replace(banned, ban=None), replace(banned, mute=FOREVER)):
        assert not await store.change_account(stale, replace(stale, bot=True))
    await change(chat, "Bob", ban=None)


async def test_who_changes_an_account_still_has_their_role(chat: Chat) -> None:
    await change(chat, "Mei", role="moderator")
    bob = await chat.store.account(person("Bob"))
    assert bob is not None
    store, muted = chat.store.administration, replace(bob, mute=FOREVER)
    for role in ("admin", "member"):
        assert not await store.change_account(bob, muted, (person("Mei"), role))
    assert await store.change_account(bob, muted, (person("Mei"), "moderator"))
    await change(chat, "Mei", role="member")
    assert not await store.change_account(muted, bob, (person("Mei"), "moderator"))


async def test_restricted_accounts_are_listed_by_key(chat: Chat) -> None:
    administration = chat.store.administration
    assert await administration.restricted(after=person("a"), limit=9) == ([], False)
    bob = await change(chat, "Bob", ban=FOREVER)
    mei = await change(chat, "Mei", mute=FOREVER)
    assert await administration.restricted(after=person("a"), limit=1) == ([bob], True)
    assert await administration.restricted(after=bob.key, limit=9) == ([mei], False)
    await change(chat, "Bob", ban=None)
    assert await administration.restricted(after=person("a"), limit=9) == ([mei], False)


async def test_of_mutes_and_liftings_at_once_the_last_one_holds_everywhere(chat: Chat) -> None:
    rooms = [LOBBY, *(f"#room{number}" for number in range(5))]
    for room in rooms[1:]:
        await chat.do("Mei", room, "create", "public")

    async def toggle(number: int) -> None:
        before = await chat.store.account(person("Bob"))
        assert before is not None
        mute = None if before.mute else replace(FOREVER, since=NOON + number)
        await chat.store.administration.change_account(before, replace(before, mute=mute))

    for _ in range(3):
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(toggle, number)
        is_muted = await chat.store.mute(person("Bob")) is not None
        assert [await can(chat, "Bob", room) for room in rooms] == [not is_muted] * 6


async def test_who_is_muted_gives_no_reasons_in_public(chat: Chat, clock: Clock) -> None:
    """What they do without one goes on."""
    for room, access in ((GARDEN, "public"), (DEN, "private")):
        await chat.do("Mei", room, "create", access)

    async def kick(room: str, *, is_audible: bool) -> bool:
        await chat.do("Mei", room, "invite", "Bob", subject="Bob")
        await chat.do("Bob", room, "join")
        facts = Facts(subject=("member",), is_audible=is_audible)
        (result,) = await chat.append(
            draft("Mei", room, "Bob", kind="kick", subject="Bob", facts=facts)
        )
        return isinstance(result, Appended)

    assert await kick(GARDEN, is_audible=True)
    await change(chat, "Mei", mute=replace(FOREVER, until=clock.now + 1000))
    assert await kick(GARDEN, is_audible=False)
    assert await kick(DEN, is_audible=True)
    assert not await kick(GARDEN, is_audible=True)
    clock.now += 1000
    await chat.do("Bob", GARDEN, "leave")
    assert await kick(GARDEN, is_audible=True)
