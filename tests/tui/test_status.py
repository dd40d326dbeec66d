"""What people say of themselves, on the screen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pilots import OpenApp, screen_text, settle, type_text, until
from textual.pilot import Pilot

from gochat.client import Status
from gochat.client.moments import moment
from gochat.tui.demo.conversation import demo_app
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.status import StatusPicker
from gochat.tui.profile.preferences import Preferences
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen

pytestmark = pytest.mark.anyio

ROOM = "#garden"
HOLIDAY = Status(emoji="🌴", text="on holiday")
WIDE = (160, 30)


def requested(client: ScriptedClient, method: str) -> list[tuple[Any, ...]]:
    return [request[1:] for request in client.requests if request[0] == method]


def chat(pilot: Pilot[None]) -> ChatScreen:
    screen = next(s for s in pilot.app.screen_stack if isinstance(s, ChatScreen))
    assert isinstance(screen, ChatScreen)
    return screen


async def write(pilot: Pilot[None], line: str) -> None:
    await type_text(pilot, line)
    await pilot.press("enter")


def part(pilot: Pilot[None], start: int, stop: int | None = None) -> str:
    return "\n".join(line[start:stop] for line in screen_text(pilot).splitlines())


async def test_status_is_set_by_a_command_and_cleared_by_it_alone(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await write(pilot, "/status :palm_tree: on holiday for 2h")
        expected = ("on holiday", "🌴", timedelta(hours=2))
        await until(pilot, lambda: requested(client, "set_status") == [expected])
        await until(pilot, lambda: "Your status until 14:00: 🌴 on holiday" in screen_text(pilot))
        await until(pilot, lambda: "● ada  🌴" in part(pilot, 0, 40))
        await write(pilot, "/status")
        await until(pilot, lambda: requested(client, "set_status")[1:] == [("", "", None)])
        await until(pilot, lambda: "Your status is cleared." in screen_text(pilot))
        await until(pilot, lambda: "🌴" not in part(pilot, 0, 40))
        await write(pilot, "/status")  # there is none: it is asked for
        await until(pilot, lambda: isinstance(pilot.app.screen, StatusPicker))


async def test_status_is_chosen_from_the_palette(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+p")
        await settle(pilot)
        await write(pilot, "your status")
        await until(pilot, lambda: isinstance(pilot.app.screen, StatusPicker))
        await until(pilot, lambda: "📅 In a meeting" in screen_text(pilot))
        await type_text(pilot, ":tea: break")
        await until(pilot, lambda: "🍵 break" in screen_text(pilot))
        assert "until you clear it" in screen_text(pilot)
        assert "until 16:00" in screen_text(pilot)
        await pilot.press("down", "enter")
        expected = ("break", "🍵", timedelta(minutes=30))
        await until(pilot, lambda: requested(client, "set_status") == [expected])
        await until(pilot, lambda: chat(pilot).model.status_of("ada") is not None)
        chat(pilot).action_status()
        await until(pilot, lambda: "Clear  🍵 break until 12:30" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: requested(client, "set_status")[1:] == [("", "", None)])


async def test_status_stands_with_the_person_wherever_they_are_listed(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room(ROOM, operators=("ada",), members=("mei", "zed"))
    client.describe_person("zed", HOLIDAY)  # who is offline
    client.describe_person("mei", Status(text="thinking"))
    async with open_app(size=WIDE) as pilot:
        chat(pilot).open_conversation(ROOM)
        await until(pilot, lambda: "○ zed  🌴 on holiday" in part(pilot, 120))
        await until(pilot, lambda: "● mei  thinking" in part(pilot, 120))
        assert len(requested(client, "statuses")) == 1
        await pilot.press("f3")
        await until(pilot, lambda: "○ zed  🌴 on holiday" in part(pilot, 30, 120))
        await type_text(pilot, "zed")
        await pilot.press("enter")
        await until(pilot, lambda: "zed · 🌴 on holiday" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: chat(pilot).model.current == "@zed")
        await until(pilot, lambda: "@zed  🌴 on holiday" in screen_text(pilot))
        await until(pilot, lambda: "○ zed  🌴" in part(pilot, 0, 30))


async def test_statuses_of_a_large_room_are_asked_for_as_they_are_shown(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    """In the pane, and in the list of people, which is all there is on a narrow terminal."""
    names = [f"member{number:03}" for number in range(500)]
    client.add_room(ROOM, operators=("ada",), members=names)
    client.describe_person("member499", HOLIDAY)
    client.describe_person("member250", Status(text="thinking"))

    def asked() -> int:
        return sum(len(some) for (some,) in requested(client, "statuses"))

    async with open_app(size=WIDE) as pilot:
        chat(pilot).open_conversation(ROOM)
        await until(pilot, lambda: "○ member000" in part(pilot, 120))
        await until(pilot, lambda: 0 < asked() < 150)
        chat(pilot).members.rows.scroll_end(animate=False)
        await until(pilot, lambda: "○ member499  🌴 on" in part(pilot, 120))
        assert asked() < 300
    client.requests.clear()
    async with open_app(size=(80, 24)) as pilot:
        chat(pilot).open_conversation(ROOM)
        await settle(pilot)
        assert not asked()
        await pilot.press("f3")
        await until(pilot, lambda: "member000" in screen_text(pilot))
        await type_text(pilot, "250")
        await until(pilot, lambda: "member250  thinking" in screen_text(pilot))
        assert asked() < 300


async def test_status_of_who_is_offline_is_asked_for_once_and_follows_them(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.know("zed")
    client.describe_person("zed", HOLIDAY)
    async with open_app() as pilot:
        chat(pilot).open_conversation("@zed")
        await until(pilot, lambda: "@zed  🌴 on holiday" in screen_text(pilot))
        assert requested(client, "statuses") == [(["zed"],)]
        client.arrive("zed")
        await until(pilot, lambda: "zed" in chat(pilot).model.people)
        client.describe_person("zed", Status(text="here"))
        await until(pilot, lambda: "@zed  here" in screen_text(pilot))
        client.depart("zed")
        await until(pilot, lambda: "zed" not in chat(pilot).model.people)
        await settle(pilot)
        assert "@zed  here" in screen_text(pilot)
        assert len(requested(client, "statuses")) == 1


async def test_status_ends_on_the_screen_by_itself(
    open_app: OpenApp, client: ScriptedClient, clock: Any
) -> None:
    until_then = moment(int(clock() * 1000)) + timedelta(minutes=5)
    client.describe_person("mei", Status(emoji="🌴", text="soon back", until=until_then))
    async with open_app(size=WIDE) as pilot:
        chat(pilot).open_conversation("@mei")
        await until(pilot, lambda: "@mei  🌴 soon back until 12:05" in screen_text(pilot))
        clock.at += 299
        chat(pilot)._tick()
        await settle(pilot)
        assert "🌴 soon back" in part(pilot, 130)
        clock.at += 1
        chat(pilot)._tick()
        await until(pilot, lambda: "🌴" not in screen_text(pilot))


async def test_status_of_who_is_blocked_is_not_shown(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.describe_person("mei", HOLIDAY)
    async with open_app() as pilot:
        await until(pilot, lambda: "● mei  🌴" in screen_text(pilot))
        await write(pilot, "/block mei")
        await until(pilot, lambda: "🌴" not in screen_text(pilot))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (Status(emoji="x\x1b[2J", text="a\x1b]0;b\x07\nc\u202ed"), "@mei  a␛]0;b␇ c⟨U+202E⟩d"),
        (Status(emoji="🌴" * 5000, text="[red]" + "y" * 5000), "@mei  [red]" + "y" * 40),
        (
            Status(emoji="👩🏽‍💻", text="中文 é\u0301\u0302\u0303\u0304\u0304\u0304"),
            "@mei  👩🏽‍💻 中文 ",
        ),
    ],
)
async def test_hostile_status_is_shown_as_a_text(
    open_app: OpenApp, client: ScriptedClient, said: Status, shown: str
) -> None:
    client.describe_person("mei", said)
    async with open_app(size=WIDE) as pilot:
        chat(pilot).open_conversation("@mei")
        await until(pilot, lambda: shown in screen_text(pilot))
        text = screen_text(pilot)
        assert "\x1b" not in text
        assert "🌴" not in text
        assert "offline · will read" not in text


async def test_the_demonstration_has_a_status(state: StateDirectory) -> None:
    async with demo_app(state, Preferences()).run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "● kofi  🌴 on holiday" in part(pilot, 120))
