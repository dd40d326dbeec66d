"""A person's session on a server, from logging in to logging out: its client, model and drafts.

The session survives its connections: after a cut the client resumes it. When the server ends it,
the person is asked for the password, and all that is on the screen stays.
"""

from __future__ import annotations

import platform
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio

from gochat.client import (
    ChatError,
    ConnectionLost,
    ConnectionState,
    MessagesReported,
    NewLogin,
    RoleChanged,
    StateChanged,
    Synchronised,
)
from gochat.client.backoff import Backoff
from gochat.client.errors import VOID_TOKEN
from gochat.client.moments import milliseconds
from gochat.client.spool import gather
from gochat.errors import ConfigError, GochatError, OutboxInUse
from gochat.protocol.messages import MAX_DEVICE_NAME
from gochat.tui.actions.client import ChatClient, OpenClient
from gochat.tui.actions.controller import Controller
from gochat.tui.input.keys import Keymap
from gochat.tui.language import N_, _
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.error_texts import error_text, reason_text
from gochat.tui.model.presentation import because, ended, sentence
from gochat.tui.profile import addresses
from gochat.tui.profile.state import KeptList, SavedSession, StateDirectory
from gochat.tui.text.names import separated
from gochat.tui.text.sanitise import one_line

#: Seconds that the start waits for a server with whom there is a session.
_SOON: Final = 2.0
#: Bounds of the waits (in seconds) between attempts to resume it, as the client has them later.
_BACKOFF: Final = (0.5, 30.0)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a person logs in with. With `register` the account is created first."""

    server: str
    name: str
    password: str
    register: bool = False
    invite: str | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A `token` that the server could not be asked about yet, for a `reason`."""

    token: str
    reason: str


@dataclass(frozen=True, slots=True)
class OwnDrafts:
    """The number of this app, and those of apps that have `ended`; see
    :meth:`~gochat.tui.profile.state.StateDirectory.drafts`."""

    app: int
    ended: tuple[int, ...]


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

    def inform(self, text: str) -> None:
        """Show a short notice."""

    def warn(self, text: str, *, title: str = "", seconds: float) -> None:
        """Show a warning for so many seconds."""

    async def typing_paused(self) -> None:
        """Return when nothing was typed for a moment."""

    async def ask_password(self, text: str) -> str | None:
        """Show `text` and ask for the password; return None if the person gives none."""

    def model_changed(self) -> None:
        """Draw the changes of the model soon."""


