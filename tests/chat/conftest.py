"""A chat without a server: the rules over a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from storing import Clock
from talking import World

from gochat.storage import open_store


@pytest.fixture
def clock() -> Clock:
    """The clock of the test's world."""
    return Clock()


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    """Mei, Bob and Eve, and an empty lobby."""
    async with open_store("sqlite:///:memory:", clock=clock) as store:
        world = World(store)
        await world.register("Mei", "Bob", "Eve")
        yield world
