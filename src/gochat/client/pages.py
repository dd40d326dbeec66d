"""Lists that the server hands out in pages, fetched whole."""

from __future__ import annotations

from typing import Protocol, TypeVar

from gochat.protocol import messages as wire
from gochat.protocol.messages import Conversation, Member, Person, Room

R = TypeVar("R", bound=wire.Reply)


class Ask(Protocol):
    """Sends a request, and returns its reply of the expected type."""

    async def __call__(self, request: wire.Request, expected: type[R], /) -> R:
        """Ask. What it raises leaves the function that asks."""
        ...


async def people(ask: Ask) -> list[Person]:
    """Return everybody who is online, by name."""
    found: list[Person] = []
    while True:
        page = await ask(wire.Who(after=found[-1].name if found else ""), wire.People)
        found += page.people
        if not (page.more and page.people):
            return found


async def conversations(ask: Ask) -> list[Conversation]:
    """Return the person's conversations, by name."""
    found: list[Conversation] = []
    while True:
        after = found[-1].conv if found else ""
        page = await ask(wire.Conversations(after=after), wire.ConversationList)
        found += page.conversations
        if not (page.more and page.conversations):
            return found


async def rooms(ask: Ask) -> list[Room]:
    """Return the public rooms and one's own, by name."""
    found: list[Room] = []
    while True:
        page = await ask(wire.Rooms(after=found[-1].room if found else ""), wire.RoomList)
        found += page.rooms
        if not (page.more and page.rooms):
            return found


async def members(ask: Ask, room: str) -> list[Member]:
    """Return the members of a room, by name."""
    found: list[Member] = []
    while True:
        after = found[-1].name if found else ""
        page = await ask(wire.Members(room=room, after=after), wire.MemberList)
        found += page.members
        if not (page.more and page.members):
            return found
