"""Deleting an account: what ends, what stays, and what others then see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from admin_peer import AdminPeer, administered, connected, needs_linux
from msgspec import structs
from patience import eventually
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer
from store_files import opened

from gochat.chat.names import NameKey
from gochat.config import Admin
from gochat.protocol.messages import (
    Block,
    Bye,
    CreateRoom,
    Error,
    Found,
    History,
    HistoryPage,
    Invite,
    Join,
    Login,
    MemberList,
    Members,
    Message,
    Ok,
    Payload,
    React,
    Register,
    Search,
    Send,
    Sent,
    Sync,
    Synced,
)
from gochat.protocol.text import DELETED
from gochat.server import deleted_accounts

pytestmark = [pytest.mark.trio, needs_linux]


class Place:
    """A server with its admin socket, and, on Redis, another node, where the others are."""

    def __init__(self, server: RunningServer, other: RunningServer, admin: AdminPeer) -> None:
        self.server = server
        self.other = other
        self.admin = admin


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    monkeypatch.setattr(deleted_accounts, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(deleted_accounts, "PAUSE", 0.0)
    if request.param == "sqlite":
        async with administered(tmp_path) as (server, admin):
            yield Place(server, server, admin)
        return
    redis: RedisServer = request.getfixturevalue("redis_server")
    configuration = config(store=Nodes(redis).url())
    path = tmp_path / "admin"
    one = structs.replace(configuration, admin=Admin(socket=str(path)))
    async with (
        running_server(one) as server,
        running_server(configuration) as other,
        connected(path) as admin,
    ):
        yield Place(server, other, admin)


async def code(peer: Peer, request: Payload) -> str:
    reply = await peer.ask(request, Error)
    return reply.code


async def page(peer: Peer, conv: str) -> tuple[Message, ...]:
    return (await peer.ask(History(conv=conv, limit=50), HistoryPage)).entries


async def test_account_is_gone_and_what_it_wrote_has_no_name(place: Place) -> None:
    async with (
        place.server.peer("Mei", "log") as mei,
        place.other.peer("Bob", "log") as bob,
        place.other.peer("Eve", "log") as eve,
    ):
        await mei.ask(CreateRoom(room="#Den"), Sent)
        await mei.ask(CreateRoom(room="#own", private=True), Sent)
        await mei.ask(Invite(room="#own", name="Eve"), Sent)
        for one in (bob, eve):
            await one.ask(Join(room="#den"), Sent)
        said = await bob.ask(Send(to="#lobby", text="who waters the plants?"), Sent)
        await mei.ask(Send(to="#lobby", text="I watered them"), Sent)
        await mei.ask(React(to="#lobby", seq=said.seq, emoji="👍"), Sent)
        await mei.ask(Send(to="@Bob", text="and the plants in the hall"), Sent)
        await mei.ask(Block(name="Eve"), Ok)
        made = await place.admin.ask("invitation create", maker="mei")

        done = await place.admin.ask("account delete", "she asked for it", name="mei")
        assert done == {
            "name": "Mei",
            "state": "deleted",
            "sessions_ended": True,
            "deserted": ["#own"],
        }
        assert "deleted" in (await mei.expect(Bye)).text

        async with place.other.connect() as nobody:
            login = Login(name="Mei", password=PASSWORD)
            assert await code(nobody, login) == "bad_credentials"
            assert await code(nobody, Register(name="mei", password=PASSWORD)) == "name_taken"
        members = await bob.ask(Members(room="#den"), MemberList)
        assert [(one.name, one.operator) for one in members.members] == [
            ("Bob", True), ("Eve", False),
        ]  # fmt: skip
        assert (await eve.ask(Sync(), Synced)).invitations == ()
        shown = await place.admin.ask("account show", name="mei")
        assert (shown["state"], shown["password"], shown["sessions"], shown["rooms"]) == (
            "deleted", "none", [], ["#lobby"],
        )  # fmt: skip
        assert (await place.admin.ask("invitation show", id=made["id"]))["state"] == "revoked"

        async def without_name() -> bool:
            return DELETED in {entry.from_ for entry in await page(bob, "#lobby")}

        await eventually(without_name)
        lobby = await page(bob, "#lobby")
        assert "Mei" not in {entry.from_ for entry in lobby}
        assert lobby[1].text == "I watered them"
        assert lobby[0].reactions[0].names == (DELETED,)
        (private,) = await page(bob, "@Mei")
        assert (private.from_, private.conv, private.text) == (
            DELETED, "@Mei", "and the plants in the hall",
        )  # fmt: skip
        synced = await bob.ask(Sync(limit=50), Synced)
        assert "Mei" not in {e.from_ for one in synced.conversations for e in one.entries}
        found = await bob.ask(Search(query="plants"), Found)
        assert {one.from_ for one in found.hits} == {"Bob", DELETED}
        assert (await bob.ask(Search(query="from:mei"), Found)).hits == ()

        assert await code(bob, Send(to="@Mei", text="hello?")) == "unknown_person"
        assert await code(bob, Invite(room="#den", name="Mei")) == "unknown_person"
        await eve.ask(Send(to="#lobby", text="bye, @Mei"), Sent)
        assert (await page(bob, "#lobby"))[-1].mentions == ()
        acts = (await place.admin.ask("audit"))["acts"]
        assert [(acts[0][name]) for name in ("act", "subject", "detail", "reason")] == [
            "account delete", "Mei", "messages: keep", "she asked for it",
        ]  # fmt: skip


async def test_deletion_can_be_repeated_and_nothing_else_be_done(place: Place) -> None:
    async with place.server.peer("Mei", "log"), place.other.peer("Bob", "log") as bob:
        await bob.ask(CreateRoom(room="#den"), Sent)
        await place.admin.ask("account mute", name="mei")
        await place.admin.ask("account delete", name="mei")
        await place.admin.ask("account delete", name="mei")
        assert (await place.admin.ask("account restrictions"))["restrictions"] == []
        for command in ("enable", "disable", "reset-password", "ban", "mute"):
            assert await place.admin.refused(f"account {command}", name="mei") == "bad_request"
        assert await place.admin.refused("role set", name="mei", role="admin") == "bad_request"
        assert await place.admin.refused("bot on", name="mei") == "bad_request"
        refused = await place.admin.refused("room hand-over", room="#den", name="mei")
        assert refused == "bad_request"
        assert await place.admin.refused("account delete", name="nobody") == "unknown_person"


async def test_messages_go_while_others_write(place: Place) -> None:
    """They are deleted like others, so who is there sees it."""
    async with place.server.peer("Mei", "log") as mei, place.other.peer("Bob", "log") as bob:
        await bob.ask(CreateRoom(room="#den"), Sent)
        await mei.ask(Join(room="#den"), Sent)
        for number in range(30):
            await mei.ask(Send(to="#den", text=f"mei {number}"), Sent)
        said = await bob.ask(Send(to="#den", text="bob"), Sent)
        await mei.ask(React(to="#den", seq=said.seq, emoji="👍"), Sent)
        await mei.ask(Send(to="@Bob", text="psst"), Sent)
        done = await place.admin.ask("account delete", name="mei", messages="remove")
        assert done["state"] == "removing"
        await bob.ask(Send(to="#den", text="still here"), Sent)

        async def is_done() -> bool:
            shown = await place.admin.ask("account show", name="mei")
            return bool(shown["state"] == "deleted")

        await eventually(is_done)
        await bob.expect(Message, lambda one: one.kind == "delete" and one.to == "#den")
        den = (await bob.ask(History(conv="#den", after=0, limit=50), HistoryPage)).entries
        texts = [entry for entry in den if entry.kind == "text"]
        assert [entry.text for entry in texts if not entry.deleted] == ["bob", "still here"]
        assert len([entry for entry in texts if entry.deleted]) == 30
        assert not any(entry.reactions for entry in texts)
        (private, _) = await page(bob, "@Mei")
        assert private.deleted
        assert (await bob.ask(Search(query="mei"), Found)).hits == ()


async def test_removal_goes_on_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleted_accounts, "PAUSE", 0.0)
    path = tmp_path / "chat.db"
    async with opened(path) as chat:
        await chat.register("Mei")
        await chat.say("Mei", "#lobby", "hello")
        before = await chat.store.account(NameKey("mei"))
        assert before is not None
        after = structs.replace(before, state="removing")
        assert await chat.store.administration.change_account(before, after)
    configuration = config(store=f"sqlite:///{path}")
    async with running_server(configuration) as server, server.peer("Bob", "log") as bob:

        async def is_deleted() -> bool:
            entries = await page(bob, "#lobby")
            return entries[0].deleted and entries[0].from_ == DELETED

        await eventually(is_deleted)
