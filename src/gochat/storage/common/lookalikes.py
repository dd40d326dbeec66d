"""Find names in a store that look alike, and which of them was first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gochat.chat.skeletons import Skeleton, skeletons


class Named(NamedTuple):
    """An account or a room. `since` orders each kind; `name` is the display name."""

    since: int
    key: str
    name: str


def claims(named: Iterable[Named]) -> list[tuple[Skeleton, str]]:
    """Return each skeleton with the key of the first account or room that has it."""
    return [(skeleton, first.key) for skeleton, first in _first(named).items()]


def collisions(named: Iterable[Named]) -> Iterator[str]:
    """Yield a description of each name that looks like an earlier one."""
    everybody = list(named)
    first = _first(everybody)
    for name in sorted(everybody):
        others = {first[skeleton] for skeleton in skeletons(name.name)} - {name}
        for other in sorted(others):
            yield f"{name.name} looks like {other.name}, which was there first"


def _first(named: Iterable[Named]) -> dict[Skeleton, Named]:
    first: dict[Skeleton, Named] = {}
    for name in sorted(named):
        for skeleton in skeletons(name.name):
            first.setdefault(skeleton, name)
    return first
