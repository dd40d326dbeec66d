"""What can be written into a search: words, phrases in quotes, ``from:`` and ``in:``. Pure.

::

    tea "good morning" from:mei in:#garden

The words and phrases are looked for in any order. A quote without a second one is a sign like all
others, and so is a ``from:`` or ``in:`` with nothing after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: A phrase in quotes; or who; or where; or a word.
_PART: Final = re.compile(
    r'"(?P<phrase>[^"]+)"|(?<!\S)(?P<key>from|in):(?P<value>[^\s"]+)(?!\S)|\S+?(?=\s|"[^"]+"|$)',
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A query, taken apart.

    `terms` are the words and phrases as they were written; `sender` is a name, or ``me``, and
    `place` an address, both without their meaning being known. Without a sign it is that of a room.
    Of several the last one counts.
    """

    terms: tuple[str, ...] = ()
    sender: str | None = None
    place: str | None = None


def parse(query: str) -> SearchQuery:
    """Take a query apart, in time linear in its length."""
    terms: list[str] = []
    named: dict[str, str] = {}
    for part in _PART.finditer(query):
        if part["phrase"] is not None:
            terms.append(part["phrase"])
        elif part["key"] is not None:
            named[part["key"].lower()] = part["value"]
        else:
            terms.append(part[0])
    place = named.get("in")
    if place is not None and place[0] not in "#@":
        place = f"#{place}"
    return SearchQuery(tuple(terms), named.get("from"), place)
