"""The invariant: what must hold whatever broke. Pure: a history in, the violations out.

A history is good if every acknowledged message is in the log once and in its place, every reader
saw the log's entries in their order without a gap and to its end, and nobody saw anything else.

Two kinds of evidence are compared: what the clients noted while it happened, and the log as a
fresh client reads it at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias, assert_never

from gochat_faults.history import (
    Acknowledged,
    Ended,
    Event,
    Fault,
    Logged,
    Restarted,
    Said,
    Seen,
    Started,
)

#: A reader may be told to start over when it has missed more than 500 entries; then it gets at
#: most the newest 200. So a restart that skips less is none.
FEWEST_SKIPPED: Final = 300


class Rule(StrEnum):
    """What can be violated."""

    #: Acknowledged, but not in the log.
    LOST = "lost"
    #: Acknowledged at another place than it has in the log, or at two places.
    MISPLACED = "misplaced"
    #: Acknowledged, and at more than one place.
    DUPLICATED = "duplicated"
    #: Never acknowledged, and at more than one place.
    REPEATED_UNACKNOWLEDGED = "repeated unacknowledged"
    #: Two different entries at one place.
    TWO_BODIES = "two bodies"
    #: In the log or shown to a reader, but said by nobody, or not like this.
    INVENTED = "invented"
    #: Shown to a reader, but not in the log: it was delivered before it was committed.
    UNDONE = "undone"
    #: One client's messages to one conversation are not in the order in which it said them.
    SENDER_DISORDER = "sender's order broken"
    #: A reader was shown an entry after a later one, or twice.
    DISORDER = "disorder"
    #: A reader was shown an entry without the one before it.
    GAP = "gap"
    #: A reader was told to start over, though it had missed little.
    NEEDLESS_RESTART = "needless restart"
    #: A reader was never shown the end of what it should have seen.
    UNSEEN = "unseen"
    #: The log itself does not count 1, 2, 3 …
    HOLE = "hole"
    #: A conversation has more than one epoch, but the store lost no data.
    CHANGED_EPOCH = "changed epoch"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was violated, and where."""

    rule: Rule
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


class _Place(NamedTuple):
    """A place in a log."""

    conversation: str
    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.conversation} {self.epoch}/{self.seq}"


class _Entry(NamedTuple):
    """What is at a place."""

    kind: str
    sender: str
    cid: str | None
    body: str


#: A sender and the cid of one of their messages.
_Id: TypeAlias = tuple[str, str]


def check(history: Iterable[Event], *, may_lose_data: bool = False) -> list[Violation]:
    """Return all violations in a history, by rule.

    With `may_lose_data` the run made the store forget what it had committed, so that a
    conversation may get a new epoch; then what was acknowledged must be in it all the same.
    """
    evidence = _Evidence(history)
    found = [
        *evidence.violations,
        *_acknowledged(evidence),
        *_places(evidence),
        *_order_of_senders(evidence),
        *_ends_of_readers(evidence),
        *(() if may_lose_data else _epochs(evidence)),
    ]
    order = list(Rule)
    return sorted(found, key=lambda violation: order.index(violation.rule))


class _View:
    """How far one reader has seen one conversation."""

    __slots__ = ("epoch", "is_start", "seq")

    def __init__(self, epoch: str, seq: int, *, is_start: bool = True) -> None:
        self.epoch = epoch
        self.seq = seq
        self.is_start = is_start  # nothing seen yet: it may begin earlier


