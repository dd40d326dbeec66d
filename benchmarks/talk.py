"""Talk in small circles: private messages, many rooms, and chat beside people who log in."""

from __future__ import annotations

import contextlib
import random
import re
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import servers
from benchmarks.audience import TIMEOUT, Audience, NotDelivered
from benchmarks.report import Report, Row, quantile
from benchmarks.servers import PASSWORD, Gochat, wait_for
from gochat.protocol.codec import encode
from gochat.protocol.messages import CreateRoom, Join, LoggedIn, Login, Send, Sent

IN_FLIGHT = 64
#: The number is at the end of a text, so that what is cut off by a read is found with the next.
_NUMBER = re.compile(rb"message (\d{7})!")
_LONGEST = len(b"message 0000000!") - 1


class Said(NamedTuple):
    """A message to be said by one, and heard by so many."""

    speaker: int
    to: str
    hearers: int


def private(report: Report, directory: Path, people: int, messages: int) -> None:
    """Everybody writes to somebody."""
    with servers.gochat(directory / "private") as server:
        crowd = _enter(server, people)
        chance = random.Random(0)
        plan = []
        for _ in range(messages):
            speaker, hearer = chance.sample(range(people), 2)
            plan.append(Said(speaker, f"@person{hearer}", 1))
        row = _exchange(server, crowd, plan)
    report.table(f"Private messages among {people:,}", [row])


def rooms(report: Report, directory: Path, count: int, size: int, messages: int) -> None:
    """So many rooms of so many people, each of whom is in ten."""
    people = max(size, count * size // 10)
    with servers.gochat(directory / "rooms") as server:
        crowd = _enter(server, people)
        chance = random.Random(0)
        members = [chance.sample(range(people), size) for _ in range(count)]
        for number, (first, *others) in enumerate(members):
            crowd[first].sendall(encode(CreateRoom(room=f"#room{number}", request_id="1")))
            wait_for(crowd[first], Sent)
            for other in others:
                crowd[other].sendall(encode(Join(room=f"#room{number}", request_id="1")))
            for other in others:
                wait_for(crowd[other], Sent)
        numbers = [chance.randrange(count) for _ in range(messages)]
        plan = [Said(chance.choice(members[n]), f"#room{n}", size - 1) for n in numbers]
        row = _exchange(server, crowd, plan)
    report.table(f"{count:,} rooms of {size}", [row])


def logins(report: Report, directory: Path, receivers: int, seconds: float) -> None:
    """Chat 20 times a second, alone and beside as many logins by password as the server takes."""
    rows: list[Row] = []
    hashing: dict[str, Any] = {"argon2_memory": 19_456, "argon2_time": 2}  # the defaults
    with servers.gochat(directory / "logins", **hashing) as server:
        audience = Audience(server, receivers)
        with server.connect() as connection:
            connection.sendall(server.greeting("arriving"))
            wait_for(connection, LoggedIn)
        for name, threads in (("nobody logs in", 0), ("4 log in all the time", 4)):
            has_ended, count = threading.Event(), deque[None]()
            running = [
                threading.Thread(target=_log_in_again, args=(server, has_ended, count))
                for _ in range(threads)
            ]
            for thread in running:
                thread.start()
            found = audience.broadcast(int(20 * seconds), rate=20)
            logged_in = len(count)
            has_ended.set()
            for thread in running:
                thread.join()
            rows.append(
                {
                    "beside": name,
                    "logins/s": logged_in / found.seconds,
                    "chat p50 ms": quantile(found.latencies, 0.5) * 1e3,
                    "chat p99 ms": quantile(found.latencies, 0.99) * 1e3,
                }
            )
        audience.close()
    report.table(f"Chat of {receivers} beside logins by password", rows)


def _log_in_again(server: Gochat, has_ended: threading.Event, count: deque[None]) -> None:
    while not has_ended.is_set():
        with contextlib.closing(server.connect()) as connection:
            connection.sendall(encode(Login(name="arriving", password=PASSWORD)))
            wait_for(connection, LoggedIn)
            count.append(None)


def _enter(server: Gochat, people: int) -> list[socket.socket]:
    names = [f"person{number}" for number in range(people)]
    return [one for first in range(0, people, 200) for one in server.enter(names[first:][:200])]


def _exchange(server: Gochat, crowd: Sequence[socket.socket], plan: Sequence[Said]) -> Row:
    """Say all that is planned, some of it at a time; check that each is heard by as many."""
    poll, sockets, rests = select.epoll(), {s.fileno(): s for s in crowd}, dict[int, bytes]()
    for connection in crowd:
        connection.settimeout(0)
        poll.register(connection.fileno(), select.EPOLLIN)
    while events := poll.poll(0.5):
        for fd, _ in events:
            sockets[fd].recv(1 << 20)
    missing = [said.hearers for said in plan]
    said_at: list[float] = []
    latencies: list[float] = []
    heard_by_all = 0
    cpu, begun = server.cpu_exactly, time.perf_counter()
    while heard_by_all < len(plan):
        while len(said_at) < min(len(plan), heard_by_all + IN_FLIGHT):
            number = len(said_at)
            speaker, to, _ = plan[number]
            crowd[speaker].sendall(encode(Send(to=to, text=f"message {number:07}!")))
            said_at.append(time.perf_counter())
        if not (events := poll.poll(TIMEOUT)):
            raise NotDelivered(f"{sum(missing)} were not heard in time")
        for fd, _ in events:
            data = rests.pop(fd, b"") + sockets[fd].recv(1 << 20)
            now, end = time.perf_counter(), 0
            for match in _NUMBER.finditer(data):
                number, end = int(match[1]), match.end()
                missing[number] -= 1
                heard_by_all += missing[number] == 0
                latencies.append(now - said_at[number])
            rests[fd] = data[max(end, len(data) - _LONGEST) :]
    seconds = time.perf_counter() - begun
    deliveries = sum(said.hearers for said in plan)
    if any(missing) or len(latencies) != deliveries:
        raise NotDelivered("some were heard more than once")
    for connection in crowd:
        connection.close()
    return {
        "messages/s": len(plan) / seconds,
        "deliveries/s": deliveries / seconds,
        "p50 ms": quantile(latencies, 0.5) * 1e3,
        "p99 ms": quantile(latencies, 0.99) * 1e3,
        "CPU µs a message": (server.cpu_exactly - cpu) / len(plan) * 1e6,
    }
