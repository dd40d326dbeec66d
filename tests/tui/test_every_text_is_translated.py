"""All that people see can be translated: the app in a language of other letters has no others left,
but in what people wrote, in names, and in what is typed as it is: keys and commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from messages import ROOT
from pilots import OpenApp, screen_text, settle, type_text, until
from pseudo import PseudoTranslations, pseudo, speaking
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button, Input, Static

from gochat.errors import ChatError, ErrorCode
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.panel import Panel
from gochat.tui.input import commands, emoji, keys
from gochat.tui.profile.preferences import Preferences
from gochat.tui.screens.chat import ChatScreen

#: High enough for all of the help.
SIZE = (120, 130)
#: What people wrote, who they are, where; and what is typed or read as it is.
_AS_IT_IS = {
    *("ada", "mei", "tomas", "zoe", "lobby", "garden", "attic", "gochat", "tui", "toml", "home"),
    *("ctrl", "alt", "shift", "enter", "esc", "tab", "pgup", "pgdn", "end", "del", "up", "down"),
    *("backspace", "space", "on", "off", "all", "mentions", "none", "shown", "hidden", "utc"),
    *(part for name in emoji.EMOJI for part in re.split("[_0-9]", name)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _other_letters() -> Iterator[None]:
    with speaking(PseudoTranslations()):
        yield


def untranslated(pilot: Pilot[None], text: str | None = None) -> list[str]:
    """Return the words on the screen, or in `text`, that no translation has changed."""
    shown = screen_text(pilot) if text is None else text
    shown = re.sub(r"/[\w./-]+|gochats?://\S+", " ", shown)
    for theme in sorted(pilot.app.available_themes, key=len, reverse=True):
        shown = shown.replace(theme, " ")
    return [word for word in re.findall("[A-Za-z]{2,}", shown) if word.lower() not in _AS_IT_IS]


def arguments(command: commands.Command) -> str:
    """Return what a command can be given."""
    given = {
        "person": "mei", "room": "#garden", "network": "203.0.113.0/24", "level": "mentions",
        "history": "hidden", "number": "1",
        "theme": "nobody", "command": "join", "text": "2h",
    }  # fmt: skip
    return " ".join(given[argument.kind] for argument in command.arguments)


@pytest.mark.anyio
async def test_the_first_screen(open_app: OpenApp, client: ScriptedClient) -> None:
    client.accounts["mei"] = "hers"
    async with open_app(SIZE, credentials=None) as pilot:
        assert not untranslated(pilot)
        await type_text(pilot, "mei")
        await pilot.press("enter")
        await type_text(pilot, "wrong")
        await pilot.press("enter")
        await until(pilot, lambda: pseudo("New here?") in screen_text(pilot))
        assert not untranslated(pilot)


@pytest.mark.anyio
async def test_what_keys_open(open_app: OpenApp, client: ScriptedClient, tmp_path: Path) -> None:
    client.add_room("#garden", "", members=("mei", "tomas"))
    client.add_room("#attic", "", members=("mei",))
    wrong: dict[str, list[str]] = {}
    async with open_app(SIZE, preferences=Preferences(path=tmp_path / "tui.toml")) as pilot:
        wrong["nothing"] = untranslated(pilot)
        client.say("#lobby", "ada", "123")
        chat = pilot.app.screen
        for key in ("f1", "f4", "f5", "ctrl+p", "ctrl+k", "ctrl+f", "alt+m"):
            await pilot.press(key)
            await until(pilot, lambda: pilot.app.screen is not chat, key)
            await settle(pilot)
            wrong[key] = untranslated(pilot)
            await pilot.press("escape")
        await pilot.press("slash")
        await settle(pilot)
        wrong["slash"] = untranslated(pilot)
        await pilot.press("backspace", "up")
        await settle(pilot)
        wrong["up"] = untranslated(pilot)
        for key in ("plus", "d"):
            await pilot.press(key)
            await settle(pilot)
            wrong[key] = untranslated(pilot)
            await pilot.press("escape", "up")
        assert not {what: found for what, found in wrong.items() if found}


@pytest.mark.anyio
async def test_what_commands_say(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command, without what it needs and with it, in a room and in a private conversation: the
    notices, and the dialogs that open."""
    client.add_room("#garden", "", members=("mei", "tomas"))
    client.role = "admin"
    said: list[str] = []
    monkeypatch.setattr(
        App, "notify", lambda self, message, *, title="", **how: said.append(f"{title} {message}")
    )
    wrong: dict[str, list[str]] = {}
    async with open_app((80, 24)) as pilot:
        chat = pilot.app.screen
        assert isinstance(chat, ChatScreen)
        client.say("@mei", "mei", "123")
        for conv in ("#garden", "@mei"):
            for command in commands.COMMANDS:
                if command.name in ("quit", "logout", "leave", "help", "theme"):
                    continue
                for given in sorted({"", arguments(command)} if conv == "#garden" else {""}):
                    chat.open_conversation(conv)
                    chat.actions.carry_out(f"/{command.name} {given}".strip())
                    await pilot.pause()
                    dialog: Screen[object] = pilot.app.screen
                    if isinstance(dialog, Panel):
                        said += [str(w.content) for w in dialog.query(Static)]
                        said += [str(button.label) for button in dialog.query(Button)]
                        said += [field.placeholder for field in dialog.query(Input)]
                        dialog.action_cancel()
                        await pilot.pause()
                    if found := untranslated(pilot, "\n".join(said)):
                        wrong[f"{conv} /{command.name} {given}"] = found
                    said.clear()
        assert not wrong


