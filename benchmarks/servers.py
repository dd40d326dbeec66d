"""What is measured, each in a process of its own: gochat, and what it is compared with.

Each is a :class:`Server` whose processor time and memory can be read, and who knows how to speak
to it: how somebody enters, and what bytes say something there. Other people's servers are in
:mod:`benchmarks.irc`, Redis in :mod:`benchmarks.redis_server`.
"""

from __future__ import annotations

import abc
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from gochat.protocol.codec import encode
from gochat.protocol.connection import Connection, Role
from gochat.protocol.messages import (
    CreateRoom,
    Error,
    Join,
    LoggedIn,
    Login,
    Message,
    Register,
    Send,
    Sent,
    ServerMessage,
)
from gochat.protocol.states import State

PASSWORD: Final = "correct horse"
PATIENCE: Final = 60.0
#: What is measured is not the hashing of passwords, nor the limits on single people.
LIMITS: Final[dict[str, object]] = {
    "argon2_memory": 8,
    "argon2_time": 1,
    "anonymous_max": 1_000_000,
    "connections_per_address": 1_000_000,
    "connections_per_account": 1_000_000,
    "hashing_queue": 100_000,
    "registrations": 1_000_000,
    "registrations_per_address": 1_000_000,
    "burst": 1_000_000,
    "per_second": 1_000_000,
    "request_budget": 1_000_000_000,
    "request_budget_per_second": 1_000_000_000,
    "rooms_per_day": 1_000_000,
    "conversations_per_day": 1_000_000,
    "bytes_per_day": 10**15,
}
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Server(abc.ABC):
    """A server that runs; `name` is its column in the tables."""

    name = "?"
    #: Processes besides its first one, which it has started.
    workers: Sequence[int] = ()
    #: What it sends must hold each message once; True if it also says when one is kept.
    acknowledges = False
    has_frames = True
    #: Everybody receives what several people say at once in the same order.
    has_one_order = True

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.tls: ssl.SSLContext | None = None

    @property
    def cpu_exactly(self) -> float:
        """Seconds of processor time that it and all processes of its own have used."""
        return sum(map(_cpu_of_tree, (self.process.pid, *self.workers)))

    @property
    def memory(self) -> float:
        """KiB of memory that it holds."""
        statm = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(statm[1]) * _PAGE / 1024

    def connect(self) -> socket.socket:
        """Open a blocking connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            return self.tls.wrap_socket(connection, server_hostname="localhost")
        return connection

    def enter(self, names: list[str]) -> list[socket.socket]:
        """Connect as these people, all at once, and wait until they are in."""
        connections = [self.connect() for _ in names]
        for name, connection in zip(names, connections, strict=True):
            connection.sendall(self.greeting(name))
        for connection in connections:
            self.wait_until_in(connection)
        return connections

    def greeting(self, name: str) -> bytes:
        """What somebody sends who comes in."""
        return b""

    def wait_until_in(self, connection: socket.socket) -> None:  # noqa: B027 - most need no wait
        """Wait until a connection that has sent its greeting is in."""

    @abc.abstractmethod
    def say(self, number: int, text: str) -> bytes:
        """What is sent to say something to everybody."""


class Talking(Server):
    """A server on which people also talk in rooms, and to each other."""

    @abc.abstractmethod
    def template(self, to: str, text: str) -> str:
        """What is sent to say something to ``#room`` or ``@person``, without what frames it."""

    @abc.abstractmethod
    def fill_room(self, room: str, members: Sequence[socket.socket]) -> None:
        """Make a room with these members, by their blocking connections."""


class Gochat(Talking):
    """This project's server; the installed one, run as anybody runs it."""

    name = "gochat"
    acknowledges = True
    #: The port of its metrics, if there are any.
    monitor = 0

    def greeting(self, name: str) -> bytes:
        login = Login(name=name, password=PASSWORD, caps=("log",))
        return encode(Register(name=name, password=PASSWORD)) + encode(login)

    def wait_until_in(self, connection: socket.socket) -> None:
        wait_for(connection, LoggedIn)

    def say(self, number: int, text: str) -> bytes:
        return encode(Send(to="#lobby", text=text, cid=f"{number:07}"))

    def template(self, to: str, text: str) -> str:
        # Without a cid, as a message is written whose sender does not try again.
        return encode(Send(to=to, text=text))[4:].decode()

    def fill_room(self, room: str, members: Sequence[socket.socket]) -> None:
        first, *others = members
        first.sendall(encode(CreateRoom(room=room, request_id="room")))
        wait_for(first, Sent)
        for member in others:
            member.sendall(encode(Join(room=room, request_id="room")))
        for member in others:
            wait_for(member, Sent)


class BarePath(Gochat):
    """The server of bare_path.py, which speaks as much of gochat's protocol."""

    name = "bare path"
    acknowledges = False


