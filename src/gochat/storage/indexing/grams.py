"""Full-text search: words of any script, also inside other words, ignoring case.

FTS5's own tokenizers don't find 中文 in a sentence: unicode61 takes the sentence for one word, and
trigram finds nothing shorter than three characters. So gochat makes the tokens. At every position
of a word begins one token of up to three characters; prefix indexes of one and two characters make
short words as fast to look up as long ones. The index yields candidates; their texts decide. So it
needs no positions, and stays small.

Indexing each message separately would cost more than storing it. So the index (search_index.py)
follows the log, and a search scans the entries that it lacks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gochat.storage.common.matching import SearchWords, loose

#: Characters of a token. With two, the lists of entries per token would be too long; with four,
#: there would be too many tokens.
GRAM: Final = 3
#: Tokens looked up for one word; scanning the candidates left by then is cheaper than more.
MAX_GRAMS: Final = 12

#: Characters of the longest word whose tokens are kept, so that the cache takes 8 MB at most.
_MAX_CACHED: Final = 24

# FTS5's ascii tokenizer treats all ASCII characters except letters and digits as separators, and no
# others. So signs are mapped to the private use area.
_SIGNS: Final = {chr(code): chr(0xE000 + code) for code in range(128) if not chr(code).isalnum()}


def grams(text: str) -> str:
    """Return the tokens of a text, separated by spaces, as the index stores them."""
    tokens: set[str] = set()
    for word in loose(text).split():
        tokens.update(_tokens(word) if len(word) <= _MAX_CACHED else _tokens.__wrapped__(word))
    return " ".join(tokens)


@lru_cache(maxsize=4096)
def _tokens(word: str) -> frozenset[str]:
    """Return the tokens of a word. People use the same words again and again."""
    shown = _shown(word)
    return frozenset([shown[start : start + GRAM] for start in range(len(shown))])


def _shown(word: str) -> str:
    """Return a word in characters that the tokenizer takes for letters."""
    if not word.isalnum():
        for sign in _SIGNS.keys() & set(word):
            word = word.replace(sign, _SIGNS[sign])
    return word


class IndexedWords(SearchWords):
    """The words of a query, also as an FTS5 query."""

    def expression(self) -> str:
        """Return an FTS5 query that finds every text that may match."""
        terms: dict[str, None] = {}
        for word in self.words:
            shown = _shown(word)
            if len(shown) < GRAM:
                terms[f'"{shown}" *'] = None
                continue
            starts = range(len(shown) - GRAM + 1)
            step = max(1, len(starts) // MAX_GRAMS)
            for start in starts[::step]:
                terms[f'"{shown[start : start + GRAM]}"'] = None
        return " AND ".join(terms)
