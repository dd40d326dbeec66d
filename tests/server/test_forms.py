"""Forms, metadata, reasons, and `conv`: who is sent them, as bare JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from bare_wire import Wire, wire
from peers import RunningServer, config, running_server

from gochat.protocol.codec import encode
from gochat.server import posting

pytestmark = pytest.mark.trio

META = {"ci.example/build": "7"}
NEW = {"form", "meta", "reason", "conv"}


@asynccontextmanager
async def people(
    server: RunningServer, *names: str, caps: tuple[str, ...] = ("log", "typing")
) -> AsyncIterator[list[Wire]]:
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(wire(server)) for _ in names]
        for one, name in zip(found, names, strict=True):
            await one.log_in(name, *caps)
        yield found


async def event(one: Wire, kind: str = "message") -> dict[str, Any]:
    while (received := await one.receive())[0] != kind:
        pass
    return received[1]


async def ask(one: Wire, msg_type: str, **fields: Any) -> dict[str, Any]:
    """Return the reply to this request, not one to a `send` before it."""
    received = await one.ask(msg_type, **fields, request_id="this")
    while received[1].get("request_id") != "this":
        received = await one.reply()
    return received[1]


async def test_form_and_metadata_arrive_everywhere() -> None:
    async with running_server() as server, people(server, "mei", "bob") as (mei, bob):
        fields: dict[str, Any] = {"to": "#lobby", "text": "built", "form": "notice", "meta": META}
        await mei.send("send", **fields)
        said = await event(bob)
        assert said == await event(mei)
        assert (said["form"], said["meta"], "conv" in said) == ("notice", META, False)
        page = await ask(bob, "history", conv="#lobby")
        found = await ask(bob, "search", query="built")
        synced = await ask(bob, "sync")
        for entries in (page["entries"], found["hits"], synced["conversations"][0]["entries"]):
            assert entries == [said]
        await mei.ask("edit", to="#lobby", seq=1, text="built again")
        await mei.ask("delete", to="#lobby", seq=1, reason="a slip")
        await event(bob)
        deletion = await event(bob)
        assert (deletion["kind"], deletion["reason"]) == ("delete", "a slip")
        page = await ask(bob, "history", conv="#lobby")
        assert [NEW & entry.keys() for entry in page["entries"]] == [set(), set(), {"reason"}]


async def test_reason_of_a_removal_reaches_the_person_and_the_room() -> None:
    async with running_server() as server, people(server, "mei", "bob", "eve") as (mei, bob, eve):
        await mei.ask("create_room", room="#garden")
        for one in (bob, eve):
            await one.ask("join", room="#garden")
        await mei.ask("kick", room="#garden", name="bob", reason="be kind")
        for one in (bob, eve):
            while (entry := await event(one))["kind"] != "kick":
                pass
            assert (entry["text"], entry["reason"]) == ("bob", "be kind")
        await eve.ask("leave", room="#garden", reason="lunch")
        while (entry := await event(mei)).get("kind") != "leave":
            pass
        assert entry["reason"] == "lunch"


async def test_minimal_client_is_sent_none_of_it() -> None:
    """Live, waiting, in pages and among hits: byte for byte what a plain message would be."""
    async with running_server() as server, people(server, "mei", "bob", caps=()) as (_, bob):
        async with people(server, "mei") as (mei,):
            for to in ("#lobby", "@bob"):
                await mei.send("send", to=to, text="waves", form="action", meta=META)
                assert not NEW & (await event(bob)).keys()
                _, page = await bob.ask("history", conv="#lobby" if to == "#lobby" else "@mei")
                assert not NEW & page["entries"][0].keys()
            _, found = await bob.ask("search", query="waves")
            assert [NEW & hit.keys() for hit in found["hits"]] == [set(), set()]
            await mei.send("send", to="@eve", text="x")
            async with wire(server) as late:
                await late.ask("register", name="eve", password="correct horse")
                await mei.ask("send", to="@eve", text="waves", form="action", meta=META)
                await late.send("login", name="eve", password="correct horse")
                waited = await event(late)
                assert (waited["text"], NEW & waited.keys()) == ("waves", set())


async def test_private_message_has_conv_for_its_receiver_only() -> None:
    async with running_server() as server, people(server, "mei", "mei", "bob") as those:
        mei, phone, bob = those
        await mei.send("send", to="@bob", text="psst")
        for one, conv in ((mei, None), (phone, None), (bob, "@mei")):
            said = await event(one)
            assert (said["to"], said.get("conv")) == ("@bob", conv)
        await bob.send("send", to="@mei", text="yes?", reply_to=1)
        for one, conv in ((mei, "@bob"), (phone, "@bob"), (bob, None)):
            said = await event(one)
            assert (said["to"], said.get("conv")) == ("@mei", conv)
        for one, expected in ((mei, [None, "@bob"]), (bob, ["@mei", None])):
            peer = "@bob" if one is mei else "@mei"
            page = await ask(one, "history", conv=peer)
            assert [entry.get("conv") for entry in page["entries"]] == expected
            found = await ask(one, "search", query="s")
            assert sorted((hit.get("conv") or "") for hit in found["hits"]) == sorted(
                conv or "" for conv in expected
            )
            synced = await ask(one, "sync")
            (entries,) = [c["entries"] for c in synced["conversations"] if c["conv"] == peer]
            assert [entry.get("conv") for entry in entries] == expected
        await mei.send("send", to="@mei", text="a note")
        assert "conv" not in await event(phone)


async def test_typing_in_private_has_conv_and_in_a_room_not() -> None:
    async with running_server() as server, people(server, "mei", "bob") as (mei, bob):
        await mei.send("typing", to="@bob")
        assert await event(bob, "is_typing") == {"to": "@bob", "from": "mei", "conv": "@mei"}
        await mei.send("typing", to="#lobby")
        assert await event(bob, "is_typing") == {"to": "#lobby", "from": "mei"}


async def test_private_message_is_encoded_twice_and_once_for_minimal_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[str] = []

    def counted(payload: Any) -> bytes:
        encoded.append(payload.msg_type)
        return encode(payload)

    async with running_server(config()) as server, people(server, "mei", "mei", "bob") as those:
        mei, _, bob = those
        async with people(server, "bob", "eve", caps=()) as (minimal, eve):
            monkeypatch.setattr(posting, "encode", counted)
            for to, expected, last in (("@bob", 2, bob), ("@eve", 1, eve), ("#lobby", 1, bob)):
                encoded.clear()
                await mei.send("send", to=to, text="hi")
                await event(last)
                assert encoded.count("message") == expected, to
            assert "conv" not in await event(minimal)
