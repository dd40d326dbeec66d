"""How long tests wait for expected events: one timeout for all."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

T = TypeVar("T")

#: Seconds after which an expected event will not come any more. Only a failing test waits this
#: long, so it costs nothing to give a busy machine all the time it needs.
PATIENCE: Final = 120.0
#: Seconds between two looks at what has no event to wait for.
_EVERY: Final = 0.01


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds of which there is no event: what threads and processes do."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 -- see above
            await trio.sleep(_EVERY)


async def eventually(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a server or a store again until the answer is true; return it."""
    with trio.fail_after(PATIENCE):
        while not (answer := await ask()):  # noqa: ASYNC110 -- see above
            await trio.sleep(_EVERY)
    return answer


def wait_for(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait until a condition holds, in a test without an event loop."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(_EVERY)
