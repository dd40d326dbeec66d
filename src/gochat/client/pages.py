"""Fetch whole lists that the server returns in pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

from gochat.client.errors import INVALID_REPLY, InvalidReply
from gochat.protocol import messages as wire
from gochat.protocol.messages import (
    AddressBan,
    Conversation,
    Member,
    OpenReport,
    Person,
    Pinned,
    Restriction,
    Room,
    RoomBan,
)

#: The most items in a list. No server has so many; one that always has more would fill memory.
MAX_LISTED: Final = 100_000

#: Names in one request.
NAMES: Final = 50

R = TypeVar("R", bound=wire.Reply)
T = TypeVar("T")


class Ask(Protocol):
    """Sends a request, and returns its reply, which is of the type expected."""

    async def __call__(self, request: wire.Request, expected: type[R], /) -> R:
        """Send the request. Exceptions propagate to the caller of the function that asks."""
        ...


async def people(ask: Ask) -> list[Person]:
    """Return everyone who is online, by name."""
    found: list[Person] = []
    while True:
        page = await ask(wire.Who(after=found[-1].name if found else ""), wire.People)
        _add(found, page.people)
        if not (page.more and page.people):
            return found


async def statuses(ask: Ask, names: Iterable[str]) -> list[Person]:
    """Return those of these people who have a status."""
    found: list[Person] = []
    left = list(dict.fromkeys(names))
    for start in range(0, len(left), NAMES):
        some = tuple(left[start : start + NAMES])
        found += (await ask(wire.Statuses(names=some), wire.StatusList)).people
    return found


async def conversations(ask: Ask) -> list[Conversation]:
    """Return the person's conversations, by address."""
    found: list[Conversation] = []
    after = ""
    while True:
        page = await ask(wire.Sync(after=after, limit=0), wire.Synced)
        _add(found, page.conversations)
        if page.next is None or page.next <= after:
            return found
        after = page.next


async def rooms(ask: Ask) -> list[Room]:
    """Return the public rooms and the person's own, by name."""
    found: list[Room] = []
    while True:
        page = await ask(wire.Rooms(after=found[-1].room if found else ""), wire.RoomList)
        _add(found, page.rooms)
        if not (page.more and page.rooms):
            return found


async def members(ask: Ask, room: str) -> list[Member]:
    """Return the members of a room, by name."""
    found: list[Member] = []
    while True:
        after = found[-1].name if found else ""
        page = await ask(wire.Members(room=room, after=after), wire.MemberList)
        _add(found, page.members)
        if not (page.more and page.members):
            return found


async def restrictions(ask: Ask) -> list[Restriction]:
    """Return who is banned from the server or muted, by name."""
    found: list[Restriction] = []
    while True:
        after = found[-1].name if found else ""
        page = await ask(wire.Restrictions(after=after), wire.RestrictionList)
        _add(found, page.restrictions)
        if not (page.more and page.restrictions):
            return found


async def address_bans(ask: Ask) -> list[AddressBan]:
    """Return the addresses and networks that are banned, in their order."""
    found: list[AddressBan] = []
    while True:
        after = found[-1].network if found else ""
        page = await ask(wire.AddressBans(after=after), wire.AddressBanList)
        _add(found, page.bans)
        if not (page.more and page.bans):
            return found


async def reports(ask: Ask) -> list[OpenReport]:
    """Return the reports that wait for the person, by id."""
    found: list[OpenReport] = []
    while True:
        page = await ask(wire.Reports(after=found[-1].id if found else 0), wire.ReportList)
        _add(found, page.reports)
        if not (page.more and page.reports):
            return found


async def pins(ask: Ask, conversation: str) -> list[Pinned]:
    """Return what is pinned in a conversation, what was pinned last first."""
    found: list[Pinned] = []
    while True:
        before = found[-1].seq if found else None
        request = wire.Pins(conv=conversation, before=before, limit=50)
        page = await ask(request, wire.PinList)
        _add(found, page.pins)
        if not (page.more and page.pins):
            return found


async def blocked(ask: Ask) -> list[str]:
    """Return the names of those whom the person blocks, in order."""
    found: list[str] = []
    while True:
        page = await ask(wire.Blocks(after=found[-1] if found else ""), wire.BlockList)
        _add(found, page.names)
        if not (page.more and page.names):
            return found


async def bans(ask: Ask, room: str) -> list[RoomBan]:
    """Return who is banned from a room, by name."""
    found: list[RoomBan] = []
    while True:
        after = found[-1].name if found else ""
        page = await ask(wire.Bans(room=room, after=after), wire.BanList)
        _add(found, page.bans)
        if not (page.more and page.bans):
            return found


def _add(found: list[T], page: Sequence[T]) -> None:
    """Add a page to the list. Raises InvalidReply if the list does not end."""
    found += page
    if len(found) > MAX_LISTED:
        raise InvalidReply(INVALID_REPLY, "the server sent a list that does not end")
