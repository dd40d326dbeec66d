"""The Store's contract: slow mode, announcements only, and archived rooms."""

from __future__ import annotations

import pytest
from storing import Chat, Clock, draft, person

from gochat.chat.facts import INSIDE, Facts
from gochat.chat.log import OF_MESSAGES, Appended
from gochat.chat.modes import Modes
from gochat.errors import FactsChanged
from gochat.protocol.messages import EntryKind

pytestmark = pytest.mark.trio

GARDEN = "#garden"
OPEN = Facts(sender=INSIDE, is_open=True)
#: What slow mode lets pass; and what nobody does in an archived room.
ALLOWED: list[tuple[EntryKind, str]] = [
    *(("edit", "y"), ("react", "👍"), ("unreact", "👍")),
    *(("pin", ""), ("unpin", "")),
]
WRITING: list[tuple[EntryKind, str]] = [
    ("text", "x"),
    ("edit", "x"),
    ("react", "👍"),
    ("topic", "x"),
    ("pin", ""),
]


@pytest.fixture
async def garden(chat: Chat) -> Chat:
    """Mei's room with Bob and Eve, in which Bob has written the message 4."""
    await chat.do("Mei", GARDEN, "create", "public")
    await chat.do("Bob", GARDEN, "join")
    await chat.do("Eve", GARDEN, "join")
    await chat.say("Bob", GARDEN, "hello", facts=OPEN)
    return chat


async def can(chat: Chat, who: str, kind: EntryKind = "text", text: str = "x") -> bool:
    """Write an entry; return whether that was possible."""
    ref = 4 if kind in OF_MESSAGES else None
    (result,) = await chat.append(draft(who, GARDEN, text, kind=kind, ref=ref, facts=OPEN))
    assert isinstance(result, Appended | FactsChanged), result
    return isinstance(result, Appended)


async def test_slow_mode_lets_a_member_write_once_in_a_while(garden: Chat, clock: Clock) -> None:
    chat = garden
    await chat.do("Mei", GARDEN, "slow", "30")
    assert (await chat.room("Bob", GARDEN)).modes == Modes(slow=30)
    assert (await chat.seen("Bob", GARDEN)).slow == 30
    assert await can(chat, "Bob")
    clock.now += 29_999
    assert (await chat.room("Bob", GARDEN)).wait == 1
    assert not await can(chat, "Bob")
    assert (await chat.room("Eve", GARDEN)).wait == 0
    assert await can(chat, "Eve")
    for kind, text in ALLOWED:
        assert await can(chat, "Bob", kind, text)
    for _ in range(2):
        assert await can(chat, "Mei")  # an operator
    clock.now += 1
    assert await can(chat, "Bob")
    assert not await can(chat, "Bob")


async def test_leaving_and_joining_again_does_not_end_the_wait(garden: Chat) -> None:
    chat = garden
    await chat.do("Mei", GARDEN, "slow", "30")
    assert await can(chat, "Bob")
    await chat.do("Bob", GARDEN, "leave")
    await chat.do("Bob", GARDEN, "join")
    assert not await can(chat, "Bob")
    await chat.do("Mei", GARDEN, "slow", "0")
    assert await can(chat, "Bob")
    await chat.do("Mei", GARDEN, "slow", "30")
    assert await can(chat, "Bob")  # it counts from now on


async def test_slower_mode_counts_from_the_last_message(garden: Chat, clock: Clock) -> None:
    chat = garden
    await chat.do("Mei", GARDEN, "slow", "30")
    assert await can(chat, "Bob")
    clock.now += 20_000
    await chat.do("Mei", GARDEN, "slow", "10")
    assert (await chat.room("Bob", GARDEN)).wait == 0
    await chat.do("Mei", GARDEN, "slow", "60")
    assert (await chat.room("Bob", GARDEN)).wait == 40_000
    clock.now -= 30_000  # set back
    assert await can(chat, "Bob")


async def test_only_operators_write_announcements(garden: Chat) -> None:
    chat = garden
    await chat.do("Mei", GARDEN, "announcements", "on")
    assert (await chat.room("Bob", GARDEN)).modes == Modes(announcements=True)
    assert (await chat.seen("Bob", GARDEN)).announcements
    assert not await can(chat, "Bob")
    assert not await can(chat, "Bob", "edit")
    assert await can(chat, "Bob", "react", "👍")
    assert await can(chat, "Mei")
    await chat.do("Mei", GARDEN, "operator", "Bob", subject="Bob")
    assert await can(chat, "Bob", "edit")
    await chat.do("Mei", GARDEN, "announcements", "off")
    assert await can(chat, "Eve")


async def test_nobody_writes_in_an_archived_room(garden: Chat) -> None:
    chat = garden
    await chat.do("Mei", GARDEN, "archive", "on")
    assert (await chat.room("Mei", GARDEN)).modes == Modes(archived=True)
    assert (await chat.seen("Bob", GARDEN)).archived
    rooms, _ = await chat.store.rooms(person("Eve"), after="", limit=9)
    assert [(room.room, room.archived) for room in rooms] == [(GARDEN, True), ("#lobby", False)]
    for who in ("Bob", "Mei"):
        for kind, text in WRITING:
            assert not await can(chat, who, kind, text)
    await chat.do("Bob", GARDEN, "delete", ref=4)
    await chat.do("Bob", GARDEN, "leave")
    await chat.do("Bob", GARDEN, "join")
    await chat.do("Mei", GARDEN, "archive", "off")
    assert await can(chat, "Bob")


async def test_new_room_has_no_modes(garden: Chat) -> None:
    assert (await garden.room("Mei", GARDEN)).modes == Modes()
