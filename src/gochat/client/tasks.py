"""Tasks that live as long as a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import create_task_group
from anyio.abc import TaskGroup


@asynccontextmanager
async def background() -> AsyncIterator[TaskGroup]:
    """Open a task group whose tasks end with the block.

    An exception of the block leaves it as it is: the tasks are helpers of the block, so there is
    nothing to group it with. An exception of a helper is a bug, and leaves in an exception group.
    """
    failure: BaseException | None = None
    async with create_task_group() as tasks:
        try:
            yield tasks
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            failure = error  # raised below, outside the group, which would wrap it
        finally:
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
