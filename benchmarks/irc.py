"""Other people's servers, which gochat is compared with: IRC servers, run without their limits."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.servers import PATIENCE, Server, Talking, free_port, wait


class Irc(Talking):
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
        self.fill_room("#lobby", [connection])

    def say(self, number: int, text: str) -> bytes:
        return f"{self.template('#lobby', text)}\r\n".encode()

    def template(self, to: str, text: str) -> str:
        return f"PRIVMSG {to.removeprefix('@')} :{text}"

    def fill_room(self, room: str, members: Sequence[socket.socket]) -> None:
        for member in members:
            member.sendall(f"JOIN {room}\r\n".encode())
        for member in members:
            heard = b""
            while b" 366 " not in heard:
                heard = heard[-32:] + (piece := member.recv(1 << 20))
                assert piece, heard


@contextmanager
def ngircd(directory: Path) -> Iterator[Irc]:
    """Run ngircd without its limits."""
    port = free_port()
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
    port = free_port()
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
def ergo(directory: Path) -> Iterator[Irc]:
    """Run ergo without its limits, with its history in memory, as by default."""
    port = free_port()
    configuration = f"""
network:
  name: Benchmark
server:
  name: irc.example.net
  listeners:
    "127.0.0.1:{port}": {{}}
  casemapping: ascii
  lookup-hostnames: false
  check-ident: false
  max-sendq: 100M
  ip-limits:
    count: false
    throttle: false
  ip-cloaking:
    enabled: true
    netname: irc
    num-bits: 64
accounts:
  authentication-enabled: false
channels:
  default-modes: +nt
  max-channels-per-client: 100
datastore:
  path: "{directory}/ergo.db"
languages:
  enabled: false
limits:
  nicklen: 32
  identlen: 20
  realnamelen: 150
  channellen: 64
  awaylen: 390
  kicklen: 390
  topiclen: 390
  monitor-entries: 100
  whowas-entries: 100
  chan-list-modes: 100
  registration-messages: 1024
fakelag:
  enabled: false
history:
  enabled: true
  channel-length: 2048
  client-length: 256
  autoresize-window: 3d
logging:
  - method: stderr
    type: "*"
    level: error
"""
    arguments = ["run", "--conf"]
    with _irc(directory, "ergo", configuration, arguments, port, ["initdb", "--conf"]) as server:
        server.has_one_order = False
        yield server


@contextmanager
def _irc(
    directory: Path,
    program: str,
    configuration: str,
    arguments: list[str],
    port: int,
    first: Sequence[str] = (),
) -> Iterator[Irc]:
    """Run a program with its configuration; before that, if given, with the arguments `first`."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{program}.conf"
    file.write_text(configuration)
    path = str(_path(program))
    log = (directory / f"{program}.log").open("wb")
    if first:
        subprocess.run([path, *first, str(file)], check=True, stdout=log, stderr=log)
    command = [path, *arguments, str(file)]
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        server = Irc(process, port)
        server.name = program
        try:
            _wait_until_listening(server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            wait(process)


PEERS: Final = (ergo, ngircd, inspircd)


def installed() -> list[Callable[[Path], AbstractContextManager[Irc]]]:
    """Those of which the program is on PATH, or where Debian keeps servers."""
    return [start for start in PEERS if _path(start.__name__) is not None]


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
