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
    """Feeds one log from the timeline that is shown.

    The log has only an end to add to. What arrives while messages of one's own wait for their
    acknowledgement belongs before them: it takes their places, one by one, and they are added
    again after it.
    """

    def __init__(
        self, log: ChatLog, draw: Callable[[TimelineEntry], LogMessage | LogNotice]
    ) -> None:
        self._log = log
        self._draw = draw
        self._waiting: list[TimelineEntry] = []

    def show(self, timeline: Timeline) -> None:
        """Show all of a timeline."""
        self._waiting = list(timeline.pending.values())
        self._log.reset([self._draw(entry) for entry in timeline])
        self._log.older_exhausted = not timeline.older
        self._log.newer_exhausted = not timeline.newer

    def apply(self, timeline: Timeline, changes: Sequence[Change]) -> None:
        """Show what has changed."""
        for change in changes:
            match change:
                case Renewed():
                    self.show(timeline)
                    return
                case Inserted(entries, before):
                    self._insert(entries, before)
                case Prepended(entries):
                    self._log.prepend([self._draw(entry) for entry in entries])
                case Replaced(key, entry):
                    self._log.replace(key, self._draw(entry))
                    # Acknowledged is not enough: until its turn comes in the log it is at the end.
                    if entry.key != key or entry.state == "failed":
                        self._forget(key)
                case Removed(key):
                    self._log.remove(key)
                    self._forget(key)
                case _:
                    assert_never(change)
        self._log.older_exhausted = not timeline.older
        if self._log.newer_exhausted == timeline.newer:
            self._log.newer_exhausted = not timeline.newer

    def _insert(self, entries: Sequence[TimelineEntry], before: str | None) -> None:
        place = next((i for i, entry in enumerate(self._waiting) if entry.key == before), None)
        if place is None:
            self._waiting += [entry for entry in entries if _is_waiting(entry)]
            self._log.append(*(self._draw(entry) for entry in entries))
            return
        displaced = self._waiting[place:]
        self._waiting[place:place] = [entry for entry in entries if _is_waiting(entry)]
        line = [*entries, *displaced]
        # From the first on: whoever is shown later has been displaced before, so no key is twice.
        for entry, taker in zip(displaced, line, strict=False):
            self._log.replace(entry.key, self._draw(taker))
        self._log.append(*(self._draw(entry) for entry in line[len(displaced) :]))

    def _forget(self, key: str) -> None:
        self._waiting = [entry for entry in self._waiting if entry.key != key]


def _is_waiting(entry: TimelineEntry) -> bool:
    # Not its state: a message that is acknowledged waits for its turn in the log all the same.
    return entry.cid is not None and entry.seq is None and entry.state != "failed"
