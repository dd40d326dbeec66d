"""The HTTP server for monitoring, and peers that mean it no good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import pytest
import structlog
import trio
import trio.testing
from http_peer import Answer, parse, read_all
from trio.testing import MockClock

from gochat.server.metrics.http import HEADER_TIMEOUT, MAX_CONNECTIONS, HttpServer, Response

pytestmark = pytest.mark.trio

GET = b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(path: str) -> Response:
    await trio.lowlevel.checkpoint()
    return Response(HTTPStatus.OK, path.encode())


class Line:
    """A server, to which peers connect."""

    def __init__(self, server: HttpServer, nursery: trio.Nursery) -> None:
        self.server = server
        self.nursery = nursery

    def connect(self) -> trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]:
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.server.serve, theirs)
        return ours  # type: ignore[return-value]  # the pair is stapled from parts of one kind

    async def ask(self, data: bytes) -> Answer:
        stream = self.connect()
        await stream.send_all(data)
        return parse(await read_all(stream))


@asynccontextmanager
async def line(respond: object = echo) -> AsyncIterator[Line]:
    async with trio.open_nursery() as nursery:
        yield Line(HttpServer(respond), nursery)  # type: ignore[arg-type]  # each test has a function of its own kind
        nursery.cancel_scope.cancel()


async def test_get_is_answered_and_the_connection_closed(autojump_clock: MockClock) -> None:
    async with line() as there:
        answer = await there.ask(GET)
        assert (answer.status, answer.body) == (200, "/metrics")
        assert answer.headers["connection"] == "close"
        head = await there.ask(GET.replace(b"GET", b"HEAD"))
        assert (head.status, head.body) == (200, "")
        assert head.headers["content-length"] == "8"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"\x00\x00\x00\x05hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # without a host
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET " + b"/" * 20_000, 431),
    ],
)
async def test_anything_else_is_refused(
    autojump_clock: MockClock, data: bytes, status: int
) -> None:
    async with line() as there:
        assert (await there.ask(data)).status == status


async def test_header_has_to_arrive_in_time(autojump_clock: MockClock) -> None:
    """However steadily its bytes trickle in."""
    async with line() as there:
        stream = there.connect()
        began = trio.current_time()
        with suppress(trio.BrokenResourceError):
            for _ in range(100):
                await stream.send_all(b"G")
                await trio.sleep(0.5)
        assert trio.current_time() - began <= HEADER_TIMEOUT + 1


async def test_peers_that_stay_do_not_keep_a_scraper_out(autojump_clock: MockClock) -> None:
    async with line() as there:
        silent = [there.connect() for _ in range(3 * MAX_CONNECTIONS)]
        await trio.testing.wait_all_tasks_blocked()
        assert (await there.ask(GET)).status == 200
        for stream in silent[: 2 * MAX_CONNECTIONS]:
            assert await stream.receive_some() == b"", "the oldest have made room"


async def test_peer_that_leaves_at_once_is_nothing_special(autojump_clock: MockClock) -> None:
    with structlog.testing.capture_logs() as logs:
        async with line() as there:
            for data in (b"", b"GET /", GET):
                stream = there.connect()
                if data:
                    await stream.send_all(data)
                await stream.aclose()
            await trio.testing.wait_all_tasks_blocked()
    assert logs == []


async def test_fault_in_an_answer_ends_only_that_connection(autojump_clock: MockClock) -> None:
    async def fail(path: str) -> Response:
        raise ValueError(path)

    with structlog.testing.capture_logs() as logs:
        async with line(fail) as there:
            for _ in range(2):
                stream = there.connect()
                await stream.send_all(GET)
                assert await stream.receive_some() == b""
    assert [entry["event"] for entry in logs] == ["monitoring request failed"] * 2
