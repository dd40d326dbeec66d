"""Brings the changes of a timeline to the log widget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from gochat.tui.chat_log import ChatLog, LogMessage, LogNotice
from gochat.tui.model.entries import (
    Change,
    Inserted,
    Prepended,
    Removed,
    Renewed,
    Replaced,
    TimelineEntry,
)
from gochat.tui.model.timeline import Timeline


class LogFeed:
    """Feeds one log from the timeline that is shown; `draw` makes an item of an entry."""

    def __init__(
        self, log: ChatLog, draw: Callable[[TimelineEntry], LogMessage | LogNotice]
    ) -> None:
        self._log = log
        self._draw = draw

    def show(self, timeline: Timeline) -> None:
        """Show all of a timeline."""
        self._log.reset([self._draw(entry) for entry in timeline])
        self._log.older_exhausted = not timeline.older
        self._log.newer_exhausted = not timeline.newer

    def renew(self, timeline: Timeline) -> None:
        """Show a timeline again that is shown already, in another language."""
        self._log.renew([self._draw(entry) for entry in timeline])

    def apply(self, timeline: Timeline, changes: Sequence[Change]) -> None:
        """Show what has changed."""
        for change in changes:
            match change:
                case Renewed():
                    self.show(timeline)
                    return
                case Inserted(entries, str() as before):
                    self._log.insert_before(before, *(self._draw(entry) for entry in entries))
                case Inserted(entries):
                    self._log.append(*(self._draw(entry) for entry in entries))
                case Prepended(entries):
                    self._log.prepend([self._draw(entry) for entry in entries])
                case Replaced(key, entry):
                    self._log.replace(key, self._draw(entry))
                case Removed(key):
                    self._log.remove(key)
                case _:
                    assert_never(change)
        self._log.older_exhausted = not timeline.older
        if self._log.newer_exhausted == timeline.newer:
            self._log.newer_exhausted = not timeline.newer
