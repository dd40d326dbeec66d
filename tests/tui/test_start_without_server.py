"""Who has a session gets the chat without the server, with what is kept here; it connects later."""

from __future__ import annotations

import asyncio

import pytest
from patience import PATIENCE
from pilots import OpenApp, feed, screen_text, settle, type_text, typed, until
from textual import events
from textual.app import ComposeResult
from textual.widgets import Input

from gochat.client import AuthenticationError
from gochat.errors import ChatError, ConnectionLost, ErrorCode
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.forms import LogInAgain
from gochat.tui.profile.state import SavedSession, StateDirectory
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.screens.connect import ConnectScreen

pytestmark = pytest.mark.anyio

SERVER = "gochat://127.0.0.1:8889"


class Unreachable:
    """Keeps a client from resuming, with `error`, until that is None."""

    def __init__(self, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: ChatError | ConnectionLost | None = ConnectionLost("nobody answers")
        self.attempts = 0
        resume = client.resume

        async def attempt(token: str, *, name: str | None = None) -> None:
            self.attempts += 1
            if self.error is not None:
                client.refusals["resume"] = self.error
            await resume(token, name=name)

        monkeypatch.setattr(client, "resume", attempt)


@pytest.fixture
def server(
    client: ScriptedClient, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> Unreachable:
    """A server that can't be reached, where ada has a session, a draft and a draft in a room."""
    state.remember(SavedSession(server=SERVER, name="ada", token="t", expires=2**47))
    state.keep_drafts(SERVER, "ada", {"#lobby": "half a", "@mei": "a secret"})
    return Unreachable(client, monkeypatch)


async def test_drafts_are_there_and_what_is_sent_waits_for_the_server(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory, server: Unreachable
) -> None:
    client.say("#lobby", "mei", "said before")
    async with open_app(credentials=None) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        await until(pilot, lambda: screen.composer.input.text == "half a")
        assert "@mei" in screen.model.conversations
        await until(pilot, lambda: "reconnecting" in screen_text(pilot).lower())
        await typed(pilot, " sentence")
        assert screen.model.counts() == (1, 0)
        await until(pilot, lambda: server.attempts > 1)
        server.error = None
        await pilot.press("f9")
        await until(pilot, lambda: screen.model.counts() == (0, 0))
        assert ("send", "#lobby", "half a sentence", None) in client.requests
        await until(pilot, lambda: "said before" in screen_text(pilot))
        assert pilot.app.screen is screen
    kept = state.session(SERVER)
    assert kept is not None
    assert kept.token is not None
    assert state.drafts(SERVER, "ada") == {"@mei": "a secret"}


async def test_a_session_that_has_ended_meanwhile_is_asked_for_over_the_chat(
    open_app: OpenApp, server: Unreachable
) -> None:
    async with open_app(credentials=None) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        server.error = AuthenticationError(
            ErrorCode.BAD_TOKEN, "the session has ended", field="token"
        )
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(pilot.app.screen, LogInAgain))


async def test_what_is_typed_before_the_chat_is_open_goes_to_it(
    open_app: OpenApp,
    client: ScriptedClient,
    state: StateDirectory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the draft that was kept; and not to the form, which nobody needs."""
    state.remember(SavedSession(server=SERVER, name="ada", token="t", expires=2**47))
    state.keep_drafts(SERVER, "ada", {"#lobby": "half"})
    answer, resume = asyncio.Event(), client.resume

    async def resume_slowly(token: str, *, name: str | None = None) -> None:
        await answer.wait()
        await resume(token, name=name)

    monkeypatch.setattr(client, "resume", resume_slowly)
    async with open_app(credentials=None) as pilot:
        await until(pilot, lambda: "Connecting to" in screen_text(pilot))
        feed(pilot, " a sentence\rand \x1b[200~more\x1b[201~")
        await settle(pilot)
        form = pilot.app.screen
        assert isinstance(form, ConnectScreen)
        assert not form.query_one("#password", Input).value
        answer.set()
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        await until(pilot, lambda: screen.composer.input.text == "and more")
        assert ("send", "#lobby", "half a sentence", None) in client.requests


async def test_waiting_for_the_chat_can_be_ended_and_drops_what_was_typed_for_it(
    open_app: OpenApp,
    client: ScriptedClient,
    state: StateDirectory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state.remember(SavedSession(server=SERVER, name="ada", token="t", expires=2**47))
    monkeypatch.setattr(client, "resume", lambda *_args, **_how: asyncio.Event().wait())
    async with open_app(credentials=None) as pilot:
        await until(pilot, lambda: "Connecting to" in screen_text(pilot))
        await pilot.press(*"hello", "escape")
        await until(pilot, lambda: "Connecting to" not in screen_text(pilot))
        await pilot.press("x")
        field = pilot.app.focused
        assert isinstance(field, Input)
        await until(pilot, lambda: field.value.endswith("x"))
        assert "hello" not in field.value


async def test_the_question_for_the_password_waits_for_a_pause_in_typing(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being typed would be taken for the password."""
    monkeypatch.setattr("gochat.tui.app._PAUSE", PATIENCE)
    async with open_app() as pilot:
        await type_text(pilot, "half a ")
        client.end("an operator revoked it")
        await until(pilot, lambda: "offline" in screen_text(pilot))
        await type_text(pilot, "sentence")
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        await until(pilot, lambda: screen.composer.input.text == "half a sentence")


async def test_enter_before_the_app_has_the_terminal_sends(
    open_app: OpenApp,
    client: ScriptedClient,
    state: StateDirectory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The terminal makes a line feed of it, until the app has it to itself."""
    state.remember(SavedSession(server=SERVER, name="ada", token="t", expires=2**47))
    compose = ConnectScreen.compose

    def compose_while_somebody_types(screen: ConnectScreen) -> ComposeResult:
        for key in ("h", "i", "ctrl+j", "x"):
            event = events.Key(key, key if len(key) == 1 else "\n")
            event.set_sender(screen.app)
            screen.app.post_message(event)
        return compose(screen)

    monkeypatch.setattr(ConnectScreen, "compose", compose_while_somebody_types)
    async with open_app(credentials=None) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        await until(pilot, lambda: screen.composer.input.text == "x")
        assert ("send", "#lobby", "hi", None) in client.requests
