"""Search results in two turns, for every store: exact matches, then those with other accents.

A cursor names the history of the store in which it is a position: in another one that would be
somewhere else. In the second turn it is marked; within a turn, it is the store's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gochat.chat.refusals import bad_cursor
from gochat.protocol.messages import Message

_OTHERS: Final = "~"
_IN: Final = ":"


def split_cursor(cursor: str | None, history: str) -> tuple[bool, str | None]:
    """Return whether a cursor is in the second turn, and the store's cursor, None at the start.

    `history` is the store's present one, without a colon in its name.

    Raises:
        ChatError: ``bad_cursor``: the cursor is of another history, or none at all.
    """
    if cursor is None:
        return False, None
    of, separator, inner = cursor.partition(_IN)
    if not separator or of != history:
        raise bad_cursor()
    if inner.startswith(_OTHERS):
        return True, inner.removeprefix(_OTHERS) or None
    return False, inner


def in_history(cursor: str | None, history: str) -> str | None:
    """Return the cursor for the next page as clients get it; None if there is none."""
    return None if cursor is None else f"{history}{_IN}{cursor}"


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
