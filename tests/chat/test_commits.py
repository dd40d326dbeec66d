"""Deciding again when something else was committed between the decision and the commit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest
from storing import draft, key
from talking import World

from gochat.chat.commits import MAX_TRIES, Outcome, settle
from gochat.chat.conversations import ConversationKey
from gochat.chat.drafts import MAX_REACTIONS
from gochat.chat.log import Appended, Draft, Unchanged
from gochat.errors import ChatError, ErrorCode, FactsChanged
from gochat.protocol.messages import (
    CreateRoom,
    Delete,
    Edit,
    Invite,
    Join,
    Kick,
    Leave,
    React,
    Send,
    SetAccess,
    SetHistory,
    SetOperator,
    SetTopic,
)

pytestmark = pytest.mark.trio

GARDEN = "#garden"
SAID = 6  # the seq of Bob's message in the garden


class Decisions:
    """Decides and appends as scripted, and records each step."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.rooms: list[Collection[ConversationKey] | None] = []
        self.outcomes = list(outcomes)

    async def decide(self, rooms: Collection[ConversationKey] | None) -> Sequence[Draft]:
        self.rooms.append(rooms)
        return [draft("Mei", GARDEN, "a"), draft("Mei", GARDEN, "b")]

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        first: Outcome = FactsChanged()  # the last draft is the request's own
        return [*[first] * (len(drafts) - 1), self.outcomes.pop(0)]


async def test_request_is_decided_again_without_cached_facts() -> None:
    refusal = ChatError(ErrorCode.NOT_PERMITTED, "no")
    decisions = Decisions(FactsChanged(), refusal)
    rooms = {key(GARDEN, "Mei")}
    assert await settle(decisions.decide, decisions.append, rooms=rooms) is refusal
    assert decisions.rooms == [rooms, None]


async def test_request_is_given_up_after_three_decisions() -> None:
    decisions = Decisions(*(FactsChanged() for _ in range(5)))
    outcome = await settle(decisions.decide, decisions.append)
    assert isinstance(outcome, FactsChanged)
    assert (outcome.code, outcome.retry_after is not None) == ("busy", True)
    assert len(decisions.rooms) == MAX_TRIES == 3


async def test_known_outcome_is_not_decided_again() -> None:
    decisions = Decisions(ChatError(ErrorCode.CID_CONFLICT, "no"))
    assert (await settle(decisions.decide, decisions.append)) is not None
    assert len(decisions.rooms) == 1


async def garden(world: World) -> None:
    """A room of Mei and Bob, both operators; Eve is invited."""
    await world.register("Zoe")
    await world.ask("Mei", CreateRoom(room=GARDEN))
    await world.ask("Bob", Join(room=GARDEN))
    await world.ask("Mei", SetOperator(room=GARDEN, name="Bob"))
    await world.ask("Mei", Invite(room=GARDEN, name="Eve"))
    await world.ask("Mei", SetTopic(room=GARDEN, topic="roses"))
    await world.talk("Bob", GARDEN, "hello")


async def late(
    world: World, who: str, request: Any, *meanwhile: tuple[str, Any]
) -> tuple[str, str | None]:
    """Decide a request; let others act; then append. Return the kind or code of its outcome, and
    its subject."""
    rooms = await world.rooms_of(who)
    decided = await world.draft(who, request)
    for other, theirs in meanwhile:
        await world.ask(other, theirs)

    async def decide(thought: Collection[ConversationKey] | None) -> Sequence[Draft]:
        return decided if thought else await world.draft(who, request, asks=True)

    try:
        outcome = await settle(decide, world.store.append, rooms=rooms)
    except ChatError as error:
        return str(error.code), error.field
    if isinstance(outcome, Unchanged):
        return "ok", None
    assert isinstance(outcome, Appended), outcome
    return outcome.entry.kind, outcome.entry.text or None


_KICKED = ("Mei", Kick(room=GARDEN, name="Bob"))
_DEMOTED = ("Mei", SetOperator(room=GARDEN, name="Bob", on=False))
_OUTSIDE = ("not_a_member", "to")

_SO = ("ok", None)

