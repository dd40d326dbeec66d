"""What opens over the chat: by keys, by slash commands, and by the mouse."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pilots import OpenApp, screen_text, settle, type_text, typed, until
from textual.pilot import Pilot
from textual.widgets import Input

from gochat.client import Found, Level, Marked, NewLogin, Room
from gochat.errors import ChatError, ConnectionLost, ErrorCode
from gochat.tui.actions.session import device_name
from gochat.tui.app import GochatApp
from gochat.tui.chat_log import LogMessage
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.help import HelpScreen
from gochat.tui.dialogs.palette import CommandPalette
from gochat.tui.dialogs.picker import Picker
from gochat.tui.dialogs.pickers import RoomPicker
from gochat.tui.dialogs.search import SearchScreen
from gochat.tui.dialogs.sessions import SessionPanel
from gochat.tui.dialogs.switcher import Switcher
from gochat.tui.input.keys import read
from gochat.tui.profile.preferences import Preferences, Settings
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.screens.connect import ConnectScreen
from gochat.tui.widgets.side_pane import SidePane

pytestmark = pytest.mark.anyio


def chat(pilot: Pilot[None]) -> ChatScreen:
    screen = next(s for s in pilot.app.screen_stack if isinstance(s, ChatScreen))
    assert isinstance(screen, ChatScreen)
    return screen


async def opened(pilot: Pilot[None], kind: type[Any]) -> Any:
    await until(pilot, lambda: isinstance(pilot.app.screen, kind), kind.__name__)
    await settle(pilot)
    return pilot.app.screen


async def in_chat(pilot: Pilot[None]) -> ChatScreen:
    screen: ChatScreen = await opened(pilot, ChatScreen)
    return screen


def requested(client: ScriptedClient, method: str) -> list[tuple[Any, ...]]:
    return [request[1:] for request in client.requests if request[0] == method]


def texts(pilot: Pilot[None]) -> list[str]:
    return [i.text for i in chat(pilot).log_view.items.values() if isinstance(i, LogMessage)]


# -- the switcher ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["ctrl+k", "ctrl+g"])
async def test_the_switcher_goes_to_a_person(
    open_app: OpenApp, client: ScriptedClient, key: str
) -> None:
    async with open_app() as pilot:
        await pilot.press(key)
        await opened(pilot, Switcher)
        await typed(pilot, "tms")
        await in_chat(pilot)
        assert chat(pilot).model.current == "@tomas"


async def test_the_switcher_finds_what_is_shown_by_its_name(open_app: OpenApp) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+k")
        panel = await opened(pilot, Switcher)
        assert "#lobby" not in panel.rows.keys
        await typed(pilot, "lobby")
        await in_chat(pilot)
        assert chat(pilot).model.current == "#lobby"


async def test_what_is_typed_before_the_switcher_has_opened_is_not_lost(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+k", "t", "o", "m", "enter")
        await settle(pilot)
        await in_chat(pilot)
        assert chat(pilot).composer.input.text == ""
        assert chat(pilot).model.current == "@tomas"


async def test_the_switcher_offers_the_conversation_before_first(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.record("@mei", "mei", "hello")
    client.add_room("#design", joined=True)
    async with open_app() as pilot:
        await pilot.press("alt+3")
        await settle(pilot)
        await pilot.press("ctrl+k")
        switcher = await opened(pilot, Switcher)
        assert switcher.rows.cursor_key == "#lobby"
        await pilot.press("enter")
        await in_chat(pilot)
        assert chat(pilot).model.current == "#lobby"


async def test_a_room_that_one_is_not_in_is_joined(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#music", "Tunes")
    async with open_app() as pilot:
        await pilot.press("ctrl+k")
        switcher = await opened(pilot, Switcher)
        await until(pilot, lambda: "#music" in switcher.rows.keys)
        await typed(pilot, "mus")
        await until(pilot, lambda: chat(pilot).model.current == "#music")
        assert requested(client, "join") == [("#music",)]


async def test_escape_and_a_click_beside_it_close_a_panel(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+k")
        await opened(pilot, Switcher)
        await pilot.press("escape")
        await in_chat(pilot)
        await pilot.press("ctrl+k")
        await opened(pilot, Switcher)
        await pilot.click(offset=(1, 30))
        await in_chat(pilot)
        assert chat(pilot).model.current == "#lobby"


async def test_a_row_is_chosen_by_the_mouse(open_app: OpenApp, client: ScriptedClient) -> None:
    client.record("@mei", "mei", "hello")
    async with open_app() as pilot:
        await pilot.press("ctrl+k")
        await opened(pilot, Switcher)
        await pilot.click("#picker-rows", offset=(3, 0))
        await in_chat(pilot)
        assert chat(pilot).model.current == "@mei"


# -- the palette -----------------------------------------------------------------------------------


async def test_the_palette_runs_an_action_by_its_name(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+p")
        await opened(pilot, CommandPalette)
        await typed(pilot, "search mess")
        await opened(pilot, SearchScreen)


async def test_the_palette_begins_a_command_that_needs_more(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+p")
        await opened(pilot, CommandPalette)
        await typed(pilot, "invite somebody")
        await in_chat(pilot)
        assert chat(pilot).composer.input.text == "/invite "


async def test_a_command_of_the_palette_leaves_what_was_typed(open_app: OpenApp) -> None:
    async with open_app() as pilot:
        await type_text(pilot, "half a draft")
        await pilot.press("ctrl+p")
        await opened(pilot, CommandPalette)
        await typed(pilot, "invite somebody")
        await in_chat(pilot)
        field = chat(pilot).composer.input
        assert field.text == "/invite half a draft"
        assert field.cursor_location == (0, len("/invite "))
        await pilot.press("ctrl+z")
        await until(pilot, lambda: field.text == "half a draft")


async def test_light_is_first_the_light_theme_of_the_app(open_app: OpenApp) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+p")
        await opened(pilot, CommandPalette)
        await type_text(pilot, "light")
        await until(pilot, lambda: pilot.app.theme == "gochat-light", "the preview")


async def test_themes_are_shown_while_moving_and_only_kept_when_chosen(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+p")
        await opened(pilot, CommandPalette)
        await type_text(pilot, "theme gochat-light")
        await settle(pilot)
        assert pilot.app.theme == "gochat-light"
        await pilot.press("escape")
        await in_chat(pilot)
        assert pilot.app.theme == "gochat-dark"
        await pilot.press("ctrl+p")
        await opened(pilot, CommandPalette)
        await typed(pilot, "theme gochat-light")
        await in_chat(pilot)
        assert pilot.app.theme == "gochat-light"
    assert state.load_settings(Settings).theme == "gochat-light"


# -- search ----------------------------------------------------------------------------------------


async def test_a_hit_is_shown_where_it_was_said_and_end_returns_to_now(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    for n in range(1, 1001):
        client.record("#lobby", "mei", "the needle" if n == 300 else f"hay {n}")
    async with open_app() as pilot:
        await pilot.press("ctrl+f")
        await opened(pilot, SearchScreen)
        await type_text(pilot, "needle")
        await until(pilot, lambda: "the needle" in screen_text(pilot))
        await pilot.press("enter")
        await in_chat(pilot)
        await until(pilot, lambda: "the needle" in screen_text(pilot))
        assert "hay 301" in screen_text(pilot)
        assert "End: back to now" in screen_text(pilot)
        client.say("#lobby", "mei", "just now")
        await settle(pilot)
        assert "just now" not in screen_text(pilot)
        await pilot.press("end")
        await until(pilot, lambda: "just now" in screen_text(pilot))
        client.say("#lobby", "mei", "and now")
        await until(pilot, lambda: "and now" in screen_text(pilot))


async def test_scrolling_down_from_an_old_place_leads_to_the_present(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    for n in range(1, 351):
        client.record("#lobby", "mei", f"hay {n}")
    async with open_app() as pilot:
        chat(pilot).go_to("#lobby", 50)
        await until(pilot, lambda: "hay 50" in texts(pilot))
        assert "hay 350" not in texts(pilot)
        for _ in range(60):
            await pilot.press("pagedown")
            if "hay 350" in texts(pilot):
                break
        await until(pilot, lambda: "hay 350" in texts(pilot))
        seqs = [int(key) for key in chat(pilot).log_view.items]
        assert seqs == list(range(seqs[0], 351))


async def test_a_search_that_fails_says_why(open_app: OpenApp, client: ScriptedClient) -> None:
    client.refusals["search"] = ConnectionLost("there is no connection")
    async with open_app() as pilot:
        await pilot.press("ctrl+f")
        await opened(pilot, SearchScreen)
        await type_text(pilot, "x")
        await until(pilot, lambda: "there is no connection" in screen_text(pilot))


def hold_pages(
    monkeypatch: pytest.MonkeyPatch, client: ScriptedClient, conv: str | None, after: int
) -> Callable[[], None]:
    """Give no more than `after` pages of a search in `conv`; return what lets the others come."""
    search = client.search
    go_on = asyncio.Event()
    given = 0

    async def search_slowly(
        query: str, *, conversation: str | None = None, cursor: str | None = None
    ) -> Found:
        nonlocal given
        if conversation == conv:
            if given >= after:
                await go_on.wait()
            given += 1
        return await search(query, conversation=conversation, cursor=cursor)

    monkeypatch.setattr(client, "search", search_slowly)
    return go_on.set


@pytest.mark.parametrize("word", ["needle", "nowhere"])
async def test_the_search_goes_on_by_itself_where_a_page_is_empty(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    go_on = hold_pages(monkeypatch, client, None, after=1)
    client.looks_at = 10
    client.record("#lobby", "mei", "the needle")
    for number in range(35):
        client.record("#lobby", "mei", f"hay {number}")
    async with open_app() as pilot:
        await pilot.press("ctrl+f")
        await opened(pilot, SearchScreen)
        await type_text(pilot, word)
        await until(pilot, lambda: "Looking further back…" in screen_text(pilot))
        go_on()
        answer = "the needle" if word == "needle" else "Nothing found."
        await until(pilot, lambda: answer in screen_text(pilot))
        await until(pilot, lambda: "Looking further back…" not in screen_text(pilot))


async def test_a_search_narrowed_under_way_finds_only_what_matches(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_pages(monkeypatch, client, None, after=2)
    client.looks_at = 10
    client.record("@mei", "mei", "needle in private")
    for number in range(60):
        client.record("#lobby", "mei", f"hay {number}")
    client.record("#lobby", "mei", "needle for all")

    def pages(conv: str | None) -> int:
        return sum(request[0] == "search" and request[2] == conv for request in client.requests)

    async with open_app() as pilot:
        await pilot.press("ctrl+f")
        await opened(pilot, SearchScreen)
        await type_text(pilot, "needle")
        await until(pilot, lambda: pages(None) == 2)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: pages("#lobby") == 7)
        await settle(pilot)
        assert "needle for all" in screen_text(pilot)
        assert "needle in private" not in screen_text(pilot)
        assert pages(None) == 2


async def test_the_search_is_narrowed_to_the_conversation(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.record("@mei", "mei", "needle in private")
    client.record("#lobby", "mei", "needle for all")
    async with open_app() as pilot:
        await pilot.press("ctrl+f")
        await opened(pilot, SearchScreen)
        await type_text(pilot, "needle")
        await until(pilot, lambda: "needle in private" in screen_text(pilot))
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "needle in private" not in screen_text(pilot))
        assert "Search in #lobby" in screen_text(pilot)


# -- messages --------------------------------------------------------------------------------------


async def test_ones_own_message_is_edited(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await typed(pilot, "helo")
        await type_text(pilot, "draft")
        chat(pilot).composer.input.write("")
        await pilot.press("up", "e")
        await settle(pilot)
        assert chat(pilot).composer.input.text == "helo"
        assert "editing your message" in screen_text(pilot)
        chat(pilot).composer.input.write("hello")
        await pilot.press("enter")
        await until(pilot, lambda: texts(pilot) == ["hello"])
        assert requested(client, "edit") == [("#lobby", 1, "hello")]
        assert "edited" in screen_text(pilot)


async def test_an_edit_that_fails_keeps_what_was_typed(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await typed(pilot, "helo")
        client.refusals["edit"] = ConnectionLost("there is no connection")
        await pilot.press("up", "e")
        await settle(pilot)
        chat(pilot).composer.input.write("hello")
        await pilot.press("enter")
        await until(pilot, lambda: chat(pilot).composer.input.text == "hello")
        await until(pilot, lambda: "There is no connection" in screen_text(pilot))


async def test_leaving_an_edit_brings_the_draft_back(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await typed(pilot, "helo")
        composer = chat(pilot).composer
        composer.input.write("half")
        composer.edit(1, "helo")
        await settle(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert composer.input.text == "half"


async def test_deleting_asks_first(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await typed(pilot, "oops")
        await pilot.press("up", "d")
        await opened(pilot, Confirm)
        await pilot.press("enter")  # on the harmless answer
        await in_chat(pilot)
        assert requested(client, "delete") == []
        chat(pilot).composer.input.focus()
        await pilot.press("up", "d")
        await opened(pilot, Confirm)
        await pilot.press("y")
        await in_chat(pilot)
        await until(pilot, lambda: requested(client, "delete") == [("#lobby", 1)])
        await settle(pilot)
        assert "oops" not in screen_text(pilot)


async def test_another_persons_message_is_not_edited(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.record("#lobby", "mei", "hers")
    async with open_app() as pilot:
        await until(pilot, lambda: texts(pilot) == ["hers"])
        await pilot.press("up", "e")
        await settle(pilot)
        assert "This is mei's message." in screen_text(pilot)
        assert chat(pilot).composer.mode is None


async def test_a_reaction_is_given_and_taken_back(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.record("#lobby", "mei", "done!")
    async with open_app() as pilot:
        await until(pilot, lambda: texts(pilot) == ["done!"])
        await pilot.press("up", "plus")
        await opened(pilot, Picker)
        await typed(pilot, "tada")
        await until(pilot, lambda: requested(client, "react") == [("#lobby", 1, "🎉", True)])
        await settle(pilot)
        assert "🎉" in screen_text(pilot)
        chat(pilot).controller.react("#lobby", 1, "🎉")
        await until(pilot, lambda: requested(client, "react")[-1] == ("#lobby", 1, "🎉", False))


async def test_a_message_is_copied(open_app: OpenApp, client: ScriptedClient) -> None:
    client.record("#lobby", "mei", "copy\tme\x1b[201~\n")
    async with open_app() as pilot:
        await until(pilot, lambda: len(texts(pilot)) == 1)
        await pilot.press("up", "y")
        await settle(pilot)
        assert pilot.app.clipboard == "copy\tme␛[201~\n"


async def test_a_refused_message_is_discarded(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        client.refusals["send"] = ChatError(ErrorCode.NOT_A_MEMBER, "not a member")
        await typed(pilot, "x")
        await pilot.press("up", "d")
        await settle(pilot)
        assert client.outbox == ()
        assert texts(pilot) == []


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("see https://example.org/a.", ["https://example.org/a"]),
        ("none", []),
    ],
)
async def test_a_link_is_opened(
    open_app: OpenApp,
    client: ScriptedClient,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    urls: list[str],
) -> None:
    found: list[str] = []
    monkeypatch.setattr(GochatApp, "open_url", lambda self, url, **_: found.append(url))
    client.record("#lobby", "mei", text)
    async with open_app() as pilot:
        await until(pilot, lambda: texts(pilot) == [text])
        await pilot.press("up", "o")
        await settle(pilot)
        assert found == urls


# -- rooms and people ------------------------------------------------------------------------------


async def test_a_room_is_created_from_the_list_of_rooms(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await pilot.press("f4")
        await opened(pilot, Picker)
        await typed(pilot, "design")
        await until(pilot, lambda: bool(pilot.app.screen.query("#topic")))
        await settle(pilot)
        assert pilot.app.screen.query_one("#room", Input).value == "design"
        await pilot.press("tab")
        await typed(pilot, "How it looks")
        await until(pilot, lambda: chat(pilot).model.current == "#design")
        assert requested(client, "create_room") == [("#design", "How it looks", False)]
        assert "you created this room" in screen_text(pilot)


async def test_the_list_of_rooms_is_in_the_order_of_names(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    for room in ("#room10", "#room2", "#Room1"):
        client.add_room(room)
    async with open_app() as pilot:
        await pilot.press("f4")
        panel = await opened(pilot, Picker)
        wanted = ["#lobby", "#Room1", "#room2", "#room10"]
        await until(pilot, lambda: list(panel.rows.keys)[:4] == wanted)


def test_a_new_name_is_not_found_letter_by_letter_in_topics() -> None:
    """Enter would join that room, where it was to create one."""
    room = Room(name="#long-room-in-the-west", topic="room of the west", members=1)
    picker = RoomPicker([room])
    assert list(picker.find("newroom")) == ["create:newroom"]
    assert picker.find("lrw")[0] == room.name
    assert picker.find("of west")[0] == room.name


async def test_a_room_is_left_after_asking(open_app: OpenApp, client: ScriptedClient) -> None:
    client.add_room("#design", joined=True)
    async with open_app() as pilot:
        await pilot.press("alt+2")
        await settle(pilot)
        await typed(pilot, "/leave")
        await opened(pilot, Confirm)
        await pilot.press("y")
        await in_chat(pilot)
        await until(pilot, lambda: chat(pilot).model.current == "#lobby")
        assert requested(client, "leave") == [("#design",)]
        assert "#design" not in chat(pilot).model.conversations


async def test_the_lobby_is_not_left(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await typed(pilot, "/leave")
        assert "can't be left" in screen_text(pilot)


async def test_members_are_listed_and_an_operator_can_remove_one(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", members=["mei", "tomas"], joined=True)
    async with open_app() as pilot:
        await pilot.press("alt+2")
        await settle(pilot)
        chat(pilot).model.shown.operator = True
        await pilot.press("f3")
        picker = await opened(pilot, Picker)
        await until(pilot, lambda: "mei" in picker.rows.keys)
        await typed(pilot, "mei")
        await until(pilot, lambda: "Remove them" in screen_text(pilot))
        await typed(pilot, "remove")
        await opened(pilot, Confirm)
        await pilot.press("y")
        await until(pilot, lambda: requested(client, "kick") == [("#design", "mei")])


async def test_operator_steps_down_in_whatever_spelling(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", operators=["mei", "ada"])
    async with open_app() as pilot:
        await pilot.press("alt+2")
        await until(pilot, lambda: chat(pilot).model.shown.operator)
        await typed(pilot, "/deop ADA")
        await until(pilot, lambda: not chat(pilot).model.shown.operator)


async def test_being_removed_shows_it_and_what_was_said_stays(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", joined=True)
    client.record("#design", "mei", "hello")
    async with open_app() as pilot:
        await pilot.press("alt+2")
        await until(pilot, lambda: texts(pilot) == ["hello"])
        await type_text(pilot, "I think")
        client.say("#design", "mei", "ada", kind="kick")
        await settle(pilot)
        text = screen_text(pilot)
        assert "mei removed you" in text
        assert "you are not in this room" in text
        assert chat(pilot).composer.input.text == "I think"


def public(client: ScriptedClient) -> list[tuple[Any, ...]]:
    return requested(client, "set_access")


async def test_making_a_room_public_asks_what_becomes_of_its_history(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#den", private=True, operators=["ada"])
    async with open_app() as pilot:
        await pilot.press("alt+2")
        await settle(pilot)
        chat(pilot).model.shown.private = True
        for answer, history in (("hide", "hidden"), ("show", "shown")):
            await typed(pilot, "/public")
            await opened(pilot, Picker)
            assert "#den becomes public" in screen_text(pilot)
            await typed(pilot, answer)
            await until(pilot, lambda: bool(public(client)))
            assert public(client) == [("#den", False, history)]
            client.requests.clear()
            chat(pilot).model.shown.private = True
        await typed(pilot, "/public")
        await opened(pilot, Picker)
        await pilot.press("escape")
        await in_chat(pilot)
        assert public(client) == []
        # What can't be shown is not asked about.
        await typed(pilot, "/history hidden")
        await typed(pilot, "/public")
        await until(pilot, lambda: public(client) == [("#den", False, "hidden")])


async def test_history_before_joining_is_hidden_and_the_log_says_so(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#den", private=True, operators=["ada"])
    client.record("#den", "mei", "secret")
    client.record("#den", "mei", "hello")
    client.floors["#den"] = 1
    async with open_app() as pilot:
        await pilot.press("alt+2")
        await until(pilot, lambda: texts(pilot) == ["hello"])
        assert "Messages before you joined are hidden" in screen_text(pilot)
        await typed(pilot, "/history")
        await until(pilot, lambda: "can read earlier" in screen_text(pilot))
        await typed(pilot, "/history hidden")
        assert requested(client, "set_history") == [("#den", "hidden")]
        await until(pilot, lambda: "you hid earlier messages" in screen_text(pilot))
        await typed(pilot, "/history")
        await until(pilot, lambda: "can read only later" in screen_text(pilot))


async def test_an_invitation_is_shown(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        client.say("#secret", "mei", "ada", kind="invite")
        await settle(pilot)
        assert "mei invites you to #secret" in screen_text(pilot)
        client.say("#secret", "mei", "ada", kind="kick")
        await settle(pilot)
        assert not chat(pilot).model.invitations


@pytest.mark.parametrize("answer", ["join", "decline"])
async def test_an_invitation_waits_in_the_list_until_it_is_answered(
    open_app: OpenApp, client: ScriptedClient, answer: str
) -> None:
    """Also one from before the app was started, at 80×24."""
    client.say("#secret", "mei", "private", kind="create")
    client.say("#secret", "mei", "ada", kind="invite")
    async with open_app(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(re.search("#secret +invited", screen_text(pilot))))
        pane = chat(pilot).query_one(SidePane)
        pane.post_message(SidePane.ConversationChosen("#secret"))
        await until(pilot, lambda: "mei invites you to #secret" in screen_text(pilot))
        await pilot.press(*(["down"] if answer == "decline" else []), "enter")
        await until(pilot, lambda: requested(client, answer) == [("#secret",)])
        await until(pilot, lambda: not chat(pilot).model.invitations)
        await until(pilot, lambda: not re.search("#secret +invited", screen_text(pilot)))


async def test_an_invitation_is_declined_by_a_command(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        client.say("#secret", "mei", "private", kind="create")
        client.say("#secret", "mei", "ada", kind="invite")
        await typed(pilot, "/decline secret")
        await until(pilot, lambda: "You declined the invitation" in screen_text(pilot))
        assert requested(client, "decline") == [("#secret",)]
        await typed(pilot, "/decline secret")
        await until(pilot, lambda: "You are not invited to #secret" in screen_text(pilot))


async def test_a_level_is_set_and_taken_back_when_it_fails(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    def level() -> Level:
        return chat(pilot).model.shown.level

    async with open_app() as pilot:
        await typed(pilot, "/notify none")
        assert requested(client, "set_level") == [("#lobby", "none")]
        assert level() == "none"
        await until(pilot, lambda: "You will be notified of nothing" in screen_text(pilot))
        client.refusals["set_level"] = ConnectionLost("there is no connection")
        await typed(pilot, "/notify all")
        await until(pilot, lambda: level() == "none")
        assert "notified of everything" not in screen_text(pilot)
        client.emit(Marked(conversation="#lobby", read=0, unread=0, mentions=0, level="mentions"))
        await until(pilot, lambda: level() == "mentions")


async def test_a_command_that_is_wrong_stays_to_be_mended(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await typed(pilot, "/jion music")
        assert chat(pilot).composer.input.text == "/jion music"
        assert "Did you mean /join" in screen_text(pilot)


async def test_two_slashes_send_one(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await typed(pilot, "//etc/hosts")
        assert requested(client, "send") == [("#lobby", "/etc/hosts", None)]


# -- completion ------------------------------------------------------------------------------------


async def test_tab_completes_and_goes_round(open_app: OpenApp, client: ScriptedClient) -> None:
    client.arrive("melanie")
    async with open_app() as pilot:
        field = chat(pilot).composer.input
        await type_text(pilot, "hi @me")
        await settle(pilot)
        assert "@melanie" in screen_text(pilot)
        await pilot.press("tab")
        assert field.text == "hi @mei "
        await pilot.press("tab")
        assert field.text == "hi @melanie "
        await pilot.press("tab")
        assert field.text == "hi @mei "
        await pilot.press("shift+tab")
        assert field.text == "hi @melanie "
        await pilot.press("enter")
        await settle(pilot)
        assert requested(client, "send") == [("#lobby", "hi @melanie ", None)]


async def test_the_popup_shows_commands_and_escape_closes_it(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await pilot.press("slash")
        await settle(pilot)
        assert "/msg NAME [TEXT]" in screen_text(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert "/msg NAME" not in screen_text(pilot)
        await pilot.press("t", "o", "tab")
        await settle(pilot)
        assert chat(pilot).composer.input.text == "/topic "
        assert "set what this room is about" in screen_text(pilot)


async def test_an_emoji_appears_as_its_name_ends(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await type_text(pilot, "yes :tada")
        await pilot.press("colon")
        await settle(pilot)
        assert chat(pilot).composer.input.text == "yes 🎉"


# -- other panels ----------------------------------------------------------------------------------


async def test_a_large_paste_is_asked_about(open_app: OpenApp, client: ScriptedClient) -> None:
    text = "\n".join(f"line {n}" for n in range(1, 31))
    async with open_app() as pilot:
        await type_text(pilot, text)
        await opened(pilot, Confirm)
        assert "Paste 30 lines?" in screen_text(pilot)
        await pilot.press("escape")
        await in_chat(pilot)
        assert chat(pilot).composer.input.text == ""
        await type_text(pilot, text)
        await opened(pilot, Confirm)
        await pilot.press("enter")
        await in_chat(pilot)
        await until(pilot, lambda: chat(pilot).composer.input.text == text)


async def test_a_paste_keeps_its_lines_and_is_not_sent(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await type_text(pilot, "one\r\ntwo\rthree\n")
        await settle(pilot)
        assert chat(pilot).composer.input.text == "one\ntwo\nthree\n"
        assert requested(client, "send") == []


@pytest.mark.parametrize(
    ("focus", "first"),
    [("input", "Writing"), ("list", "Rooms and people"), ("message", "The selected message")],
)
async def test_help_begins_with_what_has_the_focus(
    open_app: OpenApp, client: ScriptedClient, focus: str, first: str
) -> None:
    client.record("#lobby", "mei", "x")
    async with open_app() as pilot:
        await until(pilot, lambda: texts(pilot) == ["x"])
        if focus != "input":
            await pilot.press("f2" if focus == "list" else "up")
            await settle(pilot)
        await pilot.press("f1")
        await opened(pilot, HelpScreen)
        headings = ("Writing", "Everywhere", "Rooms and people", "The selected message")
        lines = screen_text(pilot).splitlines()
        found = [heading for line in lines for heading in headings if line.endswith(heading)]
        assert found[0] == first
        await pilot.press("escape")
        await in_chat(pilot)


async def test_settings_hold_at_once_and_are_kept(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    async with open_app() as pilot:
        await pilot.press("f5")
        await opened(pilot, Picker)
        await type_text(pilot, "who comes")
        await pilot.press("right")
        await settle(pilot)
        await pilot.press("escape")
        await in_chat(pilot)
        assert not chat(pilot).model.presence_lines
    assert not state.load_settings(Settings).presence


@pytest.mark.parametrize(("steps", "shown"), [(1, "12:00p"), (2, ""), (3, "12:00")])
async def test_the_time_in_the_log_is_told_as_chosen(
    open_app: OpenApp, client: ScriptedClient, steps: int, shown: str
) -> None:
    client.record("#lobby", "mei", "hello")
    async with open_app() as pilot:
        await until(pilot, lambda: texts(pilot) == ["hello"])
        await pilot.press("f5")
        await opened(pilot, Picker)
        await type_text(pilot, "times")
        await pilot.press(*["right"] * steps)
        await settle(pilot)
        await pilot.press("escape")
        await in_chat(pilot)
        await settle(pilot)
        (line,) = [line for line in screen_text(pilot).splitlines() if line.endswith("  mei")
                   and "●" not in line]  # fmt: skip
        assert line.split()[:-1] == [shown] if shown else line.split()[:-1] == []


async def test_what_the_file_sets_is_not_changed_in_the_app(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    fixed = Preferences(Settings(theme="nord"), fixed=frozenset({"theme"}))
    async with open_app(preferences=fixed) as pilot:
        await pilot.press("f5")
        await opened(pilot, Picker)
        assert "in tui.toml" in screen_text(pilot)
        await pilot.press("right")
        await settle(pilot)
        assert pilot.app.theme == "nord"


async def test_what_the_file_sets_is_not_kept_when_something_else_is_changed(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    state.save_settings(Settings(theme="gochat-light"))
    given = Settings(theme="nord", highlight=("deploy",))
    fixed = Preferences(given, fixed=frozenset({"theme", "highlight"}))
    client.record("#lobby", "mei", "we deploy at ten")
    async with open_app(preferences=fixed) as pilot:
        await until(pilot, lambda: texts(pilot) == ["we deploy at ten"])
        (item,) = [i for i in chat(pilot).log_view.items.values() if isinstance(i, LogMessage)]
        assert item.mention
        await pilot.press("f5")
        await opened(pilot, Picker)
        await type_text(pilot, "words")
        await settle(pilot)
        assert "deploy in tui.toml" in screen_text(pilot)
        await pilot.press("ctrl+u")
        await type_text(pilot, "bell")
        await pilot.press("right")
        await settle(pilot)
        assert state.load_settings(Settings) == Settings(theme="gochat-light", bell=False)


async def test_words_that_count_as_a_mention_are_written_in_the_file(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await pilot.press("f5")
        await opened(pilot, Picker)
        await type_text(pilot, "words")
        await pilot.press("right")
        await settle(pilot)
        assert 'highlight = ["deploy"' in screen_text(pilot)


async def test_keys_of_the_configuration_work_and_the_old_ones_do_not(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    keymap = read({"switcher": "ctrl+t", "send": "ctrl+s"})
    async with open_app(preferences=Preferences(keymap=keymap)) as pilot:
        await pilot.press("ctrl+k")
        await settle(pilot)
        assert isinstance(pilot.app.screen, ChatScreen)
        assert "Ctrl+T go to" in screen_text(pilot)
        await pilot.press("ctrl+t")
        await opened(pilot, Switcher)
        await pilot.press("escape")
        await in_chat(pilot)
        await type_text(pilot, "one")
        await pilot.press("enter")
        await type_text(pilot, "two")
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert requested(client, "send") == [("#lobby", "one\ntwo", None)]


async def test_the_keys_of_a_message_can_be_changed(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.record("#lobby", "mei", "lunch?")
    keymap = read({"message_reply": "q"})
    async with open_app(preferences=Preferences(keymap=keymap)) as pilot:
        await until(pilot, lambda: texts(pilot) == ["lunch?"])
        await pilot.press("up")
        await settle(pilot)
        assert "q reply" in screen_text(pilot)
        await pilot.press("q")
        await settle(pilot)
        assert "replying to mei" in screen_text(pilot)


async def test_mistakes_in_the_configuration_are_told(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    keymap = read({"serch": "f9"})
    preferences = Preferences(keymap=keymap, problems=keymap.problems)
    async with open_app(preferences=preferences) as pilot:
        assert "did you mean 'search'?" in screen_text(pilot).replace("\n", " ")


async def test_an_ended_session_asks_for_the_password_and_loses_nothing(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.accounts["ada"] = "a good password"
    async with open_app() as pilot:
        await type_text(pilot, "half a sentence")
        client.end("you have changed your password elsewhere")
        await until(pilot, lambda: "Please log in again" in screen_text(pilot))
        await settle(pilot)
        assert "changed your password elsewhere" in screen_text(pilot)
        await typed(pilot, "wrong")
        await until(pilot, lambda: "The name or the password is wrong" in screen_text(pilot))
        await settle(pilot)
        await typed(pilot, "a good password")
        await in_chat(pilot)
        await settle(pilot)
        assert chat(pilot).composer.input.text == "half a sentence"
        assert "connected as ada" in screen_text(pilot)


async def test_logging_out_asks_and_forgets_the_token(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    async with open_app() as pilot:
        await typed(pilot, "/logout")
        await opened(pilot, Confirm)
        await pilot.press("y")
        await opened(pilot, ConnectScreen)
        assert "You are logged out." in screen_text(pilot)
        session = state.session()
        assert session is not None
        assert session.token is None
        assert ("log_out",) in client.requests


async def test_the_password_is_changed(open_app: OpenApp, client: ScriptedClient) -> None:
    client.accounts["ada"] = "a good password"
    async with open_app() as pilot:
        await typed(pilot, "/password")
        await until(pilot, lambda: bool(pilot.app.screen.query("#old")))
        await settle(pilot)
        await typed(pilot, "a good password")
        await typed(pilot, "a better password")
        await typed(pilot, "a better password")
        await in_chat(pilot)
        await until(pilot, lambda: client.accounts["ada"] == "a better password")


async def test_a_password_change_that_is_not_confirmed_everywhere_says_so(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def change(old: str, new: str) -> bool:
        return False

    monkeypatch.setattr(client, "change_password", change)
    async with open_app() as pilot:
        await typed(pilot, "/password")
        await until(pilot, lambda: bool(pilot.app.screen.query("#old")))
        await settle(pilot)
        for password in ("a good password", "a better password", "a better password"):
            await typed(pilot, password)
        await in_chat(pilot)
        await until(pilot, lambda: "could not confirm" in screen_text(pilot))


async def test_sessions_are_listed_and_one_is_ended_after_asking(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.devices.add("the old telephone", "203.0.113.9", ago=3 * 86400)
    client.devices.add("laptop", "198.51.100.4", ago=7200)
    async with open_app() as pilot:
        await type_text(pilot, "/sessions")
        await pilot.press("enter")
        panel = await opened(pilot, SessionPanel)
        await until(pilot, lambda: "Your sessions · 3" in screen_text(pilot))
        shown = screen_text(pilot)
        assert "this one" in shown
        assert "laptop" in shown
        assert "198.51.100.4 · 2 h" in shown
        await pilot.press("delete")
        await settle(pilot)
        assert "/logout" in screen_text(pilot), "this one is not ended here"
        await pilot.press("down", "down", "delete")
        await settle(pilot)
        assert "End the old telephone?" in screen_text(pilot)
        await pilot.press("n")
        await settle(pilot)
        assert requested(client, "end_session") == []
        await pilot.press("delete", "up", "y")
        await settle(pilot)
        assert requested(client, "end_session") == [], "the question was about another row"
        await pilot.press("down", "delete", "y")
        await until(pilot, lambda: "Your sessions · 2" in screen_text(pilot))
        assert "telephone" not in screen_text(pilot)
        await pilot.press("delete", "escape")
        await settle(pilot)
        assert isinstance(pilot.app.screen, SessionPanel), "Esc takes the question back first"
        await pilot.press("escape")
        await in_chat(pilot)
        assert panel.rows.keys


async def test_sessions_that_can_not_be_loaded_or_ended_say_why(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.devices.add("laptop", "198.51.100.4")
    async with open_app() as pilot:
        client.refusals["sessions"] = ConnectionLost("no answer from the server")
        await type_text(pilot, "/sessions")
        await pilot.press("enter")
        await opened(pilot, SessionPanel)
        await until(pilot, lambda: "No answer from the server." in screen_text(pilot))
        await pilot.press("delete", "escape")
        await in_chat(pilot)
        await type_text(pilot, "/devices")
        await pilot.press("enter")
        await opened(pilot, SessionPanel)
        await until(pilot, lambda: "Your sessions · 2" in screen_text(pilot))
        client.refusals["end_session"] = ChatError(ErrorCode.BAD_REQUEST, "it has ended")
        await pilot.press("down", "delete", "y")
        await until(pilot, lambda: "It has ended." in screen_text(pilot))


async def test_names_of_devices_are_shown_as_text(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.devices.add("\x1b[31m[bold]evil\n\u202e", "192.0.2.1")
    async with open_app() as pilot:
        await type_text(pilot, "/sessions")
        await pilot.press("enter")
        await opened(pilot, SessionPanel)
        await until(pilot, lambda: "Your sessions · 2" in screen_text(pilot))
        assert "[bold]evil" in screen_text(pilot)
        assert not {"\x1b", "\u202e"} & set(screen_text(pilot))


async def test_app_logs_in_with_the_name_of_its_host() -> None:
    assert 0 < len(device_name()) <= 64


async def test_a_login_from_a_new_address_is_shown_and_what_it_says_is_harmless(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        client.emit(NewLogin(address="192.0.2.1\x1b[2J", by="token"))
        await until(pilot, lambda: "192.0.2.1" in screen_text(pilot))
        assert "\x1b" not in screen_text(pilot)
        assert "saved session" in screen_text(pilot).replace("\n", " ")


async def test_the_editor_gets_the_text_and_gives_it_back(
    open_app: OpenApp,
    client: ScriptedClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    async def edit(app: object, text: str) -> str:
        return f"{text} and more"

    monkeypatch.setattr("gochat.tui.actions.composer.edit_text", edit)
    async with open_app() as pilot:
        await type_text(pilot, "some")
        await pilot.press("ctrl+x")
        await until(pilot, lambda: chat(pilot).composer.input.text == "some and more")


async def test_an_empty_server_says_what_to_do(open_app: OpenApp, client: ScriptedClient) -> None:
    client.depart("mei", "tomas")
    async with open_app() as pilot:
        text = screen_text(pilot)
        assert "You are the first one here" in text
        assert "Others on this machine get in with: gochat tui 127.0.0.1:8889" in text
        assert "go to a room or a person" in text
        client.say("#lobby", "mei", "hello")
        await settle(pilot)
        text = screen_text(pilot)
        assert "hello" in text
        assert "first one here" not in text


async def test_hostile_names_and_topics_are_shown_as_text(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", "[b]x[/b] \x1b]0;t\x07\u202e", joined=True)
    client.arrive("a\x1b[31mb", "[red]c[/red]")
    async with open_app() as pilot:
        await pilot.press("alt+2")
        await settle(pilot)
        text = screen_text(pilot)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[b]x[/b]" in text
        assert "[red]c[/red]" in text


async def test_the_hints_in_the_status_line_are_buttons(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        line = screen_text(pilot).splitlines()[-1]
        await pilot.click(offset=(line.index("Ctrl+K"), 35))
        await opened(pilot, Switcher)
        await pilot.press("escape")
        await in_chat(pilot)
        assert pilot.app.focused is chat(pilot).composer.input
