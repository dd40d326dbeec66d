"""Full-text search: words of any script, also inside others, compared without case.

FTS5's own tokenizers don't find 中文 in a sentence: unicode61 takes the sentence for one word, and
trigram finds nothing shorter than three characters. So the tokens are made here. From every
position of a word one token of up to three characters begins; prefix indexes of one and two
characters make short words as fast to look up as long ones. That says which entries *may* match;
whether they do is seen by looking at their text, so the index needs no positions, and stays small.

Indexing one message at a time would cost more than keeping it. So the index follows the log by up
to some hundred entries, and a search looks at those that it lacks by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from gochat.storage.common.matching import SearchWords, fold

#: Characters of a token. Two would make the lists of entries for a token too long, four the
#: number of tokens.
GRAM: Final = 3
#: Tokens looked up for one word; by then what is left is looked at anyway.
MAX_GRAMS: Final = 12

# FTS5's ascii tokenizer takes all ASCII but letters and digits for separators, and nothing else:
# signs are moved out of its way, into the private use area.
_SIGNS: Final = {code: 0xE000 + code for code in range(128) if not chr(code).isalnum()}


def grams(text: str) -> str:
    """Return the tokens of a text, as the index takes them."""
    tokens = set()
    for word in fold(text).split():
        shown = word if word.isalnum() else word.translate(_SIGNS)
        for start in range(len(shown)):
            tokens.add(shown[start : start + GRAM])
    return " ".join(tokens)


class IndexedWords(SearchWords):
    """What somebody looks for, also as the index takes it."""

    def expression(self) -> str:
        """Return the FTS5 query that finds every text that may match."""
        terms: dict[str, None] = {}
        for word in self.folded:
            shown = word.translate(_SIGNS)
            if len(shown) < GRAM:
                terms[f'"{shown}" *'] = None
                continue
            starts = range(len(shown) - GRAM + 1)
            step = max(1, len(starts) // MAX_GRAMS)
            for start in starts[::step]:
                terms[f'"{shown[start : start + GRAM]}"'] = None
        return " AND ".join(terms)


def add(db: sqlite3.Connection, texts: Iterable[tuple[int, str]]) -> None:
    """Put texts into the index, by the id of their entries."""
    # In the order of ids: FTS5 begins a new segment wherever an id is less than the one before.
    rows = sorted((entry, grams(text)) for entry, text in texts)
    db.executemany("INSERT INTO search (rowid, grams) VALUES (?, ?)", rows)


def merge(db: sqlite3.Connection, pages: int) -> None:
    """Merge parts of the index where there are many, but write no more than about `pages`."""
    db.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (pages,))


def remove(db: sqlite3.Connection, entry: int, text: str) -> None:
    """Take a text out of the index; `text` is what was put in."""
    db.execute(
        "INSERT INTO search (search, rowid, grams) VALUES ('delete', ?, ?)", (entry, grams(text))
    )
