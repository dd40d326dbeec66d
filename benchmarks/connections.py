"""Connections that say nothing, people who all come at once, and readers who don't read."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import servers
from benchmarks.audience import TIMEOUT, WAVE, Audience
from benchmarks.report import Report, Row, quantile
from benchmarks.servers import Gochat, wait_for
from gochat.protocol.codec import encode
from gochat.protocol.messages import LoggedIn, Message, Resume, Send, Sent


def idle(report: Report, directory: Path, sizes: list[int], whispers: int) -> None:
    """How much memory a logged-in connection holds that says nothing, how fast they come, and
    whether two people who say so many things to each other notice them."""
    rows: list[Row] = []
    for is_tls in (False, True):
        for size in sizes:
            where = directory / f"idle-{size}-{is_tls}"
            with (
                servers.gochat(where, tls=is_tls) as server,
                # A server that starts threads, caches and a pool has done so after the first.
                contextlib.closing(Audience(server, WAVE, speakers=2)) as audience,
            ):
                alone = _whisper(audience.speakers, whispers)
                before, cpu, begun = server.memory, server.cpu_exactly, time.perf_counter()
                audience.admit(size)
                seconds = time.perf_counter() - begun
                audience.drop(1)  # presence is told, buffers are given back
                held = server.memory - before
                spent = server.cpu_exactly - cpu
                among = _whisper(audience.speakers, whispers)
                rows.append(
                    {
                        "connections": size,
                        "kind": "TLS" if is_tls else "plain",
                        "KiB each": held / size,
                        "registered and logged in a second": size / seconds,
                        "CPU ms each": spent / size * 1e3,
                        "private p50 ms": quantile(among, 0.5) * 1e3,
                        "private p99 ms": quantile(among, 0.99) * 1e3,
                        "p99 without them": quantile(alone, 0.99) * 1e3,
                    }
                )
    report.table("Idle connections", rows)


def _whisper(pair: list[socket.socket], times: int) -> list[float]:
    """Have the first say things to the second; return how long each took to be heard."""
    first, second = pair
    for connection in pair:
        connection.settimeout(TIMEOUT)
    delays = []
    for number in range(times):
        begun = time.perf_counter()
        first.sendall(encode(Send(to="@speaker1", text=f"whisper {number}")))
        wait_for(second, Message)
        delays.append(time.perf_counter() - begun)
        wait_for(first, Sent)
    for connection in pair:
        connection.settimeout(0)
    return delays


def arrivals(report: Report, directory: Path, people: int) -> None:
    """Everybody comes back at once with a token; with presence, and for comparison without."""
    rows: list[Row] = []
    for name, interval in (("told once a minute", 60.0), ("told every 0.1 s", 0.1)):
        where = directory / f"arrivals-{interval}"
        with servers.gochat(where, presence_interval=interval) as server:
            with contextlib.ExitStack() as stack:
                tokens = [one.token for one in _enter(server, "person", people, stack)]
            _wait_until_quiet(server)
            with contextlib.ExitStack() as stack:
                cpu, begun = server.cpu_exactly, time.perf_counter()
                connections = []
                for token in tokens:
                    connection = stack.enter_context(server.connect())
                    connection.sendall(encode(Resume(token=token)))
                    connections.append(connection)
                for connection in connections:
                    wait_for(connection, LoggedIn)
                seconds = time.perf_counter() - begun
                time.sleep(0.3)  # the last ones are told
                rows.append(
                    {
                        "people": people,
                        "presence": name,
                        "all are back after s": seconds,
                        "CPU s": server.cpu_exactly - cpu,
                    }
                )
    without, with_ = (row["CPU s"] for row in rows)
    assert isinstance(without, float)
    assert isinstance(with_, float)
    rows.append({"people": people, "presence": "what telling costs", "CPU s": with_ - without})
    report.table("Reconnect storm, and what presence costs in it", rows)


def slow_readers(
    report: Report, directory: Path, receivers: int, messages: int, rounds: int
) -> None:
    """One who stops reading and one who reads a byte a second, and what the others notice."""
    rows: list[Row] = []
    with servers.gochat(directory / "slow") as server:
        audience = Audience(server, receivers)
        audience.broadcast(messages // 4, in_flight=64)
        for number in range(rounds):
            for is_slow in (False, True):
                with _slow_readers(server, f"slow{number}") if is_slow else _nobody() as slow:
                    audience.drop(0.3)  # who came and who left
                    found = audience.broadcast(messages, in_flight=64)
                    rows.append(
                        {
                            "readers": "one stopped, one at 1 byte/s" if is_slow else "all read",
                            "k deliveries/s": found.deliveries / found.seconds / 1e3,
                            "p50 ms": quantile(found.latencies, 0.5) * 1e3,
                            "p99 ms": quantile(found.latencies, 0.99) * 1e3,
                            "memory MiB": server.memory / 1024,
                            "were cut": sum(map(_is_cut, slow)),
                        }
                    )
                audience.drop(0.3)
        audience.close()
    report.table(f"Slow readers among {receivers:,}, {messages:,} messages", rows)


@contextmanager
def _slow_readers(server: Gochat, name: str) -> Iterator[list[socket.socket]]:
    stopped, slow = (_with_small_buffer(server, f"{name}{which}") for which in "ab")
    has_ended = threading.Event()

    def sip() -> None:
        while not has_ended.wait(1.0):
            with contextlib.suppress(OSError):
                slow.recv(1)

    sipper = threading.Thread(target=sip)
    sipper.start()
    try:
        yield [stopped, slow]
    finally:
        has_ended.set()
        sipper.join()
        stopped.close()
        slow.close()


@contextmanager
def _nobody() -> Iterator[list[socket.socket]]:
    yield []


def _with_small_buffer(server: Gochat, name: str) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(server.greeting(name))
    wait_for(connection, LoggedIn)
    return connection


def _is_cut(connection: socket.socket) -> bool:
    """True if the server has ended it: then a write to it is refused, at the latest the second."""
    try:
        connection.sendall(b"\0\0\0\1{")
        time.sleep(0.1)
        connection.sendall(b"\0\0\0\1{")
    except OSError:
        return True
    return False


def _enter(server: Gochat, name: str, count: int, stack: contextlib.ExitStack) -> list[LoggedIn]:
    replies = []
    for first in range(0, count, WAVE):
        names = [f"{name}{number}" for number in range(first, min(count, first + WAVE))]
        wave = [stack.enter_context(server.connect()) for _ in names]
        for connection, who in zip(wave, names, strict=True):
            connection.sendall(server.greeting(who))
        for connection in wave:
            reply = wait_for(connection, LoggedIn)
            assert isinstance(reply, LoggedIn)
            replies.append(reply)
    return replies


def _wait_until_quiet(server: Gochat) -> None:
    before = -1.0
    while server.cpu_exactly - before > 0.05:
        before = server.cpu_exactly
        time.sleep(0.5)
