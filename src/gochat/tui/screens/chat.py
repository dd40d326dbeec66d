"""The chat: conversations and people at the left, the log, what one writes, and a status line."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.signal import Signal
from textual.widgets import Input

from gochat.client import ConnectionState
from gochat.tui import keys
from gochat.tui.chat_log import ChatLog
from gochat.tui.chat_log import events as log_events
from gochat.tui.controller import Controller
from gochat.tui.log_feed import LogFeed
from gochat.tui.model import Changes
from gochat.tui.presentation import item, local_zone, typing_line
from gochat.tui.widgets.composer import Composer
from gochat.tui.widgets.conversation_header import ConversationHeader
from gochat.tui.widgets.message_input import MessageInput
from gochat.tui.widgets.row_list import RowList
from gochat.tui.widgets.side_pane import SidePane
from gochat.tui.widgets.status_bar import StatusBar

#: Below this many columns the side pane is folded away, and opens over the log.
NARROW: Final = 80
#: The least time between two notices that this person is typing, in seconds.
_TYPING_INTERVAL: Final = 3.0


class ModelChanged(Message):
    """The model has changed; sent to the screen at most some thirty times a second."""

    def __init__(self, changes: Changes) -> None:
        super().__init__()
        self.changes = changes


class ChatScreen(Screen[None]):
    """Shows a model and hands what the person does to a controller."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("chat")]
    # Textual declares these two as attributes of the instance, which a ClassVar can't override.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-normal"), (120, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (22, "-tall")]  # noqa: RUF012
    AUTO_FOCUS = "#input"

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.controller = controller
        self.model = controller.model
        self._is_folded: bool | None = None  # None: by the width
        self._shown = ""
        self._typed_at = 0.0
        #: Tells that changes of the model have been drawn.
        self.changes_drawn: Signal[Changes] = Signal(self, "changes_drawn")

    def compose(self) -> ComposeResult:
        """Lay the parts out."""
        with Horizontal(id="main"):
            yield SidePane(self.model, id="side")
            with Vertical(id="centre"):
                yield ConversationHeader(self.model, id="header")
                yield ChatLog(id="log")
                yield Composer(id="composer")
        yield StatusBar(self.model, id="status")

    def on_mount(self) -> None:
        """Show what there is, and look at the time now and then."""
        zone = local_zone()
        self._feed = LogFeed(self.log_view, lambda entry: item(entry, self.model.me, zone))
        self.composer.text_limit = self.controller.text_limit
        self.set_interval(1.0, self._tick)
        self._set_hints()
        if self.model.is_synchronised:
            self._show_conversation()
        self._refresh_lists()

    # -- its parts ------------------------------------------------------------------------------

    @property
    def log_view(self) -> ChatLog:
        """The log."""
        return self.query_one("#log", ChatLog)

    @property
    def composer(self) -> Composer:
        """What one writes in."""
        return self.query_one("#composer", Composer)

    @property
    def side(self) -> SidePane:
        """The side pane."""
        return self.query_one("#side", SidePane)

    @property
    def header(self) -> ConversationHeader:
        """The line above the log."""
        return self.query_one("#header", ConversationHeader)

    # -- the model has changed ------------------------------------------------------------------

    @on(ModelChanged)
    def _apply(self, message: ModelChanged) -> None:
        changes = message.changes
        if not self.model.current:
            return
        if self._shown != self.model.current:
            self._show_conversation()
        elif log := changes.logs.get(self._shown):
            view = self.model.shown
            self._feed.apply(view.timeline, log)
            self._place_divider()
        if changes.conversations or changes.people:
            self._refresh_lists()
        if changes.typing or changes.conversations:
            self._show_typists()
        if changes.connection or changes.outbox:
            self.query_one(StatusBar).refresh()
            self._set_hints()
        self.header.refresh()
        self._look()
        self.changes_drawn.publish(changes)

    def _refresh_lists(self) -> None:
        if not self.model.current:
            return
        self.side.refresh_conversations()
        self.side.refresh_people()

    def _show_conversation(self) -> None:
        """Show another conversation than until now."""
        composer = self.composer
        if before := self.model.conversations.get(self._shown):
            before.draft = composer.draft
        view = self.model.shown
        self._shown = view.conv
        self._feed.show(view.timeline)
        view.timeline.take_changes()
        composer.change_conversation(view.conv, view.draft)
        self._place_divider()
        self._show_typists()
        self._refresh_lists()
        self.header.refresh()
        self.controller.load_first()
        self._look()

    def _place_divider(self) -> None:
        view = self.model.shown
        key = None if view.divider is None else view.timeline.key_at(view.divider)
        self.log_view.set_unread_after(key)

    def _show_typists(self) -> None:
        self.composer.show_typists(typing_line(self.model.typists(self._shown)))

    def _tick(self) -> None:
        self.model.lapse_typing()
        self._show_typists()
        if self.model.connection.state is not ConnectionState.CONNECTED:
            self.query_one(StatusBar).refresh()

    def _look(self) -> None:
        """What is on the screen of a person who looks at it is read."""
        if self.app.app_focus and self.is_current and self.log_view.at_bottom and self._shown:
            self.controller.mark_read()

    @on(events.AppFocus)
    @on(events.ScreenResume)
    def _looked_at(self) -> None:
        self._look()

    # -- the log --------------------------------------------------------------------------------

    @on(log_events.TopReached)
    def _older(self) -> None:
        self.controller.load_older()

    @on(log_events.BottomReached)
    def _newer(self) -> None:
        self.controller.load_newer()
        self._look()

    @on(log_events.SelectionChanged)
    def _selected(self, event: log_events.SelectionChanged) -> None:
        if event.key is None and event.left:
            self.composer.input.focus()
        self._set_hints()

    @on(log_events.SenderClicked)
    def _sender(self, event: log_events.SenderClicked) -> None:
        if event.name != self.model.me:
            self.open_conversation(f"@{event.name}")

    @on(log_events.LinkActivated)
    def _link(self, event: log_events.LinkActivated) -> None:
        self.app.open_url(event.url)

    @on(log_events.Action)
    def _act(self, event: log_events.Action) -> None:
        entry = self.model.entry(event.key)
        if entry is None:
            return
        match event.action:
            case "retry":
                self.controller.retry(event.key)
            case "copy":
                self.app.copy_to_clipboard(entry.text)
                self.notify("Copied", timeout=2)
            case "reply" if entry.seq is not None:
                self.log_view.clear_selection()
                self.composer.reply(entry.seq, entry.sender, entry.text)
            case _:
                pass

    # -- writing --------------------------------------------------------------------------------

    @on(Composer.Sent)
    def _send(self, event: Composer.Sent) -> None:
        if not self.controller.send(event.conv, event.text, reply_to=event.reply_to):
            self.composer.input.write(event.text)
            return
        self._typed_at = 0.0
        if self.model.shown.timeline.newer:
            self.controller.go_to_now()
        self.log_view.scroll_to_bottom()

    @on(Composer.Edited)
    def _edit(self, event: Composer.Edited) -> None:
        self.controller.do(self.controller.client.edit(event.conv, event.seq, event.text))

    @on(MessageInput.Typed)
    def _typing(self) -> None:
        now = self.app.time()  # type: ignore[attr-defined]  # GochatApp's
        composer = self.composer
        self._keep_draft()
        if not composer.input.text or composer.input.text.startswith("/"):
            return
        if now - self._typed_at >= _TYPING_INTERVAL and composer.mode is None:
            self._typed_at = now
            self.controller.typing(self._shown)

    @on(MessageInput.SelectionWanted)
    def _select(self) -> None:
        self.log_view.focus()
        self.log_view.select_previous()

    @on(MessageInput.Scroll)
    def _scroll(self, event: MessageInput.Scroll) -> None:
        match event.where:
            case "up":
                self.log_view.action_page(-1)
            case "down":
                self.log_view.action_page(1)
            case "oldest":
                self.log_view.action_scroll_home()
            case _:
                self.go_to_now()

    def go_to_now(self) -> None:
        """Return to the newest message."""
        self.controller.go_to_now()
        self.log_view.scroll_to_bottom()

    # -- moving ---------------------------------------------------------------------------------

    @on(SidePane.ConversationChosen)
    def _chosen(self, event: SidePane.ConversationChosen) -> None:
        self.open_conversation(event.conv)

    def open_conversation(self, conv: str) -> None:
        """Show a conversation, ready to write in it."""
        if self.has_class("-narrow"):
            self._fold(folded=True)
        self._keep_draft()
        self.controller.open(conv)
        self.composer.input.focus()

    def _keep_draft(self) -> None:
        if view := self.model.conversations.get(self._shown):
            view.draft = self.composer.draft

    def action_conversation(self, number: int) -> None:
        """Show the n-th conversation of the list."""
        order = self.model.ordered()
        if number <= len(order):
            self.open_conversation(order[number - 1].conv)

    def action_next_unread(self) -> None:
        """Show the next conversation with something unread."""
        if conv := self.model.next_unread():
            self.open_conversation(conv)
        else:
            self.notify("Nothing unread", timeout=2)

    def action_previous(self) -> None:
        """Show the conversation that was shown before."""
        if self.model.previous in self.model.conversations:
            self.open_conversation(self.model.previous)

    def action_back(self) -> None:
        """Close what is open, or go back to the input."""
        if self.has_class("-narrow") and not self.side.has_class("-folded"):
            self._fold(folded=True)
        if self.focused is self.composer.input:
            if not self.composer.leave_mode():
                self.go_to_now()
            return
        self.log_view.clear_selection()
        self.composer.input.focus()

    # -- the side pane --------------------------------------------------------------------------

    @on(ConversationHeader.PaneWanted)
    def action_side_pane(self) -> None:
        """Go to the side pane; fold it away from there."""
        lists = {self.side.conversations, self.side.people, self.side.query_one(Input)}
        if self.side.has_class("-folded"):
            self._fold(folded=False)
            self.side.conversations.focus()
        elif self.focused in lists:
            self._fold(folded=True)
            self.composer.input.focus()
        else:
            self.side.conversations.focus()

    def on_resize(self, event: events.Resize) -> None:
        """Fold or unfold with the width, until the person has said which they want."""
        narrow = event.size.width < NARROW
        if narrow:
            self._is_folded = None
        self._fold(folded=narrow if self._is_folded is None else self._is_folded, by_hand=False)

    def _fold(self, *, folded: bool, by_hand: bool = True) -> None:
        if by_hand and not self.has_class("-narrow"):
            self._is_folded = folded
        self.side.set_class(folded, "-folded")
        self.header.is_pane_folded = folded
        self.header.refresh()

    # -- the keys that matter now -----------------------------------------------------------------

    def on_descendant_focus(self) -> None:
        """Other keys matter."""
        self._set_hints()

    def _set_hints(self) -> None:
        shown = self.app.keymap.shown  # type: ignore[attr-defined]  # GochatApp's
        focused = self.focused
        hints: list[tuple[str, str]]
        if isinstance(focused, ChatLog) and focused.selected_key is not None:
            entry = self.model.entry(focused.selected_key)
            hints = [("r", "reply"), ("+", "react"), ("y", "copy")]
            if entry is not None and entry.own and not entry.deleted:
                hints += [("e", "edit"), ("d", "delete")]
            if entry is not None and entry.state == "failed":
                hints = [("R", "send again"), ("d", "discard"), ("y", "copy")]
            hints.append(("Esc", "back"))
        elif isinstance(focused, RowList):
            hints = [("Enter", "open"), ("Tab", "next list"), ("Esc", "back")]
        else:
            hints = [
                (shown("switcher"), "go to"),
                (shown("palette"), "commands"),
                (shown("search"), "search"),
                (shown("help"), "help"),
            ]
        self.query_one(StatusBar).hints = tuple(hints)
