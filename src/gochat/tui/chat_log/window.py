"""Which rows of the log are visible.

The one truth is the anchor: either the end of the log, or one row of one item at the top of the
window. Offsets from the start of the log are derived from it, and only for the scroll bar, since
most heights are estimates. That is why nothing jumps: when an item above is measured, replaced,
removed or added, the anchor stays where it is and the offset changes; visible items are always
measured.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gochat.tui.chat_log.index import ItemIndex, ItemNode


class VisibleRow(NamedTuple):
    """A row of the window: which row of which node."""

    node: ItemNode
    row: int


#: Where a row is in its item, at any width: the part, and the character it starts with.
RowPosition = tuple[int, int]


class Ruler(Protocol):
    """What knows the rows of a node at the present width."""

    def height(self, node: ItemNode) -> int:
        """Return the number of rows; 0 if another node shows it."""

    def position(self, node: ItemNode, row: int) -> RowPosition:
        """Return the place of a row; places ascend with the rows."""

    def row_at(self, node: ItemNode, position: RowPosition) -> int:
        """Return the row that holds `position`."""


class Window:
    """The part of the log that is seen."""

    def __init__(self, index: ItemIndex, ruler: Ruler) -> None:
        self._index = index
        self._ruler = ruler
        self._rows: list[VisibleRow] | None = None
        self._anchor: ItemNode | None = None
        self._row = 0
        self._position: RowPosition | None = None  # of the anchor, once it was shown
        self._height = 1
        self._follow = True
        self._live = True

    @property
    def live(self) -> bool:
        """Whether the end of the log is now: only then does the window stick to it."""
        return self._live

    @live.setter
    def live(self, live: bool) -> None:
        self.rows()
        self._live = live
        self._rows = None

    @property
    def sticks(self) -> bool:
        """Whether it would stay at the end if something came; lays out only if that is open."""
        if not self._follow:
            self.rows()
        return self._follow and self._live

    @property
    def at_end(self) -> bool:
        """Whether the last row of the log is visible."""
        rows = self.rows()
        if not rows:
            return True
        last = rows[-1]
        return last.row == last.node.height - 1 and self._below(last.node) is None

    @property
    def at_start(self) -> bool:
        """Whether the first row of the log is visible."""
        rows = self.rows()
        return not rows or (rows[0].row == 0 and self._above(rows[0].node) is None)

    @property
    def height(self) -> int:
        """How many rows there is room for."""
        return self._height

    @height.setter
    def height(self, height: int) -> None:
        if height != self._height:
            self._height = height
            self._rows = None

    @property
    def offset(self) -> int:
        """How many rows are above the window, as far as they are known."""
        rows = self.rows()
        return self._index.offset_of(rows[0].node) + rows[0].row if rows else 0

    def changed(self) -> None:
        """Take into account that items or heights changed."""
        self._rows = None

    def removed(self, node: ItemNode) -> None:
        """Forget `node`, which is about to leave the index."""
        if self._anchor is node:
            self._anchor, self._row, self._position = node.next or node.previous, 0, None
        self._rows = None

    def to_end(self) -> None:
        """Show the last rows, and stick to them."""
        self._follow, self._rows = True, None

    def to(self, node: ItemNode, row: int = 0) -> None:
        """Put this row at the top, or as near to it as the log's end allows."""
        self._anchor, self._row, self._position = node, row, None
        self._follow, self._rows = False, None

    def show_at(self, node: ItemNode, row: int, down: int) -> None:
        """Put this row so many rows down from the top, as far as the log's ends allow."""
        self._measured(node)
        row -= down
        while row < 0 and (above := self._above(node)) is not None:
            node = above
            row += node.height
        self.to(node, max(row, 0))

    def show(self, node: ItemNode) -> None:
        """Scroll as little as brings all of `node` into view, or its beginning."""
        rows = self.rows()
        visible = sum(1 for row in rows if row.node is node)
        if not rows or (visible and visible == node.height):
            return
        if node.order <= rows[0].node.order or self._measured(node) >= self._height:
            self.to(node)
        else:
            self.show_at(node, node.height - 1, self._height - 1)

    def show_row(self, row: VisibleRow) -> None:
        """Scroll as little as brings `row` into view."""
        rows = self.rows()
        if not rows or row in rows:
            return
        if (row.node.order, row.row) < (rows[0].node.order, rows[0].row):
            self.to(*row)
        else:
            self.show_at(*row, self._height - 1)

    def to_offset(self, offset: int) -> None:
        """Go where the scroll bar was dragged to."""
        if offset >= self._index.total - self._height:
            self.to_end()
        elif found := self._index.at_offset(offset):
            self.to(*found)

    def scroll(self, rows: int) -> None:
        """Move by so many rows; the start and the end stop it."""
        visible = self.rows()
        if not visible or not rows:
            return
        node, row = visible[0].node, visible[0].row + rows
        while row < 0:
            above = self._above(node)
            if above is None:
                row = 0
                break
            node = above
            row += node.height
        while row >= node.height:
            below = self._below(node)
            if below is None:
                row = max(0, node.height - 1)
                break
            row -= node.height
            node = below
        self.to(node, row)

    def rows(self) -> list[VisibleRow]:
        """Return the visible rows, top to bottom; fewer than the height if the log is shorter."""
        if self._rows is None:
            self._rows = self._settled()
            if self._rows:
                self._anchor, self._row = self._rows[0]
                self._position = self._ruler.position(self._anchor, self._row)
        return self._rows

    def _settled(self) -> list[VisibleRow]:
        if self._index.last is None:
            self._anchor, self._row = None, 0
            self._follow = True
            return []
        if not self._follow or not self._live:
            rows = self._from_anchor()
            if rows is not None:
                return rows
            self._follow = self._live
        return self._to_last()

    def _from_anchor(self) -> list[VisibleRow] | None:
        """Return the rows from the anchor on, or nothing if they don't fill the window.

        A window that its rows fill exactly, down to the last one, sticks to the end.
        """
        node = self._anchor
        if node is None:
            return None
        moved = not self._index.is_exact(node)
        height = self._measured(node)
        if moved and height and self._position is not None:
            self._row = self._ruler.row_at(node, self._position)
        if node.run is not None and node.run.leader is not node:
            node = node.run.leader
            height = self._measured(node)
        self._row = min(self._row, height - 1)
        rows: list[VisibleRow] = []
        row = self._row
        current: ItemNode | None = node
        while current is not None:
            while row < current.height:
                rows.append(VisibleRow(current, row))
                if len(rows) == self._height:
                    if row == current.height - 1 and self._below(current) is None:
                        self._follow = self._live
                    return rows
                row += 1
            row = 0
            current = self._below(current)
        return None

    def _to_last(self) -> list[VisibleRow]:
        rows: list[VisibleRow] = []
        node = self._index.last
        if node is not None:
            if node.run is not None:
                node = node.run.leader
            self._measured(node)
        while node is not None and len(rows) < self._height:
            taken = min(node.height, self._height - len(rows))
            rows.extend(
                VisibleRow(node, row) for row in range(node.height - 1, node.height - 1 - taken, -1)
            )
            node = self._above(node)
        rows.reverse()
        return rows

    def _measured(self, node: ItemNode) -> int:
        if not self._index.is_exact(node):
            self._index.set_height(node, self._ruler.height(node))
        return node.height

    def _above(self, node: ItemNode) -> ItemNode | None:
        """Return the nearest node above that has rows, measured."""
        above = node.run.leader.previous if node.run else node.previous
        if above is not None and above.run:
            above = above.run.leader
        if above is not None:
            self._measured(above)
        return above

    def _below(self, node: ItemNode) -> ItemNode | None:
        """Return the nearest node below that has rows, measured."""
        below = node.run.last.next if node.run else node.next
        if below is not None:
            self._measured(below)
        return below
