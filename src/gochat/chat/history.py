"""History from before one's joining: what somebody sees of a log whose beginning is hidden.

Each person in a room has a *floor*: entries up to this seq are hidden from them. It is set as they
join, and never changes while they are in the room. In a room whose history is hidden it is right
before the entry that says so; else it is the floor of the room, which is 0, or right before the
entry by which the history was last shown again. So what was written while the history was hidden
stays hidden from those who join later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import structs

from gochat.protocol.messages import Message

T = TypeVar("T")

#: Changes of a message that repeat something of it, or of what people think of it.
_REVEALING: Final = frozenset({"edit", "react", "unreact"})


def as_seen(entry: Message, floor: int) -> Message:
    """Return an entry after `floor` as somebody with that floor sees it.

    What changes a message that is hidden has lost its text, as an edit that another one follows:
    the entry is there, so that there is no gap.
    """
    if entry.ref is None or entry.ref > floor or entry.kind not in _REVEALING:
        return entry
    return structs.replace(entry, text="", mentions=(), deleted=True)


def views(
    entries: Sequence[Message], audience: Iterable[T], floors: Mapping[T, int]
) -> Iterator[tuple[Collection[T], Sequence[Message]]]:
    """Yield parts of an audience, each with what it sees of entries: only what is after their
    floor. Who is not in `floors` sees all. Of one entry there are at most three parts."""
    # Two floors with none of these between them see the same.
    marks = sorted(
        {entry.seq for entry in entries}
        | {entry.ref for entry in entries if entry.ref is not None and entry.kind in _REVEALING}
    )
    parts: dict[int, dict[T, int]] = {}
    for one in audience:
        floor = floors.get(one, 0)
        parts.setdefault(bisect_right(marks, floor), {})[one] = floor
    for part in parts.values():
        floor = next(iter(part.values()))
        yield part, [as_seen(entry, floor) for entry in entries if entry.seq > floor]
