"""Two servers for a test of what must hold on one server and on two nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from peers import RunningServer, config, running_server
from redis_nodes import Nodes


@asynccontextmanager
async def two_servers(request: pytest.FixtureRequest) -> AsyncIterator[Sequence[RunningServer]]:
    """Run a server on SQLite, given twice, or two nodes on one Redis: `request.param` says which.

    On Redis the test needs the fixture `redis_server`.
    """
    if request.param == "sqlite":
        async with running_server() as server:
            yield server, server
    else:
        configuration = config(store=Nodes(request.getfixturevalue("redis_server")).url())
        async with running_server(configuration) as one, running_server(configuration) as two:
            yield one, two
