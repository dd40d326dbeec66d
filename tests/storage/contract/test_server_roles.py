"""The Store's contract: roles at the server, and the modes of the lobby, hold in the commit."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from storing import Chat, draft, person

from gochat.chat.facts import Facts
from gochat.chat.log import Appended
from gochat.chat.modes import Modes
from gochat.chat.server_roles import ServerRole
from gochat.errors import FactsChanged

pytestmark = pytest.mark.trio

LOBBY, GARDEN = "#lobby", "#garden"
#: A Redis keeps conversations in several places: each compares the role.
ROOMS = tuple(f"#room{number}" for number in range(5))
MODERATOR = Facts(server_role="moderator")


async def set_role(chat: Chat, who: str, role: ServerRole) -> None:
    before = await chat.store.account(person(who))
    assert before is not None
    after = replace(before, role=role)
    assert await chat.store.administration.change_account(before, after)


async def can(chat: Chat, who: str, to: str, facts: Facts, **fields: Any) -> bool:
    """Write an entry; return whether its facts are so."""
    (result,) = await chat.append(draft(who, to, fields.pop("text", "x"), facts=facts, **fields))
    assert isinstance(result, Appended | FactsChanged), result
    return isinstance(result, Appended)


async def test_role_of_who_acts_is_compared_wherever_they_act(chat: Chat) -> None:
    for room in ROOMS:
        await chat.do("Mei", room, "create", "public")
    await set_role(chat, "Bob", "moderator")
    assert [await can(chat, "Bob", to, MODERATOR) for to in (LOBBY, *ROOMS)] == [True] * 6
    assert not await can(chat, "Eve", LOBBY, replace(MODERATOR, sender=("operator",)))
    await set_role(chat, "Bob", "admin")
    assert [await can(chat, "Bob", to, MODERATOR) for to in (LOBBY, *ROOMS)] == [False] * 6
    await set_role(chat, "Bob", "member")
    assert [await can(chat, "Bob", to, MODERATOR) for to in (LOBBY, *ROOMS)] == [False] * 6


async def test_role_of_who_is_acted_on_is_compared(chat: Chat) -> None:
    await set_role(chat, "Bob", "moderator")
    facts = replace(MODERATOR, acts_on=(person("Eve"), "member"))
    assert await can(chat, "Bob", LOBBY, facts)
    await set_role(chat, "Eve", "admin")
    assert not await can(chat, "Bob", LOBBY, facts)
    assert await can(chat, "Bob", LOBBY, replace(facts, acts_on=(person("Eve"), "admin")))


async def test_modes_of_the_lobby_bind_all_but_moderators(chat: Chat) -> None:
    is_open = Facts(is_open=True)
    await chat.do("Mei", LOBBY, "announcements", "on")
    assert (await chat.room("Bob", LOBBY)).modes == Modes(announcements=True)
    assert (await chat.seen("Bob", LOBBY)).announcements
    assert not await can(chat, "Bob", LOBBY, is_open)
    await set_role(chat, "Bob", "moderator")
    assert await can(chat, "Bob", LOBBY, replace(is_open, server_role="moderator"))
    await chat.do("Mei", LOBBY, "announcements", "off")
    await chat.do("Mei", LOBBY, "slow", "30")
    for _ in range(2):
        assert await can(chat, "Bob", LOBBY, replace(is_open, server_role="moderator"))
    assert await can(chat, "Eve", LOBBY, is_open)
    assert not await can(chat, "Eve", LOBBY, is_open)
    assert (await chat.room("Eve", LOBBY)).wait > 0


async def test_private_room_is_closed_to_moderators_like_to_others(chat: Chat) -> None:
    await chat.do("Mei", GARDEN, "create", "private")
    await chat.do("Mei", GARDEN, "invite", "Bob", subject="Bob")
    await chat.do("Bob", GARDEN, "join")
    await chat.do("Mei", GARDEN, "announcements", "on")
    await set_role(chat, "Bob", "admin")
    facts = Facts(is_open=True, server_role="admin")
    assert not await can(chat, "Bob", GARDEN, facts)
    await chat.do("Mei", GARDEN, "access", "public")
    assert await can(chat, "Bob", GARDEN, facts)
