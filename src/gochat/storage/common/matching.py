"""How a text matches a search query, for every store."""

from __future__ import annotations

from collections.abc import Sequence
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


def loose(text: str) -> str:
    """Return :func:`fold` of a text without the accents of Latin, Greek and Cyrillic letters.

    Marks of other scripts are not accents: without them, their words would be others.
    """
    folded = fold(text)
    return folded if folded.isascii() else folded.translate(_BARE)


class _Bare(dict[int, str]):
    """The form of each character without its accents, made when it is first asked for.

    Each by itself, so that what is in a text is also in its form.
    """

    def __missing__(self, code: int) -> str:
        char = chr(code)
        parts = normalize("NFD", char)
        if any(map(_is_accent, parts)):
            char = "".join(part for part in parts if not _is_accent(part))
        self[code] = char
        return char


def _is_accent(char: str) -> bool:
    return "\u0300" <= char <= "\u036f" and char != _JOINER


#: Letters with a stroke, which Unicode does not take apart, are in it from the start.
_BARE: Final = _Bare({ord(a): b for a, b in zip("øłđħŧı", "oldhti", strict=True)})


class SearchWords:
    """The words and phrases of a query: a text matches if it contains all, also inside others.

    A text that has them as they are written matches an ``exact`` search. The ``other`` one finds
    the texts in which only accents differ, so that both together find each text once.
    """

    def __init__(self, terms: Sequence[str], *, other: bool = False) -> None:
        self._exact = tuple(dict.fromkeys(_spaced(fold(term)) for term in terms))
        self._loose = tuple(dict.fromkeys(_spaced(loose(term)) for term in terms))
        self._exact, self._loose = (
            tuple(filter(None, self._exact)),
            tuple(filter(None, self._loose)),
        )
        self._other = other
        #: The single words, without accents: what an index has to have of each match.
        self.words: Final = tuple(dict.fromkeys(w for term in self._loose for w in term.split()))
        self._has_phrases = any(" " in term for term in self._exact)

    def __bool__(self) -> bool:
        return bool(self.words)

    @property
    def has_others(self) -> bool:
        """Whether accents could differ at all: only letters have some that have two cases."""
        return any(char.lower() != char.upper() for word in self.words for char in word)

    def match(self, text: str) -> bool:
        """Return True if `text` contains all words and phrases."""
        if self._has_phrases:
            text = _spaced(text)
        if not self._other:
            folded = fold(text)
            return all(term in folded for term in self._exact)
        bare = loose(text)
        if not all(term in bare for term in self._loose):
            return False
        folded = fold(text)
        return not all(term in folded for term in self._exact)


def _spaced(text: str) -> str:
    """Return `text` with one space where there is any room between two words."""
    return " ".join(text.split())