#: Who requests what, what happens in between, and the outcome.
RACES = {
    "text after the kick": ("Bob", Send(to=GARDEN, text="x"), _KICKED, _OUTSIDE),
    "edit after the kick": ("Bob", Edit(to=GARDEN, seq=SAID, text="x"), _KICKED, _OUTSIDE),
    "delete after the kick": ("Bob", Delete(to=GARDEN, seq=SAID), _KICKED, _OUTSIDE),
    "react after the kick": ("Bob", React(to=GARDEN, seq=SAID, emoji="🌹"), _KICKED, _OUTSIDE),
    "leave after the kick": ("Bob", Leave(room=GARDEN), _KICKED, ("not_a_member", "room")),
    "text of one who was demoted": ("Bob", Send(to=GARDEN, text="x"), _DEMOTED, ("text", "x")),
    "topic of one who was demoted": (
        "Bob", SetTopic(room=GARDEN, topic="x"), _DEMOTED, ("not_permitted", "room"),
    ),
    "access of one who was demoted": (
        "Bob", SetAccess(room=GARDEN, private=True), _DEMOTED, ("not_permitted", "room"),
    ),
    "kick of one who was demoted": (
        "Bob", Kick(room=GARDEN, name="Eve"), _DEMOTED, ("not_permitted", "room"),
    ),
    "operator of one who was demoted": (
        "Bob", SetOperator(room=GARDEN, name="Mei", on=False), _DEMOTED, ("not_permitted", "room"),
    ),
    "leave of one who was demoted": ("Bob", Leave(room=GARDEN), _DEMOTED, ("leave", None)),
    "invitation of one who was demoted": (
        "Bob", Invite(room=GARDEN, name="Zoe"), _DEMOTED, ("invite", "Zoe"),
    ),
    "demotion of oneself, the last": (
        "Bob",
        SetOperator(room=GARDEN, name="Bob", on=False),
        ("Mei", SetOperator(room=GARDEN, name="Mei", on=False)),
        ("bad_request", "name"),
    ),
    "demotion of who has left": (
        "Mei",
        SetOperator(room=GARDEN, name="Bob", on=False),
        ("Bob", Leave(room=GARDEN)),
        ("not_a_member", "name"),
    ),
    "kick of who has left": (
        "Mei",
        Kick(room=GARDEN, name="Bob"),
        ("Bob", Leave(room=GARDEN)),
        ("not_a_member", "name"),
    ),
    "invitation of who has joined": (
        "Mei",
        Invite(room=GARDEN, name="Zoe"),
        ("Zoe", Join(room=GARDEN)),
        ("bad_request", "name"),
    ),
    "leave of who has become the last operator": (
        "Bob", Leave(room=GARDEN), ("Mei", Leave(room=GARDEN)), ("leave", None),
    ),
    "join of who has joined": ("Eve", Join(room=GARDEN), ("Eve", Join(room=GARDEN)), _SO),
    "invitation of who is invited": (
        "Bob", Invite(room=GARDEN, name="Zoe"), ("Mei", Invite(room=GARDEN, name="Zoe")), _SO,
    ),
    "the same topic": (
        "Bob", SetTopic(room=GARDEN, topic="x"), ("Mei", SetTopic(room=GARDEN, topic="x")), _SO,
    ),
    "another topic": (
        "Bob", SetTopic(room=GARDEN, topic="x"), ("Mei", SetTopic(room=GARDEN, topic="y")),
        ("topic", "x"),
    ),
    "the same access": (
        "Bob", SetAccess(room=GARDEN, private=True), ("Mei", SetAccess(room=GARDEN, private=True)),
        _SO,
    ),
    "the same demotion": (
        "Mei", SetOperator(room=GARDEN, name="Bob", on=False), _DEMOTED, _SO,
    ),
    "the same reaction": (
        "Bob", React(to=GARDEN, seq=SAID, emoji="🌹"),
        ("Bob", React(to=GARDEN, seq=SAID, emoji="🌹")), _SO,
    ),
}  # fmt: skip


@pytest.mark.parametrize("race", RACES)
async def test_rule_holds_at_the_commit(world: World, race: str) -> None:
    who, request, meanwhile, outcome = RACES[race]
    await garden(world)
    assert await late(world, who, request, meanwhile) == outcome


async def test_delete_as_an_operator_needs_the_role_at_the_commit(world: World) -> None:
    await garden(world)
    [entry] = await world.talk("Mei", GARDEN, "hers")
    request = Delete(to=GARDEN, seq=entry.seq)
    assert await late(world, "Bob", request, _DEMOTED) == ("not_permitted", "seq")


async def test_join_of_a_room_made_private_meanwhile_is_refused(world: World) -> None:
    await garden(world)
    await world.ask("Mei", Kick(room=GARDEN, name="Eve"))
    to_private = ("Mei", SetAccess(room=GARDEN, private=True))
    join = Join(room=GARDEN)
    assert await late(world, "Eve", join, to_private) == ("unknown_conversation", "room")


async def test_room_goes_public_only_with_the_chosen_history(world: World) -> None:
    await garden(world)
    await world.ask("Mei", SetAccess(room=GARDEN, private=True))
    shown = SetAccess(room=GARDEN, private=False, history="shown")
    hidden = SetAccess(room=GARDEN, private=False, history="hidden")
    to_hidden = ("Bob", SetHistory(room=GARDEN, history="hidden"))
    assert await late(world, "Mei", shown, to_hidden) == ("bad_request", "history")
    to_shown = ("Bob", SetHistory(room=GARDEN, history="shown"))
    assert await late(world, "Mei", hidden, to_shown) == ("access", "public")
    to_private = ("Bob", SetAccess(room=GARDEN, private=True))
    public = SetAccess(room=GARDEN, private=False)
    assert await late(world, "Mei", public, to_private) == _SO  # it was, when it was asked for


