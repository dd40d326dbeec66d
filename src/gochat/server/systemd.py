"""What systemd and a service have to tell each other: `sd_notify`, and sockets handed over.

A few lines of a documented protocol (sd_notify(3), sd_listen_fds(3)), for which no package with
native parts is needed. Without systemd all of it does nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final

import trio

from gochat.errors import ConfigError

#: The descriptor of the first socket that systemd hands over.
FIRST: Final = 3
#: Environment variable with the descriptors and names of the sockets that a supervisor hands over
#: to its workers, in JSON. It can't be systemd's, which says for which process they are.
VARIABLE: Final = "GOCHAT_WORKER_SOCKETS"


class Notifier:
    """Notifies the service manager of a server's state."""

    def __init__(self, path: str = "", watchdog: float | None = None) -> None:
        # An @ stands for the NUL of an abstract address.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog = watchdog

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """Return the notifier that the environment asks for, and remove it from there.

        Other processes that are started from here must not notify in this one's name.
        """
        path = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        watchdog = int(usec) / 1e6 if usec.isdecimal() and pid in ("", str(os.getpid())) else None
        return cls(path, watchdog)

    def ready(self, status: str) -> None:
        """Notify that the server is ready, or that it has reloaded."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Notify that the server reloads; :meth:`ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Notify that the server stops."""
        self._send("STOPPING=1", "STATUS=saying goodbye to everybody")

    async def keep_watchdog(self) -> None:
        """Show, twice in the time that the manager allows, that the event loop runs. For ever.

        Returns at once if it does not want to know.
        """
        while self._address and self._watchdog:
            self._send("WATCHDOG=1")
            await trio.sleep(self._watchdog / 2)

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A manager that does not listen must not end the chat.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0)
            sock.sendto("\n".join(lines).encode(), self._address)


#: Notifies nobody.
SILENT: Final = Notifier()


def take_sockets(environ: MutableMapping[str, str] = os.environ) -> list[tuple[str, socket.socket]]:
    """Return the listening sockets that systemd or a supervisor hands over, with their names.

    Only once.

    Raises:
        ConfigError: one of them is not a listening stream socket.
    """
    handed_over = _handed_over(environ)
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", VARIABLE):
        environ.pop(variable, None)
    found = []
    for descriptor, name in handed_over:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keywords
        sock = None
        with contextlib.suppress(OSError):
            sock = socket.socket(fileno=descriptor)
        if (
            sock is None
            or sock.type != socket.SOCK_STREAM
            or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        ):
            raise ConfigError(
                f"what systemd hands over as {name!r} is not a socket that listens for connections:"
                " use ListenStream= and no Accept= in the socket unit"
            )
        found.append((name, sock))
    return found


def handing_over(sockets: Sequence[tuple[str, socket.socket]]) -> dict[str, str]:
    """Return the environment variables by which a worker finds the sockets that it inherits."""
    if not sockets:
        return {}
    return {VARIABLE: json.dumps([(sock.fileno(), name) for name, sock in sockets])}


def _handed_over(environ: Mapping[str, str]) -> list[tuple[int, str]]:
    """Return the descriptors of what is handed over, with their names."""
    if of_supervisor := environ.get(VARIABLE):
        return [(int(descriptor), str(name)) for descriptor, name in json.loads(of_supervisor)]
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    names = dict(enumerate(environ.get("LISTEN_FDNAMES", "").split(":")))
    return [(FIRST + number, names.get(number) or "unknown") for number in range(int(count))]
