"""The two worlds in which each test of the contract runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from chat_worlds import World, live_world, scripted_world
from peers import PASSWORD

from gochat.client import Synchronised


@pytest.fixture
def anyio_backend() -> str:
    """The app runs on asyncio."""
    return "asyncio"


@pytest.fixture(params=["scripted", "real"])
async def world(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[World]:
    """The world around ada, who has an account and is not logged in."""
    if request.param == "scripted":
        with scripted_world() as scripted:
            yield scripted
    else:
        async with live_world() as live:
            yield live


@pytest.fixture
async def chat(world: World) -> World:
    """The world around ada, who is logged in; mei and tomas are online."""
    world.arrive("mei", "tomas")
    await world.ada.log_in("ada", PASSWORD)
    await world.events.next_of(Synchronised)
    return world
