"""Presence: who is online, and batches of changes to that.

An account is online from its first session to the end of its last. If ten thousand people arrive at
once, that must not cause ten thousand frames to each of ten thousand: changes are collected and
sent together. Nor may they fill the mailbox of a client that reads. So changes are numbered: a
session that is behind gets them later, in their state at that time, and each gets a bounded number
at once.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from typing import Final

import trio

from gochat.chat.names import NameKey
from gochat.chat.node_bus import HERE, Node
from gochat.protocol.messages import Person, Presence

#: People with an away notice in one frame. A name takes at most 32 characters of 4 bytes and a
#: notice 200 of 7 (a control character, escaped twice): 40 of the worst fit 64 KiB, 42 don't.
MAX_AWAY_PER_FRAME: Final = 40
#: The same for names alone. More would fit, but such a frame is long enough.
MAX_NAMES_PER_FRAME: Final = 250
#: Full frames of changes at once: 500 people, or 80 with the longest away notices. Half of the
#: smallest mailbox, which is at most a quarter full when they are posted.
MAX_FRAMES_AT_ONCE: Final = 2


class Roster:
    """The people who are online, in the order of their keys, and numbered changes to that.

    A person is online while they are at any node. Nodes are only counted, never shown. `changes` is
    the number of the last change.
    """

    def __init__(self) -> None:
        self._people: dict[NameKey, Person] = {}
        self._order: list[NameKey] = []
        #: The nodes of each person, and the people at each node: one relation, indexed both ways.
        self._nodes: dict[NameKey, tuple[Node, ...]] = {}
        self._at: defaultdict[Node, set[NameKey]] = defaultdict(set)
        #: The last change of each person who has changed since :meth:`forget`, in order: its
        #: number, and the name.
        self._changed: dict[NameKey, tuple[int, str]] = {}
        self.changes = 0
        self._news = trio.Event()

    def __len__(self) -> int:
        return len(self._people)

    def __contains__(self, key: object) -> bool:
        return key in self._people

    def get(self, key: NameKey) -> Person | None:
        """Return a person as displayed, or None if they are not online."""
        return self._people.get(key)

    def arrive(self, key: NameKey, person: Person, node: Node = HERE) -> None:
        """Add a person at a node, or update their away notice."""
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
        """Remove a person from a node."""
        if key not in self._at[node]:
            return
        self._at[node].discard(key)
        nodes = tuple(other for other in self._nodes[key] if other != node)
        if nodes:
            self._nodes[key] = nodes
            return
        del self._nodes[key]
        person = self._people.pop(key)
        del self._order[bisect.bisect_left(self._order, key)]
        self._note(key, person.name)

    def replace(self, node: Node, people: Mapping[NameKey, Person]) -> None:
        """Replace the people at a node by `people`."""
        for key in self._at.get(node, set()) - people.keys():
            self.leave(key, node)
        for key, person in people.items():
            self.arrive(key, person, node)
        if not people:
            self._at.pop(node, None)

    def set_away(self, key: NameKey, away: str | None) -> None:
        """Update a person's away notice, if they are online."""
        person = self._people.get(key)
        if person is not None and person.away != away:
            self._people[key] = Person(name=person.name, away=away)
            self._note(key, person.name)

    def page(self, after: str, limit: int) -> tuple[tuple[Person, ...], bool]:
        """Return at most `limit` people whose key is above `after`, and whether there are more.

        Stops earlier if the next one might not fit the frame.
        """
        start = bisect.bisect_right(self._order, after)
        candidates = (self._people[key] for key in self._order[start : start + limit])
        people = next(_frames(candidates), ())
        return people, start + len(people) < len(self._order)

    async def wait_for_news(self) -> None:
        """Wait until there is a change that is not forgotten."""
        await self._news.wait()

    def news(self, after: int) -> tuple[list[Presence], int]:
        """Return events for the changes after number `after`, in their current state.

        Also return the number up to which they go: there may be too many for one post.
        """
        online: list[Person] = []
        offline: list[str] = []
        room = float(MAX_FRAMES_AT_ONCE)
        for key, (number, name) in self._changed.items():
            if number <= after:
                continue
            person = self._people.get(key)
            room -= 1 / MAX_NAMES_PER_FRAME if person is None else _share(person)
            if room < -1e-9:
                break
            if person is None:
                offline.append(name)
            else:
                online.append(person)
            after = number
        return list(_events(online, offline)), after

    def forget(self, up_to: int) -> None:
        """Forget the changes up to this number, which every session was sent."""
        told = takewhile(lambda key: self._changed[key][0] <= up_to, tuple(self._changed))
        for key in told:
            del self._changed[key]
        if not self._changed:
            self._news = trio.Event()

    def _note(self, key: NameKey, name: str) -> None:
        self._changed.pop(key, None)  # move it to the end
        self.changes += 1
        self._changed[key] = (self.changes, name)
        self._news.set()


def _events(online: list[Person], offline: list[str]) -> Iterator[Presence]:
    for people in _frames(online):
        yield Presence(online=people)
    names = iter(offline)
    while some := tuple(islice(names, MAX_NAMES_PER_FRAME)):
        yield Presence(offline=some)


def _frames(people: Iterable[Person]) -> Iterator[tuple[Person, ...]]:
    """Split `people` into groups that fit one frame each."""
    frame: list[Person] = []
    room = 1.0
    for person in people:
        size = _share(person)
        if size > room + 1e-9:
            yield tuple(frame)
            frame, room = [], 1.0
        frame.append(person)
        room -= size
    if frame:
        yield tuple(frame)


def _share(person: Person) -> float:
    """Return the largest part of a frame that a person can take."""
    return 1 / (MAX_NAMES_PER_FRAME if person.away is None else MAX_AWAY_PER_FRAME)
