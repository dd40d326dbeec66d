"""What it means that a text matches what somebody looks for. The same in every store."""

from __future__ import annotations

from typing import Final
from unicodedata import normalize


def fold(text: str) -> str:
    """Return the form of a text in which it is compared."""
    if text.isascii():
        return text.lower()
    return normalize("NFKC", normalize("NFKC", text).casefold())


class Words:
    """What somebody looks for: words, of which all must be in a text, also inside others."""

    def __init__(self, query: str) -> None:
        self.folded: Final = tuple(dict.fromkeys(fold(query).split()))

    def __bool__(self) -> bool:
        return bool(self.folded)

    def match(self, text: str) -> bool:
        """True if all words are in `text`."""
        folded = fold(text)
        return all(word in folded for word in self.folded)
