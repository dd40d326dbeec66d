"""The commands about who may register, and what they do at once, on all nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from admin_peer import AdminPeer, administered, needs_linux
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.protocol.messages import (
    CreateRoom,
    Error,
    LoggedIn,
    Login,
    MemberList,
    Members,
    Payload,
    Register,
    Sent,
)

pytestmark = [pytest.mark.trio, needs_linux]


class Place:
    """The admin socket of a server, and, on Redis, another node, where people register."""

    def __init__(self, server: RunningServer, admin: AdminPeer) -> None:
        self.server = server
        self.admin = admin

    async def register(self, name: str, invite: str | None = None) -> str:
        """Register; return "", or the code of the refusal."""
        async with self.server.connect() as peer:
            request = Register(name=name, password=PASSWORD, invite=invite)
            reply = await peer.ask(request, Payload)
            return reply.code if isinstance(reply, Error) else ""


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "sqlite":
        async with administered(tmp_path) as (server, admin):
            yield Place(server, admin)
        return
    redis: RedisServer = request.getfixturevalue("redis_server")
    store = Nodes(redis).url()
    async with (
        administered(tmp_path, store=store) as (_, admin),
        running_server(config(store=store)) as other,
    ):
        yield Place(other, admin)


async def test_mode_holds_at_once_and_goes_back_to_the_configured_one(place: Place) -> None:
    assert await place.admin.ask("registration show") == {
        "mode": "open",
        "stored": "",
        "configured": "open",
    }
    assert await place.register("mei") == ""
    for mode, code in (("closed", "registration_closed"), ("invite", "bad_invite"), ("open", "")):
        reply = await place.admin.ask(f"registration {mode}", "we had a visit")
        assert (reply["mode"], reply["stored"]) == (mode, mode)
        assert await place.register(f"in-{mode}") == code
    await place.admin.ask("registration closed")
    assert (await place.admin.ask("registration default"))["mode"] == "open"
    assert await place.register("bob") == ""
    acts = (await place.admin.ask("audit"))["acts"]
    assert [(act["act"], act["detail"], act["reason"]) for act in reversed(acts)][:2] == [
        ("registration closed", "open to closed", "we had a visit"),
        ("registration invite", "closed to invite", "we had a visit"),
    ]


async def test_invitation_from_its_making_to_its_end(place: Place) -> None:
    await place.admin.ask("registration invite")
    made = await place.admin.ask("invitation create", uses=2, days=3, note="class 7b")
    assert await place.register("mei", made["code"]) == ""
    [listed] = (await place.admin.ask("invitation list"))["invitations"]
    shown = {name: listed[name] for name in ("id", "state", "used", "uses", "maker", "note")}
    assert shown == {
        "id": made["id"],
        "state": "usable",
        "used": 1,
        "uses": 2,
        "maker": "(owner)",
        "note": "class 7b",
    }
    assert listed["expires"] - listed["created"] == 3 * 24 * 3600 * 1000
    assert made["code"] not in repr(listed)
    shown = await place.admin.ask("invitation show", id=made["id"])
    assert (shown["accounts"], shown["used"]) == (["mei"], 1)
    assert (await place.admin.ask("invitation revoke", id=made["id"]))["state"] == "revoked"
    assert await place.register("bob", made["code"]) == "bad_invite"
    assert await place.admin.refused("invitation revoke", id=made["id"]) == "bad_request"
    assert await place.admin.refused("invitation show", id="nothing") == "bad_request"
    acts = [act["act"] for act in (await place.admin.ask("audit"))["acts"]]
    assert acts == ["invitation revoke", "invitation create", "registration invite"]
    assert made["code"] not in repr(await place.admin.ask("audit"))


async def test_list_comes_in_pages_and_can_leave_out_what_is_over(place: Place) -> None:
    ids = [(await place.admin.ask("invitation create"))["id"] for _ in range(5)]
    await place.admin.ask("invitation revoke", id=ids[1])
    first = await place.admin.ask("invitation list", limit=2)
    second = await place.admin.ask("invitation list", limit=500, after=first["next"])
    found = [one["id"] for page in (first, second) for one in page["invitations"]]
    assert sorted(found) == sorted(ids)
    assert second["next"] == ""
    usable = (await place.admin.ask("invitation list", usable=True))["invitations"]
    assert {one["id"] for one in usable} == {*ids} - {ids[1]}


async def test_room_needs_a_maker_who_may_invite_there(place: Place) -> None:
    assert await place.register("mei") == ""
    async with place.server.connect() as peer:
        await peer.ask(Login(name="mei", password=PASSWORD), LoggedIn)
        await peer.ask(CreateRoom(room="#den", private=True), Sent)
        for arguments, code in (
            ({"room": "#den"}, "not_permitted"),
            ({"room": "#nowhere"}, "unknown_conversation"),
            ({"room": "#den", "maker": "nobody"}, "unknown_person"),
        ):
            assert await place.admin.refused("invitation create", **arguments) == code
        made = await place.admin.ask("invitation create", room="#den", maker="mei")
        assert made["room"] == "#den"
        assert await place.register("bob", made["code"]) == ""
        assert await members_of(peer) == ["bob", "mei"]


async def members_of(peer: Peer) -> list[str]:
    page = await peer.ask(Members(room="#den"), MemberList)
    return [member.name for member in page.members]
