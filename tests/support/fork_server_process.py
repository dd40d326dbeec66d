"""The process that forks for :mod:`fork_server`: a script.

Its arguments are the name of its door, and two descriptors: its end of a socket, with whose other
end it lives, and the socket at which it listens for requests.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import random
import resource
import runpy
import secrets
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from fork_door import MOST_DESCRIPTORS, NO_FORK, Door, Request, of_the_start
from fork_server import let_popen_fork

#: What is loaded before the first fork, and before the first one of the app.
_SERVER: Final = ("gochat.config", "gochat.storage", "gochat.server", "gochat.cli")
_APP: Final = ("gochat.client", "gochat.tui")
_OF_THE_APP: Final = {"tui", "chat", "terminal_app.py", "hostile_app.py"}


@dataclass
class Child:
    """A process that was forked."""

    pid: int
    #: Where its wait status is told. Once that is closed at the other end, nobody asks for it.
    line: socket.socket
    is_tied: bool
    has_ended: bool = False
    is_forgotten: bool = False


class Forker:
    """Forks for each request that comes in at the `door`, as long as `control` is open."""

    def __init__(self, name: str, control: socket.socket, door: socket.socket) -> None:
        self._name = name
        self._control = control
        self._door = door
        self._start = of_the_start(os.environ)
        self._children: list[Child] = []
        self._has_app = False
        self._generators: list[random.Random] = []
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)

    def run(self) -> Request | None:
        """Return, in a fork, what it is to be; and None when nobody will ask for more."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a terminal sends to all
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken.fileno())
        # structlog would load it, as in :func:`gochat.cli.main`: here for all forks at once.
        sys.modules["rich"] = None  # type: ignore[assignment] # cannot be imported
        self._load(_SERVER)
        del sys.modules["rich"]
        while True:
            waiting = [one.line for one in self._children if not one.is_forgotten]
            readable, _, _ = select.select(
                [self._control, self._door, self._wake, *waiting], [], []
            )
            if self._wake in readable:
                self._wake.recv(4096)
            for one in self._children:
                if one.line in readable:
                    one.is_forgotten = True
                    if one.is_tied and not one.has_ended:
                        os.kill(one.pid, signal.SIGKILL)
            self._look_after_children(os.WNOHANG)
            if self._control in readable:
                self._end()
                return None
            if self._door in readable and (request := self._answer()):
                return request

    def _answer(self) -> Request | None:
        """Fork for who asks at the door; return, in the fork, what it is to be."""
        asking, _ = self._door.accept()
        with asking:
            request, descriptors = self._read_request(asking)
            pid = NO_FORK
            if request is not None and of_the_start(request.environment) == self._start:
                *given, line = descriptors
                pid = os.fork()
                if pid == 0:
                    asking.close()
                    self._become(request, given)
                    return request
                descriptors = given
                self._children.append(Child(pid, socket.socket(fileno=line), request.is_tied))
            for descriptor in descriptors:
                os.close(descriptor)
            with suppress(OSError):
                asking.sendall(struct.pack("!I", pid))
        return None

    def _read_request(self, asking: socket.socket) -> tuple[Request | None, list[int]]:
        """Return what is asked for, unless who asks has ended meanwhile; and the descriptors."""
        header, descriptors, _, _ = socket.recv_fds(asking, 4, MOST_DESCRIPTORS)
        length = struct.unpack("!I", header)[0] if header else 0
        with asking.makefile("rb") as rest:
            text = rest.read(length)
        if not header or len(text) < length:
            return None, descriptors
        request = Request(**json.loads(text))
        if not self._has_app and _OF_THE_APP & {Path(word).name for word in request.argv[1:4]}:
            self._has_app = True
            self._load(_APP)
        return request, descriptors

    def _load(self, packages: Iterable[str]) -> None:
        """Import packages with all that is in them."""
        for name in packages:
            package = importlib.import_module(name)
            for found in pkgutil.walk_packages(package.__path__, f"{name}."):
                importlib.import_module(found.name)
        gc.collect()
        self._generators += [one for one in gc.get_objects() if type(one) is random.Random]
        gc.freeze()

    def _look_after_children(self, how: int) -> None:
        for one in [*self._children]:
            if not one.has_ended:
                end = os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT | how)
                if end is not None:
                    one.has_ended = True
                    has_exited = end.si_code == os.CLD_EXITED
                    status = end.si_status << 8 if has_exited else end.si_status
                    with suppress(OSError):
                        one.line.sendall(struct.pack("!i", status))
            if one.has_ended and one.is_forgotten:
                os.waitpid(one.pid, 0)
                one.line.close()
                self._children.remove(one)

    def _end(self) -> None:
        for one in self._children:
            os.kill(one.pid, signal.SIGKILL)
        self._look_after_children(0)

    def _become(self, request: Request, given: Sequence[int]) -> None:
        """Leave nothing of the fork server in a fork but what is loaded."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        children = (one.line for one in self._children)
        for one in (self._control, self._door, self._wake, self._woken, *children):
            one.close()
        if request.new_session:
            os.setsid()
        # Above all others first: one that is still to be copied must not be overwritten.
        numbers = [0, 1, 2, *request.kept]
        above = [fcntl.fcntl(one, fcntl.F_DUPFD, max(numbers) + 1) for one in given]
        for number, descriptor in zip(numbers, above, strict=True):
            os.dup2(descriptor, number)
        for one_kept, next_kept in pairwise([*sorted(numbers), os.sysconf("SC_OPEN_MAX")]):
            os.closerange(one_kept + 1, next_kept)
        os.umask(request.umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, request.open_files)
        os.chdir(request.folder)
        os.environ.clear()
        os.environ.update(request.environment)
        time.tzset()
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            stream = _open_stream(number, sys.stdout.encoding)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        let_popen_fork(lambda: Door(self._name))
        for generator in self._generators:  # Python does that for the one of `random` only
            generator.seed()
        drafts = sys.modules["gochat.chat.drafts"]
        # What a process draws when it loads: two servers on one store would make the same `cid`s.
        drafts._PROCESS = secrets.token_urlsafe(9)  # type: ignore[attr-defined] # it is private


def _open_stream(number: int, encoding: str) -> io.TextIOWrapper:
    """Open a standard stream as Python does."""
    if number == 0:
        return io.TextIOWrapper(open(0, "rb", closefd=False), encoding)
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    return io.TextIOWrapper(
        open(number, "wb", 0 if is_unbuffered else -1, closefd=False), encoding,
        "backslashreplace" if number == 2 else "strict", write_through=is_unbuffered,
        line_buffering=number == 2 or os.isatty(number),
    )  # fmt: skip


def _run(request: Request) -> int:
    """Run what a fork is to be; return its exit code, as Python does."""
    sys.orig_argv[:] = request.argv
    try:
        if request.argv[1] == "-m":
            sys.argv[:] = request.argv[2:]
            sys.path[0] = request.folder
            sys.modules.pop(request.argv[2], None)  # if it is no package, runpy warns otherwise
            runpy.run_module(request.argv[2], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = request.argv[1:]
            sys.path[0] = str(Path(request.argv[1]).parent)
            runpy.run_path(request.argv[1], run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def main() -> None:
    """Fork, and run in each fork what it is to be."""
    name, *descriptors = sys.argv[1:]
    request = Forker(name, *(socket.socket(fileno=int(one)) for one in descriptors)).run()
    if request is None:
        return
    code = _run(request)
    # As Python, but to free all that was loaded, one object after the other, takes most of the time
    # of a short command.
    threading._shutdown()  # type: ignore[attr-defined] # waits for the threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
