"""From mailboxes to sockets and streams: order, one write for many frames, and slow consumers."""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, Protocol

import pytest
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE
from trio.testing import MockClock, lockstep_stream_one_way_pair, wait_all_tasks_blocked

from gochat.protocol.framing import FrameDecoder, frame
from gochat.server.delivery import PLAIN, Delivery, Encoding, Outlet, open_delivery
from gochat.server.mailbox import OVERHEAD
from gochat.server.outlets import PIECE, EncodedOutlet, SocketOutlet, StreamOutlet
from gochat.server.tls import TlsStream

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="its sockets' buffers can't be made small"),
]

#: Requested in each direction; about twice as much is in transit when a peer doesn't read.
BUFFER = 4096


class Line:
    """An outlet, what its peer receives, and how often it was evicted."""

    def __init__(self) -> None:
        self.outlet: Outlet
        self.stream: trio.abc.Stream
        self.peer: trio.abc.Stream
        self.evictions = 0
        self.fd = -1
        self.received = bytearray()

    def evicted(self) -> None:
        self.evictions += 1

    def post(self, *frames: bytes) -> None:
        for one in frames:
            self.outlet.post(one)

    async def receive(self, size: int) -> bytes:
        """Receive exactly `count` more bytes."""
        data = bytearray()
        with trio.fail_after(PATIENCE):
            while len(data) < size:
                some = await self.peer.receive_some(size - len(data))
                assert some, "the stream has ended"
                data += some
        return bytes(data)

    async def receive_rest(self) -> bytes:
        """Receive until the end, whichever side ends it."""
        data = bytearray()
        with trio.fail_after(PATIENCE):
            try:
                while some := await self.peer.receive_some():
                    data += some
            except trio.BrokenResourceError:
                pass
        return bytes(data)

    async def at_hand(self) -> bytes:
        """Receive what has arrived, and what arrives until all tasks are blocked."""
        return await at_hand(self.peer)


async def at_hand(stream: trio.abc.ReceiveStream) -> bytes:
    data = bytearray()

    async def receive() -> None:
        while some := await stream.receive_some():
            data.extend(some)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return bytes(data)


class OpenLine(Protocol):
    """Opens another line of the test's kind."""

    async def __call__(self, **bounds: Any) -> Line: ...


def numbered(count: int, size: int = 100, start: int = 0) -> list[bytes]:
    """Return frames that contain their number."""
    return [frame(b"%08d" % number + b"." * size) for number in range(start, start + count)]


def numbers(data: bytes) -> list[int]:
    """Return the numbers of the complete frames in `data`, which must start with a frame."""
    decoder = FrameDecoder()
    decoder.receive_data(data)
    found = []
    while (body := decoder.next_frame()) is not None:
        assert set(body[8:]) <= set(b".")
        found.append(int(body[:8]))
    return found


