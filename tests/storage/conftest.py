"""Stores to test: each test of the contract runs over every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from storing import Chat, Clock, OpenStore

from gochat.chat.store import Store
from gochat.storage import open_store


@pytest.fixture
def clock() -> Clock:
    """The clock of the test's store."""
    return Clock()


@pytest.fixture(params=["memory", "file"])
def open_it(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> OpenStore:
    """Opens the test's store."""
    urls = {"memory": "sqlite://", "file": f"sqlite:///{tmp_path / 'chat.db'}"}
    return lambda: open_store(urls[request.param], clock=clock)


@pytest.fixture
async def store(open_it: OpenStore) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_it() as opened:
        yield opened


@pytest.fixture
async def chat(store: Store) -> Chat:
    """A store with three people in it."""
    chat = Chat(store)
    await chat.register("Mei", "Bob", "Eve")
    return chat
