"""Who may do what to a room."""

from __future__ import annotations

import pytest
from msgspec import structs
from storing import Clock
from talking import World

from gochat.chat.rooms import MAX_TOPIC, RoomDrafts
from gochat.protocol.messages import (
    CreateRoom,
    Invite,
    Join,
    Kick,
    Leave,
    Message,
    SetAccess,
    SetHistory,
    SetOperator,
    SetTopic,
)

pytestmark = pytest.mark.trio

GARDEN = "#garden"


def said(entry: Message) -> tuple[str, str]:
    return entry.kind, entry.text


async def garden(world: World, *members: str, private: bool = False) -> None:
    """Mei's room."""
    await world.ask("Mei", CreateRoom(room=GARDEN, private=private))
    for name in members:
        if private:
            await world.ask("Mei", Invite(room=GARDEN, name=name))
        await world.ask(name, Join(room=GARDEN))


async def test_reserved_rooms_and_lookalikes_are_refused(world: World) -> None:
    world.rooms = RoomDrafts(world.store, world.directory, reserved_names=("admin", "Here"))
    for room in ("#admin", "#ADMlN", "#admın", "#here", "#HERE"):
        assert await world.is_refused("Mei", CreateRoom(room=room)) == ("room_exists", "room")
    await world.ask("Mei", CreateRoom(room="#administration"))


# -- creating -------------------------------------------------------------------------------------


async def test_creator_of_a_room_is_its_operator(world: World) -> None:
    [entry] = await world.ask("Mei", CreateRoom(room="#Garden", cid="c1"))
    assert (entry.kind, entry.to, entry.text, entry.cid) == ("create", "#Garden", "public", "c1")
    [entry] = await world.ask("Bob", CreateRoom(room="#den", private=True))
    assert said(entry) == ("create", "private")
    assert await world.members("#den") == ["Bob*"]


@pytest.mark.parametrize(
    ("room", "code"),
    [
        ("#Garden", "room_exists"),
        ("#GARDEN", "room_exists"),
        ("#ｇａｒｄｅｎ", "room_exists"),
        ("#lobby", "room_exists"),
        ("#Lobby", "room_exists"),
        ("garden", "bad_name"),
        ("@bob", "bad_name"),
        ("#", "bad_name"),
        ("", "bad_name"),
        ("##a", "bad_name"),
        ("#a b", "bad_name"),
        ("#a,b", "bad_name"),
        ("#gаrden", "bad_name"),  # one letter is Cyrillic
        ("#" + "x" * 33, "bad_name"),
    ],
)
async def test_room_name_is_unique(world: World, room: str, code: str) -> None:
    await world.ask("Mei", CreateRoom(room=GARDEN))
    for who in ("Mei", "Bob"):
        assert await world.is_refused(who, CreateRoom(room=room)) == (code, "room")


async def test_topic_is_bounded(world: World) -> None:
    too_long = "x" * (MAX_TOPIC + 1)
    create = CreateRoom(room=GARDEN, topic=too_long)
    assert await world.is_refused("Mei", create) == ("text_too_long", "topic")
    await garden(world)
    await world.ask("Mei", SetTopic(room=GARDEN, topic=too_long[1:]))
    change = SetTopic(room=GARDEN, topic=too_long)
    assert await world.is_refused("Mei", change) == ("text_too_long", "topic")


# -- which room -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room", "code"),
    [
        ("#lobby", "not_permitted"),
        ("#nowhere", "unknown_conversation"),
        ("@bob", "unknown_conversation"),
        ("@mei", "unknown_conversation"),
        ("garden", "unknown_conversation"),
        ("", "unknown_conversation"),
        ("#a,b", "unknown_conversation"),
    ],
)
async def test_lobby_and_other_conversations_cannot_be_changed(
    world: World, room: str, code: str
) -> None:
    await garden(world)
    await world.talk("Mei", "@bob", "hi")
    for request in (
        Join(room=room),
        Leave(room=room),
        Invite(room=room, name="bob"),
        Kick(room=room, name="bob"),
        SetTopic(room=room, topic="x"),
        SetOperator(room=room, name="bob"),
        SetAccess(room=room, private=True),
        SetHistory(room=room, history="hidden"),
    ):
        assert await world.is_refused("Mei", request) == (code, "room")


