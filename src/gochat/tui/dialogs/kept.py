"""A list of messages, pinned or saved; choosing one shows it where it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from gochat.tui.dialogs.row_panel import RowPanel
from gochat.tui.model.kept import KeptRow
from gochat.tui.model.presentation import count
from gochat.tui.text.sanitise import one_line


class KeptPanel(RowPanel[KeptRow]):
    """Lists messages under a `title`, and follows their changes; D removes one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("d,delete", "remove", show=False)]

    def __init__(
        self,
        title: str,
        nothing: str,
        keys: str,
        *,
        find: Callable[[], Sequence[KeptRow] | None],
        remove: Callable[[KeptRow], None],
        now: Callable[[], float],
        load_more: Callable[[], None] = lambda: None,
    ) -> None:
        self._heading, self._remove = title, remove
        super().__init__(nothing, keys, find=find, now=now, load_more=load_more)

    def heading(self, found: Sequence[KeptRow]) -> str:
        """Return what these are, and how many."""
        return f"{self._heading} · {count(len(found))}" if found else self._heading

    def text(self, row: KeptRow) -> Content:
        """Return who wrote it, where or who pinned it, and what it says."""
        return Content.assemble(
            " ",
            Content.styled(one_line(row.sender), "bold"),
            Content.styled(f"  {one_line(row.note)}  ", "$text-muted"),
            one_line(row.text),
        )

    def action_remove(self) -> None:
        """Take the message under the cursor from the list."""
        if (row := self.at_cursor) is not None:
            self._remove(row)
