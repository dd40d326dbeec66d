"""Rows, painted: a row, a palette and what is selected give a strip of Textual's line API.

Each segment carries in its meta data what Textual's text selection asks for: ``offset``, which is a
place in the text and the order of the item. So a selection means the same text whatever is added,
removed, or rewrapped while it lives. Pieces of the frame carry the place of their row's start or
end, which doesn't move with the pointer: see `Pinned`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from gochat.tui.chat_log.row import BAR, HEADER, Piece, Row


class Pinned(int):
    """A place that stays the same when something is added to it.

    Textual adds the distance between the pointer and the start of the segment to its offset, as if
    every segment were text. In a gutter, between rules and right of the text that is wrong: a drag
    that begins there begins at the start of the row. One segment per cell would do as well, for
    eight times the segments.
    """

    def __add__(self, other: int) -> Pinned:
        return self

    __radd__ = __add__


@dataclass(slots=True, eq=False)
class Palette:
    """The styles of one theme: of each role, of each backdrop, of a selection, of each sender."""

    base: Style
    roles: dict[str, Style]
    backdrops: dict[str, Style]
    selection: Style
    sender: Callable[[str], Style]
    _known: dict[tuple[str, str], Style] = field(default_factory=dict)

    def style(self, roles: str, backdrop: str) -> Style:
        """Return the style of a piece with `roles`, each on top of those before."""
        key = (roles, backdrop)
        if (style := self._known.get(key)) is None:
            style = self.base + self.backdrops.get(backdrop, _NOTHING)
            for role in roles.split():
                style += self.roles.get(role, _NOTHING)
            self._known[key] = style
        return style


_NOTHING = Style()


@dataclass(frozen=True, slots=True)
class Painting:
    """What the rows of one item have in common."""

    palette: Palette
    order: int
    width: int
    sender: str = ""
    backdrop: str = ""
    """In place of the row's own, if any."""
    selected: tuple[int, int] | None = None
    """The range of the text that is selected, in whole clusters."""

    def rows(self, rows: Iterable[Row]) -> list[Strip]:
        """Return `rows` as strips of exactly the width."""
        return [self._row(row) for row in rows]

    def _row(self, row: Row) -> Strip:
        backdrop = self.backdrop or row.backdrop
        pieces = row.pieces
        if row.position[0] < HEADER:
            backdrop = ""  # what stands above an item is not the item
        elif backdrop == "selected" and pieces:
            pieces = (Piece(BAR, "selected-bar"), *pieces[1:])
        segments: list[Segment] = []
        for piece in pieces:
            style = self.palette.style(piece.roles, backdrop)
            if piece.roles == "sender":
                style += self.palette.sender(self.sender)
            if piece.link:
                style += Style(link=piece.link)
            if piece.at is None:
                at = Pinned(row.at)
                segments.append(Segment(piece.text, self._meta(at, piece) + style))
            else:
                segments.extend(self._text(piece, style))
        # One strip, not one and another that is filled: each has half a dozen caches of its own.
        width = sum(cell_len(segment.text) for segment in segments)
        if width < self.width:
            meta = Style.from_meta({"offset": (Pinned(row.stop), self.order)})
            style = meta + self.palette.style("text", backdrop)
            segments.append(Segment(" " * (self.width - width), style))
            width = self.width
        strip = Strip(segments, width)
        return strip if width == self.width else strip.crop(0, self.width)

    def _meta(self, at: int, piece: Piece) -> Style:
        meta: dict[str, Any] = {"offset": (at, self.order)}
        if piece.action is not None:
            meta["chat"] = piece.action
        return Style.from_meta(meta)

    def _text(self, piece: Piece, style: Style) -> list[Segment]:
        """Return a piece of the text, cut where the selection begins and ends."""
        assert piece.at is not None
        start, stop = piece.at, piece.at + len(piece.text)
        if self.selected is None or self.selected[1] <= start or self.selected[0] >= stop:
            return [Segment(piece.text, self._meta(start, piece) + style)]
        first, last = max(start, self.selected[0]), min(stop, self.selected[1])
        segments = []
        for begin, end, marked in ((start, first, False), (first, last, True), (last, stop, False)):
            if begin < end:
                shown = style + self.palette.selection if marked else style
                text = piece.text[begin - start : end - start]
                segments.append(Segment(text, self._meta(begin, piece) + shown))
        return segments
