"""A model of one sender's order: a client, a server, and connections that can be cut.

It explores every state that a few messages can reach, by every interleaving of sending, handling
and receiving, with a bounded number of temporary refusals (before or after the commit) and cuts. A
cut loses everything on its way to the client and any suffix of what is on its way to the server;
the rest is still handled, on the old connection, while the client has begun on the next one.

The rules are those of ``docs/reference/protocol.md``: a client sends without waiting, and repeats
what is not settled; a known `cid` is answered ``sent``; a numbered write is taken only if its
number is due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import Final, TypeAlias


class Rule(Enum):
    """What keeps the order."""

    NONE = "none"
    NUMBERS = "numbers"


class Refusal(Enum):
    """When a rule refuses the second message for good."""

    NEVER = "never"
    ALWAYS = "always"
    #: Until, at some moment, its cause goes away.
    AT_FIRST = "at first"
    #: Not until, at some moment, its cause comes.
    FROM_THEN_ON = "from then on"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is explored."""

    rule: Rule
    messages: int = 3
    refusals: int = 0
    cuts: int = 0
    final: Refusal = Refusal.NEVER
    #: Look the `cid` up before any rule, or only what the rules have allowed.
    is_cid_first: bool = True


#: A transmission: the message, its number on the connection, and the id of the request.
_Write: TypeAlias = tuple[int, int, int]
#: A reply: the id of the request, and what it says.
_Reply: TypeAlias = tuple[int, str]

NOT_NOW: Final = "not now"
OUT_OF_ORDER: Final = "out of order"
SENT: Final = "sent"
REFUSED: Final = "refused"
#: Replies that use up the number of their write.
_USES_UP: Final = frozenset({SENT, REFUSED})


@dataclass(frozen=True, slots=True)
class State:
    """One state of client, server and connections."""

    #: The messages that the client has not settled, in order; and those that it takes for refused.
    unsettled: tuple[int, ...]
    failed: tuple[int, ...] = ()
    log: tuple[int, ...] = ()
    # The connection: what is under way, both ways, and both sides' numbers.
    to_server: tuple[_Write, ...] = ()
    to_client: tuple[_Reply, ...] = ()
    due: int = 1
    next_number: int = 1
    next_request: int = 1
    #: Requests that the client waits for: id, message, number.
    waiting: tuple[tuple[int, int, int], ...] = ()
    # The connection before: nobody reads its replies.
    old: tuple[_Write, ...] = ()
    old_due: int = 1
    # What may still happen.
    refusals: int = 0
    cuts: int = 0
    has_turned: bool = False  # the cause of the final refusal has come, or gone

    @property
    def is_wrong(self) -> bool:
        """Whether the log has a message twice, before an earlier one, or one that was refused."""
        is_ordered = all(one < other for one, other in pairwise(self.log))
        return not is_ordered or not set(self.failed).isdisjoint(self.log)

    @property
    def is_over(self) -> bool:
        """Whether the client has settled everything, and nothing is under way."""
        return not (self.unsettled or self.to_server or self.to_client or self.old)


@dataclass(frozen=True, slots=True)
class Explored:
    """The result: numbers of states."""

    states: int
    wrong: int
    #: From which nothing leads to the end.
    stuck: int


def explore(bounds: Bounds) -> Explored:
    """Return how many states there are, and how many of them are wrong or stuck."""
    start = State(
        unsettled=tuple(range(1, bounds.messages + 1)),
        refusals=bounds.refusals,
        cuts=bounds.cuts,
    )
    before: dict[State, list[State]] = {start: []}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        for after in _steps(state, bounds):
            if after not in before:
                before[after] = []
                queue.append(after)
            before[after].append(state)
    leads_to_end = {state for state in before if state.is_over}
    queue = deque(leads_to_end)
    while queue:
        for state in before[queue.popleft()]:
            if state not in leads_to_end:
                leads_to_end.add(state)
                queue.append(state)
    wrong = sum(state.is_wrong for state in before)
    return Explored(len(before), wrong, len(before) - len(leads_to_end))


