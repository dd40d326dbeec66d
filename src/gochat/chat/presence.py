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
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, takewhile
from typing import Final

import trio
from msgspec import Struct, structs

from gochat.chat import status
from gochat.chat.names import NameKey
from gochat.chat.node_bus import HERE, Node
from gochat.protocol.messages import Person, Presence, Status

#: People with an away notice in one frame. A name takes at most 32 characters of 4 bytes and a
#: notice 200 of 7 (a control character, escaped twice): 40 of the worst fit 64 KiB, 42 don't.
MAX_AWAY_PER_FRAME: Final = 40
#: The same with a status: 80 characters of 4 bytes, an emoji, and a time.
MAX_STATUSES_PER_FRAME: Final = 80
#: The same for names alone. More would fit, but such a frame is long enough.
MAX_NAMES_PER_FRAME: Final = 250
#: Full frames of changes at once: 500 people, or 80 with the longest away notices. Half of the
#: smallest mailbox, which is at most a quarter full when they are posted.
MAX_FRAMES_AT_ONCE: Final = 2


class _Change(Struct, frozen=True):
    """The last change of a person: its number, and that of the last one of more than the status."""

    number: int
    besides_status: int
    name: str


class Roster:
    """The people who are online, in the order of their keys, and numbered changes to that.

    A person is online while they are at any node. Nodes are only counted, never shown. `changes` is
    the number of the last change. `clock` returns milliseconds since the Unix epoch: a status that
    has ended is not shown. The end of a status is not a change: clients know it from `until`.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._people: dict[NameKey, Person] = {}
        self._order: list[NameKey] = []
        #: The nodes of each person, and the people at each node: one relation, indexed both ways.
        self._nodes: dict[NameKey, tuple[Node, ...]] = {}
        self._at: defaultdict[Node, set[NameKey]] = defaultdict(set)
        #: The last change of each person who has changed since :meth:`forget`, in order.
        self._changed: dict[NameKey, _Change] = {}
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
        """Add a person at a node, or update their away notice and status."""
        if key not in self._at[node]:
            self._at[node].add(key)
            self._nodes[key] = (*self._nodes.get(key, ()), node)
        if key not in self._people:
            bisect.insort(self._order, key)
        self._update(key, person)

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
        if (person := self._people.get(key)) is not None:
            self._update(key, structs.replace(person, away=away))

    def set_status(self, key: NameKey, new: Status | None) -> None:
        """Update a person's status, if they are online."""
        if (person := self._people.get(key)) is not None:
            self._update(key, structs.replace(person, status=new))

    def page(self, after: str, limit: int, *, with_status: bool) -> tuple[tuple[Person, ...], bool]:
        """Return at most `limit` people whose key is above `after`, and whether there are more.

        Stops earlier if the next one might not fit the frame.
        """
        start, now = bisect.bisect_right(self._order, after), self._clock()
        candidates = (
            _shown(self._people[key], now, with_status=with_status)
            for key in self._order[start : start + limit]
        )
        people = next(_frames(candidates), ())
        return people, start + len(people) < len(self._order)

    async def wait_for_news(self) -> None:
        """Wait until there is a change that is not forgotten."""
        await self._news.wait()

    def news(self, after: int, *, with_status: bool) -> tuple[list[Presence], int]:
        """Return events for the changes after number `after`, in their current state.

        Also return the number up to which they go: there may be too many for one post. Without
        `with_status`, those of a status alone are left out.
        """
        online: list[Person] = []
        offline: list[str] = []
        room, since, now = float(MAX_FRAMES_AT_ONCE), after, self._clock()
        for key, change in self._changed.items():
            if change.number <= since:
                continue
            if not with_status and change.besides_status <= since:
                after = change.number
                continue
            person = self._people.get(key)
            if person is not None:
                person = _shown(person, now, with_status=with_status)
            room -= 1 / MAX_NAMES_PER_FRAME if person is None else _share(person)
            if room < -1e-9:
                break
            if person is None:
                offline.append(change.name)
            else:
                online.append(person)
            after = change.number
        return list(_events(online, offline)), after

    def forget(self, up_to: int) -> None:
        """Forget the changes up to this number, which every session was sent."""
        told = takewhile(lambda key: self._changed[key].number <= up_to, tuple(self._changed))
        for key in told:
            del self._changed[key]
        if not self._changed:
            self._news = trio.Event()

    def _update(self, key: NameKey, person: Person) -> None:
        before = self._people.get(key)
        if person != before:
            self._people[key] = person
            is_status = before is not None and person.away == before.away
            self._note(key, person.name, is_status=is_status)

    def _note(self, key: NameKey, name: str, *, is_status: bool = False) -> None:
        last = self._changed.pop(key, None)  # move it to the end
        self.changes += 1
        besides = self.changes
        if is_status:
            besides = 0 if last is None else last.besides_status
        self._changed[key] = _Change(self.changes, besides, name)
        self._news.set()


def _shown(person: Person, now: int, *, with_status: bool) -> Person:
    """Return a person as sessions with the capability `status`, or those without, see them now."""
    if person.status is None or (with_status and status.current(person.status, now) is not None):
        return person
    return structs.replace(person, status=None)


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
    away = 0 if person.away is None else 1 / MAX_AWAY_PER_FRAME
    said = 0 if person.status is None else 1 / MAX_STATUSES_PER_FRAME
    return away + said or 1 / MAX_NAMES_PER_FRAME
