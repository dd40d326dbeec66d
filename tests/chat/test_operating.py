"""Who acts as an operator by their role at the server, where, and on whom."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from storing import Clock
from talking import World

from gochat.chat import names
from gochat.chat.server_roles import ServerRole
from gochat.errors import ChatError
from gochat.protocol.messages import (
    Ban,
    CreateRoom,
    Delete,
    Invite,
    Join,
    Kick,
    Send,
    SetAnnouncements,
    SetOperator,
    SetSlowMode,
    SetTopic,
)

pytestmark = pytest.mark.trio

GARDEN = "#garden"


async def garden(world: World, *members: str, private: bool = False) -> None:
    """Mei's room."""
    await world.ask("Mei", CreateRoom(room=GARDEN, private=private))
    for name in members:
        if private:
            await world.ask("Mei", Invite(room=GARDEN, name=name))
        await world.ask(name, Join(room=GARDEN))


async def set_role(world: World, name: str, role: ServerRole) -> None:
    account = await world.store.account(names.fold(name))
    assert account is not None
    await world.store.administration.change_account(account, replace(account, role=role))


async def refused(world: World, who: str, request: object) -> object:
    """Make a request that is refused; return by which rule."""
    with pytest.raises(ChatError) as caught:
        await world.draft(who, request)
    assert caught.value.code == "not_permitted"
    return caught.value.details["rule"]


async def test_moderator_deletes_in_the_lobby_what_others_wrote(world: World) -> None:
    [said] = await world.talk("Eve", "#lobby", "spam")
    deletion = Delete(to="#lobby", seq=said.seq, reason="spam")
    assert await refused(world, "Bob", deletion) == "author_or_operator"
    await set_role(world, "Bob", "moderator")
    [entry] = await world.ask("Bob", deletion)
    assert (entry.kind, entry.ref, entry.reason) == ("delete", said.seq, "spam")


@pytest.mark.parametrize("role", ["moderator", "admin"])
async def test_nobody_acts_on_an_equal_or_higher_role(world: World, role: ServerRole) -> None:
    await garden(world, "Bob", "Eve")
    [said] = await world.talk("Eve", GARDEN, "hello")
    await set_role(world, "Bob", "moderator")
    await set_role(world, "Eve", role)
    for request in (
        Delete(to=GARDEN, seq=said.seq),
        Kick(room=GARDEN, name="Eve"),
        Ban(room=GARDEN, name="Eve"),
    ):
        assert await refused(world, "Bob", request) == "rank"


async def test_operator_does_not_remove_moderators_from_a_public_room(world: World) -> None:
    await garden(world, "Bob")
    await set_role(world, "Bob", "moderator")
    assert await refused(world, "Mei", Kick(room=GARDEN, name="Bob")) == "rank"
    assert await refused(world, "Mei", Ban(room=GARDEN, name="Bob")) == "rank"
    await set_role(world, "Mei", "moderator")
    await world.ask("Mei", Kick(room=GARDEN, name="Bob"))


async def test_private_room_is_its_operators(world: World) -> None:
    await garden(world, "Bob", private=True)
    await set_role(world, "Bob", "admin")
    assert await refused(world, "Bob", Kick(room=GARDEN, name="Mei")) == "operator"
    assert await refused(world, "Bob", SetTopic(room=GARDEN, topic="x")) == "operator"
    await world.ask("Mei", Ban(room=GARDEN, name="Bob"))


async def test_room_whose_last_operator_is_removed_gets_another_one(
    world: World, clock: Clock
) -> None:
    await garden(world, "Eve")
    clock.now += 1
    await world.ask("Bob", Join(room=GARDEN))
    await set_role(world, "Bob", "moderator")
    entries = await world.ask("Bob", Ban(room=GARDEN, name="Mei", reason="spam"))
    assert [(one.kind, one.text) for one in entries] == [("operator", "Eve"), ("ban", "Mei")]
    assert await world.members(GARDEN) == ["Bob", "Eve*"]
    entries = await world.ask("Bob", Kick(room=GARDEN, name="Eve"))
    assert [(one.kind, one.text) for one in entries] == [("operator", "Bob"), ("kick", "Eve")]
    assert await world.members(GARDEN) == ["Bob*"]


async def test_removal_holds_only_while_another_operator_remains(world: World) -> None:
    """Between the decision and the commit that one may have left."""
    await garden(world, "Eve", "Bob")
    await world.ask("Mei", SetOperator(room=GARDEN, name="Eve"))
    await set_role(world, "Bob", "moderator")
    [removal] = await world.draft("Bob", Kick(room=GARDEN, name="Mei"))
    assert removal.facts is not None
    assert removal.facts.operator == names.fold("Eve")
    await world.ask("Mei", SetOperator(room=GARDEN, name="Eve", on=False))
    (outcome,) = await world.append(removal)
    assert isinstance(outcome, ChatError)


async def test_moderator_sets_topic_and_modes_of_the_lobby_and_is_exempt(world: World) -> None:
    await set_role(world, "Bob", "moderator")
    for request in (
        SetTopic(room="#lobby", topic="news"),
        SetSlowMode(room="#lobby", seconds=60),
        SetAnnouncements(room="#lobby", on=True),
    ):
        assert await refused(world, "Eve", request) == "operator"
        await world.ask("Bob", request)
    lobby = await world.room("Eve", "#lobby")
    assert (lobby.topic, lobby.modes.slow, lobby.modes.announcements) == ("news", 60, True)
    with pytest.raises(ChatError, match="only operators write"):
        await world.draft("Eve", Send(to="#lobby", text="x"), asks=True)
    for _ in range(2):
        [draft] = await world.draft("Bob", Send(to="#lobby", text="x"), asks=True)
        await world.append(draft)
