"""Presets of keys, keys chosen by pressing them, and what the settings say of their file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pilots import OpenApp, screen_text, settle, type_text, until

from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.key_capture import KeyCapture
from gochat.tui.dialogs.settings import SettingsScreen
from gochat.tui.dialogs.switcher import Switcher
from gochat.tui.input.keys import read
from gochat.tui.profile.preferences import Preferences, Settings, load
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen

pytestmark = pytest.mark.anyio


async def test_readline_cuts_and_yanks_and_has_what_was_sent_above(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    preferences = Preferences(keymap=read({"preset": "readline"}))
    async with open_app(preferences=preferences) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        field = screen.composer.input
        await type_text(pilot, "first")
        await pilot.press("enter")
        await pilot.press("up")
        await settle(pilot)
        assert field.text == "first"
        await pilot.press("down")
        await type_text(pilot, "one two")
        await pilot.press("ctrl+a", "alt+f", "ctrl+k")
        assert field.text == "one"
        await pilot.press("ctrl+y", "ctrl+w", "ctrl+w", "ctrl+y")
        assert field.text == "one "
        await pilot.press("alt+up")
        await settle(pilot)
        assert screen.log_view.selected_key is not None


async def test_a_key_is_chosen_by_pressing_it_and_written_to_the_file(
    open_app: OpenApp, state: StateDirectory, tmp_path: Path
) -> None:
    path = tmp_path / "tui.toml"
    path.write_text('theme = "nord"\n')
    preferences = load(state, path)
    async with open_app(preferences=preferences) as pilot:
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        await settle(pilot)
        assert f"/{path.name}" in screen_text(pilot)
        await type_text(pilot, "key: search")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeyCapture))
        await pilot.press("ctrl+k")
        await settle(pilot)
        assert isinstance(pilot.app.screen, SettingsScreen)
        assert load(state, path).keymap.keys["search"] == ("ctrl+k",)
        await pilot.press("escape")
        await settle(pilot)
        await pilot.press("ctrl+k")
        await settle(pilot)
        assert not isinstance(pilot.app.screen, Switcher)
        assert "Search" in screen_text(pilot)


async def test_a_key_that_can_not_be_used_is_refused_and_not_written(
    open_app: OpenApp, state: StateDirectory, tmp_path: Path
) -> None:
    path = tmp_path / "tui.toml"
    async with open_app(preferences=Preferences(path=path)) as pilot:
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        await type_text(pilot, "key: search")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeyCapture))
        await pilot.press("x")
        await settle(pilot)
        assert "unknown key 'x'" in screen_text(pilot)
        assert not path.exists()


async def test_a_theme_that_there_is_not_is_reported(open_app: OpenApp) -> None:
    preferences = Preferences(Settings(theme="gochat-drak"))
    async with open_app(preferences=preferences) as pilot:
        text = screen_text(pilot).replace("\n", " ")
        assert "unknown theme 'gochat-drak'" in text
        assert pilot.app.theme == "gochat-dark"


async def test_the_switcher_says_that_nothing_matches(open_app: OpenApp) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+k")
        await until(pilot, lambda: isinstance(pilot.app.screen, Switcher))
        assert "No room or person matches." not in screen_text(pilot)
        await type_text(pilot, "zzzz")
        await settle(pilot)
        assert "No room or person matches." in screen_text(pilot)
