"""Open everything that a server listens on: addresses, unix sockets, and sockets from systemd."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import structlog
import trio

from gochat.config import Config, Listen
from gochat.errors import AddressUnavailable, ConfigError
from gochat.server import workers
from gochat.server.listener import cannot_listen, is_unix, listening_on
from gochat.server.proxy_protocol import TrustedProxies

log = structlog.stdlib.get_logger()

#: Connections that the kernel may queue until they are accepted: a reconnect storm arrives at once.
BACKLOG: Final = 4096
#: Seconds for finding out whether a server listens on a unix socket that is there already.
KNOCK: Final = 5.0


class Entrance(NamedTuple):
    """A listener, whether its connections are encrypted, and whose PROXY headers it believes."""

    listener: trio.SocketListener
    encrypts: bool
    proxies: TrustedProxies | None

    @property
    def address(self) -> tuple[str, int]:
        """See :func:`.listening_on`."""
        return listening_on(self.listener)

    def log(self, config: Config) -> None:
        """Log that it is there."""
        host, port = self.address
        where = {"path": host} if is_unix(self.listener.socket) else {"host": host, "port": port}
        log.info("listening", **where, tls=self.encrypts, websocket=config.websocket)


@contextlib.asynccontextmanager
async def open_entrances(
    config: Config,
    handed_over: Sequence[tuple[str, socket.socket]],
    *,
    is_worker: bool,
) -> AsyncIterator[list[Entrance]]:
    """Open all listeners of a configuration; leaving the block closes them.

    `handed_over` are systemd's sockets, with their names. Without a `[[listen]]` they take the
    place of `host` and `port`.

    Raises:
        AddressUnavailable: one can't be listened on now.
        ConfigError: one can't be listened on at all.
    """
    async with contextlib.AsyncExitStack() as stack:
        left: dict[str, list[socket.socket]] = {}
        for name, sock in handed_over:
            left.setdefault(name, []).append(stack.enter_context(sock))
        wanted = config.listeners
        if handed_over and not config.listen:
            wanted = tuple(Listen(systemd=name, proxy_from=config.proxy_from) for name in left)
        entrances: list[Entrance] = []
        for listen in wanted:
            opened = await _listeners(listen, left, stack.enter_context, is_worker=is_worker)
            for listener in opened:
                await stack.enter_async_context(listener)
                proxies = TrustedProxies(listen.proxy_from) if listen.proxy_from else None
                encrypts = config.encrypts(listen, is_unix=is_unix(listener.socket))
                entrances.append(Entrance(listener, encrypts, proxies))
        for name in left:
            log.warning("socket of systemd unused", name=name, advice="no [[listen]] names it")
        yield entrances


@contextlib.contextmanager
def reserved_for_workers(
    config: Config, handed_over: Sequence[tuple[str, socket.socket]]
) -> Iterator[tuple[list[tuple[str, socket.socket]], int | None]]:
    """Reserve everything that workers listen on; leaving the block releases it.

    Yields the sockets to hand to each worker, with their names, and the port that is to be their
    `port`; None if they listen on something else. Raises the same errors as :func:`open_entrances`.
    """
    with contextlib.ExitStack() as stack:
        sockets = [(name, stack.enter_context(sock)) for name, sock in handed_over]
        port = None
        for listen in config.listen:
            if listen.unix:
                bound = unix_socket(Path(listen.unix), int(listen.unix_mode, 8))
                sockets.append((name_of(listen), stack.enter_context(bound)))
            elif not listen.systemd:
                stack.enter_context(workers.reserve_port(listen.host, listen.port)[0])
        if not config.listen and not handed_over:
            reserved, port = workers.reserve_port(config.host, config.port)
            stack.enter_context(reserved)
        yield sockets, port


def name_of(listen: Listen) -> str:
    """Return the name by which a worker finds a unix socket; systemd's names have no colon."""
    return f"unix:{listen.unix}"


async def _listeners(
    listen: Listen,
    handed_over: dict[str, list[socket.socket]],
    enter: Callable[[contextlib.AbstractContextManager[socket.socket]], socket.socket],
    *,
    is_worker: bool,
) -> list[trio.SocketListener]:
    if listen.systemd:
        sockets = handed_over.pop(listen.systemd, None)
        if sockets is None:
            raise ConfigError(
                f"systemd has handed over no socket named {listen.systemd!r}: start the server by "
                f"its socket unit, and set FileDescriptorName={listen.systemd} there"
            )
        return [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in sockets]
    if listen.unix:
        if not hasattr(socket, "AF_UNIX"):
            raise ConfigError(f"can't listen on {listen.unix}: this system has no unix sockets")
        for_workers = handed_over.pop(name_of(listen), None)
        [bound] = for_workers or [enter(unix_socket(Path(listen.unix), int(listen.unix_mode, 8)))]
        return [trio.SocketListener(trio.socket.from_stdlib_socket(bound))]
    host = None if listen.host == "*" else listen.host
    try:
        if is_worker:
            return await workers.open_listeners(host, listen.port, BACKLOG)
        return await trio.open_tcp_listeners(listen.port, host=host, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise cannot_listen(listen.host, listen.port, error) from error


@contextlib.contextmanager
def unix_socket(path: Path, mode: int, key: str = "unix in [[listen]]") -> Iterator[socket.socket]:
    """Listen on a unix socket with this mode. Removes it at the end, unless it is another's.

    `key` is what configures it.

    Raises:
        AddressUnavailable: that is not possible now.
        ConfigError: that is not possible at all.
    """
    try:
        _remove_stale(path)
        with contextlib.ExitStack() as stack:
            bound = stack.enter_context(socket.socket(socket.AF_UNIX))
            mask = os.umask(0o177)  # until it has its mode, it is for nobody else
            try:
                bound.bind(str(path))
            finally:
                os.umask(mask)
            path.chmod(mode)
            made = path.stat().st_ino
            bound.listen(BACKLOG)
            stack.pop_all()
    except OSError as error:
        raise _cannot_listen(path, error, key) from error
    try:
        yield bound
    finally:
        with contextlib.suppress(OSError):
            if path.stat().st_ino == made:
                path.unlink()


def _remove_stale(path: Path) -> None:
    """Remove a socket that a server has left when it was killed. Raises OSError."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "there is a file that is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(KNOCK)
        try:
            knocking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise OSError(errno.EADDRINUSE, "a server is running there already")


def _cannot_listen(path: Path, error: OSError, key: str) -> AddressUnavailable | ConfigError:
    what = f"can't listen on {path}: {error.strerror or error}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EEXIST, errno.ENOTDIR):
        return ConfigError(
            f"{what}: {key} needs a directory that exists and in which this user can "
            "write, as /run/gochat with RuntimeDirectory=gochat in the service"
        )
    return AddressUnavailable(what)
