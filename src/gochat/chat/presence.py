"""Who is online, and telling everybody of changes, many at a time.

An account is online from its first session to the end of its last. Ten thousand people who arrive
at once must not cause ten thousand frames to each of ten thousand: changes are gathered for
`interval` seconds and go out together, so a receiver gets at most 1/`interval` frames a second.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import trio

from gochat.chat.exchange import HERE, Node
from gochat.chat.names import NameKey
from gochat.protocol.messages import Person, Presence

#: People with an away notice in one frame. A name takes at most 32 characters of 4 bytes and a
#: notice 200 of 7 (a control character, escaped twice): 40 of the worst fit 64 KiB, 42 don't.
MAX_AWAY_PER_FRAME: Final = 40
#: The same for names alone, of which more would fit: a frame that size is long enough.
MAX_NAMES_PER_FRAME: Final = 250


class Roster:
    """Who is online, in the order of their keys, and what has changed since it was last told.

    Somebody is online as long as they are at any node. Where that is, is only counted, never told.
    """

    def __init__(self) -> None:
        self._people: dict[NameKey, Person] = {}
        self._order: list[NameKey] = []
        #: At which nodes somebody is, and who is at a node: the same, looked up from both sides.
        self._nodes: dict[NameKey, tuple[Node, ...]] = {}
        self._at: defaultdict[Node, set[NameKey]] = defaultdict(set)
        self._changed: dict[NameKey, str] = {}
        self._news = trio.Event()

    def __len__(self) -> int:
        return len(self._people)

    def __contains__(self, key: object) -> bool:
        return key in self._people

    def get(self, key: NameKey) -> Person | None:
        """Return somebody as they are shown, or None if they are not online."""
        return self._people.get(key)

    def arrive(self, key: NameKey, person: Person, node: Node = HERE) -> None:
        """Note that somebody is online at a node, or that their away notice is another."""
        if key not in self._at[node]:
            self._at[node].add(key)
            self._nodes[key] = (*self._nodes.get(key, ()), node)
        before = self._people.get(key)
        if before is None:
            bisect.insort(self._order, key)
        if person != before:
            self._people[key] = person
            self._note(key, person.name)

    def leave(self, key: NameKey, node: Node = HERE) -> None:
        """Note that somebody is no longer online at a node."""
        if key not in self._at[node]:
            return
        self._at[node].discard(key)
        nodes = tuple(one for one in self._nodes[key] if one != node)
        if nodes:
            self._nodes[key] = nodes
            return
        del self._nodes[key]
        person = self._people.pop(key)
        del self._order[bisect.bisect_left(self._order, key)]
        self._note(key, person.name)

    def replace(self, node: Node, people: Mapping[NameKey, Person]) -> None:
        """Note that just these people are online at a node."""
        for key in self._at.get(node, set()) - people.keys():
            self.leave(key, node)
        for key, person in people.items():
            self.arrive(key, person, node)
        if not people:
            self._at.pop(node, None)

    def set_away(self, key: NameKey, away: str | None) -> None:
        """Note another away notice of somebody, if they are online."""
        person = self._people.get(key)
        if person is not None and person.away != away:
            self._people[key] = Person(name=person.name, away=away)
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
