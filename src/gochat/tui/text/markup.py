"""The light Markdown of messages: bold, italic, strike, code, quotes, links, mentions.

A parser of its own, since a chat is not a document: a line is a line, ``snake_case`` and ``2*3*4``
stay as they are, nothing nests deeper than emphasis, and time is linear in the length of the text,
whatever it says. Rich's and Textual's markup mean nothing here. Input is sanitised text; output is
the text as shown, without the signs, and what each range of it is.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from gochat.tui.text.highlighting import highlight


class LineKind(Enum):
    """What a line of a message is."""

    TEXT = "text"
    QUOTE = "quote"
    CODE = "code"


class Line(NamedTuple):
    """A range of `Document.plain` without its line break."""

    start: int
    end: int
    kind: LineKind


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


_FENCE: Final = re.compile(r" {0,3}```+ *([\w+#.-]{0,20}) *")
_SPECIAL: Final = re.compile(r"\\[*`~\[\]\\]|`+|\*+|_+|~+|\[|[hH][tT][tT][pP][sS]?://|@")
_URL: Final = re.compile(
    r"https?://[^\s<>\"`⟨⟩␀-␡，。、；：！？（）《》「」『』【】“”‘’]+", re.IGNORECASE
)
_LABELLED: Final = re.compile(
    r"\[([^\[\]]{1,200})\]\((https?://[^\s()<>⟨⟩␀-␡]{1,2000})\)", re.IGNORECASE
)
_TICKS: Final = re.compile("`+")
_OPENING: Final = {")": "(", "]": "[", "}": "{"}
#: What an address keeps as it is, printable ASCII; everything else is percent-encoded.
_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_TRAILING: Final = ".,;:!?'\"*_~"
_EMPHASIS: Final = {
    "*": "italic",
    "_": "italic",
    "**": "bold",
    "__": "bold",
    "~~": "strike",
}
#: As in the rules of names.
_MAX_NAME: Final = 32
#: Of the DNS, in ASCII.
_MAX_HOST: Final = 253


def parse(text: str) -> Document:
    """Return the document that sanitised `text` describes."""
    builder = _Builder()
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        line = lines[index]
        if fence := _FENCE.fullmatch(line):
            index = _code_block(builder, lines, index + 1, fence.group(1))
        elif line.startswith("> ") or line == ">":
            _inline(builder, line[2:], LineKind.QUOTE)
            index += 1
        else:
            _inline(builder, line, LineKind.TEXT)
            index += 1
    return builder.document()


class _Builder:
    """The document that grows."""

    __slots__ = ("_length", "_lines", "_pieces", "_spans")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._lines: list[Line] = []
        self._spans: list[Span] = []
        self._length = 0

    @property
    def next_start(self) -> int:
        """Where the line that comes next begins."""
        return self._length + (1 if self._lines else 0)

    def add(self, line: str, kind: LineKind, spans: list[Span]) -> None:
        """Add a line; its `spans` count from the start of the document."""
        start = self.next_start
        self._length = start + len(line)
        self._pieces.append(line)
        self._lines.append(Line(start, self._length, kind))
        self._spans.extend(spans)

    def document(self) -> Document:
        self._spans.sort()
        return Document("\n".join(self._pieces), tuple(self._lines), tuple(self._spans))


def _code_block(builder: _Builder, lines: list[str], index: int, language: str) -> int:
    """Add the lines of a fence up to its end, or the message's; return the index after it."""
    code: list[str] = []
    while index < len(lines):
        line = lines[index]
        index += 1
        if (stripped := line.rstrip()).endswith("```"):
            if last := stripped.rstrip("`").rstrip():
                code.append(last)
            break
        code.append(line)
    start = builder.next_start
    body = "\n".join(code)
    colours = highlight(body, language)
    by_line = [Span(start + first, start + last, role) for first, last, role in colours]
    for number, line in enumerate(code):
        builder.add(line, LineKind.CODE, by_line if number == 0 else [])
    return index


class _Piece(NamedTuple):
    """A part of a line."""

    text: str
    role: str = ""
    link: str = ""


class _Pair(NamedTuple):
    """Two pieces that are the delimiters of what lies between them."""

    first: int
    last: int
    role: str


def _inline(builder: _Builder, line: str, kind: LineKind) -> None:
    parser = _LineParser(line)
    parser.run()
    dropped = {index for pair in parser.pairs for index in (pair.first, pair.last)}
    starts: list[int] = []
    shown: list[str] = []
    spans: list[Span] = []
    position = builder.next_start
    for index, piece in enumerate(parser.pieces):
        starts.append(position)
        if index in dropped:
            continue
        if piece.role:
            spans.append(Span(position, position + len(piece.text), piece.role, piece.link))
        shown.append(piece.text)
        position += len(piece.text)
    spans.extend(Span(starts[pair.first], starts[pair.last], pair.role) for pair in parser.pairs)
    builder.add("".join(shown), kind, spans)


