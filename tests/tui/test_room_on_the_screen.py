"""What opens on the screen has the room it needs, and leaves the others theirs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pilots import OpenApp, screen_text, settle
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button

from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.forms import LogInAgain, PasswordForm, RoomForm
from gochat.tui.widgets.row_list import RowList, fitted

pytestmark = pytest.mark.anyio

_LONG = "line after line of a text that is long enough to need several rows\n" * 8


@pytest.mark.parametrize("size", [(120, 36), (60, 20), (40, 15)])
async def test_notices_have_a_place_of_their_own(
    open_app: OpenApp, client: ScriptedClient, size: tuple[int, int]
) -> None:
    client.say("#lobby", "mei", "the last message")
    async with open_app(size) as pilot:
        app = pilot.app
        app.notify("A notice of several words, which may well need two rows.", title="Told")
        app.notify("another one")
        await settle(pilot)
        text = screen_text(pilot)
        assert "A notice of several words" in text
        assert "another one" in text
        assert "the last message" in text
        toasts = [toast.region for toast in app.screen.query("Toast")]
        for other in ("#log", "#composer", "#status"):
            region = app.screen.query_one(other).region
            assert not any(region.overlaps(toast) for toast in toasts), other


@pytest.mark.parametrize(
    "dialog",
    [
        RoomForm,
        PasswordForm,
        lambda: LogInAgain("Your session has ended: an operator revoked it.\nYou are ada."),
        lambda: Confirm("Leave #a-room-with-a-rather-long-name-for-a-question?", "Leave"),
        lambda: Confirm("Paste 400 lines?", "Paste", detail=_LONG),
    ],
)
async def test_buttons_are_visible_on_a_small_terminal(
    open_app: OpenApp, dialog: Callable[[], ModalScreen[object]]
) -> None:
    async with open_app((40, 15)) as pilot:
        pilot.app.push_screen(dialog())
        await settle(pilot)
        for button in pilot.app.screen.query(Button):
            assert pilot.app.screen.region.contains_region(button.region)
            assert str(button.label) in screen_text(pilot)


@pytest.mark.parametrize(("height", "least"), [(60, 45), (36, 20), (15, 7)])
async def test_lists_use_the_height(
    open_app: OpenApp, client: ScriptedClient, height: int, least: int
) -> None:
    for number in range(60):
        client.add_room(f"#room{number}")
    async with open_app((100, height)) as pilot:
        await pilot.press("f4")
        await settle(pilot)
        rows = pilot.app.screen.query_one("#picker-rows", RowList)
        assert rows.size.height >= least
        assert pilot.app.screen.region.contains_region(rows.region)


async def test_what_the_mouse_is_on_looks_otherwise_than_what_is_open(open_app: OpenApp) -> None:
    async with open_app() as pilot:
        app = pilot.app
        assert isinstance(app, GochatApp)
        people = app.screen.query_one("#people", RowList)
        await pilot.hover("#people", offset=(4, 1))
        await settle(pilot)
        styles = [
            {segment.style for segment in people.render_line(y) if segment.text.strip(" ●")}
            for y in (0, 1)
        ]
        assert any(style is not None and style.underline for style in styles[1])
        assert not any(style is not None and style.underline for style in styles[0])


@pytest.mark.parametrize(
    ("line", "width", "shown"),
    [
        (" # release-notes-2026", 14, " # rele…s-2026"),
        (" #lobby  for everybody", 16, " #lobby  for ev…"),
        (" #release-notes-2026  what is new", 12, " #rele…-2026"),
        (" #release-notes-2026  what is new", 21, " #release-notes-2026"),
    ],
)
def test_what_is_said_of_a_name_gives_way_before_the_name(
    line: str, width: int, shown: str
) -> None:
    assert fitted(Content(line), width).plain == shown
