"""Decide what a request may do, append it, and decide again if the decision is outdated.

Between the decision and the commit others are active, at this node and at others. So a draft
carries the facts that its decision was based on, and the append compares them
(:class:`~gochat.chat.facts.Facts`). If they have changed nothing is written, and the request is
decided again on the store's current state. Usually a rule then refuses it; if it is still allowed,
it is appended at the second try.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, TypeAlias

from gochat.chat.conversations import ConversationKey
from gochat.chat.log import Appended, Draft, Unchanged
from gochat.errors import ChatError, FactsChanged, StoreUnavailable

#: How often a request is decided. Each time somebody else has committed a conflicting change, so
#: only people who contend on purpose would need more.
MAX_TRIES: Final = 3

#: The outcome of a draft.
Outcome: TypeAlias = Appended | Unchanged | ChatError | StoreUnavailable
#: The drafts of a request, none if nothing is to be changed; or an outcome that is known already.
Decision: TypeAlias = Sequence[Draft] | Appended | ChatError


async def settle(
    decide: Callable[[Collection[ConversationKey] | None], Awaitable[Decision]],
    append: Callable[[Sequence[Draft]], Awaitable[Sequence[Outcome]]],
    *,
    rooms: Collection[ConversationKey] | None = None,
    tries: int = MAX_TRIES,
) -> Outcome:
    """Append the drafts that `decide` returns, and return the outcome of the last one.

    `decide` gets the rooms that the person is in as far as this node knows: at first `rooms`, then
    None, so that it asks the store. :exc:`~gochat.errors.FactsChanged` is returned only after the
    last try.

    Raises:
        ChatError: a rule refuses the request.
        StoreUnavailable: the store could not be read.
    """
    while True:
        decided = await decide(rooms)
        if isinstance(decided, Appended | ChatError):
            return decided
        outcome = (await append(decided))[-1] if decided else Unchanged()
        tries -= 1
        if tries < 1 or not isinstance(outcome, FactsChanged):
            return outcome
        rooms = None
