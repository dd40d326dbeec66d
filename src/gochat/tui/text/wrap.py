"""Lines of text, broken into rows of a terminal.

A row is a range of the text, so the text itself stays whole for selecting and copying. Widths are
Rich's, since Textual crops and pads with them; a cluster (what a reader calls one character) is
never broken.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from rich.cells import cell_len, split_graphemes

#: A cluster may be two cells wide: nothing narrower can hold every text.
MIN_WIDTH: Final = 2

_ONE_CELL_EACH: Final = re.compile(r"[\x20-\x7e\xa0-\xac\xae-\u02ff\u0370-\u0373\u0384-\u0482]*")

#: Joins the characters around it to one cluster.
_JOINER: Final = "\u200d"

#: Must not begin a row in East Asian typography: closing signs, small kana, repetition marks.
_NOT_FIRST: Final = frozenset(
    "、。，．：；？！」』）］｝〉》】〕〗〙〛’”…‥・ー々ゝゞヽヾぁぃぅぇぉっゃゅょァィゥェォッャュョ%％℃"
)
#: Must not end a row: opening signs, and those that belong to the name after them.
_NOT_LAST: Final = frozenset("「『（［｛〈《【〔〖〘〚‘“￥＄＠＃")


class Cluster(NamedTuple):
    """One character as a reader sees it: a range of the text and its width in cells."""

    start: int
    end: int
    cells: int


def clusters(text: str, start: int = 0, end: int | None = None) -> list[Cluster]:
    """Return the clusters of ``text[start:end]``, in order and without gaps.

    Rich's graphemes, with the two letters of a flag taken together.
    """
    part = text[start:end]
    if _ONE_CELL_EACH.fullmatch(part):
        return [Cluster(start + index, start + index + 1, 1) for index in range(len(part))]
    found: list[Cluster] = []
    half_flag = False
    for first, last, cells in split_graphemes(part)[0]:
        if half_flag and _is_regional(part[first]):
            before = found[-1]
            found[-1] = Cluster(before.start, start + last, before.cells + cells)
            half_flag = False
            continue
        half_flag = _is_regional(part[first])
        found.append(Cluster(start + first, start + last, cells))
    return found


def _is_regional(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def snap(text: str, index: int, *, up: bool) -> int:
    """Return the edge of a cluster next to `index`: the one after it if `up`, else before it."""
    if not 0 < index < len(text):
        return min(max(index, 0), len(text))
    # Only what is near matters: the line may be very long.
    start, stop = index, index + 1
    while start and not _begins(text, start):
        start -= 1
    if start == index:
        return index
    while up and stop < len(text) and not _begins(text, stop):
        stop += 1
    for cluster in clusters(text, start, stop):
        if cluster.end >= index:
            return index if cluster.end == index else cluster.end if up else cluster.start
    return index


def _begins(text: str, index: int) -> bool:
    """Return whether it is clear from two characters that a cluster begins at `index`, or a line
    begins or ends there."""
    before, char = text[index - 1], text[index]
    if "\n" in (before, char):
        return True
    return before != _JOINER and not _is_regional(char) and cell_len(char) > 0


def wrap(text: str, start: int, end: int, width: int) -> list[tuple[int, int]]:
    """Break the line ``text[start:end]`` into rows of at most `width` cells (`MIN_WIDTH` at least).

    Breaks after spaces, hyphens within words and wide characters; a longer word anywhere between
    clusters. The spaces at a break belong to no row. There is always one row, if an empty one.
    """
    width = max(width, MIN_WIDTH)
    part = text[start:end]
    if _ONE_CELL_EACH.fullmatch(part):
        if end - start <= width:
            return [(start, end)]
        return _wrap_narrow(text, start, end, width)
    if len(part) * 2 <= width or cell_len(part) <= width:
        return [(start, end)]
    return _wrap_clusters(text, start, end, width)


def _wrap_narrow(text: str, start: int, end: int, width: int) -> list[tuple[int, int]]:
    """Break a line whose characters are one cell each, by positions alone."""
    rows: list[tuple[int, int]] = []
    while end - start > width:
        limit = start + width
        space = text.rfind(" ", start, limit + 1)
        hyphen = text.rfind("-", start, limit)
        cut = space
        if hyphen > space and _in_word(text, hyphen, start, end):
            cut = hyphen + 1
        if cut <= start or (cut == space and text[start:cut].isspace()):
            rows.append((start, limit))  # a word longer than the row
            start = limit
            continue
        stop = cut
        while stop > start and text[stop - 1] == " ":
            stop -= 1
        rows.append((start, stop))
        start = cut
        while start < end and text[start] == " ":
            start += 1
    if start < end or not rows:
        rows.append((start, end))
    return rows


def _in_word(text: str, hyphen: int, start: int, end: int) -> bool:
    return start < hyphen < end - 1 and text[hyphen - 1].isalpha() and text[hyphen + 1].isalpha()


def _wrap_clusters(text: str, start: int, end: int, width: int) -> list[tuple[int, int]]:
    rows: list[tuple[int, int]] = []
    parts = clusters(text, start, end)
    first = index = 0  # of the row; of the cluster looked at
    cells = 0
    breakable = -1  # the cluster before which the row may break
    while index < len(parts):
        part = parts[index]
        if index > first and _may_break(text, parts, index):
            breakable = index
        if cells + part.cells <= width or index == first:
            cells += part.cells
            index += 1
            continue
        cut = breakable if breakable > first and text[part.start] != " " else index
        last = cut
        while last > first and text[parts[last - 1].start] == " ":
            last -= 1
        if last == first:  # nothing but spaces: keep them, or the row would vanish
            last = cut
        rows.append((parts[first].start, parts[last - 1].end))
        while cut < len(parts) and text[parts[cut].start] == " ":
            cut += 1
        first = index = cut
        cells, breakable = 0, -1
    if first < len(parts) or not rows:
        rows.append((parts[first].start if parts else start, end))
    return rows


def _may_break(text: str, parts: list[Cluster], index: int) -> bool:
    """Return whether a row may end before the cluster at `index`."""
    before, here = parts[index - 1], parts[index]
    left, right = text[before.start], text[here.start]
    if right == " ":
        return False  # the break comes after the spaces
    if left == " ":
        return True
    if left == "-":
        return index > 1 and text[parts[index - 2].start].isalpha() and right.isalpha()
    if before.cells == 2 or here.cells == 2:
        return right not in _NOT_FIRST and left not in _NOT_LAST
    return False
