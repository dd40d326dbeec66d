"""The door of the tests' fork server: how a process asks for a fork, and what it gets.

This is also for commands in the scripts of shells, which pay for every import: there are few here.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

#: Descriptors that come with a request, at most.
MOST_DESCRIPTORS: Final = 64
#: Instead of a pid: what has such an environment must be executed.
NO_FORK: Final = 0
#: Seconds for an answer. They are only waited if none comes.
_TIMEOUT: Final = 120.0
#: Variables that the interpreter or a library reads when it starts, and how more of them begin.
_READ_AT_START: Final = ("LANG", "TZDIR")
_READ_AT_START_TOO: Final = ("PYTHON", "LC_", "LD_", "MALLOC_", "OPENSSL_", "SSL_")


class ForkServerDied(Exception):
    """The process that forks is gone, and nobody knows what has become of its children."""


class Request(NamedTuple):
    """A process to be. As far as it is not said here, it is as the one that asks."""

    argv: list[str]
    folder: str
    environment: dict[str, str]
    new_session: bool
    umask: int
    open_files: tuple[int, int]
    #: The numbers of the descriptors that it has, besides the standard streams.
    kept: list[int]
    #: Whether it is killed when nobody waits for it any more.
    is_tied: bool


def request(
    argv: Sequence[str | bytes | os.PathLike[str]],
    environment: Mapping[Any, Any],
    folder: str | os.PathLike[str] | None = None,
    *,
    new_session: bool = False,
    kept: Sequence[int] = (),
    is_tied: bool = False,
) -> Request:
    """Return a request for a process with the umask and the limits of this one."""
    return Request(
        argv=[os.fsdecode(arg) for arg in argv],
        folder=os.fsdecode(folder or Path.cwd()),
        environment={os.fsdecode(name): os.fsdecode(text) for name, text in environment.items()},
        new_session=new_session,
        umask=_umask(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE),
        kept=[*kept],
        is_tied=is_tied,
    )


def _umask() -> int:
    """Return this process's umask; to ask the system for it, one has to change it."""
    found = re.search(r"^Umask:\s*(\d+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1], 8)


def of_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without which a process starts in another way."""
    return {
        name: value
        for name, value in environment.items()
        if name in _READ_AT_START or name.startswith(_READ_AT_START_TOO)
    }


class Door:
    """The fork server, as seen by who asks at its socket: a name in Linux's abstract namespace.

    Its methods may be called in any thread.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def fork(self, asked: Request, descriptors: Sequence[int]) -> tuple[int, socket.socket] | None:
        """Return the pid of a new process, and what its wait status can be read from, 4 bytes.

        `descriptors` are its standard streams, and those that it keeps. It stays a zombie until
        that is closed. None if the process must be executed, for it would start in another way.
        Raises :exc:`ForkServerDied`.
        """
        text = json.dumps(asked._asdict()).encode()
        ours, theirs = socket.socketpair()
        try:
            with socket.socket(socket.AF_UNIX) as asking, theirs:
                asking.settimeout(_TIMEOUT)
                asking.connect(f"\0{self.name}")
                length = struct.pack("!I", len(text))
                socket.send_fds(asking, [length], [*descriptors, theirs.fileno()])
                asking.sendall(text)
                answer = asking.recv(4)
        except OSError as error:
            ours.close()
            raise ForkServerDied(str(error)) from error
        if len(answer) < 4:
            ours.close()
            raise ForkServerDied("it ended; the test's output above may say why")
        if (pid := struct.unpack("!I", answer)[0]) == NO_FORK:
            ours.close()
            return None
        return pid, ours


def wait_status(line: socket.socket) -> int:
    """Wait for the wait status of a fork, and let it go. Raises :exc:`ForkServerDied`."""
    with line:
        answer = line.recv(4)
    if len(answer) < 4:
        raise ForkServerDied("so the end of a process is unknown")
    status: int = struct.unpack("!i", answer)[0]
    return status
