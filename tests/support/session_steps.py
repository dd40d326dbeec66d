"""Count the steps of the sessions' tasks: what the intake does needs none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing


class SessionSteps(trio.abc.Instrument):
    """Counts, from its beginning on, the steps of the tasks that serve a connection."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.endswith("Server.handle")


@asynccontextmanager
async def session_steps() -> AsyncIterator[SessionSteps]:
    """Count inside the block, once everybody is done with what was before it."""
    await trio.testing.wait_all_tasks_blocked()
    steps = SessionSteps()
    trio.lowlevel.add_instrument(steps)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(steps)
