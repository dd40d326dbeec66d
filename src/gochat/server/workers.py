"""Several server processes on one port and one store, and who looks after them.

Each worker is a whole server, with its own listener on the same address (``SO_REUSEPORT``), among
which the kernel spreads the connections. To each other they are nodes like those on different
machines. The supervisor serves nobody: it starts the workers, starts again one that dies, and hands
on the order to stop.

A worker is the child's side of :mod:`gochat.cli.companion`: it holds the end of a pipe, and stops
when the supervisor is gone, however that ended. It says that it is ready with a line on its
standard output.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Sequence
from typing import Final

import structlog
import trio

from gochat.config import Config
from gochat.errors import ConfigError

log = structlog.stdlib.get_logger()

#: Tells a worker its number.
VARIABLE: Final = "GOCHAT_WORKER"
#: What it writes when it serves.
READY: Final = b"ready\n"

#: Seconds until a worker that died is started again: doubled each time, up to the second figure,
#: and as at first for one that has lived for the third.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
GOOD_LIFE: Final = 60.0
#: Seconds beyond `drain_timeout` that a worker has to end.
GRACE: Final = 5.0


def number() -> int | None:
    """Return this worker's number, from 1; None in a server that is no worker."""
    text = os.environ.get(VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() else None


def check(config: Config) -> None:
    """Raise :exc:`~gochat.errors.ConfigError` if this server can't have several processes."""
    if config.store_url.startswith("sqlite:"):
        raise ConfigError(
            "a SQLite file serves one process: leave --workers out, or keep everything in Redis "
            "with --store redis://… (gochat db copy moves what you have)"
        )
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("this system can't share a port between processes: leave --workers out")


def reserve_port(config: Config) -> tuple[socket.socket, int]:
    """Return a socket that keeps the port for the workers, and which port that is.

    Nothing connects to it, for it does not listen. Raises :exc:`~gochat.errors.ConfigError`.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        reserved = socket.socket(family, kind, protocol)
        try:
            _share(reserved)
            reserved.bind(address)
        except BaseException:
            reserved.close()
            raise
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        raise ConfigError(
            f"can't listen on {config.host}:{config.port}: {error.strerror or error}"
            + (": is a server running there already? Choose another --port" if in_use else "")
        ) from error
    return reserved, reserved.getsockname()[1]


async def open_listeners(host: str, port: int, backlog: int) -> list[trio.SocketListener]:
    """Listen where other workers listen, too. Raises OSError."""
    listeners = []
    try:
        for family, kind, protocol, _, address in await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            listener = trio.socket.socket(family, kind, protocol)
            try:
                _share(listener)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                await listener.bind(address)
                listener.listen(backlog)
            except BaseException:
                listener.close()
                raise
            listeners.append(trio.SocketListener(listener))
    except BaseException:
        for one in listeners:
            one.socket.close()
        raise
    return listeners


def _share(listener: socket.socket | trio.socket.SocketType) -> None:
    """Let other processes of this user listen on the same address."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


async def supervise(
    command: Sequence[str], count: int, *, stop: trio.Event, drain_timeout: float
) -> int:
    """Run `count` workers until `stop` is set; then have them drain. Return the exit code.

    `command` runs one. Where one does not even come up the first time, none will: then all are
    stopped, and its exit code returned; it has said why. When cancelled, they are killed.
    """
    supervisor = _Supervisor(command, drain_timeout)
    async with trio.open_nursery() as nursery:
        for worker in range(1, count + 1):
            nursery.start_soon(supervisor.keep, worker)
        await supervisor.wait_for_stop(stop)
        supervisor.stop()
    return supervisor.exit_code


class _Supervisor:
    def __init__(self, command: Sequence[str], drain_timeout: float) -> None:
        self._command = command
        self._drain_timeout = drain_timeout
        self._workers: dict[int, trio.Process] = {}
        self._stopping = trio.Event()
        self._failed = trio.Event()
        self.exit_code = 0

    async def wait_for_stop(self, stop: trio.Event) -> None:
        """Wait until it is time to end, for whatever reason."""
        async with trio.open_nursery() as nursery:
            for event in (stop, self._failed):

                async def wait(event: trio.Event = event) -> None:
                    await event.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(wait)

    def stop(self) -> None:
        """Have all workers drain and end."""
        self._stopping.set()
        log.info("stopping", workers=len(self._workers))
        for process in self._workers.values():
            process.terminate()

    async def keep(self, worker: int) -> None:
        """Have one worker run, again and again, until it is time to end."""
        pause = FIRST_PAUSE
        was_ready = False
        while not self._stopping.is_set():
            began = trio.current_time()
            is_ready, code = await self._run(worker)
            was_ready = was_ready or is_ready
            if self._stopping.is_set():
                if code != 0:
                    log.warning("worker did not end well", worker=worker, code=code)
                return
            if not was_ready:
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
        process = await trio.lowlevel.open_process(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, VARIABLE: str(worker)},
            # Ctrl+C in a terminal is for all processes there; the workers are told by us.
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._workers[worker] = process
        try:
            async with process.stdin, process.stdout:
                is_ready = await _read_line(process.stdout) == READY
                if is_ready:
                    log.info("worker ready", worker=worker, pid=process.pid)
                await self._wait_for(process)
        finally:
            if process.returncode is None:
                process.kill()
            del self._workers[worker]
        return is_ready, await process.wait()

    async def _wait_for(self, process: trio.Process) -> None:
        """Wait until it has ended; but when all are to end, not for ever."""
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                await process.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            await self._stopping.wait()
            await trio.sleep(self._drain_timeout + GRACE)
            log.error("worker does not end: killed", pid=process.pid)
            process.kill()


async def _read_line(stream: trio.abc.ReceiveStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = await stream.receive_some(1)
        if not data:
            break
        line += bytes(data)
    return line
