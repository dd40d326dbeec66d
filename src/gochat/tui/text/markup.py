"""The light Markdown of messages: bold, italic, strike, code, quotes, links, mentions.

A parser of its own, since a chat is not a document: a line is a line, ``snake_case`` and ``2*3*4``
stay as they are, nothing nests deeper than emphasis, and time is linear in the length of the text,
whatever it says. Rich's and Textual's markup mean nothing here. Input is sanitised text; output is
the text as shown, without the signs, and what each range of it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from gochat.protocol.text import FENCE, Token, TokenKind, ends_block, line_tokens, readings
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


_EMPHASIS_SIGNS: Final = re.compile(r"\*+|_+|~+")
#: What an address keeps as it is, printable ASCII; everything else is percent-encoded.
_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_EMPHASIS: Final = {
    "*": "italic",
    "_": "italic",
    "**": "bold",
    "__": "bold",
    "~~": "strike",
}
#: Of the DNS, in ASCII.
_MAX_HOST: Final = 253


def parse(text: str, mentioned: Collection[str] = ()) -> Document:
    """Return the document that sanitised `text` describes.

    Of what may be mentions, only those of `mentioned` are drawn as such: whom the server found.
    """
    builder = _Builder()
    known = frozenset(map(_folded, mentioned))
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        line = lines[index]
        if fence := FENCE.fullmatch(line):
            index = _code_block(builder, lines, index + 1, fence.group(1))
        elif line.startswith("> ") or line == ">":
            _inline(builder, line[2:], LineKind.QUOTE, known)
            index += 1
        else:
            _inline(builder, line, LineKind.TEXT, known, is_first=index == 0)
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
        if ends_block(line):
            if last := line.rstrip().rstrip("`").rstrip():
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


def _inline(
    builder: _Builder, line: str, kind: LineKind, known: frozenset[str], *, is_first: bool = False
) -> None:
    parser = _LineParser(line, known)
    parser.run(is_first=is_first)
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

    __slots__ = ("_done", "_known", "_line", "_opened", "pairs", "pieces")

    def __init__(self, line: str, known: frozenset[str]) -> None:
        self._line = line
        self._known = known
        self._done = 0  # up to where the line is in `pieces`
        self._opened: dict[str, tuple[int, int]] = {}  # delimiter: its piece, where its text begins
        self.pieces: list[_Piece] = []
        self.pairs: list[_Pair] = []

    def run(self, *, is_first: bool) -> None:
        for token in line_tokens(self._line, is_first=is_first):
            self._between(token.start)
            match token.kind:
                case TokenKind.ESCAPE:
                    self._add(token.start, token.end, _Piece(token.value))
                case TokenKind.CODE:
                    self._add(token.start, token.end, _Piece(token.value, "code"))
                case TokenKind.LINK:
                    self._link(token)
                case TokenKind.MENTION:
                    self._mention(token)
                case TokenKind.BLOCK:  # not in a line
                    pass
        self._between(len(self._line))

    def _between(self, stop: int) -> None:
        """Add what stands before `stop`, where there are no tokens."""
        for found in _EMPHASIS_SIGNS.finditer(self._line, self._done, stop):
            self._emphasis(*found.span())
        self._plain(stop)

    def _plain(self, stop: int) -> None:
        if self._done < stop:
            self.pieces.append(_Piece(self._line[self._done : stop]))
            self._done = stop

    def _add(self, start: int, end: int, *pieces: _Piece) -> None:
        self._plain(start)
        self.pieces.extend(pieces)
        self._done = end

    def _link(self, token: Token) -> None:
        address = ascii_address(token.value)
        if not address:
            self._plain(token.end)
            return
        pieces = [_Piece(token.label or token.value, "link", address)]
        host = urlsplit(address).hostname or ""
        if token.label and host not in token.label.casefold():
            pieces.append(_Piece(f" ({host})", "faint"))  # a label alone may deceive
        self._add(token.start, token.end, *pieces)

    def _mention(self, token: Token) -> None:
        for name in readings(token.value):
            if _folded(name) in self._known:
                end = token.end - len(token.value) + len(name)
                self._add(token.start, end, _Piece(self._line[token.start : end], "name"))
                break
        self._plain(token.end)

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


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


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