def socket_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Two connected streams with the smallest possible buffers."""
    pair = trio.socket.socketpair()
    for one in pair:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    ours, theirs = map(trio.SocketStream, pair)
    return ours, theirs


def fill(fd: int) -> int:
    """Write until the socket is full; return how many bytes it accepted."""
    filled = 0
    with suppress(BlockingIOError):
        while True:
            filled += os.write(fd, b"x")
    return filled


_authority = trustme.CA()


async def encrypted_pair(
    server_side: Callable[[trio.SocketStream, ssl.SSLContext], TlsStream | trio.SSLStream[Any]],
) -> tuple[TlsStream | trio.SSLStream[Any], trio.abc.Stream]:
    ours, theirs = socket_pair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _authority.issue_cert("chat.example").configure_cert(server)
    _authority.configure_trust(client)
    one = server_side(ours, server)
    other = trio.SSLStream(theirs, client, server_hostname="chat.example")
    async with trio.open_nursery() as nursery:
        arguments = (trio.Lock(),) if isinstance(one, TlsStream) else ()
        nursery.start_soon(one.do_handshake, *arguments)
        nursery.start_soon(other.do_handshake)
    return one, other


@asynccontextmanager
async def opened(kind: str, delivery: Delivery) -> AsyncIterator[OpenLine]:
    """Open lines of a kind; close them all at the end."""
    async with AsyncExitStack() as stack:

        async def open_line(**bounds: Any) -> Line:
            line = Line()
            if kind == "tls":
                line.stream, line.peer = await encrypted_pair(
                    partial(trio.SSLStream, server_side=True)
                )
            elif kind == "encrypted":
                line.stream, line.peer = await encrypted_pair(TlsStream)
            else:
                line.stream, line.peer = ours, _ = socket_pair()
                line.fd = ours.socket.fileno()
            stack.push_async_callback(trio.aclose_forcefully, line.stream)
            stack.push_async_callback(trio.aclose_forcefully, line.peer)
            stack.callback(lambda: line.outlet.close())
            if kind == "socket":
                line.outlet = SocketOutlet(line.fd, delivery, line.evicted, **bounds)
            elif isinstance(line.stream, TlsStream):
                encrypting = Encoding(line.stream.encrypt)
                line.outlet = EncodedOutlet(
                    line.stream.descriptor, encrypting, delivery, line.evicted, **bounds
                )
            elif kind == "encoded":
                line.outlet = EncodedOutlet(line.fd, PLAIN, delivery, line.evicted, **bounds)
            else:
                line.outlet = StreamOutlet(line.stream, delivery, line.evicted, **bounds)
            return line

        yield open_line


@pytest.fixture
async def delivery() -> AsyncIterator[Delivery]:
    async with open_delivery() as delivery:
        yield delivery


@pytest.fixture(params=["socket", "encoded", "encrypted", "stream", "tls"])
async def open_line(request: pytest.FixtureRequest, delivery: Delivery) -> AsyncIterator[OpenLine]:
    async with opened(request.param, delivery) as open_line:
        yield open_line


@pytest.fixture
async def open_socket(delivery: Delivery) -> AsyncIterator[OpenLine]:
    async with opened("socket", delivery) as open_line:
        yield open_line


class Writes:
    """Counts the writes to each descriptor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.to: dict[int, list[int]] = {}
        write = os.write

        def counted(fd: int, data: bytes) -> int:
            self.to.setdefault(fd, []).append(len(data))
            return write(fd, data)

        monkeypatch.setattr(os, "write", counted)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writes]:
    with monkeypatch.context() as patch:
        yield Writes(patch)


# -- order and wholeness --------------------------------------------------------------------------


async def test_everything_arrives_in_order_at_a_slow_peer(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line()
    frames = numbered(900, size=900)
    async with trio.open_nursery() as nursery:

        async def talk() -> None:
            for start in range(0, len(frames), 7):
                line.post(*frames[start : start + 7])
                delivery.flush()
                await trio.lowlevel.checkpoint()

        nursery.start_soon(talk)
        assert numbers(await line.receive(sum(map(len, frames)))) == list(range(900))
    assert line.evictions == 0


async def test_frames_posted_to_a_full_socket_come_after_waiting_ones(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line()
    frames = numbered(60, size=1000)
    for one in frames[:40]:
        line.post(one)
        delivery.flush()
    await wait_all_tasks_blocked()
    assert line.outlet.backlog
    line.post(*frames[40:50])
    line.outlet.flush()
    line.post(*frames[50:])  # in the mailbox when the writer gets to it, flushed or not
    assert numbers(await line.receive(sum(map(len, frames)))) == list(range(60))


async def test_frame_larger_than_all_buffers_arrives_whole(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line()
    big = frame(os.urandom(300_000))
    line.post(big)
    delivery.flush()
    assert await line.receive(len(big)) == big


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["post", "send"]), st.integers(1, 9000)),
            st.tuples(st.just("read"), st.integers(1, 9000)),
            st.tuples(st.just("flush"), st.just(0)),
            st.tuples(st.just("wait"), st.just(0)),
        ),
        max_size=40,
    ),
    kind=st.sampled_from(["socket", "stream"]),
)
async def test_bytes_arrive_unchanged_in_any_order_of_post_flush_and_read(
    steps: list[tuple[str, int]], kind: str
) -> None:
    posted, received = bytearray(), bytearray()
    async with open_delivery() as delivery, opened(kind, delivery) as open_line:
        line = await open_line()
        for what, size in steps:
            match what:
                case "post" | "send":
                    data = bytes([len(posted) % 251]) * size
                    posted += data
                    line.post(data) if what == "post" else line.outlet.send(data)
                case "flush":
                    delivery.flush()
                case "wait":
                    await wait_all_tasks_blocked()
                case "read":
                    assert isinstance(line.peer, trio.SocketStream)
                    with suppress(BlockingIOError):
                        received += os.read(line.peer.socket.fileno(), size)
        delivery.flush()
        received += await line.receive(len(posted) - len(received))
        assert received == posted
        assert line.outlet.backlog == 0
        assert line.evictions == 0


