"""What actions need of the chat screen and the app, as protocols: actions import neither."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from textual.app import App

from gochat.tui.chat_log import ChatLog
from gochat.tui.input.keys import Keymap
from gochat.tui.widgets.composer import Composer


class ChatApp(Protocol):
    """The app that shows the chat."""

    keymap: Keymap
    server_address: str
    is_in_front: bool

    def time(self) -> float:
        """Return seconds that never go back."""

    def wall_clock(self) -> float:
        """Return the time of day, in seconds since the Unix epoch."""

    def hold_keys(self) -> AbstractContextManager[None]:
        """Hold back what is typed until something that takes the keyboard is done."""

    def choose_theme(self, theme: str) -> None:
        """Change the theme, and keep it."""

    def show_members(self, *, on: bool) -> None:
        """List who is in the conversation beside a wide log, or no longer, and keep that."""

    def open_settings(self) -> None:
        """Show the settings."""

    def open_help(self, command: str = "") -> None:
        """Show help."""

    def remember_session(self) -> None:
        """Keep the session's token."""

    async def log_out(self) -> None:
        """End the session."""


class ChatView(Protocol):
    """The chat screen."""

    composer: Composer
    log_view: ChatLog

    @property
    def app(self) -> App[object]:
        """The app, for dialogs, notifications and the clipboard."""

    @property
    def chat_app(self) -> ChatApp:
        """The app, for what is its own."""

    def open_conversation(self, conv: str) -> None:
        """Show a conversation, ready to write in it."""

    def go_to(self, conv: str, seq: int) -> None:
        """Show a message in its context."""

    def go_to_now(self) -> None:
        """Return to the newest message."""

    def keep_draft(self) -> None:
        """Copy the text in the field to the model."""
