"""How a text matches a search query, for every store."""

from __future__ import annotations

from itertools import pairwise
from typing import Final
from unicodedata import combining, normalize

#: Marks in a row that are normalised together, which takes time quadratic in their number. The
#: limit is that of Unicode's Stream-Safe Text Format (UAX #15, section 13); no writing system needs
#: more.
MAX_MARKS: Final = 30
#: Not marks themselves, but marks once they are normalised.
_MARKS_TO_BE: Final = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")
#: COMBINING GRAPHEME JOINER, inserted between marks to keep them from being reordered.
_JOINER: Final = "\u034f"


def fold(text: str) -> str:
    """Return the form of a text used for comparing, in time linear in its length."""
    if text.isascii():
        return text.lower()
    return normalize("NFKC", normalize("NFKC", _stream_safe(text)).casefold())


def _stream_safe(text: str) -> str:
    """Return `text` with at most :data:`MAX_MARKS` marks in a row."""
    # In a longer run, two neighbours in this sample are marks. Most texts have no such neighbours.
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
    """The words of a query: a text matches if it contains all, also inside other words."""

    def __init__(self, query: str) -> None:
        self.folded: Final = tuple(dict.fromkeys(fold(query).split()))

    def __bool__(self) -> bool:
        return bool(self.folded)

    def match(self, text: str) -> bool:
        """Return True if `text` contains all words."""
        folded = fold(text)
        return all(word in folded for word in self.folded)
