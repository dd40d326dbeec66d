"""Choosing one of many by typing a few letters: what the switcher, the palette and others are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from gochat.tui.dialogs.panel import Panel
from gochat.tui.language import N_, _
from gochat.tui.widgets.row_list import ListRow, RowList
from gochat.tui.widgets.text_field import TextField

#: Rows that stand around the list: its title, the field, the keys, and what is left of the chat.
_AROUND: Final = 12
#: The same on a low terminal, where nothing of the chat is left.
_AROUND_LOW: Final = 7
#: A terminal that is lower is low.
LOW: Final = 24


class Picker(Panel[str]):
    """A field, and below it what matches. Returns the key of what was chosen, or None.

    A kind of picker defines what there is (:meth:`find`), how it looks (:meth:`draw`) and, where
    it can be shown before the choice, what it does (:meth:`moved`).
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("tab", "move(1)", show=False, priority=True),
        Binding("shift+tab", "move(-1)", show=False, priority=True),
        Binding("pagedown", "page(1)", show=False, priority=True),
        Binding("pageup", "page(-1)", show=False, priority=True),
    ]
    AUTO_FOCUS = "#picker-query"
    box: ClassVar[str] = "picker"

    #: What stands above the field, in it while it is empty, and below the list: messages.
    heading: ClassVar[str] = ""
    placeholder: ClassVar[str] = ""
    nothing: ClassVar[str] = N_("Nothing matches.")
    keys_text: ClassVar[str] = N_("Enter choose   ↑↓ move   Esc close")

    def __init__(self, query: str = "") -> None:
        super().__init__()
        self.rows = RowList(self.draw, id="picker-rows", classes="-always")
        self.rows.can_focus = False
        self.field = TextField(
            query, placeholder=_(self.placeholder), id="picker-query", compact=True,
            select_on_focus=False,
        )  # fmt: skip
        self._nothing = Static("", id="picker-nothing", markup=False)
        self._title = Static("", id="picker-title", markup=False)
        self._keys = Static(_(self.keys_text), id="picker-keys", markup=False)

    def compose(self) -> ComposeResult:
        """A box near the top, where the eye goes."""
        with Vertical(id="picker"):
            yield self._title
            yield self.field
            yield self.rows
            yield self._nothing
            yield from self.details()
            yield self._keys

    def on_mount(self) -> None:
        """Show all choices."""
        self.refresh_title()
        self.refresh_rows()
        self.field.cursor_position = len(self.field.value)

    def on_resize(self, event: events.Resize) -> None:
        """Leave room for what stands around the list."""
        if self.rows.styles.is_auto_height:
            around = _AROUND_LOW if event.size.height < LOW else _AROUND
            self.rows.styles.max_height = max(3, event.size.height - around)

    # -- what a kind of picker defines ------------------------------------------------------------

    def title_text(self) -> str:
        """Return what stands above the field."""
        return _(self.heading)

    def details(self) -> ComposeResult:
        """Yield what stands below the list."""
        yield from ()

    def find(self, query: str) -> Sequence[str]:
        """Return the keys of what matches, the best first."""
        raise AssertionError("each kind of picker says what there is")

    def draw(self, key: str) -> ListRow:
        """Return how one looks."""
        return ListRow(Content(key))

    def nothing_text(self) -> str:
        """Return what stands in place of the list where nothing is found."""
        return _(self.nothing) if self.query_text.strip() else ""

    def moved(self, key: str) -> None:
        """The cursor is on `key`: show what choosing it would do."""

    def cancelled(self) -> None:
        """Nothing is chosen: take back what was shown."""

    # -- what it does -----------------------------------------------------------------------------

    @property
    def query_text(self) -> str:
        """What is typed."""
        return self.field.value

    def refresh_title(self) -> None:
        """Show what the title is now."""
        self._title.update(self.title_text())

    def refresh_rows(self, *, to_top: bool = True) -> None:
        """Find again."""
        rows = self.rows
        rows.show(list(self.find(self.query_text)))
        nothing = "" if rows.keys else self.nothing_text()
        self._nothing.update(nothing)
        self._nothing.display = bool(nothing)
        if to_top or rows.cursor is None:
            rows.clear_cursor()
            rows.action_end(-1)

    @on(Input.Changed, "#picker-query")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.refresh_rows()

    @on(Input.Submitted, "#picker-query")
    def _enter(self, event: Input.Submitted) -> None:
        event.stop()
        self._take()

    def _take(self) -> None:
        if (key := self.rows.cursor_key) is not None:
            self.choose(key)

    @on(RowList.Chosen, "#picker-rows")
    def _clicked(self, event: RowList.Chosen) -> None:
        event.stop()
        self.choose(event.key)

    @on(RowList.Moved, "#picker-rows")
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self.moved(event.key)

    def choose(self, key: str) -> None:
        """End with `key`."""
        self.answer(key)

    def action_move(self, step: int) -> None:
        """Move the cursor."""
        self.rows.action_move(step)

    def action_page(self, step: int) -> None:
        """Move the cursor by a page."""
        self.rows.action_page(step)

    def action_cancel(self) -> None:
        """End with nothing."""
        self.cancelled()
        super().action_cancel()


def highlighted(text: str, positions: Sequence[int], style: str = "$primary bold") -> Content:
    """Return `text` with the letters at `positions` marked."""
    content = Content(text)
    for position in positions:
        content = content.stylize(style, position, position + 1)
    return content
