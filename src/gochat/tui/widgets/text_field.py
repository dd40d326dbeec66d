"""A field for one line."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.widgets import Input
from textual.widgets.input import Selection

from gochat.tui.input.typable import typable
from gochat.tui.text.wrap import snap


class TextField(Input):
    """An :class:`~textual.widgets.Input` that takes only what could have been typed.

    Ctrl+J is Enter: so a terminal passes on what is typed before the app has taken it over.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+j", "submit", show=False)]

    def _on_focus(self, event: events.Focus) -> None:
        self.cursor_blink = self.app.animation_level != "none"

    def validate_selection(self, selection: Selection) -> Selection:
        """Keep the cursor out of the middle of a cluster: it goes on in its direction."""
        start, end = super().validate_selection(selection)
        at = snap(self.value, end, up=end > self.selection.end)
        return Selection(at if start == end else snap(self.value, start, up=start > end), at)

    def delete(self, start: int, end: int) -> None:
        """Delete whole clusters."""
        first, last = sorted((max(start, 0), max(end, 0)))
        super().delete(snap(self.value, first, up=False), snap(self.value, last, up=True))

    @property
    def cursor_screen_offset(self) -> Offset:
        """Where the cursor is drawn. (Input's own is one to the right of it, behind the text.)"""
        before = cell_len(self.value[: self.cursor_position])
        x, y, _, _ = self.content_region
        return Offset(x + before - self.scroll_offset.x, y)

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
