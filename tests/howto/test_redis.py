"""docs/how-to/redis.md, as it is printed."""

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


async def test_keep_everything_in_redis(
    tmp_path: Path, free_port: Callable[[], int], start_redis: Callable[..., RedisServer]
) -> None:
    first, *_ = Guide("redis.md", tmp_path, languages={"text"}).remaining
    lines = [line for line in first.splitlines() if not line.startswith("#")]
    redis = start_redis(*(word for line in lines for word in f"--{line}".split()))
    guide = Guide(
        "redis.md", tmp_path, **{"redis://localhost": redis.url, "$(date +%F).db": "2026-11-23.db"}
    )
    (tmp_path / "var/backups/gochat").mkdir(parents=True)
    serve = guide.take("gochat serve --store redis://")
    with guide.serving(serve, free_port()) as server:
        await say(server.port, "mei", "kept")
    redis.kill()  # with what it is told in redis.conf, it loses nothing
    redis.start()
    with guide.serving(serve, free_port()) as server:
        assert await lobby(server.port, "mei") == ["kept"]
        assert "a sound copy of" in guide.run("gochat db backup")
        assert guide.run("gochat db check").splitlines()[-1].endswith(": sound")
        await say(server.port, "mei", "after the backup")
    assert "servers can be started on it" in guide.run("gochat db restore")
    with guide.serving(f"gochat serve --store {redis.url}/1", free_port()) as server:
        assert await lobby(server.port, "mei") == ["kept"]

    for beginning in ("usermod", "gochat serve --store 'rediss://", "gochat serve --store redis+"):
        guide.leave_out(beginning, because="tests/storage has sockets, TLS, users and Sentinel")
    guide.leave_out("redis-cli --cluster", because="tests/storage has a Cluster")
    for beginning in ("redis-cli -h", "redis-server --port 6399", "redis-server /etc"):
        guide.leave_out(beginning, because="not every Redis for the tests comes with redis-cli")
    guide.finish()
