"""Search results in two turns, for every store: exact matches, then those with other accents.

A cursor in the second turn is marked; within a turn, it is the store's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gochat.protocol.messages import Message

_OTHERS: Final = "~"


def split_cursor(cursor: str | None) -> tuple[bool, str | None]:
    """Return whether a cursor is in the second turn, and the store's cursor, None at the start."""
    if cursor is not None and cursor.startswith(_OTHERS):
        return True, cursor.removeprefix(_OTHERS) or None
    return False, cursor


def joined(
    exact: Sequence[Message], others: Sequence[Message], more: str | None, limit: int
) -> tuple[list[Message], str | None]:
    """Return a page, and its cursor, of the last of the exact hits and the first of the others.

    `others` were found with :func:`room` as the limit, and with the cursor `more`.
    """
    if len(exact) < limit:
        return [*exact, *others], None if more is None else _OTHERS + more
    return [*exact], _OTHERS if others or more is not None else None


def room(exact: Sequence[Message], limit: int) -> int:
    """Return how many others to look for: one more says whether there is any."""
    return max(1, limit - len(exact))
