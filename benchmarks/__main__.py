"""Broadcast: one person speaks in #lobby, everybody else hears it. ``make bench``.

Runs the installed ``gochat serve`` in a process of its own, with its store on disk, and all the
connections in this one, which does nothing but read: so the two share the machine's cores, and
what is measured holds for both ends together. ``--people 1000 --rate 10 --seconds 10`` are the
defaults, then as fast as it goes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gochat.protocol.codec import decode_server_message, encode
from gochat.protocol.framing import FrameDecoder
from gochat.protocol.messages import (
    Error,
    LoggedIn,
    Login,
    Payload,
    Register,
    Registered,
    Send,
    ServerMessage,
)

PASSWORD = "correct horse"
#: What is being measured is not the hashing of passwords, nor the limits.
FLAGS = {
    "argon2_memory": 8,
    "argon2_time": 1,
    "anonymous_max": 1_000_000,
    "connections_per_address": 1_000_000,
    "registrations": 1_000_000,
    "burst": 1_000_000,
    "per_second": 1_000_000,
    "mailbox_frames": 100_000,
    "mailbox_bytes": 256 * 1024**2,
}
#: The time at which a message was sent, in its text, in nanoseconds of the monotonic clock.
STAMP = re.compile(rb"at (\d+) ns")
PATIENCE = 120.0


class Result(NamedTuple):
    """What was measured; times in milliseconds."""

    people: int
    messages: int
    seconds: float
    per_second: float
    median: float
    p99: float
    longest: float

    def __str__(self) -> str:
        return (
            f"{self.people:7,} people {self.messages:7,} messages {self.seconds:7.2f} s"
            f"{self.per_second:12,.0f} deliveries/s   median {self.median:8.2f} ms"
            f"   p99 {self.p99:8.2f} ms   longest {self.longest:8.2f} ms"
        )


class Connection:
    """A blocking connection that speaks bare frames."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = FrameDecoder()

    def ask(self, request: Payload, answer: type[ServerMessage]) -> None:
        """Send a request and wait for its reply; drop the events before it."""
        self.socket.sendall(encode(request))
        while True:
            while (body := self._decoder.next_frame()) is not None:
                message = decode_server_message(body)
                assert not isinstance(message, Error), message
                if isinstance(message, answer):
                    return
            data = self.socket.recv(1 << 16)
            assert data, "the server has closed the connection"
            self._decoder.receive_data(data)


@contextmanager
def server() -> Iterator[int]:
    """Run a server with its store on disk; the value is its port."""
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory) / "bench.db"
        command = [sys.executable, "-m", "gochat", "serve", "--port", "0", "--log-format", "json"]
        command += ["--store", f"sqlite:///{store}"]
        for name, value in FLAGS.items():
            command += ["--set", f"limits.{name}={value}"]
        log = Path(directory) / "server.log"  # a pipe that nobody reads would stop the server
        with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
            try:
                yield _port(log)
            finally:
                process.send_signal(signal.SIGTERM)


def _port(log: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if '"listening"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.05)
    raise TimeoutError(f"the server does not listen: {log.read_text()}")


def connect(port: int, people: int) -> list[Connection]:
    """Register and log in as many people."""
    connections = []
    for number in range(people):
        connection = Connection(port)
        name = f"person{number}"
        connection.ask(Register(name=name, password=PASSWORD), Registered)
        connection.ask(Login(name=name, password=PASSWORD), LoggedIn)
        connections.append(connection)
    return connections


def broadcast(
    speaker: Connection, listeners: list[Connection], messages: int, rate: float
) -> Result:
    """Say `messages` things, `rate` a second (0: without pause); wait until all have heard all."""
    selector = selectors.DefaultSelector()
    for listener in listeners:
        listener.socket.settimeout(0)
        selector.register(listener.socket, selectors.EVENT_READ)
    rests: dict[int, bytes] = {}
    waits: list[int] = []
    expected = messages * len(listeners)
    begun = time.monotonic_ns()
    sent = 0
    while len(waits) < expected:
        now = time.monotonic_ns()
        assert now - begun < PATIENCE * 1e9, f"{expected - len(waits)} were not delivered"
        while sent < messages and (not rate or now >= begun + sent / rate * 1e9):
            number = min(100, messages - sent) if not rate else 1
            text = f"at {time.monotonic_ns()} ns"
            speaker.socket.sendall(encode(Send(to="#lobby", text=text)) * number)
            sent += number
        for key, _ in selector.select(0.001 if sent < messages else 1.0):
            data = rests.pop(key.fd, b"") + key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
            heard = time.monotonic_ns()
            last = 0
            for stamp in STAMP.finditer(data):
                waits.append(heard - int(stamp[1]))
                last = stamp.end()
            # A stamp can be cut in two; only its beginning has to be kept.
            rests[key.fd] = data[max(last, len(data) - 32) :]
    seconds = (time.monotonic_ns() - begun) / 1e9
    selector.close()
    for listener in listeners:
        listener.socket.settimeout(PATIENCE)
    quantiles = statistics.quantiles(waits, n=100)
    return Result(
        people=len(listeners),
        messages=messages,
        seconds=seconds,
        per_second=expected / seconds,
        median=quantiles[49] / 1e6,
        p99=quantiles[98] / 1e6,
        longest=max(waits) / 1e6,
    )


def main() -> None:
    """Measure paced and flat out, and print both."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=10.0, help="messages per second")
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    if sys.platform != "win32":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores")
    with server() as port:
        begun = time.monotonic()
        speaker, *listeners = connect(port, args.people + 1)
        print(f"{args.people + 1:,} registered and logged in: {time.monotonic() - begun:.1f} s")
        paced = broadcast(speaker, listeners, round(args.rate * args.seconds), args.rate)
        print(f"paced     {paced}")
        print(f"flat out  {broadcast(speaker, listeners, 2000, 0)}")


if __name__ == "__main__":
    main()
