"""Fields move and delete by what people see as one character."""

from __future__ import annotations

import pytest
from pilots import OpenApp, settle, type_text
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from gochat.tui.app import GochatApp
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.widgets.message_input import MessageInput

pytestmark = pytest.mark.anyio

#: Flags, a heart with its selector, joined and toned emoji, marks, jamo, an Indic vowel.
CHARACTERS = ("🇫🇷", "🇩🇪", "❤️", "👩‍💻", "👍🏽", "e\u0301\u0323", "\u1100\u1161\u11a8", "नि", "x")


def focused(pilot: Pilot[None]) -> MessageInput | Input:
    field = pilot.app.focused
    assert isinstance(field, (MessageInput, Input))
    return field


def text(field: MessageInput | Input) -> str:
    return field.text if isinstance(field, TextArea) else field.value


@pytest.mark.parametrize("panel", ["", "ctrl+k"], ids=["composer", "one line"])
async def test_each_character_is_one_step_and_one_deletion(open_app: OpenApp, panel: str) -> None:
    whole = "".join(CHARACTERS)
    async with open_app() as pilot:
        if panel:
            await pilot.press(panel)
        await type_text(pilot, whole)
        field = focused(pilot)
        await pilot.press(*["left"] * len(CHARACTERS), "|", "backspace")
        assert text(field) == whole
        for number in range(len(CHARACTERS)):
            await pilot.press("right", "|")
            assert text(field) == "".join(
                [*CHARACTERS[: number + 1], "|", *CHARACTERS[number + 1 :]]
            )
            await pilot.press("backspace")
        for number in range(4):
            await pilot.press("backspace")
            assert text(field) == "".join(CHARACTERS[: -number - 1])
        await pilot.press("home")
        for number in range(4):
            await pilot.press("delete")
            assert text(field) == "".join(CHARACTERS[number + 1 : -4])
        await pilot.press("shift+right", "delete")
        assert text(field) == ""


async def test_the_terminals_cursor_is_where_text_goes(open_app: OpenApp) -> None:
    async with open_app() as pilot:
        app = pilot.app
        assert isinstance(app, GochatApp)
        assert isinstance(app.screen, ChatScreen)
        field = app.screen.composer.input
        for written, column in (("one", 3), ("one\n二つ", 4), ("one\ntwo\n👩‍💻!", 3), ("", 0)):
            field.write(written)
            await settle(pilot)  # the field has another height then
            x, y, _, _ = field.content_region
            assert app.cursor_position == (x + column, y + written.count("\n"))
        await pilot.press("ctrl+k")
        await type_text(pilot, "二")
        await settle(pilot)
        x, y, _, _ = focused(pilot).content_region
        assert app.cursor_position == (x + 2, y)
