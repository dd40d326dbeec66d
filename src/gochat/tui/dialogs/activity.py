"""What concerns the person, the newest first; choosing one shows it where it stands."""

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
from gochat.tui.language import N_, _
from gochat.tui.model.activity import ActivityRow
from gochat.tui.model.presentation import ago, count, describe
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import ListRow, RowList

_KEYS: Final = N_("Enter show it   S all seen   Esc close")
_NOTHING: Final = N_(
    "Nothing yet. Here you find who mentions you, replies or reacts to what you wrote, "
    "invitations, and unread private messages."
)
_AROUND: Final = 8
#: Rows from the end at which more is asked for.
_NEAR_END: Final = 5


class ActivityPanel(Panel[ActivityRow]):
    """Lists what concerns the person, and follows its changes. Returns what was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", show=False),
        Binding("s", "see_all", show=False),
    ]
    box: ClassVar[str] = "picker"

    def __init__(
        self,
        find: Callable[[], Sequence[ActivityRow]],
        *,
        see_all: Callable[[], None],
        load_more: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        super().__init__()
        self._find, self._see_all, self._load_more, self._now = find, see_all, load_more, now
        self._found: dict[str, ActivityRow] = {}
        self._drawn: Sequence[ActivityRow] = ()
        self.rows = RowList(self._draw, id="picker-rows", classes="-always")
        self._title = Static(_("Activity"), id="picker-title", markup=False)
        self._nothing = Static(_(_NOTHING), id="picker-nothing", markup=False)
        self._keys = Static(_(_KEYS), id="picker-keys", markup=False)

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
        """Show what there is now; the cursor stays with what it is on."""
        found = self._find()
        new = sum(row.is_new for row in found)
        self._title.update(_("Activity · {n} new", n=count(new)) if new else _("Activity"))
        self._nothing.display = not found
        if found == self._drawn:
            return
        self._drawn, self._found = found, {row.key: row for row in found}
        self.rows.show(list(self._found))
        self.rows.refresh()
        if self.rows.cursor is None:
            self.rows.action_end(-1)

    def _draw(self, key: str) -> ListRow:
        """Whether it is new, who did what and where, and when."""
        row = self._found[key]
        sign = Content.styled("● ", "$accent bold") if row.is_new else Content("  ")
        style = "bold" if row.is_new else "$foreground"
        who = one_line(row.sender)
        left = Content.assemble(
            sign,
            Content.styled(who, style) if who else "",
            Content.styled(f"  {describe(row)}  ", "$text-muted"),
            one_line(row.message),
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

    def action_see_all(self) -> None:
        """Mark everything as seen."""
        self._see_all()
