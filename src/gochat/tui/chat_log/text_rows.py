"""The text of a message in rows: wrapped, with the edges of code, quotes and tables around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from rich.cells import cell_len

from gochat.tui.chat_log.row import Piece, edge_above, edge_below, text_at
from gochat.tui.text.document import Document, Line, LineKind, Span
from gochat.tui.text.wrap import clusters, wrap

#: Edges: of a quote, of code (where it begins, goes on and ends), of a table's heading.
_QUOTE: Final = "▏ "
_FIRST, _MIDDLE, _LAST = "╭─", "│ ", "╰ "
_ACROSS: Final = "─"


class TextRow(NamedTuple):
    """A row of the text; `used` columns of it are taken. `position` is that of the whole row."""

    position: tuple[int, int]
    pieces: tuple[Piece, ...]
    at: int
    stop: int
    used: int


def text_rows(document: Document, base: str, width: int) -> Iterator[TextRow]:
    """Yield the rows of `document`, at most `width` columns wide; `base` is the role of text."""
    plain, spans = document.plain, _SpanCutter(document.spans)
    for line in document.lines:
        quote = Piece(_QUOTE * line.quote, "quote-bar")
        around = (quote,) if line.quote else ()
        room = width - len(_QUOTE) * line.quote
        match line.kind:
            case LineKind.CODE:
                rows = _code(plain, line, spans, room)
            case LineKind.TABLE if line.columns <= room:
                rows = _table(plain, line, spans, base)
            case LineKind.RULE:
                across = Piece(_ACROSS * max(room, 1), "rule")
                rows = iter([_row(text_at(line.start), (across,), line.start, line.start)])
            case _:
                rows = _text(plain, line, spans, "quote" if line.quote else base, room)
        for row in rows:
            yield row._replace(pieces=(*around, *row.pieces), used=row.used + width - room)


def _row(position: tuple[int, int], pieces: tuple[Piece, ...], at: int, stop: int) -> TextRow:
    return TextRow(position, pieces, at, stop, sum(cell_len(piece.text) for piece in pieces))


def _text(plain: str, line: Line, spans: _SpanCutter, base: str, room: int) -> Iterator[TextRow]:
    """Yield the rows of a line; those after the first are indented as what it begins with."""
    ranges = wrap(plain, line.start, line.end, room)
    hang = line.hang if line.hang < room // 2 else 0
    if hang and len(ranges) > 1:
        ranges[1:] = wrap(plain, ranges[1][0], line.end, room - hang)
    for number, (start, stop) in enumerate(ranges):
        indent = (Piece(" " * hang, base),) if hang and number else ()
        pieces = (*indent, *spans.cut(plain, start, stop, base))
        yield _row(text_at(start), pieces, start, stop)


def _code(plain: str, line: Line, spans: _SpanCutter, room: int) -> Iterator[TextRow]:
    """Yield the rows of a line of code, with the edge of its block at the left, and above it."""

    def filled(pieces: list[Piece]) -> tuple[Piece, ...]:
        left = room - sum(cell_len(piece.text) for piece in pieces)
        return (*pieces, Piece(" " * left, "code")) if left > 0 else tuple(pieces)

    if line.label is not None:
        edge = [Piece(_FIRST, "code code-edge")]
        if line.label:
            edge.append(Piece(f" {clipped(line.label, room - 4)}", "code code-label"))
        yield _row(edge_above(line.start), filled(edge), line.start, line.start)
    ranges = wrap(plain, line.start, line.end, room - 3)
    for number, (start, stop) in enumerate(ranges):
        bar = _LAST if line.ends and number == len(ranges) - 1 else _MIDDLE
        pieces = [Piece(bar, "code code-edge"), *spans.cut(plain, start, stop, "code")]
        yield _row(text_at(start), filled(pieces), start, stop)


def _table(plain: str, line: Line, spans: _SpanCutter, base: str) -> Iterator[TextRow]:
    """Yield the one row of a table's line, and what is drawn below its heading."""
    pieces: list[Piece] = []
    at = line.start
    for pad in line.pads:
        pieces += spans.cut(plain, at, pad.at, base)
        pieces.append(Piece(" " * pad.columns, base))
        at = pad.at
    pieces += spans.cut(plain, at, line.end, base)
    yield _row(text_at(line.start), tuple(pieces), line.start, line.end)
    if line.below:
        rule = Piece(line.below, "rule")
        yield _row(edge_below(line.end), (rule,), line.end, line.end)


class _SpanCutter:
    """Cuts rows, asked for in order, into pieces that look the same throughout."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._next = 0
        self._open: list[Span] = []

    def cut(self, plain: str, start: int, stop: int, base: str) -> list[Piece]:
        """Return the range of the text in pieces; `base` is the role of all of it."""
        while self._next < len(self._spans) and self._spans[self._next].start < stop:
            self._open.append(self._spans[self._next])
            self._next += 1
        self._open = [span for span in self._open if span.end > start]
        if not self._open:
            return [Piece(plain[start:stop], base, start)] if start < stop else []
        edges = {start, stop}
        for span in self._open:
            edges.add(max(start, span.start))
            edges.add(min(stop, span.end))
        pieces: list[Piece] = []
        for first, last in pairwise(sorted(edges)):
            roles, link = [base], ""
            for span in self._open:
                if span.start <= first and span.end >= last:
                    roles.append(span.role)
                    link = span.link or link
            pieces.append(Piece(plain[first:last], " ".join(roles), first, link))
        return pieces


def clipped(text: str, width: int) -> str:
    """Return as much of `text` as fits into `width` cells, with an ellipsis if that isn't all."""
    if cell_len(text) <= width:
        return text
    used, end = 0, 0
    for cluster in clusters(text):
        if used + cluster.cells > width - 1:
            break
        used += cluster.cells
        end = cluster.end
    return text[:end] + "…"
