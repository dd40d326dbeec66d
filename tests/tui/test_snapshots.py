"""How the screens look, at two sizes and in both themes. Each picture was looked at by a person.

``pytest tests/tui/test_snapshots.py --snapshot-update`` takes new ones; look at them before they
are committed.
"""

from __future__ import annotations

import gettext
import platform
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from pilots import screen_text, settle, type_text, typed, until
from textual.pilot import Pilot

from gochat.client import Status
from gochat.errors import ChatError, ErrorCode
from gochat.tui import language
from gochat.tui.app import GochatApp
from gochat.tui.demo.conversation import furnish
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.profile.preferences import Preferences, Settings
from gochat.tui.screens.chat import ChatScreen

#: The screens that are there all the time: both sizes in both themes.
SCREENS = [
    pytest.param(size, theme, id=f"{size[0]}x{size[1]}-{theme}")
    for size in ((60, 20), (120, 36))
    for theme in ("gochat-dark", "gochat-light")
]
#: What opens over them: both sizes and both themes, once each.
PANELS = [SCREENS[1], SCREENS[2]]

Compare = Callable[..., bool]
Before = Callable[[Pilot[None]], Awaitable[None]]
Take = Callable[..., bool]

screens = pytest.mark.parametrize(("size", "theme"), SCREENS)
panels = pytest.mark.parametrize(("size", "theme"), PANELS)


@pytest.fixture
def take(
    snap_compare: Compare,
    make_app: Callable[..., GochatApp],
    client: ScriptedClient,
    theme: str,
    size: tuple[int, int],
) -> Take:
    """Compare a picture of the app with the kept one; in the chat, after `before` was done."""

    def compare(before: Before | None, on_form: Before | None = None) -> bool:
        preferences = Preferences(
            Settings(theme=theme, animations=False), path=Path("/home/ada/tui.toml")
        )
        if before is None:
            app = make_app(credentials=None, preferences=preferences)
        else:
            app = make_app(preferences=preferences)

        async def run_before(pilot: Pilot[None]) -> None:
            if before is not None:
                await until(pilot, lambda: isinstance(app.screen, ChatScreen))
                chat = app.screen
                assert isinstance(chat, ChatScreen)

                def is_listed() -> bool:
                    return not chat.controller.is_doing("activity")

                await settle(pilot)
                await until(pilot, is_listed, "the activity before")
                await settle(pilot)
                await before(pilot)
                await settle(pilot)
                await until(pilot, is_listed, "the activity after")
            if on_form is not None:
                await on_form(pilot)
            await settle(pilot)

        return snap_compare(app, terminal_size=size, run_before=run_before)

    return compare


async def nothing(pilot: Pilot[None]) -> None:
    """Take the picture at once."""


def press(*keys: str, text: str = "") -> Before:
    """Press keys, then type a text, and take the picture of what has opened."""

    async def do(pilot: Pilot[None]) -> None:
        before = pilot.app.screen
        await pilot.press(*keys)
        await until(pilot, lambda: pilot.app.screen is not before)
        await settle(pilot)
        if text:
            await type_text(pilot, text)
            await settle(pilot)

    return do


async def press_command(pilot: Pilot[None], command: str) -> None:
    """Type a command, and run it."""
    await type_text(pilot, command)
    await pilot.press("enter")


@screens
def test_connect(take: Take) -> None:
    assert take(None)


@screens
def test_chat(take: Take, client: ScriptedClient) -> None:
    furnish(client)
    assert take(nothing)


@screens
def test_an_empty_server(take: Take, client: ScriptedClient) -> None:
    assert take(nothing)


