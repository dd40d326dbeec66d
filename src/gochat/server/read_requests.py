"""Requests that only read or change the reader's state: pages, lists, searches, markers."""

from __future__ import annotations

from functools import partial
from typing import Final

from msgspec import structs

from gochat.chat import conversations, names
from gochat.chat.accounts import Identity
from gochat.chat.effort import measured
from gochat.chat.log_times import first_since
from gochat.chat.names import NameKey
from gochat.chat.refusals import not_inside
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode
from gochat.protocol import search_query
from gochat.protocol.messages import (
    BanList,
    Bans,
    Capability,
    Found,
    History,
    Mark,
    MemberList,
    Members,
    Ok,
    People,
    RoomList,
    Rooms,
    Search,
    Who,
)
from gochat.server.budget import scanning
from gochat.server.hub import OnlinePerson
from gochat.server.pages import as_received, fitting, history_page
from gochat.server.services import Services
from gochat.server.session import Session

#: Items in one reply, so that it fits its frame with the longest names and topics.
MAX_PEOPLE: Final = 200
MAX_ROOMS: Final = 32
MAX_BANS: Final = 24
#: Fields of `history` of which a request has at most one.
BOUNDS: Final = ("before", "after", "around", "at")


class ReadRequests:
    """Handles requests that read."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def _limits(self) -> Limits:
        return self._services.config.limits

    @property
    def _gone(self) -> set[NameKey]:
        return self._services.directory.gone

    async def who(
        self, session: Session, who: Identity, person: OnlinePerson, request: Who
    ) -> None:
        """Reply with a page of the people who are online."""
        roster = self._services.hub.roster
        after = fold_cursor(request.after)
        with_status = Capability.STATUS in session.caps
        people, more = roster.page(after, min(request.limit, MAX_PEOPLE), with_status=with_status)
        session.reply(
            People(people=people, total=len(roster), more=more, request_id=request.request_id)
        )

    async def history(
        self, session: Session, who: Identity, person: OnlinePerson, request: History
    ) -> None:
        """Reply with a page of a conversation's entries."""
        given = [name for name in BOUNDS if getattr(request, name) is not None]
        if len(given) > 1:
            raise ChatError(
                ErrorCode.BAD_REQUEST,
                "give one of before, after, around and at",
                field=given[0],
                details={"rule": "one_of"},
            )
        address = await self._services.drafts.address(who, person.rooms, request.conv, "conv")
        store = self._services.store
        limit = min(request.limit, self._limits.history_page)
        if request.at is not None:
            around = await first_since(store, address.key, who.key, request.at)
            request = structs.replace(request, at=None, around=around)
        before, after = request.before, request.after
        if request.around is not None:
            after = max(0, request.around - limit // 2 - 1)
        page = await store.page(
            address.key, viewer=who.key, before=before, after=after, limit=limit
        )
        if not page.is_inside:
            # Refused by the store's current state, or the person has joined again since the page
            # was read.
            await self._services.drafts.address(who, (), request.conv, "conv")
            raise not_inside(address.shown, "conv")
        seen = as_received(page.entries, who.key, self._gone, is_minimal=not session.caps)
        page = structs.replace(page, entries=seen)
        session.reply(history_page(request, address.shown, page, self._limits.frame_bytes))

    async def search(
        self, session: Session, who: Identity, person: OnlinePerson, request: Search
    ) -> None:
        """Reply with the messages that contain the words, and are of whom the query names."""
        query = search_query.parse(request.query)
        place, field = query.place, "query"
        if place is None:
            place, field = request.conv, "conv"
        session.grant.require_conversation(place, who.key, field)
        if not query.terms and query.sender is None:
            raise ChatError(
                ErrorCode.TEXT_EMPTY, "the search is empty: give a word to look for", field="query"
            )
        sender = None if query.sender is None else _sender(query.sender, who.key)
        if sender in self._gone:  # nobody is shown who wrote that
            session.reply(Found(hits=(), cursor=None, request_id=request.request_id))
            return
        key = None
        if place is not None:
            key = (await self._services.drafts.address(who, person.rooms, place, field)).key
        find = partial(
            self._services.store.search, who.key, query.terms,
            sender=sender, conversation=key, cursor=request.cursor or None,
        )  # fmt: skip
        with measured() as effort:
            hits, cursor = await find(limit=request.limit)
            hits = as_received(hits, who.key, self._gone, is_minimal=not session.caps)
            while (limit := len(fitting(hits, self._limits.frame_bytes))) < len(hits):
                hits, cursor = await find(limit=limit)
                hits = as_received(hits, who.key, self._gone, is_minimal=not session.caps)
        if more := scanning(effort.seconds):
            self._services.budgets.spend(session.address, who.key, more)
        session.reply(Found(hits=tuple(hits), cursor=cursor, request_id=request.request_id))

    async def mark(
        self, session: Session, who: Identity, person: OnlinePerson, request: Mark
    ) -> None:
        """Move the person's read marker, and set which messages notify them."""
        address = await self._services.drafts.address(who, person.rooms, request.conv, "conv")
        store, is_changed = self._services.store, request.level is not None
        if request.level is not None and not await store.set_level(
            who.key, address.key, request.level
        ):
            if address.peer is not None:
                raise ChatError(
                    ErrorCode.BAD_REQUEST,
                    f"nothing has been written yet with {address.shown[1:]}: "
                    "choose the level after that",
                    field="level",
                    details={"rule": "empty"},
                )
            raise not_inside(address.shown, "conv")  # they have left it since
        if request.read is not None:
            is_changed |= await store.mark_read(who.key, address.key, request.read)
        if is_changed:
            await self._services.markers.publish(who.key, address.key)
        session.reply(Ok(request_id=request.request_id))

    async def rooms(
        self, session: Session, who: Identity, person: OnlinePerson, request: Rooms
    ) -> None:
        """Reply with a page of the rooms that the person may see."""
        rooms, more = await self._services.store.rooms(
            who.key, after=request.after, limit=min(request.limit, MAX_ROOMS)
        )
        session.reply(RoomList(rooms=tuple(rooms), more=more, request_id=request.request_id))

    async def members(
        self, session: Session, who: Identity, person: OnlinePerson, request: Members
    ) -> None:
        """Reply with a page of a room's members."""
        address = await self._services.drafts.address(who, person.rooms, request.room, "room")
        if not address.is_joined:
            raise ChatError(
                ErrorCode.BAD_REQUEST,
                f"{address.shown} is not a room: ask who is online",
                field="room",
                details={"rule": "room"},
            )
        roster = self._services.hub.roster
        members, total, more = await self._services.store.members(
            address.key, after=fold_cursor(request.after), limit=min(request.limit, MAX_PEOPLE)
        )
        await self._services.drafts.address(
            who, (), request.room, "room"
        )  # check again, after reading
        session.reply(
            MemberList(
                room=address.shown,
                members=tuple(
                    structs.replace(member, online=names.known(member.name) in roster)
                    for member in members
                ),
                total=total,
                more=more,
                request_id=request.request_id,
            )
        )

    async def bans(
        self, session: Session, who: Identity, person: OnlinePerson, request: Bans
    ) -> None:
        """Reply with a page of those who are banned from a room."""
        moderation = self._services.moderation
        room = await moderation.listed(who, request.room)
        bans, more = await self._services.store.bans(
            room.key, after=fold_cursor(request.after), limit=min(request.limit, MAX_BANS)
        )
        await moderation.listed(who, request.room)  # check again, after reading
        session.reply(
            BanList(room=room.name, bans=tuple(bans), more=more, request_id=request.request_id)
        )


def _sender(name: str, own: NameKey) -> NameKey:
    """Return whom ``from:`` names; ``me`` is the person. Whether they exist is not looked up."""
    if name.lower() == "me":
        return own
    return conversations.peer(conversations.key(f"@{name.removeprefix('@')}", own, "query"), own)


def fold_cursor(after: str) -> str:
    """Return the key after which a page of people begins, from the last name of the page before."""
    try:
        return names.fold(after) if after else ""
    except ChatError:
        return after