def _steps(state: State, bounds: Bounds) -> Iterator[State]:
    if state.is_wrong:
        return  # found; what follows adds nothing
    yield from _send(state)
    yield from _receive(state)
    if state.to_server:
        rest = replace(state, to_server=state.to_server[1:])
        for after, due, reply in _handle(rest, state.due, state.to_server[0], bounds):
            answer = (state.to_server[0][2], reply)
            yield replace(after, due=due, to_client=(*after.to_client, answer))
    if state.old:
        rest = replace(state, old=state.old[1:])
        for after, due, _ in _handle(rest, state.old_due, state.old[0], bounds):
            yield replace(after, old_due=due)
    if state.cuts and not state.old:
        yield from _cut(state)
    if bounds.final in (Refusal.AT_FIRST, Refusal.FROM_THEN_ON) and not state.has_turned:
        yield replace(state, has_turned=True)


def _send(state: State) -> Iterator[State]:
    """Send the first message that is not under way."""
    under_way = {message for _, message, _ in state.waiting}
    for message in state.unsettled:
        if message not in under_way:
            write = (message, state.next_number, state.next_request)
            yield replace(
                state,
                to_server=(*state.to_server, write),
                waiting=(*state.waiting, (state.next_request, message, state.next_number)),
                next_number=state.next_number + 1,
                next_request=state.next_request + 1,
            )
            return


def _handle(
    state: State, due: int, write: _Write, bounds: Bounds
) -> Iterator[tuple[State, int, str]]:
    """Yield what the server can do with a write: the state after it, the number due, the reply."""
    message, number, _ = write
    is_numbered = bounds.rule is Rule.NUMBERS
    if is_numbered and number != due:
        yield state, due, OUT_OF_ORDER
        return
    is_known = message in state.log
    committed = state if is_known else replace(state, log=(*state.log, message))
    is_refused = _is_refused(state, message, bounds) and not (is_known and bounds.is_cid_first)
    if state.refusals:
        fewer = state.refusals - 1
        yield replace(state, refusals=fewer), due, NOT_NOW
        if not is_refused:
            yield replace(committed, refusals=fewer), due, NOT_NOW
    if is_refused:
        yield state, due + 1, REFUSED
    else:
        yield committed, due + 1, SENT


def _is_refused(state: State, message: int, bounds: Bounds) -> bool:
    if message != 2:
        return False
    match bounds.final:
        case Refusal.NEVER:
            return False
        case Refusal.ALWAYS:
            return True
        case Refusal.AT_FIRST:
            return not state.has_turned
        case Refusal.FROM_THEN_ON:
            return state.has_turned


def _receive(state: State) -> Iterator[State]:
    if not state.to_client:
        return
    (request, reply), rest = state.to_client[0], state.to_client[1:]
    answered = [one for one in state.waiting if one[0] == request]
    state = replace(
        state, to_client=rest, waiting=tuple(one for one in state.waiting if one[0] != request)
    )
    if not answered:
        yield state  # of a request that the client has given up
        return
    _, message, number = answered[0]
    if reply in _USES_UP:
        unsettled = tuple(one for one in state.unsettled if one != message)
        failed = (*state.failed, message) if reply == REFUSED else state.failed
        yield replace(state, unsettled=unsettled, failed=failed)
    elif number < state.next_number:
        # Go on from this number with what should come next; the later ones are refused.
        kept = tuple(one for one in state.waiting if one[2] < number)
        yield replace(state, waiting=kept, next_number=number)
    else:
        yield state


def _cut(state: State) -> Iterator[State]:
    for arrives in range(len(state.to_server) + 1):
        yield replace(
            state,
            old=state.to_server[:arrives],
            old_due=state.due,
            to_server=(),
            to_client=(),
            due=1,
            next_number=1,
            waiting=(),
            cuts=state.cuts - 1,
        )
