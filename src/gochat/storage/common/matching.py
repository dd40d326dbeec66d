"""What it means that a text matches what somebody looks for. The same in every store."""

from __future__ import annotations

from itertools import pairwise
from typing import Final
from unicodedata import combining, normalize

#: Marks in a row that are put in order, which takes time in the square of their number: as many as
#: Unicode's stream-safe texts have (UAX #15, section 13), and more than any writing.
MAX_MARKS: Final = 30
#: What doesn't count as a mark by itself, but is one once it is normalised.
_MARKS_TO_BE: Final = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")
#: Stands between marks, so that they are not put in order: COMBINING GRAPHEME JOINER.
_JOINER: Final = "\u034f"


def fold(text: str) -> str:
    """Return the form of a text in which it is compared, in time linear in its length."""
    if text.isascii():
        return text.lower()
    return normalize("NFKC", normalize("NFKC", _stream_safe(text)).casefold())


def _stream_safe(text: str) -> str:
    """Return `text` with no more than :data:`MAX_MARKS` marks in a row."""
    # Where there are more, two neighbours of these are marks. In most texts no two are.
    sample = map(_is_mark, text[:: MAX_MARKS // 2])
    if not any(one and other for one, other in pairwise(sample)):
        return text
    safe: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if _is_mark(char) else 0
        if marks > MAX_MARKS:
            safe.append(_JOINER)
            marks = 1
        safe.append(char)
    return "".join(safe)


def _is_mark(char: str) -> bool:
    return combining(char) != 0 or char in _MARKS_TO_BE


class SearchWords:
    """What somebody looks for: words, of which all must be in a text, also inside others."""

    def __init__(self, query: str) -> None:
        self.folded: Final = tuple(dict.fromkeys(fold(query).split()))

    def __bool__(self) -> bool:
        return bool(self.folded)

    def match(self, text: str) -> bool:
        """True if all words are in `text`."""
        folded = fold(text)
        return all(word in folded for word in self.folded)
