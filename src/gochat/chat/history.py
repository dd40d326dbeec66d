"""Hidden history: what a person sees of a log whose beginning is hidden from them.

Each person in a room has a *floor*: entries up to this seq are hidden from them. It is set as they
join, and never changes while they are in the room. If the room's history is hidden, it is right
before the entry of the join; otherwise it is the floor of the room, which is 0, or right before the
entry that last showed the history again. So messages written while the history was hidden stay
hidden from people who join later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import structs

from gochat.protocol.messages import Message

T = TypeVar("T")

#: Changes of a message that repeat part of it, or reveal reactions to it.
_REVEALING: Final = frozenset({"edit", "react", "unreact"})


def as_seen(entry: Message, floor: int) -> Message:
    """Return an entry after `floor` as a person with that floor sees it.

    A change of a hidden message loses its text, as a superseded edit does; the entry stays, so that
    there is no gap.
    """
    if entry.ref is None or entry.ref > floor or entry.kind not in _REVEALING:
        return entry
    return structs.replace(entry, text="", mentions=(), deleted=True)


def views(
    entries: Sequence[Message], audience: Iterable[T], floors: Mapping[T, int]
) -> Iterator[tuple[Collection[T], Sequence[Message]]]:
    """Yield parts of an audience, each with the entries that it sees: those after its floor.

    Members without a floor in `floors` see all. For one entry there are at most three parts.
    """
    # Two floors with none of these between them see the same.
    marks = sorted(
        {entry.seq for entry in entries}
        | {entry.ref for entry in entries if entry.ref is not None and entry.kind in _REVEALING}
    )
    parts: dict[int, dict[T, int]] = {}
    for member in audience:
        floor = floors.get(member, 0)
        parts.setdefault(bisect_right(marks, floor), {})[member] = floor
    for part in parts.values():
        floor = next(iter(part.values()))
        yield part, [as_seen(entry, floor) for entry in entries if entry.seq > floor]