# -- one write for many frames --------------------------------------------------------------------


async def test_posts_of_one_pass_are_one_write_and_no_task(
    delivery: Delivery, open_socket: OpenLine, writes: Writes
) -> None:
    lines = [await open_socket() for _ in range(20)]
    async with trio.open_nursery():
        tasks = trio.lowlevel.current_statistics().tasks_living
        for start in (0, 10):
            for one in numbered(10, start=start):
                for line in lines:
                    line.post(one)
            assert all(line.fd not in writes.to for line in lines) or start
            delivery.flush()
        delivery.flush()
        assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert [writes.to[line.fd] for line in lines] == [[1120, 1120]] * 20
    for line in lines:
        assert numbers(await line.receive(2240)) == list(range(20))


async def test_send_writes_at_once_unless_something_waits(
    delivery: Delivery, open_socket: OpenLine, writes: Writes
) -> None:
    line = await open_socket()
    first, second, third, fourth = numbered(4)
    line.outlet.send(first)
    assert writes.to[line.fd] == [112]
    delivery.flush()
    line.post(second)
    line.outlet.send(third)
    assert writes.to[line.fd] == [112]
    delivery.flush()
    line.outlet.send(b"")
    line.outlet.send(fourth)
    delivery.flush()
    assert writes.to[line.fd] == [112, 224, 112]
    assert numbers(await line.receive(448)) == [0, 1, 2, 3]


async def test_send_queues_what_the_socket_does_not_accept(
    delivery: Delivery, open_socket: OpenLine
) -> None:
    line = await open_socket()
    big = frame(b"y" * 100_000)
    line.outlet.send(big)
    delivery.flush()
    line.outlet.send(*numbered(1))
    delivery.flush()
    assert 0 < line.outlet.backlog < len(big) + 112
    assert await line.receive(len(big)) == big
    assert numbers(await line.receive(112)) == [0]
    line.outlet.send(big)
    line.outlet.evict()
    got = await line.at_hand()
    line.outlet.last_word(b"".join(numbered(1, start=99)))
    assert big.startswith(got + await line.at_hand()), "a word in the middle of a frame"


async def test_send_refuses_what_post_would_refuse(delivery: Delivery, open_line: OpenLine) -> None:
    closed, sealed, gone, still_open = [await open_line() for _ in range(4)]
    closed.outlet.close()
    sealed.outlet.seal()
    await trio.aclose_forcefully(gone.peer)
    for one in numbered(50, size=1000):
        for line in (closed, sealed, gone, still_open):
            line.outlet.send(one)
        delivery.flush()
        await wait_all_tasks_blocked()
        assert await still_open.receive(len(one)) == one
    assert [line.outlet.backlog for line in (closed, sealed, gone)] == [0, 0, 0]
    assert [line.evictions for line in (closed, sealed, gone)] == [0, 0, 0]
    assert await closed.at_hand() == await sealed.at_hand() == b""


