"""A real server in its own process, to be killed, frozen, stopped and restarted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio
from children import child
from patience import PATIENCE

_POLL: Final = 0.01
#: The exit code of a server that can't start now, but perhaps later.
_TRY_AGAIN: Final = 1
_CRASHING_SERVER: Final = Path(__file__).with_name("crashing_server.py")

#: The settings of a fault run: no limit hinders many busy clients on one address.
GENEROUS: Final[Mapping[str, object]] = {
    "limits.argon2_memory": 8,
    "limits.argon2_time": 1,
    "limits.registrations": 100_000,
    "limits.registrations_per_address": 100_000,
    # Clients that return to an emptied store are refused at first.
    "limits.login_failures": 1000,
    "limits.login_failures_account": 10_000,
    "limits.login_failures_address": 100_000,
    "limits.connections_per_address": 10_000,
    "limits.connections_per_account": 10_000,
    "limits.anonymous_max": 10_000,
    "limits.burst": 1_000_000,
    "limits.per_second": 1_000_000,
    "limits.request_budget": 1_000_000,
    "limits.request_budget_per_second": 1_000_000,
    "limits.rooms_per_day": 1_000_000,
    "limits.conversations_per_day": 1_000_000,
    "limits.bytes_per_day": 10**15,
    # Some clients never read: with the default a stop would take a full 10 s, a third of a run.
    "limits.drain_timeout": 3,
}


class ServerNeverStarted(Exception):
    """The server ended, or did not listen in time; the text has its last lines."""


class ServerFailed(Exception):
    """A server ended otherwise than it was made to; the text has its last lines."""


class ServerProcess:
    """``gochat serve`` with its files in `directory`; made by :func:`open_server`.

    It keeps its port and its store over restarts. `starts` counts the starts.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, object],
        store: str | None,
        rlimit_nofile: int | None,
        environment: Mapping[str, str],
    ) -> None:
        self.directory = directory
        self.store = store or f"sqlite:///{self.database}"
        self.port = 0
        self.starts = 0
        #: The bomb of the present or last process.
        self.bomb = ""
        #: Seconds that all starts took in total.
        self.starting = 0.0
        #: The accounts that were created, for users of one.
        self.registered: set[str] = set()
        self._settings = settings
        self._rlimit_nofile = rlimit_nofile
        self._environment = {**_environment(directory), **environment}
        self._process: trio.Process | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"gochat://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        """The file of the store, if no other store was given."""
        return self.directory / "gochat.db"

    @property
    def is_running(self) -> bool:
        """Whether the process lives (even if frozen)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id, while it runs."""
        assert self._process is not None
        return self._process.pid

    async def start(self, bomb: str = "") -> None:
        """Start it and wait until it listens.

        With `bomb`, it will kill itself, perhaps already before it listens: see
        :mod:`gochat_faults.crashing_server`.

        If it ends because something can't be reached now, it is started again, as a service
        manager does.

        Raises:
            ServerNeverStarted: it did not get that far, and not for its bomb.
        """
        assert not self.is_running
        self.starts += 1
        self.bomb = bomb
        command = [sys.executable]
        command += [str(_CRASHING_SERVER), bomb] if bomb else ["-m", "gochat"]
        command += ["serve", "--port", str(self.port), "--log-format", "json"]
        command += ["--store", self.store]
        for key, value in {**GENEROUS, **self._settings}.items():
            command += ["--set", f"{key}={value}"]
        if self._rlimit_nofile is not None:
            command = ["sh", "-c", f'ulimit -n {self._rlimit_nofile}; exec "$@"', "sh", *command]
        began = trio.current_time()
        with trio.move_on_after(PATIENCE):
            await self._spawn(command)
            while True:
                for line in self.log():
                    if line.get("event") == "listening":
                        self.port = int(line["port"])
                        self.starting += trio.current_time() - began
                        return
                assert self._process is not None
                code = self._process.poll()
                if code == _TRY_AGAIN:  # Redis is overloaded, for example
                    await self._spawn(command)
                elif code is not None:
                    if bomb and self.crashed_at() is not None:
                        return
                    break
                await trio.sleep(_POLL)
        raise ServerNeverStarted(f"after start {self.starts}: {self.last_lines()}")

    async def _spawn(self, command: list[str]) -> None:
        with self._log_path.open("wb") as log:
            self._process = child(
                await trio.lowlevel.open_process(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                )
            )

    def kill(self) -> None:
        """End it as a crash would; no error if it does not run."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Suspend it, with all its connections open, until :meth:`thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue."""
        self._signal(signal.SIGCONT)

    async def wait(self) -> int:
        """Wait until it has ended, and return its exit code: negative, if by a signal.

        Raises:
            TooSlowError: it does not end in time.
        """
        assert self._process is not None
        with trio.fail_after(PATIENCE):
            return await self._process.wait()

    async def wait_for_end(self, expected: int | None) -> str | None:
        """Wait until it has ended; return the point of its bomb if it ended there.

        Raises:
            ServerFailed: it ended otherwise, and not with the exit code `expected`.
        """
        code, point = await self.wait(), self.crashed_at()
        if point is None and code != expected:
            raise ServerFailed(f"start {self.starts} ended with {code}: {self.last_lines()}")
        return point

    async def wait_ended(self) -> None:
        """Wait until it has ended, however long that takes."""
        assert self._process is not None
        await self._process.wait()

    def log(self) -> list[dict[str, Any]]:
        """Return what the present or last process logged, line by line."""
        lines = []
        for line in self._log_path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                try:
                    lines.append(json.loads(line))
                except ValueError:  # a traceback from before logging is set up
                    lines.append({"event": line.decode(errors="replace").rstrip()})
        return lines

    def last_lines(self) -> str:
        """Return the end of what the present or last process printed."""
        return self._log_path.read_text(errors="replace").strip()[-4000:]

    def crashed_at(self) -> str | None:
        """Return the point at which its bomb ended it, or None."""
        points = [line["point"] for line in self.log() if line.get("event") == "crash"]
        return points[0] if points else None

    @property
    def _log_path(self) -> Path:
        return self.directory / f"server-{self.starts}.log"

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            os.kill(self.pid, number)

    async def _end(self) -> None:
        with trio.CancelScope(shield=True):
            if self.is_running:
                self.kill()
                self.thaw()  # a frozen one is killed all the same; this is to reap it
            if self._process is not None:
                await self._process.wait()


@asynccontextmanager
async def open_server(
    directory: Path,
    settings: Mapping[str, object] | None = None,
    *,
    store: str | None = None,
    rlimit_nofile: int | None = None,
    bomb: str = "",
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[ServerProcess]:
    """Start a server, and end it with the block, in whatever state it is then.

    Its store is a SQLite file in `directory`, unless `store` is the URL of another one.
    """
    server = ServerProcess(directory, settings or {}, store, rlimit_nofile, environment or {})
    try:
        await server.start(bomb)
        yield server
    finally:
        await server._end()


def _environment(home: Path) -> dict[str, str]:
    """Return the environment without the user's configuration of gochat."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GOCHAT_")}
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        environment[variable] = str(home)
    return environment
