"""Decide what a request may do, append it, and decide again where it came too late.

Between the decision and the commit others are active, at this node and at others. So a draft
carries the facts that it was decided on, and the append compares them
(:class:`~gochat.chat.facts.Facts`). Where they have changed nothing was written, and the request is
decided on what the store has now. Mostly a rule then says no; where the request is still allowed,
it is appended at the second try.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, TypeAlias

from gochat.chat.conversations import ConversationKey
from gochat.chat.store import Appended, Draft
from gochat.errors import ChatError, FactsChanged, StoreUnavailable

#: How often a request is decided. Each time somebody else has committed what concerns it, so more
#: would only be needed by those who contend on purpose.
MAX_TRIES: Final = 3

#: What became of a draft.
Outcome: TypeAlias = Appended | ChatError | StoreUnavailable


async def settle(
    decide: Callable[[Collection[ConversationKey]], Awaitable[Sequence[Draft]]],
    append: Callable[[Sequence[Draft]], Awaitable[Sequence[Outcome]]],
    *,
    rooms: Collection[ConversationKey] = (),
    tries: int = MAX_TRIES,
) -> Outcome:
    """Append what `decide` says, and return what became of its last draft.

    `decide` gets the rooms that the person is thought to be in: at first `rooms`, then none, so
    that the store is asked. :exc:`~gochat.errors.FactsChanged` is returned only after the last try.

    Raises:
        ChatError: a rule says no.
        StoreUnavailable: the store could not be asked.
    """
    while True:
        outcome = (await append(await decide(rooms)))[-1]
        tries -= 1
        if tries < 1 or not isinstance(outcome, FactsChanged):
            return outcome
        rooms = ()
