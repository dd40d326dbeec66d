"""Who is online, in order. Pure.

Thousands come and go, so the list is kept in order, not sorted again: an arrival costs a search and
an insertion, and a list that shows twenty of them asks for twenty.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice
from typing import Final

from gochat.client import Person, Presence
from gochat.tui.text.names import natural

#: Far more than anybody looks through. A server that names more fills the memory.
MAX_PEOPLE: Final = 100_000


class Roster:
    """The people who are online, by name: without regard to case, and numbers by their size."""

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}
        self._order: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._people)

    def __contains__(self, name: object) -> bool:
        return name in self._people

    def get(self, name: str) -> Person | None:
        """Return the person if they are online."""
        return self._people.get(name)

    def spelled(self, name: str) -> str:
        """Return a name as its owner writes it, if they are online."""
        if name in self._people:
            return name
        key, folded = natural(name), name.casefold()
        for at in range(bisect_left(self._order, (key, "")), len(self._order)):
            if self._order[at][0] != key:
                break
            if (found := self._order[at][1]).casefold() == folded:
                return found
        return name

    def names(self) -> list[str]:
        """Return all names in order."""
        return [name for _, name in self._order]

    def matching(self, query: str) -> list[str]:
        """Return the names that contain `query`, those that begin with it first."""
        needle = query.strip().lstrip("@").casefold()
        if not needle:
            return self.names()
        names = [(name.casefold(), name) for _, name in self._order]
        first = [name for key, name in names if key.startswith(needle)]
        others = [name for key, name in names if key.find(needle) > 0]
        return first + others

    def replace(self, people: Iterable[Person]) -> None:
        """Replace everybody by the first `MAX_PEOPLE` of `people`."""
        self._people = {person.name: person for person in islice(people, MAX_PEOPLE)}
        self._order = sorted(_sort_key(name) for name in self._people)

    def apply(self, presence: Presence) -> tuple[list[str], list[str]]:
        """Apply an event; return who has arrived and who has left with it."""
        online = {person.name for person in presence.online}
        left = [
            name
            for name in dict.fromkeys(presence.offline)
            if name not in online and name in self._people
        ]
        for name in left:
            del self._people[name]
        arrived = [name for name in online if name not in self._people]
        arrived = arrived[: MAX_PEOPLE - len(self._people)]
        welcome = set(arrived)
        for person in presence.online:
            if person.name in welcome or person.name in self._people:
                self._people[person.name] = person
        if len(arrived) + len(left) > 32:
            self._order = sorted(_sort_key(name) for name in self._people)
        else:
            for name in left:
                del self._order[bisect_left(self._order, _sort_key(name))]
            for name in arrived:
                self._order.insert(bisect_left(self._order, _sort_key(name)), _sort_key(name))
        return sorted(arrived, key=_sort_key), sorted(left, key=_sort_key)


def _sort_key(name: str) -> tuple[str, str]:
    return natural(name), name
