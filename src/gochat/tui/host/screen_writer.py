"""What the terminal shows, and as few bytes as possible that make it show something else.

Textual writes whole rows, and each piece of them with all of its colours: a key that opens a panel
cost 80 kB, which is 6 s at 100 kbit/s. This keeps the cells that the terminal shows, and writes
those that differ, and of their looks what differs from the cell before.

A terminal can take an emoji for narrower or wider than Rich does. So a row with signs on whose
width they may disagree is written whole, as soon as anything in it differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style

from gochat.tui.text.wrap import clusters

#: Cells that look the same and are written nevertheless, since moving over them costs as much.
_GAP: Final = 5
#: Looks that are remembered.
_LOOKS: Final = 4096
#: Characters on whose width terminals disagree.
_UNCERTAIN: Final = re.compile("[\u2600-\u27bf\U0001f000-\U0010ffff]")
_RESET: Final = "\x1b[0m"
#: Attributes of a style: what turns each on, and what turns it off.
_ATTRIBUTES: Final = (
    ("bold", 1, 22), ("dim", 2, 22), ("italic", 3, 23), ("underline", 4, 24), ("blink", 5, 25),
    ("reverse", 7, 27), ("conceal", 8, 28), ("strike", 9, 29),
)  # fmt: skip
_OFF: Final = {on: off for _, on, off in _ATTRIBUTES}


class _Look(NamedTuple):
    """How a cell looks: codes of its colours, those of its attributes, and its link."""

    colour: str = ""
    ground: str = ""
    attributes: tuple[int, ...] = ()
    link: str = ""


class _Cell(NamedTuple):
    """What stands in a cell; nothing in the second of a wide character."""

    text: str
    look: _Look


_PLAIN: Final = _Look()
_UNKNOWN: Final = _Cell("\0", _PLAIN)


class ScreenWriter:
    """Remembers a screen of `width` × `height` cells, whose contents are unknown at first.

    `colours` is what the terminal can show; None: no colours at all.
    """

    def __init__(self, width: int, height: int, colours: ColorSystem | None) -> None:
        self.width, self.height = width, height
        self._colours = colours
        self._rows = [[_UNKNOWN] * width for _ in range(height)]
        self._looks: dict[Style | None, _Look] = {}

    def write(self, pieces: Iterable[tuple[int, int, Iterable[Segment]]]) -> str:
        """Return what makes the terminal show `pieces`: each has its column, row and segments."""
        out: list[str] = []
        look = _PLAIN
        for x, y, segments in pieces:
            if not 0 <= y < self.height:
                continue
            cells = self._cells(segments)[: max(0, self.width - x)]
            row = self._rows[y]
            known = row[x : x + len(cells)]
            if cells == known:
                continue
            row[x : x + len(cells)] = cells
            for start, stop in _runs(known, cells):
                out.append(f"\x1b[{y + 1};{x + start + 1}H")
                for cell in cells[start:stop]:
                    if cell.look != look:
                        out.append(_turn(look, cell.look))
                        look = cell.look
                    out.append(cell.text)
        if look != _PLAIN:
            out.append(_turn(look, _PLAIN))
        return "".join(out)

    def _cells(self, segments: Iterable[Segment]) -> list[_Cell]:
        cells: list[_Cell] = []
        for text, style, control in segments:
            if control:
                continue
            look = self._look(style)
            if text.isascii():
                cells += [_Cell(char, look) for char in text]
                continue
            for start, end, width in clusters(text):
                if not width:  # of a mark at the start: it goes to what stands before it
                    continue
                cells.append(_Cell(text[start:end], look))
                cells += [_Cell("", look)] * (width - 1)
        return cells

    def _look(self, style: Style | None) -> _Look:
        look = self._looks.get(style)
        if look is None:
            if len(self._looks) >= _LOOKS:
                self._looks.clear()
            look = self._looks[style] = self._new_look(style) if style is not None else _PLAIN
        return look

    def _new_look(self, style: Style) -> _Look:
        link = f"\x1b]8;id={style.link_id};{style.link}\x1b\\" if style.link else ""
        attributes = tuple(on for name, on, _ in _ATTRIBUTES if getattr(style, name))
        if self._colours is None:
            return _Look("", "", attributes, link)
        colour = ground = ""
        if style.color is not None:
            colour = ";".join(style.color.downgrade(self._colours).get_ansi_codes())
        if style.bgcolor is not None:
            codes = style.bgcolor.downgrade(self._colours).get_ansi_codes(foreground=False)
            ground = ";".join(codes)
        return _Look(colour, ground, attributes, link)


def _runs(known: list[_Cell], cells: list[_Cell]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of `cells` that have to be written."""
    if _has_uncertain(known) or _has_uncertain(cells):
        yield 0, len(cells)
        return
    start = stop = -1
    for at, (before, now) in enumerate(zip(known, cells, strict=True)):
        if before == now:
            continue
        first = at
        while first > 0 and not cells[first].text:  # not from the middle of a wide character
            first -= 1
        if start >= 0 and first - stop > _GAP:
            yield start, stop
            start = -1
        if start < 0:
            start = first
        stop = at + 1
        while stop < len(cells) and not cells[stop].text:
            stop += 1
    if start >= 0:
        yield start, stop


def _has_uncertain(cells: list[_Cell]) -> bool:
    """Return whether terminals disagree on a width: of emoji and combined characters."""
    texts = [cell.text for cell in cells]
    text = "".join(texts)
    return len(text) > len(texts) - texts.count("") or _UNCERTAIN.search(text) is not None


def _turn(before: _Look, now: _Look) -> str:
    """Return what turns one look into another."""
    link = "" if now.link == before.link else now.link or "\x1b]8;;\x1b\\"
    if now == _PLAIN._replace(link=now.link):
        return link + _RESET
    codes: list[str] = []
    gone = {_OFF[on] for on in before.attributes if on not in now.attributes}
    codes += map(str, sorted(gone))
    codes += [str(on) for on in now.attributes if on not in before.attributes or _OFF[on] in gone]
    if now.colour != before.colour:
        codes.append(now.colour or "39")
    if now.ground != before.ground:
        codes.append(now.ground or "49")
    return f"{link}\x1b[{';'.join(codes)}m" if codes else link
