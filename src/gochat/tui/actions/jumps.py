"""Showing another part of the log than its end, such as a message or a day; and the way back."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from gochat.tui.actions.controller import Controller, Found
from gochat.tui.actions.view import ChatView
from gochat.tui.language import _
from gochat.tui.model.presentation import day, moment
from gochat.tui.widgets.past_bar import PastBar

#: The key that leads back to now, while nothing is being written.
_BACK: Final = "End"


class Jumps:
    """What the chat screen does to show an older part of a log, and the newest one again."""

    def __init__(self, view: ChatView, controller: Controller, bar: PastBar) -> None:
        self._view, self._controller, self._bar = view, controller, bar
        self._model = controller.model
        self._jumps = 0
        #: A message that is loaded, and to be shown as soon as it is drawn.
        self._goal: tuple[str, int] | None = None
        #: When the message is from to which the person has jumped.
        self._when: int | None = None

    def to_message(self, conv: str, seq: int) -> None:
        """Show a message of a conversation among its neighbours."""
        self._view.keep_draft()
        self._controller.go_to(conv, seq, self._begin())

    def to_first(self) -> None:
        """Show the first message of the shown conversation."""
        self._controller.go_to_first(self._begin())

    def to_unread(self) -> None:
        """Show the first message that was new when the person came to the shown conversation."""
        view = self._model.shown
        if view.divider is None:
            self._view.app.notify(_("Nothing here is new."), markup=False, timeout=2)
        else:
            self._controller.go_to(view.conv, view.divider + 1, self._begin())

    def to_date(self, wanted: date) -> None:
        """Show the first message of a day, or else of the time after it."""
        start = datetime(wanted.year, wanted.month, wanted.day).astimezone()
        self._controller.go_to_date(start, self._begin())

    def to_now(self) -> None:
        """Show the newest message again."""
        self._begin()
        self._controller.go_to_now()
        self._view.log_view.scroll_to_bottom()
        self.look()

    def _begin(self) -> Found:
        """Forget where the person wanted to go; return what to call with the entry when the part
        of the log is loaded where they want to go now."""
        self._goal = self._when = None
        self._jumps += 1
        number = self._jumps

        def found(conv: str, seq: int) -> None:
            if number == self._jumps:
                self._goal = (conv, seq)
                self.reach()

        return found

    def reach(self) -> None:
        """Show the message that the person wants to see, if the log has it by now."""
        if self._goal is None:
            return
        conv, seq = self._goal
        timeline, log = self._model.shown.timeline, self._view.log_view
        key = timeline.key_at(seq) or timeline.first_key
        if conv == self._model.current and key is not None and key in log.items:
            self._goal = None
            entry = timeline.find(key)
            self._when = entry.ts if entry is not None else None
            log.scroll_to_key(key, highlight=True)
            self.look()

    def look(self) -> None:
        """Show the bar while the person looks at what is past, and only then."""
        newer, log = self._model.shown.timeline.newer, self._view.log_view
        if not newer and log.at_bottom:
            self._when = None
        when: str | None = None
        if self._when is not None:
            when = day(moment(self._when), self._view.chat_app.wall_clock())
        elif newer:
            when = ""
        self._bar.show(when, _BACK)

    def change_conversation(self) -> None:
        """Handle that another conversation is shown."""
        self._when = None
        self.look()
