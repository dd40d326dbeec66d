"""The order of one conversation: each entry once, in the order of seq, without gaps. Pure.

A timeline takes in what arrives, in any order and any number of times: live entries, pages of
history, the server's announcements after a resume. It returns what can be shown now, and reports
what must be fetched before it can go on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from gochat.client.events import Reset
from gochat.protocol.messages import CaughtUp, HistoryPage, Message

#: If more entries than this are missing, the newest page replaces what is shown: nobody reads on
#: from where they were. The same bound as the server's for a resume.
MAX_MISSED: Final = 500


@dataclass(frozen=True, slots=True)
class After:
    """Fetch the entries after `seq`."""

    seq: int


@dataclass(frozen=True, slots=True)
class Newest:
    """Fetch the newest page."""


Want: TypeAlias = After | Newest


class Timeline:
    """The order of one conversation's entries, as far as it is known.

    Everything up to `position` in the log's history `epoch` has been delivered, or never will be.
    """

    def __init__(
        self,
        conv: str,
        epoch: str,
        position: int,
        *,
        is_estimate: bool = False,
    ) -> None:
        """Start after `position`.

        With `is_estimate` the position is a head that may be ahead of entries on their way: the
        first one to arrive decides where to start.
        """
        self.conv = conv
        self.epoch = epoch
        self.position = position
        self._is_estimate = is_estimate
        self._head = position  # the newest seq that is known to exist
        self._ahead: dict[int, Message] = {}  # arrived, but something before it is missing
        # The page that the server announced instead of the missed entries, as far as it has
        # arrived.
        self._announced: list[Message] | None = None
        self._announced_to = 0
        # Epoch and position before that page; restored if the page is never completed.
        self._before: tuple[str, int] = (epoch, position)
        # Set when only the newest page can tell how to go on. Entries that arrive meanwhile wait
        # here.
        self._waiting: deque[Message] | None = None

    @property
    def handed_out(self) -> tuple[str, int]:
        """The epoch and the seq from which a resume must go on."""
        return (self.epoch, self.position) if self._announced is None else self._before

    @property
    def want(self) -> Want | None:
        """What must be fetched for the timeline to go on, or None."""
        if self._waiting is not None:
            return Newest()
        return After(self.position) if self._head > self.position else None

    def add(self, entry: Message) -> list[Message | Reset]:
        """Take in an entry, and return what can be shown now."""
        if self._waiting is not None or entry.epoch != self.epoch:
            self._wait(entry)
            return []
        if self._is_estimate and entry.seq <= self.position:
            self.position = entry.seq - 1
        self._is_estimate = False
        if entry.seq <= self.position:
            return []
        self._head = max(self._head, entry.seq)
        if entry.seq - self.position > MAX_MISSED and self._announced is None:
            self._wait(entry)
            return []
        self._ahead[entry.seq] = entry
        return self._advance()

    def announce(self, epoch: str, head: int) -> None:
        """Record that the log of `epoch` reaches to `head`."""
        if epoch != self.epoch:
            self._wait()
        elif self._waiting is None:
            self._head = max(self._head, head)
            if self._head - self.position > MAX_MISSED and self._announced is None:
                self._wait()

    def doubt(self) -> None:
        """Record that the log may have been replaced: only the newest page can tell."""
        self._wait()

    def catch_up(self, event: CaughtUp) -> list[Message | Reset]:
        """Take in the server's report after a resume."""
        self._ahead.clear()
        self._waiting = None
        self._forget_announced()
        self._is_estimate = False
        if event.recovered and event.epoch == self.epoch:
            self._head = max(self.position, event.head)
            return []
        self._before = (self.epoch, self.position)
        self.epoch = event.epoch
        self.position, self._head = event.seq, event.head
        self._announced, self._announced_to = [], event.head
        return self._advance()

    def fill(self, page: HistoryPage) -> list[Message | Reset]:
        """Take in the page that answers `want`."""
        if self._waiting is not None:
            return self._start_over(page)
        if page.epoch != self.epoch:
            self._wait()
            return []
        shown = [out for entry in page.entries for out in self.add(entry)]
        return shown + self._notice_end(page)

    def _notice_end(self, page: HistoryPage) -> list[Message | Reset]:
        if self._waiting is None and page.entries and page.entries[0].seq > self.position + 1:
            return self.skip()  # the log itself begins there
        if not page.entries and not self._ahead:
            self._head = self.position  # what was announced is not there (yet)
        return []

    def skip(self) -> list[Message | Reset]:
        """Go on after the missing entries: they can't be fetched."""
        self._waiting = None
        if self._ahead:
            self.position = min(self._ahead) - 1
        else:
            self._head = self.position
        return self._advance()

    def _advance(self) -> list[Message | Reset]:
        shown: list[Message | Reset] = []
        while (entry := self._ahead.pop(self.position + 1, None)) is not None:
            self.position += 1
            if self._announced is None:
                shown.append(entry)
                continue
            self._announced.append(entry)
            shown += self._finish_announced()
        return shown + self._finish_announced()

    def _finish_announced(self) -> list[Reset]:
        if self._announced is None or self.position < self._announced_to:
            return []
        entries, self._announced = tuple(self._announced), None
        return [Reset(self.conv, self.epoch, entries)]

    def _wait(self, *entries: Message) -> None:
        if self._waiting is None:
            self._waiting = deque(self._ahead.values(), maxlen=MAX_MISSED)
            self._ahead.clear()
            self._forget_announced()
        self._waiting.extend(entries)

    def _forget_announced(self) -> None:
        if self._announced is not None:
            self._announced = None
            self.epoch, self.position = self._before

    def _start_over(self, page: HistoryPage) -> list[Message | Reset]:
        waiting, self._waiting = self._waiting or (), None
        shown: list[Message | Reset] = []
        if page.epoch == self.epoch and page.head - self.position <= MAX_MISSED:
            # The same history after all, and not too far behind: the waiting entries follow on.
            self._head = max(self._head, page.head)
            waiting = (*(one for one in page.entries if one.seq > self.position), *waiting)
        else:
            self._is_estimate = False  # now it is known
            self.epoch = page.epoch
            self.position = page.entries[-1].seq if page.entries else page.head
            self._head = max(self.position, page.head)
            shown.append(Reset(self.conv, self.epoch, page.entries))
        for entry in waiting:
            if entry.epoch == self.epoch:  # the others belong to a replaced history
                shown += self.add(entry)
        return shown
