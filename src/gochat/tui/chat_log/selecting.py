"""Selecting text by mouse and by keys: places in the text, and Textual's selections of them."""

from __future__ import annotations

from typing import Final, Literal

from rich.cells import cell_len
from textual.geometry import Offset
from textual.selection import Selection

from gochat.tui.chat_log.index import ORDER_ORIGIN, ItemNode
from gochat.tui.chat_log.model import LogModel, TextPoint
from gochat.tui.chat_log.row import TEXT, Row
from gochat.tui.chat_log.window import VisibleRow
from gochat.tui.text.wrap import clusters, snap

Step = Literal["left", "right", "word_left", "word_right", "up", "down", "home", "end", "all"]

_START: Final = TextPoint(0, 0)
_STOP: Final = TextPoint(2 * ORDER_ORIGIN, 0)


class TextSelector:
    """Reads Textual's selections of one log, and makes them from keys."""

    def __init__(self, model: LogModel) -> None:
        self._model = model
        self._anchor: TextPoint | None = None
        self._head: TextPoint | None = None
        self.made: Selection | None = None
        """The last selection that was made here, not by dragging."""

    def head_row(self) -> VisibleRow | None:
        """Return the row with the end that keys move."""
        if self._head is None:
            return None
        node = self._model.at_order(self._head.order)
        if node is None or not node.is_rendered:
            return None
        found = 0
        for number, row in enumerate(self._model.layout(node).rows):
            if row.position[0] > TEXT or (row.position[0] == TEXT and row.at > self._head.at):
                break
            found = number
        return VisibleRow(node, found)

    def points(self, selection: Selection) -> tuple[TextPoint, TextPoint]:
        """Return the places between which text is selected, the first one first."""
        start = _START if selection.start is None else self._point(selection.start)
        stop = _STOP if selection.end is None else self._point(selection.end)
        return (start, stop) if start <= stop else (stop, start)

    def _point(self, offset: Offset) -> TextPoint:
        if offset.y >= ORDER_ORIGIN // 2:
            return TextPoint(offset.y, offset.x)
        # Where the widget has padding, Textual measures from its corner: a row of the window.
        window = self._model.window
        rows = window.rows()
        if not rows:
            return _START
        number = offset.y - (window.height - len(rows))
        node, row = rows[min(max(number, 0), len(rows) - 1)]
        return TextPoint(node.order, self._model.layout(node).rows[row].at)

    def within(self, node: ItemNode, selection: Selection | None) -> tuple[int, int] | None:
        """Return which part of the text of `node` is selected, in whole clusters."""
        if selection is None:
            return None
        start, stop = self.points(selection)
        if not start.order <= node.order <= stop.order:
            return None
        text = self._model.text(node)
        first = snap(text, start.at, up=False) if start.order == node.order else 0
        last = snap(text, stop.at, up=True) if stop.order == node.order else len(text)
        return (first, last) if first < last else None

    def text(self, selection: Selection) -> str:
        """Return the selected text, a line per item, without frames and wrapping."""
        start, stop = self.points(selection)
        parts: list[str] = []
        node = self._model.at_order(start.order)
        while node is not None and node.order <= stop.order:
            if node.is_rendered:
                text = self._model.text(node)
                first = snap(text, start.at, up=False) if node.order == start.order else 0
                last = snap(text, stop.at, up=True) if node.order == stop.order else len(text)
                parts.append(text[first:last])
            node = node.next
        return "\n".join(parts)

    def nodes(self, selection: Selection) -> list[ItemNode]:
        """Return the items of which text is selected, in order."""
        start, stop = self.points(selection)
        found: list[ItemNode] = []
        node = self._model.at_order(start.order)
        while node is not None and node.order <= stop.order:
            if self.within(node, selection) is not None:
                found.append(node)
            node = node.next
        return found

    def forget(self) -> None:
        """Start a new selection with the next key: this one was not made here."""
        self._anchor = self._head = self.made = None

    def whole(self, node: ItemNode) -> Selection:
        """Select all of one item."""
        return self._between(
            TextPoint(node.order, 0), TextPoint(node.order, len(self._model.text(node)))
        )

    def word(self, point: Offset) -> Selection | None:
        """Select the word at a place, or the one character there if that is not a word."""
        at = self._point(point)
        node = self._model.at_order(at.order)
        if node is None or node.order != at.order:
            return None
        text = self._model.text(node)
        first = snap(text, at.at, up=False)
        last = snap(text, min(at.at + 1, len(text)), up=True)
        if text[first:last].isalnum():
            while first > 0 and _in_word(text[first - 1]):
                first -= 1
            while last < len(text) and _in_word(text[last]):
                last += 1
        return self._between(TextPoint(node.order, first), TextPoint(node.order, last))

    def extend(self, selection: Selection | None, step: Step, start: ItemNode) -> Selection:
        """Move the end of the selection; without one, it begins at the start of `start`."""
        if step == "all":
            return self.whole(start)
        if selection is None:
            self._anchor = self._head = TextPoint(start.order, 0)
        elif self._anchor is None or self._head is None:
            self._anchor, self._head = self.points(selection)
        assert self._anchor is not None
        assert self._head is not None
        self._head = self._moved(self._head, step)
        return self._between(self._anchor, self._head)

    def _between(self, anchor: TextPoint, head: TextPoint) -> Selection:
        self._anchor, self._head = anchor, head
        first, last = min(anchor, head), max(anchor, head)
        self.made = Selection(Offset(first.at, first.order), Offset(last.at, last.order))
        return self.made

    def _moved(self, point: TextPoint, step: Step) -> TextPoint:
        node = self._model.at_order(point.order)
        if node is None:
            return point
        text = self._model.text(node)
        match step:
            case "left" | "word_left":
                if point.at == 0:
                    above = _rendered(node.previous, back=True)
                    return point if above is None else self._at_end(above)
                at = snap(text, point.at - 1, up=False)
                if step == "word_left":
                    at = _word_start(text, at)
                return TextPoint(node.order, at)
            case "right" | "word_right":
                if point.at >= len(text):
                    below = _rendered(node.next)
                    return point if below is None else TextPoint(below.order, 0)
                at = snap(text, point.at + 1, up=True)
                if step == "word_right":
                    at = _word_end(text, at)
                return TextPoint(node.order, at)
            case "up" | "down":
                return self._other_row(node, point, down=step == "down")
            case "home" | "end":
                row = _row_of(self._text_rows(node), point.at)
                if row is None:
                    return point
                return TextPoint(node.order, row.at if step == "home" else row.stop)
            case "all":
                return self._at_end(node)

    def _at_end(self, node: ItemNode) -> TextPoint:
        return TextPoint(node.order, len(self._model.text(node)))

    def _text_rows(self, node: ItemNode) -> list[Row]:
        return [row for row in self._model.layout(node).rows if row.has_text]

    def _other_row(self, node: ItemNode, point: TextPoint, *, down: bool) -> TextPoint:
        """Go to the row above or below, in the same column as far as it is that long."""
        rows = self._text_rows(node)
        row = _row_of(rows, point.at)
        if row is None:
            return point
        text = self._model.text(node)
        column = cell_len(text[row.at : point.at])
        number = rows.index(row) + (1 if down else -1)
        if not 0 <= number < len(rows):
            other = _rendered(node.next) if down else _rendered(node.previous, back=True)
            if other is None:
                return self._at_end(node) if down else TextPoint(node.order, 0)
            node, text = other, self._model.text(other)
            rows = self._text_rows(node)
            number = 0 if down else len(rows) - 1
        target = rows[number]
        at, cells = target.at, 0
        for cluster in clusters(text, target.at, target.stop):
            cells += cluster.cells
            if cells > column:
                break
            at = cluster.end
        return TextPoint(node.order, at)


def _rendered(node: ItemNode | None, *, back: bool = False) -> ItemNode | None:
    """Return `node` or the nearest after it (with `back`, before it) that has rows of its own."""
    while node is not None and not node.is_rendered:
        node = node.previous if back else node.next
    return node


def _row_of(rows: list[Row], at: int) -> Row | None:
    found = None
    for row in rows:
        if row.at > at:
            break
        found = row
    return found


def _in_word(char: str) -> bool:
    return char.isalnum() or char in "_-'’"


def _word_start(text: str, at: int) -> int:
    while at > 0 and not _in_word(text[at]):
        at -= 1
    while at > 0 and _in_word(text[at - 1]):
        at -= 1
    return snap(text, at, up=False)


def _word_end(text: str, at: int) -> int:
    while at < len(text) and not _in_word(text[at - 1]):
        at += 1
    while at < len(text) and _in_word(text[at]):
        at += 1
    return snap(text, at, up=True)
