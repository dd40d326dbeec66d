"""The order of one conversation: each entry once, in the order of seq, without gaps. Pure.

A timeline takes in what arrives, in any order and any number of times: live entries, pages of
history, pages of `sync`. It returns what can be shown now, and reports what must be fetched before
it can go on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from msgspec import structs

from gochat.protocol.messages import Conversation, HistoryPage, Message, Position

#: If more entries than this are missing, the newest page replaces what is shown: nobody reads on
#: from where they were.
MAX_MISSED: Final = 500
#: Entries that all timelines together keep aside. Others are fetched once what is before them has
#: come.
MAX_ASIDE: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class After:
    """Fetch the entries after `seq`."""

    seq: int


@dataclass(frozen=True, slots=True)
class Newest:
    """Fetch the newest page."""


Want: TypeAlias = After | Newest


@dataclass(frozen=True, slots=True)
class Reset:
    """What is shown of `conv` is to be forgotten; `entries` are its newest page."""

    conv: str
    epoch: str
    entries: tuple[Message, ...]


class AsideLimit:
    """How many more entries the timelines that share it may keep aside."""

    def __init__(self, left: int = MAX_ASIDE) -> None:
        self.left = left


class Timeline:
    """The order of one conversation's entries, as far as it is known.

    Everything up to `position` in the log's history `epoch` has been delivered, or never will be.
    """

    def __init__(
        self,
        conv: str,
        epoch: str,
        position: int,
        ts: int | None = None,
        *,
        is_estimate: bool = False,
        aside_limit: AsideLimit | None = None,
    ) -> None:
        """Start after `position`, the entry with the time `ts` (None: not known).

        With `is_estimate` the position is a head that may be ahead of entries on their way: the
        first one to arrive decides where to start.
        """
        self.conv = conv
        self.epoch = epoch
        self.position = position
        #: What the server last said about the conversation.
        self.listed: Conversation | None = None
        self._ts = ts if position else 0
        self._is_estimate = is_estimate
        self._head = position  # the newest seq that is known to exist
        self._max_missed: float = MAX_MISSED
        self._aside: dict[int, Message] = {}  # arrived, but something before it is missing
        self._aside_limit = aside_limit or AsideLimit()
        # Set when only the newest page can tell how to go on: the epoch and the seq of the newest
        # entry that has arrived since.
        self._doubted: tuple[str, int] | None = None

    @property
    def want(self) -> Want | None:
        """What must be fetched for the timeline to go on, or None."""
        if self._doubted is not None:
            return Newest()
        return After(self.position) if self._head > self.position else None

    @property
    def have(self) -> Position:
        """The position for a `sync`. It names what the server last said only if that is up to
        date."""
        if self._ts is None or self._doubted is not None:
            return Position(conv=self.conv, epoch=self.epoch, seq=0, ts=0)
        listed = self.listed
        is_current = listed is not None and listed.head == self.position
        return Position(
            conv=self.conv,
            epoch=self.epoch,
            seq=self.position,
            ts=self._ts,
            read=listed.read if listed is not None and is_current else None,
            level=listed.level if listed is not None and is_current else None,
        )

    def expect_missed(self, *, without_limit: bool) -> None:
        """Set whether what is missing is fetched however much it is. Once set, that stays so until
        nothing is missing."""
        if without_limit or self.want is None:
            self._max_missed = math.inf if without_limit else MAX_MISSED

    def add(self, entry: Message) -> list[Message | Reset]:
        """Take in an entry, and return what can be shown now."""
        if self._doubted is not None or entry.epoch != self.epoch:
            self.doubt(entry.epoch, entry.seq)
            self._keep_aside(entry)
            return []
        if self._is_estimate and entry.seq <= self.position:
            self.position = entry.seq - 1
        self._is_estimate = False
        if entry.seq <= self.position:
            return []
        self._head = max(self._head, entry.seq)
        if entry.seq - self.position > self._max_missed:
            self.doubt(entry.epoch, entry.seq)
            self._keep_aside(entry)
            return []
        if entry.seq == self.position + 1:
            return self._advance(entry)
        self._keep_aside(entry)
        return []

    def doubt(self, epoch: str = "", seq: int = 0) -> None:
        """Record that the log may have been replaced: only the newest page can tell.

        `epoch` and `seq` are of an entry that has arrived.
        """
        if self._doubted is not None and self._doubted[0] == epoch:
            seq = max(seq, self._doubted[1])
        else:
            self.take_aside()
        self._doubted = epoch, seq
        self._is_estimate = False

    def take_aside(self) -> list[Message]:
        """Remove and return the entries that are kept aside, in order."""
        aside = sorted(self._aside.values(), key=lambda entry: entry.seq)
        self._aside.clear()
        self._aside_limit.left += len(aside)
        return aside

    def synced(self, state: Conversation) -> list[Message | Reset]:
        """Take in what a page of `sync` has of the conversation."""
        self.listed = structs.replace(state, entries=(), reset=False)
        is_behind = state.head - self.position > self._max_missed
        if state.reset or is_behind or state.epoch != self.epoch:
            if not state.entries and state.head > state.floor:
                self.doubt()  # the page was asked for no entries, which must be shown now
                self.epoch = ""  # the newest page is of another history, whatever it says
                return []
            return self._start_over(state.epoch, state.head, state.ts, state.entries)
        self._is_estimate &= state.head == self.position
        shown = self._settle_doubt(state.head)
        shown += [out for entry in state.entries for out in self.add(entry)]
        if self.position == state.head:
            self._ts = state.ts
        return shown

    def fill(self, page: HistoryPage) -> list[Message | Reset]:
        """Take in the page that answers `want`."""
        shown: list[Message | Reset] = []
        if self._doubted is not None:
            if page.epoch != self.epoch or page.head - self.position > self._max_missed:
                ts = page.entries[-1].ts if page.entries else None
                seq = page.entries[-1].seq if page.entries else page.head
                return self._start_over(page.epoch, seq, ts, page.entries, head=page.head)
            # The same history after all, and not too far behind.
            shown = self._settle_doubt(page.head)
        if page.epoch != self.epoch:
            self.doubt(page.epoch, page.head)
            return []
        shown += [out for entry in page.entries for out in self.add(entry)]
        return shown + self._notice_end(page)

    def _notice_end(self, page: HistoryPage) -> list[Message | Reset]:
        if page.entries and page.entries[0].seq > self.position + 1:
            return self.skip()  # the log itself begins there
        if not page.entries and not self._aside:
            self._head = self.position  # what was announced is not there (yet)
        return []

    def skip(self) -> list[Message | Reset]:
        """Go on after the missing entries: they can't be fetched."""
        self._doubted = None
        aside = self.take_aside()
        if not aside:
            self._head = self.position
            return []
        self.position = aside[0].seq - 1
        return [out for entry in aside for out in self.add(entry)]

    def _advance(self, entry: Message | None) -> list[Message | Reset]:
        shown: list[Message | Reset] = []
        while entry is not None:
            self.position, self._ts = entry.seq, entry.ts
            shown.append(entry)
            entry = self._aside.pop(self.position + 1, None)
            self._aside_limit.left += entry is not None
        return shown

    def _keep_aside(self, entry: Message) -> None:
        if entry.seq not in self._aside and self._aside_limit.left:
            self._aside_limit.left -= 1
            self._aside[entry.seq] = entry

    def _settle_doubt(self, head: int) -> list[Message | Reset]:
        """Go on in this history, whose newest seq is at least `head`."""
        self._head = max(self._head, head)
        if self._doubted is None:
            return []
        (epoch, seq), self._doubted = self._doubted, None
        aside = self.take_aside()
        if epoch != self.epoch:
            return []  # they belong to another history
        self._head = max(self._head, seq)
        return [out for entry in aside for out in self.add(entry)]

    def _start_over(
        self,
        epoch: str,
        seq: int,
        ts: int | None,
        entries: Sequence[Message],
        *,
        head: int = 0,
    ) -> list[Message | Reset]:
        """Show the newest page, which ends with the entry `seq`, instead of what was shown."""
        if self._doubted is None:
            self._doubted = self.epoch, self._head
        self.epoch, self.position, self._ts = epoch, seq, ts if seq else 0
        self._head = seq
        self._is_estimate = False
        return [Reset(self.conv, epoch, tuple(entries)), *self._settle_doubt(head)]