class Floor(Server):
    """The loop of floor.c. It is sent what gochat would send to its receivers, byte for byte."""

    def say(self, number: int, text: str) -> bytes:
        return encode(
            Message(
                to="#lobby",
                epoch="0123456789abcdef",
                seq=number + 1,
                ts=1_700_000_000_000,
                from_="speaker0",
                text=text,
                cid=f"{number:07}",
            )
        )


def cpu_exactly(pid: int) -> float:
    """Return a process's seconds of processor time, also of its threads that have ended, exact to
    the microsecond. Raises OSError: there is no such process."""
    # What clock_getcpuclockid() returns on Linux (linux/posix-timers.h: the scheduler's clock).
    return time.clock_gettime(~pid << 3 | 2)


def _cpu_of_tree(pid: int) -> float:
    """Return the processor time of a process, its children, and those that have ended."""
    used = cpu_exactly(pid)
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used += (int(stat[13]) + int(stat[14])) / os.sysconf("SC_CLK_TCK")
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended, or the child has
            used += sum(map(cpu_exactly, map(int, tasks.read_text().split())))
    return used


def wait_for(connection: socket.socket, answer: type[ServerMessage]) -> ServerMessage:
    """Wait for a reply on a blocking connection; drop the events before it and what follows."""
    protocol = Connection(Role.CLIENT, state=State.UNKNOWN)
    while True:
        data = connection.recv(1 << 16)
        assert data, "the server has closed the connection"
        protocol.receive_data(data)
        while (message := protocol.next_message()) is not None:
            assert not isinstance(message, Error), message
            if isinstance(message, answer):
                return message


@contextmanager
def gochat(
    directory: Path,
    *,
    store: str | None = None,
    tls: bool = False,
    monitored: bool = False,
    workers: int = 1,
    **limits: object,
) -> Iterator[Gochat]:
    """Run gochat with its store on disk in `directory`, or at a URL; `monitored` with metrics."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "gochat", "serve", "--port", "0", "--log-format", "json"]
    command += ["--store", store or f"sqlite:///{directory / 'bench.db'}"]
    for name, value in (LIMITS | limits).items():
        command += ["--set", f"limits.{name}={value}"]
    monitor = _free_port() if monitored else 0
    command += ["--set", f"metrics.port={monitor}", "--workers", str(workers)]
    certificate, key = _certificate(directory) if tls else (None, None)
    if tls:
        command += ["--tls-cert", str(certificate), "--tls-key", str(key)]
    log = directory / "server.log"  # a pipe that nobody reads would stop the server
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            server = Gochat(process, int(_logged(log, process, '"listening"')["port"]))
            server.monitor = monitor
            if workers > 1:
                ready = [_logged(log, process, '"worker ready"', n) for n in range(workers)]
                server.workers = [int(line["pid"]) for line in ready]
            if tls:
                server.tls = ssl.create_default_context(cafile=certificate)
                server.tls.check_hostname = False
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            wait(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _logged(
    log: Path, process: subprocess.Popen[bytes], event: str, before: int = 0
) -> dict[str, Any]:
    """Wait for a line of the log, with `before` of its kind before it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        lines = [line for line in log.read_text().splitlines() if event in line]
        if len(lines) > before:
            found: dict[str, Any] = json.loads(lines[before])
            return found
        time.sleep(0.02)
    raise TimeoutError(f"the server does not get ready: {log.read_text()}")


def _certificate(directory: Path) -> tuple[Path, Path]:
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key = directory / "chain.pem", directory / "key.pem"
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    certificate.write_bytes(chain + authority.cert_pem.bytes())
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key


@contextmanager
def floor(directory: Path, mode: str = "all") -> Iterator[Floor]:
    """Compile floor.c and run it."""
    directory.mkdir(parents=True, exist_ok=True)
    with _until_input_ends([str(compiled("floor", directory)), mode]) as process:
        server = Floor(process, _printed_port(process))
        server.name = "floor" if mode == "all" else "floor, frame by frame"
        yield server


@contextmanager
def bare_path(directory: Path) -> Iterator[BarePath]:
    """Run the bare path with its file in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.bare_path", str(directory / "bare.db")]
    with _until_input_ends(command) as process:
        yield BarePath(process, _printed_port(process))


def compiled(name: str, directory: Path) -> Path:
    """Compile a program of this directory; return where it is.

    Raises:
        CalledProcessError: it can't be compiled.
        OSError: there is no C compiler ``cc``.
    """
    program = directory / name
    if not program.exists():
        source = Path(__file__).with_name(f"{name}.c")
        subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
    return program


@contextmanager
def _until_input_ends(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    pipe, root = subprocess.PIPE, Path(__file__).parent.parent
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=root) as process:
        assert process.stdin is not None
        try:
            yield process
        finally:
            process.stdin.close()
            wait(process)


def _printed_port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the server has ended instead of listening"
    return int(line)


def wait(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process that was asked to end has done so; kill it after 15 s."""
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()


def free_port() -> int:
    """Return a port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
