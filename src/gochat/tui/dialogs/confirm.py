"""Asking before what can't be undone."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from gochat.tui.dialogs.panel import Panel
from gochat.tui.language import _


class Confirm(Panel[bool]):
    """A question with two answers; Enter gives the harmless one, where the other is `dangerous`.

    Returns True for yes.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "cancel", show=False),
        Binding("y", "agree", show=False),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    box: ClassVar[str] = "confirm"

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
                yield Button(_("Cancel"), id="no", compact=True)
            yield Static(_("y yes   n no   Esc cancel"), id="confirm-keys", markup=False)

    def on_mount(self) -> None:
        """Be on the answer that does no harm."""
        self.query_one("#no" if self._dangerous else "#yes", Button).focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.answer(event.button.id == "yes")

    def action_agree(self) -> None:
        """Yes."""
        self.answer(True)  # noqa: FBT003 – the answer
