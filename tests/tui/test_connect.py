"""The connect screen logs in or registers, and shows what is wrong beside the field."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pilots import OpenApp, feed, screen_text, settle, type_text, typed, until
from textual import events
from textual.app import ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input, Label, Static

from gochat.errors import ChatError, ConfigError, ConnectionLost, ErrorCode, OutboxInUse
from gochat.tui.actions.session import Credentials
from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient, opener
from gochat.tui.profile.addresses import complete
from gochat.tui.profile.state import SavedSession, StateDirectory
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.screens.connect import ConnectScreen
from gochat.tui.widgets.field import Field

pytestmark = pytest.mark.anyio


async def test_the_buttons_are_visible_on_a_small_terminal(open_app: OpenApp) -> None:
    async with open_app(size=(40, 15), credentials=None) as pilot:
        assert "Log in" in screen_text(pilot)
        await pilot.press(*"ada", "tab", *"pw", "tab", "tab", "enter")
        await settle(pilot)
        assert "Password again" in screen_text(pilot)
        assert "Create account" in screen_text(pilot)


LOGIN = Credentials("gochat://127.0.0.1:8889", "ada", "a good password")


def error_at(pilot: Pilot[None], field: str) -> str:
    widget = pilot.app.screen.query_one(f"#field-{field}", Field)
    return str(widget.query_one(".field-error", Static).content)


def notice(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one("#notice", Static).content)


async def test_what_is_typed_before_the_form_has_the_focus_goes_to_it(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = ConnectScreen.compose

    def compose_while_somebody_types(screen: ConnectScreen) -> ComposeResult:
        for letter in "ada":
            event = events.Key(letter, letter)
            event.set_sender(screen.app)
            screen.app.post_message(event)
        return compose(screen)

    monkeypatch.setattr(ConnectScreen, "compose", compose_while_somebody_types)
    async with open_app(credentials=None) as pilot:
        await until(pilot, lambda: pilot.app.screen.query_one("#name", Input).value == "ada")


async def test_enter_before_the_app_has_the_terminal_is_enter(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    """The terminal makes a line feed of it, until the app has it to itself."""
    client.accounts["ada"] = "a good password"
    async with open_app(credentials=None) as pilot:
        feed(pilot, "ada\na good password\n")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
    assert ("log_in", "ada", "a good password") in client.requests


async def test_name_and_password_and_enter_log_in(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    client.accounts["ada"] = "a good password"
    async with open_app(credentials=None) as pilot:
        await typed(pilot, "ada")  # Enter goes on to the password
        await typed(pilot, "a good password")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
    assert ("log_in", "ada", "a good password") in client.requests
    session = state.session()
    assert session is not None
    assert (session.server, session.name, session.token) == (
        "gochat://127.0.0.1:8889",
        "ada",
        "demo-token-1",
    )


async def test_app_that_ends_at_once_leaves_nothing_that_was_to_be_asked(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what it is told to do after its tasks were cancelled."""
    asked: list[str] = []

    async def ask(what: str) -> None:
        asked.append(what)

    async with open_app() as pilot:
        app = pilot.app
        assert isinstance(app, GochatApp)
        assert app._session is not None
        controller = app._session.controller
        cancel_all = app.workers.cancel_all

        def cancelled() -> None:
            controller.spawn(ask("before"))
            cancel_all()
            controller.spawn(ask("after"))

        monkeypatch.setattr(app.workers, "cancel_all", cancelled)
        app.exit()
    gc.collect()  # what is not awaited warns, which is an error here
    assert asked in ([], ["after"])
    assert app.return_code == 0


