"""Pinned and saved messages, on the screen."""

from __future__ import annotations

from typing import Any

import pytest
from pilots import OpenApp, screen_text, settle, type_text, until
from textual.pilot import Pilot

from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.kept import KeptPanel
from gochat.tui.screens.chat import ChatScreen

pytestmark = pytest.mark.anyio

ROOM = "#garden"
ME = "ada"


def requested(client: ScriptedClient, method: str) -> list[tuple[Any, ...]]:
    return [request[1:] for request in client.requests if request[0] == method]


def chat(pilot: Pilot[None]) -> ChatScreen:
    screen = next(s for s in pilot.app.screen_stack if isinstance(s, ChatScreen))
    assert isinstance(screen, ChatScreen)
    return screen


async def open_list(pilot: Pilot[None], command: str) -> KeptPanel:
    await type_text(pilot, command)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, KeptPanel))
    await settle(pilot)
    panel = pilot.app.screen
    assert isinstance(panel, KeptPanel)
    return panel


async def test_message_is_pinned_marked_counted_and_unpinned(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room(ROOM, "plants", operators=(ME,), members=("mei",))
    client.record(ROOM, "mei", "water them")
    async with open_app() as pilot:
        chat(pilot).open_conversation(ROOM)
        await until(pilot, lambda: "water them" in screen_text(pilot))
        await pilot.press("up", "p")
        await until(pilot, lambda: "(pinned)" in screen_text(pilot))
        assert "you pinned: water them" in screen_text(pilot)
        assert "1 pinned" in screen_text(pilot)
        await pilot.press("p")
        await until(pilot, lambda: "1 pinned" not in screen_text(pilot))
        assert "(pinned)" not in screen_text(pilot)
        assert [len(requested(client, what)) for what in ("pin", "unpin")] == [1, 1]


async def test_pin_does_not_quote_somebody_any_more_who_is_blocked(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room(ROOM, "plants", operators=(ME,), members=("mei",))
    client.record(ROOM, "mei", "water them")
    async with open_app() as pilot:
        chat(pilot).open_conversation(ROOM)
        await until(pilot, lambda: "water them" in screen_text(pilot))
        await pilot.press("up", "p")
        await until(pilot, lambda: "you pinned: water them" in screen_text(pilot))
        await pilot.press("escape")
        await type_text(pilot, "/block mei")
        await pilot.press("enter")
        await until(pilot, lambda: "you pinned a message" in screen_text(pilot))
        await type_text(pilot, "/unblock mei")
        await pilot.press("enter")
        await until(pilot, lambda: "you pinned: water them" in screen_text(pilot))


async def test_member_is_told_who_pins_before_the_server_is_asked(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room(ROOM, operators=("mei",), joined=True)
    client.record(ROOM, "mei", "water them")
    async with open_app() as pilot:
        chat(pilot).open_conversation(ROOM)
        await until(pilot, lambda: "water them" in screen_text(pilot))
        await pilot.press("up", "p")
        await until(pilot, lambda: "Only the operators of #garden" in screen_text(pilot))
        assert requested(client, "pin") == []


async def test_list_of_pins_follows_changes_and_leads_to_a_message(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room(ROOM, operators=(ME,), members=("mei",))
    for number in range(300):
        client.record(ROOM, "mei", f"number {number}")
    for seq in (3, 7):
        client.record(ROOM, "mei", "", kind="pin", ref=seq)
    async with open_app() as pilot:
        chat(pilot).open_conversation(ROOM)
        await until(pilot, lambda: "2 pinned" in screen_text(pilot))
        await open_list(pilot, "/pins")
        await until(pilot, lambda: f"Pinned in {ROOM} · 2" in screen_text(pilot))
        assert "mei  pinned by mei  number 2" in screen_text(pilot)
        client.say(ROOM, "mei", "", kind="pin", ref=9)
        await until(pilot, lambda: "number 8" in screen_text(pilot))
        client.say(ROOM, "mei", "", kind="delete", ref=7)
        await until(pilot, lambda: "number 6" not in screen_text(pilot))
        await pilot.press("home", "d")  # number 8
        await until(pilot, lambda: f"Pinned in {ROOM} · 1" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        await until(pilot, lambda: "number 2 (pinned)" in screen_text(pilot))


async def test_pins_are_asked_for_once_and_again_after_a_cut(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room(ROOM, operators=(ME,), members=("mei",))
    client.record(ROOM, "mei", "one")
    async with open_app() as pilot:
        for conv in (ROOM, "#lobby", ROOM):
            chat(pilot).open_conversation(conv)
            await settle(pilot)
        assert requested(client, "pinned_seqs").count((ROOM,)) == 1
        client.cut()
        client.record(ROOM, "mei", "", kind="pin", ref=1)
        client.restore()
        await until(pilot, lambda: "1 pinned" in screen_text(pilot))


async def test_saved_messages_are_listed_everywhere_and_removed(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room(ROOM, joined=True)
    client.record(ROOM, "mei", "a recipe")
    client.record("#lobby", "bob", "a joke")
    async with open_app() as pilot:
        await until(pilot, lambda: "a joke" in screen_text(pilot))
        await pilot.press("up", "s")
        await until(pilot, lambda: "Saved: /saved lists it." in screen_text(pilot))
        await pilot.press("escape")
        chat(pilot).open_conversation(ROOM)
        await until(pilot, lambda: "a recipe" in screen_text(pilot))
        await pilot.press("up", "s", "escape")
        await open_list(pilot, "/saved")
        await until(pilot, lambda: "Saved messages · 2" in screen_text(pilot))
        shown = screen_text(pilot)
        assert "bob  in #lobby  a joke" in shown
        assert shown.index("a recipe") < shown.index("a joke")
        await pilot.press("d")
        await until(pilot, lambda: "Saved messages · 1" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        await until(pilot, lambda: chat(pilot).model.current == "#lobby")
        await settle(pilot)
        await pilot.press("up", "s")  # it is saved: so no longer
        await until(pilot, lambda: "No longer saved." in screen_text(pilot))


@pytest.mark.parametrize("size", [(80, 24), (40, 15)])
async def test_empty_lists_say_what_they_are_for(
    open_app: OpenApp, client: ScriptedClient, size: tuple[int, int]
) -> None:
    async with open_app(size=size) as pilot:
        for command, text in (("/pins", "Nothing is pinned"), ("/saved", "You have saved")):
            await open_list(pilot, command)
            await until(pilot, lambda text=text: text in screen_text(pilot))  # type: ignore[misc]
            assert "Esc close" in screen_text(pilot)
            await pilot.press("enter", "d", "escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))


async def test_nothing_selected_is_said(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        for command in ("/pin", "/save"):
            await type_text(pilot, command)
            await pilot.press("enter")
            await until(pilot, lambda: "Select the message first" in screen_text(pilot))
        assert requested(client, "pin") == requested(client, "save") == []