async def test_promotion_and_history_that_are_so_meanwhile_change_nothing(world: World) -> None:
    await garden(world)
    demoted = SetOperator(room=GARDEN, name="Bob", on=False)
    await world.ask("Mei", demoted, SetAccess(room=GARDEN, private=True))
    promoted = SetOperator(room=GARDEN, name="Bob")
    assert await late(world, "Mei", promoted, ("Mei", promoted)) == _SO
    hidden = SetHistory(room=GARDEN, history="hidden")
    assert await late(world, "Mei", hidden, ("Bob", hidden)) == _SO


async def test_history_of_a_room_made_public_meanwhile_is_not_hidden(world: World) -> None:
    await garden(world)
    await world.ask("Mei", SetAccess(room=GARDEN, private=True))
    public = ("Bob", SetAccess(room=GARDEN, private=False, history="shown"))
    hidden = SetHistory(room=GARDEN, history="hidden")
    assert await late(world, "Mei", hidden, public) == ("bad_request", "room")


async def test_join_after_the_invitation_was_withdrawn_is_refused(world: World) -> None:
    await garden(world)
    await world.ask("Mei", SetAccess(room=GARDEN, private=True))
    withdrawn = ("Mei", Kick(room=GARDEN, name="Eve"))
    join = Join(room=GARDEN)
    assert await late(world, "Eve", join, withdrawn) == ("unknown_conversation", "room")


async def test_member_cannot_invite_to_a_room_made_private_meanwhile(world: World) -> None:
    await garden(world)
    await world.ask(*_DEMOTED)
    await world.ask("Mei", Kick(room=GARDEN, name="Eve"))
    to_private = ("Mei", SetAccess(room=GARDEN, private=True))
    invite = Invite(room=GARDEN, name="Eve")
    assert await late(world, "Bob", invite, to_private) == ("not_permitted", "room")


async def test_last_operator_hands_over_to_a_remaining_member(world: World) -> None:
    await garden(world)
    await world.ask(*_DEMOTED)
    await world.ask("Eve", Join(room=GARDEN))
    # Bob was about to become an operator.
    outcome = await late(world, "Mei", Leave(room=GARDEN), ("Bob", Leave(room=GARDEN)))
    assert outcome == ("leave", None)
    assert await world.members(GARDEN) == ["Eve*"]


async def test_leaver_hands_over_to_a_member_who_joined_meanwhile(world: World) -> None:
    await world.ask("Mei", CreateRoom(room=GARDEN))
    outcome = await late(world, "Mei", Leave(room=GARDEN), ("Bob", Join(room=GARDEN)))
    assert outcome == ("leave", None)
    assert await world.members(GARDEN) == ["Bob*"]


async def test_emoji_stay_bounded_at_the_commit(world: World) -> None:
    await world.register("Ann", "Tom")
    [entry] = await world.talk("Mei", "#lobby", "hello")
    emoji = [chr(0x1F331 + number) for number in range(MAX_REACTIONS + 1)]

    def react(number: int) -> React:
        return React(to="#lobby", seq=entry.seq, emoji=emoji[number])

    for number in range(MAX_REACTIONS - 1):  # no person gives all of them
        await world.ask(("Mei", "Bob", "Eve", "Ann", "Tom")[number % 5], react(number))
    last, one_more = react(MAX_REACTIONS - 1), react(MAX_REACTIONS)
    assert await late(world, "Bob", one_more, ("Eve", last)) == ("too_many", "emoji")
    assert await late(world, "Bob", last, ("Mei", last)) == ("react", last.emoji)


async def test_retried_leave_hands_over_once(world: World) -> None:
    await garden(world)
    await world.ask(*_DEMOTED)
    leave = Leave(room=GARDEN, cid="c1")
    handover, _ = await world.draft("Mei", leave)
    await world.append(handover)  # then the connection broke
    assert [entry.kind for entry in await world.ask("Mei", leave)] == ["leave"]
    assert await world.members(GARDEN) == ["Bob*"]


async def test_empty_private_room_cannot_be_joined(world: World) -> None:
    await world.ask("Mei", CreateRoom(room="#den", private=True))
    await world.ask("Mei", Invite(room="#den", name="Eve"), Leave(room="#den"))
    for who in ("Mei", "Bob", "Eve"):
        assert await world.is_refused(who, Join(room="#den")) == ("unknown_conversation", "room")
        assert await world.is_refused(who, CreateRoom(room="#den")) == ("room_exists", "room")
    # As in older stores: an invitation that did not lapse.
    await world.append(draft("Mei", "#den", "Eve", kind="invite", subject="Eve"))
    assert await world.is_refused("Eve", Join(room="#den")) == ("not_permitted", "room")


async def test_invitation_to_a_private_room_does_not_outlive_its_last_member(world: World) -> None:
    await world.ask("Bob", CreateRoom(room=GARDEN, private=True))
    outcome = await late(world, "Bob", Invite(room=GARDEN, name="Eve"), ("Bob", Leave(room=GARDEN)))
    assert outcome == ("unknown_conversation", "room")
    assert (await world.room("Eve", GARDEN)).role is None
