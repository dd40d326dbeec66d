"""The messages of a chat log to the app; also available as ``ChatLog.TopReached`` and so on."""

from __future__ import annotations

from textual.message import Message
from textual.widget import Widget

from gochat.tui.chat_log.message_actions import ActionName


class LogEvent(Message, namespace="chat_log"):
    """Something happened in a chat log."""

    def __init__(self, log: Widget) -> None:
        super().__init__()
        self.log = log

    @property
    def control(self) -> Widget:
        """The log, for selectors of `on`."""
        return self.log


class TopReached(LogEvent, namespace="chat_log"):
    """Older items are wanted. Comes once until `prepend`, and never if `older_exhausted`."""


class BottomReached(LogEvent, namespace="chat_log"):
    """The reader came to the end; if not `newer_exhausted`, newer items are wanted."""


class Action(LogEvent, namespace="chat_log"):
    """The reader asks for `action` on the message `key`."""

    def __init__(self, log: Widget, key: str, action: ActionName) -> None:
        super().__init__(log)
        self.key = key
        self.action = action


class LinkActivated(LogEvent, namespace="chat_log"):
    """The reader follows a link to `url`: http or https, in ASCII."""

    def __init__(self, log: Widget, url: str) -> None:
        super().__init__(log)
        self.url = url


class SenderClicked(LogEvent, namespace="chat_log"):
    """The reader clicked a name; `name` is as in the message."""

    def __init__(self, log: Widget, name: str) -> None:
        super().__init__(log)
        self.name = name


class ReactionClicked(LogEvent, namespace="chat_log"):
    """The reader clicked an emoji under a message, to add theirs or take it back."""

    def __init__(self, log: Widget, key: str, emoji: str) -> None:
        super().__init__(log)
        self.key = key
        self.emoji = emoji


class SelectionChanged(LogEvent, namespace="chat_log"):
    """Another message is selected, or none; `left` by Escape or by going below the last."""

    def __init__(self, log: Widget, key: str | None, *, left: bool = False) -> None:
        super().__init__(log)
        self.key = key
        self.left = left
