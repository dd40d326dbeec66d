"""The list: what waits for the person is first, and nothing moves below the cursor."""

from __future__ import annotations

from typing import Any

import pytest

from gochat.client import Conversation, Invitation, Invited, LogEntry, Synchronised
from gochat.client.convert import to_entry
from gochat.client.moments import moment
from gochat.protocol import messages as wire
from gochat.tui.model.chat import ChatModel


def conversation(name: str, head: int = 0, **fields: Any) -> Conversation:
    return Conversation(name=name, epoch="e", head=head, time=None, **fields)


def message(seq: int, to: str, **fields: Any) -> LogEntry:
    if to == "@ada":
        fields.setdefault("conv", "@mei")
    entry = wire.Message(to=to, epoch="e", seq=seq, ts=1, from_="mei", text="x", **fields)
    return to_entry(entry, "ada")


@pytest.fixture
def model() -> ChatModel:
    model = ChatModel("ada", clock=lambda: 0.0, now=lambda: 0.0)
    names = ("#lobby", "#bees", "#Ants", "#cats", "@mei", "@bo")
    model.apply(Synchronised((), tuple(conversation(name, 5, read=5) for name in names)))
    return model


def listed(model: ChatModel) -> dict[str, list[str]]:
    return {group.name: list(group.convs) for group in model.groups()}


QUIET = {"rooms": ["#lobby", "#Ants", "#bees", "#cats"], "private": ["@bo", "@mei"]}


def test_without_anything_unread_the_list_is_by_name(model: ChatModel) -> None:
    assert listed(model) == QUIET


def test_invitations_are_by_name_too(model: ChatModel) -> None:
    for room in ("#room10", "#room2", "#Room1"):
        model.apply(Invited(Invitation(room=room, sender="mei", time=moment(0))))
    assert listed(model)["invitations"] == ["#Room1", "#room2", "#room10"]


def test_unread_is_first_with_mentions_and_private_messages_before_the_rest(
    model: ChatModel,
) -> None:
    model.apply(message(6, "#Ants"))
    model.apply(message(6, "#cats", mentions=("ada",)))
    model.apply(message(6, "@ada"))
    assert listed(model) == {
        "unread": ["#cats", "@mei", "#Ants"],
        "rooms": ["#lobby", "#bees"],
        "private": ["@bo"],
    }


def test_what_is_opened_from_unread_stays_there_until_another_is(model: ChatModel) -> None:
    model.apply(message(6, "#Ants"))
    model.apply(message(6, "@ada"))
    model.show("#Ants")
    model.mark_read(6)
    assert listed(model)["unread"] == ["@mei", "#Ants"]
    model.show("#lobby")
    assert listed(model)["unread"] == ["@mei"]


def test_what_arrives_in_the_shown_conversation_moves_nothing(model: ChatModel) -> None:
    model.show("#bees")
    model.apply(message(6, "#bees"))
    assert model.conversations["#bees"].unread == 1
    assert listed(model) == QUIET


def test_the_order_of_the_numbered_keys_does_not_depend_on_what_is_unread(
    model: ChatModel,
) -> None:
    before = [view.conv for view in model.ordered()]
    model.apply(message(6, "@ada"))
    assert [view.conv for view in model.ordered()] == before
    model.toggle_favourite("#cats")
    assert [view.conv for view in model.ordered()][:2] == ["#cats", "#lobby"]


def test_favourites_and_invitations_have_groups_of_their_own(model: ChatModel) -> None:
    model.toggle_favourite("@bo")
    model.toggle_favourite("#cats")
    model.apply(Invited(Invitation(room="#den", sender="mei", time=moment(0))))
    assert listed(model) == {
        "invitations": ["#den"],
        "favourites": ["#cats", "@bo"],
        "rooms": ["#lobby", "#Ants", "#bees"],
        "private": ["@mei"],
    }


def test_muted_conversations_are_not_among_the_unread(model: ChatModel) -> None:
    model.set_level("#Ants", "none")
    model.apply(message(6, "#Ants", mentions=("ada",)))
    assert listed(model) == QUIET