async def test_outlet_flushed_by_its_session_is_not_written_again(
    delivery: Delivery, open_socket: OpenLine, writes: Writes
) -> None:
    line = await open_socket()
    for one in numbered(3):
        line.post(one)
        line.outlet.flush()
    line.outlet.flush()
    delivery.flush()
    await line.outlet.drain()
    assert writes.to[line.fd] == [112, 112, 112]


async def test_closed_outlet_is_not_kept_until_the_next_flush(
    delivery: Delivery, open_line: OpenLine
) -> None:
    replied, closed = await open_line(), await open_line()
    for one in numbered(100):
        replied.post(one)
        replied.outlet.flush()
    closed.post(*numbered(1))
    closed.outlet.close()
    assert not delivery._dirty


async def test_nothing_is_written_while_the_socket_is_full(
    delivery: Delivery, open_socket: OpenLine, writes: Writes
) -> None:
    line = await open_socket()
    line.post(*numbered(20, size=1000))
    delivery.flush()
    await wait_all_tasks_blocked()
    before = len(writes.to[line.fd])
    for one in numbered(100, start=20):
        line.post(one)
        delivery.flush()
        await wait_all_tasks_blocked()
    assert len(writes.to[line.fd]) == before


async def test_writer_task_exists_only_while_something_waits(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line()
    await wait_all_tasks_blocked()
    at_rest = trio.lowlevel.current_statistics().tasks_living
    frames = numbered(50, size=1000)
    for one in frames:
        line.post(one)
        delivery.flush()
    await wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == at_rest + 1
    await line.receive(sum(map(len, frames)))
    await wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == at_rest


# -- slow readers ---------------------------------------------------------------------------------


async def test_slow_reader_is_evicted_at_the_bound_and_others_receive(
    delivery: Delivery, open_line: OpenLine
) -> None:
    sloth, *others = [await open_line(max_bytes=20_000) for _ in range(4)]
    sent = []
    for one in numbered(200, size=1000):
        for line in (sloth, *others):
            line.post(one)
        delivery.flush()
        assert sloth.outlet.backlog <= 20_000
        for other in others:
            assert await other.receive(len(one)) == one
        sent.append(one)
        if sloth.evictions:
            break
    assert 10 < len(sent) < 200
    assert [line.evictions for line in (sloth, *others)] == [1, 0, 0, 0]
    assert sloth.outlet.backlog == 0
    for one in numbered(100):
        sloth.post(one)
    delivery.flush()
    assert sloth.evictions == 1, "once is enough"
    await trio.aclose_forcefully(sloth.stream)
    if isinstance(sloth.outlet, SocketOutlet):
        got = numbers(await sloth.receive_rest())
        assert got == list(range(len(got))), "what it got is whole and in order"


async def test_many_tiny_frames_are_bounded_like_few_long_ones(
    delivery: Delivery, open_line: OpenLine
) -> None:
    sloth = await open_line(max_bytes=20_000)
    posted = 0
    while not sloth.evictions:
        sloth.outlet.post(b"\0\0\0\1x")
        posted += 1
        assert posted < 20_000
        if posted % 100 == 0:
            delivery.flush()
            await wait_all_tasks_blocked()
    assert posted > 20_000 / (5 + OVERHEAD)


@pytest.mark.parametrize("kind", ["socket", "encrypted"])
async def test_full_mailbox_is_written_before_eviction(delivery: Delivery, kind: str) -> None:
    async with opened(kind, delivery) as open_line:
        line = await open_line(max_bytes=2000)
        frames = numbered(400, size=88)
        for start in range(0, 400, 40):
            line.post(*frames[start : start + 40])  # twice what the mailbox holds
            line.outlet._is_writing = True  # as if something were still being written
            assert numbers(await line.receive(2000)) == list(range(start, start + 20))
            line.outlet._is_writing = False
            line.outlet.flush()
            assert numbers(await line.receive(2000)) == list(range(start + 20, start + 40))
        assert line.evictions == 0


async def test_reader_that_was_up_to_date_may_exceed_the_bound_in_a_pass(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line(max_bytes=20_000)
    frames = numbered(200, size=1000)
    line.post(*frames[:100])
    delivery.flush()
    assert line.evictions == 0
    assert line.outlet.backlog > 50_000
    await wait_all_tasks_blocked()
    backlog = line.outlet.backlog
    for one in frames[100:]:
        line.post(one)
        if line.evictions:
            break
        assert line.outlet.backlog <= backlog + 20_000
    assert line.evictions == 1

    reader = await open_line(max_bytes=20_000)
    reader.post(*frames[:100])
    delivery.flush()
    reader.post(*frames[100:110])
    assert numbers(await reader.receive(110 * 1012)) == list(range(110))
    assert reader.evictions == 0


async def test_post_to_an_empty_mailbox_fits_whatever_its_size(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line(max_bytes=1000)
    big = frame(b"x" * 50_000)
    line.post(big)
    assert line.outlet.is_behind
    delivery.flush()
    assert await line.receive(len(big)) == big
    await line.outlet.drain()
    assert line.evictions == 0
    assert not line.outlet.is_behind


async def test_evicted_or_closed_outlet_is_not_kept_for_the_flush(
    delivery: Delivery, open_line: OpenLine
) -> None:
    sloth, gone = await open_line(max_bytes=1000), await open_line(max_bytes=1000)
    await trio.aclose_forcefully(gone.peer)
    for one in numbered(100, size=1000):
        sloth.post(one)
        gone.post(one)
        sloth.outlet.flush()
    assert sloth.evictions == 1
    assert {line.outlet for line in (sloth, gone) if not line.outlet._is_open}.isdisjoint(
        delivery._dirty
    )


async def test_peer_that_reads_nothing_for_the_timeout_is_evicted(
    delivery: Delivery, open_line: OpenLine, autojump_clock: MockClock
) -> None:
    line = await open_line(stall=10)
    line.post(*numbered(50, size=1000))
    delivery.flush()
    await trio.sleep(9.9)
    assert line.evictions == 0
    await trio.sleep(0.2)
    assert line.evictions == 1
    await line.outlet.drain()


async def test_peer_that_reads_a_little_in_time_is_never_evicted(
    delivery: Delivery, open_line: OpenLine, autojump_clock: MockClock
) -> None:
    line = await open_line(stall=10)
    frames = numbered(200, size=1000)
    line.post(*frames)
    delivery.flush()
    start, data = trio.current_time(), b""
    while line.outlet.backlog:
        await trio.sleep(0.5)
        with trio.fail_after(60):
            data += await line.peer.receive_some(4096)
    assert trio.current_time() - start > 20
    assert line.evictions == 0
    data += await line.receive(sum(map(len, frames)) - len(data))
    assert numbers(data) == list(range(200))


async def test_eviction_is_reported_at_once_and_drops_waiting_frames(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line()
    line.post(*numbered(50, size=1000))
    delivery.flush()
    await wait_all_tasks_blocked()
    line.outlet.evict()
    line.outlet.evict()
    assert line.evictions == 1
    assert line.outlet.backlog == 0
    if isinstance(line.outlet, SocketOutlet):
        got = len(await line.at_hand())
        assert 0 < got < 50 * 1012, "nothing was written after the eviction"


# -- closing --------------------------------------------------------------------------------------


async def test_closed_outlet_drops_posts(delivery: Delivery, open_line: OpenLine) -> None:
    line = await open_line()
    line.post(*numbered(1))
    line.outlet.close()
    line.post(*numbered(1, start=1))
    line.outlet.flush()
    delivery.flush()
    await line.outlet.drain()
    line.outlet.close()
    assert await line.at_hand() == b""
    assert line.evictions == 0


async def test_disconnected_peer_closes_only_its_outlet(
    delivery: Delivery, open_line: OpenLine
) -> None:
    gone, there = await open_line(), await open_line()
    await trio.aclose_forcefully(gone.peer)
    for one in numbered(50, size=1000):
        gone.post(one)
        delivery.flush()
        await wait_all_tasks_blocked()
    assert gone.outlet.backlog == 0
    assert gone.evictions == 0, "its session's reader notices by itself"
    there.post(*numbered(1))
    delivery.flush()
    assert numbers(await there.receive(112)) == [0]


async def test_peer_that_disconnects_while_frames_wait_closes_the_outlet(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line()
    line.post(*numbered(50, size=1000))
    delivery.flush()
    await wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.outlet.drain)
        await wait_all_tasks_blocked()
        await trio.aclose_forcefully(line.peer)
    assert (line.outlet.backlog, line.evictions) == (0, 0)


async def test_closed_descriptor_is_never_written_to_again(
    delivery: Delivery, open_socket: OpenLine
) -> None:
    line = await open_socket()
    line.post(*numbered(50, size=1000))
    delivery.flush()
    await wait_all_tasks_blocked()  # a task is waiting for the socket
    await line.at_hand()  # the socket accepts more, so the task is about to be woken
    line.post(*numbered(5))
    line.outlet.close()
    assert isinstance(line.stream, trio.SocketStream)
    line.stream.socket.close()
    mine, other = socket.socketpair()
    try:
        assert line.fd in (mine.fileno(), other.fileno()), "the number is taken again"
        line.post(*numbered(5))
        line.outlet.flush()
        delivery.flush()
        await wait_all_tasks_blocked(0.01)
        for one in (mine, other):
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.recv(1)
    finally:
        mine.close()
        other.close()


async def test_stream_is_sent_nothing_after_closing(delivery: Delivery) -> None:
    sender, receiver = lockstep_stream_one_way_pair()
    line = Line()
    line.outlet = StreamOutlet(sender, delivery, line.evicted)
    line.post(b"x" * (3 * PIECE))
    delivery.flush()
    await wait_all_tasks_blocked()
    line.outlet.close()
    assert len(await at_hand(receiver)) == PIECE


async def test_leaving_the_delivery_cancels_writes() -> None:
    with trio.fail_after(PATIENCE):
        async with open_delivery() as delivery, opened("socket", delivery) as open_line:
            line = await open_line()
            line.post(*numbered(50, size=1000))
            delivery.flush()
            await wait_all_tasks_blocked()


async def test_bug_in_a_stream_ends_only_its_connection(
    delivery: Delivery, open_line: OpenLine
) -> None:
    class Faulty(trio.abc.SendStream):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            raise RuntimeError("a bug")

        async def wait_send_all_might_not_block(self) -> None:
            raise RuntimeError("a bug")

        async def aclose(self) -> None:
            pass

    faulty, sound = Line(), await open_line()
    faulty.outlet = StreamOutlet(Faulty(), delivery, faulty.evicted)
    for line in (faulty, sound):
        line.post(*numbered(1))
    delivery.flush()
    await faulty.outlet.drain()
    assert faulty.evictions == 1
    assert numbers(await sound.receive(112)) == [0]


# -- draining, sealing, the last frame ------------------------------------------------------------


async def test_draining_waits_until_everything_is_written(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line()
    frames = numbered(50, size=1000)
    line.post(*frames)  # not flushed: draining flushes
    drained = trio.Event()

    async def drain() -> None:
        await line.outlet.drain()
        drained.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain)
        nursery.start_soon(drain)
        await wait_all_tasks_blocked()
        assert not drained.is_set()
        assert numbers(await line.receive(sum(map(len, frames)))) == list(range(50))
    assert drained.is_set()
    await line.outlet.drain()  # nothing waits


@pytest.mark.parametrize("end", ["close", "evict"])
async def test_draining_ends_when_the_outlet_closes(
    delivery: Delivery, open_line: OpenLine, end: str
) -> None:
    line = await open_line()
    line.post(*numbered(50, size=1000))
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.outlet.drain)
            await wait_all_tasks_blocked()
            getattr(line.outlet, end)()


async def test_sealed_outlet_sends_waiting_frames_and_accepts_no_more(
    delivery: Delivery, open_line: OpenLine
) -> None:
    line = await open_line()
    frames = numbered(50, size=1000)
    line.post(*frames)
    line.outlet.seal()
    line.post(*numbered(5, start=50))
    line.post(b"x" * 10_000_000)  # does not even evict it
    delivery.flush()
    assert numbers(await line.receive(sum(map(len, frames)))) == list(range(50))
    await line.outlet.drain()
    assert await line.at_hand() == b""
    assert line.evictions == 0


async def test_last_frame_is_sent_between_frames(delivery: Delivery, open_socket: OpenLine) -> None:
    line = await open_socket()
    line.post(*numbered(2))
    line.outlet.flush()
    line.post(*numbered(2, start=2))
    line.outlet.evict()
    line.outlet.last_word(b"".join(numbered(1, start=99)))
    assert numbers(await line.at_hand()) == [0, 1, 99]


async def test_last_frame_is_sent_after_complete_frames_in_a_full_socket(
    delivery: Delivery, open_socket: OpenLine
) -> None:
    line = await open_socket()
    filled = fill(line.fd)
    line.post(*numbered(2))
    line.outlet.flush()
    assert line.outlet.backlog == 224
    await line.receive(filled)
    line.outlet.evict()
    line.outlet.last_word(b"".join(numbered(1, start=99)))
    assert numbers(await line.at_hand()) == [99]


async def test_last_frame_is_not_sent_in_the_middle_of_a_frame(
    delivery: Delivery, open_socket: OpenLine
) -> None:
    line = await open_socket()
    big = frame(b"y" * 100_000)
    line.post(big)
    line.outlet.flush()
    await wait_all_tasks_blocked()
    line.outlet.evict()
    got = await line.at_hand()  # the socket accepts more now
    line.outlet.last_word(b"".join(numbered(1, start=99)))
    got += await line.at_hand()
    assert 0 < len(got) < len(big)
    assert big.startswith(got)


async def test_last_frame_is_sent_once_the_open_frame_is_complete(
    delivery: Delivery, open_socket: OpenLine
) -> None:
    line = await open_socket()
    big = frame(b"y" * 100_000)
    line.post(big)
    line.outlet.flush()
    assert await line.receive(len(big)) == big
    await line.outlet.drain()
    line.outlet.last_word(b"".join(numbered(1, start=99)))
    assert numbers(await line.at_hand()) == [99]


@pytest.mark.parametrize("state", ["full", "gone"])
async def test_last_frame_that_cant_be_sent_is_not_an_error(
    delivery: Delivery, open_socket: OpenLine, state: str
) -> None:
    line, other = await open_socket(), await open_socket()
    if state == "gone":
        await trio.aclose_forcefully(line.peer)
    else:
        fill(line.fd)
    for outlet in (line.outlet, other.outlet):
        outlet.last_word(b"bye")
    assert await other.at_hand() == b"bye"
    if state == "full":
        assert b"bye" not in await line.at_hand()


async def test_encrypted_stream_sends_no_last_frame(
    delivery: Delivery, open_socket: OpenLine
) -> None:
    async with opened("tls", delivery) as open_line:
        encrypted, plain = await open_line(), await open_socket()
        for line in (encrypted, plain):
            line.outlet.last_word(b"bye")
        assert await plain.at_hand() == b"bye"
        assert await encrypted.at_hand() == b""