@pytest.mark.anyio
async def test_what_the_connection_and_the_people_do(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#garden", "", members=("mei", "tomas"))
    async with open_app(SIZE) as pilot:
        client.arrive("zoe")
        client.depart("zoe")
        client.type("#lobby", "mei")
        client.say("#lobby", "mei", "123")
        client.record("#lobby", "mei", "", kind="delete", ref=1)
        client.refusals["send"] = ChatError(
            ErrorCode.TEXT_TOO_LONG, "", details={"max": 1, "length": 3}
        )
        await type_text(pilot, "456")
        await pilot.press("enter")
        await settle(pilot)
        assert not untranslated(pilot)
        client.cut(retry_in=4.0, reason="the server is closing")
        await type_text(pilot, "789")
        await pilot.press("enter")
        await settle(pilot)
        assert not untranslated(pilot)


# -- in the code -----------------------------------------------------------------------------------

#: Phrases of the code that no person sees, or that are no language: styles, names of tasks, keys,
#: examples of values.
_UNSEEN = {
    *("log in again", "log out", "more activity", "this language", "dict[str, Any]"),
    *("reply bold", "code code-edge", "code code-label", "Field { height: auto; }"),
    *("visual line", "d c y gu gU g~", "gt gT 3gt"),
    *("`set -g set-clipboard on`", "`set -as terminal-features ',"),
    "`set -g default-terminal tmux-256color`, `set -g allow-passthrough on`",
    *("↑ ↓ PgUp PgDn", "gochat tui ", '["deploy", "on call"]'),
}
_PHRASE = re.compile(r"[A-Za-z]{2,}[,:;.]? [A-Za-z]{2,}")


def test_every_phrase_in_the_code_is_a_message() -> None:
    """What looks like language, two words with a space between, is marked for translation."""
    tui = ROOT / "src" / "gochat" / "tui"
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text!r}"
        for file in sorted(tui.rglob("*.py"))
        if "demo" not in file.parts
        for line, text in _phrases(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found


def _phrases(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Expr(value=ast.Constant()):
                continue  # a docstring
            case ast.Call(func=ast.Name(id="_" | "N_" | "ngettext" | "pgettext")):
                for value in node.keywords:
                    yield from _phrases(value)
                continue
            case ast.Call(func=ast.Name(id="AssertionError" | "Binding")):
                continue
            case ast.Constant(value=str() as text):
                is_style = text.startswith(("$", "\n"))
                if _PHRASE.search(text) and not is_style and text not in _UNSEEN:
                    yield node.lineno, text
            case _:
                pass
        yield from _phrases(node)


def test_all_keys_and_commands_have_a_text() -> None:
    assert all(re.search("[а-я]", action.label) for action in keys.ACTIONS)
    assert all(re.search("[а-я]", command.about) for command in commands.COMMANDS)
