"""Several server processes on the same ports and one store, and their supervisor.

Each worker is a whole server, with its own listener on each address (``SO_REUSEPORT``); the kernel
distributes the connections. A unix socket, and one from systemd, can only be opened once: the
supervisor hands it to all workers, and whichever is idle accepts. To each other they are nodes like
those on different machines. The supervisor serves no connections: it starts the workers, restarts
any that dies, and passes on the signal to stop.

A worker is the child's side of :mod:`gochat.cli.companion`: it holds the end of a pipe, and stops
when the supervisor is gone, however that ended. It reports that it is ready with a line on its
standard output.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from typing import Final

import structlog
import trio

from gochat.config import Config
from gochat.errors import ConfigError
from gochat.server.listener import cannot_listen
from gochat.server.systemd import SILENT, Notifier, handing_over

log = structlog.stdlib.get_logger()

#: Environment variable with a worker's number.
VARIABLE: Final = "GOCHAT_WORKER"
#: What a worker writes once it accepts connections.
READY: Final = b"ready\n"

#: Seconds until a worker that died is restarted: doubled each time, up to the second figure, and
#: reset for one that has lived for the third.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
GOOD_LIFE: Final = 60.0
#: Seconds beyond `drain_timeout` that a worker has to end.
GRACE: Final = 5.0


def number() -> int | None:
    """Return this worker's number, from 1; None in a server that is not a worker."""
    text = os.environ.get(VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() else None


def check(config: Config) -> None:
    """Raise :exc:`~gochat.errors.ConfigError` if this server can't have several processes."""
    if config.store_url.startswith("sqlite:"):
        raise ConfigError(
            "a SQLite file serves one process: leave --workers out, or keep everything in Redis "
            "with --store redis://… (gochat db copy moves what you have)"
        )
    if config.key_file:
        raise ConfigError("key_file is for a server of one process: leave it out, or --workers")
    if any(not (listen.unix or listen.systemd or listen.port) for listen in config.listen):
        raise ConfigError(
            "workers can't share port 0 of a [[listen]], for which each would get another one: "
            "choose a port, or leave --workers out"
        )
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("this system can't share a port between processes: leave --workers out")


def reserve_port(host: str, port: int) -> tuple[socket.socket, int]:
    """Return a socket that reserves a port for the workers, and the port's number.

    It accepts no connections, because it does not listen. `host` and `port` are as configured.
    Raises the errors of :func:`.listener.cannot_listen`.
    """
    wanted = port
    try:
        addresses = socket.getaddrinfo(
            None if host == "*" else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        reserved = None
        for family, kind, protocol, _, address in addresses:
            try:
                # With SO_REUSEPORT this would succeed beside another server's workers, too, and
                # each server would get some of the connections.
                with socket.socket(family, kind, protocol) as probe:
                    _prepare(probe, family, shares=False)
                    probe.bind(address)
                if reserved is None:
                    reserved = socket.socket(family, kind, protocol)
                    _prepare(reserved, family)
                    reserved.bind(address)
                    port = reserved.getsockname()[1]
            except BaseException as error:
                if _is_unsupported(error):
                    continue
                if reserved is not None:
                    reserved.close()
                raise
        if reserved is None:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    except (OSError, UnicodeError) as error:
        raise cannot_listen(host, wanted, error) from error
    return reserved, port


async def open_listeners(host: str | None, port: int, backlog: int) -> list[trio.SocketListener]:
    """Listen on an address that other workers listen on, too. Raises OSError."""
    listeners = []
    try:
        for family, kind, protocol, _, address in await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            try:
                listener = trio.socket.socket(family, kind, protocol)
            except OSError as error:
                if _is_unsupported(error):
                    continue
                raise
            try:
                _prepare(listener, family)
                await listener.bind(address)
                listener.listen(backlog)
            except BaseException:
                listener.close()
                raise
            listeners.append(trio.SocketListener(listener))
        if not listeners:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    except BaseException:
        for opened in listeners:
            opened.socket.close()
        raise
    return listeners


def _prepare(
    listener: socket.socket | trio.socket.SocketType, family: int, *, shares: bool = True
) -> None:
    """Set options of a socket for listening; if it shares, together with others of this user."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shares:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _is_unsupported(error: BaseException) -> bool:
    """Return True if an address is of a family that this machine lacks, as often IPv6."""
    return isinstance(error, OSError) and error.errno == errno.EAFNOSUPPORT


async def supervise(
    command: Sequence[str],
    count: int,
    *,
    stop: trio.Event,
    reloads: trio.MemoryReceiveChannel[None],
    drain_timeout: float,
    final_code: int,
    notifier: Notifier = SILENT,
    sockets: Sequence[tuple[str, socket.socket]] = (),
) -> int:
    """Run `count` workers until `stop` is set; then make them drain. Return the exit code.

    `command` runs one worker, which gets the `sockets` with their names. Each item received from
    `reloads` is passed on to all. The first worker is started alone: if it does not become ready,
    no other would, and its exit code is returned; it has logged why. A worker that ends with
    `final_code` ends all, because restarting it does not help. If cancelled, the workers are
    killed.
    """
    supervisor = _Supervisor(command, drain_timeout, final_code, notifier, sockets)
    async with trio.open_nursery() as nursery:
        for worker in range(1, count + 1):
            nursery.start_soon(supervisor.keep, worker)
        async with trio.open_nursery() as serving:
            serving.start_soon(supervisor.pass_on, reloads)
            serving.start_soon(notifier.keep_watchdog)
            await supervisor.wait_for_stop(stop)
            serving.cancel_scope.cancel()
        notifier.stopping()
        supervisor.stop()
    log.info("stopped")
    return supervisor.exit_code


class _Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        drain_timeout: float,
        final_code: int,
        notifier: Notifier,
        sockets: Sequence[tuple[str, socket.socket]],
    ) -> None:
        self._notifier = notifier
        self._sockets = sockets
        self._command = command
        self._final_code = final_code
        self._drain_timeout = drain_timeout
        self._workers: dict[int, trio.Process] = {}
        #: Those that handle signals; before that, SIGHUP would end them.
        self._ready: dict[int, trio.Process] = {}
        self._reloads = 0
        #: One has been ready, so the configuration works.
        self._is_proven = False
        self._go_on = trio.Event()  # proven, or stopping
        self._stopping = trio.Event()
        self._failed = trio.Event()
        self.exit_code = 0

    async def wait_for_stop(self, stop: trio.Event) -> None:
        """Wait until `stop` is set or a worker has failed for good."""
        async with trio.open_nursery() as nursery:
            for event in (stop, self._failed):

                async def wait(event: trio.Event = event) -> None:
                    await event.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(wait)

    async def pass_on(self, reloads: trio.MemoryReceiveChannel[None]) -> None:
        """Make all workers reload for each item received."""
        async for _ in reloads:
            self._reloads += 1
            log.info("reloading", workers=len(self._ready))
            self._notifier.reloading()
            for process in self._ready.values():
                process.send_signal(signal.SIGHUP)
            self._notifier.ready(f"serving with {len(self._ready)} workers")

    def stop(self) -> None:
        """Make all workers drain and end."""
        self._stopping.set()
        self._go_on.set()
        if self._workers:
            log.info("stopping", workers=len(self._workers))
        for process in self._workers.values():
            process.terminate()

    async def keep(self, worker: int) -> None:
        """Run one worker, restarting it, until stopping."""
        if worker > 1:
            await self._go_on.wait()
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = trio.current_time()
            was_ready, code = await self._run(worker)
            if code == self._final_code:
                log.critical("worker failed permanently", worker=worker, code=code)
                self.exit_code = code
                self._failed.set()
                return
            if self._stopping.is_set():
                if was_ready and code != 0:
                    log.warning("worker exited abnormally", worker=worker, code=code)
                return
            if not self._is_proven:
                self.exit_code = code if code > 0 else 1
                self._failed.set()
                return
            if trio.current_time() - began >= GOOD_LIFE:
                pause = FIRST_PAUSE
            log.error("worker died", worker=worker, code=code, again_in=pause)
            with trio.move_on_after(pause):
                await self._stopping.wait()
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run(self, worker: int) -> tuple[bool, int]:
        """Run one worker to its end; return whether it was ready, and its exit code."""
        try:
            process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, VARIABLE: str(worker), **handing_over(self._sockets)},
                pass_fds=[sock.fileno() for _, sock in self._sockets],
                # Ctrl+C in a terminal goes to all of its processes; the supervisor signals the
                # workers.
                start_new_session=True,
            )
        except OSError as error:  # no memory or descriptors: no reason to end the others
            log.error("worker start failed", worker=worker, reason=error.strerror)
            return False, 1
        assert process.stdin is not None
        assert process.stdout is not None
        is_ready, reloads = False, self._reloads
        self._workers[worker] = process
        try:
            async with process.stdin, process.stdout, trio.open_nursery() as nursery:
                nursery.start_soon(self._kill_if_it_stays, worker, process)
                if self._stopping.is_set():  # stopped while it was starting
                    process.terminate()
                is_ready = await _read_line(process.stdout) == READY
                if is_ready:
                    log.info("worker ready", worker=worker, pid=process.pid)
                    self._ready[worker] = process
                    if self._reloads > reloads:  # it may have read the certificate before
                        process.send_signal(signal.SIGHUP)
                    self._is_proven = True
                    self._notifier.ready(f"serving with {len(self._ready)} workers")
                    self._go_on.set()
                await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                process.kill()
            del self._workers[worker]
            self._ready.pop(worker, None)
        return is_ready, await process.wait()

    async def _kill_if_it_stays(self, worker: int, process: trio.Process) -> None:
        """While stopping, kill a worker that takes too long."""
        await self._stopping.wait()
        await trio.sleep(self._drain_timeout + GRACE)
        log.error("worker killed", worker=worker, pid=process.pid)
        process.kill()


async def _read_line(stream: trio.abc.ReceiveStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = await stream.receive_some(1)
        if not data:
            break
        line += bytes(data)
    return line
