"""Rooms that admins hand over in the chat: who may, which ones, and what is recorded of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from moderated import Stage, open_stage, stores_of
from peers import Peer

from gochat.chat import operating
from gochat.chat.names import NameKey
from gochat.chat.server_roles import ServerRole
from gochat.chat.store import Store
from gochat.protocol.messages import (
    CreateRoom,
    Error,
    HandOver,
    Invite,
    Leave,
    MemberList,
    Members,
    Message,
    Ok,
    Sent,
    SetAccess,
)

pytestmark = pytest.mark.trio


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with open_stage(*stores_of(request)) as stage:
        yield stage


async def refused(peer: Peer, room: str, name: str) -> tuple[str, str]:
    """Return code and rule of the error."""
    error = await peer.ask(HandOver(room=room, name=name), Error)
    return error.code, str(error.args.get("rule", ""))


async def operators(peer: Peer, room: str) -> dict[str, bool]:
    found = await peer.ask(Members(room=room), MemberList)
    return {member.name: member.operator for member in found.members}


async def test_admin_makes_somebody_an_operator_of_a_public_room(stage: Stage) -> None:
    mei, bob = await stage.peer("mei", "admin"), await stage.peer("bob")
    eve = await stage.peer("eve")
    await eve.ask(CreateRoom(room="#garden"), Sent)
    await mei.ask(HandOver(room="#Garden", name="@Bob", reason="eve left"), Ok)
    entry = await eve.expect(Message, lambda entry: entry.kind == "hand_over")
    assert (entry.from_, entry.to) == ("bob", "#garden")
    assert await operators(bob, "#garden") == {"bob": True, "eve": True}
    await mei.ask(HandOver(room="#garden", name="bob"), Ok)  # who is one already
    assert await stage.acts() == [
        ("mei (admin)", "room hand-over", "bob", "operator of #garden", "eve left")
    ]


async def test_only_admins_may_and_only_in_public_rooms(stage: Stage) -> None:
    mei, bob = await stage.peer("mei", "admin"), await stage.peer("bob", "moderator")
    await bob.ask(CreateRoom(room="#garden"), Sent)
    await bob.ask(CreateRoom(room="#den", private=True), Sent)
    assert await refused(bob, "#garden", "mei") == ("not_permitted", "role")
    assert await refused(bob, "#none", "mei") == ("not_permitted", "role")
    assert await refused(mei, "#den", "mei") == await refused(mei, "#none", "mei")
    await bob.ask(Invite(room="#den", name="mei"), Sent)
    assert await refused(mei, "#den", "mei") == ("not_permitted", "private")
    await bob.ask(Leave(room="#den"), Sent)  # nobody is in it any more
    assert (await refused(mei, "#den", "mei"))[0] == "unknown_conversation"
    assert await refused(mei, "#lobby", "mei") == ("not_permitted", "lobby")
    assert (await refused(mei, "#garden", "zoe"))[0] == "unknown_person"
    error = await mei.ask(HandOver(room="#garden", name="mei", reason="x" * 201), Error)
    assert error.code == "text_too_long"
    assert await stage.acts() == [], "what is refused is no act"


@pytest.mark.parametrize("kind", ["role", "access"])
async def test_what_changes_before_the_commit_counts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mei, bob = await stage.peer("mei", "admin"), await stage.peer("bob")
    await bob.ask(CreateRoom(room="#garden"), Sent)
    look = operating.server_role
    looked = 0

    async def role(store: Store, person: NameKey) -> ServerRole:
        nonlocal looked
        looked += 1
        found = await look(store, person)
        if looked == 2:  # it was decided, and is not committed yet
            if kind == "role":
                await stage.set_role("mei", "moderator")
            else:
                await bob.ask(SetAccess(room="#garden", private=True), Sent)
        return found

    monkeypatch.setattr(operating, "server_role", role)
    expected = {"role": ("not_permitted", "role"), "access": ("unknown_conversation", "")}
    assert await refused(mei, "#garden", "mei") == expected[kind]
    assert "mei" not in await operators(bob, "#garden")
    (_, _, _, detail, _), (_, _, _, failed, _) = await stage.acts()
    assert (detail, failed.partition(":")[0]) == ("operator of #garden", "FAILED")
