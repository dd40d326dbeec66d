"""Attacks on rules by concurrent requests: on one server with SQLite, on two with one Redis.

Each race breaks a rule if it is only checked before the commit: a room with members has an
operator, nobody joins a room that has become private, a removed member neither writes nor reads, a
message takes a bounded number of emoji. GOCHAT_TEST_ROUNDS is how often each race is run.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from typing import Any, Final, TypeAlias
from unittest import mock

import pytest
import trio
from peers import Peer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat import drafts
from gochat.protocol.messages import (
    Ban,
    CreateRoom,
    History,
    HistoryPage,
    Invite,
    Join,
    Kick,
    Leave,
    MemberList,
    Members,
    Message,
    Payload,
    React,
    Send,
    Sent,
    SetAccess,
    SetOperator,
)

pytestmark = pytest.mark.trio

ROUNDS: Final = int(os.environ.get("GOCHAT_TEST_ROUNDS", "8"))
#: What the removed member writes at the same moment.
BURST: Final = 8

Cast: TypeAlias = tuple[Peer, Peer, Peer]


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def stores(request: pytest.FixtureRequest) -> list[str]:
    """The URL of each server's store."""
    if request.param == "sqlite":
        return ["sqlite:///:memory:"]
    redis: RedisServer = request.getfixturevalue("redis_server")
    return [Nodes(redis).url()] * 2


@asynccontextmanager
async def cast(stores: list[str]) -> AsyncIterator[Cast]:
    """Mei, Bob and Eve, logged in at the servers in turn."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(running_server(config(store=url))) for url in stores
        ]
        mei, bob, eve = [
            await stack.enter_async_context(server.peer(name, "log"))
            for name, server in zip(("mei", "bob", "eve"), cycle(servers), strict=False)
        ]
        yield mei, bob, eve


async def together(*requests: tuple[Peer, Any]) -> None:
    """Send requests at the same moment; whether they are granted depends on the race."""

    async def ask(peer: Peer, request: Any) -> None:
        await peer.ask(request, Payload)

    async with trio.open_nursery() as nursery:
        for peer, request in requests:
            nursery.start_soon(ask, peer, request)


async def members(peer: Peer, room: str) -> dict[str, bool]:
    """Return the members of a room, as one of them sees it, and whether they are operators."""
    page = await peer.ask(Members(room=room), Payload)
    found = page.members if isinstance(page, MemberList) else ()
    return {member.name: member.operator for member in found}


async def entries(peer: Peer, room: str) -> tuple[Message, ...]:
    return (await peer.ask(History(conv=room), HistoryPage)).entries


async def create(mei: Peer, room: str, *others: Peer, private: bool = False) -> None:
    """Create a room of Mei's, with the others as members."""
    await mei.ask(CreateRoom(room=room, private=private), Sent)
    for other in others:
        if private:
            await mei.ask(Invite(room=room, name=other.name), Sent)
        await other.ask(Join(room=room), Sent)


async def share(mei: Peer, bob: Peer, room: str) -> None:
    await mei.ask(SetOperator(room=room, name=bob.name), Sent)


# -- the races: each returns whether a rule was broken --------------------------------------------


async def demote_each_other(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room, bob)
    await share(mei, bob, room)
    await together(
        (mei, SetOperator(room=room, name="bob", on=False)),
        (bob, SetOperator(room=room, name="mei", on=False)),
    )
    return not any((await members(mei, room)).values())


async def step_down_at_once(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room, bob)
    await share(mei, bob, room)
    await together(
        (mei, SetOperator(room=room, name="mei", on=False)),
        (bob, SetOperator(room=room, name="bob", on=False)),
    )
    return not any((await members(mei, room)).values())


async def leave_at_once(people: Cast, room: str) -> bool:
    mei, bob, eve = people
    await create(mei, room, bob, eve)
    await share(mei, bob, room)
    await together((mei, Leave(room=room)), (bob, Leave(room=room)))
    return not any((await members(eve, room)).values())


async def leave_to_who_leaves(people: Cast, room: str) -> bool:
    mei, bob, eve = people
    await create(mei, room, bob, eve)
    await together((mei, Leave(room=room)), (bob, Leave(room=room)))  # bob would have inherited it
    return not any((await members(eve, room)).values())


async def leave_alone_while_others_join(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room)
    await together((mei, Leave(room=room)), (bob, Join(room=room)))
    return not any((await members(bob, room)).values())


async def join_what_becomes_private(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room)
    await together((mei, SetAccess(room=room, private=True)), (bob, Join(room=room)))
    kinds = [entry.kind for entry in await entries(mei, room)]
    return "join" in kinds and kinds.index("join") > kinds.index("access")


