"""The chat log in an app of one's own, without any network: a diary one talks to.

What is written is shown at once as pending, and a moment later as sent. Older pages come when one
scrolls up to them. Replies, reactions, links and copying are told by messages of the widget.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from textual import on
from textual.app import App, ComposeResult
from textual.widgets import Input

from gochat.tui.chat_log import ChatLog, LogItem, LogMessage, LogNotice, Reaction

#: Older entries that there are to load, and how many of them make a page.
OLDER = 300
PAGE = 50
LAST_EVENING = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
WELCOME = """\
Write something. **Bold**, *italic*, `code` and https://example.org work:
```python
log.append(LogMessage("1", "diary", "Hello!", now))
```"""


class Diary(App[None]):
    """A log, and a field below it."""

    CSS = "Input { border: none; height: 1; }"

    def __init__(self, seconds: float = 0.5) -> None:
        super().__init__()
        self._seconds = seconds  # until what is written is kept
        self._numbers = count(OLDER)
        self._loaded = OLDER  # the number of the oldest entry that is shown
        self._answers: str | None = None  # the key of the message that is being answered

    def compose(self) -> ComposeResult:
        """One above the other."""
        yield ChatLog()
        yield Input(placeholder="Dear diary")

    def on_mount(self) -> None:
        """Begin with the newest entries."""
        self.log_view.append(
            *self._older_page(),
            LogNotice("today", datetime.now(UTC), "a new day begins"),
            LogMessage("welcome", "diary", WELCOME, datetime.now(UTC)),
        )
        self.query_one(Input).focus()

    @property
    def log_view(self) -> ChatLog:
        """The log."""
        return self.query_one(ChatLog)

    # -- writing --------------------------------------------------------------------------------

    @on(Input.Submitted)
    def write(self, event: Input.Submitted) -> None:
        """Show what is written; it is kept in a moment."""
        if not event.value.strip():
            return
        answered = self.log_view.items.get(self._answers or "")
        reply = (answered.sender, answered.text) if isinstance(answered, LogMessage) else None
        message = LogMessage(
            key=str(next(self._numbers)),
            sender="me",
            text=event.value,
            time=datetime.now(UTC),
            own=True,
            state="pending",
            reply=reply,
        )
        self._answers = None
        event.input.clear()
        self.log_view.append(message)
        self.log_view.scroll_to_bottom()
        self.set_timer(self._seconds, lambda: self.keep(message.key))

    def keep(self, key: str) -> None:
        """It is kept: the same key, another state."""
        self._change(key, state="sent")

    # -- what the log asks for --------------------------------------------------------------------

    @on(ChatLog.TopReached)
    def load_older(self) -> None:
        """Put an older page above; what is visible stays where it is."""
        self.log_view.prepend(self._older_page())
        self.log_view.older_exhausted = self._loaded == 0

    def _older_page(self) -> list[LogItem]:
        numbers = range(max(0, self._loaded - PAGE), self._loaded)
        self._loaded = numbers.start
        return [
            LogMessage(
                key=str(number),
                sender="me",
                text=f"Entry {number}: nothing happened.",
                time=LAST_EVENING - timedelta(hours=OLDER - number),
                own=True,
            )
            for number in numbers
        ]

    @on(ChatLog.Action)
    def act(self, event: ChatLog.Action) -> None:
        """Do what the reader wants done with a message."""
        message = self.log_view.items[event.key]
        assert isinstance(message, LogMessage)
        match event.action:
            case "copy":
                self.copy_to_clipboard(message.text)
            case "delete":
                self._change(event.key, deleted=True)
            case "react":
                self._react(event.key, "👍")
            case "reply":
                self._answers = event.key
                self.query_one(Input).focus()
            case "edit":
                self.query_one(Input).value = message.text
                self.query_one(Input).focus()
            case "open" | "retry":
                self.bell()

    @on(ChatLog.ReactionClicked)
    def reaction_clicked(self, event: ChatLog.ReactionClicked) -> None:
        """Add it, or take it back."""
        self._react(event.key, event.emoji)

    @on(ChatLog.LinkActivated)
    def open_link(self, event: ChatLog.LinkActivated) -> None:
        """Only http and https get here."""
        self.open_url(event.url)

    def _react(self, key: str, emoji: str) -> None:
        message = self.log_view.items[key]
        assert isinstance(message, LogMessage)
        given = any(reaction.emoji == emoji for reaction in message.reactions)
        self._change(key, reactions=() if given else (Reaction(emoji, 1, me=True),))

    def _change(self, key: str, **changes: object) -> None:
        """Items never change; another one takes the place."""
        message = self.log_view.items[key]
        assert isinstance(message, LogMessage)
        self.log_view.replace(key, replace(message, **changes))  # type: ignore[arg-type]  # by name


if __name__ == "__main__":
    Diary().run()