class _Evidence:
    """The history, sorted for the questions. `violations` are those that show while sorting."""

    def __init__(self, history: Iterable[Event]) -> None:
        self.violations: list[Violation] = []
        self.said: dict[_Id, Said] = {}
        self.in_order: dict[tuple[str, str], list[_Id]] = defaultdict(list)
        self.acknowledged: dict[_Id, list[_Place]] = defaultdict(list)
        self.promised: dict[_Place, str] = {}  # → the cid that was acknowledged there
        self.log: dict[str, list[_Place]] = defaultdict(list)
        self.entries: dict[_Place, _Entry] = {}
        self.shown: dict[_Place, str] = {}  # → a reader who saw it
        self.views: dict[tuple[str, str], _View] = {}
        self.ended: set[str] = set()
        later: list[Event] = []
        for event in history:
            # Who said what is asked of every other event, and clients' notes may cross.
            if isinstance(event, Said):
                self.said[event.sender, event.cid] = event
                self.in_order[event.client, event.conversation].append((event.sender, event.cid))
            else:
                later.append(event)
        for event in later:
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case Acknowledged():
                self._take_acknowledgement(event)
            case Started():
                self.views[event.reader, event.conversation] = _View(event.epoch, event.seq)
            case Seen():
                self._take_seen(event)
            case Restarted():
                self._take_restart(event)
            case Ended():
                self.ended.add(event.reader)
            case Logged():
                place = _Place(event.conversation, event.epoch, event.seq)
                entry = _Entry(event.kind, event.sender, event.cid, event.body)
                self._note(place, entry, "the log")
                self.log[event.conversation].append(place)
            case Said() | Fault():
                pass
            case _:
                assert_never(event)

    def _take_acknowledgement(self, event: Acknowledged) -> None:
        said = self.said.get((event.sender, event.cid))
        if said is None:
            self._add(
                Rule.INVENTED, f"{event.client} got an ack for {event.cid}, which it never sent"
            )
            return
        place = _Place(said.conversation, event.epoch, event.seq)
        self.acknowledged[event.sender, event.cid].append(place)
        other = self.promised.setdefault(place, event.cid)
        if other != event.cid:
            self._add(Rule.TWO_BODIES, f"{place} was promised to {other} and to {event.cid}")

    def _take_seen(self, event: Seen) -> None:
        place = _Place(event.conversation, event.epoch, event.seq)
        entry = _Entry(event.kind, event.sender, event.cid, event.body)
        self._note(place, entry, event.reader)
        self.shown.setdefault(place, event.reader)
        view = self.views.get((event.reader, event.conversation))
        if view is None:
            view = _View(event.epoch, event.seq - 1)
            self.views[event.reader, event.conversation] = view
        if event.epoch != view.epoch:
            self._add(
                Rule.CHANGED_EPOCH, f"{event.reader} saw {place} after {view.epoch}/{view.seq}"
            )
        elif event.seq > view.seq + 1:
            self._add(Rule.GAP, f"{event.reader} saw {place} after {view.seq}")
        elif event.seq <= view.seq and not view.is_start:
            self._add(Rule.DISORDER, f"{event.reader} saw {place} after {view.seq}")
        view.epoch, view.seq, view.is_start = event.epoch, event.seq, False

    def _take_restart(self, event: Restarted) -> None:
        view = self.views.get((event.reader, event.conversation))
        if view is not None and view.epoch == event.epoch:
            skipped = event.seq - view.seq
            # Who has seen nothing yet may begin earlier than it had to.
            is_early_start = view.is_start and skipped <= 0
            if skipped < FEWEST_SKIPPED and not is_early_start:
                self._add(
                    Rule.NEEDLESS_RESTART,
                    f"{event.reader} went from {view.seq} to {event.seq} in {event.conversation}",
                )
        self.views[event.reader, event.conversation] = _View(event.epoch, event.seq, is_start=False)

    def _note(self, place: _Place, entry: _Entry, where: str) -> None:
        known = self.entries.setdefault(place, entry)
        if known != entry:
            self._add(Rule.TWO_BODIES, f"{place} is {known}, but {entry} in {where}")

    def _add(self, rule: Rule, text: str) -> None:
        self.violations.append(Violation(rule, text))


def _acknowledged(evidence: _Evidence) -> Iterator[Violation]:
    """What was acknowledged is in the log, where the acknowledgement says."""
    logged: dict[_Id, list[_Place]] = defaultdict(list)
    for places in evidence.log.values():
        for place in places:
            entry = evidence.entries[place]
            if entry.cid is not None:
                logged[entry.sender, entry.cid].append(place)
    for id_, promised in evidence.acknowledged.items():
        there = logged.get(id_)
        if there is None:
            yield Violation(Rule.LOST, f"{id_}, acknowledged as {promised[0]}")
            continue
        for place in set(promised):
            if place not in there and any(place.epoch == other.epoch for other in there):
                yield Violation(
                    Rule.MISPLACED, f"{id_}, acknowledged as {place}, is in the log as {there[0]}"
                )


