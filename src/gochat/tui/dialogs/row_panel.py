"""A list that follows what it is made of; choosing a row is the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Generic, Protocol, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from gochat.client.moments import moment
from gochat.tui.dialogs.panel import Panel
from gochat.tui.dialogs.picker import LOW
from gochat.tui.model.presentation import ago
from gochat.tui.widgets.row_list import ListRow, RowList

#: Lines that stand around the list: its title, the keys, and what is left of the chat.
_AROUND: Final = 10
#: The same on a low terminal, where nothing of the chat is left.
_AROUND_LOW: Final = 7
#: Rows from the end at which more is asked for.
_NEAR_END: Final = 5


class Row(Protocol):
    """Something in the list. `ts` is in milliseconds since the Unix epoch."""

    @property
    def key(self) -> str: ...  # noqa: D102 – what it is, for the list
    @property
    def ts(self) -> int: ...  # noqa: D102 – likewise


R = TypeVar("R", bound=Row)


class RowPanel(Panel[R], Generic[R]):
    """Lists what `find` returns, None while that is not known yet. Returns what was chosen.

    `nothing` is shown where there is nothing, `keys` below the list; `now` counts seconds since the
    Unix epoch; `load_more` is called when the cursor comes near the end.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", show=False)]
    box: ClassVar[str] = "picker"

    def __init__(
        self,
        nothing: str,
        keys: str,
        *,
        find: Callable[[], Sequence[R] | None],
        now: Callable[[], float],
        load_more: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._find, self._now, self._load_more = find, now, load_more
        self._found: dict[str, R] = {}
        self._drawn: Sequence[R] | None = None
        self.rows = RowList(self._draw, id="picker-rows", classes="-always")
        self._title = Static(self.heading(()), id="picker-title", markup=False)
        self._nothing = Static(nothing, id="picker-nothing", markup=False)
        self._keys = Static(keys, id="picker-keys", markup=False)

    def heading(self, found: Sequence[R]) -> str:
        """Return what stands above the list."""
        raise AssertionError("each kind of panel says what it lists")

    def text(self, row: R) -> Content:
        """Return how a row looks, but for its time."""
        raise AssertionError("each kind of panel says how its rows look")

    def compose(self) -> ComposeResult:
        """A box near the top, as of other lists."""
        with Vertical(id="picker"):
            yield self._title
            yield self.rows
            yield self._nothing
            yield self._keys

    def on_mount(self) -> None:
        """Show what there is."""
        self.rows.focus()
        self.refresh_rows()

    def on_resize(self, event: events.Resize) -> None:
        """Leave room for what stands around the list."""
        around = _AROUND_LOW if event.size.height < LOW else _AROUND
        self.rows.styles.max_height = max(3, event.size.height - around)

    def refresh_rows(self) -> None:
        """Show what there is now, if it is known; the cursor stays with what it is on."""
        found = self._find()
        if found is None or found == self._drawn:
            return
        self._drawn, self._found = list(found), {row.key: row for row in found}
        self._title.update(self.heading(found))
        self._nothing.display = not found
        self.rows.show(list(self._found))
        self.rows.refresh()
        if self.rows.cursor is None:
            self.rows.action_end(-1)

    @property
    def at_cursor(self) -> R | None:
        """What the cursor is on."""
        key = self.rows.cursor_key
        return None if key is None else self._found.get(key)

    def _draw(self, key: str) -> ListRow:
        row = self._found[key]
        time = ago(moment(row.ts), self._now())
        return ListRow(self.text(row), Content.styled(f"{time} ", "$text-muted"))

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        """Ask for more near the end."""
        event.stop()
        if event.key in list(self._found)[-_NEAR_END:]:
            self._load_more()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        if (row := self._found.get(event.key)) is not None:
            self.answer(row)
