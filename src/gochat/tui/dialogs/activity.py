"""What concerns the person, the newest first; choosing one shows it where it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.content import Content

from gochat.tui.dialogs.row_panel import RowPanel
from gochat.tui.language import N_, _
from gochat.tui.model.activity import ActivityRow
from gochat.tui.model.presentation import count, describe
from gochat.tui.text.sanitise import one_line

_KEYS: Final = N_("Enter show it   S all seen   Esc close")
_NOTHING: Final = N_(
    "Nothing yet. Here you find who mentions you, replies or reacts to what you wrote, "
    "invitations, and unread private messages."
)


class ActivityPanel(RowPanel[ActivityRow]):
    """Lists what concerns the person, and follows its changes; S marks all of it as seen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("s", "see_all", show=False)]

    def __init__(
        self,
        find: Callable[[], Sequence[ActivityRow]],
        *,
        see_all: Callable[[], None],
        load_more: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._see_all = see_all
        super().__init__(_(_NOTHING), _(_KEYS), find=find, now=now, load_more=load_more)

    def heading(self, found: Sequence[ActivityRow]) -> str:
        """Return what these are, and how many are new."""
        new = sum(row.is_new for row in found)
        return _("Activity · {n} new", n=count(new)) if new else _("Activity")

    def text(self, row: ActivityRow) -> Content:
        """Return whether it is new, and who did what and where."""
        sign = Content.styled("● ", "$accent bold") if row.is_new else Content("  ")
        style = "bold" if row.is_new else "$foreground"
        who = one_line(row.sender)
        return Content.assemble(
            sign,
            Content.styled(who, style) if who else "",
            Content.styled(f"  {describe(row)}  ", "$text-muted"),
            one_line(row.message),
        )

    def action_see_all(self) -> None:
        """Mark everything as seen."""
        self._see_all()
