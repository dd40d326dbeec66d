"""Words of the person's own, by which a message counts as one that mentions them. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from gochat.protocol.text import UNSPACED, TextTokenKind, tokens

#: Neither in code nor in an address, as with mentions.
_ELSEWHERE: Final = (TextTokenKind.BLOCK, TextTokenKind.CODE, TextTokenKind.LINK)
#: A word begins, and ends, where no letter or digit stands beside it, or one of a script that is
#: written without spaces.
_BEGINNING: Final = rf"(?:(?<!\w)|(?<={UNSPACED}))"
_END: Final = rf"(?:(?!\w)|(?={UNSPACED}))"


class Highlights:
    """Finds any of `words` in a text: whole words, also several with spaces between them, in any
    case. Empty words are left out."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        found = [_folded(word.strip()) for word in words if word.strip()]
        self._pattern = re.compile("|".join(map(_bounded, found))) if found else None

    def are_in(self, text: str) -> bool:
        """Return whether one of the words is in a text, neither in code nor in an address.

        The time is linear in the text's length.
        """
        if self._pattern is None:
            return False
        prose, end = [], 0
        for token in tokens(text):
            if token.kind in _ELSEWHERE:
                prose.append(text[end : token.start])
                end = token.end
        prose.append(text[end:])
        return self._pattern.search(_folded("\n".join(prose))) is not None


def _bounded(word: str) -> str:
    before = _BEGINNING if _is_spaced(word[0]) else ""
    after = _END if _is_spaced(word[-1]) else ""
    return before + r"\s+".join(map(re.escape, word.split())) + after


def _is_spaced(char: str) -> bool:
    return re.match(r"\w", char) is not None and re.match(UNSPACED, char) is None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
