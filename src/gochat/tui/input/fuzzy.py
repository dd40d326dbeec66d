"""Finding by a few letters: ``rl1`` finds ``release-1.0``. Pure.

Every letter must be there, in order. What begins a word or follows the letter before it counts
more, and a short candidate more than a long one. One pass from each start that the first letter
offers; no search over all alignments, which a hostile name could make endless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

#: Starts that are tried in one candidate.
_STARTS: Final = 8

T = TypeVar("T")


def match(query: str, candidate: str) -> tuple[float, tuple[int, ...]] | None:
    """Return how well `candidate` matches, and where, or None if it doesn't."""
    needle = [char for char in query.casefold() if not char.isspace()]
    hay = candidate.casefold()
    if len(hay) != len(candidate):  # folding changed the positions of letters
        hay = candidate.lower() if len(candidate.lower()) == len(candidate) else candidate
    if not needle:
        return 0.0, ()
    best: tuple[float, tuple[int, ...]] | None = None
    start = -1
    for _ in range(_STARTS):
        start = hay.find(needle[0], start + 1)
        if start < 0:
            break
        positions = _follow(needle, hay, start)
        if positions is None:
            break
        score = _score(positions, hay)
        if best is None or score > best[0]:
            best = score, positions
    return best


def rank(query: str, items: Iterable[T], text: Callable[[T], str]) -> list[T]:
    """Return the items that match, the best first; in their own order where equal."""
    scored = [(found[0], item) for item in items if (found := match(query, text(item)))]
    scored.sort(key=lambda pair: -pair[0])
    return [item for _, item in scored]


def _follow(needle: list[str], hay: str, start: int) -> tuple[int, ...] | None:
    positions = [start]
    for char in needle[1:]:
        position = hay.find(char, positions[-1] + 1)
        if position < 0:
            return None
        # The start of a word is better than the first match, if it is not far.
        if position != positions[-1] + 1:
            later = position
            while 0 <= later <= position + 24 and not _begins_word(hay, later):
                later = hay.find(char, later + 1)
            if 0 <= later <= position + 24:
                position = later
        positions.append(position)
    return tuple(positions)


def _begins_word(text: str, position: int) -> bool:
    return position == 0 or not text[position - 1].isalnum()


def _score(positions: tuple[int, ...], hay: str) -> float:
    score = 0.0
    before = -2
    for position in positions:
        score += 1.0
        if position == before + 1:
            score += 1.5
        if _begins_word(hay, position):
            score += 1.0
        before = position
    if positions[0] == 0:
        score += 2.0
    return score - len(hay) / 100