async def test_the_password_is_kept_nowhere(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    async with open_app(credentials=None) as pilot:
        await typed(pilot, "ada")
        await typed(pilot, "a-good-password")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
    for file in state.directory.iterdir():
        assert b"a-good-password" not in file.read_bytes()


async def test_an_account_is_created_after_the_password_was_typed_twice(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.accounts["mei"] = "taken"
    async with open_app(credentials=None) as pilot:
        await typed(pilot, "ada")
        await type_text(pilot, "a good password")
        await pilot.click("#register")
        await settle(pilot)
        assert pilot.app.screen.focused is pilot.app.screen.query_one("#again", Input)
        await typed(pilot, "a bad password")
        assert error_at(pilot, "again") == "This is not the same as above."
        pilot.app.screen.query_one("#again", Input).value = ""
        await typed(pilot, "a good password")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
    assert client.accounts["ada"] == "a good password"


@pytest.mark.parametrize(
    ("error", "field", "text"),
    [
        (
            ChatError(ErrorCode.BAD_CREDENTIALS, "it is wrong."),
            "password",
            "New here?",
        ),
        (ChatError(ErrorCode.BAD_NAME, "a name can't contain spaces", field="name"), "name", "A n"),
        (ConnectionLost("no server answers at 127.0.0.1:8889"), "server", "No server answers"),
        (ChatError(ErrorCode.BAD_INVITE, "this invite is not known"), "invite", "This invite"),
    ],
)
async def test_an_error_is_shown_at_its_field_which_gets_the_focus(
    open_app: OpenApp, client: ScriptedClient, error: ChatError, field: str, text: str
) -> None:
    client.refusals["log_in"] = error
    async with open_app(credentials=None) as pilot:
        await typed(pilot, "ada")
        await typed(pilot, "secret")
        await until(pilot, lambda: bool(error_at(pilot, field)))
        assert text in error_at(pilot, field)
        focused = pilot.app.screen.focused
        assert focused is not None
        assert focused.id == field


async def test_an_error_about_no_field_is_shown_below(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.refusals["log_in"] = ChatError(ErrorCode.SERVER_FULL, "the server is full; try later")
    async with open_app(credentials=None) as pilot:
        await typed(pilot, "ada")
        await typed(pilot, "secret")
        await until(pilot, lambda: "The server is full" in notice(pilot))


async def test_what_is_missing_is_asked_for(open_app: OpenApp) -> None:
    async with open_app(credentials=None) as pilot:
        await pilot.click("#log-in")
        await settle(pilot)
        assert error_at(pilot, "name") == "What should the others call you?"


async def test_a_remembered_session_is_resumed_without_asking(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    state.remember(SavedSession(server="gochat://chat.example:8889", name="ada", token="t"))
    async with open_app(credentials=None) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
    assert client.requests[:2] == [("open", "gochat://chat.example:8889"), ("resume", "t")]


async def test_a_session_that_has_ended_asks_for_the_password_only(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    client.token_is_good = False
    state.remember(SavedSession(server="gochat://chat.example:8889", name="ada", token="t"))
    async with open_app(credentials=None) as pilot:
        await until(pilot, lambda: bool(error_at(pilot, "password")))
        screen = pilot.app.screen
        assert isinstance(screen, ConnectScreen)
        assert screen.query_one("#name", Input).value == "ada"
        assert screen.query_one("#server", Input).value == "gochat://chat.example:8889"
        assert screen.focused is screen.query_one("#password", Input)


async def test_own_server_stays_it_while_the_form_is_as_it_was(
    open_app: OpenApp, client: ScriptedClient, state: StateDirectory
) -> None:
    """Only its address is shown, and that alone would be any process on the port."""
    own = "gochat://127.0.0.1:8889?key_file=/state/server-8889.key"
    state.remember(SavedSession(server="gochat://127.0.0.1:8889", name="ada", token="of another"))
    async with open_app(size=(80, 24), credentials=None, server=own) as pilot:
        assert pilot.app.screen.query_one("#server", Input).value == "127.0.0.1:8889"
        await typed(pilot, "ada")
        await typed(pilot, "a good password")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        assert "● local" in screen_text(pilot).splitlines()[-1]
        assert "key_file" not in screen_text(pilot)
    opened = [request[1] for request in client.requests if request[0] == "open"]
    assert opened == [own]
    assert not [request for request in client.requests if request[0] == "resume"]
    assert state.session(own) is not None
    other = state.session("gochat://127.0.0.1:8889")
    assert other is not None
    assert other.token == "of another"


@pytest.mark.parametrize(
    ("server", "state_of_encryption"),
    [
        ("chat.example", "● encrypted"),
        ("gochat://chat.example", "● plain text"),
        ("127.0.0.1", "● local"),
    ],
)
async def test_status_line_shows_who_can_read_along(
    open_app: OpenApp, client: ScriptedClient, server: str, state_of_encryption: str
) -> None:
    login = Credentials(complete(server), "ada", "a good password")
    async with open_app(size=(80, 24), credentials=login) as pilot:
        assert state_of_encryption in screen_text(pilot).splitlines()[-1]


async def test_warning_of_plain_text_stays_in_little_room_and_in_a_cut(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    login = Credentials("gochat://chat.example:8889", "ada", "a good password")
    async with open_app(size=(60, 20), credentials=login) as pilot:
        assert "plain text" in screen_text(pilot).splitlines()[-1]
        client.cut(reason="the server closed the connection")
        await until(pilot, lambda: "reconnecting" in screen_text(pilot))
        assert "plain text" in screen_text(pilot).splitlines()[-1]


async def test_form_warns_of_plain_text_before_a_password_is_typed(open_app: OpenApp) -> None:
    async with open_app(size=(80, 24), credentials=None) as pilot:
        server = pilot.app.screen.query_one("#server", Input)
        for text, warns in (
            ("gochat://chat.example", True), ("chat.example", False),
            ("gochat://", False), ("gochat://10.0.0.1", True), ("localhost", False),
        ):  # fmt: skip
            server.value = text
            await settle(pilot)
            assert ("Not encrypted" in screen_text(pilot)) is warns
            assert ("Not encrypted" in error_at(pilot, "server")) is warns


async def test_only_the_label_of_the_field_with_the_focus_is_bold(open_app: OpenApp) -> None:
    async with open_app(credentials=None) as pilot:

        def bold() -> list[str]:
            labels = pilot.app.screen.query(".field-label").results(Label)
            return [str(label.content) for label in labels if label.styles.text_style.bold]

        assert bold() == ["Name"]
        await pilot.press("tab")
        assert bold() == ["Password"]
        await pilot.press("shift+tab", "shift+tab")
        assert bold() == ["Server"]


async def test_an_error_of_one_form_does_not_stay_under_the_other(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.refusals["log_in"] = ChatError(ErrorCode.BAD_CREDENTIALS, "wrong name or password")
    async with open_app(credentials=None) as pilot:
        await type_text(pilot, "ada")
        await pilot.press("tab")
        await type_text(pilot, "a good password")
        await pilot.press("enter")
        await until(pilot, lambda: "Wrong name" in screen_text(pilot))
        await pilot.click("#register")
        await until(pilot, lambda: "Password again" in screen_text(pilot))
        assert "Wrong name" not in screen_text(pilot)


async def test_invalid_server_address_is_reported_beside_the_field(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app(credentials=None) as pilot:
        pilot.app.screen.query_one("#server", Input).value = "http://chat.example"
        await typed(pilot, "ada")
        await typed(pilot, "a good password")
        await until(pilot, lambda: "host:port" in error_at(pilot, "server"))
    assert not client.requests


async def test_the_mouse_is_not_needed_and_arrows_move(open_app: OpenApp) -> None:
    async with open_app(credentials=None) as pilot:
        screen = pilot.app.screen
        visited = []
        for _ in range(5):
            assert screen.focused is not None
            visited.append(screen.focused.id)
            await pilot.press("down")
        assert visited == ["name", "password", "log-in", "register", "server"]


async def test_a_hostile_error_text_is_shown_as_text(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.refusals["log_in"] = ConnectionLost("\x1b]0;owned\x07[red]x[/red]")
    async with open_app(credentials=None) as pilot:
        await typed(pilot, "ada")
        await typed(pilot, "secret")
        await until(pilot, lambda: bool(error_at(pilot, "server")))
        assert "\x1b" not in error_at(pilot, "server")
        assert "[red]x[/red]" in error_at(pilot, "server")


async def test_a_state_directory_that_cannot_be_written_is_said_and_ends_nothing(
    client: ScriptedClient, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    state = StateDirectory(tmp_path / "state")
    app = GochatApp(state=state, open_client=opener(client), credentials=LOGIN)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        await until(pilot, lambda: "Nothing can be kept in" in screen_text(pilot))
        await settle(pilot)
        await type_text(pilot, "half a sentence")
        await settle(pilot)
        app.keep_drafts()
        assert "half a sentence" in screen_text(pilot)
        (tmp_path / "state").unlink()  # it can be written again
        app.keep_drafts()
        assert state.drafts(LOGIN.server, "ada") == {"#lobby": "half a sentence"}


@pytest.mark.parametrize(
    ("problem", "tries"),
    [(OutboxInUse("another program has it"), 8), (ConfigError("the disk is full"), 1)],
    ids=["in use", "unusable"],
)
async def test_an_outbox_that_cannot_be_used_is_done_without_and_said(
    client: ScriptedClient, state: StateDirectory, problem: ConfigError, tries: int
) -> None:
    tried: list[Path] = []

    @asynccontextmanager
    async def unusable(url: str, *, outbox: Path | None = None) -> AsyncIterator[ScriptedClient]:
        if outbox is not None:
            tried.append(outbox)
            raise problem
        yield client

    app = GochatApp(state=state, open_client=unusable, credentials=LOGIN)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "Unsent messages are lost" in screen_text(pilot))
        said = " ".join(screen_text(pilot).replace("▌", " ").split())  # it may be in two lines
        assert str(problem) in said
        assert len(set(tried)) == tries
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
