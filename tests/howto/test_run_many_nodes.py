"""docs/how-to/run-many-nodes.md, as it is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis_process import RedisServer

from gochat.config import load_config
from howto import Guide, lobby, say

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="the guide is for systems with a shell"),
]


async def test_run_many_nodes(
    tmp_path: Path, free_port: Callable[[], int], start_redis: Callable[..., RedisServer]
) -> None:
    ports = [free_port(), free_port()]
    replaced = {
        "redis://localhost": start_redis().url,
        "--port 8889": f"--port {ports[0]}",
        "--port 8890": f"--port {ports[1]}",
    }
    guide = Guide("run-many-nodes.md", tmp_path, **replaced)
    with guide.serve("gochat serve --host '*' --workers", free_port()) as server:
        for _ in range(3):
            server.wait_for("worker ready")
        await say(server.port, "mei", "to a worker")

    one, other = guide.take("gochat serve --port").splitlines()
    with guide.serving(one, ports[0]), guide.serving(other, ports[1]):
        await say(ports[0], "mei", "to one node")
        assert await lobby(ports[1], "bob") == ["to a worker", "to one node"]
    guide.leave_out("gochat tui localhost:8889", because="tests/tui run the app")

    config = load_config(guide.write("# /etc/gochat/server.toml"), environ={})
    assert config.store_url.startswith("redis+sentinel://")
    guide.finish()
