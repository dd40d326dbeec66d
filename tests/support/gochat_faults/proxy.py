"""A TCP proxy that breaks connections, by a plan for each.

A plan is data, drawn from a seed so that a run can be repeated. It counts bytes and frames rather
than seconds wherever possible, because those are the same in every run.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

import trio

from gochat.protocol.connection import Connection, Role
from gochat.protocol.framing import FrameDecoder, frame
from gochat.protocol.messages import Sent
from gochat.protocol.states import State

_READ_SIZE: Final = 64 * 1024
#: Closing a socket with this option sends a reset, and drops unsent data.
_RESET: Final = struct.pack("ii", 1, 0)
#: A slow lane forwards this part of a second's bytes at once.
_TICK: Final = 0.05
_MAX_FRAME: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What happens to one direction's bytes, counted in bytes that have passed.

    `delay` (seconds) applies to each read; `bytes_per_second` throttles what comes after
    `throttle_after`. After `stall_after` nothing is read any more, so that the peer's buffers fill;
    after `lose_after` everything is read and dropped, as by a cable that was pulled; after
    `cut_after` both sides' connections end.
    """

    delay: float = 0.0
    bytes_per_second: float | None = None
    throttle_after: int = 0
    stall_after: int | None = None
    lose_after: int | None = None
    cut_after: int | None = None


CLEAR: Final = Lane()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens to one connection. `up` is from the client to the server.

    With `refuse` there is no connection. After `swallow_acks` acknowledgements that were dropped,
    the connection is cut. After `cut_at` seconds it is cut as well. Cutting is by `reset` (RST), or
    by an orderly end (FIN). `receive_buffer` is the size, in bytes, of the buffer for what the
    server sends: a small one makes the server notice early that nobody reads.
    """

    up: Lane = CLEAR
    down: Lane = CLEAR
    refuse: bool = False
    swallow_acks: int = 0
    cut_at: float | None = None
    reset: bool = True
    receive_buffer: int | None = None


NO_FAULTS: Final = Plan()
#: Accepts a connection and all data, and never sends anything.
BLACKHOLE: Final = Plan(up=Lane(lose_after=0), down=Lane(lose_after=0))


#: Host and port of a server; or a function from a connection's number, from 0, to them.
Target: TypeAlias = tuple[str, int] | Callable[[int], tuple[str, int]]


class Proxy:
    """Forwards from its own port to a server's; made by :func:`serve_proxy`.

    `counts` has the number of connections for each kind of fault.
    """

    def __init__(self, port: int, target: Target, plan: Callable[[int], Plan]) -> None:
        self.port: Final = port
        self.counts: Counter[str] = Counter()
        self._target = target
        self._plan = plan
        self._connections: set[_Connection] = set()
        self._number = 0
        self._is_healed = False
        self._thawed = trio.Event()
        self._thawed.set()

    def cut(self, *, reset: bool = True) -> None:
        """Cut all connections now."""
        for connection in tuple(self._connections):
            connection.cut(reset=reset)

    def freeze(self) -> None:
        """Forward nothing in either direction, until :meth:`thaw`."""
        self._thawed = trio.Event()

    def thaw(self) -> None:
        """Forward again; nothing is lost."""
        self._thawed.set()

    def heal(self) -> None:
        """Break nothing from here on. Connections that can't continue unharmed are cut."""
        self._is_healed = True
        self.thaw()
        for connection in tuple(self._connections):
            connection.heal()

    async def wait_thawed(self) -> None:
        """Wait while frozen."""
        await self._thawed.wait()

    async def handle(self, client: trio.SocketStream) -> None:
        """Forward one connection until it ends."""
        plan = NO_FAULTS if self._is_healed else self._plan(self._number)
        target = self._target(self._number) if callable(self._target) else self._target
        self._number += 1
        self.counts["connections"] += 1
        connection = _Connection(self, client, plan)
        self._connections.add(connection)
        try:
            await connection.run(target)
        finally:
            self._connections.discard(connection)


