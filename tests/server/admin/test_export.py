"""What an export has, on both stores, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from admin_peer import AdminPeer, administered, needs_linux
from peers import RunningServer
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.protocol.messages import (
    Ban,
    Block,
    CreateRoom,
    Delete,
    Edit,
    Invite,
    Join,
    Ok,
    React,
    Save,
    Send,
    Sent,
    SetStatus,
)
from gochat.server.admin import export

pytestmark = [pytest.mark.trio, needs_linux]

SECRET = "between the two of us"


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[RunningServer, AdminPeer]]:
    """A server with something of everything in it, whose exports have small pages."""
    monkeypatch.setattr(export, "PAGE", 4)
    monkeypatch.setattr(export, "PIECE", 1)
    store = "sqlite:///:memory:"
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        store = Nodes(redis).url()
    async with (
        administered(tmp_path, store=store) as (server, admin),
        server.peer("Mei", "log") as mei,
        server.peer("Bob", "log") as bob,
        server.peer("Eve", "log"),
    ):
        await mei.ask(CreateRoom(room="#Den", topic="plants"), Sent)
        await bob.ask(Join(room="#den"), Sent)
        for number in range(5):
            await mei.ask(Send(to="#den", text=f"mei {number}"), Sent)
            await bob.ask(Send(to="#den", text=f"bob {number}"), Sent)
        await mei.ask(Edit(to="#den", seq=4, text="mei, edited"), Sent)
        await mei.ask(Delete(to="#den", seq=6), Sent)
        await bob.ask(React(to="#den", seq=4, emoji="👍"), Sent)
        await mei.ask(Ban(room="#den", name="Eve", reason="spam"), Sent)
        await mei.ask(Send(to="@Bob", text=SECRET), Sent)
        await bob.ask(CreateRoom(room="#own", private=True), Sent)
        await bob.ask(Invite(room="#own", name="Mei"), Sent)
        await mei.ask(Block(name="Eve"), Ok)
        await mei.ask(Save(to="@Bob", seq=1), Ok)
        await mei.ask(SetStatus(emoji="🌴", text="away"), Ok)
        yield server, admin


async def exported(admin: AdminPeer, command: str, **arguments: Any) -> list[dict[str, Any]]:
    """Ask for all pages, and return the records."""
    records: list[dict[str, Any]] = []
    cursor, pages = "", 0
    while cursor or not pages:
        page = await admin.ask(command, "asked for", **arguments, cursor=cursor)
        records += page["records"]
        cursor = page["next"]
        pages += 1
    assert pages > 1
    return records


def of(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in records if one["type"] == kind]


async def test_room_has_its_people_and_every_entry_once(
    place: tuple[RunningServer, AdminPeer],
) -> None:
    _, admin = place
    records = await exported(admin, "export room", room="#DEN")
    assert (records[0]["format"], records[0]["of"], records[0]["name"]) == (1, "room", "#Den")
    (room,) = of(records, "room")
    assert (room["topic"], room["members"], room["private"]) == ("plants", 2, False)
    people = [(one["name"], one.get("operator", False)) for one in of(records, "member")]
    assert people == [("Bob", False), ("Mei", True)]
    assert [(one["name"], one["reason"]) for one in of(records, "ban")] == [("Eve", "spam")]
    entries = of(records, "entry")
    assert [one["seq"] for one in entries] == list(range(1, len(entries) + 1))
    assert entries[3]["text"] == "mei, edited"
    assert entries[3]["reactions"][0]["names"] == ["Bob"]
    assert (entries[5].get("text", ""), entries[5]["deleted"]) == ("", True)
    assert SECRET not in repr(records)


async def test_person_has_what_is_theirs_and_nothing_of_others(
    place: tuple[RunningServer, AdminPeer],
) -> None:
    _, admin = place
    records = await exported(admin, "export account", name="mei")
    (account,) = of(records, "account")
    assert account["name"] == "Mei"
    assert "hash" not in repr(records)
    assert [one["address"] for one in of(records, "session")] == ["127.0.0.1"]
    assert [one["address"] for one in of(records, "address")] == ["127.0.0.1"]
    assert {one["conv"] for one in of(records, "conversation")} == {"#lobby", "#Den", "@Bob"}
    assert [(one["room"], one["from"]) for one in of(records, "invitation")] == [("#own", "Bob")]
    assert [one["name"] for one in of(records, "block")] == ["Eve"]
    assert [(one["emoji"], one["text"]) for one in of(records, "status")] == [("🌴", "away")]
    assert [(one["conv"], one["seq"]) for one in of(records, "saved")] == [("@Bob", 1)]
    assert not of(await exported(admin, "export account", name="bob"), "saved")
    entries = of(records, "entry")
    texts = [one.get("text", "") for one in entries if "kind" not in one]
    assert sorted(texts) == sorted(["mei, edited", "", "mei 2", "mei 3", "mei 4", SECRET])
    assert [one["from"] for one in entries if one["from"] != "Mei"] == ["Bob"]  # who invites her
    places = [(one["to"], one["seq"]) for one in entries]
    assert len(places) == len(set(places))
    assert not of(await exported(admin, "export account", name="eve"), "invitation")
    about_eve = of(await exported(admin, "export account", name="eve"), "entry")
    assert [one["kind"] for one in about_eve] == ["ban"]


async def test_export_is_recorded_once_and_refuses_what_is_not_there(
    place: tuple[RunningServer, AdminPeer],
) -> None:
    _, admin = place
    await exported(admin, "export room", room="#den")
    await exported(admin, "export account", name="Mei")
    acts = (await admin.ask("audit"))["acts"]
    assert [(one["act"], one["subject"], one["reason"]) for one in acts] == [
        ("export account", "Mei", "asked for"),
        ("export room", "#Den", "asked for"),
    ]
    about = of(await exported(admin, "export account", name="mei"), "act")
    assert [one["act"] for one in about] == ["export account", "export account"]
    assert await admin.refused("export room", room="@mei") == "unknown_conversation"
    assert await admin.refused("export room", room="#none") == "unknown_conversation"
    assert await admin.refused("export account", name="nobody") == "unknown_person"
    assert await admin.refused("export room", room="#den", cursor="x") == "bad_cursor"


async def test_person_has_what_restricts_them(place: tuple[RunningServer, AdminPeer]) -> None:
    _, admin = place
    await admin.ask("account mute", "loud", name="eve", seconds=60)
    (mute,) = of(await exported(admin, "export account", name="eve"), "restriction")
    assert (mute["kind"], mute["role"], mute["reason"]) == ("mute", "owner", "loud")
    assert mute["until"] == mute["since"] + 60_000
