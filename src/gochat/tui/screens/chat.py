"""The chat: conversations and people at the left, the log, the composer, and a status line.

Long because it holds the parts together: a handler of a few lines for each of their messages. What
takes more than that is in :mod:`~gochat.tui.actions.chat` and :mod:`~gochat.tui.actions.composer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.signal import Signal
from textual.widgets import Input, TextArea

from gochat.client import ConnectionState
from gochat.protocol.messages import LOBBY
from gochat.protocol.text import DELETED
from gochat.tui.actions.chat import ChatActions
from gochat.tui.actions.composer import ComposerActions
from gochat.tui.actions.controller import Controller
from gochat.tui.actions.view import ChatApp
from gochat.tui.chat_log import ChatLog
from gochat.tui.chat_log import events as log_events
from gochat.tui.input import keys
from gochat.tui.input.vim.editor import WISHES, Wish
from gochat.tui.input.vim.log_keys import LogKeys
from gochat.tui.language import N_, _, ngettext
from gochat.tui.model.highlights import Highlights
from gochat.tui.model.presentation import count, ended, typing_line
from gochat.tui.model.views import Changes
from gochat.tui.model.waits import SHOWN_AFTER
from gochat.tui.profile.preferences import Settings
from gochat.tui.widgets import hints
from gochat.tui.widgets.completer import CompletionPopup
from gochat.tui.widgets.composer import Composer
from gochat.tui.widgets.conversation_header import ConversationHeader
from gochat.tui.widgets.greeting import Greeting
from gochat.tui.widgets.log_feed import LogFeed
from gochat.tui.widgets.log_items import log_item
from gochat.tui.widgets.member_pane import MemberPane
from gochat.tui.widgets.message_input import MessageInput, is_text
from gochat.tui.widgets.past_bar import PastBar
from gochat.tui.widgets.row_list import RowList
from gochat.tui.widgets.side_pane import SidePane
from gochat.tui.widgets.status_bar import StatusBar

#: Below this many columns the side pane is folded away, and opens over the log.
NARROW: Final = 80
#: From this many columns on, who is in the conversation stands beside the log.
VERY_WIDE: Final = 150
_CONNECTED: Final = ConnectionState.CONNECTED

#: What the modes of Vim's keys are called in the last line.
_MODES: Final[dict[str, str]] = {
    "insert": N_("INSERT"),
    "normal": N_("NORMAL"),
    "visual": N_("VISUAL"),
    "visual line": N_("VISUAL LINE"),
}


class ModelChanged(Message):
    """The model has changed; sent to the screen at most some thirty times a second."""

    def __init__(self, changes: Changes) -> None:
        super().__init__()
        self.changes = changes


class ChatScreen(Screen[None]):
    """Shows a model and hands what the person does to a controller."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("chat")]
    AUTO_FOCUS = "#input"

    def __init__(self, controller: Controller, begun: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._begun = begun  # called once it can be written in
        self.controller = controller
        self.model = controller.model
        self._is_folded: bool | None = None  # None: by the width
        self._shows_members = True
        self._shown = ""
        self._log_keys = LogKeys()
        self._was_quiet = False
        self._has_begun = False
        self._bar = PastBar(id="past")
        self.actions = ChatActions(self, controller, self._bar)
        self.side = SidePane(self.model, id="side")
        self.header = ConversationHeader(self.model, id="header")
        self.log_view = ChatLog(id="log")
        self.composer = Composer(id="composer")
        self.members = MemberPane(self.model, id="members")
        self._greeting = Greeting(self.model, id="greeting")
        self._popup = CompletionPopup(id="completions")
        self._status = StatusBar(self.model, id="status")
        self._composer_actions = ComposerActions(self, self.actions, controller, self._popup)
        self._feed = LogFeed(
            self.log_view,
            lambda entry: log_item(entry, self.model.me, self.model.highlights, self.model.blocked),
        )
        #: Tells that changes of the model have been drawn.
        self.changes_drawn: Signal[Changes] = Signal(self, "changes_drawn")

    def compose(self) -> ComposeResult:
        """Lay the parts out."""
        with Horizontal(id="main"):
            yield self.side
            with Vertical(id="centre"):
                yield self.header
                yield self.log_view
                yield self._bar
                yield self._greeting
                yield self.composer
                yield self._popup
            yield self.members
        yield self._status

    def on_mount(self) -> None:
        """Look at the time now and then; show what there is once the parts have their sizes."""
        self.composer.text_limit = self.controller.text_limit
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self._begin)

    def apply_settings(self, settings: Settings) -> None:
        """Look as the person has chosen."""
        self.model.presence_lines = settings.presence
        self.model.highlights = Highlights(settings.highlight)
        self.model.quiet.set_hours(settings.quiet)
        self.log_view.set_clock(settings.clock)
        self._shows_members = settings.members
        self._place_members(self.size.width)

    def use_keys(self) -> None:
        """Have the keys that the person has chosen."""
        self._greeting.keymap = self.chat_app.keymap
        self.composer.input.use_vim(on=self.chat_app.keymap.is_modal)
        self._set_hints()

    def use_language(self) -> None:
        """Show everything in the language that is in use now; nothing moves."""
        self._feed.renew(self.model.shown.timeline)
        self.side.use_language()
        self.members.use_language()
        self._composer_actions.use_language()
        self._show_typists()
        self.composer.use_language()
        self.actions.jumps.look()
        for part in (self.header, self._bar, self._status):
            part.refresh()
        self._greeting.refresh(layout=True)
        self._set_hints()

    def _begin(self) -> None:
        self.use_keys()
        self._greeting.server = self.chat_app.server_address
        self._has_begun = True
        self.actions.activity.ask_anew()
        self.actions.keeping.load_saved()
        self._set_hints()
        self._show_current()
        self._begun()

    # -- its parts --------------------------------------------------------------------------------

    @property
    def chat_app(self) -> ChatApp:
        """The app, as far as the chat needs it."""
        return self.app  # type: ignore[return-value]  # only GochatApp shows this screen

    # -- the model has changed --------------------------------------------------------------------

    @on(ModelChanged)
    def _apply(self, message: ModelChanged) -> None:
        changes = message.changes
        if not self._has_begun:
            return
        if self._shown != self.model.current:
            self._show_current()
        elif log := changes.logs.get(self._shown):
            view = self.model.shown
            self._feed.apply(view.timeline, log)
            self._place_divider()
            self._greet()
        if changes.stale:
            self.controller.ask_anew()
        if changes.activity_stale:
            self.actions.activity.ask_anew()
        if changes.pins_stale:
            self.actions.keeping.load()
            self.actions.keeping.load_saved()
        if changes.conversations:
            self.actions.keeping.pins_changed()
        self.actions.jumps.reach()
        self.actions.jumps.look()
        self.look()  # before the list is drawn: what is read at once needs no badge
        if changes.people:
            self.side.refresh_people()
        if changes.conversations or changes.people:
            self.side.refresh_conversations()
        if changes.conversations or changes.people:
            self._refresh_members()
        if changes.typing or changes.conversations:
            self._show_typists()
        if changes.connection or changes.outbox:
            self._status.refresh()
            self._set_hints()
        if changes.waits:
            self._status.refresh()
            self.set_timer(SHOWN_AFTER, self._status.refresh)
        self.header.refresh_if_changed()
        self.actions.activity.refresh()
        self.actions.look_at_dialogs()
        self.actions.keeping.refresh()
        self.changes_drawn.publish(changes)

    def _refresh_members(self) -> None:
        """Show who is in the shown conversation, where there is room for that."""
        view = self.model.shown
        names: Sequence[str] = () if view.is_room else (view.name,)
        if self.members.display:
            self.controller.ask_members()
            self.members.refresh_members()
            names = self.members.rows.keys_near
        self.controller.ask_statuses(names)

    def _refresh_lists(self) -> None:
        self.side.refresh_conversations()
        self.side.refresh_people()

    def _show_current(self) -> None:
        """Show the current conversation, if it is another one than until now.

        At once, not with the next frame: what is typed next is meant for it.
        """
        if self._shown == self.model.current or not self._has_begun:
            return
        composer = self.composer
        if before := self.model.conversations.get(self._shown):
            before.draft, before.edit = composer.draft, composer.edited
        view = self.model.shown
        self._shown = view.conv
        self._feed.show(view.timeline)
        view.timeline.take_changes()
        composer.change_conversation(view.conv, view.draft, view.edit)
        self._place_divider()
        self._show_typists()
        self._refresh_lists()
        self._refresh_members()
        self.header.refresh()
        self.controller.load_first()
        self.actions.keeping.load()
        self._greet()
        self.actions.jumps.change_conversation()
        self.look()

    def come_back(self) -> None:
        """The person looks here again: show where what is new begins, and mark it as read."""
        self.model.come_back()
        self._place_divider()
        self.look()

    def _place_divider(self) -> None:
        view = self.model.shown
        key = None if view.divider is None else view.timeline.key_at(view.divider)
        self.log_view.set_unread_after(key)

    def _greet(self) -> None:
        """Show the greeting where there is nothing else to show, and nothing to wait for."""
        view = self.model.shown
        empty = not len(view.timeline) and (not view.timeline.older or not view.head)
        if self._greeting.display != empty:
            self._greeting.display = empty
            self.log_view.display = not empty
        if empty:
            self._greeting.refresh(layout=True)

    def _show_typists(self) -> None:
        self.composer.show_typists(typing_line(self.model.typists(self._shown)))
        self.composer.show_closed(self.model.shown.closed)

    def _tick(self) -> None:
        self.model.lapse_typing()
        if self.model.lapse_mutes():
            self._refresh_lists()
        if self.model.lapse_statuses():
            self._refresh_lists()
            self._refresh_members()
            self.header.refresh_if_changed()
        self._show_typists()
        is_quiet = self.model.quiet_until is not None
        if is_quiet != self._was_quiet or self.model.connection.state is not _CONNECTED:
            self._was_quiet = is_quiet
            self._status.refresh()

    @on(events.ScreenResume)
    def look(self) -> None:
        """Mark as read what is on the screen of a person who looks at it."""
        is_seen = self.chat_app.is_in_front and self.is_current and self.log_view.at_bottom
        if is_seen and self._has_begun:
            self.controller.mark_read()

    # -- the log ----------------------------------------------------------------------------------

    @on(log_events.TopReached)
    def _older(self) -> None:
        self.controller.load_older()

    @on(log_events.BottomReached)
    def _newer(self) -> None:
        self.controller.load_newer()
        self.actions.jumps.look()
        self.look()

    @on(log_events.SelectionChanged)
    def _selected(self, event: log_events.SelectionChanged) -> None:
        if event.key is None and event.left:
            self.composer.input.focus()
        self._set_hints()

    @on(log_events.SenderClicked)
    def _sender(self, event: log_events.SenderClicked) -> None:
        if event.name not in (self.model.me, DELETED):
            self.open_conversation(f"@{event.name}")

    @on(log_events.LinkActivated)
    def _link(self, event: log_events.LinkActivated) -> None:
        self.actions.open_link(event.url)

    @on(log_events.ReactionClicked)
    def _reaction(self, event: log_events.ReactionClicked) -> None:
        entry = self.model.entry(event.key)
        if entry is not None and entry.seq is not None:
            self.controller.react(self._shown, entry.seq, event.emoji)

    @on(log_events.Action)
    def _act(self, event: log_events.Action) -> None:
        if (entry := self.model.entry(event.key)) is not None:
            self.actions.act(entry, event.action)

    def go_to(self, conv: str, seq: int) -> None:
        """Show a message in its context."""
        self.actions.jumps.to_message(conv, seq)
        self._show_current()

    # -- writing ----------------------------------------------------------------------------------

    @on(Composer.Sent)
    def _send(self, event: Composer.Sent) -> None:
        self._composer_actions.send(event.conv, event.text, event.reply_to)

    @on(Composer.Edited)
    def _edit(self, event: Composer.Edited) -> None:
        self._composer_actions.edit(event.conv, event.seq, event.text)

    @on(MessageInput.Typed)
    def _typed(self, event: MessageInput.Typed) -> None:
        event.stop()
        self._composer_actions.typed()

    @on(MessageInput.Complete)
    def _complete(self, event: MessageInput.Complete) -> None:
        self._composer_actions.complete(event.step)

    @on(RowList.Chosen, "#completions")
    def _completion_clicked(self, event: RowList.Chosen) -> None:
        event.stop()
        self._composer_actions.completer.take(int(event.key))

    @on(MessageInput.LargePaste)
    def _large_paste(self, event: MessageInput.LargePaste) -> None:
        self._composer_actions.paste(event.text)

    @on(MessageInput.TooLong)
    def _too_long(self, event: MessageInput.TooLong) -> None:
        self._composer_actions.divide(event.text)

    def on_key(self, event: events.Key) -> None:
        """Write what is typed, wherever the focus is, unless it is a command there.

        A letter is a command of the selected message only while nothing is being written.
        """
        field, is_in_log = self.composer.input, self.focused is self.log_view
        if isinstance(self.focused, (Input, TextArea)):
            return
        if field.is_modal and is_in_log:
            self._press_in_log(event)
            return
        if not is_text(event):
            return
        if event.key in self.active_bindings and not (is_in_log and field.text):
            return
        event.stop()
        event.prevent_default()
        self._write(
            field.press_vim if field.is_commanding else field.insert_text, event.character or ""
        )

    def _press_in_log(self, event: events.Key) -> None:
        """Handle a key in the log, which with Vim's keys is in normal mode."""
        key = event.character or "" if is_text(event) else event.key
        if not self._log_keys.takes(key):
            self._log_keys.forget()
            if is_text(event) and event.key not in self.active_bindings:
                event.stop()
            return
        event.stop()
        event.prevent_default()
        command = self._log_keys.press(key)
        self._show_mode()
        if command is None:
            return
        match command.key:
            case "j" | "k":
                step = self.log_view.select_next
                if command.key == "k":
                    step = self.log_view.select_previous
                for _ in range(command.times):
                    step()
            case "i" | "I" | "a" | "A":
                field = self.composer.input
                self._write(field.press_vim if field.is_commanding else lambda _: None, command.key)
            case _:
                if (wish := WISHES.get(command.key)) is not None:
                    self._fulfil(wish, command.count)

    @on(MessageInput.Wanted)
    def _wanted(self, event: MessageInput.Wanted) -> None:
        self._fulfil(event.wish, event.count)

    def _fulfil(self, wish: Wish, count: int | None) -> None:
        """Do what a key of Vim's asks for."""
        match wish:
            case "up" | "down":
                field = self.composer.input
                (field.go_up if wish == "up" else field.go_down)()
            case "oldest":
                self.actions.go_to_first()
            case "now":
                self.go_to_now()
            case "half_up" | "half_down":
                self.log_view.scroll_half(-1 if wish == "half_up" else 1)
            case "search":
                self.action_search()
            case "palette":
                self.call_later(self.run_action, "app.palette")
            case "next_hit" | "previous_hit":
                self.action_hit(1 if wish == "next_hit" else -1)
            case "conversation":
                self.action_conversation(count or 1)
            case _:
                self.action_step(1 if wish == "next_conversation" else -1)

    @on(MessageInput.ModeChanged)
    def _show_mode(self) -> None:
        """Show in the last line what letters do now."""
        field, mode, pending = self.composer.input, "", ""
        if field.mode is not None:
            mode, pending = field.mode, field.pending
            if self.focused is self.log_view:
                mode, pending = "normal", self._log_keys.pending
        shown = _(_MODES[mode]) if mode else ""
        self._status.mode = f"{shown} {pending}".strip()

    def on_paste(self, event: events.Paste) -> None:
        """Write what is pasted, wherever the focus is."""
        if not isinstance(self.focused, (Input, TextArea)):
            event.stop()
            self._write(self.composer.input.paste, event.text)

    def _write(self, write: Callable[[str], None], text: str) -> None:
        self.log_view.clear_selection()
        self.composer.input.focus()
        write(text)

    @on(MessageInput.EditorWanted)
    def _editor(self) -> None:
        self._composer_actions.open_editor()

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
                self.actions.go_to_first()
            case _:
                self.go_to_now()

    @on(PastBar.BackWanted)
    def go_to_now(self) -> None:
        """Return to the newest message."""
        self.actions.jumps.to_now()

    # -- moving -----------------------------------------------------------------------------------

    @on(SidePane.ConversationChosen)
    def _chosen(self, event: SidePane.ConversationChosen) -> None:
        view = self.model.find(event.conv)
        if event.conv in self.model.invitations and not (view and view.joined):
            self.actions.answer_invitation(event.conv)
        else:
            self.open_conversation(event.conv)

    def open_conversation(self, conv: str) -> None:
        """Show a conversation, ready to write in it."""
        if self.has_class("-narrow"):
            self._fold(folded=True)
        self.keep_draft()
        before = self.model.find(conv)
        unread = before.unread if before is not None else 0
        self.controller.open(conv)
        self._show_current()
        self.composer.input.focus()
        if unread > self.log_view.size.height:
            self._say_how_many(unread)

    def _say_how_many(self, unread: int) -> None:
        """Say how many messages are new, where not all of them are in sight."""
        text = ngettext("{n} new message", "{n} new messages", unread, n=count(unread))
        if key := self.chat_app.keymap.shown("first_unread"):
            how = _("{key} shows the first.", key=key)
            text = f"{ended(text)} {how}"
        self.notify(text, markup=False, timeout=5)

    def keep_draft(self) -> None:
        """Copy the text in the field to the model."""
        if view := self.model.conversations.get(self._shown):
            view.draft, view.edit = self.composer.draft, self.composer.edited

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
            self.notify(_("Nothing unread"), markup=False, timeout=2)

    def action_first_unread(self) -> None:
        """Show where the new messages of the conversation begin."""
        self.actions.jumps.to_unread()

    def action_previous(self) -> None:
        """Show the conversation that was shown before."""
        if self.model.previous in self.model.conversations:
            self.open_conversation(self.model.previous)

    def action_back(self) -> None:
        """Close what is open, or go back to the input."""
        if self._composer_actions.completer.close():
            return
        if self.has_class("-narrow") and not self.side.has_class("-folded"):
            self._fold(folded=True)
        if self.focused is self.composer.input:
            if not self.composer.leave_mode():
                self.go_to_now()
            return
        self.log_view.clear_selection()
        self.composer.input.focus()

    def action_switcher(self) -> None:
        """Open the switcher."""
        self.actions.switch()

    def action_step(self, step: int) -> None:
        """Show the conversation below or above, as they are numbered; round at the ends."""
        order = [view.conv for view in self.model.ordered()]
        if self._shown in order:
            self.open_conversation(order[(order.index(self._shown) + step) % len(order)])

    def action_hit(self, step: int) -> None:
        """Show the next message that the last search found, or the one before."""
        self.actions.next_hit(step)

    def action_search(self) -> None:
        """Open the search."""
        self.actions.open_panel("search")

    @on(SidePane.ActivityWanted)
    def action_activity(self) -> None:
        """Show what concerns the person."""
        self.actions.open_panel("activity")

    def action_pins(self) -> None:
        """Show what is pinned here."""
        self.actions.open_panel("pins")

    def action_saved(self) -> None:
        """Show what the person has saved."""
        self.actions.open_panel("saved")

    def action_members(self) -> None:
        """Show who is in this room."""
        self.actions.open_panel("people" if self._shown == LOBBY else "members")

    @on(SidePane.RoomsWanted)
    def action_rooms(self) -> None:
        """Show all rooms."""
        self.actions.open_panel("rooms")

    def action_status(self) -> None:
        """Ask for the person's status."""
        self.actions.choose_status()

    def action_settings(self) -> None:
        """Open the settings."""
        self.actions.open_panel("settings")

    @on(ConversationHeader.DetailsWanted)
    def _details(self) -> None:
        self.action_members()

    # -- the side pane ----------------------------------------------------------------------------

    @on(ConversationHeader.PaneWanted)
    def action_side_pane(self) -> None:
        """Go to the side pane; fold it away from there."""
        lists = {self.side.conversations, self.side.people, self.side.filter}
        if self.side.has_class("-folded"):
            self._fold(folded=False)
            self.side.conversations.focus()
        elif self.focused in lists:
            self._fold(folded=True)
            self.composer.input.focus()
        else:
            self.side.conversations.focus()

    def on_resize(self, event: events.Resize) -> None:
        """Fold or unfold with the width, until the person has chosen."""
        narrow = event.size.width < NARROW
        if narrow:
            self._is_folded = None
        self._fold(folded=narrow if self._is_folded is None else self._is_folded, by_hand=False)
        self._place_members(event.size.width)

    def _place_members(self, width: int) -> None:
        self.members.display = self._shows_members and width >= VERY_WIDE
        if self._has_begun:
            self._refresh_members()

    def action_member_pane(self) -> None:
        """Show who is in the conversation beside the log, or no longer."""
        if self.size.width < VERY_WIDE:
            self.action_members()
            return
        if self.focused is self.members.rows:
            self.composer.input.focus()
        self.chat_app.show_members(on=not self._shows_members)

    @on(MemberPane.Scrolled)
    def _members_scrolled(self) -> None:
        self.controller.ask_statuses(self.members.rows.keys_near)

    @on(MemberPane.PersonChosen)
    def _member_chosen(self, event: MemberPane.PersonChosen) -> None:
        self.open_conversation(f"@{event.name}")

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
        self._show_mode()
        focused, keymap = self.focused, self.chat_app.keymap
        if isinstance(focused, ChatLog) and focused.selected_key is not None:
            shown = hints.for_message(keymap, self.model.entry(focused.selected_key))
        elif isinstance(focused, RowList):
            shown = hints.for_list()
        else:
            shown = hints.for_input(keymap)
        match self.model.connection.state:
            case ConnectionState.RECONNECTING | ConnectionState.OFFLINE as state:
                ended = state is ConnectionState.OFFLINE
                shown = (*hints.for_cut(keymap, ended=ended), *shown)
            case _:
                pass
        self._status.hints = shown
