"""docs/how-to/move-to-redis.md, as it is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis_process import RedisServer

from howto import Guide, lobby, say

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="the guide is for systems with a shell"),
]


async def test_move_to_redis_and_back(
    tmp_path: Path, free_port: Callable[[], int], start_redis: Callable[..., RedisServer]
) -> None:
    url = start_redis().url
    guide = Guide("move-to-redis.md", tmp_path, **{"redis://localhost": url})
    there, back, between = guide.take("gochat db copy").splitlines()
    assert "redis+cluster" in between  # tests/storage copies from and to all of them
    _, _, _, source, _ = there.split()
    with guide.serving(f"gochat serve --store {source}", free_port()) as server:
        await say(server.port, "mei", "in the file")
    assert "copied, and compared" in guide.sh(there)
    with guide.serving(f"gochat serve --store {url}", free_port()) as server:
        await say(server.port, "mei", "in Redis")
    assert "copied, and compared" in guide.sh(back)
    with guide.serving(f"gochat serve --store {back.split()[-1]}", free_port()) as server:
        assert await lobby(server.port, "mei") == ["in the file", "in Redis"]

    secret = tmp_path / "redis.url"
    secret.write_text(url)
    said = guide.sh(f"gochat db copy sqlite:///again.db @{secret}", code=2)
    assert "again.db" in said
    guide.finish()
