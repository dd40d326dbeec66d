"""Report the outcome of an append that no task waits for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from gochat.chat.log import Appended, Unchanged
from gochat.errors import ChatError, StoreUnavailable

log = structlog.stdlib.get_logger()


def report(
    done: Callable[[Sequence[Appended | Unchanged | ChatError] | StoreUnavailable], None],
    outcomes: Sequence[Appended | Unchanged | ChatError] | None,
    error: Exception | None,
) -> None:
    """Call `done` with the outcomes or the error; any other error than it expects is a bug."""
    if outcomes is not None and error is None:
        done(outcomes)
    elif isinstance(error, StoreUnavailable):
        done(error)
    else:
        log.error("append failed", exc_info=error)
        done(StoreUnavailable("the store reports an internal error"))
