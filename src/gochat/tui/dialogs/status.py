"""The person's status: typed, or chosen from what many people say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from textual.content import Content

from gochat.tui.dialogs.picker import Picker
from gochat.tui.input import fuzzy, statuses
from gochat.tui.input.statuses import NewStatus
from gochat.tui.language import N_, _
from gochat.tui.model.presentation import shown_time
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import ListRow

_CLEAR: Final = "clear"


class StatusPicker(Picker):
    """What the person types with the times that it may last, or what is offered.

    Returns a key of `choices`, which has None for clearing the status. `said` is how the person's
    status reads now, empty if there is none; `now` counts seconds since the Unix epoch.
    """

    heading: ClassVar[str] = N_("Your status")
    placeholder: ClassVar[str] = N_("What are you up to? Such as :palm: on holiday")
    keys_text: ClassVar[str] = N_("Enter set it   ↑↓ move   Esc close")

    def __init__(self, said: str, now: Callable[[], float]) -> None:
        super().__init__()
        self._said, self._now = said, now
        self.choices: dict[str, NewStatus | None] = {}

    def find(self, query: str) -> Sequence[str]:
        """What is typed, then what is offered."""
        now = datetime.fromtimestamp(self._now(), UTC).astimezone()
        offered = {f"offered {n}": new for n, new in enumerate(statuses.offered(now))}
        typed = statuses.read(query, now)
        self.choices = {}
        if typed is None:
            if self._said:
                self.choices[_CLEAR] = None
            self.choices |= offered
        else:
            for number, new in enumerate(statuses.with_times(typed, now)):
                self.choices[f"typed {number}"] = new
            for key in fuzzy.rank(query.strip(), offered, lambda key: offered[key].text):
                self.choices[key] = offered[key]
        return list(self.choices)

    def draw(self, key: str) -> ListRow:
        """How it reads, and until when."""
        new = self.choices[key]
        if new is None:
            clear = Content.styled(_("Clear"), "$primary")
            return ListRow(Content.assemble(" ", clear, f"  {one_line(self._said)}"))
        if new.duration is None:
            until = _("until you clear it")
        else:
            now = self._now()
            until = _("until {time}", time=shown_time(now + new.duration.total_seconds(), now))
        shown = one_line(new.shown)
        return ListRow(Content(f" {shown}"), Content.styled(f"{until} ", "$text-muted"))
