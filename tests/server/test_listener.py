"""Accepting connections, even without free file descriptors."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest
import structlog
import trio
from patience import PATIENCE
from structlog.typing import EventDict
from trio.testing import MockClock

from gochat.server.listener import PAUSE, WARN_EVERY, accept_for_ever

pytestmark = pytest.mark.trio


class Stream:
    """A connection, as far as a listener needs it."""

    def __init__(self) -> None:
        self.is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True
        await trio.lowlevel.checkpoint()


class Listener:
    """Accepts what the test specifies, then nothing more."""

    def __init__(self, *outcomes: Stream | int) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0

    async def accept(self) -> Stream:
        await trio.lowlevel.checkpoint()
        self.calls += 1
        if not self.outcomes:
            await trio.sleep_forever()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, int):
            raise OSError(outcome, os.strerror(outcome))
        return outcome


async def accept(
    listener: Listener,
    connected: Callable[[trio.SocketStream], None],
    refused: Callable[[trio.SocketStream], None] | None = None,
) -> None:
    await accept_for_ever(cast("trio.SocketListener", listener), connected, refused)


def refusals(logs: list[EventDict]) -> int:
    return sum("file descriptors exhausted" in str(entry["event"]) for entry in logs)


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


# -- with a scripted listener ---------------------------------------------------------------------


async def test_connections_are_passed_on_in_order(autojump_clock: MockClock) -> None:
    streams = [Stream() for _ in range(5)]
    connected: list[object] = []
    with trio.move_on_after(1):
        await accept(Listener(*streams), connected.append)
    assert connected == streams
    assert not any(stream.is_closed for stream in streams)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE])
async def test_connection_without_descriptors_is_refused_at_once(
    autojump_clock: MockClock, logs: list[EventDict], error: int
) -> None:
    refused, served = Stream(), Stream()
    listener = Listener(error, refused, served)
    connected: list[object] = []
    counted: list[object] = []
    with trio.move_on_after(1):
        await accept(listener, connected.append, counted.append)
    assert refused.is_closed
    assert connected == [served]
    assert counted == [refused]
    assert refusals(logs) == 1


async def test_listener_without_descriptors_does_not_spin(
    autojump_clock: MockClock,
) -> None:
    # The kernel reports the lack of descriptors even if no connection is waiting.
    class Empty(Listener):
        async def accept(self) -> Stream:
            self.calls += 1
            await trio.lowlevel.checkpoint()
            if self.calls % 2 == 0:
                await trio.sleep_forever()
            raise OSError(errno.EMFILE, "too many open files")

    listener = Empty()
    with trio.move_on_after(100 * PAUSE):
        await accept(listener, lambda _: None)
    assert 100 <= listener.calls <= 500


async def test_failed_refusal_is_retried_later(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another process takes the reserve whenever it is released.
    opened = os.open
    attempts = 0

    def taken(*args: object) -> int:
        nonlocal attempts
        attempts += 1
        if 1 < attempts <= 5:
            raise OSError(errno.EMFILE, "too many open files")
        return opened(*args)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(os, "open", taken)
    served = Stream()
    connected: list[object] = []
    start = trio.current_time()
    with trio.CancelScope() as scope:

        def connect(stream: object) -> None:
            connected.append(stream)
            scope.cancel()

        await accept(Listener(*[errno.EMFILE] * 10, served), connect)
    assert connected == [served]
    assert attempts == 6
    assert trio.current_time() - start == pytest.approx(4 * PAUSE)


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.ENOBUFS])
async def test_listener_without_memory_waits_and_goes_on(
    autojump_clock: MockClock, error: int
) -> None:
    served = Stream()
    connected: list[object] = []
    with trio.move_on_after(1):
        await accept(Listener(error, error, served), connected.append)
    assert connected == [served]


async def test_permanent_error_is_raised() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        await accept(Listener(errno.EBADF), lambda _: None)


async def test_lack_of_descriptors_is_logged_now_and_then(
    autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    class Starved(Listener):
        async def accept(self) -> Stream:
            await trio.sleep(1)
            raise OSError(errno.EMFILE, "too many open files")

    with trio.move_on_after(3 * WARN_EVERY + 30):
        await accept(Starved(), lambda _: None)
    assert refusals(logs) == 4


async def test_reserve_is_released_at_the_end(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    opened, closed = os.open, os.close

    def counted_open(path: str, flags: int) -> int:
        held.append(opened(path, flags))
        return held[-1]

    def counted_close(fd: int) -> None:
        held.remove(fd)
        closed(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", counted_open)
        patch.setattr(os, "close", counted_close)
        for outcomes in ((), (errno.EMFILE, Stream(), Stream()), (errno.EMFILE,)):
            with trio.move_on_after(PAUSE / 2):
                await accept(Listener(*outcomes), lambda _: None)
            assert held == []


# -- with real sockets ----------------------------------------------------------------------------

#: Greets each connection, keeps it, and closes one for each byte that it reads.
SERVER = textwrap.dedent(
    """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    import trio
    from gochat.server.listener import accept_for_ever

    async def greet(stream):
        async with stream:
            await stream.send_all(b"hello")
            await stream.receive_some()

    async def main():
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=200)
        async with trio.open_nursery() as nursery:
            print(listener.socket.getsockname()[1], flush=True)
            await accept_for_ever(listener, lambda stream: nursery.start_soon(greet, stream))

    trio.run(main)
    """
)


def greeting(connection: socket.socket) -> bytes:
    try:
        return connection.recv(5)
    except ConnectionResetError:
        return b""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on descriptors")
async def test_server_out_of_descriptors_refuses_at_once_and_recovers() -> None:
    await trio.to_thread.run_sync(exhaust)


def exhaust() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())

            def connect() -> socket.socket:
                return socket.create_connection(("127.0.0.1", port), PATIENCE)

            connections = [connect() for _ in range(100)]
            greetings = [greeting(connection) for connection in connections]
            served = greetings.count(b"hello")
            assert 40 < served < 64
            assert greetings == [b"hello"] * served + [b""] * (100 - served)
            for connection in connections[:10] + connections[served:]:
                connection.close()
            # The closed ones must be noticed first; then there is room again.
            deadline = time.monotonic() + PATIENCE
            while True:
                with connect() as another:
                    if greeting(another) == b"hello":
                        break
                assert time.monotonic() < deadline, "it did not recover"
            for connection in connections[10:served]:
                connection.close()
        finally:
            process.kill()
