"""Vim's keys in the app: modes in the composer, counts in the log, Esc and a key at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pilots import OpenApp, feed, screen_text, settle, type_text, until
from textual.pilot import Pilot

from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.palette import CommandPalette
from gochat.tui.dialogs.search import SearchScreen
from gochat.tui.dialogs.settings import SettingsScreen
from gochat.tui.host.terminal import teach_escape, teach_legacy_keys
from gochat.tui.input.keys import read
from gochat.tui.profile.preferences import Preferences, load
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.widgets.message_input import MessageInput

pytestmark = pytest.mark.anyio

VIM = Preferences(keymap=read({"preset": "vim"}))
ESC = "\x1b"


@pytest.fixture(autouse=True)
def _legacy_keys() -> Iterator[None]:
    teach_legacy_keys()
    yield
    teach_escape(on=False)


def chat(pilot: Pilot[None]) -> ChatScreen:
    return next(s for s in pilot.app.screen_stack if isinstance(s, ChatScreen))


def field(pilot: Pilot[None]) -> MessageInput:
    return chat(pilot).composer.input


async def chunk(pilot: Pilot[None], data: str) -> None:
    """Send `data` at once, and wait until it has had its effect."""
    app = pilot.app
    assert isinstance(app, GochatApp)
    if data.endswith(ESC):  # alone, it is one only after a while; other terminals send this
        data = f"{data[:-1]}\x1b[27u"
    feed(pilot, data)
    await until(pilot, lambda: app.is_idle, "the keys")
    await settle(pilot)


#: What was there, what the terminal sends in one chunk (Esc as most do), and what is there then.
CHUNKS = [
    ("old text", f"{ESC}ddihello", "hello", "insert"),
    ("one two", f"{ESC}0cwnew{ESC}", "new two", "normal"),
    ("one two", f"{ESC}bcwx{ESC}bdw", "x", "normal"),
    ("one two", f"{ESC}$x2hx", "onetw", "normal"),
    ("one", f"{ESC}yyp{ESC}Anew", "one\nonenew", "insert"),
    ("one two three", f"{ESC}02dwu.", "three", "normal"),
    ("one", f"{ESC}0vl{ESC}ix", "oxne", "insert"),
    ("one", f"{ESC}bdw\x1b[27uinew", "new", "insert"),
    ("👩‍👩‍👧a🇩🇪", f"{ESC}x0x", "a", "normal"),
    ("one", "\x1b[27udd\x1b[27uitwo", "two", "insert"),
]


async def test_keys_in_one_chunk_have_their_effect_in_order(open_app: OpenApp) -> None:
    async with open_app(preferences=VIM) as pilot:
        for before, data, after, mode in CHUNKS:
            field(pilot).write(before)
            field(pilot).begin_insert()
            await chunk(pilot, data)
            assert (field(pilot).text, field(pilot).mode) == (after, mode), data


async def test_the_mode_is_shown_and_enter_sends_in_both(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app(preferences=VIM, size=(80, 24)) as pilot:
        assert screen_text(pilot).splitlines()[-1].lstrip().startswith("INSERT")
        await chunk(pilot, f"first{ESC}")
        assert screen_text(pilot).splitlines()[-1].lstrip().startswith("NORMAL")
        await chunk(pilot, "2d")
        assert "NORMAL 2d" in screen_text(pilot)
        await chunk(pilot, f"{ESC}v")
        assert "VISUAL" in screen_text(pilot)
        await chunk(pilot, f"{ESC}\r")
        await chunk(pilot, "second\r")
        assert [request[2] for request in client.requests if request[0] == "send"] == [
            "first", "second",
        ]  # fmt: skip
        await chunk(pilot, f"{ESC}kk")
        assert chat(pilot).log_view.selected_key is not None or field(pilot).text


async def test_k_goes_to_what_was_sent_and_to_the_log(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    for number in range(30):
        client.say("#lobby", "mei", f"line {number}")
    async with open_app(preferences=VIM) as pilot:
        await chunk(pilot, f"{ESC}k")
        log = chat(pilot).log_view
        last = log.selected_key
        assert last is not None
        await chunk(pilot, "5k")
        keys = list(log.items)
        assert keys.index(last) - keys.index(log.selected_key or "") >= 5
        await chunk(pilot, "zq")  # neither a command nor text
        assert field(pilot).text == ""
        await chunk(pilot, "ihello")
        assert (field(pilot).text, field(pilot).mode) == ("hello", "insert")
        await chunk(pilot, f"\r{ESC}")
        field(pilot).write("begun")
        await chunk(pilot, "k")
        assert field(pilot).text == "hello"
        await chunk(pilot, "jx")
        assert field(pilot).text == "begu"


async def test_searches_conversations_and_commands_have_their_keys(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    for number in range(3):
        client.say("#lobby", "mei", f"needle {number}")
    client.say("@mei", "mei", "hi")
    async with open_app(preferences=VIM) as pilot:
        screen = chat(pilot)
        first = screen.model.current
        await chunk(pilot, f"{ESC}gt")
        second = screen.model.current
        assert second != first
        await chunk(pilot, "gT")
        assert screen.model.current == first
        await chunk(pilot, "2gt")
        assert screen.model.current == screen.model.ordered()[1].conv
        await chunk(pilot, "1gt/")
        assert isinstance(pilot.app.screen, SearchScreen)
        await type_text(pilot, "needle")
        panel = pilot.app.screen
        await until(pilot, lambda: len(panel.found) == 3, "the hits")
        await chunk(pilot, "\r")
        hits = [screen.actions.shown_hit]
        for key in ("n", "n", "N"):
            await chunk(pilot, f"{ESC}{key}")
            hits.append(screen.actions.shown_hit)
        assert len(set(hits)) == 3
        assert hits[3] == hits[1]
        await chunk(pilot, f"{ESC}:theme")
        assert isinstance(pilot.app.screen, CommandPalette)


async def test_visual_mode_copies_with_the_character_under_the_cursor(
    open_app: OpenApp,
) -> None:
    async with open_app(preferences=VIM) as pilot:
        await chunk(pilot, f"one two{ESC}0ve\x03")
        assert pilot.app.clipboard == "one"
        await chunk(pilot, f'{ESC}w"+yw')
        assert pilot.app.clipboard == "two"


async def test_a_paste_in_normal_mode_is_undone_by_u(open_app: OpenApp) -> None:
    async with open_app(preferences=VIM) as pilot:
        await chunk(pilot, f"ab{ESC}\x1b[200~pasted\x1b[201~")
        assert field(pilot).text == "apastedb"
        await chunk(pilot, "u")
        assert field(pilot).text == "ab"


async def test_the_preset_is_chosen_in_the_settings(
    open_app: OpenApp, state: StateDirectory, tmp_path: Path
) -> None:
    path = tmp_path / "tui.toml"
    async with open_app(preferences=Preferences(path=path)) as pilot:
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        await type_text(pilot, "keys as")
        await pilot.press("left")
        await settle(pilot)
        assert load(state, path).keymap.preset == "vim"
        await pilot.press("escape")
        await settle(pilot)
        await chunk(pilot, f"hello{ESC}x")
        assert field(pilot).text == "hell"
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        await type_text(pilot, "keys as")
        await pilot.press("right", "escape")
        await settle(pilot)
        assert field(pilot).mode is None
