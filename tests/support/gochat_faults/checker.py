"""The invariant: what must hold whatever breaks. Pure: from a history to its violations.

A history is good if every acknowledged message is in the log once and in its position, every reader
saw the log's entries in order, without a gap, to its end, and nobody saw anything else.

Two kinds of evidence are compared: what the clients recorded during the run, and the log as a fresh
client reads it at the end.

If the run took data from the store, or may have, the history says so (:class:`Shaken`), and the
conversations may have more epochs. Each epoch is then judged by itself: in an epoch that is over,
only what nobody knew of before the loss may be gone, and clients that are running must have sent it
again. The last epoch is judged as if it were the only one.
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
    Resends,
    Restarted,
    Retried,
    Said,
    Seen,
    Shaken,
    Started,
)

#: A reader may be reset if it has missed more than 500 entries; then it gets at most the newest
#: 200. So a reset that skips less is a violation.
FEWEST_SKIPPED: Final = 300
#: A client resends messages acknowledged in the last minute, 200 at most. Some of these may be from
#: after the loss, so it is held to fewer: this many, and this many seconds old.
MOST_SAID_AGAIN: Final = 50
LATELY: Final = 15.0


class Rule(StrEnum):
    """What can be violated."""

    #: Acknowledged, but not in the log.
    LOST = "lost"
    #: Acknowledged at another position than in the log, or at two positions.
    MISPLACED = "misplaced"
    #: Acknowledged, and at more than one position.
    DUPLICATED = "duplicated"
    #: Never acknowledged, and at more than one position.
    REPEATED_UNACKNOWLEDGED = "repeated unacknowledged"
    #: Two different entries at one position.
    TWO_BODIES = "two bodies"
    #: In the log or shown to a reader, but sent by nobody, or not in this form.
    INVENTED = "invented"
    #: Shown to a reader, but not in the log: it was delivered before it was committed.
    UNDONE = "undone"
    #: One client's messages to one conversation are not in the order in which it sent them.
    SENDER_DISORDER = "sender's order broken"
    #: A reader was shown an entry after a later one, or twice.
    DISORDER = "disorder"
    #: A reader was shown an entry without the one before it.
    GAP = "gap"
    #: A reader was reset, although it had missed little.
    NEEDLESS_RESTART = "needless restart"
    #: A reader was never shown the end of what it should have seen.
    UNSEEN = "unseen"
    #: The log itself does not count 1, 2, 3 …
    HOLE = "hole"
    #: A conversation has another epoch, although nothing had happened to the store; or a reader
    #: was shown one without a reset, or one that was over.
    CHANGED_EPOCH = "changed epoch"
    #: The store lost messages recently acknowledged to a client, which did not resend them.
    NOT_SAID_AGAIN = "not said again"


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated rule, and where."""

    rule: Rule
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


class _Place(NamedTuple):
    """A position in a log."""

    conversation: str
    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.conversation} {self.epoch}/{self.seq}"


class _Entry(NamedTuple):
    """The entry at a position."""

    kind: str
    sender: str
    cid: str | None
    body: str

    def key(self, place: _Place) -> _Key:
        """Its identity across epochs."""
        return place if self.cid is None else (self.sender, self.cid)


#: A sender and the cid of one of their messages.
_Id: TypeAlias = tuple[str, str]
#: An entry across epochs: by that, or, without a cid, by its position.
_Key: TypeAlias = _Id | _Place


def check(history: Iterable[Event]) -> list[Violation]:
    """Return all violations in a history, by rule."""
    evidence = _Evidence(history)
    found = [
        *evidence.violations,
        *_acknowledged(evidence),
        *_places(evidence),
        *_order_of_senders(evidence),
        *_ends_of_readers(evidence),
        *_gaps(evidence),
        *_epochs(evidence),
        *_said_again(evidence),
    ]
    order = list(Rule)
    return sorted(found, key=lambda violation: order.index(violation.rule))


class _View:
    """How far one reader has seen one conversation."""

    __slots__ = ("epoch", "is_start", "left", "seq")

    def __init__(self, epoch: str, seq: int, *, is_start: bool = True) -> None:
        self.epoch = epoch
        self.seq = seq
        self.is_start = is_start  # nothing seen yet: it may start earlier
        self.left: frozenset[str] = frozenset()  # epochs it was in before


