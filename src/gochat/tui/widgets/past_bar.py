"""The line below the log that says that an older part of it is shown, and how to get back."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from gochat.tui.language import _


class PastBar(Widget):
    """Shown while the newest messages are not; a click leads back to them."""

    class BackWanted(Message):
        """The person wants to see the newest messages again."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 – as widgets say
        super().__init__(id=id)
        self.display = False
        self._when = self._key = ""

    def show(self, when: str | None, key: str) -> None:
        """Show from when the shown messages are. `when` is None if they are the newest.

        `key` leads back.
        """
        self.display = when is not None
        if when is not None and (when, key) != (self._when, self._key):
            self._when, self._key = when, key
            self.refresh()

    def render(self) -> Content:
        """Draw the line: what does not fit is cut from the date."""
        where = " · ".join(part for part in (_("You are in the past"), self._when) if part)
        back = Content.assemble(
            Content.styled(self._key, "$foreground bold"),
            Content.styled(_(": back to now"), "$text-muted"),
        )
        width = self.content_size.width
        left = Content.styled(where, "$text-warning").truncate(
            max(1, width - back.cell_length - 1), ellipsis=True
        )
        gap = max(1, width - left.cell_length - back.cell_length)
        return Content.assemble(left, " " * gap, back)

    def on_click(self) -> None:
        """Go back to now."""
        self.post_message(self.BackWanted())
