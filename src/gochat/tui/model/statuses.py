"""What people say of themselves, for as long as it holds. Pure.

Of those who are online it comes with who they are. Of others it is asked for, when they are shown,
and kept when they leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from gochat.client import Person, Status
from gochat.tui.model.roster import Roster

#: People who are offline of whom it is kept, whether they have one or not.
MAX_KEPT: Final = 1000
#: Of how many people it is asked for at once: more than a list shows of them. All are kept.
MAX_ASKED: Final = 200
_NEVER: Final = float("inf")


class Statuses:
    """The statuses of the people in `people`, and of some who are offline.

    `now` is always in seconds since the Unix epoch.
    """

    def __init__(self, people: Roster) -> None:
        self._people = people
        self._offline: dict[str, Status | None] = {}
        self._next_end = _NEVER

    def of(self, name: str, now: float) -> Status | None:
        """Return somebody's status, if it has not ended."""
        said = self._said(name)
        return said if said is not None and _end(said) > now else None

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return those who are offline and of whom it is not known, at most :data:`MAX_ASKED`."""
        unknown = (name for name in names if name not in self._people and name not in self._offline)
        return list(islice(unknown, MAX_ASKED))

    def take(self, names: Iterable[str], found: Mapping[str, Status]) -> None:
        """Take the server's answer about `names`."""
        for name in names:
            self._keep(name, found.get(name))

    def arrived(self, people: Iterable[Person]) -> None:
        """Note people who are online now, or say something else."""
        for person in people:
            self._offline.pop(person.name, None)
            self._note(person.status)

    def left(self, people: Iterable[Person]) -> None:
        """Keep what people say who go offline."""
        for person in people:
            self._keep(person.name, person.status)

    def forget(self) -> None:
        """Forget what those say who are offline, because it may have changed."""
        self._offline.clear()

    def lapse(self, now: float) -> bool:
        """Return whether a status has ended since the last call."""
        if now < self._next_end:
            return False
        said = (self._said(name) for name in [*self._people.names(), *self._offline])
        ends = (_end(one) for one in said if one is not None)
        self._next_end = min((end for end in ends if end > now), default=_NEVER)
        return True

    def _said(self, name: str) -> Status | None:
        person = self._people.get(name)
        return self._offline.get(name) if person is None else person.status

    def _keep(self, name: str, said: Status | None) -> None:
        self._offline.pop(name, None)
        for oldest in list(islice(self._offline, max(0, len(self._offline) - MAX_KEPT + 1))):
            del self._offline[oldest]
        self._offline[name] = said
        self._note(said)

    def _note(self, said: Status | None) -> None:
        if said is not None:
            self._next_end = min(self._next_end, _end(said))


def _end(said: Status) -> float:
    return _NEVER if said.until is None else said.until.timestamp()
