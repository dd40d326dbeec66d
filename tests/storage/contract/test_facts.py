"""The Store's contract: the facts that a draft was based on are compared in the commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from storing import Chat, draft, person

from gochat.chat.facts import INSIDE, Facts
from gochat.chat.log import Appended, Draft
from gochat.errors import FactsChanged

pytestmark = pytest.mark.trio

GARDEN = "#garden"


def topic(facts: Facts, **fields: Any) -> Callable[[str], Draft]:
    """Make a draft that changes none of the compared facts."""
    return lambda cid: draft(
        "Mei", GARDEN, "roses", kind="topic", facts=facts, **(fields | {"cid": cid})
    )


def reaction(facts: Facts) -> Callable[[str], Draft]:
    return lambda cid: draft("Bob", GARDEN, "🌹", kind="react", ref=4, facts=facts, cid=cid)


def _of_bob(facts: Facts) -> Callable[[str], Draft]:
    return lambda cid: draft("Bob", GARDEN, "hello", facts=facts, cid=cid)


#: What creates a draft, and what then happens to its facts: Mei's garden has Bob as a member and
#: operator, and an invitation for Eve.
CASES = {
    "sender": (
        _of_bob(Facts(sender=INSIDE)),
        draft("Mei", GARDEN, "Bob", kind="kick", subject="Bob"),
    ),
    "sender_role": (
        _of_bob(Facts(sender=("operator",))),
        draft("Mei", GARDEN, "Bob", kind="member", subject="Bob"),
    ),
    "subject": (
        topic(Facts(subject=("invited",)), subject="Eve"),
        draft("Mei", GARDEN, "Eve", kind="kick", subject="Eve"),
    ),
    "subject_nobody": (
        topic(Facts(subject=("nobody", "invited")), subject="Eve"),
        draft("Eve", GARDEN, kind="join"),
    ),
    "operator": (
        topic(Facts(operator=person("Bob"))),
        draft("Bob", GARDEN, "Bob", kind="member", subject="Bob"),
    ),
    "operator_left": (topic(Facts(operator=person("Bob"))), draft("Bob", GARDEN, kind="leave")),
    "public": (topic(Facts(private=False)), draft("Mei", GARDEN, "private", kind="access")),
    "topic": (_of_bob(Facts(topic="")), draft("Mei", GARDEN, "roses", kind="topic")),
    "emoji": (
        reaction(Facts(other_emoji=1)),
        draft("Mei", GARDEN, "🌵", kind="react", ref=4),
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_draft_whose_facts_have_changed_writes_nothing(chat: Chat, case: str) -> None:
    make, change = CASES[case]
    await chat.do("Mei", GARDEN, "create", "public")
    await chat.do("Bob", GARDEN, "join")
    await chat.do("Mei", GARDEN, "operator", "Bob", subject="Bob")
    await chat.say("Mei", GARDEN, "hello")
    await chat.do("Mei", GARDEN, "invite", "Eve", subject="Eve")
    for who in ("Mei", "Eve"):
        await chat.do(who, GARDEN, "react", "🪴", ref=4)

    (fresh,) = await chat.append(make("first"))
    assert isinstance(fresh, Appended)
    assert not fresh.dup
    await chat.append(change)
    before = await chat.page("Mei", GARDEN), await chat.members(GARDEN)
    (stale,) = await chat.append(make("second"))
    assert isinstance(stale, FactsChanged)
    assert (await chat.page("Mei", GARDEN), await chat.members(GARDEN)) == before
    # It was written before the facts changed: a retry gets that result.
    (again,) = await chat.append(make("first"))
    assert isinstance(again, Appended)
    assert (again.dup, again.entry.seq) == (True, fresh.entry.seq)
    # The cid of a refused draft is free.
    await chat.say("Mei", GARDEN, "hello", cid="second")


async def test_being_private_and_being_alone_are_facts(chat: Chat) -> None:
    facts = Facts(private=True, is_alone=True, sender=("operator",))
    await chat.do("Mei", GARDEN, "create", "private")
    await chat.do("Mei", GARDEN, "invite", "Bob", subject="Bob")
    await chat.do("Mei", GARDEN, "topic", "roses", facts=facts)
    await chat.do("Bob", GARDEN, "join")
    assert await chat.refused("Mei", GARDEN, "topic", "thorns", facts=facts) == "busy"
    await chat.do("Bob", GARDEN, "leave")
    await chat.do("Mei", GARDEN, "topic", "roses", facts=facts)
    await chat.do("Mei", GARDEN, "access", "public")
    assert await chat.refused("Mei", GARDEN, "topic", "thorns", facts=facts) == "busy"


async def test_facts_of_a_room_that_does_not_exist_do_not_hold(chat: Chat) -> None:
    assert await chat.refused("Mei", GARDEN, "join", facts=Facts(sender=("nobody",))) == "busy"


async def test_earlier_draft_of_a_call_changes_the_facts_of_a_later_one(chat: Chat) -> None:
    await chat.do("Mei", GARDEN, "create", "public")
    await chat.do("Bob", GARDEN, "join")
    results = await chat.append(
        draft("Mei", GARDEN, "Bob", kind="operator", subject="Bob"),
        draft("Mei", GARDEN, kind="leave", facts=Facts(operator=person("Bob"))),
        draft("Mei", GARDEN, "still here", facts=Facts(sender=INSIDE)),
    )
    assert [type(result) for result in results] == [Appended, Appended, FactsChanged]
    assert await chat.members(GARDEN) == ["Bob*"]


async def test_nothing_overtakes_a_draft_whose_facts_do_not_hold(chat: Chat) -> None:
    """Not even in other conversations, of which Redis keeps each with others on a server."""
    drafts = [
        draft("Mei", f"@{name}", f"{number}", cid=f"{number}{name}")
        for number in range(10)
        for name in ("Bob", "Eve", "Mei")
    ]
    stale = draft("Mei", "#lobby", "stale", facts=Facts(sender=("operator",)), cid="stale")
    results = await chat.append(*drafts[:20], stale, stale, *drafts[20:])
    assert [type(result) for result in results] == [Appended] * 20 + [FactsChanged]
    again = await chat.append(*drafts)
    assert [result.dup for result in again if isinstance(result, Appended)] == (
        [True] * 20 + [False] * 10
    )
    for name in ("Bob", "Eve", "Mei"):
        entries = await chat.entries("Mei", f"@{name}")
        assert [entry.text for entry in entries] == [*map(str, range(10))]


async def test_drafts_that_were_not_looked_at_leave_nothing(chat: Chat) -> None:
    """Neither their cids, nor the names of their rooms, nor a refusal."""
    stale = draft("Mei", "#lobby", "stale", facts=Facts(sender=("operator",)))
    results = await chat.append(
        stale,
        draft("Mei", "#barn", "public", kind="create", cid="c"),
        draft("Mei", "@Nobody", "hello"),
    )
    assert [type(result) for result in results] == [FactsChanged]
    await chat.do("Bob", "#bam", "create", "public")  # which looks like it
    await chat.do("Mei", "#lobby", "text", "hello", cid="c")


async def test_refused_draft_delays_no_other(chat: Chat) -> None:
    results = await chat.append(
        draft("Mei", "@Nobody", "one"),
        draft("Mei", "#lobby", "two"),
        draft("Mei", "#lobby", "👍", kind="react", ref=9),
        draft("Mei", "#lobby", "three"),
    )
    assert [isinstance(result, Appended) for result in results] == [False, True, False, True]


async def test_long_call_is_appended_in_order(chat: Chat) -> None:
    drafts = [draft("Mei", "#lobby", f"{number}") for number in range(200)]
    results = await chat.append(*drafts)
    assert [result.entry.seq for result in results if isinstance(result, Appended)] == [
        *range(1, 201)
    ]


async def test_many_emoji_are_counted_once_each(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "hello")
    for who, emoji in (("Mei", "🌵"), ("Bob", "🌵"), ("Mei", "🌹"), ("Eve", "🪴"), ("Bob", "🪴")):
        await chat.do(who, "#lobby", "react", emoji, ref=1)
    two, three = Facts(other_emoji=2), Facts(other_emoji=3)
    assert await chat.refused("Eve", "#lobby", "react", "🍀", ref=1, facts=two) == "busy"
    await chat.do("Eve", "#lobby", "react", "🌹", ref=1, facts=two)
    await chat.do("Eve", "#lobby", "react", "🍀", ref=1, facts=three)


async def test_own_emoji_are_counted(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "hello")
    for who, emoji in (("Mei", "🌵"), ("Bob", "🌵"), ("Mei", "🌹"), ("Bob", "🪴")):
        await chat.do(who, "#lobby", "react", emoji, ref=1)
    one, two = Facts(own_emoji=1), Facts(own_emoji=2)
    assert await chat.refused("Mei", "#lobby", "react", "🍀", ref=1, facts=one) == "busy"
    assert (
        await chat.refused("Mei", "#lobby", "react", "🍀", ref=1, facts=Facts(own_emoji=0))
        == "busy"
    )
    await chat.do("Eve", "#lobby", "react", "🍀", ref=1, facts=one)
    await chat.do("Mei", "#lobby", "react", "🍀", ref=1, facts=two)


async def test_page_says_whether_the_viewer_is_a_member(chat: Chat) -> None:
    async def inside(who: str, to: str = GARDEN) -> bool:
        return (await chat.page(who, to)).is_inside

    await chat.do("Mei", GARDEN, "create", "private")
    await chat.do("Mei", GARDEN, "invite", "Bob", subject="Bob")
    assert [await inside(who) for who in ("Mei", "Bob", "Eve")] == [True, False, False]
    await chat.do("Bob", GARDEN, "join")
    assert await inside("Bob")
    assert not (await chat.page("Eve", GARDEN, after=99)).is_inside
    await chat.do("Mei", GARDEN, "kick", "Bob", subject="Bob")
    assert not await inside("Bob")
    await chat.say("Mei", "#lobby", "hello")
    await chat.say("Mei", "@Bob", "hello")
    assert await inside("Eve", "#lobby")
    assert await inside("Bob", "@Mei")


async def test_invitations_lapse_with_the_last_member_of_a_private_room(chat: Chat) -> None:
    for room, access in (("#den", "private"), (GARDEN, "public")):
        await chat.do("Mei", room, "create", access)
        await chat.do("Mei", room, "invite", "Bob", subject="Bob")
        await chat.do("Mei", room, "invite", "Eve", subject="Eve")
        await chat.do("Bob", room, "join")
        await chat.do("Bob", room, "leave")
        assert (await chat.room("Eve", room)).role == "invited"
        await chat.do("Mei", room, "leave")
    assert (await chat.room("Eve", "#den")).role is None
    rooms, _ = await chat.store.rooms(person("Eve"), after="", limit=10)
    assert [room.room for room in rooms] == [GARDEN, "#lobby"]
    assert (await chat.room("Eve", GARDEN)).role == "invited"
    assert await chat.refused("Eve", "#den", "create", "public") == "room_exists"
