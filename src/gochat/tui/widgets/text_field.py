"""A field for one line."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from gochat.tui.input.typable import typable


class TextField(Input):
    """An :class:`~textual.widgets.Input` that takes only what could have been typed."""

    def _on_focus(self, event: events.Focus) -> None:
        self.cursor_blink = self.app.animation_level != "none"

    def _on_paste(self, event: events.Paste) -> None:
        # As Input does it, which shows what it gets, ESC included.
        event.stop()
        event.prevent_default()
        lines = typable(event.text).splitlines()
        if lines:
            selection = self.selection
            if selection.is_empty:
                self.insert_text_at_cursor(lines[0])
            else:
                self.replace(lines[0], *selection)
