"""Who is online, and telling everybody of changes, many at a time.

An account is online from its first session to the end of its last. Ten thousand people who arrive
at once must not cause ten thousand frames to each of ten thousand: changes are gathered for
`interval` seconds and go out together, so a receiver gets at most 1/`interval` frames a second.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import trio

from gochat.chat.names import NameKey
from gochat.protocol.messages import Person, Presence

#: People with an away notice in one frame. A name takes at most 32 characters of 4 bytes and a
#: notice 200 of 7 (a control character, escaped twice): 40 of the worst fit 64 KiB, 42 don't.
MAX_AWAY_PER_FRAME: Final = 40
#: The same for names alone, of which more would fit: a frame that size is long enough.
MAX_NAMES_PER_FRAME: Final = 250


class Roster:
    """Who is online, in the order of their keys, and what has changed since it was last told."""

    def __init__(self) -> None:
        self._people: dict[NameKey, Person] = {}
        self._order: list[NameKey] = []
        self._changed: dict[NameKey, str] = {}
        self._news = trio.Event()

    def __len__(self) -> int:
        return len(self._people)

    def __contains__(self, key: object) -> bool:
        return key in self._people

    def arrive(self, key: NameKey, person: Person) -> None:
        """Note that somebody is online, or that their away notice is another."""
        if key not in self._people:
            bisect.insort(self._order, key)
        self._people[key] = person
        self._note(key, person.name)

    def leave(self, key: NameKey) -> None:
        """Note that somebody is no longer online."""
        person = self._people.pop(key, None)
        if person is not None:
            del self._order[bisect.bisect_left(self._order, key)]
            self._note(key, person.name)

    def page(self, after: str, limit: int) -> tuple[tuple[Person, ...], bool]:
        """Return at most `limit` people whose key is above `after`, and whether there are more.

        Ends earlier where the next one might not fit the frame.
        """
        start = bisect.bisect_right(self._order, after)
        candidates = (self._people[key] for key in self._order[start : start + limit])
        people = next(_frames(candidates), ())
        return people, start + len(people) < len(self._order)

    async def wait_for_news(self) -> None:
        """Wait until something has changed that :meth:`take_news` would tell."""
        await self._news.wait()

    def take_news(self) -> list[Presence]:
        """Return events that tell what changed since the last call, as things stand now."""
        changed, self._changed = self._changed, {}
        self._news = trio.Event()
        online = [self._people[key] for key in changed if key in self._people]
        offline = [name for key, name in changed.items() if key not in self._people]
        return list(_events(online, offline))

    def _note(self, key: NameKey, name: str) -> None:
        self._changed[key] = name
        self._news.set()


def _events(online: list[Person], offline: list[str]) -> Iterator[Presence]:
    for people in _frames(online):
        yield Presence(online=people)
    names = iter(offline)
    while some := tuple(islice(names, MAX_NAMES_PER_FRAME)):
        yield Presence(offline=some)


def _frames(people: Iterable[Person]) -> Iterator[tuple[Person, ...]]:
    """Cut `people` into as many as fit one frame each."""
    frame: list[Person] = []
    room = 1.0
    for person in people:
        size = 1 / (MAX_NAMES_PER_FRAME if person.away is None else MAX_AWAY_PER_FRAME)
        if size > room + 1e-9:
            yield tuple(frame)
            frame, room = [], 1.0
        frame.append(person)
        room -= size
    if frame:
        yield tuple(frame)
