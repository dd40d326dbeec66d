"""The list of conversations, which says what is unread above and below what is visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.content import Content
from textual.strip import Strip
from textual.visual import Visual

from gochat.tui.language import ngettext
from gochat.tui.model.presentation import count
from gochat.tui.widgets.row_list import ListRow, RowList


class ConversationList(RowList):
    """Rows; instead of the first and the last visible one stands what is unread beyond them.

    `unread` returns how many messages are unread in the conversation of a row.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"conversation-list--beyond"}
    DEFAULT_CSS = """
    ConversationList > .conversation-list--beyond {
        background: $panel; color: $text-accent; text-style: bold;
    }
    """

    def __init__(
        self,
        draw: Callable[[str], ListRow],
        unread: Callable[[str], int],
        *,
        id: str | None = None,  # noqa: A002 – the widgets' word for it
    ) -> None:
        super().__init__(draw, id=id)
        self._unread = unread

    def _beyond(self, y: int) -> tuple[str, int] | None:
        """Return what stands in line `y` instead of its row, and the row to which it leads."""
        height, top = self.scrollable_content_region.height, self.scroll_offset.y
        index = top + y
        if height < 3 or (self.has_focus and index == self.cursor):
            return None
        rows: Sequence[int] = ()
        sign = "↑" if y == 0 else "↓"
        if y == 0 and top:
            rows = range(index, -1, -1)
        elif y == height - 1 and index < len(self.keys) - 1:
            rows = range(index, len(self.keys))
        numbers = [(self._unread(self.keys[row]), row) for row in rows]
        found = [(number, row) for number, row in numbers if number]
        # What is unread only in the row itself is seen there.
        if not found or (len(found) == 1 and found[0][1] == index):
            return None
        unread = sum(number for number, row in found)
        text = ngettext(
            "{n} unread {sign}", "{n} unread {sign}", unread, n=count(unread), sign=sign
        )
        return text, found[0][1]

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        if (beyond := self._beyond(y)) is None:
            return super().render_line(y)
        width = self.scrollable_content_region.width
        style = self.get_visual_style("conversation-list--beyond")
        line = Content(f" {beyond[0]}").truncate(width, ellipsis=True)
        strips = Visual.to_strips(self, line, max(1, width), 1, style, pad=True)
        return strips[0].crop_extend(0, width, style.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Show the nearest row with something unread, where there is none to choose."""
        offset = event.get_content_offset(self)
        if offset is not None and (beyond := self._beyond(offset.y)) is not None:
            event.prevent_default()
            self.scroll_to(y=max(0, beyond[1] - self.size.height // 2), animate=False)