async def test_stranger_changes_nothing_in_a_room(world: World) -> None:
    await garden(world, "Bob")
    await world.ask("Mei", Invite(room=GARDEN, name="Eve"))
    for request in (
        Leave(room=GARDEN),
        Invite(room=GARDEN, name="Eve"),
        Kick(room=GARDEN, name="Bob"),
        SetTopic(room=GARDEN, topic="x"),
        SetOperator(room=GARDEN, name="Bob"),
        SetAccess(room=GARDEN, private=True),
        SetHistory(room=GARDEN, history="hidden"),
    ):
        assert await world.is_refused("Eve", request) == ("not_a_member", "room")


async def test_members_without_the_operator_role_only_invite_to_a_public_room(world: World) -> None:
    await garden(world, "Bob")
    for request in (
        Kick(room=GARDEN, name="Mei"),
        SetTopic(room=GARDEN, topic="x"),
        SetOperator(room=GARDEN, name="Bob"),
        SetOperator(room=GARDEN, name="Mei", on=False),
        SetAccess(room=GARDEN, private=True),
        SetHistory(room=GARDEN, history="hidden"),
    ):
        assert await world.is_refused("Bob", request) == ("not_permitted", "room")
    await world.ask("Bob", Invite(room=GARDEN, name="Eve"))
    await world.ask("Mei", SetAccess(room=GARDEN, private=True))
    invite = Invite(room=GARDEN, name="Eve")
    assert await world.is_refused("Bob", invite) == ("not_permitted", "room")


# -- joining, inviting ----------------------------------------------------------------------------


async def test_public_room_is_open_and_joined_once(world: World) -> None:
    await garden(world)
    [entry] = await world.ask("Bob", Join(room="#GARDEN"))
    assert (said(entry), entry.to) == (("join", ""), GARDEN)
    assert await world.ask("Bob", Join(room=GARDEN)) == []
    assert await world.ask("Mei", Join(room=GARDEN)) == []


async def test_private_room_is_joined_by_invitation_once(world: World) -> None:
    await garden(world, private=True)
    assert await world.is_refused("Bob", Join(room=GARDEN)) == ("unknown_conversation", "room")
    [entry] = await world.ask("Mei", Invite(room=GARDEN, name="@BOB"))
    assert said(entry) == ("invite", "Bob")
    await world.ask("Bob", Join(room=GARDEN))
    await world.ask("Bob", Leave(room=GARDEN))
    assert await world.is_refused("Bob", Join(room=GARDEN)) == ("unknown_conversation", "room")


async def test_invitation_can_be_withdrawn(world: World) -> None:
    await garden(world, private=True)
    await world.ask("Mei", Invite(room=GARDEN, name="Bob"))
    [entry] = await world.ask("Mei", Kick(room=GARDEN, name="Bob"))
    assert said(entry) == ("kick", "Bob")
    assert await world.is_refused("Bob", Join(room=GARDEN)) == ("unknown_conversation", "room")
    assert await world.is_refused("Mei", Kick(room=GARDEN, name="Bob")) == ("not_a_member", "name")


async def test_members_cannot_be_invited(world: World) -> None:
    await garden(world, "Bob")
    for name in ("Bob", "Mei"):
        request = Invite(room=GARDEN, name=name)
        assert await world.is_refused("Mei", request) == ("bad_request", "name")


@pytest.mark.parametrize("name", ["nobody", "", "@", "no name", "bob,eve", "#garden", "\x1b[31m"])
async def test_unknown_person_cannot_be_invited_removed_or_promoted(
    world: World, name: str
) -> None:
    await garden(world)
    for request in (
        Invite(room=GARDEN, name=name),
        Kick(room=GARDEN, name=name),
        SetOperator(room=GARDEN, name=name),
    ):
        assert await world.is_refused("Mei", request) == ("unknown_person", "name")


