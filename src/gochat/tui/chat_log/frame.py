"""All that is visible, painted: what was painted before is only put together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.selection import Selection
from textual.strip import Strip

from gochat.tui.chat_log import toolbar
from gochat.tui.chat_log.index import ItemNode
from gochat.tui.chat_log.items import LogMessage
from gochat.tui.chat_log.model import Layout, LogModel
from gochat.tui.chat_log.paint import Painting, Palette, Pinned
from gochat.tui.chat_log.selecting import TextSelector
from gochat.tui.chat_log.window import VisibleRow
from gochat.tui.language import ngettext

#: The painted items that are kept: some screenfuls, in a higher window more. Many more would cost
#: the garbage collector more time than they save.
_PAINTED: Final = 96


class Marks(NamedTuple):
    """What is marked by the reader: keys of messages, and text."""

    selected: str | None = None
    highlighted: str | None = None
    hovered: str | None = None
    text: Selection | None = None

    def backdrop(self, key: str) -> str:
        """Return the backdrop of the message `key`, if it is not its own."""
        if key == self.selected:
            return "selected"
        return "highlight" if key == self.highlighted else ""


class _Look(NamedTuple):
    """What the strips of an item depend on beside its rows."""

    palette: Palette
    width: int
    order: int
    backdrop: str
    selected: tuple[int, int] | None


class FramePainter:
    """Paints the window of a model."""

    def __init__(self, model: LogModel, selector: TextSelector) -> None:
        self._model = model
        self._selector = selector
        self._painted: LRUCache[ItemNode, tuple[Layout, _Look, list[Strip]]] = LRUCache(_PAINTED)

    def forget(self) -> None:
        """Drop what was painted: it is of another conversation."""
        self._painted.clear()

    def paint(self, palette: Palette, marks: Marks) -> list[Strip]:
        """Return a strip for each row of the window; a short log stands at the bottom."""
        rows = self._model.window.rows()
        width, height = self._model.geometry.width, self._model.window.height
        self._painted.grow(max(_PAINTED, 2 * height))
        frame: list[Strip] = []
        for node, group in groupby(rows, key=attrgetter("node")):
            visible = list(group)
            strips = self._strips(node, palette, width, marks)
            shown = [strips[row] for _, row in visible]
            if node.item.key == marks.hovered:
                self._add_toolbar(shown, visible, palette, width)
            frame += shown
        if rows and (new := self._model.unseen):
            style = palette.style("below", "") + Style.from_meta({"chat": ("bottom", "")})
            below = ngettext("{n} new ↓", "{n} new ↓", new)
            frame[-1] = toolbar.over(frame[-1], Strip([Segment(f" {below} ", style)]), width)
        return [_blank(width, palette, rows)] * (height - len(rows)) + frame

    def _strips(self, node: ItemNode, palette: Palette, width: int, marks: Marks) -> list[Strip]:
        layout = self._model.layout(node)
        look = _Look(
            palette=palette,
            width=width,
            order=node.order,
            backdrop=marks.backdrop(node.item.key),
            selected=self._selector.within(node, marks.text),
        )
        known = self._painted.get(node)
        if known is not None and known[0] is layout and known[1] == look:
            return known[2]
        painting = Painting(
            palette=palette,
            order=node.order,
            width=width,
            sender=node.item.sender if isinstance(node.item, LogMessage) else "",
            backdrop=look.backdrop,
            selected=look.selected,
        )
        strips = painting.rows(layout.rows)
        self._painted[node] = (layout, look, strips)
        return strips

    def _add_toolbar(
        self, strips: list[Strip], visible: Sequence[VisibleRow], palette: Palette, width: int
    ) -> None:
        node = visible[0].node
        bar = toolbar.toolbar(node.item, palette.style("toolbar", ""))
        at = toolbar.row_for(bar, visible, self._model.layout(node).rows, width)
        if at >= 0 and bar.cell_length:
            strips[at] = toolbar.over(strips[at], bar, width)


def _blank(width: int, palette: Palette, rows: Sequence[VisibleRow]) -> Strip:
    """Return a row above a short log; a selection from there starts with the log."""
    if not rows:
        return Strip.blank(width, palette.base)
    meta = Style.from_meta({"offset": (Pinned(0), rows[0].node.order)})
    return Strip([Segment(" " * width, palette.base + meta)], width)