@screens
def test_a_cut_with_messages_that_wait(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def cut(pilot: Pilot[None]) -> None:
        client.say("#lobby", "mei", "Until later!")
        await settle(pilot)
        client.cut(retry_in=4.0, reason="the server is restarting")
        await settle(pilot)
        await pilot.press(*"Are", "space", *"you", "space", *"back?", "enter")
        await pilot.press(*"Next", "ctrl+j", *"line")
        await settle(pilot)

    assert take(cut)


@panels
def test_a_form_with_errors(take: Take, client: ScriptedClient) -> None:
    client.accounts["mei"] = "hers"

    async def fail(pilot: Pilot[None]) -> None:
        await type_text(pilot, "mei")
        await pilot.press("enter")
        await type_text(pilot, "not the password")
        await pilot.press("enter")
        await until(pilot, lambda: "New here?" in screen_text(pilot))

    assert take(None, fail)


@panels
def test_the_palette(take: Take, client: ScriptedClient) -> None:
    furnish(client)
    assert take(press("ctrl+p"))


@panels
def test_the_switcher(take: Take, client: ScriptedClient) -> None:
    furnish(client)
    assert take(press("ctrl+k", text="m"))


@panels
def test_the_search(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def search(pilot: Pilot[None]) -> None:
        await press("ctrl+f", text="the")(pilot)
        await until(pilot, lambda: "24 min" in screen_text(pilot))

    assert take(search)


@panels
@pytest.mark.parametrize("focus", ["input", "message", "list"])
def test_help(take: Take, client: ScriptedClient, focus: str) -> None:
    furnish(client)
    first = {"input": (), "message": ("up",), "list": ("f2",)}[focus]

    async def show(pilot: Pilot[None]) -> None:
        await pilot.press(*first)
        await settle(pilot)
        await press("f1")(pilot)

    assert take(show)


@panels
def test_the_settings(take: Take, client: ScriptedClient) -> None:
    furnish(client)
    assert take(press("f5"))


@panels
def test_the_rooms(take: Take, client: ScriptedClient) -> None:
    furnish(client)
    assert take(press("f4"))


@panels
def test_a_new_room(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def create(pilot: Pilot[None]) -> None:
        await press("f4", text="books")(pilot)
        await press("enter")(pilot)

    assert take(create)


@panels
def test_the_members(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def show(pilot: Pilot[None]) -> None:
        await pilot.press("alt+2")
        await settle(pilot)
        await press("f3")(pilot)
        await until(pilot, lambda: "mei" in screen_text(pilot))

    assert take(show)


@panels
def test_the_status(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def show(pilot: Pilot[None]) -> None:
        await press_command(pilot, "/status")
        await until(pilot, lambda: "Your status" in screen_text(pilot))
        await type_text(pilot, ":tea: thinking")

    assert take(show)


@pytest.mark.parametrize(("size", "theme"), [((160, 24), "gochat-dark")], ids=["160x24"])
def test_who_is_here(take: Take, client: ScriptedClient) -> None:
    furnish(client)
    client.describe_person("mei", Status(emoji="🌴", text="on holiday, back in December"))
    client.describe_person("tomas", Status(text="in a meeting"))

    async def show(pilot: Pilot[None]) -> None:
        await pilot.press("alt+2")
        await until(pilot, lambda: "Here" in screen_text(pilot))
        await until(pilot, lambda: "mei  🌴" in screen_text(pilot))

    assert take(show)


@panels
def test_the_sessions(take: Take, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "desk")
    client.devices.add("telephone", "203.0.113.9", ago=7200)
    client.devices.add("laptop", "2001:db8:1:2::", ago=600)

    async def show(pilot: Pilot[None]) -> None:
        await press_command(pilot, "/sessions")
        await until(pilot, lambda: "Your sessions · 3" in screen_text(pilot))
        await pilot.press("down", "delete")

    assert take(show)


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        pytest.param((80, 24), "gochat-dark", id="80x24"),
        pytest.param((40, 15), "gochat-light", id="40x15"),
    ],
)
def test_the_activity(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def show(pilot: Pilot[None]) -> None:
        await until(
            pilot,
            lambda: "Activity" in screen_text(pilot) or bool(pilot.app.screen.size.width < 60),
        )
        client.say("#lobby", "mei", "@ada **look**", mentions=("ada",))
        await pilot.press("alt+m")
        await until(pilot, lambda: "look" in screen_text(pilot))

    assert take(show)


@panels
def test_the_pins(take: Take, client: ScriptedClient) -> None:
    furnish(client)
    for seq in (3, 12):
        client.record("#lobby", "mei", "", kind="pin", ref=seq)

    async def show(pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "·" in screen_text(pilot).partition("Pinned")[2][:20])

    assert take(show)


@panels
def test_a_selected_message_with_reactions(take: Take, client: ScriptedClient) -> None:
    furnish(client)
    client.record("#lobby", "kofi", "👀", kind="react", ref=12)

    async def select(pilot: Pilot[None]) -> None:
        await pilot.press("up")
        await settle(pilot)

    assert take(select)


@panels
def test_a_reaction_to_choose(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def react(pilot: Pilot[None]) -> None:
        await pilot.press("up")
        await settle(pilot)
        await press("plus")(pilot)

    assert take(react)


@panels
def test_a_question(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def delete(pilot: Pilot[None]) -> None:
        await typed(pilot, "This was for somebody else.")
        await pilot.press("up")
        await settle(pilot)
        await press("d")(pilot)

    assert take(delete)


@panels
def test_completions(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def complete(pilot: Pilot[None]) -> None:
        await pilot.press("slash")
        await settle(pilot)
        await pilot.press("tab", "tab")
        await settle(pilot)

    assert take(complete)


@panels
def test_a_refused_message(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def refuse(pilot: Pilot[None]) -> None:
        client.refusals["send"] = ChatError(
            ErrorCode.UNAVAILABLE, "the server can't keep messages now"
        )
        await typed(pilot, "Did this arrive?")

    assert take(refuse)


@panels
def test_a_session_that_has_ended(take: Take, client: ScriptedClient) -> None:
    furnish(client)
    client.accounts["ada"] = "a good password"

    async def end(pilot: Pilot[None]) -> None:
        client.end("the password was changed on another device")
        await until(pilot, lambda: "log in again" in screen_text(pilot))

    assert take(end)


@panels
def test_the_side_pane_over_a_narrow_log(take: Take, client: ScriptedClient) -> None:
    furnish(client)

    async def unfold(pilot: Pilot[None]) -> None:
        await pilot.press("f2")
        await settle(pilot)

    assert take(unfold)


# -- in a language with wide characters ------------------------------------------------------------


@pytest.fixture
def _chinese() -> Iterator[None]:
    before = language.install(gettext.NullTranslations())
    language.use("zh_CN")
    yield
    language.install(before)


@pytest.mark.usefixtures("_chinese")
@pytest.mark.parametrize(
    ("size", "theme"),
    [
        pytest.param((80, 24), "gochat-dark", id="80x24"),
        pytest.param((60, 20), "gochat-light", id="60x20"),
    ],
)
@pytest.mark.parametrize("key", ["", "f1", "f5"], ids=["chat", "help", "settings"])
def test_chinese(take: Take, client: ScriptedClient, key: str) -> None:
    furnish(client)
    client.arrive("zoe")
    client.depart("zoe")
    assert take(press(key) if key else nothing)
