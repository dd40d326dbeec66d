"""Who may ban whom from a room, and what a ban or a mode of the room refuses."""

from __future__ import annotations

from unittest import mock

import pytest
from talking import World

from gochat.chat import moderation
from gochat.errors import ChatError
from gochat.protocol.messages import (
    Ban,
    CreateRoom,
    Edit,
    Invite,
    Join,
    Kick,
    React,
    Send,
    SetAnnouncements,
    SetArchived,
    SetOperator,
    SetSlowMode,
    SetTopic,
    Unban,
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


async def test_operator_bans_a_member_who_is_told_until_when_and_why(world: World) -> None:
    await garden(world, "Bob")
    [entry] = await world.ask("Mei", Ban(room=GARDEN, name="@bob", seconds=60, reason="spam"))
    assert (entry.kind, entry.text, entry.reason, entry.seconds) == ("ban", "Bob", "spam", 60)
    assert await world.members(GARDEN) == ["Mei*"]
    with pytest.raises(ChatError, match=r"banned from #garden until 20.* UTC: spam") as caught:
        await world.draft("Bob", Join(room=GARDEN))
    until = caught.value.details["until"]
    assert caught.value.details == {"conv": GARDEN, "until": until, "reason": "spam"}
    assert until == entry.ts + 60_000
    assert await world.is_refused("Mei", Invite(room=GARDEN, name="Bob")) == (
        "not_permitted",
        "name",
    )
    await world.ask("Mei", Unban(room=GARDEN, name="Bob"))
    await world.ask("Bob", Join(room=GARDEN))


async def test_who_was_removed_is_not_banned(world: World) -> None:
    await garden(world, "Bob")
    await world.ask("Mei", Kick(room=GARDEN, name="Bob"))
    await world.ask("Bob", Join(room=GARDEN))


async def test_ban_from_a_private_room_does_not_show_that_there_is_one(world: World) -> None:
    await garden(world, private=True)
    await world.ask("Mei", Ban(room=GARDEN, name="Bob"))
    for room in (GARDEN, "#nowhere"):
        assert await world.is_refused("Bob", Join(room=room)) == ("unknown_conversation", "room")


async def test_only_operators_ban_and_not_themselves(world: World) -> None:
    await garden(world, "Bob")
    for request in (Ban(room=GARDEN, name="Eve"), Unban(room=GARDEN, name="Eve")):
        assert await world.is_refused("Bob", request) == ("not_permitted", "room")
        assert await world.is_refused("Eve", request) == ("not_a_member", "room")
    assert await world.is_refused("Mei", Ban(room=GARDEN, name="Mei")) == ("bad_request", "name")
    assert await world.is_refused("Mei", Ban(room=GARDEN, name="x")) == ("unknown_person", "name")
    assert await world.is_refused("Mei", Ban(room="#lobby", name="Bob")) == (
        "not_permitted",
        "room",
    )


async def test_operator_bans_another_operator_as_they_may_remove_them(world: World) -> None:
    await garden(world, "Bob")
    await world.ask("Mei", SetOperator(room=GARDEN, name="Bob"))
    await world.ask("Bob", Ban(room=GARDEN, name="Mei"))
    assert await world.members(GARDEN) == ["Bob*"]


async def test_what_is_so_already_writes_nothing(world: World) -> None:
    await garden(world)
    assert await world.ask("Mei", Unban(room=GARDEN, name="Bob")) == []
    await world.ask("Mei", Ban(room=GARDEN, name="Bob", reason="spam"))
    assert await world.ask("Mei", Ban(room=GARDEN, name="Bob", reason="spam")) == []
    for other in ({"reason": "noise"}, {"seconds": 60}, {"seconds": 60}, {}):
        [entry] = await world.ask("Mei", Ban(room=GARDEN, name="Bob", **other))
        assert entry.kind == "ban"


async def test_bans_of_a_room_are_bounded(world: World) -> None:
    await garden(world)
    await world.ask("Mei", Ban(room=GARDEN, name="Bob"))
    with mock.patch.object(moderation, "MAX_BANS", 1):
        request = Ban(room=GARDEN, name="Eve")
        assert await world.is_refused("Mei", request) == ("too_many", "room")
        await world.ask("Mei", Ban(room=GARDEN, name="Bob", reason="still"))
        await world.ask("Mei", Unban(room=GARDEN, name="Bob"))
        await world.ask("Mei", request)


async def test_ban_at_the_same_moment_as_a_join_holds(world: World) -> None:
    """Whichever is committed first."""
    await garden(world)
    [join] = await world.draft("Bob", Join(room=GARDEN))
    [invite] = await world.draft("Mei", Invite(room=GARDEN, name="Bob"))
    await world.ask("Mei", Ban(room=GARDEN, name="Bob"))
    for draft in (join, invite):
        (result,) = await world.append(draft)
        assert isinstance(result, ChatError)
    assert await world.members(GARDEN) == ["Mei*"]


async def test_modes_are_for_operators_and_what_is_so_writes_nothing(world: World) -> None:
    await garden(world, "Bob")
    requests = [
        (SetSlowMode(room=GARDEN, seconds=30), ("slow", "30")),
        (SetAnnouncements(room=GARDEN, on=True), ("announcements", "on")),
        (SetArchived(room=GARDEN, on=True), ("archive", "on")),
    ]
    for request, said in requests:
        assert await world.is_refused("Bob", request) == ("not_permitted", "room")
        [entry] = await world.ask("Mei", request)
        assert (entry.kind, entry.text) == said
        assert await world.ask("Mei", request) == []


async def test_refusal_says_why(world: World) -> None:
    await garden(world, "Bob")
    await world.talk("Bob", GARDEN, "hello")
    seq = (await world.entries("Bob", GARDEN))[-1].seq

    async def refused(request: Send | Edit | React) -> ChatError:
        with pytest.raises(ChatError) as caught:
            await world.draft("Bob", request, asks=True)
        return caught.value

    await world.ask("Mei", SetSlowMode(room=GARDEN, seconds=30))
    await world.talk("Bob", GARDEN, "once")
    error = await refused(Send(to=GARDEN, text="twice"))
    assert (error.code, error.retry_after, error.details["seconds"]) == ("slow_mode", 30, 30)
    await world.ask("Mei", SetAnnouncements(room=GARDEN, on=True))
    for request in (Send(to=GARDEN, text="x"), Edit(to=GARDEN, seq=seq, text="x")):
        error = await refused(request)
        assert (error.code, error.details) == ("not_permitted", {"rule": "announcements"})
    await world.draft("Bob", React(to=GARDEN, seq=seq, emoji="👍"), asks=True)
    await world.ask("Mei", SetArchived(room=GARDEN, on=True))
    error = await refused(React(to=GARDEN, seq=seq, emoji="👍"))
    assert (error.code, error.details) == ("not_permitted", {"rule": "archived"})
    assert await world.is_refused("Mei", SetTopic(room=GARDEN, topic="x")) == (
        "not_permitted",
        "room",
    )
