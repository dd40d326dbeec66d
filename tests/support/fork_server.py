"""`python -m gochat` without the imports: tests get a fork of a process that has done them.

To load gochat takes a command 0.5 s of processor time, and the app a second; the tests start
hundreds of them. While :func:`forking` holds, :class:`subprocess.Popen` has such a command run by a
fork of one process, the fork server, which is started at the first one. A fork has its own pid,
memory, files, signals, environment and arguments, as if it were executed. What a fork starts is
forked in the same way: the workers of a server; and so is what the script of a shell starts as
:func:`shell_command`.

What is executed all the same: a command that is written in any other way than ``[sys.executable,
"-m", "gochat", …]``, the same with ``gochat.cli.companion``, or ``[sys.executable,
"tests/support/….py", …]``, so also one with an option of the interpreter, as ``-P``; what asks for
more than descriptors, folder, environment and session; and what has another environment for the
interpreter.
"""

from __future__ import annotations

import os
import select
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

from children import child
from fork_door import Door, request, wait_status

_SUPPORT: Final = Path(__file__).parent
#: The modules that are forked, if Python is to run them.
_MODULES: Final = ("gochat", "gochat.cli.companion")
#: Of :class:`subprocess.Popen`, what a fork has not: a command with any of these is executed.
_PLAIN: Final[Mapping[str, object]] = {
    "executable": None, "preexec_fn": None, "close_fds": True, "shell": False,
    "gid": None, "gids": None, "uid": None, "umask": -1, "process_group": -1,
    "restore_signals": True,
}  # fmt: skip


class ForkServer:
    """The process that forks. It is started when its :attr:`door` is needed first."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._door = Door(f"gochat-tests-{uuid4().hex}")
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def door(self) -> Door:
        """Where it takes requests. May be asked for in any thread."""
        with self._lock:
            if self._control is None:
                self._start()
        return self._door

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as door:
            door.bind(f"\0{self._door.name}")
            door.listen(64)
            descriptors = [theirs.fileno(), door.fileno()]
            script = str(_SUPPORT / "fork_server_process.py")
            self._process = child(
                _executed(
                    [sys.executable, script, self._door.name, *map(str, descriptors)],
                    pass_fds=descriptors,
                    env=self._environment,
                )
            )

    def close(self) -> None:
        """End it, and all its children."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait()


_executed: Final = subprocess.Popen


class ForkingPopen(subprocess.Popen[Any]):
    """A process that is forked if that makes no difference, and executed otherwise."""

    #: Returns where forks are asked for.
    find_door: ClassVar[Callable[[], Door]]
    _status: socket.socket | None = None

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any,
                       pass_fds: Any, cwd: Any, env: Any, *rest: Any) -> None:  # fmt: skip
        (_, _, shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, restore_signals,
         gid, gids, uid, umask, start_new_session, process_group) = rest  # fmt: skip
        asked = locals()
        forked = None
        if _is_forkable(args) and all(asked[name] == value for name, value in _PLAIN.items()):
            wanted = request(
                args, os.environ if env is None else env, cwd,
                new_session=bool(start_new_session), kept=pass_fds,
            )  # fmt: skip
            streams = [p2cread, c2pwrite, errwrite]
            streams = [number if given == -1 else given for number, given in enumerate(streams)]
            forked = type(self).find_door().fork(wanted, [*streams, *pass_fds])
        if forked is None:
            super()._execute_child(  # type: ignore[misc] # only typeshed lacks it
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest
            )
            return
        self.pid, self._status = forked
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
        return pid, wait_status(status)


def _is_forkable(args: Any) -> bool:
    if isinstance(args, str | bytes | os.PathLike) or len(args) < 2 or args[0] != sys.executable:
        return False
    if args[1] == "-m":
        return len(args) > 2 and args[2] in _MODULES
    return str(args[1]).startswith(f"{_SUPPORT}{os.sep}")


def let_popen_fork(find_door: Callable[[], Door]) -> None:
    """Let `subprocess.Popen` fork where it can, from now on."""
    ForkingPopen.find_door = find_door
    subprocess.Popen = ForkingPopen  # type: ignore[misc] # that is what this is for


def shell_command() -> str:
    """Return how a shell starts `gochat`, as the beginning of a command: a fork if it can be."""
    if subprocess.Popen is not ForkingPopen:
        return f"{shlex.quote(sys.executable)} -m gochat"
    script = shlex.quote(str(_SUPPORT / "forked_gochat.py"))
    return f"{shlex.quote(sys.executable)} -E -S {script} {ForkingPopen.find_door().name}"


@contextmanager
def forking() -> Iterator[None]:
    """Let `subprocess.Popen` fork where it can. At the end all forks die.

    Not while the coverage is measured, which begins when a process is executed.
    """
    if any(name.startswith("COVERAGE_") for name in os.environ):
        yield
        return
    server = ForkServer({**os.environ})
    let_popen_fork(lambda: server.door)
    try:
        yield
    finally:
        subprocess.Popen = _executed  # type: ignore[misc] # likewise
        server.close()
