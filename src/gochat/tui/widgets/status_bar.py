"""The last line: how the connection is, what waits, and the keys that matter now."""

from __future__ import annotations

from typing import Final

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from gochat.tui.model import Model
from gochat.tui.presentation import connection_line, name
from gochat.tui.widgets.hints import Hint

_STYLES: Final = {"good": "$success", "busy": "$warning bold", "bad": "$error bold"}


class StatusBar(Widget):
    """One line; the connection comes first, the keys give way to it."""

    #: Keys and what they do, the most useful first.
    hints: reactive[tuple[Hint, ...]] = reactive((), layout=False)

    def __init__(self, model: Model, *, id: str | None = None) -> None:  # noqa: A002 – as widgets say
        super().__init__(id=id)
        self._model = model
        self._spans: list[tuple[int, int]] = []

    def render(self) -> Content:
        """Draw the line."""
        width = self.content_size.width
        left = self._state()
        hints: list[Content] = []
        used = left.cell_length + 2
        self._spans = []
        for shown, text, _ in self.hints:
            hint = Content.assemble(
                Content.styled(shown, "$foreground"), " ", Content.styled(text, "$text-muted")
            )
            if used + hint.cell_length + 3 > width:
                break
            used += hint.cell_length + 3
            hints.append(hint)
        right = Content("   ").join(hints)
        gap = max(1, width - left.cell_length - right.cell_length)
        at = left.cell_length + gap
        for hint in hints:
            self._spans.append((at, at + hint.cell_length))
            at += hint.cell_length + 3
        return Content.assemble(left, " " * gap, right).truncate(max(1, width))

    def _state(self) -> Content:
        sign, text, kind = connection_line(self._model)
        muted = "$text-muted" if kind == "good" else _STYLES[kind]
        parts: list[Content | str] = [
            Content.styled(sign, _STYLES[kind]),
            " ",
            Content.styled(text, muted),
        ]
        waiting, failed = self._model.counts()
        if waiting:
            parts.append(Content.styled(f"   {waiting} waiting to be sent", "$warning"))
        if failed:
            parts.append(Content.styled(f"   {failed} not sent", "$error"))
        reason = name(self._model.connection.reason)
        if kind != "good" and reason:
            parts.append(Content.styled(f"   {reason}", "$text-muted"))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        """The hints are buttons."""
        x = event.x - self.gutter.left
        for index, (start, end) in enumerate(self._spans):
            if start <= x < end:
                self.app.simulate_key(self.hints[index].key)