async def test_what_is_so_already_is_not_appended(world: World) -> None:
    await garden(world, "Bob")
    changes = [
        SetTopic(room=GARDEN, topic="Roses"),
        SetOperator(room=GARDEN, name="Bob"),
        Invite(room=GARDEN, name="Eve"),
        SetAccess(room=GARDEN, private=True),
        SetHistory(room=GARDEN, history="hidden"),
        SetOperator(room=GARDEN, name="Bob", on=False),
        SetAccess(room=GARDEN, private=False, history="hidden"),
        SetTopic(room=GARDEN, topic=""),
    ]
    for change in changes:
        assert len(await world.ask("Mei", change)) == 1, change
        again = structs.replace(change, history=None) if isinstance(change, SetAccess) else change
        assert await world.ask("Mei", again) == [], change


# -- operators ------------------------------------------------------------------------------------


async def test_operators_promote_and_demote_others(world: World) -> None:
    await garden(world, "Bob")
    [entry] = await world.ask("Mei", SetOperator(room=GARDEN, name="bob"))
    assert said(entry) == ("operator", "Bob")
    [entry] = await world.ask("Bob", SetOperator(room=GARDEN, name="mei", on=False))
    assert said(entry) == ("member", "Mei")
    assert await world.members(GARDEN) == ["Bob*", "Mei"]


async def test_only_members_become_operators(world: World) -> None:
    await garden(world)
    await world.ask("Mei", Invite(room=GARDEN, name="Bob"))
    for name in ("Bob", "Eve"):
        request = SetOperator(room=GARDEN, name=name)
        assert await world.is_refused("Mei", request) == ("not_a_member", "name")


async def test_last_operator_cannot_be_demoted(world: World) -> None:
    await garden(world, "Bob")
    step_down = SetOperator(room=GARDEN, name="Mei", on=False)
    assert await world.is_refused("Mei", step_down) == ("bad_request", "name")
    await world.ask("Bob", Leave(room=GARDEN))
    assert await world.is_refused("Mei", step_down) == ("bad_request", "name")
    await world.ask("Bob", Join(room=GARDEN))
    await world.ask("Mei", SetOperator(room=GARDEN, name="Bob"), step_down)
    assert await world.members(GARDEN) == ["Bob*", "Mei"]


async def test_operators_remove_others_but_not_themselves(world: World) -> None:
    await garden(world, "Bob", "Eve")
    await world.ask("Mei", SetOperator(room=GARDEN, name="Bob"))
    assert await world.is_refused("Mei", Kick(room=GARDEN, name="mei")) == ("bad_request", "name")
    [entry] = await world.ask("Mei", Kick(room=GARDEN, name="EVE"))
    assert said(entry) == ("kick", "Eve")
    await world.ask("Bob", Kick(room=GARDEN, name="Mei"))
    assert await world.members(GARDEN) == ["Bob*"]
    assert await world.is_refused("Bob", Kick(room=GARDEN, name="Eve")) == ("not_a_member", "name")


async def test_access_can_be_changed_both_ways(world: World) -> None:
    await garden(world)
    [entry] = await world.ask("Mei", SetAccess(room=GARDEN, private=True))
    assert said(entry) == ("access", "private")
    assert await world.is_refused("Bob", Join(room=GARDEN)) == ("unknown_conversation", "room")
    [entry] = await world.ask("Mei", SetAccess(room=GARDEN, private=False, history="shown"))
    assert said(entry) == ("access", "public")
    await world.ask("Bob", Join(room=GARDEN))


async def test_history_of_a_private_room_can_be_hidden_and_shown(world: World) -> None:
    await garden(world)
    await world.ask("Mei", SetAccess(room=GARDEN, private=True))
    for setting in ("hidden", "shown", "hidden"):
        [entry] = await world.ask("Mei", SetHistory(room=GARDEN, history=setting))
        assert said(entry) == ("history", setting)


async def test_history_of_a_public_room_is_shown(world: World) -> None:
    await garden(world)
    for setting in ("hidden", "shown"):
        request = SetHistory(room=GARDEN, history=setting)
        assert await world.is_refused("Mei", request) == ("bad_request", "room")


