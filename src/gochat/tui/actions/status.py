"""Setting the person's status, in the app and in the line mode."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from gochat.tui.actions.controller import Controller
from gochat.tui.input import statuses
from gochat.tui.input.statuses import NewStatus
from gochat.tui.language import N_, _
from gochat.tui.model.presentation import shown_time
from gochat.tui.text.sanitise import one_line

USAGE: Final = N_("Write /status and what you are up to, as /status :palm: on holiday until 18:00.")


class StatusActions:
    """Sets the person's status, and says so with `say`."""

    def __init__(self, controller: Controller, say: Callable[[str], None]) -> None:
        self._controller, self._model = controller, controller.model
        self._say = say

    @property
    def is_set(self) -> bool:
        """True if the person has a status now."""
        return self._model.status_of(self._model.me) is not None

    def write(self, text: str) -> None:
        """Set the status as it was written; or clear it, if nothing was."""
        now = datetime.fromtimestamp(self._model.wall_clock(), UTC).astimezone()
        self.set(statuses.read(text, now))

    def set(self, new: NewStatus | None) -> None:
        """Set the status, or clear it."""
        client = self._controller.client
        if new is None:
            work, done = client.set_status(""), _("Your status is cleared.")
        else:
            work = client.set_status(new.text, emoji=new.emoji, duration=new.duration)
            done = _("Your status: {status}", status=one_line(new.shown))
            if new.duration is not None:
                now = self._model.wall_clock()
                until = shown_time(now + new.duration.total_seconds(), now)
                done = _(
                    "Your status until {time}: {status}", time=until, status=one_line(new.shown)
                )
        self._controller.do(work, lambda: self._say(done))