def _places(evidence: _Evidence) -> Iterator[Violation]:
    """What is at a place was said by somebody, is nowhere else, and stays; the log has no holes."""
    where: dict[_Id, set[_Place]] = defaultdict(set)
    for place, entry in evidence.entries.items():
        if entry.cid is not None:
            where[entry.sender, entry.cid].add(place)
        if entry.kind == "text" and not _was_said(evidence, place, entry):
            yield Violation(Rule.INVENTED, f"{entry} at {place}")
    for id_, places in where.items():
        if len({(place.conversation, place.epoch) for place in places}) < len(places):
            rule = Rule.DUPLICATED if id_ in evidence.acknowledged else Rule.REPEATED_UNACKNOWLEDGED
            yield Violation(rule, f"{id_} at " + " and ".join(map(str, sorted(places))))
    kept = {place for places in evidence.log.values() for place in places}
    epochs = {(place.conversation, place.epoch) for place in kept}
    for place, reader in evidence.shown.items():
        is_over = place.conversation in evidence.log and place[:2] not in epochs
        if place not in kept and not is_over:  # an epoch that is over is not read any more
            yield Violation(Rule.UNDONE, f"{reader} saw {evidence.entries[place]} at {place}")
    for conversation, log in evidence.log.items():
        numbers = [place.seq for place in log]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong = next(n for n, seq in enumerate(numbers, 1) if n != seq)
            yield Violation(
                Rule.HOLE,
                f"the log of {conversation} has {numbers[wrong - 1]} where {wrong} belongs",
            )


def _was_said(evidence: _Evidence, place: _Place, entry: _Entry) -> bool:
    if entry.cid is None:
        return False
    said = evidence.said.get((entry.sender, entry.cid))
    return said is not None and (said.conversation, said.body) == (place.conversation, entry.body)


def _order_of_senders(evidence: _Evidence) -> Iterator[Violation]:
    """Of one client and one conversation, what was said earlier comes earlier."""
    at = {
        (entry.sender, entry.cid): place.seq
        for places in evidence.log.values()
        for place in reversed(places)  # of two, the first counts
        if (entry := evidence.entries[place]).cid is not None
    }
    for (client, conversation), ids in evidence.in_order.items():
        last, last_id = 0, None
        for id_ in ids:
            seq = at.get(id_)
            if seq is None:
                continue
            if seq < last:
                yield Violation(
                    Rule.SENDER_DISORDER,
                    f"{client} said {id_} after {last_id}, in {conversation} it is {seq} "
                    f"before {last}",
                )
            last, last_id = seq, id_


def _ends_of_readers(evidence: _Evidence) -> Iterator[Violation]:
    """Every reader who stayed has seen its conversations to their end."""
    for (reader, conversation), view in evidence.views.items():
        if reader in evidence.ended or conversation not in evidence.log:
            continue
        head = evidence.log[conversation][-1]
        if view.epoch == head.epoch and view.seq < head.seq:
            yield Violation(
                Rule.UNSEEN, f"{reader} saw {conversation} up to {view.seq} of {head.seq}"
            )
        elif view.epoch != head.epoch:
            yield Violation(Rule.UNSEEN, f"{reader} stayed in {conversation} {view.epoch}")


def _epochs(evidence: _Evidence) -> Iterator[Violation]:
    """A store that lost nothing has one epoch for a conversation, from the first to the last."""
    epochs: dict[str, set[str]] = defaultdict(set)
    for place in evidence.entries:
        epochs[place.conversation].add(place.epoch)
    for places in evidence.acknowledged.values():
        for place in places:
            epochs[place.conversation].add(place.epoch)
    for conversation, its in epochs.items():
        if len(its) > 1:
            yield Violation(Rule.CHANGED_EPOCH, f"{conversation} has {sorted(its)}")
