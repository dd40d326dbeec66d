"""The order of a connection's numbered writes.

A client that doesn't wait for replies numbers its writes. While one is refused for now, those
after it are refused, too, so nothing overtakes it. Of each login the server keeps one integer, the
number that is due.
"""

from __future__ import annotations

from typing import Protocol

from gochat.errors import NOT_NOW, ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import Request, Write


class NumberedSession(Protocol):
    """A session, with the number that its next numbered write must have."""

    due: int


def is_due(request: Request, due: int) -> bool:
    """Return whether a request may be taken when the number `due` is; without a number always."""
    return not isinstance(request, Write) or request.n is None or request.n == due


def out_of_order(request: Request, due: int) -> ChatError:
    """Return the refusal of a request that is not due."""
    number = request.n if isinstance(request, Write) else None
    return ChatError(
        ErrorCode.OUT_OF_ORDER,
        f"the next write has the number {due}, not {number}: go on from there",
        field="n",
        details={"due": due},
    )


def leaves_due(outcome: object) -> bool:
    """Return whether a write with this outcome leaves its number due."""
    return isinstance(outcome, StoreUnavailable) or (
        isinstance(outcome, ChatError) and outcome.code in NOT_NOW
    )


def use_up(session: NumberedSession, request: Request | None, outcome: object = None) -> None:
    """Count a numbered write that has its final outcome, and was due."""
    if isinstance(request, Write) and request.n == session.due and not leaves_due(outcome):
        session.due += 1
