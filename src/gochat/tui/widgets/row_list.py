"""A list of one-line rows that costs what is visible, not what it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from gochat.tui.text.names import ELLIPSIS, cut

_NOTHING: Final = Content("")


@dataclass(frozen=True, slots=True)
class ListRow:
    """How one row looks: `left` gives way to `right`. One that is not `enabled` is a heading.

    `left` begins with a name; two spaces part it from what is said of it, which gives way first.
    """

    left: Content
    right: Content = _NOTHING
    enabled: bool = True


#: Rows on each side of the visible ones of which more is asked for, so that it is there in time.
_NEAR: Final = 50


class RowList(ScrollView, can_focus=True):
    """Shows rows by their keys; draws a row only when it is on the screen.

    One row may be *current* (what is open elsewhere), one has the *cursor* (what Enter chooses).
    """

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Next", show=False),
        Binding("up", "move(-1)", "Previous", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("home", "end(-1)", "First", show=False),
        Binding("end", "end(1)", "Last", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "row-list--row",
        "row-list--current",
        "row-list--cursor",
        "row-list--hover",
    }
    DEFAULT_CSS = """
    RowList {
        height: auto;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .row-list--current { background: $foreground 8%; text-style: bold; }
        & > .row-list--hover { background: $foreground 5%; }
        & > .row-list--cursor { background: $foreground 8%; }
        &:focus > .row-list--cursor { background: $primary 35%; color: $foreground; }
        &.-always > .row-list--cursor { background: $primary 35%; color: $foreground; }
    }
    """

    cursor: reactive[int | None] = reactive(None, repaint=False)
    _hover: reactive[int | None] = reactive(None, repaint=False)

    class Chosen(Message):
        """The person chose the row `key`."""

        def __init__(self, rows: RowList, key: str) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

        @property
        def control(self) -> RowList:
            """The list, for ``@on(…, "#id")``."""
            return self.rows

    class Scrolled(Message):
        """Other rows are visible."""

        def __init__(self, rows: RowList) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> RowList:
            """The list, for ``@on(…, "#id")``."""
            return self.rows

    class Moved(Message):
        """The cursor is on the row `key` now."""

        def __init__(self, rows: RowList, key: str) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

        @property
        def control(self) -> RowList:
            """The list, for ``@on(…, "#id")``."""
            return self.rows

    def __init__(
        self,
        draw: Callable[[str], ListRow],
        *,
        id: str | None = None,  # noqa: A002 – the widgets' word for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._draw = draw
        self._keys: Sequence[str] = ()
        self._current: str | None = None

    # -- what is shown ----------------------------------------------------------------------------

    @property
    def keys(self) -> Sequence[str]:
        """The keys of all rows."""
        return self._keys

    @property
    def cursor_key(self) -> str | None:
        """The key of the row that Enter chooses."""
        if self.cursor is None or not 0 <= self.cursor < len(self._keys):
            return None
        return self._keys[self.cursor]

    @property
    def keys_near(self) -> Sequence[str]:
        """The keys of the rows that are visible, and of some above and below them."""
        top = self.scroll_offset.y
        return self._keys[max(0, top - _NEAR) : top + self.size.height + _NEAR]

    def show(self, keys: Sequence[str], current: str | None = None) -> None:
        """Show the rows with these keys; the cursor stays on its row where that is still there."""
        key = self.cursor_key
        grown = len(keys) != len(self._keys)
        self._keys, self._current = keys, current
        if key is not None and (self.cursor or 0) < len(keys) and keys[self.cursor or 0] == key:
            pass
        elif key is not None and key in keys:
            self.set_reactive(RowList.cursor, keys.index(key))
        else:
            self.set_reactive(RowList.cursor, self._near(self.cursor))
        self.virtual_size = Size(0, len(keys))
        self.refresh(layout=grown and self.styles.is_auto_height)

    def put_cursor(self, key: str) -> None:
        """Put the cursor on the row `key`."""
        if key in self._keys:
            self.cursor = self._keys.index(key)

    def clear_cursor(self) -> None:
        """Put the cursor on no row."""
        self.cursor = None

    def _near(self, index: int | None) -> int | None:
        if index is None:
            return None
        at = min(index, len(self._keys) - 1)
        return at if at >= 0 and self._row(at).enabled else self._next(at, 1)

    def _row(self, index: int) -> ListRow:
        return self._draw(self._keys[index])

    def _next(self, index: int, step: int) -> int | None:
        at = index + step
        while 0 <= at < len(self._keys):
            if self._row(at).enabled:
                return at
            at += step
        return None

    # -- drawing ----------------------------------------------------------------------------------

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are rows."""
        return len(self._keys)

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y
        if not 0 <= index < len(self._keys):
            return Strip.blank(width, self.rich_style)
        row = self._row(index)
        name = "row-list--row"
        if index == self.cursor:
            name = "row-list--cursor"
        elif self._keys[index] == self._current:
            name = "row-list--current"
        elif index == self._hover and row.enabled:
            name = "row-list--hover"
        style = self.get_visual_style(name)
        room = max(0, width - row.right.cell_length - (1 if row.right else 0))
        line = fitted(row.left, room)
        if name == "row-list--hover":
            line = line.stylize("underline", len(line.plain) - len(line.plain.lstrip()))
        if row.right:
            gap = max(0, width - line.cell_length - row.right.cell_length)
            line = Content.assemble(line, " " * gap, row.right)
        strips = Visual.to_strips(self, line, max(1, width), 1, style, pad=True)
        strip = strips[0] if strips else Strip.blank(width, style.rich_style)
        return strip.crop_extend(0, width, style.rich_style)

    # -- moving and choosing ----------------------------------------------------------------------

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Report that other rows are visible."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Scrolled(self))

    def watch_cursor(self, old: int | None, new: int | None) -> None:
        """Draw the two rows again, and scroll to the new one."""
        for index in (old, new):
            if index is not None:
                self.refresh_line(index)
        if new is not None and (key := self.cursor_key) is not None:
            top = 0 if new and self._next(new, -1) is None else new  # with its heading
            self.scroll_to_region(
                Region(0, top, 1, new - top + 1), animate=False, force=True, x_axis=False
            )
            self.post_message(self.Moved(self, key))

    def watch__hover(self, old: int | None, new: int | None) -> None:
        """Draw the two rows again."""
        for index in (old, new):
            if index is not None:
                self.refresh_line(index)

    def action_move(self, step: int) -> None:
        """Move the cursor by one row."""
        if self.cursor is None:
            self.action_end(-step)
        elif (index := self._next(self.cursor, step)) is not None:
            self.cursor = index

    def action_page(self, step: int) -> None:
        """Move the cursor by what is visible."""
        start = self.cursor if self.cursor is not None else 0
        target = start + step * max(1, self.scrollable_content_region.height - 1)
        target = max(0, min(len(self._keys) - 1, target))
        if self._keys and not self._row(target).enabled:
            target = self._next(target, step) or self._next(target, -step) or target
        if self._keys:
            self.cursor = target

    def action_end(self, step: int) -> None:
        """Move the cursor to the first or the last row."""
        index = self._next(-1, 1) if step < 0 else self._next(len(self._keys), -1)
        if index is not None:
            self.cursor = index

    def action_choose(self) -> None:
        """Choose the row that has the cursor."""
        if (key := self.cursor_key) is not None:
            self.post_message(self.Chosen(self, key))

    def on_focus(self) -> None:
        """Put the cursor on the current row, or the first."""
        if self.cursor is None:
            if self._current in self._keys:
                self.put_cursor(self._current or "")
            else:
                self.action_end(-1)

    def _at(self, event: events.MouseEvent) -> int | None:
        offset = event.get_content_offset(self)
        if offset is None:
            return None
        index = offset.y + self.scroll_offset.y
        return index if 0 <= index < len(self._keys) and self._row(index).enabled else None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show what a click would choose."""
        self._hover = self._at(event)

    def on_leave(self) -> None:
        """The mouse is elsewhere."""
        self._hover = None

    def on_click(self, event: events.Click) -> None:
        """Choose the row under the mouse."""
        if (index := self._at(event)) is not None:
            self.cursor = index
            self.action_choose()


def fitted(line: Content, width: int) -> Content:
    """Return a line that begins with a name in at most `width` cells.

    What is said of the name, after two spaces, is cut at its end, the name itself in its middle.
    """
    if line.cell_length <= width:
        return line
    plain = line.plain
    indent = len(plain) - len(plain.lstrip())
    end = plain.find("  ", indent)
    name = line if end < 0 else line[:end]
    if name.cell_length + 3 < width:
        return line.truncate(width, ellipsis=True)
    if name.cell_length <= width:
        return name
    first, last = cut(name.plain, max(width, 1))
    return Content.assemble(name[:first], ELLIPSIS, name[last:])