async def join_after_the_invitation_was_withdrawn(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room, private=True)
    await mei.ask(Invite(room=room, name="bob"), Sent)
    await together((mei, Kick(room=room, name="bob")), (bob, Join(room=room)))
    # If the join came first, the kick removed a member.
    kinds = [entry.kind for entry in await entries(mei, room)]
    return "join" in kinds and "kick" in kinds and kinds.index("join") > kinds.index("kick")


async def join_after_the_ban(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room)
    await together((mei, Ban(room=room, name="bob")), (bob, Join(room=room)))
    # If the join came first, the ban removed a member.
    kinds = [entry.kind for entry in await entries(mei, room)]
    is_late = "join" in kinds and kinds.index("join") > kinds.index("ban")
    return is_late or "bob" in await members(mei, room)


async def invite_after_the_ban(people: Cast, room: str) -> bool:
    mei, bob, eve = people
    await create(mei, room, eve)
    await together((mei, Ban(room=room, name="bob")), (eve, Invite(room=room, name="bob")))
    kinds = [entry.kind for entry in await entries(mei, room)]
    is_late = "invite" in kinds and kinds.index("invite") > kinds.index("ban")
    await bob.ask(Join(room=room), Payload)
    return is_late or "bob" in await members(mei, room)


async def write_after_the_ban(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room, bob)
    burst = [Send(to=room, text=str(number)) for number in range(BURST)]
    await bob.send(*burst)
    await mei.ask(Ban(room=room, name="bob"), Sent)
    await bob.ask(Join(room=room), Payload)
    log = await entries(mei, room)
    ban = next(entry.seq for entry in log if entry.kind == "ban")
    return any(entry.from_ == "bob" and entry.seq > ban for entry in log)


async def write_after_the_kick(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room, bob)

    async def write() -> None:
        for number in range(BURST):
            await bob.ask(Send(to=room, text=str(number)), Payload)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await mei.ask(Kick(room=room, name="bob"), Sent)
    log = await entries(mei, room)
    kick = next(entry.seq for entry in log if entry.kind == "kick")
    return any(entry.from_ == "bob" and entry.seq > kick for entry in log)


async def read_after_the_kick(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room, bob, private=True)
    await mei.ask(Kick(room=room, name="bob"), Sent)
    # Bob's node may not know of it yet.
    page, who = await bob.ask(History(conv=room), Payload), await members(bob, room)
    return isinstance(page, HistoryPage) or bool(who)


async def react_beyond_the_bound(people: Cast, room: str) -> bool:
    mei, bob, eve = people
    await create(mei, room, bob, eve)
    seq = (await mei.ask(Send(to=room, text="hello"), Sent)).seq
    bound = 6  # three people can't give 20: each gives five at most
    with mock.patch.object(drafts, "MAX_REACTIONS", bound):
        few = [React(to=room, seq=seq, emoji=chr(0x1F331 + n)) for n in range(bound + 2)]
        for number, one in enumerate(few[:-3]):
            await people[number % 3].ask(one, Sent)
        await together(*zip(people, few[-3:], strict=True))
    (said,) = [entry for entry in await entries(mei, room) if entry.seq == seq]
    return len(said.reactions) > bound


async def join_what_everybody_has_left(people: Cast, room: str) -> bool:
    mei, bob, _ = people
    await create(mei, room, private=True)
    await mei.ask(Invite(room=room, name="bob"), Sent)
    await together((mei, Leave(room=room)), (bob, Join(room=room)))
    who = await members(bob, room)
    if not who:
        return False
    kinds = [entry.kind for entry in await entries(bob, room)]
    # A leave may be refused as busy: then both are members.
    joined_after = "leave" in kinds and kinds.index("join") > kinds.index("leave")
    return not any(who.values()) or joined_after


RACES: Final[list[Callable[[Cast, str], Awaitable[bool]]]] = [
    demote_each_other,
    step_down_at_once,
    leave_at_once,
    leave_to_who_leaves,
    leave_alone_while_others_join,
    join_what_becomes_private,
    join_after_the_invitation_was_withdrawn,
    join_after_the_ban,
    invite_after_the_ban,
    write_after_the_ban,
    write_after_the_kick,
    read_after_the_kick,
    react_beyond_the_bound,
    join_what_everybody_has_left,
]


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
async def test_rule_holds_under_concurrent_requests(
    stores: list[str], race: Callable[[Cast, str], Awaitable[bool]]
) -> None:
    broken = 0
    async with cast(stores) as people:
        for number in range(ROUNDS):
            broken += await race(people, f"#r{number}")
    assert broken == 0, f"{broken} of {ROUNDS}"
