"""``gochat tui --plain``: lines are appended and nothing is drawn again, so a screen reader reads
them and a script can chat through pipes.

It has the client, session, model, commands and text functions of the app, and no Textual screen.
What happens goes to standard output, what goes wrong to standard error.
"""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from gochat.client import ConnectionState
from gochat.errors import ChatError, ConfigError, GochatError
from gochat.tui.actions.client import OpenClient
from gochat.tui.actions.plain_commands import PlainCommands
from gochat.tui.actions.session import ChatSession, Credentials, log_in
from gochat.tui.input.commands import is_command
from gochat.tui.input.keys import Keymap
from gochat.tui.language import _, ngettext
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.error_texts import error_text
from gochat.tui.model.highlights import Highlights
from gochat.tui.model.presentation import because, connection_line, ended, sentence
from gochat.tui.plain.transcript import Transcript
from gochat.tui.plain.typed_lines import typed_lines
from gochat.tui.profile import addresses
from gochat.tui.profile.preferences import Preferences
from gochat.tui.profile.state import StateDirectory
from gochat.tui.text.sanitise import one_line

#: The variable that may hold the password, for scripts.
PASSWORD: Final = "GOCHAT_TUI_PASSWORD"  # noqa: S105 – the name of a variable
#: Seconds that messages of a script get to be sent when its input ends.
_SENDING: Final = 30.0
#: Seconds after which it is written what is waited for: what is answered sooner needs no words.
SAID_AFTER: Final = 1.0
#: The exit code of a script of which something has failed.
FAILED: Final = 1


