"""The lines of a message: quotes, code, headings, lists, tables and rules.

A chat is not a document: a line is a line, and no blank lines are asked for around anything. What
is within a line is in :mod:`~gochat.tui.text.markup`. Time is linear in the length of the text,
whatever it says. Input is sanitised text.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from rich.cells import cell_len

from gochat.protocol.text import EVERYBODY, EVERYBODY_NAMES, FENCE, ends_block, unquoted
from gochat.tui.text.document import Document, Line, LineKind, Pad, Span
from gochat.tui.text.highlighting import highlight
from gochat.tui.text.markup import folded, inline

_HEADING: Final = re.compile(r"(#{1,6}) +(?=\S)")
_RULE: Final = re.compile(r" {0,3}([-*_])(?: *\1){2,} *")
_ITEM: Final = re.compile(r"( {0,12})(?:[-*]|(\d{1,3}[.)])) +(?:\[([ xX])\] +)?(?=\S)")
_DASHES: Final = re.compile(r":?-+:?")
_CELL_END: Final = re.compile(r"(?<!\\)\|")
_BETWEEN: Final = " │ "
#: Wider tables are shown as they are written.
_MAX_COLUMNS: Final = 20


def parse(text: str, mentioned: Collection[str] = ()) -> Document:
    """Return the document that sanitised `text` describes.

    Of what may be mentions, only those of `mentioned` are drawn as such: whom the server found.
    """
    names = (*mentioned, *EVERYBODY_NAMES) if EVERYBODY in mentioned else mentioned
    builder = _Builder(frozenset(map(folded, names)))
    lines = text.split("\n")
    is_alone = sum(1 for line in lines if line.strip()) < 2
    index = 0
    while index < len(lines):
        quote, line = unquoted(lines[index])
        if fence := FENCE.fullmatch(line):
            index = _code(builder, lines, index + 1, quote, fence.group(1))
        elif (table := _table(lines, index, quote)) is not None:
            index = table.draw(builder, lines, index, quote)
        else:
            if _RULE.fullmatch(line) and not is_alone:
                builder.add("", LineKind.RULE, quote=quote)
            else:
                _line(builder, line, quote, is_first=index == 0 and not quote)
            index += 1
    return builder.document()


class _Builder:
    """The document that grows."""

    __slots__ = ("_length", "_lines", "_pieces", "_spans", "known")

    def __init__(self, known: frozenset[str]) -> None:
        #: Whose names are drawn as mentions.
        self.known = known
        self._pieces: list[str] = []
        self._lines: list[Line] = []
        self._spans: list[Span] = []
        self._length = 0

    @property
    def next_start(self) -> int:
        """Where the line that comes next begins."""
        return self._length + (1 if self._lines else 0)

    def add(
        self, text: str, kind: LineKind, spans: list[Span] | None = None, *, quote: int = 0,
        hang: int = 0, label: str | None = None, ends: bool = False, pads: tuple[Pad, ...] = (),
        columns: int = 0, below: str = "",
    ) -> None:  # fmt: skip
        """Add a line; its `spans` and `pads` count from the start of the document."""
        start = self.next_start
        self._length = start + len(text)
        self._pieces.append(text)
        self._lines.append(
            Line(start, self._length, kind, quote, hang, label, ends, pads, columns, below)
        )
        self._spans.extend(spans or ())

    def document(self) -> Document:
        self._spans.sort()
        return Document("\n".join(self._pieces), tuple(self._lines), tuple(self._spans))


def _line(builder: _Builder, line: str, quote: int, *, is_first: bool) -> None:
    start = builder.next_start
    if heading := _HEADING.match(line):
        text, spans = inline(line[heading.end() :], start, builder.known)
        role = "title" if heading.group(1) == "#" else "heading"
        whole = Span(start, start + len(text), role)
        builder.add(text, LineKind.HEADING, [whole, *spans], quote=quote)
    elif item := _ITEM.match(line):
        indent, number, task = item.groups()
        sign = indent + (f"{number} " if number else "◦ " if indent else "• ")
        if task is not None:
            done = "☐ " if task == " " else "☑ "
            sign = sign + done if number else indent + done
        text, spans = inline(line[item.end() :], start + len(sign), builder.known)
        builder.add(sign + text, LineKind.TEXT, spans, quote=quote, hang=len(sign))
    else:
        text, spans = inline(line, start, builder.known, is_first=is_first)
        builder.add(text, LineKind.TEXT, spans, quote=quote)


def _code(builder: _Builder, lines: list[str], index: int, quote: int, language: str) -> int:
    """Add the lines of a fence up to its end, or that of its quote; return the index after it."""
    code: list[str] = []
    while index < len(lines):
        depth, line = unquoted(lines[index], quote) if quote else (0, lines[index])
        if depth < quote:
            break
        index += 1
        if ends_block(line):
            if last := line.rstrip().rstrip("`").rstrip():
                code.append(last)
            break
        code.append(line)
    code = code or [""]
    start = builder.next_start
    colours = highlight("\n".join(code), language)
    spans = [Span(start + first, start + last, role) for first, last, role in colours]
    for number, line in enumerate(code):
        is_first, is_last = number == 0, number == len(code) - 1
        builder.add(
            line, LineKind.CODE, spans if is_first else [], quote=quote,
            label=language if is_first else None, ends=is_last,
        )  # fmt: skip
    return index


class _Table(NamedTuple):
    """A table, before its rows are read: which columns stand at the right, which in the middle."""

    right: tuple[bool, ...]
    middle: tuple[bool, ...]

    def draw(self, builder: _Builder, lines: list[str], index: int, quote: int) -> int:
        """Add the table that begins at `index`; return the index after it."""
        rows = [_cells(unquoted(lines[index], quote)[1])]
        index += 2
        while index < len(lines):
            depth, line = unquoted(lines[index], quote)
            if depth != quote or "|" not in line or FENCE.fullmatch(line):
                break
            rows.append(_cells(line))
            index += 1
        count = len(self.right)
        shown = [[inline(cell, 0, builder.known) for cell in _fitted(row, count)] for row in rows]
        widths = [max(cell_len(row[n][0]) for row in shown) for n in range(count)]
        for number, row in enumerate(shown):
            self._row(builder, row, widths, quote, is_heading=number == 0)
        return index

    def _row(
        self, builder: _Builder, row: list[tuple[str, list[Span]]], widths: list[int], quote: int,
        *, is_heading: bool,
    ) -> None:  # fmt: skip
        at = builder.next_start
        pieces: list[str] = []
        spans: list[Span] = []
        pads: list[Pad] = []
        for number, ((text, inner), width) in enumerate(zip(row, widths, strict=True)):
            if number:
                pieces.append(_BETWEEN)
                spans.append(Span(at, at + len(_BETWEEN), "rule"))
                at += len(_BETWEEN)
            blank = width - cell_len(text)
            before = blank if self.right[number] else blank // 2 if self.middle[number] else 0
            if before:
                pads.append(Pad(at, before))
            spans.extend(Span(at + s.start, at + s.end, s.role, s.link) for s in inner)
            if is_heading and text:
                spans.append(Span(at, at + len(text), "bold"))
            pieces.append(text)
            at += len(text)
            if blank > before and number < len(row) - 1:
                pads.append(Pad(at, blank - before))
        below = "─┼─".join("─" * width for width in widths) if is_heading else ""
        columns = sum(widths) + len(_BETWEEN) * (len(widths) - 1)
        builder.add(
            "".join(pieces), LineKind.TABLE, spans, quote=quote, hang=2, pads=tuple(pads),
            columns=columns, below=below,
        )  # fmt: skip


def _table(lines: list[str], index: int, quote: int) -> _Table | None:
    """Return the table that begins at `index`, if one does: names, and a line of dashes."""
    if "|" not in lines[index] or index + 1 == len(lines) or "-" not in lines[index + 1]:
        return None
    depth, below = unquoted(lines[index + 1], quote)
    if depth != quote or "|" not in below:
        return None
    dashes = _cells(below)
    if not 1 < len(dashes) <= _MAX_COLUMNS or not all(map(_DASHES.fullmatch, dashes)):
        return None
    if len(_cells(unquoted(lines[index], quote)[1])) != len(dashes):
        return None
    right = tuple(cell.endswith(":") and not cell.startswith(":") for cell in dashes)
    return _Table(right, tuple(cell[0] == cell[-1] == ":" for cell in dashes))


def _cells(line: str) -> list[str]:
    """Return the cells of a row; a bar that is none has a backslash before it."""
    line = line.strip().removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _CELL_END.split(line)]


def _fitted(row: list[str], count: int) -> list[str]:
    """Return a row with `count` cells; what is too much stays in the last one."""
    if len(row) > count:
        return [*row[: count - 1], " | ".join(row[count - 1 :])]
    return row + [""] * (count - len(row))
