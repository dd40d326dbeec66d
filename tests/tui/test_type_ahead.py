"""Keys that come in one chunk do what they do one by one."""

from __future__ import annotations

import pytest
from patience import PATIENCE
from pilots import OpenApp, feed, screen_text, settle, until
from textual.pilot import Pilot
from textual.widgets import Input

from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.palette import CommandPalette
from gochat.tui.host.terminal import teach_legacy_keys
from gochat.tui.host.type_ahead import _Settling
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.widgets.message_input import MessageInput

pytestmark = pytest.mark.anyio

_UP, _ESC, _ENTER = "\x1b[A", "\x1b[27u", "\r"


@pytest.fixture(autouse=True)
def _legacy_keys() -> None:
    teach_legacy_keys()


def chat(pilot: Pilot[None]) -> ChatScreen:
    return next(s for s in pilot.app.screen_stack if isinstance(s, ChatScreen))


def field(pilot: Pilot[None]) -> MessageInput:
    return chat(pilot).composer.input


async def handled(pilot: Pilot[None]) -> None:
    """Wait until all keys are handled."""
    app = pilot.app
    assert isinstance(app, GochatApp)
    await until(pilot, lambda: app.is_idle, "the keys")
    await settle(pilot)


def sent(client: ScriptedClient) -> list[tuple[str, str]]:
    return [(request[1], request[2]) for request in client.requests if request[0] == "send"]


#: What was there, what the terminal sends in one chunk, and what is there then.
EDITS = [
    ("old", "\x15abcdef", "abcdef"),  # Ctrl+U
    ("", "one\ntwo", "one\ntwo"),  # Ctrl+J
    ("", "one\x1b\rtwo", "one\ntwo"),  # Alt+Enter
    ("", "hello\x01Z", "Zhello"),  # Ctrl+A
    ("", "hello\x01Z\x05!", "Zhello!"),  # and Ctrl+E
    ("one two", "\x17three", "one three"),  # Ctrl+W
    ("one two", "\x1b[1;5Dx", "one xtwo"),  # Ctrl+Left
    ("", "/inv\tmei", "/invite mei"),
    ("", "ab\x1b[200~pasted\x1b[201~cd", "abpastedcd"),
    ("one\ntwo", "\x1b[HZ\x1b[AY\x1b[FX\x1b[BW", "oYneX\nZtwoW"),  # Home, Up, End, Down
    ("ab", "\x1b[D\x1b[200~pasted\x1b[201~\x01>", ">apastedb"),
]


async def test_editing_keys_and_text_keep_their_order(open_app: OpenApp) -> None:
    async with open_app() as pilot:
        for before, data, after in EDITS:
            field(pilot).write(before)
            feed(pilot, data)
            await handled(pilot)
            assert field(pilot).text == after, data


async def test_a_panel_takes_what_is_typed_while_it_opens(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        feed(pilot, "\x10theme")
        await handled(pilot)
        assert isinstance(pilot.app.screen, CommandPalette)
        assert pilot.app.screen.query_one(Input).value == "theme"
        feed(pilot, f"{_ESC}after")
        await handled(pilot)
        assert field(pilot).text == "after"
        assert not sent(client)


async def test_a_choice_has_its_effect_before_the_next_key(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.say("@mei", "mei", "hello")
    async with open_app() as pilot:
        feed(pilot, f"draft\x0bmei{_ENTER}hi{_ENTER}\x1b1 more{_ENTER}")
        await handled(pilot)
        assert sent(client) == [("@mei", "hi"), ("#lobby", "draft more")]


async def test_a_reply_takes_what_is_typed_with_the_key_for_it(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.say("#lobby", "mei", "hello")
    async with open_app() as pilot:
        feed(pilot, f"{_UP}rgood day{_ENTER}")
        await handled(pilot)
        assert ("send", "#lobby", "good day", 1) in client.requests


async def test_an_answer_has_its_effect_before_the_next_key(open_app: OpenApp) -> None:
    lines = "line\n" * 30
    async with open_app() as pilot:
        feed(pilot, f"\x1b[200~{lines}\x1b[201~y after")
        await handled(pilot)
        assert field(pilot).text == f"{lines} after"


async def test_keys_do_not_wait_until_nobody_writes_anything(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gochat.tui.app.FRAME", 0.0)
    monkeypatch.setattr("gochat.tui.app._MOST_HELD", PATIENCE)
    rounds, begin = list[int](), _Settling._begin_round

    def count(self: _Settling) -> None:
        rounds.append(1)
        client.say("#lobby", "mei", "and so on")  # whenever the app looks, there is something new
        begin(self)

    async with open_app() as pilot:
        field(pilot).write("old")
        monkeypatch.setattr(_Settling, "_begin_round", count)
        feed(pilot, "\x15abc\x01Z")
        await handled(pilot)
        assert field(pilot).text == "Zabc"
        assert len(rounds) < 100
        await until(pilot, lambda: "and so on" in screen_text(pilot), "what was held back")
