"""Paged lists from a server that never ends them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from gochat.client import ChatError, pages
from gochat.protocol import messages as wire

pytestmark = pytest.mark.anyio

NUMBERS = count()


def page(request: wire.Request) -> Any:
    """Return a page of an endless list."""
    names = [f"{next(NUMBERS):09}" for _ in range(1000)]
    match request:
        case wire.Who():
            people = tuple(wire.Person(name=name) for name in names)
            return wire.People(people=people, total=1, more=True)
        case wire.Rooms():
            return wire.RoomList(rooms=tuple(wire.Room(room=name) for name in names), more=True)
        case wire.Members():
            members = tuple(wire.Member(name=name, since=0) for name in names)
            return wire.MemberList(room="#x", members=members, total=1, more=True)
        case _:
            conversations = tuple(wire.Conversation(conv=n, epoch="e", head=0) for n in names)
            return wire.Synced(conversations=conversations, next=names[-1])


@pytest.mark.parametrize(
    "fetch",
    [pages.people, pages.conversations, pages.rooms, lambda ask: pages.members(ask, "#x")],
    ids=["people", "conversations", "rooms", "members"],
)
async def test_endless_list_is_given_up(
    fetch: Callable[[pages.Ask], Awaitable[list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def ask(request: wire.Request, expected: type[Any], /) -> Any:
        nonlocal asked
        asked += 1
        return page(request)

    monkeypatch.setattr(pages, "MAX_LISTED", 5000)
    with pytest.raises(ChatError, match="does not end"):
        await fetch(ask)
    assert asked == 6
