"""What others notice: requests beside private messages flat out, and chat beside logins."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import servers
from benchmarks.audience import Audience
from benchmarks.crowd import Way, open_crowd
from benchmarks.reading import ask, fill_lobby
from benchmarks.report import Report, Row, quantile
from benchmarks.servers import PASSWORD, Gochat, wait_for
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    Found,
    History,
    HistoryPage,
    LoggedIn,
    Login,
    Ping,
    Pong,
    Search,
)

#: Messages in the lobby, from which pages are read, and among which is searched.
_LOG: Final = 2000
#: Seconds from the answer to a request to the next one of its kind.
_PAUSE: Final = 0.02
_FILLER: Final = "filler"
_ARRIVING: Final = "arriving"


def requests(
    report: Report, directory: Path, people: int, messages: int, rounds: int, quiet: float
) -> None:
    """Make requests of each kind all the time: while nothing else happens (for `quiet` seconds),
    and while so many people write private messages as fast as they can; in turns.

    The password's hash is made as cheap as can be, so a login is what it takes beyond that.
    """
    way = Way("private, flat out", "private", messages)
    alone: list[dict[str, list[float]]] = []
    beside: list[dict[str, list[float]]] = []
    with ExitStack() as stack:
        server = stack.enter_context(servers.gochat(directory / "beside"))
        fill_lobby(server, _FILLER, _LOG)
        with server.connect() as connection:
            connection.sendall(server.greeting(_ARRIVING))
            wait_for(connection, LoggedIn)
        crowd = stack.enter_context(open_crowd(server, directory, people))
        crowd.talk(way._replace(messages=max(1, messages // 20)))
        rate = []
        for _ in range(rounds):
            with _requesting(server) as times:
                time.sleep(quiet)
            alone.append(times)
            crowd.begin(way)
            with _requesting(server) as times:
                crowd.wait()
            beside.append(times)
            found = crowd.end(way)
            rate.append(found.messages / found.seconds)
    rows: list[Row] = [
        {
            "what": kind,
            "alone p50 ms": _middle(alone, kind, 0.5),
            "alone p99 ms": _middle(alone, kind, 0.99),
            "p50 ms": _middle(beside, kind, 0.5),
            "p99 ms": _middle(beside, kind, 0.99),
            "slowest ms": max(max(times[kind]) for times in beside) * 1e3,
            "requests": sum(len(times[kind]) for times in beside),
        }
        for kind in beside[0]
    ]
    raw: list[Row] = [
        {
            "while": name,
            "round": number,
            "what": kind,
            "requests": len(taken),
            "p50": quantile(taken, 0.5),
            "p99": quantile(taken, 0.99),
            "slowest": max(taken),
        }
        for name, these in (("alone", alone), ("beside", beside))
        for number, times in enumerate(these)
        for kind, taken in times.items()
    ]
    title = f"Requests beside private messages among {people:,} at {median(rate):,.0f}/s"
    report.table(title, rows, raw)


def _middle(rounds: list[dict[str, list[float]]], kind: str, part: float) -> float:
    return median(quantile(times[kind], part) for times in rounds) * 1e3


@contextmanager
def _requesting(server: Gochat) -> Iterator[dict[str, list[float]]]:
    """Make requests of each kind while the block runs; then there is how long each took."""
    is_over = threading.Event()
    times: dict[str, list[float]] = {}

    def repeat(taken: list[float], make: Callable[[], object]) -> None:
        while not is_over.is_set():
            begun = time.perf_counter()
            make()
            taken.append(time.perf_counter() - begun)
            is_over.wait(_PAUSE)

    def log_in() -> None:
        with server.connect() as connection:
            # Not the account of the others: each login ends its oldest session, of some tens.
            connection.sendall(encode(Login(name=_ARRIVING, password=PASSWORD)))
            wait_for(connection, LoggedIn)

    with ExitStack() as stack:
        ping, page, search = (stack.enter_context(_logged_in(server)) for _ in range(3))
        makers: Mapping[str, Callable[[], object]] = {
            "ping": lambda: ask(ping, Ping(), Pong),
            "page of 50": lambda: ask(page, History(conv="#lobby", limit=50), HistoryPage),
            "search": lambda: ask(search, Search(query="rare7"), Found),
            "login beyond its hash": log_in,
        }
        threads = [
            threading.Thread(target=repeat, args=(times.setdefault(kind, []), make))
            for kind, make in makers.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield times
        finally:
            is_over.set()
            for thread in threads:
                thread.join()


@contextmanager
def _logged_in(server: Gochat) -> Iterator[socket.socket]:
    with server.connect() as connection:
        connection.sendall(encode(Login(name=_FILLER, password=PASSWORD)))
        wait_for(connection, LoggedIn)
        yield connection


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
