"""The app: it shows one of two screens, draws the changes of the model, and keeps the settings."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import anyio
import msgspec
from textual import events, on, work
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.geometry import Offset
from textual.screen import ModalScreen
from textual.timer import Timer, TimerCallback
from textual.widgets import Input, TextArea
from textual.worker import WorkType

from gochat.errors import GochatError
from gochat.tui import language
from gochat.tui.actions.client import OpenClient
from gochat.tui.actions.session import ChatSession, Credentials, log_in
from gochat.tui.chat_log import ChatLog
from gochat.tui.dialogs.forms import LogInAgain
from gochat.tui.dialogs.help import HelpScreen
from gochat.tui.dialogs.palette import CommandPalette
from gochat.tui.dialogs.settings import SettingsScreen
from gochat.tui.host.gc_pauses import IdleCollector
from gochat.tui.host.notifier import Notifier
from gochat.tui.host.terminal import teach_escape
from gochat.tui.host.thrifty_app import ThriftyApp
from gochat.tui.host.timers import surely
from gochat.tui.host.type_ahead import TypeAhead, UserInput
from gochat.tui.input import commands, keys
from gochat.tui.input.keys import Keymap
from gochat.tui.language import _
from gochat.tui.model.presentation import sentence
from gochat.tui.profile import addresses, themes
from gochat.tui.profile.preferences import Preferences, Settings
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import NARROW, ChatScreen, ModelChanged
from gochat.tui.screens.connect import ConnectScreen
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import RowList

#: Seconds between two repaints while much happens: what people see as smooth.
FRAME: Final = 1 / 30
#: Actions whose keys do something while the app logs in; others wait for the chat.
_PASSING: Final = ("quit", "suspend", "help")
#: Seconds for which drawing waits for keys to have their effect.
_MOST_HELD: Final = 0.25
#: Seconds after the last key for which the cursor blinks.
_BLINKING: Final = 10.0
#: Seconds after the last key for which a question that comes by itself waits.
_PAUSE: Final = 1.0
#: Seconds after which a draft is saved, for when the power fails.
_DRAFTS_INTERVAL: Final = 5.0


class GochatApp(ThriftyApp):
    """The chat in a terminal.

    `server` is the address to offer, or None for the one used last. `open_client` opens a
    client; a scripted one in tests and in the demo. `credentials` log in without asking.
    """

    CSS_PATH = "gochat.tcss"
    TITLE = "gochat"
    ENABLE_COMMAND_PALETTE = False
    # Textual declares these two as attributes of the instance, which a ClassVar can't override.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-normal"), (120, "-wide")]  # noqa: RUF012 -- as Textual has it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (24, "-tall")]  # noqa: RUF012 -- likewise
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("app")]

    def __init__(
        self,
        *,
        state: StateDirectory,
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
        self._session: ChatSession | None = None
        self._not_begun: set[Coroutine[Any, Any, None]] = set()  # tasks
        self._flush_due = False
        self._flushed_at = 0.0
        self._touched_at = time.monotonic()
        #: False while another window or pane has the focus, where the terminal reports it.
        self.is_in_front = True
        self._notifier = Notifier(self._write, clock)
        self._collector = IdleCollector()
        self._type_ahead = TypeAhead(self, super().on_event, self._draw_changes)
        self._unsaved: dict[str, Any] = {}  # settings that were chosen, by name
        self._is_drawing_held = False
        self._is_starting = True
        # Before it runs, or all the styles would be applied a second time.
        self._theme_problems = self.use_theme(self.preferences)

    @property
    def keymap(self) -> Keymap:
        """The keys of all actions."""
        return self.preferences.keymap

    @property
    def server_address(self) -> str:
        """The address of the server, as people write it."""
        return addresses.shorten(self._session.server) if self._session is not None else ""

    @property
    def is_drawing_due(self) -> bool:
        """True while something has changed that is not drawn yet."""
        return self._flush_due

    def wall_clock(self) -> float:
        """Return the time of day, in seconds since the Unix epoch."""
        return self._now()

    @property
    def cursor_position(self) -> Offset:
        """Where the terminal puts its cursor: where text goes, for input methods and readers.

        Looked up when it is drawn. Textual notes it when the cursor moves, and before the layout.
        """
        place = getattr(self.screen.focused, "cursor_screen_offset", None)
        return place if isinstance(place, Offset) else self._cursor_position

    @cursor_position.setter
    def cursor_position(self, position: Offset) -> None:
        self._cursor_position = position

    async def on_mount(self) -> None:
        """Show the form, or resume the last session."""
        self.animation_level = "full" if self.preferences.settings.animations else "none"
        self._use_keys()
        session = self.state.session(self._server)
        server = self._server or (session.server if session else addresses.DEFAULT)
        form = ConnectScreen(
            server, session.name if session else "", has_account=session is not None
        )
        # What was typed before the form has the focus goes to it, too, from the first letter on.
        with ExitStack() as stack:
            stack.enter_context(self.hold_keys())
            stack.callback(self._begun)
            await self.push_screen(form)
            self.call_later(stack.pop_all().close)
        self.state.report = self.report
        for problem in (*self.preferences.problems, *self._theme_problems):
            self.warn(problem, title=_("Configuration"), seconds=8)
        self.set_interval(_DRAFTS_INTERVAL, self.keep_drafts)
        self.set_interval(1.0, self._collector.look)
        self.set_interval(1.0, self._calm_cursor)
        if self._credentials is not None:
            self._log_in(form, self._credentials, None)
        elif session is not None and session.token:
            self._log_in(form, Credentials(server, session.name, ""), session.token)

    def _begun(self) -> None:
        self._is_starting = False

    def _calm_cursor(self) -> None:
        """Let the cursor stand still while nothing is typed: on a slow line, blinking costs."""
        if time.monotonic() - self._touched_at > _BLINKING:
            self._blink(on=False)

    def _blink(self, *, on: bool) -> None:
        field = self.focused
        wanted = on and self.preferences.settings.animations
        if isinstance(field, (Input, TextArea)) and field.cursor_blink is not wanted:
            field.cursor_blink = wanted

    async def on_event(self, event: events.Event) -> None:
        """Handle what the person does in its order.

        Typing also delays collections, and shows that the app is in front.
        """
        if isinstance(event, events.InputEvent):
            self._collector.touched()
            if isinstance(event, (events.Key, events.MouseDown)):
                self.is_in_front = True
                self._touched_at = time.monotonic()
                self._blink(on=True)
        if isinstance(event, (events.InputEvent, events.Paste)) and not event.is_forwarded:
            for each in self._apart(event):
                await self._type_ahead.take(each)
        else:
            await super().on_event(event)

    def _apart(self, event: UserInput) -> Sequence[UserInput]:
        """Return the keys that `event` stands for: with modes, Alt is Esc before a key; and what
        was typed before the app had the terminal to itself has line feeds for Enter."""
        if self._is_starting and isinstance(event, events.Key) and event.key == "ctrl+j":
            enter = events.Key("enter", "\r")
            enter.set_sender(self)
            return (enter,)
        if not isinstance(event, events.Key) or (key := self.keymap.escaped(event.key)) is None:
            return (event,)
        apart = (events.Key("escape", "\x1b"), events.Key(key, key if len(key) == 1 else None))
        for each in apart:
            each.set_sender(self)
        return apart

    @property
    def is_idle(self) -> bool:
        """True while everything that was typed has had its effect."""
        return self._type_ahead.is_idle

    def hold_keys(self) -> AbstractContextManager[None]:
        """Hold back what is typed until something that takes the keyboard is done."""
        return self._type_ahead.held()

    def on_app_blur(self, event: events.AppBlur) -> None:
        """Notice that the terminal lost the focus; fields keep theirs.

        Textual would take it from the field, and give none to a screen that opens meanwhile: what
        is pasted then, or typed after that, goes nowhere.
        """
        event.prevent_default()
        self.is_in_front = False

    def on_app_focus(self, event: events.AppFocus) -> None:
        """Notice that the terminal has the focus again."""
        event.prevent_default()
        self.is_in_front = True
        for screen in self.screen_stack:
            if isinstance(screen, ChatScreen):
                screen.come_back()

    def on_unmount(self) -> None:
        """Drop the tasks that have not begun: none does any more."""
        while self._not_begun:
            self._not_begun.pop().close()
        if self._session is not None:
            self._session.controller.abandon()

    # -- the session ------------------------------------------------------------------------------

    @on(ConnectScreen.Submitted)
    def _submitted(self, event: ConnectScreen.Submitted) -> None:
        form = self.screen
        if isinstance(form, ConnectScreen):
            self._log_in(form, event.credentials, None)

    @on(ConnectScreen.Cancelled)
    def _cancelled(self) -> None:
        self._type_ahead.forget()
        self.workers.cancel_group(self, "session")

    def _log_in(self, form: ConnectScreen, wanted: Credentials, token: str | None) -> None:
        """Log in with what the form holds, and follow the session until it ends.

        What is typed from now on is meant for the chat, but for what leaves or goes back.
        """
        passing = {"escape"}.union(*(self.keymap.keys[name] for name in _PASSING))
        hold = ExitStack()
        hold.enter_context(self._type_ahead.held(passing))
        self._follow(form, wanted, token, hold)

    @work(exclusive=True, group="session")
    async def _follow(
        self, form: ConnectScreen, wanted: Credentials, token: str | None, hold: ExitStack
    ) -> None:
        with hold:
            form.show_progress(
                _("Connecting to {server}…", server=addresses.shorten(wanted.server))
            )
            async with AsyncExitStack() as stack:
                try:
                    session = await log_in(stack, self._open_client, self, wanted, token)
                except GochatError as error:
                    self._type_ahead.forget()
                    form.show_error(error)
                    return
                await self._chat(session, hold.close)

    async def _chat(self, session: ChatSession, begun: Callable[[], None]) -> None:
        self._session = session
        screen = ChatScreen(session.controller, begun)
        screen.apply_settings(self.preferences.settings)
        try:
            await session.follow(lambda: self.switch_screen(screen))
        finally:
            self.keep_drafts()

    async def typing_paused(self) -> None:
        """Return when nothing was typed for a moment."""
        while (left := self._touched_at + _PAUSE - time.monotonic()) > 0:  # noqa: ASYNC110 -- keys move it
            await anyio.sleep(left)

    async def ask_password(self, text: str) -> str | None:
        """Show `text` and ask for the password; return None if the person gives none."""
        return await self.push_screen_wait(LogInAgain(text))

    def action_reconnect(self) -> None:
        """Try to connect at once; after the session has ended, log in again."""
        if self._session is not None:
            self._session.reconnect()

    async def log_out(self) -> None:
        """End the session for good, and show the first screen."""
        if (session := self._session) is None:
            return
        await session.log_out()
        self.workers.cancel_group(self, "session")
        self._session = None
        form = ConnectScreen(
            session.server, session.model.me, notice=_("You are logged out."), has_account=True
        )
        await self.switch_screen(form)

    def remember_session(self) -> None:
        """Keep the session's token, with which the next start logs in."""
        if self._session is not None:
            self._session.remember()

    def keep_drafts(self) -> None:
        """Keep what is typed and not sent, and the favourites. For any thread, at any time."""
        if self._session is None:
            return
        for screen in self._screen_stacks[self._current_mode]:
            if isinstance(screen, ChatScreen):
                screen.keep_draft()  # the model learns a moment later what the field has
        self._session.keep_drafts()

    # -- from the model to the screen -------------------------------------------------------------

    def model_changed(self) -> None:
        """Draw the changes of the model: at once, or with the next frame."""
        if self._flush_due:
            return
        self._flush_due = True
        wait = self._flushed_at + FRAME - time.monotonic()
        if wait <= 0:
            self.call_later(self._draw_changes)
        else:
            self.set_timer(wait, self._draw_changes)

    def _draw_changes(self, *, at_once: bool = False) -> None:
        if not self._flush_due:
            return
        if not self._type_ahead.is_idle and not at_once:
            # What is drawn is under way in the same queues as the effect of a key, for which it
            # would be taken: a key would wait until nobody writes anything.
            if not self._is_drawing_held:
                self._is_drawing_held = True
                self.set_timer(_MOST_HELD, partial(self._draw_changes, at_once=True))
            return
        self._flush_due = self._is_drawing_held = False
        self._flushed_at = time.monotonic()
        screen = next((s for s in self.screen_stack if isinstance(s, ChatScreen)), None)
        if screen is None or self._session is None or not screen.is_mounted:
            return
        model = self._session.model
        changes = model.take_changes()
        if not changes:
            return
        screen.post_message(ModelChanged(changes))
        screen.call_after_refresh(self._painted)
        for news in changes.attention:
            if news.kind == "invite":
                room = one_line(news.conv)
                text = _(
                    "{person} invites you to {room}: /join or /decline {room}",
                    person=one_line(news.sender), room=room,
                )  # fmt: skip
                self.notify(text, markup=False, timeout=10)
        if not self.is_in_front and model.quiet_until is None:
            self._notifier.notify(changes.attention, self.preferences.settings)
        unread, mentioned = model.badges
        self._notifier.show_title(unread, mentioned=mentioned, person=model.me)

    def set_timer(
        self,
        delay: float,
        callback: TimerCallback | None = None,
        *,
        name: str | None = None,
        pause: bool = False,
    ) -> Timer:
        """As Textual's, which itself delays the effect of resizing with it; it always fires."""
        return surely(super().set_timer(delay, callback, name=name, pause=pause))

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` as a task of the app; an unexpected exception ends the app."""
        self._not_begun.add(work)

        async def begin() -> None:
            if work in self._not_begun:  # the app has not ended
                self._not_begun.discard(work)
                await work

        task: WorkType[None] = begin
        self.run_worker(task, name=name, group="requests", exit_on_error=True)

    def report(self, text: str) -> None:
        """Show what has failed."""
        self.notify(sentence(one_line(text)), severity="error", markup=False)

    def inform(self, text: str) -> None:
        """Show a short notice."""
        self.notify(text, markup=False)

    def warn(self, text: str, *, title: str = "", seconds: float) -> None:
        """Show a warning for so many seconds."""
        self.notify(text, title=title, severity="warning", markup=False, timeout=seconds)

    def _painted(self) -> None:
        """Count the next frame from here, so that keys get as much time as painting takes."""
        self._flushed_at = time.monotonic()

    def _write(self, sequence: str) -> None:
        """Send a control sequence that Textual does not support to the terminal."""
        if self._driver is not None and not self.is_headless and not self._batch_count:
            self._driver.write(sequence)

    # -- settings, help and the palette -----------------------------------------------------------

    def choose_theme(self, theme: str) -> None:
        """Change the theme, and keep it."""
        if theme not in self.available_themes:
            self.report(_("Unknown theme: {theme}.", theme=theme))
            return
        self._apply(msgspec.structs.replace(self.preferences.settings, theme=theme))

    def show_members(self, *, on: bool) -> None:
        """List who is in the conversation beside a wide log, or no longer, and keep that."""
        self._apply(msgspec.structs.replace(self.preferences.settings, members=on))

    def _apply(self, settings: Settings) -> None:
        """Apply `settings`, and keep those that are other than before: another app of the same
        person may have chosen the others."""
        before = self.preferences.settings
        self.preferences = dataclasses.replace(self.preferences, settings=settings)
        self.theme = settings.theme
        self.animation_level = "full" if settings.animations else "none"
        for screen in self.screen_stack:
            if isinstance(screen, ChatScreen):
                screen.apply_settings(settings)
        if settings.language != before.language:
            self._use_language(settings.language)
        fixed = self.preferences.fixed  # what the file says holds only as long as it says so
        for name in Settings.__struct_fields__:
            if name not in fixed and getattr(settings, name) != getattr(before, name):
                self._unsaved[name] = getattr(settings, name)
        kept = self.state.load_settings(Settings)
        if self.state.save_settings(msgspec.structs.replace(kept, **self._unsaved)):
            self._unsaved.clear()

    def _use_language(self, wanted: str) -> None:
        """Show everything in another language; what is wrong with its catalogue is a warning."""
        if damage := language.use(wanted, self._own_translations):
            self.warn(damage, title=_("Configuration"), seconds=8)
        for screen in self.screen_stack:
            if isinstance(screen, ChatScreen):
                screen.use_language()

    def _rebind(self, action: str, key: str) -> Preferences:
        self.preferences = self.preferences.with_key(action, key)
        self._use_keys()
        return self.preferences

    def _use_keys(self) -> None:
        self.set_keymap(self.keymap.overrides)
        teach_escape(on=self.keymap.is_modal)
        for screen in self.screen_stack:
            if isinstance(screen, ChatScreen):
                screen.use_keys()

    def open_settings(self) -> None:
        """Show the settings."""
        if self._session is None:
            return
        controller = self._session.controller
        view = controller.model.shown
        self.push_screen(
            SettingsScreen(
                self.preferences, sorted(self.available_themes), self._languages(), view.conv,
                view.level,
                apply=self._apply, rebind=self._rebind,
                set_level=lambda level: controller.set_level(view.conv, level),
            )
        )  # fmt: skip

    @property
    def _own_translations(self) -> Path:
        return self.preferences.path.parent / "locale"

    def _languages(self) -> dict[str, str]:
        """Return the languages that can be chosen, each with what it calls itself; first that of
        the environment, which has no name."""
        own = self._own_translations
        names = {one: language.own_name(one, own) for one in language.languages(own)}
        return {"": "", **names}

    def open_help(self, command: str = "") -> None:
        """Show help for what has the focus."""
        focus = "input"
        if isinstance(self.focused, ChatLog):
            focus = "message"
        elif isinstance(self.focused, RowList):
            focus = "list"
        self.push_screen(HelpScreen(self.keymap, focus, command))

    def action_help(self) -> None:
        """Show help for what has the focus."""
        if not isinstance(self.screen, ModalScreen):
            self.open_help()

    def action_palette(self) -> None:
        """Show all commands by name."""
        if isinstance(self.screen, ModalScreen):
            return
        names = sorted(
            self.available_themes, key=lambda t: (not t.startswith(themes.OWN_PREFIX), t)
        )
        palette = CommandPalette(self.keymap, names, self.theme, self._preview)
        self.start(self._choose(palette), "palette")

    def _preview(self, theme: str) -> None:
        self.theme = theme

    async def _choose(self, palette: CommandPalette) -> None:
        chosen = await self.push_screen_wait(palette)
        if chosen is None:
            return
        kind, _colon, name = chosen.partition(":")
        screen = self.screen
        if kind == "theme":
            self.choose_theme(name)
        elif kind == "action":
            action = keys.BY_NAME[name]
            namespace: DOMNode = self if action.scope == "app" else screen
            if action.scope == "input" and isinstance(screen, ChatScreen):
                namespace = screen.composer.input
            await self.run_action(action.run, namespace)
        elif isinstance(screen, ChatScreen):
            command = commands.find(name)
            assert command is not None
            if command.arguments:
                screen.composer.input.begin_command(name)
                screen.composer.input.focus()
            else:
                screen.actions.carry_out(f"/{name}")

    def action_help_quit(self) -> None:
        """Ctrl+C, where nothing is selected: show what it does, and what quits."""
        key = self.keymap.shown("quit")
        text = _("Ctrl+C copies what is selected. {key} quits.", key=key)
        self.notify(text, markup=False, timeout=3)
