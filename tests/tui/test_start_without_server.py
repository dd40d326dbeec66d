"""Who has a session gets the chat without the server, with what is kept here; it connects later."""

from __future__ import annotations

import pytest
from pilots import OpenApp, screen_text, typed, until

from gochat.client import AuthenticationError
from gochat.errors import ChatError, ConnectionLost, ErrorCode
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.forms import LogInAgain
from gochat.tui.profile.state import SavedSession, StateDirectory
from gochat.tui.screens.chat import ChatScreen

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
