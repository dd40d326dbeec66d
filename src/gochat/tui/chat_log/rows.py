"""An item, laid out in rows: what is where, not yet in which colour.

Pure: an item, what stands before it and a width give the rows. Each piece of a row either is a
range of the item's text, which can be selected, or belongs to the frame around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from rich.cells import cell_len

from gochat.tui.chat_log.items import LogMessage, LogNotice
from gochat.tui.chat_log.row import (
    BAR,
    DAY,
    GAP,
    HEADER,
    REACTIONS,
    REPLY,
    STATE,
    UNREAD,
    Piece,
    Row,
    edge_above,
    text_at,
)
from gochat.tui.chat_log.text_rows import clipped, text_rows
from gochat.tui.language import _
from gochat.tui.text.blocks import parse
from gochat.tui.text.dates import full_date
from gochat.tui.text.document import Document
from gochat.tui.text.sanitise import sanitise, sanitise_line
from gochat.tui.text.wrap import wrap

#: Below this width a column for the time costs more than it helps.
COMPACT_BELOW: Final = 64
#: Longer lines are hard to read: the eye doesn't find the next one.
MAX_TEXT_WIDTH: Final = 120
MIN_TEXT_WIDTH: Final = 8
#: In the gutter, where a message begins that has neither header nor time.
BEGINS: Final = "·"


@dataclass(frozen=True, slots=True)
class Geometry:
    """Which columns are for what, at a width."""

    width: int

    @property
    def compact(self) -> bool:
        """Whether the time has no column of its own."""
        return self.width < COMPACT_BELOW

    @property
    def left(self) -> int:
        """Columns before a text."""
        return 3 if self.compact else 8

    @property
    def text(self) -> int:
        """Columns of a text."""
        return max(MIN_TEXT_WIDTH, min(MAX_TEXT_WIDTH, self.width - self.left - 1))


@dataclass(frozen=True, slots=True)
class Context:
    """What an item's rows depend on beside itself."""

    clock: str
    day: date | None = None
    """The day, if a new one begins here."""
    unread: bool = False
    """Whether what was not read yet begins here."""
    first: bool = False
    """Whether nothing stands above."""
    grouped: bool = False
    """Whether the message goes on under the header of the one before."""
    shows_time: bool = True
    gap: bool = False
    """Whether a blank row sets it off from what stands above."""


def layout_message(
    item: LogMessage, document: Document, context: Context, geometry: Geometry
) -> list[Row]:
    """Return the rows of a message."""
    return _MessageLayout(item, document, context, geometry).rows()


def layout_notice(
    item: LogNotice, document: Document, context: Context, geometry: Geometry
) -> list[Row]:
    """Return the rows of a notice; `document` is its text or the summary of its run."""
    rows = list(_separators(context, geometry))
    for number, (start, stop) in enumerate(_lines(document, geometry.text)):
        gutter = _gutter(geometry, "", context.clock if number == 0 else "", "time")
        pieces = (
            *gutter,
            Piece(document.plain[start:stop], "notice", start, action=("people", "")),
        )
        rows.append(Row(text_at(start), pieces, start, stop))
    return rows


def _lines(document: Document, width: int) -> Iterator[tuple[int, int]]:
    for line in document.lines:
        yield from wrap(document.plain, line.start, line.end, width)


def _separators(context: Context, geometry: Geometry) -> Iterator[Row]:
    """Yield what stands between an item and the one before."""
    separated = context.day is not None or context.unread
    if (
        not context.first
        and (context.gap or separated)
        and not (geometry.compact and not separated)
    ):
        yield Row((GAP, 0), (), 0, 0)
    if context.day is not None:
        yield _rule(DAY, full_date(context.day), "day", "rule", geometry)
    if context.unread:
        yield _rule(UNREAD, _("new messages"), "unread", "unread-rule", geometry)
    if separated and not geometry.compact:
        yield Row((UNREAD, 1), (), 0, 0)


def _rule(part: int, text: str, role: str, line: str, geometry: Geometry) -> Row:
    left = geometry.left
    right = max(0, geometry.width - left - cell_len(text) - 2)
    pieces = (
        Piece(" " + "─" * (left - 2) + " ", line),
        Piece(text, role),
        Piece(" " + "─" * right + " ", line),
    )
    return Row((part, 0), pieces, 0, 0)


def _gutter(geometry: Geometry, bar: str, text: str, role: str) -> tuple[Piece, ...]:
    """Return the frame left of a text: a bar, and in the wide layout a time or a sign."""
    first = Piece(BAR if bar else " ", bar or "text")
    if geometry.compact:
        sign = text if len(text) == 1 else ""
        return (first, Piece(f"{sign:1} ", role))
    return (first, Piece(f"{text:>5}  ", role, action=("time", "") if text else None))


