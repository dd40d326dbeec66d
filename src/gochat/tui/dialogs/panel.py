"""What opens over the chat: closed by Esc, or by a click beside its box; answers once."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.screen import ModalScreen

T = TypeVar("T")


class Panel(ModalScreen[T | None], Generic[T]):
    """A modal screen with one box, whose id is `box`. Returns an answer, or None."""

    box: ClassVar[str] = ""

    def answer(self, result: T | None) -> None:
        """Close with `result`; a second answer, of a key that came too late, is none."""
        if self.is_current:
            self.dismiss(result)

    def action_cancel(self) -> None:
        """Close with no answer."""
        self.answer(None)

    def on_click(self, event: events.Click) -> None:
        """A click beside the box closes it."""
        if not self.query_one(f"#{self.box}").region.contains(*event.screen_offset):
            self.action_cancel()
