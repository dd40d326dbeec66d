"""The last line: how the connection is, what waits, and the keys that matter now."""

from __future__ import annotations

from typing import Final

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from gochat.client import ConnectionState
from gochat.client.address import Security
from gochat.tui.language import N_, _, ngettext
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.error_texts import reason_text
from gochat.tui.model.presentation import connection_line, quiet_line
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.hints import Hint

#: Columns between the state and the keys, and between one key and the next.
_GAP: Final = 3
_SECURITY: Final = {
    Security.ENCRYPTED: N_("encrypted"),
    Security.PLAIN_TEXT: N_("plain text"),
    Security.THIS_MACHINE: N_("this machine"),
}
_STYLES: Final = {"good": "$success", "busy": "$warning bold", "bad": "$error bold"}


class StatusBar(Widget):
    """One line; the connection comes first, the keys give way to it."""

    #: Keys and what they do, the most useful first.
    hints: reactive[tuple[Hint, ...]] = reactive((), layout=False)
    #: What the keys are for, where that changes: ``NORMAL``; and what was typed of a command.
    mode: reactive[str] = reactive("", layout=False)

    def __init__(self, model: ChatModel, *, id: str | None = None) -> None:  # noqa: A002 – as widgets say
        super().__init__(id=id)
        self._model = model
        self._spans: list[tuple[int, int]] = []

    def render(self) -> Content:
        """Draw the line."""
        width = self.content_size.width
        left, hints = self._state(), self._hints()
        needed = hints[:1] if self._is_cut else hints
        if left.cell_length + _GAP + _width(needed) > width:
            # The person's name is shown elsewhere, what the keys do is not.
            left = self._state(short=True)
        if hints and self._is_cut:
            left = left.truncate(max(1, width - _GAP - hints[0].cell_length), ellipsis=True)
        while hints and left.cell_length + _GAP + _width(hints) > width:
            hints.pop()
        right = Content(" " * _GAP).join(hints)
        gap = max(1, width - left.cell_length - right.cell_length)
        at = left.cell_length + gap
        self._spans = []
        for hint in hints:
            self._spans.append((at, at + hint.cell_length))
            at += hint.cell_length + _GAP
        return Content.assemble(left, " " * gap, right).truncate(max(1, width), ellipsis=True)

    @property
    def _is_cut(self) -> bool:
        # Then the first key is the one that connects again. Even a long reason leaves it its place.
        return self._model.connection.state is not ConnectionState.CONNECTED

    def _hints(self) -> list[Content]:
        return [
            Content.assemble(
                Content.styled(shown, "$foreground"), " ", Content.styled(text, "$text-muted")
            )
            for shown, text, _ in self.hints
        ]

    def _state(self, *, short: bool = False) -> Content:
        sign, text, kind = connection_line(self._model, short=short)
        muted = "$text-muted" if kind == "good" else _STYLES[kind]
        parts: list[Content | str] = [
            Content.styled(f"{self.mode}   " if self.mode else "", "$accent bold"),
            Content.styled(sign, _STYLES[kind]),
            " ",
            Content.styled(text, muted),
        ]
        # Who can read along; without a connection only where that is a reason to worry.
        security = self._model.security
        if kind == "good" or security is Security.PLAIN_TEXT:
            style = "$warning bold" if security is Security.PLAIN_TEXT else "$text-muted"
            is_local = security is Security.THIS_MACHINE
            shown = _("local") if short and is_local else _(_SECURITY[security])
            parts.append(Content.styled(f"{' · ' if text else ''}{shown}", style))
        if quiet := quiet_line(self._model, short=short):
            parts.append(Content.styled(f"   {quiet}", "$text-muted"))
        if (what := self._model.waiting_for) is not None:
            text = what or _("Waiting for the server…")
            parts.append(Content.styled(f"   {text}", "$warning"))
        waiting, failed = self._model.counts()
        if waiting:
            text = (
                ngettext("{n} waiting", "{n} waiting", waiting)
                if short
                else ngettext("{n} waiting to be sent", "{n} waiting to be sent", waiting)
            )
            parts.append(Content.styled(f"   {text}", "$warning"))
        if failed:
            text = ngettext("{n} not sent", "{n} not sent", failed)
            parts.append(Content.styled(f"   {text}", "$error"))
        reason = one_line(reason_text(self._model.connection.reason))
        if kind != "good" and reason:
            parts.append(Content.styled(f"   {reason}", "$text-muted"))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        """The hints are buttons."""
        x = event.x - self.gutter.left
        for index, (start, end) in enumerate(self._spans):
            if start <= x < end:
                self.app.simulate_key(self.hints[index].key)


def _width(hints: list[Content]) -> int:
    return sum(hint.cell_length for hint in hints) + _GAP * max(0, len(hints) - 1)
