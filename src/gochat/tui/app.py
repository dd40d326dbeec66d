"""The app: it opens a client, feeds the model from its events, and shows one of two screens."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Final

from textual import on, work
from textual.app import App
from textual.binding import BindingType

from gochat.client import ConnectionState, StateChanged
from gochat.errors import ConfigError, GochatError
from gochat.tui import addresses, keys, themes
from gochat.tui.backend import ChatClient, OpenClient
from gochat.tui.controller import Controller
from gochat.tui.keys import Keymap
from gochat.tui.model import Model
from gochat.tui.preferences import Preferences
from gochat.tui.presentation import name as safe
from gochat.tui.screens.chat import ChatScreen, ModelChanged
from gochat.tui.screens.connect import ConnectScreen, Credentials
from gochat.tui.state import Session, State

#: Seconds between two repaints while much happens: what people see as smooth.
FRAME: Final = 1 / 30


class GochatApp(App[None]):
    """The chat in a terminal.

    `server` is the address to begin with, or None for the one used last. `open_client` opens a
    client; a scripted one in tests and in the demo. `credentials` log in without asking.
    """

    CSS_PATH = "gochat.tcss"
    TITLE = "gochat"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("app")]

    def __init__(
        self,
        *,
        state: State,
        open_client: OpenClient,
        preferences: Preferences | None = None,
        server: str | None = None,
        credentials: Credentials | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.state = state
        self.preferences = preferences or Preferences()
        self.time = clock
        self._now = now
        self._open_client = open_client
        self._server = server
        self._credentials = credentials
        self._controller: Controller | None = None
        self._flush_due = False
        self._flushed_at = 0.0
        for theme in themes.OWN:
            self.register_theme(theme)

    @property
    def keymap(self) -> Keymap:
        """The keys of all actions."""
        return self.preferences.keymap

    @property
    def is_drawing_due(self) -> bool:
        """True while something has changed that is not drawn yet."""
        return self._flush_due

    async def on_mount(self) -> None:
        """Show the form, or go on where the last session was."""
        wanted = self.preferences.settings.theme
        self.theme = wanted if wanted in self.available_themes else themes.DARK.name
        self.set_keymap(self.keymap.overrides)
        session = self.state.session(self._server)
        server = self._server or (session.server if session else addresses.DEFAULT)
        form = ConnectScreen(
            server, session.name if session else "", has_account=session is not None
        )
        await self.push_screen(form)
        for problem in self.preferences.problems:
            self.notify(problem, title="Configuration", severity="warning", markup=False, timeout=8)
        if self._credentials is not None:
            self.log_in(form, self._credentials, None)
        elif session is not None and session.token:
            self.log_in(form, Credentials(server, session.name, ""), session.token)

    # -- the session ----------------------------------------------------------------------------

    @on(ConnectScreen.Submitted)
    def _submitted(self, event: ConnectScreen.Submitted) -> None:
        form = self.screen
        if isinstance(form, ConnectScreen):
            self.log_in(form, event.credentials, None)

    @on(ConnectScreen.Cancelled)
    def _cancelled(self) -> None:
        self.workers.cancel_group(self, "session")

    @work(exclusive=True, group="session")
    async def log_in(self, form: ConnectScreen, wanted: Credentials, token: str | None) -> None:
        """Log in as the form says, and stay until the session ends."""
        form.show_progress(f"Connecting to {addresses.shorten(wanted.server)}…")
        async with AsyncExitStack() as stack:
            try:
                client = await self._enter(stack, wanted.server)
                if token is not None:
                    await client.resume(token)
                else:
                    if wanted.register:
                        await client.register(wanted.name, wanted.password, wanted.invite)
                    await client.log_in(wanted.name, wanted.password)
            except GochatError as error:
                form.show_error(error)
                return
            await self._chat(client, wanted.server)

    async def _enter(self, stack: AsyncExitStack, server: str) -> ChatClient:
        try:
            return await stack.enter_async_context(
                self._open_client(server, outbox=self.state.outbox(server))
            )
        except ConfigError:
            # Its file is in use: the app runs twice. What one of them has not sent is lost with it.
            client = await stack.enter_async_context(self._open_client(server))
            self.notify("The app runs twice: unsent messages are lost when this one is closed.",
                        severity="warning", markup=False)  # fmt: skip
            return client

    async def _chat(self, client: ChatClient, server: str) -> None:
        model = Model(client.name or "", clock=self.time, now=self._now)
        model.presence_lines = self.preferences.settings.presence
        controller = self._controller = Controller(
            client, model, spawn=self._start, report=self._report, changed=self._changed
        )
        drafts = self.state.drafts(server, model.me)
        self._remember(client, server)
        screen = ChatScreen(controller)
        began = False
        try:
            async for event in client.events():
                model.apply(event)
                if not began and model.is_synchronised:
                    began = True
                    model.take_outbox(client.outbox)
                    model.take_drafts(drafts)
                    await self.switch_screen(screen)
                if isinstance(event, StateChanged) and event.state is ConnectionState.CONNECTED:
                    self._remember(client, server)
                self._changed()
        finally:
            self.state.keep_drafts(server, model.me, model.drafts())

    def _remember(self, client: ChatClient, server: str) -> None:
        self.state.remember(
            Session(
                server=server,
                name=client.name or "",
                token=client.token,
                expires=client.token_expires or 0,
            )
        )

    # -- from the model to the screen ------------------------------------------------------------

    def _changed(self) -> None:
        """Have the changes of the model drawn: at once, or with the next frame."""
        if self._flush_due:
            return
        self._flush_due = True
        wait = self._flushed_at + FRAME - time.monotonic()
        if wait <= 0:
            self.call_later(self._draw_changes)
        else:
            self.set_timer(wait, self._draw_changes)

    def _draw_changes(self) -> None:
        self._flush_due = False
        self._flushed_at = time.monotonic()
        screen = next((s for s in self.screen_stack if isinstance(s, ChatScreen)), None)
        if screen is None or self._controller is None or not screen.is_mounted:
            return
        changes = self._controller.model.take_changes()
        if changes:
            screen.post_message(ModelChanged(changes))

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.run_worker(work, name=name, group="requests", exit_on_error=True)

    def _report(self, text: str) -> None:
        self.notify(safe(text), severity="error", markup=False)