class _Evidence:
    """The history, sorted for the checks. `violations` are those found while sorting."""

    def __init__(self, history: Iterable[Event]) -> None:
        self.violations: list[Violation] = []
        self.said: dict[_Id, Said] = {}
        self.in_order: dict[tuple[str, str], list[_Id]] = defaultdict(list)
        self.acknowledged: dict[_Id, list[_Place]] = defaultdict(list)
        self.acknowledged_to: dict[str, list[tuple[float, _Id]]] = defaultdict(list)
        #: By client, conversation and epoch.
        self.first_acknowledged: dict[tuple[str, str, str], float] = {}
        self.replicated: set[tuple[_Id, _Place]] = set()
        self.resending: set[str] = set()
        self.gaps: list[tuple[float, _Place, str]] = []
        self.shaken: list[Shaken] = []
        self.noted: dict[_Key, dict[str, float]] = defaultdict(dict)  # → epoch → first known of
        self.begun: dict[str, float] = {}  # epoch → first known of, in any conversation
        self.epochs: dict[tuple[str, str], float] = {}  # conversation and epoch → first noted
        self.promised: dict[_Place, str] = {}  # → the cid that was acknowledged there
        self.log: dict[str, list[_Place]] = defaultdict(list)
        self.entries: dict[_Place, _Entry] = {}
        self.shown: dict[_Place, str] = {}  # → a reader who saw it
        self.views: dict[tuple[str, str], _View] = {}
        self.ended: set[str] = set()
        later: list[Event] = []
        for event in history:
            # Other events are checked against who sent what, and clients' records may cross.
            match event:
                case Said():
                    id_ = (event.sender, event.cid)
                    self.said[id_] = event
                    self.in_order[event.client, event.conversation].append(id_)
                case Retried():
                    id_ = (event.sender, event.cid)
                    order = self.in_order[event.client, self.said[id_].conversation]
                    order.remove(id_)
                    order.append(id_)
                case _:
                    later.append(event)
        for event in later:
            self._take(event)
        #: The last epoch of each conversation.
        self.final = {name: places[-1].epoch for name, places in self.log.items()}
        self.losses = [event for event in self.shaken if event.since is not None]

    def may_be_gone(self, key: _Key, epoch: str, *, is_acknowledged: bool) -> bool:
        """Return whether the run may have taken this entry of that epoch."""
        noted = self.noted[key][epoch]
        # Since when it is known: an entry known before a loss may have been lost and resent.
        known_since = min(
            at
            for at in self.noted[key].values()
            if at == noted or not any(at <= loss.at and loss.began <= noted for loss in self.losses)
        )
        said = self.said.get(key[:2]) if len(key) == 2 else None
        return any(
            loss.began > self.begun[epoch]
            and loss.since is not None
            and loss.since <= known_since
            and (said is None or said.at <= loss.at)
            and not (is_acknowledged and loss.only_unacknowledged)
            for loss in self.losses
        )

    def may_have_been_refused(self, client: str, id_: _Id, place: _Place) -> bool:
        """Return whether a message was said while its conversation may not have been there.

        That is after everything was taken away, before the client was acknowledged anything in it.
        """
        first = self.first_acknowledged.get((client, place.conversation, place.epoch))
        is_early = first is None or self.said[id_].at < first
        return is_early and any(loss.since == 0 for loss in self.losses)

    def outlived(self, id_: _Id, loss: Shaken) -> bool:
        """Return whether a message was there after a loss, and before another, which may have taken
        it."""
        return any(
            loss.at < known <= later.began
            for known in self.noted[id_].values()
            for later in self.losses
        )

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
            case Resends():
                self.resending.add(event.client)
            case Shaken():
                self.shaken.append(event)
            case Logged():
                place = _Place(event.conversation, event.epoch, event.seq)
                entry = _Entry(event.kind, event.sender, event.cid, event.body)
                self._note(place, entry, "the log")
                self.log[event.conversation].append(place)
            case Said() | Retried() | Fault():
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
        id_ = (event.sender, event.cid)
        self.acknowledged[id_].append(place)
        if event.is_replicated:
            self.replicated.add((id_, place))
        self.acknowledged_to[event.client].append((event.at, id_))
        where = (event.client, place.conversation, place.epoch)
        self.first_acknowledged[where] = min(event.at, self.first_acknowledged.get(where, event.at))
        self._date(id_, place, event.at)
        other = self.promised.setdefault(place, event.cid)
        if other != event.cid:
            self._add(Rule.TWO_BODIES, f"{place} was promised to {other} and to {event.cid}")

    def _take_seen(self, event: Seen) -> None:
        place = _Place(event.conversation, event.epoch, event.seq)
        entry = _Entry(event.kind, event.sender, event.cid, event.body)
        self._note(place, entry, event.reader)
        self._date(entry.key(place), place, event.at)
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
            self.gaps.append((event.at, place, f"{event.reader} saw {place} after {view.seq}"))
        elif event.seq <= view.seq and not view.is_start:
            self._add(Rule.DISORDER, f"{event.reader} saw {place} after {view.seq}")
        view.epoch, view.seq, view.is_start = event.epoch, event.seq, False

    def _take_restart(self, event: Restarted) -> None:
        view = self.views.get((event.reader, event.conversation))
        if view is not None and view.epoch == event.epoch:
            skipped = event.seq - view.seq
            # A reader that has seen nothing yet may start earlier than it must.
            is_early_start = view.is_start and skipped <= 0
            if skipped < FEWEST_SKIPPED and not is_early_start:
                self._add(
                    Rule.NEEDLESS_RESTART,
                    f"{event.reader} went from {view.seq} to {event.seq} in {event.conversation}",
                )
        new = _View(event.epoch, event.seq, is_start=False)
        if view is not None:
            new.left = view.left | {view.epoch}
            if view.epoch != event.epoch and event.epoch in new.left:
                self._add(
                    Rule.CHANGED_EPOCH,
                    f"{event.reader} was sent back to {event.conversation} {event.epoch}",
                )
        self.views[event.reader, event.conversation] = new

    def _note(self, place: _Place, entry: _Entry, where: str) -> None:
        known = self.entries.setdefault(place, entry)
        if known != entry:
            self._add(Rule.TWO_BODIES, f"{place} is {known}, but {entry} in {where}")

    def _date(self, key: _Key, place: _Place, at: float) -> None:
        """Record when an entry was first known."""
        epoch = place.epoch
        self.noted[key][epoch] = min(at, self.noted[key].get(epoch, at))
        self.begun[epoch] = min(at, self.begun.get(epoch, at))
        its = (place.conversation, epoch)
        self.epochs[its] = min(at, self.epochs.get(its, at))

    def _add(self, rule: Rule, text: str) -> None:
        self.violations.append(Violation(rule, text))