class _LineParser:
    """One line, read once from left to right."""

    __slots__ = ("_done", "_line", "_opened", "_ticks", "pairs", "pieces")

    def __init__(self, line: str) -> None:
        self._line = line
        self._done = 0  # up to where the line is in `pieces`
        self._opened: dict[str, tuple[int, int]] = {}  # delimiter: its piece, where its text begins
        self._ticks: dict[int, list[int]] | None = None
        self.pieces: list[_Piece] = []
        self.pairs: list[_Pair] = []

    def run(self) -> None:
        line = self._line
        position = 0
        while found := _SPECIAL.search(line, position):
            start, end = found.span()
            match line[start]:
                case "\\":
                    self._add(start, end, _Piece(line[start + 1]))
                case "`":
                    end = self._code(start, end)
                case "[":
                    end = self._labelled(start)
                case "@":
                    end = self._mention(start)
                case "*" | "_" | "~":
                    self._emphasis(start, end)
                case _:
                    end = self._url(start)
            position = end
        self._plain(len(line))

    def _plain(self, stop: int) -> None:
        if self._done < stop:
            self.pieces.append(_Piece(self._line[self._done : stop]))
            self._done = stop

    def _add(self, start: int, end: int, *pieces: _Piece) -> None:
        self._plain(start)
        self.pieces.extend(pieces)
        self._done = end

    def _code(self, start: int, end: int) -> int:
        if self._ticks is None:
            self._ticks = {}
            for run in _TICKS.finditer(self._line):
                self._ticks.setdefault(run.end() - run.start(), []).append(run.start())
        runs = self._ticks.get(end - start, [])  # a run whose first is escaped counts as longer
        following = bisect_right(runs, start)
        if following == len(runs):
            return end
        close = runs[following]
        body = self._line[end:close]
        if body.startswith(" ") and body.endswith(" ") and body.strip():
            body = body[1:-1]
        self._add(start, close + end - start, _Piece(body, "code"))
        return close + end - start

    def _labelled(self, start: int) -> int:
        found = _LABELLED.match(self._line, start)
        if found is None:
            return start + 1
        label, url = found.groups()
        address = ascii_address(url)
        if not address:
            return start + 1
        pieces = [_Piece(label, "link", address)]
        host = urlsplit(address).hostname or ""
        if host not in label.casefold():
            pieces.append(_Piece(f" ({host})", "faint"))  # a label alone may deceive
        self._add(start, found.end(), *pieces)
        return found.end()

    def _url(self, start: int) -> int:
        if self._line[start - 1 : start].isalnum():
            return start + 1
        found = _URL.match(self._line, start)
        if found is None:
            return start + 1
        url = _trimmed(found.group())
        address = ascii_address(url)
        if not address:
            return found.end()  # as it is: looking again within it would take quadratic time
        self._add(start, start + len(url), _Piece(url, "link", address))
        return start + len(url)

    def _mention(self, start: int) -> int:
        line = self._line
        before = line[start - 1 : start]
        end = start + 1
        while end < len(line) and end - start <= _MAX_NAME and _in_name(line[end]):
            end += 1
        while line[end - 1] in "-_.":
            end -= 1
        if end - start < 2 or before.isalnum() or before in {"_", "@", "/", "."}:
            return start + 1
        self._add(start, end, _Piece(line[start:end], "name"))
        return end

    def _emphasis(self, start: int, end: int) -> None:
        """Open or close: ``***`` is ``**`` and ``*`` at once."""
        line = self._line
        sign = line[start:end]
        self._plain(start)
        signs = ["**", "*"] if sign == "***" else [sign]
        before, after = line[start - 1 : start] if start else "", line[end : end + 1]
        closes = bool(before) and not before.isspace() and not _binds(sign, after)
        opens = bool(after) and not after.isspace() and not _binds(sign, before)
        opens = opens and not unicodedata.combining(after) and before != "\\"
        if closes:
            signs.reverse()
        for part in signs:
            self.pieces.append(_Piece(part))
            if closes and self._close(part, start):
                continue
            if opens and part in _EMPHASIS:
                self._opened[part] = (len(self.pieces) - 1, end)
        self._done = end

    def _close(self, sign: str, start: int) -> bool:
        if sign not in self._opened:
            return False
        first, begin = self._opened[sign]
        if not any(char.isalnum() or ord(char) > 0x2000 for char in self._line[begin:start]):
            return False
        self._opened = {other: at for other, at in self._opened.items() if at[0] < first}
        self.pairs.append(_Pair(first, len(self.pieces) - 1, _EMPHASIS[sign]))
        return True


def _binds(sign: str, char: str) -> bool:
    """Say whether `sign` next to `char` is part of a word: ``snake_case``, ``2*3``.

    Asterisks within words of scripts that put no spaces between words are emphasis.
    """
    if not char:
        return False
    return char.isalnum() if sign[0] == "_" else char.isalnum() and char.isascii()


def _in_name(char: str) -> bool:
    return char.isalnum() or char in "-_." or unicodedata.category(char)[0] == "M"


def _trimmed(url: str) -> str:
    """Return `url` without the punctuation that belongs to the sentence around it."""
    surplus = {close: url.count(close) - url.count(opening) for close, opening in _OPENING.items()}
    end = len(url)
    while end:
        last = url[end - 1]
        if last in surplus and surplus[last] > 0:
            surplus[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return url[:end]


def ascii_address(url: str) -> str:
    """Return `url` as it goes to a terminal or a browser, in ASCII; nothing if it is none.

    The host is in Punycode, which also shows letters that only look like others.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "")[: _MAX_HOST + 1].encode("idna").decode("ascii")
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:  # no such host, no such port, brackets that hold no address
        return ""
    # No name and password before the host: they serve to disguise it.
    if not host or len(host) > _MAX_HOST or "@" in parts.netloc:
        return ""
    if ":" in host:
        host = f"[{host}]"
    tail = urlunsplit(("", "", parts.path, parts.query, parts.fragment))
    return f"{parts.scheme}://{host}{port}{quote(tail, safe=_ASCII)}"
