"""The Store's contract: rooms, their members and roles."""

from __future__ import annotations

from typing import get_args

import pytest
import trio
from patience import until
from storing import NOON, Chat, Clock, Following, draft, follow, key, person

from gochat.chat.log import OF_MESSAGES, Appended
from gochat.chat.room_state import RoomState
from gochat.errors import ChatError
from gochat.protocol.messages import EntryKind, Invitation, Member, Room

pytestmark = pytest.mark.trio


async def test_creator_of_a_room_is_its_operator(chat: Chat) -> None:
    await chat.do("Mei", "#Garden", "create", "public")
    assert await chat.room("Mei", "#garden") == RoomState(
        key=key("#garden", "Mei"),
        name="#Garden",
        topic="",
        private=False,
        members=1,
        role="operator",
    )
    assert (await chat.room("Bob", "#garden")).role is None
    assert await chat.members("#garden") == ["Mei*"]


async def test_private_room_is_marked_private(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "private")
    assert (await chat.room("Mei", "#garden")).private


async def test_room_exists_once_in_any_case(chat: Chat) -> None:
    await chat.do("Mei", "#Garden", "create", "public")
    assert await chat.refused("Bob", "#garden", "create", "private") == "room_exists"
    assert await chat.refused("Bob", "#lobby", "create", "public") == "room_exists"
    room = await chat.room("Bob", "#garden")
    assert (room.name, room.private, room.members) == ("#Garden", False, 1)


async def test_room_that_looks_like_another_is_refused(chat: Chat) -> None:
    await chat.do("Mei", "#paul", "create", "public", cid="one")
    for twin in ("#pɑul", "#PAUI", "#Iobby", "#l0bby"):
        assert await chat.refused("Bob", twin, "create", "public") == "room_exists"
        assert await chat.store.room(key(twin, "Bob"), person("Bob")) is None
    await chat.register("paul")  # people and rooms are distinguished by the #
    (again,) = await chat.append(draft("Mei", "#paul", "public", kind="create", cid="one"))
    assert isinstance(again, Appended)
    assert again.dup


async def test_refused_room_claims_no_name(chat: Chat) -> None:
    await chat.do("Mei", "#no", "create", "public")
    assert await chat.refused("Bob", "#νο", "create", "public") == "room_exists"  # Greek: ΝΟ
    await chat.do("Bob", "#vo", "create", "public")


async def test_room_that_was_not_created_does_not_exist(chat: Chat) -> None:
    assert await chat.store.room(key("#garden", "Mei"), person("Mei")) is None


async def test_entries_for_a_nonexistent_room_are_refused(chat: Chat) -> None:
    # All kinds but the one that creates it, and those that need a message.
    kinds: set[EntryKind] = {*get_args(EntryKind)}
    for kind in kinds - {"create", *OF_MESSAGES}:
        code = await chat.refused("Mei", "#garden", kind, "x", subject="Bob")
        assert code == "unknown_conversation", kind