async def serve_proxy(
    target: Target,
    plan: Callable[[int], Plan] = lambda _: NO_FAULTS,
    *,
    task_status: trio.TaskStatus[Proxy] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Run a proxy on a free port of loopback; cancelling it resets its connections.

    `plan` is called with the number of each connection, from 0; so is `target`, if it is a
    function. The server need not be running: without it, connections are reset.
    """
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy = Proxy(listener.socket.getsockname()[1], target, plan)
    task_status.started(proxy)
    await trio.serve_listeners(proxy.handle, [listener])


@asynccontextmanager
async def open_proxy(
    target: Target, plan: Callable[[int], Plan] = lambda _: NO_FAULTS
) -> AsyncIterator[Proxy]:
    """Run :func:`serve_proxy` inside the block."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_proxy, target, plan)
        nursery.cancel_scope.cancel()


class _Connection:
    def __init__(self, proxy: Proxy, client: trio.SocketStream, plan: Plan) -> None:
        self._proxy = proxy
        self._client = client
        self._server: trio.SocketStream | None = None
        self._plan = plan
        self._scope = trio.CancelScope()
        self._healed = trio.Event()
        self._has_lost = False
        self._reset = plan.reset
        self._acks = _AckSieve(plan.swallow_acks) if plan.swallow_acks else None

    async def run(self, target: tuple[str, int]) -> None:
        try:
            with self._scope:
                await self._run(target)
        finally:
            for stream in (self._client, self._server):
                if stream is not None:
                    _close(stream, reset=self._reset)

    async def _run(self, target: tuple[str, int]) -> None:
        if self._plan.refuse:
            self._proxy.counts["refused"] += 1
            self._reset = True
            return
        try:
            self._server = await _connect(target, self._plan.receive_buffer)
        except OSError:
            self._proxy.counts["no server"] += 1
            self._reset = True
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, self._client, self._server, True)
            nursery.start_soon(self._forward, self._server, self._client, False)
            if self._plan.cut_at is not None:
                await trio.sleep(self._plan.cut_at)
                if not self._healed.is_set():
                    self.cut(reset=self._plan.reset)

    def cut(self, *, reset: bool) -> None:
        self._proxy.counts["reset" if reset else "ended"] += 1
        self._reset = reset
        self._scope.cancel()

    def heal(self) -> None:
        self._healed.set()
        has_lost_an_ack = self._acks is not None and self._acks.taken
        # A small buffer stays small, and with it the connection slow.
        if self._has_lost or has_lost_an_ack or self._plan.receive_buffer is not None:
            self.cut(reset=True)
        elif self._acks is not None:
            self._acks.rest()

    async def _forward(
        self, source: trio.SocketStream, sink: trio.SocketStream, is_up: bool
    ) -> None:
        try:
            await self._pump(source, sink, is_up=is_up)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._scope.cancel()

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, *, is_up: bool
    ) -> None:
        passed = 0
        while True:
            lane = self._lane(is_up=is_up)
            if lane.stall_after is not None and passed >= lane.stall_after:
                self._proxy.counts["stalled"] += 1
                await self._healed.wait()
                continue
            data = await source.receive_some(_how_much(lane, passed))
            await self._proxy.wait_thawed()
            if not data:
                await sink.send_eof()
                return
            lane = self._lane(is_up=is_up)
            if lane.lose_after is not None and passed + len(data) > lane.lose_after:
                passed = lane.lose_after  # so that no shorter read gets through later
                self._proxy.counts["went dead"] += not self._has_lost
                self._has_lost = True
                continue
            speed = lane.bytes_per_second if passed >= lane.throttle_after else None
            await trio.sleep(lane.delay + len(data) / (speed or float("inf")))
            if not is_up and self._acks is not None:
                data = self._acks.strain(data)
            if lane.cut_after is not None and passed + len(data) >= lane.cut_after:
                await sink.send_all(data[: lane.cut_after - passed])
                self.cut(reset=self._plan.reset)
                return
            await sink.send_all(data)
            passed += len(data)
            if self._acks is not None and self._acks.is_full and not self._healed.is_set():
                self._proxy.counts["acks swallowed"] += self._plan.swallow_acks
                self.cut(reset=self._plan.reset)
                return

    def _lane(self, *, is_up: bool) -> Lane:
        if self._healed.is_set():
            return CLEAR
        return self._plan.up if is_up else self._plan.down


def _how_much(lane: Lane, passed: int) -> int:
    if lane.bytes_per_second is None:
        return _READ_SIZE
    if passed < lane.throttle_after:
        return lane.throttle_after - passed
    return max(1, int(lane.bytes_per_second * _TICK))


class _AckSieve:
    """Removes the first acknowledgements from what a server sends."""

    def __init__(self, count: int) -> None:
        self.taken = 0
        self._count = count
        self._protocol = Connection(
            Role.CLIENT, framing=FrameDecoder(_MAX_FRAME), state=State.UNKNOWN
        )

    @property
    def is_full(self) -> bool:
        """Whether it has removed as many as it should."""
        return self.taken == self._count

    def rest(self) -> None:
        """Stop removing. A frame that has begun is still passed on in full."""
        self._count = self.taken

    def strain(self, data: bytes) -> bytes:
        """Return the complete frames after adding `data`, without the acknowledgements."""
        self._protocol.receive_data(data)
        passed = []
        while (body := self._protocol.next_body()) is not None:
            if not self.is_full and isinstance(self._protocol.receive_message(body), Sent):
                self.taken += 1
            else:
                passed.append(frame(body))
        return b"".join(passed)


async def _connect(target: tuple[str, int], receive_buffer: int | None) -> trio.SocketStream:
    sock = trio.socket.socket()
    try:
        if receive_buffer is not None:  # before connecting: it determines the window scale
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await sock.connect(target)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


def _close(stream: trio.SocketStream, *, reset: bool) -> None:
    if reset:
        try:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except (OSError, trio.ClosedResourceError):
            return  # it is closed already
    stream.socket.close()
