"""What the mouse can do with a message: words at the right of the one it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from gochat.tui.chat_log.items import LogItem, LogMessage
from gochat.tui.chat_log.message_actions import ActionName, offered
from gochat.tui.chat_log.row import HEADER, Row
from gochat.tui.chat_log.window import VisibleRow
from gochat.tui.language import N_, _

_MARGIN: Final = 1
#: What each action is called here: as short as can be.
_LABELS: Final[dict[ActionName, str]] = {
    "edit": N_("edit"),
    "delete": N_("delete"),
    "reply": N_("reply"),
    "copy": N_("copy"),
    "react": N_("react"),
    "open": N_("open"),
    "link": N_("link"),
    "retry": N_("retry"),
    "report": N_("report"),
}


def toolbar(item: LogItem, style: Style) -> Strip:
    """Return the words for `item`, each of which can be clicked."""
    segments: list[Segment] = []
    for action in offered(item) if isinstance(item, LogMessage) else ():
        meta = Style.from_meta({"chat": ("act", action)})
        word = _(_LABELS[action])
        segments += [Segment(" ", style), Segment(word, style + meta), Segment(" ", style)]
    return Strip(segments)


def row_for(bar: Strip, visible: Sequence[VisibleRow], rows: Sequence[Row], width: int) -> int:
    """Return on which of the `visible` rows of an item its words hide nothing, or the first."""
    first = -1
    for number, (_place, row) in enumerate(visible):
        if rows[row].position[0] < HEADER:
            continue
        if first < 0:
            first = number
        used = sum(cell_len(piece.text) for piece in rows[row].pieces)
        if used + bar.cell_length + _MARGIN < width:
            return number
    return first


def over(strip: Strip, bar: Strip, width: int) -> Strip:
    """Lay `bar` over the right end of `strip`."""
    start = max(0, width - bar.cell_length - _MARGIN)
    parts = [strip.crop(0, start), bar, strip.crop(start + bar.cell_length, width)]
    return Strip.join(parts).crop(0, width)