def role_notice(event: RoleChanged) -> str:
    """Return what a person is shown when their role at the server has changed."""
    if event.role == "admin":
        return _("You are now an admin of this server.")
    if event.role == "moderator":
        return _("You are now a moderator of this server.")
    if event.before == "admin":
        return _("You are no longer an admin of this server.")
    return _("You are no longer a moderator of this server.")


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

    With a token, a server that does not answer soon is not waited for: the session goes on
    connecting by itself, and begins with what is kept here.

    Raises:
        GochatError: the server refused; or, without a token, it can't be reached.
    """
    client, drafts = await _open(stack, open_client, app, credentials.server)
    if token is not None:
        reason = N_("there is no answer yet")
        try:
            with anyio.move_on_after(_SOON):
                await client.resume(token, name=credentials.name)
        except ConnectionLost as error:
            reason = str(error)
        if client.state is ConnectionState.CONNECTED:
            return ChatSession(client, credentials.server, app, drafts)
        return ChatSession(client, credentials.server, app, drafts, Unanswered(token, reason))
    if credentials.register:
        await client.register(credentials.name, credentials.password, invite=credentials.invite)
    await client.log_in(credentials.name, credentials.password, device=device_name())
    return ChatSession(client, credentials.server, app, drafts)


async def _open(
    stack: AsyncExitStack, open_client: OpenClient, app: SessionApp, server: str
) -> tuple[ChatClient, OwnDrafts]:
    outboxes = app.state.outboxes(server)
    in_use = gather(outboxes)  # unsent messages that other apps have left
    ended = tuple(number for number, outbox in enumerate(outboxes) if outbox not in in_use)
    problem: ConfigError | None = None
    for number, outbox in enumerate(outboxes):
        try:
            client = await stack.enter_async_context(open_client(server, outbox=outbox))
            return client, OwnDrafts(number, ended)
        except OutboxInUse as error:
            problem = error
        except ConfigError as error:
            problem = error
            break
    client = await stack.enter_async_context(open_client(server))
    app.warn(
        _(
            "Unsent messages are lost when the app is closed: {reason}.",
            reason="" if problem is None else one_line(error_text(problem)),
        ),
        seconds=10,
    )
    return client, OwnDrafts(0, ())


class ChatSession:
    """One session: `server` is the URL, `model` what is known, `controller` does what is asked.

    `drafts` says where its drafts are. With `unanswered` it has yet to be resumed, and is shown
    meanwhile.
    """

    def __init__(
        self,
        client: ChatClient,
        server: str,
        app: SessionApp,
        drafts: OwnDrafts,
        unanswered: Unanswered | None = None,
    ) -> None:
        self.server = server
        self.model = ChatModel(
            client.name or "",  # as it was given, before there is an answer
            security=addresses.security(server),
            clock=app.time,
            now=app.wall_clock,
        )
        self.controller = Controller(
            client, self.model, spawn=app.start, report=app.report, changed=app.model_changed
        )
        self._client, self._app, self._drafts = client, app, drafts
        self._kept_drafts: dict[str, str] = {}
        self._kept_list: KeptList | None = None
        self._is_leaving = False
        self._is_asking = False  # for the password, after the session has ended
        self._unanswered = unanswered
        self._hurry = anyio.Event()  # to try again at once
        if unanswered is None:
            self.remember()

    async def follow(self, show: Callable[[], Awaitable[object]]) -> None:
        """Feed the model from the client's events; `show` it once there is a snapshot, or before
        the server has answered."""
        has_begun = False
        if (unanswered := self._unanswered) is not None:
            has_begun = True
            self.model.open_lobby()
            await self._begin(show)
            self._app.start(self._resume(unanswered), "resume")
        async for event in self._client:
            if self._unanswered is not None and isinstance(event, StateChanged):
                continue  # of an attempt of `_resume`, which says itself how it stands
            was_synchronised = self.model.is_synchronised
            self.model.apply(event)
            if self.model.is_synchronised and not was_synchronised:
                if not has_begun:
                    has_begun = True
                    await self._begin(show)
                self.controller.load_first()
            if isinstance(event, Synchronised):
                self.controller.load_blocked()
                self.controller.load_reports()
                self.controller.load_motd()
            elif isinstance(event, StateChanged):
                self._connection_changed(event)
            elif isinstance(event, NewLogin):
                self._show_login(event)
            elif isinstance(event, RoleChanged):
                self._app.inform(role_notice(event))
                self.controller.load_reports()
            elif isinstance(event, MessagesReported):
                self._show_report(event)
                self.controller.load_reports()
            self._app.model_changed()

    async def _begin(self, show: Callable[[], Awaitable[object]]) -> None:
        """Show the model with what earlier runs have kept."""
        self.model.set_role(self._client.role)
        self.model.take_outbox(self._client.outbox)
        number, ended = self._drafts.app, self._drafts.ended
        state = self._app.state
        self.model.take_drafts(state.gather_drafts(self.server, self.model.me, number, ended))
        self._kept_drafts = self.model.drafts()
        self._kept_list = state.kept_list(self.server, self.model.me)
        self.model.favourites = set(self._kept_list.favourites)
        self.model.folded = set(self._kept_list.folded)
        for conv, until in self._kept_list.muted.items():
            self.model.mute(conv, until)
        self.model.be_quiet(self._kept_list.quiet_until)
        await show()

    async def _resume(self, unanswered: Unanswered) -> None:
        """Resume the session as soon as there is a server; until then, show that it is tried."""
        reason, backoff = unanswered.reason, Backoff(*_BACKOFF, random.random)
        while not self._is_leaving:
            delay = backoff.next()
            self._show_attempt(reason, delay)
            with anyio.move_on_after(delay):
                await self._hurry.wait()
            self._hurry = anyio.Event()
            self._show_attempt(reason)
            try:
                await self._client.resume(unanswered.token, name=self.model.me)
            except (ChatError, ConnectionLost) as error:
                reason = str(error)
                if isinstance(error, ChatError) and error.code in VOID_TOKEN:
                    self._answered(StateChanged(ConnectionState.OFFLINE, None, reason))
                    return
            else:
                self._answered(StateChanged(ConnectionState.CONNECTED))
                return

    def _show_attempt(self, reason: str, delay: float | None = None) -> None:
        self.model.apply(StateChanged(ConnectionState.RECONNECTING, delay, reason))
        self._app.model_changed()

    def _answered(self, event: StateChanged) -> None:
        self._unanswered = None
        self.model.apply(event)
        self._connection_changed(event)
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
        """Write what is typed and not sent, and the favourites, to the state directory, as far as
        they have changed.

        What another app of the same person has kept meanwhile stays.
        """
        drafts, kept = self.model.drafts(), self._kept_drafts
        changes = {
            conv: drafts.get(conv, "")
            for conv in drafts.keys() | kept.keys()
            if drafts.get(conv) != kept.get(conv)
        }
        if changes and self._app.state.keep_drafts(
            self.server, self.model.me, changes, self._drafts.app
        ):
            self._kept_drafts = drafts
        self._keep_list()

    def _keep_list(self) -> None:
        kept = KeptList(
            tuple(sorted(self.model.favourites)),
            tuple(sorted(self.model.folded)),
            self.model.muted(),
            self.model.quiet.asked_until,
        )
        before = self._kept_list
        if before is None or before == kept:
            return
        state = self._app.state
        now = kept.changed_from(before, state.kept_list(self.server, self.model.me))
        if state.keep_list(self.server, self.model.me, now):
            self._kept_list = kept

    def reconnect(self) -> None:
        """Connect without further waiting; after the session has ended, ask for the password."""
        if self._unanswered is not None:
            self._hurry.set()
        elif self._client.state is ConnectionState.OFFLINE:
            self._ask_to_log_in()
        else:
            self._client.reconnect_now()

    async def log_out(self) -> None:
        """End the session for good, and forget its token."""
        self._is_leaving = True
        try:
            await self._client.log_out()
        except GochatError as error:
            self._app.report(error_text(error))
        self._app.state.remember(SavedSession(server=self.server, name=self.model.me))

    def _connection_changed(self, event: StateChanged) -> None:
        if event.state is ConnectionState.CONNECTED:
            self.model.set_role(self._client.role)
            self.remember()
        elif event.state is ConnectionState.OFFLINE:
            self._ask_to_log_in(event.reason, is_asked_for=False)

    def _show_login(self, login: NewLogin) -> None:
        """Warn of a login from a new address; for a minute, since it may be an intruder."""
        address = one_line(login.address)
        self._app.warn(
            _("Logged in with your password from a new address: {address}. If it was not you: "
              "/sessions ends it, and then change your password.", address=address)
            if login.by == "password"
            else _("Logged in with your saved session from a new address: {address}. If it was not "
                   "you: /sessions ends it, and then change your password.", address=address),
            title=_("New login"),
            seconds=60,
        )  # fmt: skip

    def _show_report(self, report: MessagesReported) -> None:
        """Notify a moderator of a report."""
        about = one_line(separated(report.names))
        text = because(
            _("{person} reports {people}", person=one_line(report.sender), people=about),
            one_line(report.reason),
        )
        how = _("/reports opens it.")
        self._app.warn(
            f"{ended(text)} {how}",
            title=_("Report"),
            seconds=20,
        )

    def _ask_to_log_in(self, reason: str = "", *, is_asked_for: bool = True) -> None:
        # Each failed attempt ends offline, too: one question at a time.
        if not self._is_leaving and not self._is_asking:
            self._is_asking = True
            work = self._log_in_again(reason, is_asked_for=is_asked_for)
            self._app.start(work, "log in again")

    async def _log_in_again(self, reason: str, *, is_asked_for: bool) -> None:
        client, me = self._client, self.model.me
        text = (
            _("Your session has ended: {reason}.", reason=one_line(reason_text(reason)))
            if reason
            else _("Your session has ended.")
        )
        try:
            if not is_asked_for:  # or the message that is being typed would be the password
                await self._app.typing_paused()
            while client.state is ConnectionState.OFFLINE:
                who = _("You are {person}.", person=one_line(me))
                password = await self._app.ask_password(f"{text}\n{who}")
                if password is None:
                    key = self._app.keymap.shown("reconnect")
                    self._app.report(_("You are logged out. {key} logs you in again.", key=key))
                    return
                try:
                    await client.log_in(me, password, device=device_name())
                except GochatError as error:
                    text = sentence(one_line(error_text(error)))
        finally:
            self._is_asking = False