def _acknowledged(evidence: _Evidence) -> Iterator[Violation]:
    """Acknowledged messages are in the log, in the position of the acknowledgement."""
    logged: dict[_Id, list[_Place]] = defaultdict(list)
    for places in evidence.log.values():
        for place in places:
            entry = evidence.entries[place]
            if entry.cid is not None:
                logged[entry.sender, entry.cid].append(place)
    for id_, promised in evidence.acknowledged.items():
        there = logged.get(id_, [])
        owed = [
            place
            for place in dict.fromkeys(promised)
            if place.epoch == evidence.final.get(place.conversation)
            or not evidence.may_be_gone(
                id_, place.epoch, is_acknowledged=(id_, place) in evidence.replicated
            )
        ]
        if owed and not there:
            yield Violation(Rule.LOST, f"{id_}, acknowledged as {owed[0]}")
            continue
        for place in owed:
            # A new epoch without a loss: everything is still at the same positions.
            if (place.conversation, place.seq) not in {(p.conversation, p.seq) for p in there}:
                yield Violation(
                    Rule.MISPLACED, f"{id_}, acknowledged as {place}, is in the log as {there[0]}"
                )


def _places(evidence: _Evidence) -> Iterator[Violation]:
    """The entry at a position was sent by someone, is nowhere else, and stays; the log has no
    holes."""
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
    for place, reader in evidence.shown.items():
        if place not in kept and not _has_gone_on(evidence, place, kept):
            yield Violation(Rule.UNDONE, f"{reader} saw {evidence.entries[place]} at {place}")
    for conversation, log in evidence.log.items():
        numbers = [place.seq for place in log]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong = next(n for n, seq in enumerate(numbers, 1) if n != seq)
            yield Violation(
                Rule.HOLE,
                f"the log of {conversation} has {numbers[wrong - 1]} where {wrong} belongs",
            )


def _has_gone_on(evidence: _Evidence, place: _Place, kept: set[_Place]) -> bool:
    """Return whether an entry kept its position in the last epoch, or was taken away."""
    final = evidence.final.get(place.conversation)
    if place.epoch == final:
        return False
    entry = evidence.entries[place]
    if final is not None:
        now = _Place(place.conversation, final, place.seq)
        if now in kept and evidence.entries[now] == entry:
            return True
    return evidence.may_be_gone(entry.key(place), place.epoch, is_acknowledged=False)


def _was_said(evidence: _Evidence, place: _Place, entry: _Entry) -> bool:
    if entry.cid is None:
        return False
    said = evidence.said.get((entry.sender, entry.cid))
    return said is not None and (said.conversation, said.body) == (place.conversation, entry.body)


