"""Which of the names in a store look alike, and who has the claim on what they look like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gochat.chat.skeletons import Skeleton, skeletons


class Named(NamedTuple):
    """An account or a room. `since` orders them among their own kind; `name` is as it is shown."""

    since: int
    key: str
    name: str


def claims(named: Iterable[Named]) -> list[tuple[Skeleton, str]]:
    """Return the claims that these have: each skeleton, and the key of the first one who has it."""
    return [(skeleton, first.key) for skeleton, first in _first(named).items()]


def collisions(named: Iterable[Named]) -> Iterator[str]:
    """Yield, in words, which of these look like one that came before."""
    everybody = list(named)
    first = _first(everybody)
    for one in sorted(everybody):
        others = {first[skeleton] for skeleton in skeletons(one.name)} - {one}
        for other in sorted(others):
            yield f"{one.name} looks like {other.name}, which was there first"


def _first(named: Iterable[Named]) -> dict[Skeleton, Named]:
    first: dict[Skeleton, Named] = {}
    for one in sorted(named):
        for skeleton in skeletons(one.name):
            first.setdefault(skeleton, one)
    return first
