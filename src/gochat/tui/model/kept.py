"""What is pinned in a conversation, and what the person has saved. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gochat.client import (
    LogEntry,
    Message,
    MessageDeleted,
    MessagePinned,
    MessageUnpinned,
    PinnedMessage,
    SavedChanged,
    SavedMessage,
    SavedPage,
)
from gochat.client.moments import milliseconds
from gochat.tui.language import _
from gochat.tui.model.views import ConversationView


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A message in a list of pinned or saved ones; `ts` is when it was written, in milliseconds
    since the Unix epoch, and `note` says more of it."""

    conv: str
    seq: int
    sender: str
    text: str
    ts: int
    note: str = ""

    @property
    def key(self) -> str:
        """What it is, for a list."""
        return f"{self.conv} {self.seq}"


def pinned_row(pinned: PinnedMessage) -> KeptRow:
    """Return the row of a pinned message."""
    return _row(pinned.message, _("pinned by {person}", person=pinned.sender))


def saved_row(saved: SavedMessage) -> KeptRow:
    """Return the row of a saved message."""
    return _row(saved.message, _("in {room}", room=saved.message.conversation))


def _row(message: Message, note: str) -> KeptRow:
    return KeptRow(
        message.conversation, message.seq, message.sender, message.text,
        milliseconds(message.time), note,
    )  # fmt: skip


def apply(view: ConversationView, entry: LogEntry) -> bool:
    """Take an entry of a conversation; return whether it changes what is pinned there."""
    match entry:
        case MessagePinned() | MessageUnpinned() | MessageDeleted():
            seq, is_on = entry.message.seq, isinstance(entry, MessagePinned)
        case _:
            return False
    view.pin_changes += 1
    if view.pins is not None:
        others = [one for one in view.pins if one != seq]
        view.pins = [seq, *others] if is_on else others
    return True


class Saved:
    """What the person has saved, as far as it is known. `cursor` asks for more; None: that is
    all."""

    def __init__(self) -> None:
        self.rows: list[KeptRow] = []
        self.cursor: str | None = None
        #: Which messages these are, and those that were saved since.
        self.places: set[tuple[str, int]] = set()

    def take(self, page: SavedPage, *, is_first: bool) -> None:
        """Take a page; the first one replaces what is here."""
        if is_first:
            self.rows, self.places = [], set()
        self.rows += map(saved_row, page.items)
        self.places.update((row.conv, row.seq) for row in self.rows)
        self.cursor = page.cursor

    def apply(self, event: SavedChanged) -> None:
        """Take what the person has changed, on whichever device."""
        place = (event.message.conversation, event.message.seq)
        if event.on:
            self.places.add(place)
        else:
            self.places.discard(place)
            self.rows = [row for row in self.rows if (row.conv, row.seq) != place]