def _order_of_senders(evidence: _Evidence) -> Iterator[Violation]:
    """The messages of one client to one conversation are in the order of sending.

    Lost and resent messages come after those that the new epoch acknowledged before the client knew
    of it. So they are ordered only among those lost with them.

    Where everything was taken away, people and rooms come back one by one. So what a client said
    before it got its first acknowledgement there may have been refused for good, the reply lost,
    and a later message taken: the one exception that the protocol names ("Sending in order").
    """
    at = {
        (entry.sender, entry.cid): place
        for places in evidence.log.values()
        for place in reversed(places)  # of two positions, the first counts
        if (entry := evidence.entries[place]).cid is not None
    }
    for (client, conversation), ids in evidence.in_order.items():
        last: dict[frozenset[str], tuple[int, _Id]] = {}
        for id_ in ids:
            place = at.get(id_)
            if place is None:
                continue
            # A message never acknowledged before was waiting all the time, and is not *re*sent.
            promised = {other.epoch for other in evidence.acknowledged.get(id_, ())}
            lost_with = frozenset(
                epoch
                for epoch in (evidence.noted[id_] if promised - {place.epoch} else ())
                if epoch != place.epoch and evidence.may_be_gone(id_, epoch, is_acknowledged=False)
            )
            if len(lost_with) > 1:
                continue  # lost twice: it may have been resent, or waited, each time
            # What is resent was known to be lost, so its conversation was there again.
            if not lost_with and evidence.may_have_been_refused(client, id_, place):
                continue
            before = last.get(lost_with)
            if before is not None and place.seq < before[0]:
                yield Violation(
                    Rule.SENDER_DISORDER,
                    f"{client} said {id_} after {before[1]}, in {conversation} it is {place.seq} "
                    f"before {before[0]}",
                )
            last[lost_with] = (place.seq, id_)


def _ends_of_readers(evidence: _Evidence) -> Iterator[Violation]:
    """Every reader that stayed has seen its conversations to their end."""
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


def _gaps(evidence: _Evidence) -> Iterator[Violation]:
    """A reader sees every entry, unless it was taken away before it was shown."""
    for at, place, text in evidence.gaps:
        is_over = place.epoch != evidence.final.get(place.conversation)
        if not (is_over and any(loss.began <= at for loss in evidence.losses)):
            yield Violation(Rule.GAP, text)


def _epochs(evidence: _Evidence) -> Iterator[Violation]:
    """Each epoch of a conversation after the first has a fault of the store as its reason.

    So it can't be recorded before the fault, and there are no more epochs than faults.
    """
    first: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for (conversation, epoch), at in evidence.epochs.items():
        first[conversation].append((at, epoch))
    for conversation, places in evidence.log.items():
        known = {epoch for _, epoch in first[conversation]}
        unknown = dict.fromkeys(place.epoch for place in places if place.epoch not in known)
        first[conversation] += [(float("inf"), epoch) for epoch in unknown]
        if len({place.epoch for place in places}) > 1:
            yield Violation(Rule.CHANGED_EPOCH, f"{conversation} has two epochs in one log")
    for conversation, its in first.items():
        for number, (at, epoch) in enumerate(sorted(its)):
            reasons = [event for event in evidence.shaken if event.began <= at]
            if number > len(reasons):
                yield Violation(
                    Rule.CHANGED_EPOCH,
                    f"{conversation} has {epoch} as its epoch number {number + 1} at {at}, "
                    f"but the store was shaken {len(reasons)} times by then",
                )


def _said_again(evidence: _Evidence) -> Iterator[Violation]:
    """Recently acknowledged messages that the store lost are there again, if their clients
    lived."""
    logged = {
        (entry.sender, entry.cid)
        for places in evidence.log.values()
        for place in places
        if (entry := evidence.entries[place]).cid is not None
    }
    for client in evidence.resending:
        for loss in evidence.losses:
            lately = {
                id_
                for at, id_ in evidence.acknowledged_to[client]
                if loss.began - LATELY <= at <= loss.began
            }
            newest = sorted(lately, key=lambda id_: evidence.said[id_].at)[-MOST_SAID_AGAIN:]
            for id_ in newest:
                # In a conversation that nobody has restarted, clients may not know of it.
                if (
                    id_ not in logged
                    and evidence.said[id_].conversation in evidence.final
                    and not evidence.outlived(id_, loss)
                ):
                    yield Violation(
                        Rule.NOT_SAID_AGAIN, f"{id_} by {client}, lost when it {loss.what}"
                    )
