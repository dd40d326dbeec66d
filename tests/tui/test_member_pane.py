"""Who is in the conversation, beside the log of a wide terminal."""

from __future__ import annotations

import pytest
from pilots import OpenApp, screen_text, settle, until
from textual.pilot import Pilot

from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.profile.preferences import load
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.widgets.row_list import ListRow

pytestmark = pytest.mark.anyio

ROOM = "#garden"
WIDE = (160, 30)


def chat(pilot: Pilot[None]) -> ChatScreen:
    screen = next(s for s in pilot.app.screen_stack if isinstance(s, ChatScreen))
    assert isinstance(screen, ChatScreen)
    return screen


def pane(pilot: Pilot[None]) -> list[str]:
    """Return the rows of the pane that are on the screen, the heading first."""
    screen = chat(pilot)
    if not screen.members.display:
        return []
    start = screen.members.region.x
    rows = [" ".join(line[start:].split()) for line in screen_text(pilot).splitlines()]
    return [row for row in rows[:-1] if row]


async def test_members_are_listed_online_first_and_follow_what_happens(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    names = ("zed", "bob10", "bob2", "anna")
    client.add_room(ROOM, operators=("mei",), members=names, joined=True)
    client.arrive("bob10", "bob2")
    async with open_app(size=WIDE) as pilot:
        chat(pilot).open_conversation(ROOM)
        await until(pilot, lambda: pane(pilot)[:1] == ["Here · 6"])
        expected = ["● ada you", "● bob2", "● bob10", "● mei operator", "○ anna", "○ zed"]
        await until(pilot, lambda: pane(pilot)[1:] == expected)
        client.depart("bob10")
        client.say(ROOM, "mei", "bob2", kind="operator")
        client.say(ROOM, "anna", "", kind="leave")
        expected = ["● ada you", "● bob2 operator", "● mei operator", "○ bob10", "○ zed"]
        await until(pilot, lambda: pane(pilot) == ["Here · 5", *expected])
        client.know("new")
        client.say(ROOM, "new", "", kind="join")
        await until(pilot, lambda: "○ new" in pane(pilot))
        asked = [request for request in client.requests if request[0] == "members"]
        assert len(asked) == 1


async def test_pane_is_only_on_wide_terminals_and_can_be_hidden(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room(ROOM, operators=("mei",), joined=True)
    async with open_app(size=(149, 30)) as pilot:
        chat(pilot).open_conversation(ROOM)
        await settle(pilot)
        assert pane(pilot) == []
        assert not [request for request in client.requests if request[0] == "members"]
        await pilot.resize_terminal(*WIDE)
        await until(pilot, lambda: pane(pilot) == ["Here · 2", "● ada you", "● mei operator"])
        await pilot.press("ctrl+n")
        await until(pilot, lambda: pane(pilot) == [])
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "● ada you" in pane(pilot))
        chat(pilot).members.rows.focus()
        await pilot.press("down", "enter")
        await until(pilot, lambda: chat(pilot).model.current == "@mei")
        await until(pilot, lambda: pane(pilot) == ["Here · 2", "● mei", "● ada you"])


async def test_pane_that_was_hidden_stays_so_until_it_is_shown_again(
    open_app: OpenApp, state: StateDirectory
) -> None:
    async def press(*, before: bool) -> None:
        async with open_app(size=WIDE, preferences=load(state)) as pilot:
            await until(pilot, lambda: bool(pane(pilot)) == before)
            await pilot.press("ctrl+n")
            await until(pilot, lambda: bool(pane(pilot)) != before)
        assert load(state).settings.members != before

    await press(before=True)
    await press(before=False)


async def test_pane_of_thousands_draws_only_what_is_visible_and_what_has_changed(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.arrive(*(f"person{number}" for number in range(3000)))
    async with open_app(size=WIDE) as pilot:
        await until(pilot, lambda: "Here · 3,003" in " ".join(pane(pilot)))
        members, drawn = chat(pilot).members, list[str]()
        draw = members.rows._draw

        def note(key: str) -> ListRow:
            drawn.append(key)
            return draw(key)

        members.rows._draw = note
        client.say("#lobby", "mei", "hello")  # changes nobody
        await until(pilot, lambda: "hello" in screen_text(pilot))
        assert drawn == []
        client.depart("person7")
        await until(pilot, lambda: "Here · 3,002" in " ".join(pane(pilot)))
        assert 0 < len(set(drawn)) < 50
