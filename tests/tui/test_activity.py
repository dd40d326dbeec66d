"""The list of what concerns the person, on the screen."""

from __future__ import annotations

from typing import Any

import pytest
from pilots import OpenApp, screen_text, settle, type_text, until
from textual.pilot import Pilot

from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.activity import ActivityPanel
from gochat.tui.screens.chat import ChatScreen

pytestmark = pytest.mark.anyio

ROOM = "#garden"
ME = "ada"


def furnish(client: ScriptedClient) -> None:
    """A day in which two people had something for the person."""
    client.add_room(ROOM, "plants", operators=("mei",), members=("bob",), joined=True)
    own = client.record(ROOM, ME, "who has seeds?", ago=7200)
    client.record(ROOM, "bob", "I do", ref=own.seq, ago=3600)
    client.record(ROOM, "mei", f"@{ME} how many?", mentions=(ME,), ago=1800)


async def open_list(pilot: Pilot[None]) -> ActivityPanel:
    await pilot.press("alt+m")
    await until(pilot, lambda: isinstance(pilot.app.screen, ActivityPanel))
    await settle(pilot)
    panel = pilot.app.screen
    assert isinstance(panel, ActivityPanel)
    return panel


def requested(client: ScriptedClient, method: str) -> list[tuple[Any, ...]]:
    return [request[1:] for request in client.requests if request[0] == method]


async def test_list_leads_to_a_message_in_its_context(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    furnish(client)
    async with open_app() as pilot:
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        await open_list(pilot)
        shown = screen_text(pilot)
        assert "Activity · 2 new" in shown
        assert f"mei  in {ROOM}" in shown
        assert f"bob  replied in {ROOM}  I do" in shown
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        await until(pilot, lambda: screen.model.current == ROOM)
        await until(pilot, lambda: "I do" in screen_text(pilot))


async def test_all_is_marked_as_seen_and_it_follows_what_happens(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    furnish(client)
    async with open_app() as pilot:
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        await open_list(pilot)
        await pilot.press("s")
        await until(pilot, lambda: "Activity · " not in screen_text(pilot))
        assert len(requested(client, "mark_activity")) == 1
        client.say(ROOM, "bob", "🌱", kind="react", ref=1)
        await until(pilot, lambda: "reacted 🌱" in screen_text(pilot))
        assert "Activity · 1 new" in screen_text(pilot)
        client.say(ROOM, "bob", "🌱", kind="unreact", ref=1)
        await until(pilot, lambda: "reacted 🌱" not in screen_text(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        assert "★ Activity" not in screen_text(pilot)


@pytest.mark.parametrize("size", [(80, 24), (40, 15)])
async def test_list_is_usable_on_small_terminals(
    open_app: OpenApp, client: ScriptedClient, size: tuple[int, int]
) -> None:
    furnish(client)
    for number in range(60):
        client.record(ROOM, "bob", f"{number} \x1b[2J@{ME}", mentions=(ME,))
    async with open_app(size=size) as pilot:
        panel = await open_list(pilot)
        await until(pilot, lambda: bool(panel.rows.keys))
        assert "Enter show it" in screen_text(pilot)
        assert "\x1b" not in screen_text(pilot)
        box = panel.query_one("#picker").region
        assert abs(box.x - (size[0] - box.right)) <= 1, "it is in the middle, as other lists"
        await pilot.press("end")
        await until(pilot, lambda: len(panel.rows.keys) == 62)


async def test_empty_list_says_what_it_is_for(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await type_text(pilot, "/activity")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ActivityPanel))
        await until(pilot, lambda: "who mentions you" in screen_text(pilot))
        await pilot.press("enter", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
