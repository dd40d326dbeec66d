"""Vim's keys in the composer's field: what the editor makes of them, shown in the text area."""

from __future__ import annotations

from typing import Final

from textual import events
from textual.message import Message
from textual.widgets import TextArea
from textual.widgets.text_area import Location, Selection

from gochat.tui.input.vim.editor import Mode, Outcome, Vim, Wish
from gochat.tui.text.wrap import snap

#: Keys by other names. What else edits in a text area does nothing in normal mode.
_AS: Final = {
    "backspace": "h", "ctrl+h": "h", "left": "h", "right": "l", "delete": "x", "ctrl+z": "u",
    "ctrl+y": "ctrl+r", "escape": "escape",
    **{key: key for key in ("ctrl+r", "ctrl+u", "ctrl+d")},
}  # fmt: skip
_WITHOUT_EFFECT: Final = frozenset({"ctrl+w", "ctrl+x", "ctrl+a", "ctrl+e", "ctrl+delete"})


class VimField(TextArea):
    """A text area that can have Vim's keys (`use_vim`); else it is as it was."""

    class ModeChanged(Message):
        """The mode, or what was typed of a command, is another."""

    class Wanted(Message):
        """A key asks for something that is not about the text."""

        def __init__(self, wish: Wish, count: int | None) -> None:
            super().__init__()
            self.wish = wish
            self.count = count

    _vim: Vim | None = None

    def use_vim(self, *, on: bool) -> None:
        """Have Vim's keys, or not."""
        if on is not (self._vim is not None):
            self._vim = Vim() if on else None
            if self._vim is not None:
                self._vim.begin_insert(self.text, self._offset)
            self.post_message(self.ModeChanged())

    @property
    def is_modal(self) -> bool:
        """Whether it has Vim's keys."""
        return self._vim is not None

    @property
    def is_commanding(self) -> bool:
        """Whether letters are commands now."""
        return self._vim is not None and self._vim.mode != "insert"

    @property
    def mode(self) -> Mode | None:
        """The mode, if it has one."""
        return self._vim.mode if self._vim is not None else None

    @property
    def pending(self) -> str:
        """What was typed of a command that is not whole yet."""
        return self._vim.pending if self._vim is not None else ""

    @property
    def _offset(self) -> int:
        row, column = self.cursor_location
        return sum(len(self.document[line]) + 1 for line in range(row)) + column

    def _location(self, offset: int) -> Location:
        before = self.text[:offset]
        return before.count("\n"), offset - (before.rfind("\n") + 1)

    def begin_insert(self) -> None:
        """Write from now on, whatever the mode was."""
        if self._vim is not None:
            self._vim.begin_insert(self.text, self._offset)
            self.post_message(self.ModeChanged())

    def text_replaced(self) -> None:
        """Handle that the whole text is another one."""
        if self._vim is not None:
            self._vim.replaced(self.text, self._offset)

    def before_insert(self) -> None:
        """Handle that text is inserted otherwise than by typing it."""
        if self._vim is not None and self.is_commanding:
            self._vim.save(self.text, self._offset)

    def press_vim(self, key: str) -> None:
        """Handle a key as a command."""
        if self._vim is None:
            return
        before = (self._vim.mode, self._vim.pending)
        if self._vim.mode == "insert":
            outcome = self._vim.leave_insert(self.text, self._offset)
        else:
            outcome = self._vim.press(key, self.text, self._offset)
        if before != (self._vim.mode, self._vim.pending):
            self.post_message(self.ModeChanged())
        self._show(outcome)
        if outcome.wish is not None:
            self.post_message(self.Wanted(outcome.wish, outcome.count))

    def _show(self, outcome: Outcome) -> None:
        self._restart_blink()
        if outcome.text != self.text:
            self.replace(outcome.text, (0, 0), self.document.end, maintain_selection_offset=False)
        at = self._location
        if outcome.selection is None:
            self.selection = Selection.cursor(at(outcome.cursor))
        else:
            self.selection = Selection(*map(at, outcome.selection))
        if outcome.copied:
            self.app.copy_to_clipboard(outcome.copied)

    def _as_command(self, event: events.Key) -> str | None:
        """Return what the editor calls a key, None if it is none of its own."""
        assert self._vim is not None
        if self._vim.mode == "insert":
            return "escape" if event.key == "escape" else None
        if event.key == "escape" and self._vim.mode == "normal" and not self._vim.pending:
            return None  # it closes what is open
        if event.key in _AS:
            return _AS[event.key]
        return event.character if event.is_printable else None

    def take_command(self, event: events.Key) -> bool:
        """Handle a key, if it is a command; return whether it was."""
        if self._vim is None:
            return False
        key = self._as_command(event)
        if key is not None:
            self.press_vim(key)
        return key is not None or (self.is_commanding and event.key in _WITHOUT_EFFECT)

    def on_character(self, location: Location) -> Location:
        """Return the place itself, or in normal mode the last character before it there is."""
        if self._vim is None or self._vim.mode != "normal":
            return location
        row, column = location
        if row >= self.document.line_count:
            return location
        line = self.document[row]
        return (
            (row, snap(line, len(line) - 1, up=False)) if line and column >= len(line) else location
        )

    def action_copy(self) -> None:
        """Copy what is selected; in visual mode with the character under the cursor."""
        if self._vim is not None and self._vim.mode.startswith("visual"):
            self.app.copy_to_clipboard(self._vim.selected_text)
        else:
            super().action_copy()
