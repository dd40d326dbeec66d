"""The chat screen: what arrives is shown, what is typed is sent, and nothing typed is lost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from pilots import OpenApp, press_all, screen_text, settle, type_text, typed, until
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from gochat.client import OutgoingState
from gochat.client.spool import Spool
from gochat.errors import ChatError, ErrorCode
from gochat.tui.actions.session import Credentials
from gochat.tui.app import GochatApp
from gochat.tui.chat_log import ChatLog, LogMessage
from gochat.tui.demo.scripted_client import ScriptedClient, opener
from gochat.tui.host.notifier import Notifier
from gochat.tui.model.views import Attention
from gochat.tui.profile.preferences import Settings
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.widgets.message_input import MessageInput
from gochat.tui.widgets.side_pane import SidePane

SERVER = "gochat://127.0.0.1:8889"

pytestmark = pytest.mark.anyio


def chat(pilot: Pilot[None]) -> ChatScreen:
    screen = pilot.app.screen
    assert isinstance(screen, ChatScreen)
    return screen


def log(pilot: Pilot[None]) -> ChatLog:
    return chat(pilot).log_view


def field(pilot: Pilot[None]) -> MessageInput:
    return chat(pilot).composer.input


def shown(pilot: Pilot[None]) -> list[str]:
    return [item.text for item in log(pilot).items.values() if isinstance(item, LogMessage)]


async def test_what_was_said_before_is_shown(open_app: OpenApp, client: ScriptedClient) -> None:
    for n in range(30):
        client.record("#lobby", "mei", f"old {n}")
    async with open_app() as pilot:
        await until(pilot, lambda: len(shown(pilot)) == 30)
        assert "old 29" in screen_text(pilot)


async def test_what_others_say_appears(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        client.say("#lobby", "mei", "hello ada")
        await settle(pilot)
        assert "hello ada" in screen_text(pilot)


async def test_a_change_just_before_a_frame_is_drawn_like_any_other(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A timer of Textual's that is late when it begins never fires, and one for a microsecond is.
    async with open_app() as pilot:
        now = time.monotonic()
        frozen = SimpleNamespace(monotonic=lambda: now, time=time.time)
        monkeypatch.setattr("gochat.tui.app.time", frozen)
        monkeypatch.setattr("gochat.tui.app.FRAME", 1e-6)
        for n in range(3):
            client.say("#lobby", "mei", f"hello {n}")
            await until(pilot, lambda n=n: f"hello {n}" in screen_text(pilot))  # type: ignore[misc]


async def test_enter_sends_to_the_shown_conversation(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await typed(pilot, "hello world")
        assert ("send", "#lobby", "hello world", None) in client.requests
        assert shown(pilot) == ["hello world"]
        assert field(pilot).text == ""


async def test_keys_that_come_all_at_once_are_taken_in_their_order(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        # As a terminal gives them that reads a fast typist, or a paste without brackets.
        for key in ("o", "n", "e", "enter", "t", "w", "o", "enter", "x"):
            event = events.Key(key, key if len(key) == 1 else "\r")
            event.set_sender(pilot.app)
            pilot.app.post_message(event)
        await until(pilot, lambda: field(pilot).text == "x")
        sent = [request[2] for request in client.requests if request[0] == "send"]
        assert sent == ["one", "two"]


@pytest.mark.parametrize("key", ["alt+enter", "shift+enter", "ctrl+j"])
async def test_a_new_line_is_not_the_end(
    open_app: OpenApp, client: ScriptedClient, key: str
) -> None:
    async with open_app() as pilot:
        await type_text(pilot, "one")
        await pilot.press(key)
        await typed(pilot, "two")
        assert ("send", "#lobby", "one\ntwo", None) in client.requests


async def test_blank_text_is_not_sent(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await typed(pilot, "  ")
        assert not [request for request in client.requests if request[0] == "send"]


async def test_a_text_that_is_too_long_stays_and_is_not_sent(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        field(pilot).write("x" * 4001)
        await pilot.press("enter", "escape")  # it asks what becomes of it
        await settle(pilot)
        assert len(field(pilot).text) == 4001
        assert not [request for request in client.requests if request[0] == "send"]
        assert "1 character too many" in screen_text(pilot)


async def test_a_person_is_chosen_and_written_to(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        chat(pilot).query_one("#people-filter", Input).focus()
        await typed(pilot, "tom")
        assert chat(pilot).model.current == "@tomas"
        assert pilot.app.screen.focused is field(pilot)
        await typed(pilot, "hi")
        assert ("send", "@tomas", "hi", None) in client.requests
        assert "@tomas ›" in screen_text(pilot)


async def test_drafts_belong_to_their_conversation(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.record("@mei", "mei", "hello")
    async with open_app() as pilot:
        await type_text(pilot, "for all")
        await pilot.press("alt+2")
        await settle(pilot)
        assert field(pilot).text == ""
        await type_text(pilot, "for mei")
        await pilot.press("alt+1")
        await settle(pilot)
        assert field(pilot).text == "for all"
        await pilot.press("alt+slash")
        await settle(pilot)
        assert field(pilot).text == "for mei"


async def test_drafts_survive_the_program(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await type_text(pilot, "half a sentence")
    async with open_app() as pilot:
        await settle(pilot)
        assert field(pilot).text == "half a sentence"


async def test_a_draft_that_is_deleted_at_once_does_not_come_back(
    open_app: OpenApp, state: StateDirectory
) -> None:
    """Before the drafts were kept for the first time in this run."""
    state.keep_drafts(SERVER, "ada", {"#lobby": "half a sentence", "#elsewhere": "kept"})
    async with open_app() as pilot:
        await settle(pilot)
        assert field(pilot).text == "half a sentence"
        field(pilot).clear()
        await settle(pilot)
    assert state.drafts(SERVER, "ada") == {"#elsewhere": "kept"}


async def test_an_edit_is_kept_over_a_restart(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    client.say("@mei", "mei", "hello")
    client.say("#lobby", "ada", "an eror")
    async with open_app() as pilot:
        await press_all(pilot, [*"draft", "f8", "alt+e", "!", "alt+2"])
        assert "✎" in screen_text(pilot)
    assert state.drafts(SERVER, "ada") == {"#lobby": "draft", "#lobby 1": "an eror!"}
    async with open_app() as pilot:
        assert "editing your message" in screen_text(pilot)
        await press_all(pilot, ["?", "enter"])
        await until(pilot, lambda: ("edit", "#lobby", 1, "an eror!?") in client.requests)
        assert chat(pilot).composer.input.text == "draft"
    assert state.drafts(SERVER, "ada") == {"#lobby": "draft"}


async def test_drafts_of_two_apps_of_one_person_are_kept_side_by_side(
    client: ScriptedClient, state: StateDirectory
) -> None:
    """Also in one conversation. The next to start gets what one that has ended has left."""

    @asynccontextmanager
    async def open_with_outbox(
        url: str, *, outbox: Path | None = None
    ) -> AsyncIterator[ScriptedClient]:
        assert outbox is not None
        with Spool.open(outbox):
            async with opener(client)(url) as opened:
                yield opened

    login = Credentials(SERVER, "ada", "a good password")

    async def types(text: str, before: str) -> None:
        app = GochatApp(state=state, open_client=open_with_outbox, credentials=login)
        async with app.run_test() as pilot:
            await until(pilot, lambda: isinstance(app.screen, ChatScreen))
            await settle(pilot)
            assert field(pilot).text == before
            await type_text(pilot, text)
            await settle(pilot)

    state.keep_drafts(SERVER, "ada", {"#lobby": "of the other app"})
    with Spool.open(state.outboxes(SERVER)[0]):  # as the other app has it
        await types("half a sentence", before="")
    assert state.drafts(SERVER, "ada") == {"#lobby": "of the other app"}
    await types("!", before="of the other app\nhalf a sentence")
    assert state.drafts(SERVER, "ada") == {"#lobby": "of the other app\nhalf a sentence!"}


async def test_settings_that_another_app_has_chosen_stay(
    open_app: OpenApp, state: StateDirectory
) -> None:
    async with open_app() as pilot:
        state.save_settings(Settings(bell=False))  # by another
        await typed(pilot, "/theme gochat-light")
    assert state.load_settings(Settings) == Settings(bell=False, theme="gochat-light")


async def test_what_was_sent_is_walked_through_and_the_draft_comes_back(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await typed(pilot, "one")
        await typed(pilot, "two")
        await type_text(pilot, "draft")
        await pilot.press("up")
        assert field(pilot).text == "two"
        await pilot.press("up", "up")
        assert field(pilot).text == "one"
        await pilot.press("down", "down")
        assert field(pilot).text == "draft"
        await pilot.press("ctrl+up")
        assert field(pilot).text == "two"


async def test_up_in_the_empty_input_selects_a_message_and_escape_comes_back(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.record("#lobby", "mei", "first")
    client.record("#lobby", "mei", "second")
    async with open_app() as pilot:
        await until(pilot, lambda: len(shown(pilot)) == 2)
        await pilot.press("up")
        await settle(pilot)
        assert log(pilot).selected_key == "2"
        await pilot.press("up")
        assert log(pilot).selected_key == "1"
        await pilot.press("escape")
        await settle(pilot)
        assert log(pilot).selected_key is None
        assert pilot.app.screen.focused is field(pilot)


async def test_a_reply_quotes_and_is_sent_as_one(open_app: OpenApp, client: ScriptedClient) -> None:
    client.record("#lobby", "mei", "lunch?")
    async with open_app() as pilot:
        await until(pilot, lambda: shown(pilot) == ["lunch?"])
        await pilot.press("up", "r")
        await settle(pilot)
        assert "replying to mei" in screen_text(pilot)
        await typed(pilot, "yes")
        assert ("send", "#lobby", "yes", 1) in client.requests
        assert "replying to" not in screen_text(pilot)


async def test_a_cut_is_told_what_is_sent_waits_and_goes_out_again(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        client.cut(retry_in=4.0)
        await settle(pilot)
        assert "reconnecting in 4 s" in screen_text(pilot)
        await typed(pilot, "are you there?")
        assert "1 waiting to be sent" in screen_text(pilot)
        client.restore()
        await settle(pilot)
        text = screen_text(pilot)
        assert "connected as ada" in text
        assert "waiting" not in text
        assert shown(pilot) == ["are you there?"]


async def test_a_person_in_a_hurry_connects_by_a_key_that_is_shown(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app(size=(80, 24)) as pilot:
        client.cut(
            retry_in=20.0, reason="no server answers at 127.0.0.1:8889: is the server running?"
        )
        await settle(pilot)
        last = screen_text(pilot).splitlines()[-1]
        assert "reconnecting in 20 s" in last
        assert "no server answers" in last
        assert last.rstrip().endswith("F9 try now")
        await pilot.press("f9")
        await settle(pilot)
        assert "● local" in screen_text(pilot).splitlines()[-1]
        assert "F9" not in screen_text(pilot)


async def test_typing_names_in_the_lobby_asks_the_server_for_no_members(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", members=["mei"], joined=True)
    async with open_app() as pilot:
        await type_text(pilot, "hello @m")
        await settle(pilot)
        assert "members" not in [request[0] for request in client.requests]
        await pilot.press("alt+2")
        client.refusals["members"] = ChatError(ErrorCode.RATE_LIMITED, "too fast")
        await type_text(pilot, "hello @m")
        await settle(pilot)
        assert "members" in [request[0] for request in client.requests]
        assert "too fast" not in screen_text(pilot).casefold()


async def test_a_toast_covers_neither_what_is_written_nor_the_status(open_app: OpenApp) -> None:
    async with open_app(size=(60, 20)) as pilot:
        await type_text(pilot, "half a sentence")
        pilot.app.notify("Something has happened that takes more than one line to tell.")
        await until(pilot, lambda: "Something has" in screen_text(pilot))
        lines = screen_text(pilot).splitlines()
        assert "half a sentence" in lines[-2]
        assert "● local" in lines[-1]


async def test_a_refused_message_stays_with_its_reason_and_can_be_tried_again(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        client.refusals["send"] = ChatError(ErrorCode.NOT_A_MEMBER, "you are not a member")
        await typed(pilot, "let me in")
        text = screen_text(pilot)
        assert "you are not a member" in text
        assert "1 not sent" in text
        await pilot.press("up", "R")
        await settle(pilot)
        assert client.outbox == ()
        assert "not sent" not in screen_text(pilot)


async def test_what_waited_when_the_program_ended_is_shown_when_it_begins(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.send("#lobby", "from before")
    assert client.outbox[0].state is OutgoingState.PENDING
    async with open_app() as pilot:
        await settle(pilot)
        assert "from before" in shown(pilot)


async def test_older_messages_come_when_the_top_is_reached(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    for n in range(450):
        client.record("#lobby", "mei", f"old {n}")
    async with open_app() as pilot:
        await until(pilot, lambda: len(shown(pilot)) == 100)
        for expected in (200, 300, 400, 450):
            log(pilot).action_scroll_home()
            await until(pilot, lambda n=expected: len(shown(pilot)) == n)  # type: ignore[misc]  # a default binds it
        assert log(pilot).older_exhausted
        await pilot.press("ctrl+home")
        await settle(pilot)
        assert "old 0" in screen_text(pilot)
        await pilot.press("ctrl+end")
        await settle(pilot)
        assert "old 449" in screen_text(pilot)


async def test_messages_are_read_when_they_are_seen_and_only_then(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    def marks() -> list[int]:
        return [request[2] for request in client.requests if request[0] == "mark_read"]

    async with open_app() as pilot:
        client.say("#lobby", "mei", "one")
        await until(pilot, lambda: marks() == [1])
        pilot.app.post_message(events.AppBlur())  # the person looks at another window
        client.say("#lobby", "mei", "two")
        await settle(pilot)
        assert marks() == [1]
        pilot.app.post_message(events.AppFocus())
        await until(pilot, lambda: marks() == [1, 2])
        await settle(pilot)
        shown = screen_text(pilot)  # and where they begin is seen
        assert shown.index("one") < shown.index("new messages") < shown.index("two")


async def test_the_first_of_many_new_messages_is_shown_by_a_key(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", joined=True)
    client.read("#design", client.record("#design", "mei", "known").seq)
    for number in range(300):
        client.record("#design", "mei", f"new {number}.")
    async with open_app() as pilot:
        chat(pilot).open_conversation("#design")
        await until(pilot, lambda: "300 new messages" in screen_text(pilot))
        await until(pilot, lambda: "new 299." in screen_text(pilot))
        await pilot.press("alt+u")
        await until(pilot, lambda: "new 0." in screen_text(pilot))
        assert "─ new messages" in screen_text(pilot)
        await pilot.press("end")
        await until(pilot, lambda: "new 299." in screen_text(pilot))
        chat(pilot).open_conversation("#lobby")
        await settle(pilot)
        await pilot.press("alt+u")
        await until(pilot, lambda: "Nothing here is new" in screen_text(pilot))


async def test_nothing_rings_while_the_person_wants_quiet_also_after_a_restart(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str] = []

    async def rings(pilot: Pilot[None], to: str, text: str) -> bool:
        """Say whether a message that mentions the person rings while they look elsewhere."""
        pilot.app.post_message(events.AppBlur())
        rung.clear()
        client.say(to, "mei", f"@ada {text}", mentions=("ada",))
        view = chat(pilot).model.conversations[to]
        await until(pilot, lambda: view.timeline.last == view.head)
        await settle(pilot)
        pilot.app.post_message(events.AppFocus())
        await settle(pilot)
        return bool(rung)

    def write(notifier: Notifier, news: Sequence[Attention], _: object) -> None:
        rung.extend(event.text for event in news)

    monkeypatch.setattr(Notifier, "notify", write)
    client.add_room("#design", joined=True)
    async with open_app() as pilot:
        chat(pilot).open_conversation("#design")
        await typed(pilot, "/notify none 8h")
        assert not await rings(pilot, "#design", "one")
        assert await rings(pilot, "#lobby", "two")
    async with open_app() as pilot:
        assert not await rings(pilot, "#design", "three")
        chat(pilot).open_conversation("#design")
        await typed(pilot, "/notify all")
        assert await rings(pilot, "#design", "four")
        await typed(pilot, "/dnd 2h")
        assert not await rings(pilot, "#design", "five")
        assert "quiet until 14:00" in screen_text(pilot).splitlines()[-1]
    async with open_app() as pilot:
        assert not await rings(pilot, "#lobby", "six")
        await typed(pilot, "/dnd off")
        assert "until" not in screen_text(pilot).splitlines()[-1]
        assert await rings(pilot, "#lobby", "seven")


async def test_unread_messages_elsewhere_are_counted_and_f6_goes_there(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", joined=True)
    client.record("#design", "mei", "zero")
    client.read("#design")
    async with open_app() as pilot:
        client.say("#design", "mei", "one")
        client.say("#design", "mei", "@ada two", mentions=["ada"])
        client.say("@tomas", "tomas", "psst")
        await settle(pilot)
        text = screen_text(pilot)
        assert "@ 2" in text
        await pilot.press("f6")
        await settle(pilot)
        assert chat(pilot).model.current == "#design"
        assert "new messages" in screen_text(pilot)
        await pilot.press("f6")
        await settle(pilot)
        assert chat(pilot).model.current == "@tomas"


async def test_people_come_and_go(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        client.arrive("kofi")
        await settle(pilot)
        assert "Online · 4" in screen_text(pilot)
        client.depart("kofi", "mei")
        await settle(pilot)
        text = screen_text(pilot)
        assert "Online · 2" in text
        assert "went offline" in text


async def test_typing_is_told_to_the_others_and_shown_of_them(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        client.type("#lobby", "mei")
        await settle(pilot)
        assert "mei is typing…" in screen_text(pilot)
        await type_text(pilot, "abc")
        await settle(pilot)
        assert client.requests.count(("typing", "#lobby")) == 1


@pytest.mark.parametrize("size", [(60, 20), (40, 10)])
async def test_a_narrow_terminal_folds_the_side_pane_and_a_key_brings_it_back(
    open_app: OpenApp, client: ScriptedClient, size: tuple[int, int]
) -> None:
    client.record("@mei", "mei", "hello")
    async with open_app(size=size) as pilot:
        side = chat(pilot).query_one(SidePane)

        def is_shown() -> bool:
            return side.display

        assert not is_shown()
        await pilot.press("f2")
        await settle(pilot)
        assert is_shown()
        # Below the heading: the first of what is unread.
        await pilot.press("home", "down", "enter")
        await settle(pilot)
        assert chat(pilot).model.current == "@mei"
        assert not is_shown()


async def test_growing_and_shrinking_the_terminal_keeps_what_is_typed(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await type_text(pilot, "abc")
        for size in ((60, 20), (20, 5), (200, 50), (80, 24)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
        assert field(pilot).text == "abc"
        assert chat(pilot).query_one(SidePane).display


async def test_five_hundred_messages_at_once_are_drawn_in_few_frames(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        frames: list[object] = []
        chat(pilot).changes_drawn.subscribe(chat(pilot), frames.append)
        for n in range(500):
            client.say("#lobby", "mei", f"message {n}")
        await until(pilot, lambda: len(shown(pilot)) == 500)
        await settle(pilot)
        assert "message 499" in screen_text(pilot)
        assert 0 < len(frames) < 50


async def test_keys_are_typed_one_by_one(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await pilot.press(*"héllo", "space", "世", "界", "backspace", "enter")
        await settle(pilot)
        assert ("send", "#lobby", "héllo 世", None) in client.requests


async def test_ctrl_c_does_not_quit(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await type_text(pilot, "abc")
        await pilot.press("ctrl+c")
        await settle(pilot)
        assert pilot.app.is_running
        assert field(pilot).text == "abc"


async def test_ctrl_q_quits(open_app: OpenApp, client: ScriptedClient) -> None:
    async with open_app() as pilot:
        await pilot.press("ctrl+q")
        await until(pilot, lambda: not pilot.app.is_running or pilot.app._exit)


@pytest.mark.parametrize("pasted_into", ["the message", "a field"])
async def test_a_paste_brings_no_sequence_into_a_field(
    open_app: OpenApp, client: ScriptedClient, pasted_into: str
) -> None:
    async with open_app() as pilot:
        if pasted_into == "a field":
            chat(pilot).side.filter.focus()
        await type_text(pilot, "a\x1b]52;c;ZXZpbA==\x07b\x9b31m\u202ec\t👩‍💻🏴󠁧󠁢󠁥󠁮󠁧󠁿")
        await settle(pilot)
        text = chat(pilot).side.filter.value if pasted_into == "a field" else field(pilot).text
        assert text == "a]52;c;ZXZpbA==b31mc\t👩‍💻🏴󠁧󠁢󠁥󠁮󠁧󠁿"
