"""The field that a message is written in."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import TextArea
from textual.widgets.text_area import EditResult, Location, Selection

from gochat.tui.input import keys
from gochat.tui.input.emoji import with_emoji
from gochat.tui.input.typable import typable
from gochat.tui.text.wrap import snap
from gochat.tui.widgets.vim_field import VimField

#: A paste with more lines than this is asked about before it is inserted.
MANY_LINES: Final = 20
#: What was sent, kept for Up and Down, in each conversation.
_HISTORY: Final = 200
#: How xterm says Shift+Enter and Alt+Enter when it reports modified keys its own way.
_XTERM_ENTER: Final = frozenset({"shift+\r", "alt+\r", "alt+shift+\r"})
_COMMANDS: Final = ("alt+", "ctrl+", "super+")


def is_text(event: events.Key) -> bool:
    """Return whether a key is text. Terminals send the letter along with Alt, too."""
    return event.is_printable and not event.key.startswith(_COMMANDS)


class MessageInput(VimField):
    """Several lines; Enter sends. Keeps a draft and what was sent for each conversation."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("input")]

    class Submitted(Message):
        """The person wants to send `text`."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Typed(Message):
        """The text or the cursor is another."""

    class LargePaste(Message):
        """The person pasted many lines, which are not inserted yet."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class TooLong(Message):
        """The person wants to send more than one message can hold."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class SelectionWanted(Message):
        """Up in the empty input: the person wants to select a message."""

    class Scroll(Message):
        """The person scrolls the log while writing: ``up``, ``down``, ``oldest`` or ``now``."""

        def __init__(self, where: str) -> None:
            super().__init__()
            self.where = where

    class Complete(Message):
        """The person wants the next (1) or previous (-1) completion, or the first for good (0)."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class EditorWanted(Message):
        """The person wants to write in their editor."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 – the widgets' word for it
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, tab_behavior="focus",
                         compact=True, highlight_cursor_line=False)  # fmt: skip
        self._sent: dict[str, list[str]] = {}
        self._conversation = ""
        self._history_index: int | None = None  # in what was sent, while walking through it
        self._killed = ""
        self._unsent = ""  # what was typed before the walk
        self._has_posted_typed = False  # and nobody has got it yet
        #: Characters that can be sent at once.
        self.text_limit = 4000
        #: True while a popup takes Up and Down.
        self.is_completing = False
        #: True while Enter takes the first completion of the popup.
        self.is_suggesting = False

    # -- conversations ----------------------------------------------------------------------------

    def change_conversation(self, conversation: str, draft: str) -> None:
        """Write in another conversation, with what was typed there before."""
        self._conversation = conversation
        self._history_index = None
        self.write(draft)

    def write(self, text: str) -> None:
        """Put `text` into the field, the cursor at its end."""
        text = typable(text)
        if text != self.text:
            self.load_text(text)
        self.move_cursor(self.document.end)
        self.text_replaced()

    def begin_command(self, name: str) -> None:
        """Put the command `name` before what is typed, instead of it where that is a command, too.

        Ctrl+Z takes it away again.
        """
        command = f"/{name} "
        text = "" if self.text.startswith("/") else self.text
        self.before_insert()
        self.replace(f"{command}{text}", (0, 0), self.document.end)
        self.move_cursor((0, len(command)))

    def remember(self, text: str) -> None:
        """Keep what was sent for Up and Down."""
        sent = self._sent.setdefault(self._conversation, [])
        if text.strip() and (not sent or sent[-1] != text):
            sent.append(text)
            del sent[:-_HISTORY]
        self._history_index = None

    # -- by what people see as one character ------------------------------------------------------

    def validate_selection(self, selection: Selection) -> Selection:
        """Keep the cursor out of the middle of a cluster: it goes on in its direction."""
        is_up = selection.end > self.selection.end
        start = self._snap(selection.start, up=selection.start > selection.end)
        end = self._snap(selection.end, up=is_up)
        if selection.is_empty:
            end = self.on_character(end)
        return Selection(end if selection.is_empty else start, end)

    def delete(
        self, start: Location, end: Location, *, maintain_selection_offset: bool = True
    ) -> EditResult:
        """Delete whole clusters."""
        first, last = self._snap(min(start, end), up=False), self._snap(max(start, end), up=True)
        return super().delete(first, last, maintain_selection_offset=maintain_selection_offset)

    def _snap(self, location: Location, *, up: bool) -> Location:
        row, column = location
        if row >= self.document.line_count:
            return location  # behind the last line: TextArea deletes up to there
        return row, snap(self.document[row], column, up=up)

    # -- the keys ---------------------------------------------------------------------------------

    def _on_focus(self, event: events.Focus) -> None:
        self.cursor_blink = self.app.animation_level != "none"

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        """What is typed with Alt or Ctrl, or in normal mode, is a command, not text."""
        if key.startswith(_COMMANDS) or self.is_commanding:
            return False
        return super().check_consume_key(key, character)

    async def _on_key(self, event: events.Key) -> None:
        if event.key in _XTERM_ENTER:
            event.stop()
            event.prevent_default()
            self.action_newline()
            return
        if self.take_command(event):
            event.stop()
            event.prevent_default()
            return
        if event.is_printable and not is_text(event):
            event.prevent_default()  # TextArea would type it
            return
        await super()._on_key(event)

    def action_send(self) -> None:
        """Take what a popup suggests; else send, if that is one message."""
        if self.is_suggesting:
            self.post_message(self.Complete(0))
            return
        text = with_emoji(self.text)
        if len(text) > self.text_limit:
            self.post_message(self.TooLong(text))
        elif text.strip():
            # Emptied in the same step, so that what is typed next is the next message's.
            self.write("")
            self.begin_insert()
            self.post_message(self.Submitted(text))

    def action_newline(self) -> None:
        """Begin a new line at the cursor."""
        self._restart_blink()
        self._replace_via_keyboard("\n", *self.selection)

    def action_clear(self) -> None:
        """Clear the field, which Ctrl+Z brings back, and draw the screen again, as shells do."""
        self.before_insert()
        self.clear()
        self.call_later(self.run_action, "app.redraw")

    def action_complete(self, step: int) -> None:
        """Take the next completion."""
        if self.is_commanding:
            return
        if step < 0 and not self.is_completing:
            self.screen.focus_previous()
        else:
            self.post_message(self.Complete(step))

    def action_up(self) -> None:
        """Go up; at the top, walk back through what was sent; select a message when empty."""
        if self.is_commanding:
            self.press_vim("k")
        else:
            self.go_up()

    def go_up(self) -> None:
        """Go up, whatever the mode."""
        if self.is_completing:
            self.post_message(self.Complete(-1))
        elif not self.text and self._history_index is None:
            self.post_message(self.SelectionWanted())
        elif self.cursor_at_first_line:
            self.action_history(-1)
        else:
            self.action_cursor_up()

    def action_down(self) -> None:
        """Go down; at the end, walk forward through what was sent."""
        if self.is_commanding:
            self.press_vim("j")
        else:
            self.go_down()

    def go_down(self) -> None:
        """Go down, whatever the mode."""
        if self.is_completing:
            self.post_message(self.Complete(1))
        elif self._history_index is not None and self.cursor_at_last_line:
            self.action_history(1)
        else:
            self.action_cursor_down()

    def action_history(self, step: int) -> None:
        """Walk through what was sent; the end of the walk is what was typed before it."""
        sent = self._sent.get(self._conversation, [])
        if self._history_index is None:
            if step > 0 or not sent:
                return
            self._unsent, self._history_index = self.text, len(sent)
        index = self._history_index + step
        if index < 0:
            return
        if index >= len(sent):
            self.write(self._unsent)
            self._history_index = None
            return
        self.write(sent[index])
        self._history_index = index

    def action_recall(self, step: int) -> None:
        """Go up or down; at the first or the last line, walk through what was sent."""
        if self.is_completing:
            self.post_message(self.Complete(step))
        elif step < 0 and not self.cursor_at_first_line:
            self.action_cursor_up()
        elif step > 0 and not self.cursor_at_last_line:
            self.action_cursor_down()
        else:
            self.action_history(step)

    def action_select(self) -> None:
        """Select a message, whatever is written."""
        self.post_message(self.SelectionWanted())

    def action_kill(self, what: str) -> None:
        """Cut to the ``end`` or ``start`` of the line, a ``word`` or the ``next_word``."""
        match what:
            case "end":
                to = self.get_cursor_line_end_location()
                if to == self.cursor_location:
                    to = self.get_cursor_right_location()
            case "start":
                to = self.get_cursor_line_start_location()
            case "word":
                to = self.get_cursor_word_left_location()
            case _:
                to = self.get_cursor_word_right_location()
        start, end = sorted((self.cursor_location, to))
        if start != end:
            self._killed = self.get_text_range(start, end)
            self._delete_via_keyboard(start, end)

    def action_yank(self) -> None:
        """Insert what was cut last."""
        self.insert_text(self._killed)

    def action_home(self) -> None:
        """Go to the start of the line; show the first message, when empty."""
        if self.text:
            self.action_cursor_line_start()
        else:
            self.post_message(self.Scroll("oldest"))

    def action_end(self) -> None:
        """Go to the end of the line; return to now, when empty."""
        if self.text:
            self.action_cursor_line_end()
        else:
            self.post_message(self.Scroll("now"))

    def action_page_up(self) -> None:
        """Scroll the log up."""
        self.post_message(self.Scroll("up"))

    def action_page_down(self) -> None:
        """Scroll the log down."""
        self.post_message(self.Scroll("down"))

    def action_oldest(self) -> None:
        """Show the first message of the conversation."""
        self.post_message(self.Scroll("oldest"))

    def action_now(self) -> None:
        """Return to now."""
        self.post_message(self.Scroll("now"))

    def action_editor(self) -> None:
        """Open the editor; with something selected, cut it, as Ctrl+X does elsewhere."""
        if self.selected_text:
            self.action_cut()
        else:
            self.post_message(self.EditorWanted())

    # -- what is typed ----------------------------------------------------------------------------

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.paste(event.text)

    def paste(self, text: str) -> None:
        """Insert what was pasted; if it is much, after asking."""
        text = typable(text)
        if text.count("\n") >= MANY_LINES:
            self.post_message(self.LargePaste(text))
        else:
            self.insert_text(text)

    def insert_text(self, text: str) -> None:
        """Insert text where the cursor is, instead of what is selected."""
        self.before_insert()
        if result := self._replace_via_keyboard(typable(text), *self.selection):
            self.move_cursor(result.end_location)

    # Nobody else has a use for these two, and at each key every step to an ancestor costs some
    # 0.1 ms.

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Post a message; TextArea's own is not posted for all changes."""
        event.stop()
        self._post_typed()

    def on_text_area_selection_changed(self, event: TextArea.SelectionChanged) -> None:
        """The cursor has moved: what can be completed is another."""
        event.stop()
        self._post_typed()

    def _post_typed(self) -> None:
        if not self._has_posted_typed:
            self._has_posted_typed = True
            self.post_message(self.Typed())

    def on_message_input_typed(self) -> None:
        """What changes from here on is posted again."""
        self._has_posted_typed = False
