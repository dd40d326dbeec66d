"""What the tests of stores share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from store_files import opened
from storing import Clock

#: A library is preloaded into Redis, to make its disk slow, which needs Linux.
collect_ignore = [] if sys.platform == "linux" else ["test_redis_durability.py"]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store in a file in which Mei sent hello, used by no server."""
    path = tmp_path / "chat" / "chat.db"
    async with opened(path) as chat:
        await chat.register("Mei")
        await chat.say("Mei", "#lobby", "hello")
    return path


@pytest.fixture
def clock() -> Clock:
    """The clock of the test's store."""
    return Clock()
