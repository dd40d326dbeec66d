"""Where a message is written: what it belongs to, the prompt, and the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from gochat.tui.language import _, ngettext
from gochat.tui.text.names import shortened
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.message_input import MessageInput

#: Columns that the name of the conversation has at least.
_LEAST_PROMPT: Final = 8


@dataclass(frozen=True, slots=True)
class Reply:
    """What is written answers the message `seq`."""

    seq: int
    sender: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class Editing:
    """What is written replaces the text of the message `seq`; `draft` was there before."""

    seq: int
    draft: str


class Composer(Vertical):
    """The field with its prompt, and a line above it for who types and what is answered."""

    class Sent(Message):
        """The person sends `text` to `conv`."""

        def __init__(self, conv: str, text: str, reply_to: int | None) -> None:
            super().__init__()
            self.conv = conv
            self.text = text
            self.reply_to = reply_to

    class Edited(Message):
        """The person has changed the text of a message."""

        def __init__(self, conv: str, seq: int, text: str) -> None:
            super().__init__()
            self.conv = conv
            self.seq = seq
            self.text = text

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 – the widgets' word for it
        super().__init__(id=id)
        self.conv = ""
        self.mode: Reply | Editing | None = None
        #: What was being answered in other conversations.
        self._replies: dict[str, Reply] = {}
        self._typists = ""
        self._usage = ""
        self._obstacle = ""
        self._noted = Content("")
        #: The field.
        self.input: Final = MessageInput(id="input")
        self._note = Static("", id="composer-note")
        self._prompt = Static("", id="prompt", markup=False)
        self._line = Horizontal(id="composer-line")

    def compose(self) -> ComposeResult:
        """A line, and below it the prompt with the field."""
        yield self._note
        with self._line:
            yield self._prompt
            yield self.input

    @property
    def line_height(self) -> int:
        """Rows that the field takes with what surrounds it, without the note above it."""
        return self._line.outer_size.height

    @property
    def text_limit(self) -> int:
        """Characters that can be sent at once."""
        return self.input.text_limit

    @text_limit.setter
    def text_limit(self, limit: int) -> None:
        self.input.text_limit = limit

    @property
    def draft(self) -> str:
        """What is written and was not sent; not the text of a message that is being edited."""
        return self.mode.draft if isinstance(self.mode, Editing) else self.input.text

    @property
    def edited(self) -> tuple[int, str] | None:
        """The seq of the message that is being edited, and its text as far as it is written."""
        return (self.mode.seq, self.input.text) if isinstance(self.mode, Editing) else None

    def change_conversation(
        self, conv: str, draft: str, edited: tuple[int, str] | None = None
    ) -> None:
        """Write to `conv`, where `draft` was begun, or go on with an answer or an edit there."""
        if isinstance(self.mode, Reply):
            self._replies[self.conv] = self.mode
        self.mode, text = self._replies.pop(conv, None), draft
        if edited is not None:
            seq, text = edited
            self.mode = Editing(seq, draft)
        self.conv = conv
        self.input.change_conversation(conv, text)
        self._show_prompt()
        self._show_note()

    def _show_prompt(self) -> None:
        room = max(_LEAST_PROMPT, self.size.width * 2 // 5 - 5)
        self._prompt.update(f"{shortened(one_line(self.conv), room)} ›")

    def show_typists(self, text: str) -> None:
        """Show who else is typing."""
        if text != self._typists:
            self._typists = text
            self._show_note()

    def show_closed(self, text: str) -> None:
        """Show why nothing can be written here, or that it can."""
        if text != self._obstacle:
            self._obstacle = text
            self._show_note()

    def show_usage(self, text: str) -> None:
        """Show how the command is written that is being typed."""
        if text != self._usage:
            self._usage = text
            self._show_note()

    def use_language(self) -> None:
        """Show everything in the language that is in use now."""
        self._show_note()

    # -- modes ------------------------------------------------------------------------------------

    def reply(self, seq: int, sender: str, excerpt: str) -> None:
        """Answer a message with what is written."""
        self.leave_mode()
        self.mode = Reply(seq, sender, excerpt)
        self._show_note()
        self.input.begin_insert()
        self.input.focus()

    def edit(self, seq: int, text: str) -> None:
        """Change the text of a message."""
        draft = self.draft
        self.leave_mode()
        self.mode = Editing(seq, draft)
        self.input.begin_insert()
        self.input.write(text)
        self._show_note()
        self.input.focus()

    def leave_mode(self) -> bool:
        """No longer answer or edit; return whether one did."""
        mode, self.mode = self.mode, None
        if isinstance(mode, Editing):
            self.input.write(mode.draft)
        self._show_note()
        return mode is not None

    def _show_note(self) -> None:
        note = self._note
        text = self.input.text
        left = self.text_limit - len(text)
        counter = ""
        if left < 0:
            counter = ngettext("{n} character too many", "{n} characters too many", -left)
        elif left <= self.text_limit // 10:
            counter = ngettext("{n} character left", "{n} characters left", left)
        content, ending = Content.styled(self._typists, "$text-muted italic"), ""
        if self._obstacle:
            content = Content.styled(self._obstacle, "$text-warning")
        if self._usage:
            content = Content.styled(self._usage, "$text-muted")
        match self.mode:
            case Reply(sender=sender, excerpt=excerpt):
                content = Content.assemble(
                    Content.styled(_("↩ replying to "), "$text-muted"),
                    Content.styled(one_line(sender), "bold"),
                    Content.styled(f"  {one_line(excerpt)}", "$text-muted"),
                )
                ending = _("Esc: not a reply")
            case Editing():
                content, ending = (
                    Content.styled(_("✎ editing your message"), "$accent"),
                    _("Esc: leave it"),
                )
            case None:
                pass
        style = "$error bold" if left < 0 else "$text-muted"
        right = Content.styled(counter, style) if counter else Content.styled(ending, "$text-muted")
        width = note.content_size.width or 60
        content = content.truncate(max(0, width - right.cell_length - 1), ellipsis=True)
        gap = max(1, width - content.cell_length - right.cell_length)
        line = Content.assemble(content, " " * gap, right)
        if not line.is_same(self._noted):
            self._noted = line
            note.update(line, layout=False)

    def on_resize(self) -> None:
        """The lines have another width."""
        self._show_prompt()
        self._show_note()

    @on(MessageInput.Typed)
    def _typed(self) -> None:
        self._show_note()

    @on(MessageInput.Submitted)
    def _submitted(self, event: MessageInput.Submitted) -> None:
        event.stop()
        text, mode = event.text, self.mode
        if isinstance(mode, Editing):
            self.post_message(self.Edited(self.conv, mode.seq, text))
            self.leave_mode()
            return
        self.post_message(self.Sent(self.conv, text, mode.seq if mode is not None else None))
        self.input.remember(text)
        self.mode = None
        self._show_note()