async def test_joining_and_leaving_changes_the_members(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.do("Bob", "#garden", "join")
    await chat.do("Eve", "#garden", "join")
    assert await chat.members("#garden") == ["Bob", "Eve", "Mei*"]
    assert (await chat.room("Bob", "#garden")).role == "member"
    await chat.do("Bob", "#garden", "leave")
    assert await chat.members("#garden") == ["Eve", "Mei*"]
    assert (await chat.room("Bob", "#garden")).role is None
    assert (await chat.room("Bob", "#garden")).members == 2


async def test_joining_or_leaving_twice_counts_once(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    for _ in range(2):
        await chat.do("Bob", "#garden", "join")
    assert (await chat.room("Bob", "#garden")).members == 2
    await chat.do("Mei", "#garden", "join")
    assert (await chat.room("Mei", "#garden")).role == "operator"
    for _ in range(2):
        await chat.do("Bob", "#garden", "leave")
    assert (await chat.room("Bob", "#garden")).members == 1


async def test_invitation_is_not_membership_and_is_used_up_by_joining(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "private")
    await chat.do("Mei", "#garden", "invite", "Bob", subject="Bob")
    room = await chat.room("Bob", "#garden")
    assert (room.role, room.members) == ("invited", 1)
    assert await chat.members("#garden") == ["Mei*"]
    await chat.do("Bob", "#garden", "join")
    assert (await chat.room("Bob", "#garden")).role == "member"
    await chat.do("Bob", "#garden", "leave")
    assert (await chat.room("Bob", "#garden")).role is None


async def test_invitation_changes_nothing_for_a_member(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "private")
    await chat.do("Mei", "#garden", "invite", "Mei", subject="Mei")
    assert (await chat.room("Mei", "#garden")).role == "operator"


async def test_invitations_are_listed_until_they_end(chat: Chat) -> None:
    await chat.do("Mei", "#Garden", "create", "private")
    await chat.do("Mei", "#Garden", "topic", "trees")
    for room in ("#attic", "#cellar", "#den"):
        await chat.do("Eve", room, "create", "public")
    entries = [
        await chat.do(inviter, room, "invite", "Bob", subject="Bob")
        for inviter, room in (
            ("Eve", "#den"),
            ("Mei", "#Garden"),
            ("Eve", "#cellar"),
            ("Eve", "#attic"),
        )
    ]
    times = {entry.to: entry.ts for entry in entries}
    await chat.say("Bob", "#lobby", "I have not read them")

    async def pending() -> list[Invitation]:
        return await chat.store.invitations(person("Bob"))

    assert await pending() == [
        Invitation(room="#Garden", from_="Mei", ts=times["#Garden"], topic="trees"),
        Invitation(room="#attic", from_="Eve", ts=times["#attic"]),
        Invitation(room="#cellar", from_="Eve", ts=times["#cellar"]),
        Invitation(room="#den", from_="Eve", ts=times["#den"]),
    ]
    await chat.do("Bob", "#attic", "join")
    await chat.do("Bob", "#cellar", "decline")
    await chat.do("Eve", "#den", "kick", "Bob", subject="Bob")
    assert [one.room for one in await pending()] == ["#Garden"]
    await chat.do("Mei", "#Garden", "leave")
    assert await pending() == []
    assert await chat.store.invitations(person("Eve")) == []
    assert (await chat.room("Bob", "#attic")).role == "member"


async def test_followers_learn_whose_invitations_begin_and_end(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "private")
    await chat.do("Mei", "#garden", "topic", "trees")
    following = Following()
    async with trio.open_nursery() as nursery:
        await follow(nursery, chat.store, following)
        for who in ("Bob", "Eve"):
            await chat.do("Mei", "#garden", "invite", who, subject=who)
        await chat.do("Bob", "#garden", "decline")
        await chat.do("Bob", "#garden", "decline")
        for action in ("invite", "kick", "invite"):
            await chat.do("Mei", "#garden", action, "Bob", subject="Bob")
        await chat.do("Bob", "#garden", "join")
        await chat.do("Mei", "#garden", "kick", "Bob", subject="Bob")
        await chat.do("Mei", "#garden", "invite", "Bob", subject="Bob")
        await chat.do("Mei", "#garden", "leave")
        await until(lambda: len(following.logged) >= 11)
        nursery.cancel_scope.cancel()
    found = [(one.entry.kind, one.topic, sorted(one.uninvited)) for one in following.logged]
    assert found == [
        ("invite", "trees", []), ("invite", "trees", []),
        ("decline", "", ["bob"]), ("decline", "", []),
        ("invite", "trees", []), ("kick", "", ["bob"]),
        ("invite", "trees", []), ("join", "", ["bob"]),
        ("kick", "", []), ("invite", "trees", []), ("leave", "", ["bob", "eve"]),
    ]  # fmt: skip


async def test_invitations_to_a_public_room_outlive_its_members(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.do("Mei", "#garden", "invite", "Bob", subject="Bob")
    await chat.do("Mei", "#garden", "leave")
    assert [one.room for one in await chat.store.invitations(person("Bob"))] == ["#garden"]


async def test_kick_removes_a_member_or_an_invitation(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.do("Bob", "#garden", "join")
    await chat.do("Mei", "#garden", "invite", "Eve", subject="Eve")
    await chat.do("Mei", "#garden", "kick", "Bob", subject="Bob")
    await chat.do("Mei", "#garden", "kick", "Eve", subject="Eve")
    assert (await chat.room("Bob", "#garden")).role is None
    assert (await chat.room("Eve", "#garden")).role is None
    assert await chat.members("#garden") == ["Mei*"]


async def test_operators_are_promoted_and_demoted(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.do("Bob", "#garden", "join")
    await chat.do("Mei", "#garden", "operator", "Bob", subject="Bob")
    await chat.do("Bob", "#garden", "member", "Mei", subject="Mei")
    assert await chat.members("#garden") == ["Bob*", "Mei"]


async def test_only_members_become_operators(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.do("Mei", "#garden", "invite", "Bob", subject="Bob")
    for name in ("Bob", "Eve"):
        await chat.do("Mei", "#garden", "operator", name, subject=name)
    assert await chat.members("#garden") == ["Mei*"]
    assert (await chat.room("Bob", "#garden")).role == "invited"


async def test_topic_and_access_are_as_last_set(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.do("Mei", "#garden", "topic", "roses")
    await chat.do("Mei", "#garden", "topic", "玫瑰")
    await chat.do("Mei", "#garden", "access", "private")
    room = await chat.room("Mei", "#garden")
    assert (room.topic, room.private) == ("玫瑰", True)
    await chat.do("Mei", "#garden", "topic", "")
    await chat.do("Mei", "#garden", "access", "public")
    room = await chat.room("Mei", "#garden")
    assert (room.topic, room.private) == ("", False)


async def test_creating_and_using_a_room_may_share_a_call(chat: Chat) -> None:
    created, topic, again = await chat.append(
        draft("Mei", "#garden", "public", kind="create"),
        draft("Mei", "#garden", "roses", kind="topic"),
        draft("Bob", "#garden", "public", kind="create"),
    )
    assert isinstance(created, Appended)
    assert isinstance(topic, Appended)
    assert (created.entry.seq, topic.entry.seq) == (1, 2)
    assert isinstance(again, ChatError)
    assert again.code == "room_exists"


async def test_lobby_is_a_room_of_everyone_who_cannot_leave(chat: Chat) -> None:
    room = await chat.room("Bob", "#lobby")
    assert (room.name, room.members, room.role, room.private) == ("#lobby", 3, "member", False)
    await chat.do("Bob", "#lobby", "leave")
    await chat.do("Mei", "#lobby", "kick", "Eve", subject="Eve")
    assert await chat.members("#lobby") == ["Bob", "Eve", "Mei"]


async def test_private_conversation_is_not_a_room(chat: Chat) -> None:
    await chat.say("Mei", "@Bob", "hi")
    assert await chat.store.room(key("@Bob", "Mei"), person("Mei")) is None


async def test_members_are_paged_in_the_order_of_their_keys(chat: Chat, clock: Clock) -> None:
    people = [f"P{number}" for number in range(5)]
    await chat.register(*people)
    await chat.do("P3", "#garden", "create", "public")
    for who in ("P4", "P0", "P2", "P1"):
        clock.now += 1
        await chat.do(who, "#garden", "join")
    first, total, more = await chat.store.members(key("#garden", "P0"), after="", limit=2)
    assert (total, more) == (5, True)
    assert first == [Member(name="P0", since=NOON + 2), Member(name="P1", since=NOON + 4)]
    rest, total, more = await chat.store.members(key("#garden", "P0"), after="p1", limit=3)
    assert (total, more) == (5, False)
    assert [(member.name, member.operator, member.since) for member in rest] == [
        ("P2", False, NOON + 3),
        ("P3", True, NOON),
        ("P4", False, NOON + 1),
    ]


async def test_nonexistent_room_has_no_members(chat: Chat) -> None:
    assert await chat.store.members(key("#garden", "Mei"), after="", limit=9) == ([], 0, False)


async def test_list_of_rooms_has_public_ones_and_own_ones(chat: Chat) -> None:
    await chat.do("Mei", "#Open", "create", "public")
    await chat.do("Mei", "#Open", "topic", "come in")
    await chat.do("Bob", "#Open", "join")
    for name in ("#mine", "#invited", "#hidden"):
        await chat.do("Mei", name, "create", "private")
    await chat.do("Mei", "#invited", "invite", "Bob", subject="Bob")
    rooms, more = await chat.store.rooms(person("Bob"), after="", limit=10)
    assert not more
    assert rooms == [
        Room(room="#Open", topic="come in", members=2, joined=True),
        Room(room="#invited", members=1, private=True, joined=False),
        Room(room="#lobby", members=3, joined=True),
    ]
    mine, _ = await chat.store.rooms(person("Mei"), after="", limit=10)
    assert [room.room for room in mine] == ["#Open", "#hidden", "#invited", "#lobby", "#mine"]


async def test_list_of_rooms_is_paged_by_address(chat: Chat) -> None:
    for number in range(5):
        await chat.do("Mei", f"#r{number}", "create", "public")
    found: list[str] = []
    more = True
    while more:
        after = found[-1] if found else ""
        rooms, more = await chat.store.rooms(person("Bob"), after=after, limit=2)
        assert len(rooms) == 2
        found += [room.room for room in rooms]
    assert found == ["#lobby", "#r0", "#r1", "#r2", "#r3", "#r4"]


async def test_joining_an_empty_room_makes_an_operator(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.do("Mei", "#garden", "leave")
    await chat.do("Bob", "#garden", "join")
    await chat.do("Eve", "#garden", "join")
    assert await chat.members("#garden") == ["Bob*", "Eve"]
