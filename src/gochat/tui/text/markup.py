"""The light Markdown within a line: bold, italic, strike, code, links, mentions.

A parser of its own, since a chat is not a document: ``snake_case`` and ``2*3*4`` stay as they are,
nothing nests deeper than emphasis, and time is linear in the length of the text, whatever it says.
What is code, an address or a mention is decided in :mod:`gochat.protocol.text`, for the server,
too; what lines are in :mod:`~gochat.tui.text.blocks`. Rich's and Textual's markup mean nothing
here. Input is sanitised text; output is the text as shown, without the signs, and what each range
of it is.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from gochat.protocol.text import (
    EVERYBODY_NAMES,
    TextToken,
    TextTokenKind,
    has_sign,
    line_tokens,
    readings,
)
from gochat.tui.text.document import Span

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


def inline(
    line: str, position: int, known: frozenset[str] = frozenset(), *, is_first: bool = False
) -> tuple[str, list[Span]]:
    """Return a line as it is shown, without the signs, and what is what in it.

    The spans count from the start of the document, where the line is at `position`. Of what may be
    mentions, those of `known` are drawn as such, which has names as `folded` returns them.
    `is_first` if the message begins with this line.
    """
    parser = _LineParser(line, known)
    parser.run(is_first=is_first)
    dropped = {index for pair in parser.pairs for index in (pair.first, pair.last)}
    starts: list[int] = []
    shown: list[str] = []
    spans: list[Span] = []
    for index, piece in enumerate(parser.pieces):
        starts.append(position)
        if index in dropped:
            continue
        if piece.role:
            spans.append(Span(position, position + len(piece.text), piece.role, piece.link))
        shown.append(piece.text)
        position += len(piece.text)
    spans.extend(Span(starts[pair.first], starts[pair.last], pair.role) for pair in parser.pairs)
    return "".join(shown), spans


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
                case TextTokenKind.ESCAPE:
                    self._add(token.start, token.end, _Piece(token.value))
                case TextTokenKind.CODE:
                    self._add(token.start, token.end, _Piece(token.value, "code"))
                case TextTokenKind.LINK:
                    self._link(token)
                case TextTokenKind.MENTION:
                    self._mention(token)
                case TextTokenKind.BLOCK:  # not in a line
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

    def _link(self, token: TextToken) -> None:
        address = ascii_address(token.value)
        if not address:
            self._plain(token.end)
            return
        pieces = [_Piece(token.label or token.value, "link", address)]
        host = urlsplit(address).hostname or ""
        if token.label and host not in token.label.casefold():
            pieces.append(_Piece(f" ({host})", "faint"))  # a label alone may deceive
        self._add(token.start, token.end, *pieces)

    def _mention(self, token: TextToken) -> None:
        for name in readings(token.value):
            key = folded(name)
            if key in self._known and (has_sign(token) or key not in EVERYBODY_NAMES):
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
    """Return whether `sign` next to `char` is part of a word: ``snake_case``, ``2*3``.

    Asterisks within words of scripts that put no spaces between words are emphasis.
    """
    if not char:
        return False
    return char.isalnum() if sign[0] == "_" else char.isalnum() and char.isascii()


def folded(name: str) -> str:
    """Return a name as it is compared with others."""
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
