"""What is typed or pasted is written where it is meant to be, and can be sent."""

from __future__ import annotations

from collections import Counter

import pytest
from linear import assert_linear
from pilots import OpenApp, feed, press_all, screen_text, settle, type_text, typed, until
from textual.message import Message
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.widgets import TextArea

from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.pickers import ActionMenu
from gochat.tui.input import emoji
from gochat.tui.input.emoji import with_emoji
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.widgets.message_input import MessageInput

pytestmark = pytest.mark.anyio


def field(pilot: Pilot[None]) -> MessageInput:
    return next(s for s in pilot.app.screen_stack if isinstance(s, ChatScreen)).composer.input


def sent(client: ScriptedClient) -> list[str]:
    return [request[2] for request in client.requests if request[0] == "send"]


async def test_letters_go_to_the_composer_unless_they_are_a_command(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.say("#lobby", "mei", "hello")
    async with open_app() as pilot:
        await press_all(pilot, ["up", *"hi"])  # h is nothing there
        assert field(pilot).text == "hi"
        assert field(pilot).has_focus
        feed(pilot, "\x1b[<0;60;10M\x1b[<0;60;10m")  # a click into the log
        await press_all(pilot, [])
        pilot.app.screen.query_one("#log").focus()
        await pilot.pause()
        await press_all(pilot, [*"re"])  # with a text r is no command
        assert field(pilot).text == "hire"
        pilot.app.screen.query_one("#conversations").focus()
        await pilot.pause()
        await type_text(pilot, "d?")
        assert field(pilot).text == "hired?"
        assert field(pilot).has_focus
        await press_all(pilot, ["ctrl+l"])
        assert field(pilot).text == ""
        await press_all(pilot, ["ctrl+z"])
        assert field(pilot).text == "hired?"
        await press_all(pilot, ["ctrl+l", "up", "r", *"so"])
        assert "replying to" in screen_text(pilot)
        assert field(pilot).text == "so"


async def test_letter_is_news_once_and_for_nobody_who_does_not_need_it(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each widget that looks at a message takes a tenth of a millisecond, at each key."""
    seen: Counter[tuple[str, str]] = Counter()
    dispatch = MessagePump._dispatch_message

    async def counted(pump: MessagePump, message: Message) -> None:
        if type(message) in (TextArea.Changed, TextArea.SelectionChanged, MessageInput.Typed):
            seen[type(message).__name__, type(pump).__name__] += 1
        await dispatch(pump, message)

    async with open_app() as pilot:
        await press_all(pilot, [*"one"])
        monkeypatch.setattr(MessagePump, "_dispatch_message", counted)
        await press_all(pilot, ["x"])
        assert field(pilot).text == "onex"
    assert seen["Changed", "MessageInput"] == 1
    assert {pump for message, pump in seen if message != "Typed"} == {"MessageInput"}
    assert seen["Typed", "ChatScreen"] == 1
    assert ("Typed", "GochatApp") not in seen


async def test_a_text_too_long_for_one_message_becomes_several(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    lines = [f"line {number} {'x' * 90}" for number in range(100)]
    async with open_app() as pilot:
        await type_text(pilot, "\n".join(lines) + "\n")
        await settle(pilot)
        assert "Paste 100 lines?" in screen_text(pilot)
        await press_all(pilot, ["y", "enter"])
        assert isinstance(pilot.app.screen, ActionMenu)
        assert "3 messages" in screen_text(pilot)
        await press_all(pilot, ["enter"])
        await until(pilot, lambda: len(sent(client)) == 3)
        assert "\n".join(sent(client)).split("\n") == lines
        assert field(pilot).text == ""


async def test_a_command_that_is_too_long_is_not_sent_in_parts(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    """In #lobby everybody would read what was for mei."""
    async with open_app() as pilot:
        await type_text(pilot, f"/msg mei {'secret ' * 1000}")
        await press_all(pilot, ["enter"])
        assert isinstance(pilot.app.screen, ActionMenu)
        assert "Send it as" not in screen_text(pilot)
        assert "Clear the field" in screen_text(pilot)
        assert not sent(client)


async def test_what_is_completed_is_readable_on_a_narrow_terminal(open_app: OpenApp) -> None:
    async with open_app(size=(40, 15)) as pilot:
        await press_all(pilot, [*"/create"])
        assert "/create-private ROOM [TOPIC]" in screen_text(pilot)


async def test_an_answer_and_an_edit_wait_while_another_conversation_is_shown(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.say("@mei", "mei", "hello")
    client.say("#lobby", "ada", "an eror")
    async with open_app() as pilot:
        await press_all(pilot, [*"draft", "f8", "alt+e", *"!", "alt+2", *"yes", "up", "alt+1"])
        assert "editing your message" in screen_text(pilot)
        assert field(pilot).text == "an eror!"
        await press_all(pilot, ["escape"])
        assert field(pilot).text == "draft"
        await press_all(pilot, ["f8", "alt+r", "alt+2", "alt+1", "enter"])
        assert ("send", "#lobby", "draft", 1) in client.requests


async def test_enter_takes_what_a_popup_suggests(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await press_all(pilot, [*"hi @to", "enter"])
        assert field(pilot).text == "hi @tomas "
        assert not sent(client)
        await press_all(pilot, ["enter", *"@mei", "enter"])  # a whole name is sent
        assert sent(client) == ["hi @tomas ", "@mei"]
        await press_all(pilot, [*"/away", "space", "enter"])  # what may follow is not taken
        assert field(pilot).text == ""


async def test_all_shortcodes_become_emoji(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await typed(pilot, "a :tada: and :heart:, not `:x:`")
        assert sent(client) == ["a 🎉 and ❤️, not `:x:`"]


def test_names_of_emoji_are_not_found_within_words_or_code() -> None:
    assert with_emoji(":tada::heart:(:+1:)") == "🎉❤️(👍)"
    literal = ("10:x:30", "a:x:", "`:x:`", "```\n:x:\n```", ":nothing:", ": x :", "http://a/:x:/")
    for text in literal:
        assert with_emoji(text) == text


def test_names_of_emoji_stand_by_the_letters_of_scripts_without_spaces() -> None:
    assert with_emoji("你好:tada:你好") == "你好🎉你好"


@pytest.mark.parametrize("unit", ["`", "``a`", "`:x:` ", ":x:`", "\\``", "```\n", ":x"])
def test_names_of_emoji_take_time_linear_in_the_length(unit: str) -> None:
    assert_linear(with_emoji, unit, before=":x: ")


def test_text_without_names_of_emoji_is_not_read_for_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> None:
        raise AssertionError("not needed")

    monkeypatch.setattr(emoji, "tokens", fail)
    assert with_emoji("`a` 10:30 : " * 100) == "`a` 10:30 : " * 100


def test_a_backtick_alone_begins_no_code() -> None:
    assert with_emoji("I`m here :tada:") == "I`m here 🎉"


async def test_no_space_is_added_to_an_emoji_that_was_typed(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await press_all(pilot, [*"well :tada:"])
        await press_all(pilot, ["!"])
        assert field(pilot).text == "well 🎉!"


async def test_the_cursor_stands_still_while_nothing_is_typed(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_app() as pilot:
        field = pilot.app.focused
        assert isinstance(field, MessageInput)
        await pilot.press("a")
        assert field.cursor_blink
        monkeypatch.setattr("gochat.tui.app._BLINKING", -1.0)
        await until(pilot, lambda: not field.cursor_blink, "a cursor that stands still")
        monkeypatch.setattr("gochat.tui.app._BLINKING", 3600.0)
        await pilot.press("b")
        assert field.cursor_blink
