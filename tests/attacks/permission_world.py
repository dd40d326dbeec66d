"""Who tries what `permissions.py` says: for each of the server's roles one person, and for each
place a conversation in which they are what its heading says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final, TypeAlias

import trio
from attacker import connection
from msgspec import structs
from peers import Peer
from permissions import MODES, PEOPLE, Place

from gochat.chat import names
from gochat.chat.server_roles import ServerRole
from gochat.protocol.messages import (
    Ban,
    Block,
    CreateRoom,
    Error,
    Hello,
    Invite,
    Join,
    Ping,
    Send,
    ServerInfo,
    SetAnnouncements,
    SetArchived,
    SetOperator,
    SetSlowMode,
)
from gochat.server.server import Server

#: Who tries everything, by their role at the server.
ACTORS: Final[Mapping[ServerRole, str]] = {"member": "mel", "moderator": "mod", "admin": "ada"}
#: An operator of each room; a member; an operator whom others can remove; one who is in no room;
#: and one who is banned from all.
OWNER, SUBJECT, PEER, OUTSIDER, BANNED = "owen", "sue", "otto", "dan", "eve"
#: Whom all who try block, and who blocks them.
BLOCKED, BLOCKER = "ben", "kim"
#: Longer than the test.
SLOW: Final = 21_600
#: Each deletes another message.
DELETIONS: Final = len(ACTORS)

#: Who sends a request that undoes another, and the request.
Undo: TypeAlias = tuple[str, Any]


@dataclass
class Conversation:
    """A conversation of one of the places, or a room that several people are in alike."""

    place: Place
    address: str
    #: A message of somebody else, and those to be deleted.
    theirs: int = 1
    to_delete: list[int] = field(default_factory=list)
    #: The same of who tries, by name.
    own: dict[str, int] = field(default_factory=dict)
    own_to_delete: dict[str, int] = field(default_factory=dict)

    @property
    def is_private(self) -> bool:
        return "private" in self.place.value

    @property
    def role(self) -> str:
        """Who one is there, if it is a room."""
        return self.place.value.partition(": ")[2]

    @property
    def slow(self) -> int:
        return SLOW if self.place is Place.SLOW_MEMBER else 0

    @property
    def announces(self) -> bool:
        return "announcements" in self.place.value

    @property
    def is_archived(self) -> bool:
        return "archived" in self.place.value


class World:
    """The server's people, and the conversations of each who tries everything."""

    def __init__(self, server: Server, nursery: trio.Nursery) -> None:
        self._server, self._nursery = server, nursery
        self.peers: dict[str, Peer] = {}
        self.rooms: list[Conversation] = []
        #: The private conversations, by who tries.
        self.people: dict[str, list[Conversation]] = {}

    def connection(self) -> Peer:
        return connection(self._server, self._nursery)

    def conversations(self, actor: str) -> Mapping[Place, Conversation]:
        return {one.place: one for one in (*self.rooms, *self.people[actor])}

    async def ask(self, who: str, *requests: Any) -> list[Any]:
        """Send requests together, which all must be granted; return the replies."""
        replies = await self.replies(who, requests)
        assert not any(isinstance(reply, Error) for reply in replies), (who, requests, replies)
        return replies

    async def replies(self, who: str, requests: Sequence[Any]) -> list[Any]:
        """Send requests together; return the reply to each."""
        return await replies(self.peers[who], requests)

    async def carry_out(self, all_steps: Sequence[Sequence[Undo]]) -> None:
        """Carry out steps: the first ones of each list together, then the second ones …"""
        for steps in zip_longest(*all_steps):
            by_person: dict[str, list[Any]] = {}
            for who, request in filter(None, steps):
                by_person.setdefault(who, []).append(request)
            for who, requests in by_person.items():
                await self.ask(who, *requests)

    # -- how it begins ----------------------------------------------------------------------------

    async def begin(self) -> None:
        others = (OWNER, SUBJECT, PEER, OUTSIDER, BANNED, BLOCKED, BLOCKER)
        for name in (*ACTORS.values(), *others):
            self.peers[name] = self.connection()
            await self.peers[name].log_in(name)
            await self.peers[name].ask(Hello(), ServerInfo)  # so that errors have args
        self.rooms = [
            Conversation(place, "#lobby" if place is Place.LOBBY else f"#{place.name.lower()}")
            for place in Place
            if place not in PEOPLE
        ]
        for room in self.rooms:
            if room.place is not Place.ABSENT:
                await self._furnish(room)
        # Only now: nobody bans who has a higher role from a public room.
        for role, name in ACTORS.items():
            await self._set_role(name, role)
        for actor in ACTORS.values():
            await self._befriend(actor)

    async def _set_role(self, name: str, role: ServerRole) -> None:
        store = self._server.services.store
        account = await store.account(names.fold(name))
        assert account is not None
        await store.administration.change_account(account, structs.replace(account, role=role))

    async def _furnish(self, room: Conversation) -> None:
        """Create a room, and give everybody their role and their messages in it."""
        at, insiders = room.address, [*ACTORS.values()]
        if room.place is not Place.LOBBY:
            await self.ask(OWNER, CreateRoom(room=at, private=room.is_private))
            members = [SUBJECT, PEER]
            if room.role in ("member", "operator"):
                members += insiders
            invited = members + insiders * (room.role == "invited")
            await self.ask(OWNER, *(Invite(room=at, name=name) for name in invited))
            for name in members:
                await self.ask(name, Join(room=at))
            banned = [BANNED] + insiders * (room.role == "banned")
            await self.ask(OWNER, *(Ban(room=at, name=name) for name in banned))
            operators = [PEER] + insiders * (room.role == "operator")
            await self.ask(OWNER, *(SetOperator(room=at, name=name) for name in operators))
            insiders = insiders * (room.role in ("member", "operator"))
        room.theirs, *room.to_delete = await self._talk(SUBJECT, at, 1 + DELETIONS)
        for name in insiders:
            room.own[name], room.own_to_delete[name] = await self._talk(name, at, 2)
        if room.place in MODES:
            await self.ask(OWNER, *self._modes(room))
        if room.slow:
            for name in insiders:
                await self._talk(name, at, 1)

    def _modes(self, room: Conversation) -> list[Any]:
        return [
            SetSlowMode(room=room.address, seconds=room.slow),
            SetAnnouncements(room=room.address, on=room.announces),
            SetArchived(room=room.address, on=room.is_archived),
        ]

    async def _talk(self, who: str, to: str, times: int) -> list[int]:
        sent = await self.ask(who, *[Send(to=to, text="hi")] * times)
        return [one.seq for one in sent]

    async def _befriend(self, actor: str) -> None:
        """Begin the private conversations of somebody."""
        others = {
            Place.PERSON: SUBJECT,
            Place.ONESELF: actor,
            Place.BLOCKED: BLOCKED,
            Place.BLOCKER: BLOCKER,
        }
        talks = [Conversation(Place.NOBODY, "@nobody")]
        for place, other in others.items():
            talk = Conversation(place, f"@{other}")
            talk.own[actor], talk.own_to_delete[actor] = await self._talk(actor, f"@{other}", 2)
            if other != actor:
                [talk.theirs] = await self._talk(other, f"@{actor}", 1)
                talk.to_delete = [talk.theirs]
            talks.append(talk)
        self.people[actor] = talks
        await self.ask(actor, Block(name=BLOCKED))
        await self.ask(BLOCKER, Block(name=actor))


async def replies(peer: Peer, requests: Sequence[Any]) -> list[Any]:
    """Send requests together; return the reply to each."""
    numbered = [structs.replace(one, request_id=str(number)) for number, one in enumerate(requests)]
    await peer.send(*numbered, Ping(request_id="last"))
    peer.received.clear()
    await peer.expect_last("last")
    by_id = {getattr(reply, "request_id", None): reply for reply in peer.received}
    return [by_id.get(str(number)) for number in range(len(requests))]
