"""`python -m gochat` without the imports: tests get a fork of a process that has done them.

To load gochat takes a command 0.5 s of processor time, and the app a second; the tests start
hundreds of them. While :func:`forking` holds, :class:`subprocess.Popen` has such a command run by a
fork of one process, the fork server, which is started at the first one. A fork has its own pid,
memory, files, signals, environment and arguments, as if it were executed.

What is executed all the same: a command that is written in any other way than ``[sys.executable,
"-m", "gochat", …]`` or ``[sys.executable, "tests/support/….py", …]``, so also one with an option of
the interpreter, as ``-P``; what asks for more than standard streams, folder, environment and
session; and what has another environment for the interpreter.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

from children import child
from patience import PATIENCE

SCRIPT: Final = Path(__file__).with_name("fork_server_process.py")
#: Variables that the interpreter or a library reads when it starts, and how more of them begin.
_READ_AT_START: Final = ("LANG", "TZ", "TZDIR")
_READ_AT_START_TOO: Final = ("PYTHON", "LC_", "LD_", "MALLOC_", "OPENSSL_", "SSL_")
#: Of :class:`subprocess.Popen`, what a fork has not: a command with any of these is executed.
_PLAIN: Final[Mapping[str, object]] = {
    "executable": None, "preexec_fn": None, "close_fds": True, "shell": False, "pass_fds": (),
    "gid": None, "gids": None, "uid": None, "umask": -1, "process_group": -1,
    "restore_signals": True,
}  # fmt: skip


class ForkServerDied(Exception):
    """The process that forks is gone, and nobody knows what has become of its children."""


class ForkServer:
    """The process that forks, as seen by the tests. Its methods may be called in any thread.

    It is started when it is needed first, with the `environment`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def fork(
        self, request: Mapping[str, object], streams: Sequence[int]
    ) -> tuple[int, socket.socket]:
        """Return the pid of a new process, and what its wait status can be read from, 4 bytes.

        It stays a zombie until that is closed. Raises :exc:`ForkServerDied`.
        """
        with self._lock:
            control = self._connection()
            ours, theirs = socket.socketpair()
            text = json.dumps(request).encode()
            try:
                with theirs:
                    descriptors = [*streams, theirs.fileno()]
                    socket.send_fds(control, [struct.pack("!I", len(text))], descriptors)
                    control.sendall(text)
                answer = control.recv(4)
            except OSError as error:
                ours.close()
                raise ForkServerDied(str(error)) from error
            if len(answer) < 4:
                ours.close()
                raise ForkServerDied("it ended; the test's output above may say why")
            return struct.unpack("!I", answer)[0], ours

    def has_started_with(self, environment: Mapping[Any, Any]) -> bool:
        """Return whether it and a process with `environment` start in the same way."""
        return _of_the_start(environment) == _of_the_start(self._environment)

    def _connection(self) -> socket.socket:
        if self._control is None:
            self._control, theirs = socket.socketpair()
            self._control.settimeout(PATIENCE)
            with theirs:
                command = [sys.executable, str(SCRIPT), str(theirs.fileno())]
                self._process = child(
                    _executed(command, pass_fds=[theirs.fileno()], env=self._environment)
                )
        return self._control

    def close(self) -> None:
        """End it, and all its children."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait()


_executed: Final = subprocess.Popen


class ForkingPopen(subprocess.Popen[Any]):
    """A process that is forked if that makes no difference, and executed otherwise."""

    fork_server: ClassVar[ForkServer]
    _status: socket.socket | None = None

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any,
                       pass_fds: Any, cwd: Any, env: Any, *rest: Any) -> None:  # fmt: skip
        (_, _, shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, restore_signals,
         gid, gids, uid, umask, start_new_session, process_group) = rest  # fmt: skip
        asked = locals()
        environment = dict(os.environ if env is None else env)
        if (
            any(asked[name] != value for name, value in _PLAIN.items())
            or not _is_forkable(args)
            or not self.fork_server.has_started_with(environment)
        ):
            super()._execute_child(  # type: ignore[misc] # only typeshed lacks it
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest
            )
            return
        request = {
            "argv": [os.fspath(arg) for arg in args],
            "folder": os.fspath(cwd or Path.cwd()),
            "environment": {os.fsdecode(k): os.fsdecode(v) for k, v in environment.items()},
            "new_session": bool(start_new_session),
            "umask": _umask(),
            "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
        }
        streams = [p2cread, c2pwrite, errwrite]
        streams = [number if given == -1 else given for number, given in enumerate(streams)]
        self.pid, self._status = self.fork_server.fork(request, streams)
        self._child_created = True
        self._close_pipe_fds(  # type: ignore[attr-defined] # likewise
            p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite
        )

    def _internal_poll(self, *args: Any, **others: Any) -> int | None:
        if self._status is not None:
            others["_waitpid"] = self._wait_for
        code: int | None = super()._internal_poll(*args, **others)  # type: ignore[misc] # likewise
        return code

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._status is not None:
            return self._wait_for(self.pid, wait_flags)
        result: tuple[int, int] = super()._try_wait(wait_flags)  # type: ignore[misc] # likewise
        return result

    def _wait_for(self, pid: int, flags: int) -> tuple[int, int]:
        """Do what :func:`os.waitpid` does for a child."""
        status = self._status
        assert status is not None
        poll = select.poll()
        poll.register(status, select.POLLIN)
        if not poll.poll(0 if flags & os.WNOHANG else None):
            return 0, 0
        answer = status.recv(4)
        if len(answer) < 4:
            raise ForkServerDied(f"so the end of process {pid} is unknown")
        status.close()
        return pid, struct.unpack("!i", answer)[0]


def _is_forkable(args: Any) -> bool:
    if isinstance(args, str | bytes | os.PathLike) or len(args) < 2 or args[0] != sys.executable:
        return False
    if args[1] == "-m":
        return list(args[2:3]) == ["gochat"]
    return str(args[1]).startswith(f"{SCRIPT.parent}{os.sep}")


def _umask() -> int:
    """Return this process's umask; to ask the system for it, one has to change it."""
    found = re.search(r"^Umask:\s*(\d+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1], 8)


def _of_the_start(environment: Mapping[Any, Any]) -> dict[str, str]:
    names = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
    return {
        name: value
        for name, value in names.items()
        if name in _READ_AT_START or name.startswith(_READ_AT_START_TOO)
    }


@contextmanager
def forking() -> Iterator[None]:
    """Let `subprocess.Popen` fork where it can. At the end all forks die.

    Not while the coverage is measured, which begins when a process is executed.
    """
    if any(name.startswith("COVERAGE_") for name in os.environ):
        yield
        return
    ForkingPopen.fork_server = ForkServer({**os.environ})
    subprocess.Popen = ForkingPopen  # type: ignore[misc] # that is what this is for
    try:
        yield
    finally:
        subprocess.Popen = _executed  # type: ignore[misc] # likewise
        ForkingPopen.fork_server.close()