class PlainApp:
    """The app of the line mode: a `SessionApp` that writes lines. Run it once."""

    def __init__(
        self,
        *,
        state: StateDirectory,
        open_client: OpenClient,
        preferences: Preferences,
        server: str | None = None,
        name: str | None = None,
        write: Callable[[str], None] | None = None,
    ) -> None:
        self.state = state
        self._open_client = open_client
        self._preferences = preferences
        self._server, self._name = server, name
        self._write = write or _print
        self._tasks: TaskGroup | None = None
        self._session: ChatSession | None = None
        self._transcript: Transcript | None = None
        self._drawing = False
        self._shown_state = ""
        self._has_failed = False
        self._is_sending = False
        self._news = anyio.Event()
        self._begun = anyio.Event()
        self._over = anyio.Event()

    # -- what a session needs -------------------------------------------------------------------

    @property
    def keymap(self) -> Keymap:
        """Keys, which play no part here."""
        return self._preferences.keymap

    def time(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def wall_clock(self) -> float:
        """Return the time of day."""
        return time.time()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` as a task."""
        assert self._tasks is not None

        async def run() -> None:
            await work

        self._tasks.start_soon(run, name=name)

    def report(self, text: str) -> None:
        """Write what has failed."""
        if self._over.is_set():
            return  # what was under way did not fail: the app was ended
        self._has_failed = True
        _complain(_("error: {text}", text=sentence(one_line(text))))

    def inform(self, text: str) -> None:
        """Write a notice, as of what happens."""
        self._write(f"* {text}")

    def warn(self, text: str, *, title: str = "", seconds: float) -> None:
        """Write a warning."""
        _complain(_("warning: {text}", text=one_line(because(title, text) if title else text)))

    async def typing_paused(self) -> None:
        """Return at once: the question for the password stands between the lines."""

    async def ask_password(self, text: str) -> str | None:
        """Ask for the password where somebody can answer."""
        self._write(one_line(text))
        return await anyio.to_thread.run_sync(_ask_password) if _is_interactive() else None

    def model_changed(self) -> None:
        """Write what is new, soon."""
        self._news.set()
        self._news = anyio.Event()
        if not self._drawing and self._tasks is not None:
            self._drawing = True
            self._tasks.start_soon(self._write_changes)

    async def _write_changes(self) -> None:
        self._drawing = False
        if self._session is None or self._transcript is None:
            return
        model = self._session.model
        state = connection_line(model)[1] if model.connection.state else ""
        is_countdown = model.retry_in() is not None
        if self._begun.is_set() and state != self._shown_state and not is_countdown:
            self._shown_state = state
            self._write(f"* {state}")
        changes = model.take_changes()
        for line in self._transcript.lines(changes):
            self._write(line)
        if changes.stale:
            self._session.controller.ask_anew()
        if model.current and not model.shown.timeline.newer:
            self._session.controller.mark_read()
        if model.counts()[0] and not self._is_sending and self._tasks is not None:
            self._is_sending = True
            self._tasks.start_soon(self._say_what_is_not_sent, model)

    async def _say_what_is_not_sent(self, model: ChatModel) -> None:
        """Write how much waits to be sent, if that takes long; return when all is sent."""

        def what() -> str:
            n = model.counts()[0]
            return ngettext("{n} waiting to be sent", "{n} waiting to be sent", n)

        with self._saying(what):
            while model.counts()[0]:
                await self._news.wait()
        self._is_sending = False

    @contextmanager
    def _saying(self, what: Callable[[], str]) -> Iterator[None]:
        """Write what is waited for, once, if the block takes long."""
        assert self._tasks is not None
        is_over = anyio.Event()

        async def say() -> None:
            with anyio.move_on_after(SAID_AFTER):
                await is_over.wait()
            if not is_over.is_set():
                self.inform(what())

        self._tasks.start_soon(say)
        try:
            yield
        finally:
            is_over.set()

    # -- the session ----------------------------------------------------------------------------

    async def run(self) -> int:
        """Chat until the input ends or the person leaves; return the exit code.

        Raises:
            GochatError: nobody could be logged in.
        """
        for problem in self._preferences.problems:
            self.warn(problem, seconds=0)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            async with AsyncExitStack() as stack:
                self._session = session = await self._log_in(stack)
                session.model.highlights = Highlights(self._preferences.settings.highlight)
                self._transcript = Transcript(session.model)
                commands = PlainCommands(
                    session.controller, say=self._write, sent=self._transcript.typed,
                    show=self._show, leave=self._over.set, end_session=self._end_session,
                )  # fmt: skip
                tasks.start_soon(self._follow, session)
                tasks.start_soon(self._type, commands)
                await self._over.wait()
            tasks.cancel_scope.cancel()
        return FAILED if self._has_failed and not _is_interactive() else 0

    async def _log_in(self, stack: AsyncExitStack) -> ChatSession:
        saved = self.state.session(self._server)
        server = self._server or (saved.server if saved else addresses.DEFAULT)
        name = self._name or (saved.name if saved else "")
        if saved is not None and saved.token and name == saved.name:
            try:
                return await self._connect(stack, Credentials(server, name, ""), saved.token)
            except ChatError as error:
                self.warn(error_text(error), seconds=0)  # the token: the password may still do
        if not name and _is_interactive():
            name = await anyio.to_thread.run_sync(input, _("Name: "))
        password = os.environ.get(PASSWORD)
        if password is None and _is_interactive():
            password = await anyio.to_thread.run_sync(_ask_password)
        if not name or password is None:
            raise ConfigError(
                _(
                    "not logged in: give --name and the password in {variable}, or log in once "
                    "with `gochat tui`",
                    variable=PASSWORD,
                )
            )
        return await self._connect(stack, Credentials(server, name, password))

    async def _connect(
        self, stack: AsyncExitStack, credentials: Credentials, token: str | None = None
    ) -> ChatSession:
        server = one_line(addresses.shorten(credentials.server))
        with self._saying(lambda: _("Connecting to {server}…", server=server)):
            return await log_in(stack, self._open_client, self, credentials, token)

    async def _follow(self, session: ChatSession) -> None:
        async def begin() -> None:
            self._shown_state = connection_line(session.model)[1]
            to = _("Writing to {conversation}.", conversation=session.model.current)
            state = ended(self._shown_state)
            self._write(f"* {state} {to}")
            self._begun.set()

        await session.follow(begin)

    async def _type(self, commands: PlainCommands) -> None:
        with self._saying(_waiting):
            await self._begun.wait()
        await self._done()  # what was written here before may be what the first line is about
        async for line in typed_lines(sys.stdin.fileno()):
            commands.line(line)
            await self._done(line)  # what follows may be meant for the room that this creates
            if self._over.is_set():
                return
        await self._finish()

    async def _done(self, line: str = "") -> None:
        """Wait until what was asked for is done, by `line` if there is one, but not for the sake of
        a server that is away."""
        assert self._session is not None
        model, controller = self._session.model, self._session.controller

        def is_done() -> bool:
            return not controller.is_busy or model.connection.state is not ConnectionState.CONNECTED

        if not is_done():
            with self._saying(lambda: model.waiting_for or _waiting(line)):
                await self._until(is_done)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """Wait until `is_so`, which changes with the model, but not for ever."""
        with anyio.move_on_after(_SENDING):
            while not is_so():
                await self._news.wait()

    async def _finish(self) -> None:
        """Wait until what was typed is sent, and what was asked for is done."""
        assert self._session is not None
        model = self._session.model
        await self._done()
        await self._until(
            lambda: not model.counts()[0] or model.connection.state is ConnectionState.OFFLINE
        )
        await self._write_changes()
        waiting, failed = model.counts()
        if waiting:
            self.report(_("not sent yet, and kept for the next start: {n}", n=waiting))
        self._has_failed |= failed > 0
        self._over.set()

    def _show(self, conv: str) -> None:
        assert self._transcript is not None
        for line in self._transcript.recent(conv):
            self._write(line)

    def _end_session(self) -> None:
        async def end() -> None:
            assert self._session is not None
            with self._saying(_waiting):
                await self._session.log_out()
            self._over.set()

        self.start(end(), "log out")


def _waiting(line: str = "") -> str:
    """Return what is written of a wait for the server: for what a line asks for, if it does."""
    if is_command(line):
        return _("Waiting for the server: {command}…", command=one_line(line.split()[0]))
    return _("Waiting for the server…")


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _ask_password() -> str:
    return getpass.getpass(_("Password: "))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _complain(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def run_plain(app: PlainApp) -> int:
    """Run the line mode; return its exit code.

    Raises:
        GochatError: nobody could be logged in.
    """
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text stream
    try:
        return anyio.run(app.run)
    except* GochatError as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
