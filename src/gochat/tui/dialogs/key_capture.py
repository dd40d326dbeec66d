"""Choosing a key by pressing it."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from gochat.tui.dialogs.panel import Panel
from gochat.tui.language import _


class KeyCapture(Panel[str]):
    """Returns the next key that is pressed, or None for Esc."""

    box: ClassVar[str] = "confirm"

    def __init__(self, action: str) -> None:
        super().__init__()
        self._action = action

    def compose(self) -> ComposeResult:
        """What is asked for, and how to leave it."""
        with Vertical(id="confirm"):
            yield Static(self._action, id="confirm-question", markup=False)
            yield Static(_("Press the key for it."), id="confirm-detail", markup=False)
            yield Static(_("Esc cancel"), id="confirm-keys", markup=False)

    def on_key(self, event: events.Key) -> None:
        """Take it, whatever it is bound to."""
        event.stop()
        event.prevent_default()
        self.answer(None if event.key == "escape" else event.key)
