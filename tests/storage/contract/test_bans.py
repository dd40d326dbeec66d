"""The Store's contract: who is banned from a room is not in it, nor joins or is invited."""

from __future__ import annotations

import pytest
from storing import Chat, Clock, draft, key, person

from gochat.chat import extras
from gochat.chat.facts import Facts
from gochat.chat.log import Appended
from gochat.errors import FactsChanged
from gochat.protocol.messages import RoomBan

pytestmark = pytest.mark.trio

GARDEN = "#garden"
JOIN = Facts(sender=("nobody", "invited"))


async def ban(chat: Chat, who: str, *, seconds: int = 0, reason: str = "") -> None:
    extra = extras.of_reason(reason, seconds)
    await chat.do("Mei", GARDEN, "ban", who, subject=who, extra=extra)


async def roles(chat: Chat) -> list[str]:
    return [(await chat.room(who, GARDEN)).standing for who in ("Mei", "Bob", "Eve")]


async def test_ban_removes_and_keeps_out_until_it_is_lifted(chat: Chat) -> None:
    await chat.do("Mei", GARDEN, "create", "public")
    await chat.do("Bob", GARDEN, "join")
    await ban(chat, "Bob", reason="spam")
    assert await roles(chat) == ["operator", "banned", "nobody"]
    assert await chat.members(GARDEN) == ["Mei*"]
    bob = await chat.room("Bob", GARDEN)
    assert bob.ban == RoomBan(name="Bob", by="Mei", ts=bob.ban.ts if bob.ban else 0, reason="spam")
    assert await chat.refused("Bob", GARDEN, "join", facts=JOIN) == "busy"
    assert GARDEN not in await chat.addresses("Bob")
    assert await chat.store.conversation(person("Bob"), key(GARDEN, "Bob")) is None
    await chat.do("Mei", GARDEN, "unban", "Bob", subject="Bob")
    assert await roles(chat) == ["operator", "nobody", "nobody"]
    await chat.do("Bob", GARDEN, "join", facts=JOIN)


async def test_ban_withdraws_an_invitation_and_prevents_another(chat: Chat) -> None:
    await chat.do("Mei", GARDEN, "create", "private")
    await chat.do("Mei", GARDEN, "invite", "Bob", subject="Bob")
    await ban(chat, "Bob")
    assert await chat.store.invitations(person("Bob")) == []
    assert (await chat.room("Bob", GARDEN)).is_hidden
    rooms, _ = await chat.store.rooms(person("Bob"), after="", limit=10)
    assert [room.room for room in rooms] == ["#lobby"]
    facts = Facts(subject=("nobody",))
    assert await chat.refused("Mei", GARDEN, "invite", "Bob", subject="Bob", facts=facts) == "busy"


async def test_ban_ends_by_itself(chat: Chat, clock: Clock) -> None:
    await chat.do("Mei", GARDEN, "create", "public")
    await ban(chat, "Bob", seconds=60)
    bob = await chat.room("Bob", GARDEN)
    assert bob.ban is not None
    assert bob.ban.until - bob.ban.ts == 60_000
    clock.now += 59_999
    assert await chat.refused("Bob", GARDEN, "join", facts=JOIN) == "busy"
    clock.now += 1
    assert await roles(chat) == ["operator", "nobody", "nobody"]
    assert await chat.store.bans(key(GARDEN, "Mei"), after="", limit=9) == ([], False)
    (lifted,) = await chat.append(
        draft("Mei", GARDEN, "Bob", kind="unban", subject="Bob", facts=Facts(subject=("banned",)))
    )
    assert isinstance(lifted, FactsChanged)
    await chat.do("Bob", GARDEN, "join", facts=JOIN)


async def test_ban_replaces_an_earlier_one_and_outlasts_the_members(chat: Chat) -> None:
    await chat.do("Mei", GARDEN, "create", "private")
    await ban(chat, "Bob", seconds=60)
    await ban(chat, "Bob", reason="for good")
    await chat.do("Mei", GARDEN, "leave")
    bob = await chat.room("Bob", GARDEN)
    assert bob.ban is not None
    assert (bob.ban.until, bob.ban.reason) == (0, "for good")


async def test_bans_are_listed_in_pages(chat: Chat) -> None:
    await chat.register("Straße")
    await chat.do("Mei", GARDEN, "create", "public")
    for who in ("Straße", "Eve", "Bob"):
        await ban(chat, who)
    room = key(GARDEN, "Mei")
    page, more = await chat.store.bans(room, after="", limit=2)
    assert ([one.name for one in page], more) == (["Bob", "Eve"], True)
    page, more = await chat.store.bans(room, after=person("Eve"), limit=2)
    assert ([one.name for one in page], more) == (["Straße"], False)
    assert await chat.store.bans(key("#nowhere", "Mei"), after="", limit=2) == ([], False)


async def test_banned_person_is_delivered_the_ban_with_its_effects(chat: Chat) -> None:
    await chat.do("Mei", GARDEN, "create", "public")
    extra = extras.of_reason("spam", 60)
    (done,) = await chat.append(
        draft("Mei", GARDEN, "Bob", kind="ban", subject="Bob", extra=extra, cid="b")
    )
    assert isinstance(done, Appended)
    assert (done.entry.reason, done.entry.seconds) == ("spam", 60)
    assert (await chat.entries("Mei", GARDEN))[-1] == done.entry
