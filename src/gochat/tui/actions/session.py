"""A person's session on a server, from logging in to logging out: its client, model and drafts.

The session survives its connections: after a cut the client resumes it. When the server ends it,
the person is asked for the password, and all that is on the screen stays.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from gochat.client import ConnectionState, NewLogin, StateChanged
from gochat.client.moments import milliseconds
from gochat.client.spool import gather
from gochat.errors import ConfigError, GochatError, OutboxInUse
from gochat.protocol.messages import MAX_DEVICE_NAME
from gochat.tui.actions.client import ChatClient, OpenClient
from gochat.tui.actions.controller import Controller
from gochat.tui.input.keys import Keymap
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.presentation import sentence
from gochat.tui.profile import addresses
from gochat.tui.profile.state import SavedSession, StateDirectory
from gochat.tui.text.sanitise import one_line


@dataclass(frozen=True, slots=True)
class Credentials:
    """With what a person logs in. With `register` the account is created first."""

    server: str
    name: str
    password: str
    register: bool = False
    invite: str | None = None


class SessionApp(Protocol):
    """What a session needs of the app."""

    state: StateDirectory

    @property
    def keymap(self) -> Keymap:
        """The keys of all actions."""

    def time(self) -> float:
        """Return seconds that never go back."""

    def wall_clock(self) -> float:
        """Return the time of day, in seconds since the Unix epoch."""

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` as a task of the app."""

    def report(self, text: str) -> None:
        """Show what has failed."""

    def warn(self, text: str, *, title: str = "", seconds: float) -> None:
        """Show a warning for so many seconds."""

    async def ask_password(self, text: str) -> str | None:
        """Show `text` and ask for the password; return None if the person gives none."""

    def model_changed(self) -> None:
        """Draw the changes of the model soon."""


def device_name() -> str:
    """Return what the list of sessions calls this device: the name of the host."""
    return platform.node()[:MAX_DEVICE_NAME]


async def log_in(
    stack: AsyncExitStack,
    open_client: OpenClient,
    app: SessionApp,
    credentials: Credentials,
    token: str | None = None,
) -> ChatSession:
    """Open a client that lives as long as `stack`, and log in; a `token` replaces the password.

    Raises:
        GochatError: the server can't be reached, or it refused.
    """
    client = await _open(stack, open_client, app, credentials.server)
    if token is not None:
        await client.resume(token)
    else:
        if credentials.register:
            await client.register(credentials.name, credentials.password, invite=credentials.invite)
        await client.log_in(credentials.name, credentials.password, device=device_name())
    return ChatSession(client, credentials.server, app)


async def _open(
    stack: AsyncExitStack, open_client: OpenClient, app: SessionApp, server: str
) -> ChatClient:
    outboxes = app.state.outboxes(server)
    gather(outboxes)  # unsent messages that other apps have left
    problem: ConfigError | None = None
    for outbox in outboxes:
        try:
            return await stack.enter_async_context(open_client(server, outbox=outbox))
        except OutboxInUse as error:
            problem = error
        except ConfigError as error:
            problem = error
            break
    client = await stack.enter_async_context(open_client(server))
    app.warn(
        f"What is not sent is lost when the app is closed: {one_line(str(problem))}.", seconds=10
    )
    return client


class ChatSession:
    """One session: `server` is the URL, `model` what is known, `controller` does what is asked."""

    def __init__(self, client: ChatClient, server: str, app: SessionApp) -> None:
        self.server = server
        self.model = ChatModel(
            client.name or "",
            security=addresses.security(server),
            clock=app.time,
            now=app.wall_clock,
        )
        self.controller = Controller(
            client, self.model, spawn=app.start, report=app.report, changed=app.model_changed
        )
        self._client, self._app = client, app
        self._kept_drafts: dict[str, str] = {}
        self._is_leaving = False
        self._is_asking = False  # for the password, after the session has ended
        self.remember()

    async def follow(self, show: Callable[[], Awaitable[object]]) -> None:
        """Feed the model from the client's events; `show` it once there is a snapshot."""
        has_begun = False
        async for event in self._client:
            self.model.apply(event)
            if not has_begun and self.model.is_synchronised:
                has_begun = True
                self.model.take_outbox(self._client.outbox)
                self.model.take_drafts(self._app.state.drafts(self.server, self.model.me))
                self._kept_drafts = self.model.drafts()
                await show()
            if isinstance(event, StateChanged):
                self._connection_changed(event)
            elif isinstance(event, NewLogin):
                self._show_login(event)
            self._app.model_changed()

    def remember(self) -> None:
        """Keep the session's token, with which the next start logs in."""
        expires = self._client.token_expires
        self._app.state.remember(
            SavedSession(
                server=self.server,
                name=self._client.name or "",
                token=self._client.token,
                expires=0 if expires is None else milliseconds(expires),
            )
        )

    def keep_drafts(self) -> None:
        """Write what is typed and not sent to the state directory, as far as it has changed.

        What another app of the same person has typed elsewhere stays there.
        """
        drafts, kept = self.model.drafts(), self._kept_drafts
        changes = {
            conv: drafts.get(conv, "")
            for conv in drafts.keys() | kept.keys()
            if drafts.get(conv) != kept.get(conv)
        }
        if changes and self._app.state.keep_drafts(self.server, self.model.me, changes):
            self._kept_drafts = drafts

    def reconnect(self) -> None:
        """Connect without further waiting; after the session has ended, ask for the password."""
        if self._client.state is ConnectionState.OFFLINE:
            self._ask_to_log_in()
        else:
            self._client.reconnect_now()

    async def log_out(self) -> None:
        """End the session for good, and forget its token."""
        self._is_leaving = True
        try:
            await self._client.log_out()
        except GochatError as error:
            self._app.report(str(error))
        self._app.state.remember(SavedSession(server=self.server, name=self.model.me))

    def _connection_changed(self, event: StateChanged) -> None:
        if event.state is ConnectionState.CONNECTED:
            self.remember()
        elif event.state is ConnectionState.OFFLINE:
            self._ask_to_log_in(event.reason)

    def _show_login(self, login: NewLogin) -> None:
        """Warn of a login from a new address; for a minute, since it may be an intruder."""
        how = "with your password" if login.by == "password" else "with your saved session"
        self._app.warn(
            f"Logged in {how} from a new address: {one_line(login.address)}. "
            "If it was not you: /sessions ends it, and then change your password.",
            title="New login",
            seconds=60,
        )

    def _ask_to_log_in(self, reason: str = "") -> None:
        # Each failed attempt ends offline, too: one question at a time.
        if not self._is_leaving and not self._is_asking:
            self._is_asking = True
            self._app.start(self._log_in_again(reason), "log in again")

    async def _log_in_again(self, reason: str) -> None:
        client, me = self._client, self.model.me
        text = (
            f"Your session has ended: {one_line(reason)}." if reason else "Your session has ended."
        )
        try:
            while client.state is ConnectionState.OFFLINE:
                password = await self._app.ask_password(f"{text}\nYou are {one_line(me)}.")
                if password is None:
                    key = self._app.keymap.shown("reconnect")
                    self._app.report(f"You are logged out. {key} logs you in again.")
                    return
                try:
                    await client.log_in(me, password, device=device_name())
                except GochatError as error:
                    text = sentence(one_line(str(error)))
        finally:
            self._is_asking = False
