"""Where the words of a search are in a text, whatever their case and accents. Pure.

Which messages match is for the server to say; this marks them for the eye.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from unicodedata import normalize


@lru_cache(4096)
def _bare(char: str) -> str:
    return "".join(c for c in normalize("NFKD", char.casefold()) if not "\u0300" <= c <= "\u036f")


def bare(text: str) -> str:
    """Return `text` in small letters without accents."""
    return text.lower() if text.isascii() else "".join(map(_bare, text))


def ranges(text: str, terms: Sequence[str]) -> list[tuple[int, int]]:
    """Return where `terms` are in `text`, as ranges of its characters."""
    at: list[int] = []  # of each character of the bare text, which character it is of
    for index, char in enumerate(text):
        at += [index] * len(_bare(char))
    plain = "".join(map(_bare, text))
    found: list[tuple[int, int]] = []
    for term in filter(None, map(bare, terms)):
        start = plain.find(term)
        while start >= 0:
            found.append((at[start], at[start + len(term) - 1] + 1))
            start = plain.find(term, start + len(term))
    return found
