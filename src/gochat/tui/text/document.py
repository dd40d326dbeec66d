"""A message as it is shown: its text without the signs of markup, in lines of several kinds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class LineKind(Enum):
    """What a line of a message is."""

    TEXT = "text"
    HEADING = "heading"
    CODE = "code"
    RULE = "rule"
    """A line across: it has no text."""
    TABLE = "table"


class Pad(NamedTuple):
    """Columns that are left blank before the character `at`, where a table is wide enough."""

    at: int
    columns: int


class Line(NamedTuple):
    """A range of `Document.plain` without its line break.

    `quote` is how many quotes it is in, `hang` the columns by which its second row is indented.
    `label` names the language of the block of code that begins here, empty if it has none; `ends`
    is True for the last line of a block. `pads` make a line of a table as wide as the others, which
    is `columns` columns; `below` is drawn below its heading.
    """

    start: int
    end: int
    kind: LineKind
    quote: int = 0
    hang: int = 0
    label: str | None = None
    ends: bool = False
    pads: tuple[Pad, ...] = ()
    columns: int = 0
    below: str = ""


class Span(NamedTuple):
    """A range of `Document.plain`, its role in the palette, and the address if it is a link."""

    start: int
    end: int
    role: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A message as shown: `spans` may overlap, and are sorted by their start."""

    plain: str
    lines: tuple[Line, ...]
    spans: tuple[Span, ...]

    @property
    def links(self) -> tuple[str, ...]:
        """The addresses of the links, in order, each once."""
        return tuple(dict.fromkeys(span.link for span in self.spans if span.link))


def plain_document(text: str) -> Document:
    """Return `text` as a document without markup."""
    lines: list[Line] = []
    start = 0
    for line in text.split("\n"):
        lines.append(Line(start, start + len(line), LineKind.TEXT))
        start += len(line) + 1
    return Document(text, tuple(lines), ())
