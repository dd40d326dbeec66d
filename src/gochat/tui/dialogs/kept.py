"""A list of messages, pinned or saved; choosing one shows it where it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from gochat.client.moments import moment
from gochat.tui.dialogs.panel import Panel
from gochat.tui.model.kept import KeptRow
from gochat.tui.model.presentation import ago, count
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import ListRow, RowList

_AROUND: Final = 8
#: Rows from the end at which more is asked for.
_NEAR_END: Final = 5


class KeptPanel(Panel[KeptRow]):
    """Lists messages, and follows their changes; D removes one. Returns what was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", show=False),
        Binding("d,delete", "remove", show=False),
    ]
    box: ClassVar[str] = "picker"

    def __init__(
        self,
        title: str,
        nothing: str,
        find: Callable[[], Sequence[KeptRow] | None],
        *,
        remove: Callable[[KeptRow], None],
        keys: str,
        now: Callable[[], float],
        load_more: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._heading, self._find, self._remove = title, find, remove
        self._load_more, self._now = load_more, now
        self._found: dict[str, KeptRow] = {}
        self._drawn: Sequence[KeptRow] | None = None
        self.rows = RowList(self._draw, id="picker-rows", classes="-always")
        self._title = Static(title, id="picker-title", markup=False)
        self._nothing = Static(nothing, id="picker-nothing", markup=False)
        self._keys = Static(keys, id="picker-keys", markup=False)

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
        self.rows.styles.max_height = max(3, event.size.height - _AROUND)

    def refresh_rows(self) -> None:
        """Show what there is now, if it is known; the cursor stays with what it is on."""
        found = self._find()
        if found is None or found == self._drawn:
            return
        self._drawn, self._found = list(found), {row.key: row for row in found}
        title = f"{self._heading} · {count(len(found))}" if found else self._heading
        self._title.update(title)
        self._nothing.display = not found
        self.rows.show(list(self._found))
        self.rows.refresh()
        if self.rows.cursor is None:
            self.rows.action_end(-1)

    def _draw(self, key: str) -> ListRow:
        """Who wrote it, where or who pinned it, what it says, and when it was written."""
        row = self._found[key]
        left = Content.assemble(
            " ",
            Content.styled(one_line(row.sender), "bold"),
            Content.styled(f"  {one_line(row.note)}  ", "$text-muted"),
            one_line(row.text),
        )
        return ListRow(left, Content.styled(f"{ago(moment(row.ts), self._now())} ", "$text-muted"))

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

    def action_remove(self) -> None:
        """Take the message under the cursor from the list."""
        key = self.rows.cursor_key
        if key is not None and (row := self._found.get(key)) is not None:
            self._remove(row)
