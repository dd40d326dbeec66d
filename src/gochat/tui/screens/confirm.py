"""Asking before what can't be undone."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static


class Confirm(ModalScreen[bool]):
    """A question with two answers; Enter gives the harmless one, where the other is `dangerous`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", show=False),
        Binding("y", "answer(True)", show=False),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(
        self, question: str, yes: str, *, detail: str = "", dangerous: bool = True
    ) -> None:
        super().__init__()
        self._question, self._yes, self._detail = question, yes, detail
        self._dangerous = dangerous

    def compose(self) -> ComposeResult:
        """The question, more about it, and the answers."""
        with Vertical(id="confirm"):
            yield Static(self._question, id="confirm-question", markup=False)
            if self._detail:
                yield Static(self._detail, id="confirm-detail", markup=False)
            with Horizontal(id="confirm-buttons"):
                yield Button(
                    self._yes, id="yes", compact=True,
                    variant="error" if self._dangerous else "primary",
                )  # fmt: skip
                yield Button("Cancel", id="no", compact=True)
            yield Static("y yes   n no   Esc cancel", id="confirm-keys", markup=False)

    def on_mount(self) -> None:
        """Be on the answer that does no harm."""
        self.query_one("#no" if self._dangerous else "#yes", Button).focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Give an answer."""
        self.dismiss(answer)

    def on_click(self, event: events.Click) -> None:
        """A click beside the box is no."""
        if event.widget is self:
            self.dismiss(False)  # noqa: FBT003 – the answer
