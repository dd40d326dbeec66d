"""The Store's contract, and the rule above it: a room is handed over."""

from __future__ import annotations

import pytest
from msgspec import structs
from storing import Chat, key, person

from gochat.chat.handing_over import hand_over
from gochat.errors import ChatError

pytestmark = pytest.mark.trio

DEN = "#den"


async def den(chat: Chat, access: str = "private") -> None:
    """Mei's room, with Bob and a secret in it."""
    await chat.do("Mei", DEN, "create", access)
    await chat.do("Mei", DEN, "invite", "Bob", subject="Bob")
    await chat.do("Bob", DEN, "join")
    await chat.say("Mei", DEN, "a secret")


async def test_room_that_everybody_has_left_gets_an_operator(chat: Chat) -> None:
    await den(chat)
    for who in ("Bob", "Mei"):
        await chat.do(who, DEN, "leave")
    assert await hand_over(chat.store, DEN, "@eve")
    assert await chat.members(DEN) == ["Eve*"]
    page = await chat.page("Eve", DEN)
    assert [entry.kind for entry in page.entries] == ["hand_over"]
    assert page.floor == page.head - 1
    assert DEN in await chat.addresses("Eve")
    assert not await hand_over(chat.store, DEN, "Eve")
    await chat.do("Eve", DEN, "invite", "Bob", subject="Bob")
    await chat.do("Bob", DEN, "join")
    assert await chat.find("Bob", "secret") == []


async def test_who_gets_into_a_private_room_reads_nothing_from_before(chat: Chat) -> None:
    """Nor does who joins it once it is public: else it would be a way to read any room."""
    await den(chat)
    await hand_over(chat.store, DEN, "Eve")
    assert await chat.members(DEN) == ["Bob", "Eve*", "Mei*"]
    assert await chat.find("Eve", "secret") == []
    await chat.do("Eve", DEN, "access", "public")
    await chat.register("Zoe")
    await chat.do("Zoe", DEN, "join")
    assert await chat.find("Zoe", "secret") == []
    assert await chat.find("Bob", "secret") == ["a secret"]


async def test_member_becomes_an_operator_and_reads_on(chat: Chat) -> None:
    await den(chat)
    await hand_over(chat.store, DEN, "Bob")
    assert await chat.members(DEN) == ["Bob*", "Mei*"]
    assert await chat.find("Bob", "secret") == ["a secret"]
    room = await chat.room("Bob", DEN)
    await chat.do("Mei", DEN, "invite", "Eve", subject="Eve")
    await chat.do("Eve", DEN, "join")
    assert await chat.find("Eve", "secret") == ["a secret"]
    assert room.members == 2


async def test_public_room_is_read_as_by_who_joins(chat: Chat) -> None:
    await den(chat, "public")
    await hand_over(chat.store, DEN, "Eve")
    assert await chat.find("Eve", "secret") == ["a secret"]


async def test_invitation_and_ban_end(chat: Chat) -> None:
    await den(chat)
    await chat.do("Mei", DEN, "ban", "Eve", subject="Eve")
    await hand_over(chat.store, DEN, "Eve")
    assert (await chat.room("Eve", DEN)).role == "operator"
    assert await chat.store.bans(key(DEN, "Mei"), after="", limit=9) == ([], False)
    await chat.register("Zoe")
    await chat.do("Mei", DEN, "invite", "Zoe", subject="Zoe")
    await hand_over(chat.store, DEN, "Zoe")
    assert await chat.store.invitations(person("Zoe")) == []
    assert await chat.members(DEN) == ["Bob", "Eve*", "Mei*", "Zoe*"]


async def test_what_is_wrong_is_refused(chat: Chat) -> None:
    await den(chat)
    account = await chat.store.account(person("Bob"))
    assert account is not None
    await chat.store.administration.change_account(
        account, structs.replace(account, state="disabled")
    )
    refused = []
    for room, name in ((DEN, "x"), ("#x", "Eve"), ("#lobby", "Eve"), ("@Bob", "Eve"), (DEN, "Bob")):
        with pytest.raises(ChatError) as caught:
            await hand_over(chat.store, room, name)
        refused.append(str(caught.value.code))
    assert refused == [
        "unknown_person",
        "unknown_conversation",
        "not_permitted",
        "unknown_conversation",
        "bad_request",
    ]
