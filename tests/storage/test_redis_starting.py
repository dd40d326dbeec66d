"""A node that starts while Redis does: it waits if waiting can help, and reports it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
import trio
from patience import until
from processes import GOCHAT
from redis_deployments import Watched
from redis_process import RedisServer

from gochat.errors import ConfigError, StoreUnavailable
from gochat.storage import wait_until_up

pytestmark = pytest.mark.redis

StartRedis = Callable[..., RedisServer]


def reasons(logs: list[Any]) -> list[str]:
    return [line["reason"] for line in logs if line["event"] == "waiting for Redis"]


@pytest.mark.trio
async def test_node_waits_for_a_redis_that_starts_and_loads(start_redis: StartRedis) -> None:
    server = start_redis("--appendonly", "yes")
    client: Any = redis.Redis(port=server.port)  # whose methods have no useful types
    with client.pipeline(transaction=False) as pipeline:
        for number in range(6000):
            pipeline.set("other", number)
        pipeline.execute()
    client.close()
    server.stop()
    server.options += ("--key-load-delay", "500")  # microseconds; it answers every thousand keys
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_until_up, f"{server.url}?timeout=10", 60.0)
            await until(lambda: bool(reasons(logs)))
            nursery.start_soon(trio.to_thread.run_sync, server.start)
    assert "refused" in reasons(logs)[0]
    assert any("loading" in reason for reason in reasons(logs))
    assert logs[-1]["event"] == "Redis available"
    assert len(reasons(logs)) == len(set(reasons(logs)))  # each once


@pytest.mark.trio
async def test_node_does_not_wait_for_ever(free_port: Callable[[], int]) -> None:
    with pytest.raises(StoreUnavailable, match="store_wait"):
        await wait_until_up(f"redis://127.0.0.1:{free_port()}", 0.1)


@pytest.mark.trio
async def test_node_does_not_wait_if_that_cannot_help(
    start_redis: StartRedis, redis_watched: Watched
) -> None:
    server = start_redis("--requirepass", "right")
    at = f"127.0.0.1:{server.port}"
    for url in (
        f"redis://:wrong@{at}",
        f"redis://{at}",
        f"redis://nobody:wrong@{at}",
        f"redis+cluster://:right@{at}",
        f"redis://{at}?unknown=1",
        f"redis+sentinel://{at}/chat",  # for sentinels, too
        f"redis+sentinel://{at}/chat?sentinel_password=wrong",
    ):
        with structlog.testing.capture_logs() as logs, pytest.raises(ConfigError):
            await wait_until_up(url, 600.0)
        assert reasons(logs) == []
    # A master that no sentinel knows yet is a different case.
    with pytest.raises(StoreUnavailable, match="no sentinel knows the master of 'later'"):
        await wait_until_up(redis_watched.url.replace("/chat", "/later"), 0.1)


@pytest.mark.parametrize("is_stopped", [False, True])
def test_command_reports_that_it_waits_and_how_long(
    free_port: Callable[[], int], tmp_path: Path, is_stopped: bool
) -> None:
    store = f"redis://127.0.0.1:{free_port()}"
    environment = {**os.environ, "GOCHAT_STORE_WAIT": "600" if is_stopped else "1"}
    command = [*GOCHAT, "serve", "--port", "0", "--store", store]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "waiting for Redis" in line)
        assert "efused" in line
        if is_stopped:
            process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(60) == (0 if is_stopped else 1)
    assert ("gochat: Redis at 127.0.0.1" in rest) is not is_stopped
    assert "Traceback" not in rest
