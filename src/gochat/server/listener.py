"""Accept connections, even when no file descriptors are left.

A server out of descriptors can't even accept a connection to refuse it: the kernel keeps it in its
queue, and the client sees a server that hangs. So one descriptor is kept in reserve: it is closed,
the connection accepted and closed at once, and the reserve opened again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from math import inf
from typing import NoReturn, Self

import structlog
import trio

from gochat.config.listen import UNIX
from gochat.errors import AddressUnavailable, ConfigError, GochatError

log = structlog.stdlib.get_logger()

_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_OUT_OF_MEMORY = frozenset({errno.ENOBUFS, errno.ENOMEM})
#: Seconds to pause if even the reserve doesn't help.
PAUSE = 0.1
#: Seconds between two log lines about this: one for each refused connection would be too many.
WARN_EVERY = 60.0


def cannot_listen(
    host: str,
    port: int,
    error: OSError | UnicodeError | OverflowError,
    keys: tuple[str, str] = ("--host", "--port"),
) -> GochatError:
    """Return the error for a failed attempt to listen: what failed, why, and what to do.

    `keys` are what sets the host and the port.

    :exc:`~gochat.errors.ConfigError` if somebody must change something, and
    :exc:`~gochat.errors.AddressUnavailable` if trying again may help.
    """
    of_host, of_port = keys
    what = f"can't listen on {f'[{host}]' if ':' in host else host}:{port}"
    if isinstance(error, UnicodeError):
        return ConfigError(
            f"{what}: that is not a host name or an address: choose another {of_host}"
        )
    if isinstance(error, OverflowError):
        return ConfigError(f"{what}: a port is at most 65535: choose another {of_port}")
    reason = error.strerror or str(error)
    if isinstance(error, socket.gaierror):
        return AddressUnavailable(
            f"{what}: the name can't be resolved ({reason}): check the name, "
            "or start again when the network is up"
        )
    match error.errno:
        case errno.EADDRNOTAVAIL:
            return AddressUnavailable(
                f"{what}: this machine does not have that address now: check the address, "
                "or start again when the network is up"
            )
        case errno.EADDRINUSE:
            return AddressUnavailable(
                f"{what}: the port is in use: is a server running there already? "
                f"Stop it, or choose another {of_port}"
            )
        case errno.EACCES | errno.EPERM:
            return ConfigError(
                f"{what}: this user is not permitted to use port {port}: choose a {of_port} from "
                "1024 on, or give the service AmbientCapabilities=CAP_NET_BIND_SERVICE"
            )
        case errno.EAFNOSUPPORT:
            return ConfigError(
                f"{what}: this machine has no addresses of this kind ({reason}): "
                f"choose another {of_host}"
            )
        case _:
            return AddressUnavailable(f"{what}: {reason}")


def peer_of(stream: trio.SocketStream) -> tuple[str, int | None]:
    """Return the peer's address and port.

    ``?`` and None if it has left already, and ``unix`` and None for a unix socket.
    """
    if is_unix(stream.socket):
        return UNIX, None
    try:
        address, port = stream.socket.getpeername()[:2]
    except OSError:
        return "?", None
    return str(address), int(port)


def listening_on(listener: trio.SocketListener) -> tuple[str, int]:
    """Return the address and port that clients connect to; of a unix socket its path, and 0."""
    name = listener.socket.getsockname()
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    return os.fsdecode(name), 0


def is_unix(sock: trio.socket.SocketType) -> bool:
    """Return whether it is a unix socket."""
    return sock.family == getattr(socket, "AF_UNIX", None)  # Windows has none


async def accept_for_ever(
    listener: trio.SocketListener,
    connected: Callable[[trio.SocketStream], None],
    refused: Callable[[trio.SocketStream], None] | None = None,
) -> NoReturn:
    """Accept connections and call `connected` with each, which takes over the stream.

    `refused` is called with those that are closed at once, for want of descriptors. If the kernel
    can't accept a connection, because descriptors or memory are short, continue as soon as
    possible. Raises :exc:`OSError` for errors that waiting doesn't fix.
    """
    with _Reserve() as reserve:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    await reserve.refuse(listener, refused)
                elif error.errno in _OUT_OF_MEMORY:
                    await trio.sleep(PAUSE)
                else:
                    raise
            else:
                connected(stream)


class _Reserve:
    """One descriptor that is kept for refusing a connection."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._warned = -inf

    def __enter__(self) -> Self:
        self._fd = os.open(os.devnull, os.O_RDONLY)
        return self

    def __exit__(self, *_: object) -> None:
        self._give_up()

    def _give_up(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    async def refuse(
        self,
        listener: trio.SocketListener,
        refused: Callable[[trio.SocketStream], None] | None,
    ) -> None:
        """Accept a connection and close it; return soon, whether that succeeded or not."""
        if trio.current_time() - self._warned >= WARN_EVERY:
            self._warned = trio.current_time()
            log.error("file descriptors exhausted")
        self._give_up()
        try:
            with trio.move_on_after(PAUSE), contextlib.suppress(OSError):
                stream = await listener.accept()
                if refused is not None:
                    refused(stream)
                await trio.aclose_forcefully(stream)
        finally:
            try:
                self._fd = os.open(os.devnull, os.O_RDONLY)
            except OSError:
                await trio.sleep(PAUSE)  # taken meanwhile; try again at the next connection
