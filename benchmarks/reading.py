"""Pages of history, searches and resuming, on a long log."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import redis_server, servers
from benchmarks.report import Report, Row, quantile
from benchmarks.servers import Gochat, wait_for
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    Found,
    History,
    HistoryPage,
    LoggedIn,
    Payload,
    Position,
    Resume,
    Search,
    Send,
    ServerMessage,
    Sync,
    Synced,
)

#: Messages sent at once while the log is filled.
BATCH = 250


def run(
    report: Report,
    directory: Path,
    messages: int,
    times: int,
    redis: redis_server.Redis | None = None,
) -> None:
    """Fill a log with so many messages, and time each kind of reading; on SQLite or a Redis."""
    store = redis.url if redis is not None else None
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(servers.gochat(directory / "reading", store=store))
        begun = time.perf_counter()
        fill_lobby(server, "writer", messages)
        seconds = time.perf_counter() - begun
        if redis is not None:
            redis.wait_until_indexed()
        reader = stack.enter_context(server.connect())  # now: nobody reads while it is filled
        reader.sendall(server.greeting("reader"))
        logged_in = wait_for(reader, LoggedIn)
        assert isinstance(logged_in, LoggedIn)
        newest = ask(reader, History(conv="#lobby", limit=1), HistoryPage)
        assert isinstance(newest, HistoryPage)
        epoch, chance = newest.epoch, random.Random(1)
        last = ask(reader, History(conv="#lobby", before=messages - 199, limit=1), HistoryPage)
        assert isinstance(last, HistoryPage)
        missed_from = last.entries[0].ts

        def anywhere() -> Payload:
            return History(conv="#lobby", around=chance.randrange(1, messages), limit=50)

        def resume() -> float:
            position = Position(conv="#lobby", epoch=epoch, seq=messages - 200, ts=missed_from)
            with server.connect() as connection:
                begun = time.perf_counter()
                connection.sendall(
                    encode(Resume(token=logged_in.token, caps=("log",)))
                    + encode(Sync(have=(position,), limit=200))
                )
                wait_for(connection, Synced)
                return time.perf_counter() - begun

        def asking(request: Callable[[], Payload], answer: type[ServerMessage]) -> list[float]:
            return [_timed(reader, request(), answer) for _ in range(times)]

        found = {
            "newest page of 50": asking(lambda: History(conv="#lobby", limit=50), HistoryPage),
            "page of 50 anywhere": asking(anywhere, HistoryPage),
            "search, 1 in 1,000": asking(
                lambda: Search(query=f"rare{chance.randrange(1000)}"), Found
            ),
            "search, in every one": asking(lambda: Search(query="message"), Found),
            "resume, 200 missed": [resume() for _ in range(times)],
        }
    rows: list[Row] = [
        {
            "what": name,
            "p50 ms": quantile(these, 0.5) * 1e3,
            "p99 ms": quantile(these, 0.99) * 1e3,
        }
        for name, these in found.items()
    ]
    where = redis.name if redis is not None else "SQLite"
    report.table(
        f"Reading a log of {messages:,} on {where}, written at {messages / seconds:,.0f}/s", rows
    )


def fill_lobby(server: Gochat, name: str, messages: int) -> None:
    """Have somebody new say so many things, each with one of 1,000 words ``rare0`` and so on."""
    chance = random.Random(0)
    with server.connect() as writer:
        writer.sendall(server.greeting(name))
        wait_for(writer, LoggedIn)
        for first in range(0, messages, BATCH):
            numbers = range(first, min(messages, first + BATCH))
            texts = (f"message {n} with a word rare{chance.randrange(1000)}" for n in numbers)
            writer.sendall(b"".join(encode(Send(to="#lobby", text=text)) for text in texts))
            acknowledged, rest = 0, b""
            while acknowledged < len(numbers):
                data = rest + writer.recv(1 << 18)
                acknowledged += data.count(b'{"msg_type":"sent"')
                rest = data[-17:]


def _timed(connection: socket.socket, request: Payload, answer: type[ServerMessage]) -> float:
    begun = time.perf_counter()
    ask(connection, request, answer)
    return time.perf_counter() - begun


def ask(connection: socket.socket, request: Payload, answer: type[ServerMessage]) -> ServerMessage:
    """Make a request on a blocking connection, and return its answer."""
    connection.sendall(encode(request))
    return wait_for(connection, answer)