class _MessageLayout:
    """One message while it is laid out."""

    def __init__(
        self, item: LogMessage, document: Document, context: Context, geometry: Geometry
    ) -> None:
        self._item = item
        self._document = document
        self._context = context
        self._geometry = geometry
        self._bar = "mention-bar" if item.mention and not item.deleted else ""
        self._backdrop = "mention" if self._bar else ""

    def rows(self) -> list[Row]:
        rows = list(_separators(self._context, self._geometry))
        if not self._context.grouped:
            rows.append(self._header())
        if self._item.reply is not None and not self._item.deleted:
            rows.append(self._reply(*self._item.reply))
        rows.extend(self._text())
        if not self._item.deleted:
            rows.extend(self._reactions())
        if self._item.state == "failed":
            rows.append(self._failure())
        return rows

    def _row(self, position: tuple[int, int], pieces: Sequence[Piece], at: int, stop: int) -> Row:
        return Row(position, tuple(pieces), at, stop, self._backdrop)

    def _header(self) -> Row:
        name = sanitise_line(self._item.sender)
        sender = Piece(name, "sender", action=("sender", self._item.sender))
        clock = self._context.clock
        if self._geometry.compact:
            first = Piece(BAR if self._bar else " ", self._bar or "text")
            time = Piece(f"  {clock}", "time", action=("time", ""))
            return self._row((HEADER, 0), (first, sender, time), 0, 0)
        gutter = _gutter(self._geometry, self._bar, clock, "time")
        return self._row((HEADER, 0), (*gutter, sender), 0, 0)

    def _reply(self, sender: str, excerpt: str) -> Row:
        lead = "╭ "
        name = sanitise_line(sender)
        text = " ".join(parse(sanitise(excerpt)).plain.split())
        room = self._geometry.text - cell_len(lead) - cell_len(name) - 2
        pieces = (
            *_gutter(self._geometry, self._bar, "", "time"),
            Piece(lead, "reply"),
            Piece(name, "reply bold"),
            Piece("  " + clipped(text, max(room, 1)), "reply"),
        )
        return self._row((REPLY, 0), pieces, 0, 0)

    def _sign(self) -> tuple[str, str]:
        """Return what stands in the gutter of the first row of the text, and its role."""
        if self._item.state == "pending":
            return "…", "time"
        if self._item.state == "failed":
            return "✗", "error"
        if not self._context.grouped:
            return "", "time"
        is_told = self._context.shows_time and self._context.clock and not self._geometry.compact
        return (self._context.clock if is_told else BEGINS), "time"

    def _text(self) -> Iterator[Row]:
        base = "text"
        if self._item.deleted:
            base = "deleted"
        elif self._item.state == "pending":
            base = "pending"
        elif self._item.dim:
            base = "notice"
        blank = _gutter(self._geometry, self._bar, "", "time")
        gutter = _gutter(self._geometry, self._bar, *self._sign())
        rows = list(text_rows(self._document, base, self._geometry.text))
        note = self._note()
        for number, row in enumerate(rows):
            pieces, is_last = [*gutter, *row.pieces], number == len(rows) - 1
            gutter = blank
            if note and is_last and row.used + 1 + cell_len(note) <= self._geometry.text:
                pieces.append(Piece(f" {note}", "faint"))
                note = ""
            yield self._row(row.position, pieces, row.at, row.stop)
        if note:
            end = len(self._document.plain)
            yield self._row(edge_above(end + 1), (*blank, Piece(note, "faint")), end, end)

    def _note(self) -> str:
        """Return what the text is followed by, or nothing."""
        is_edited = self._item.edited
        if self._item.deleted or not (is_edited or self._item.pinned):
            return ""
        if is_edited and self._item.pinned:
            return _("(edited, pinned)")
        return _("(edited)") if is_edited else _("(pinned)")

    def _reactions(self) -> Iterator[Row]:
        end = len(self._document.plain)
        gutter = _gutter(self._geometry, self._bar, "", "time")
        pieces: list[Piece] = []
        used = number = 0
        for reaction in self._item.reactions:
            emoji = sanitise_line(reaction.emoji)
            # Brackets, not only a colour: which of them are the reader's must show without colours.
            text = f"[{emoji} {reaction.count}]" if reaction.me else f" {emoji} {reaction.count} "
            text = clipped(text, self._geometry.text)
            if used and used + 1 + cell_len(text) > self._geometry.text:
                yield self._row((REACTIONS, number), (*gutter, *pieces), end, end)
                pieces, used, number = [], 0, number + 1
            if used:
                pieces.append(Piece(" ", "text"))
                used += 1
            role = "reaction-own" if reaction.me else "reaction"
            pieces.append(Piece(text, role, action=("reaction", reaction.emoji)))
            used += cell_len(text)
        if pieces:
            yield self._row((REACTIONS, number), (*gutter, *pieces), end, end)

    def _failure(self) -> Row:
        end = len(self._document.plain)
        retry = _("retry")
        reason = sanitise_line(self._item.error)
        text = _("not sent: {reason}", reason=reason) if reason else _("not sent")
        room = self._geometry.text - cell_len(retry) - 2
        pieces = (
            *_gutter(self._geometry, self._bar, "", "time"),
            Piece(clipped(text, max(room, 8)), "error"),
            Piece("  ", "text"),
            Piece(retry, "button", action=("act", "retry")),
        )
        return self._row((STATE, 0), pieces, end, end)