async def test_going_public_requires_the_history(world: World) -> None:
    await garden(world)
    await world.ask("Mei", SetAccess(room=GARDEN, private=True))
    public = SetAccess(room=GARDEN, private=False)
    assert await world.is_refused("Mei", public) == ("bad_request", "history")
    [first, entry] = await world.ask("Mei", structs.replace(public, history="hidden"))
    assert (said(first), said(entry)) == (("history", "hidden"), ("access", "public"))


async def test_going_public_shows_no_entries_from_while_it_was_hidden(
    world: World,
) -> None:
    await garden(world)
    await world.ask("Mei", SetAccess(room=GARDEN, private=True))
    await world.ask("Mei", SetHistory(room=GARDEN, history="hidden"))
    public = SetAccess(room=GARDEN, private=False, history="shown")
    assert await world.is_refused("Mei", public) == ("bad_request", "history")
    [entry] = await world.ask("Mei", structs.replace(public, history="hidden"))
    assert said(entry) == ("access", "public")


@pytest.mark.parametrize("private", [True, False])
async def test_history_is_accepted_only_when_going_public(world: World, private: bool) -> None:
    await garden(world)
    request = SetAccess(room=GARDEN, private=private, history="shown")
    assert await world.is_refused("Mei", request) == ("bad_request", "history")
    await world.ask("Mei", SetAccess(room=GARDEN, private=private))


# -- leaving --------------------------------------------------------------------------------------


async def test_longest_member_inherits_when_the_last_operator_leaves(
    world: World, clock: Clock
) -> None:
    await garden(world)
    for name in ("Eve", "Bob"):
        clock.now += 1
        await world.ask(name, Join(room=GARDEN))
    entries = await world.ask("Mei", Leave(room=GARDEN, cid="bye"))
    assert [said(entry) for entry in entries] == [("operator", "Eve"), ("leave", "")]
    assert [entry.from_ for entry in entries] == ["Mei", "Mei"]
    assert entries[-1].cid == "bye", "the last entry is the one that was asked for"
    assert await world.members(GARDEN) == ["Bob", "Eve*"]


async def test_returning_member_is_not_the_longest_member(world: World, clock: Clock) -> None:
    await garden(world)
    for name, request in (
        ("Eve", Join(room=GARDEN)),
        ("Bob", Join(room=GARDEN)),
        ("Eve", Leave(room=GARDEN)),
        ("Eve", Join(room=GARDEN)),
        ("Mei", Leave(room=GARDEN)),
    ):
        clock.now += 1
        await world.ask(name, request)
    assert await world.members(GARDEN) == ["Bob*", "Eve"]


async def test_nobody_inherits_while_another_operator_remains(world: World) -> None:
    await garden(world, "Bob", "Eve")
    await world.ask("Mei", SetOperator(room=GARDEN, name="Bob"))
    assert len(await world.ask("Mei", Leave(room=GARDEN))) == 1
    assert await world.members(GARDEN) == ["Bob*", "Eve"]


async def test_leaving_member_hands_nothing_over(world: World) -> None:
    await garden(world, "Bob")
    assert len(await world.ask("Bob", Leave(room=GARDEN))) == 1
    assert await world.members(GARDEN) == ["Mei*"]


async def test_room_left_empty_goes_to_the_next_who_joins(world: World) -> None:
    await garden(world)
    assert len(await world.ask("Mei", Leave(room=GARDEN))) == 1
    assert await world.members(GARDEN) == []
    await world.ask("Bob", Join(room=GARDEN))
    assert await world.members(GARDEN) == ["Bob*"]


async def test_invited_person_inherits_nothing(world: World) -> None:
    await garden(world)
    await world.ask("Mei", Invite(room=GARDEN, name="Bob"))
    assert len(await world.ask("Mei", Leave(room=GARDEN))) == 1


async def test_heir_is_found_after_any_number_of_pages(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gochat.chat.room_access._PAGE", 2)
    people = [f"p{number}" for number in range(7)]
    await world.register(*people)
    await garden(world)
    for name in (people[4], *people[:4], *people[5:]):
        clock.now += 1
        await world.ask(name, Join(room=GARDEN))
    await world.ask("Mei", Leave(room=GARDEN))
    assert "p4*" in await world.members(GARDEN)
