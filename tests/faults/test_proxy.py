"""The proxy breaks connections as planned, and otherwise passes every byte unchanged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from gochat_faults.proxy import BLACKHOLE, NO_FAULTS, Lane, Plan, Proxy, open_proxy
from patience import PATIENCE

from gochat.protocol.codec import encode
from gochat.protocol.messages import Message, Pong, Sent

pytestmark = pytest.mark.trio


@asynccontextmanager
async def through(plan: Plan, *later: Plan) -> AsyncIterator[tuple[Proxy, trio.SocketStream]]:
    """Open a proxy in front of an echo server, and a first connection through it."""
    plans = [plan, *later]

    async def echo(stream: trio.SocketStream) -> None:
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        target = ("127.0.0.1", listener.socket.getsockname()[1])
        async with (
            open_proxy(target, lambda n: plans[n] if n < len(plans) else NO_FAULTS) as proxy,
            await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream,
        ):
            with trio.fail_after(PATIENCE):
                yield proxy, stream
        nursery.cancel_scope.cancel()


async def receive_exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = await stream.receive_some(size - len(data))
        assert more, "it ended too early"
        data += more
    return bytes(data)


async def receive_all(stream: trio.SocketStream) -> tuple[bytes, bool]:
    """Return the remaining data, and whether a reset ended it."""
    data = b""
    try:
        while more := await stream.receive_some():
            data += more
    except trio.BrokenResourceError:
        return data, True
    return data, False


async def test_proxy_without_faults_passes_every_byte_both_ways() -> None:
    data = Random(1).randbytes(1_000_000)
    async with through(NO_FAULTS) as (_, stream), trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, data)
        assert await receive_exactly(stream, len(data)) == data
        await stream.send_eof()
        assert await receive_all(stream) == (b"", False)


@pytest.mark.parametrize("reset", [True, False])
async def test_cut_passes_the_planned_bytes_and_ends_as_planned(reset: bool) -> None:
    plan = Plan(down=Lane(cut_after=5), reset=reset)
    async with through(plan) as (proxy, stream):
        await stream.send_all(b"one two")
        assert await receive_exactly(stream, 5) == b"one t"
        assert await receive_all(stream) == (b"", reset)
        assert proxy.counts["reset" if reset else "ended"] == 1


async def test_cut_on_the_way_up_keeps_later_bytes_from_the_server() -> None:
    async with through(Plan(up=Lane(cut_after=3), reset=False)) as (_, stream):
        await stream.send_all(b"one two")
        received, _ = await receive_all(stream)
        assert b"one".startswith(received), "what the server got came back, if that was in time"


async def test_refused_connection_is_reset_and_the_next_has_its_own_plan() -> None:
    async with through(Plan(refuse=True)) as (proxy, stream):
        assert await receive_all(stream) == (b"", True)
        async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as second:
            await second.send_all(b"hello")
            assert await receive_exactly(second, 5) == b"hello"


async def test_connections_without_a_server_are_reset() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    target = ("127.0.0.1", listener.socket.getsockname()[1])
    await listener.aclose()
    async with (
        open_proxy(target) as proxy,
        await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream,
    ):
        assert await receive_all(stream) == (b"", True)
        assert proxy.counts["no server"] == 1


async def test_blackhole_is_silent_and_cuts_when_healed() -> None:
    async with through(BLACKHOLE) as (proxy, stream):
        await stream.send_all(b"anybody there?")
        with trio.move_on_after(0.1) as silence:
            await stream.receive_some()
        assert silence.cancelled_caught
        proxy.heal()
        assert await receive_all(stream) == (b"", True)


async def test_stalled_lane_fills_the_peer_and_loses_nothing() -> None:
    data = Random(2).randbytes(20_000_000)
    async with through(Plan(down=Lane(stall_after=1000))) as (proxy, stream):
        sent = 0
        with trio.move_on_after(0.3):
            while sent < len(data):
                sent += await stream.socket.send(data[sent : sent + 65536])
        assert sent < len(data), "the buffers of both connections never filled"
        proxy.heal()
        assert await receive_exactly(stream, sent) == data[:sent]


async def test_slow_lane_is_as_slow_as_planned() -> None:
    async with through(Plan(down=Lane(bytes_per_second=1000))) as (_, stream):
        began = trio.current_time()
        await stream.send_all(bytes(300))
        await receive_exactly(stream, 300)
        assert trio.current_time() - began > 0.25


async def test_delay_comes_before_the_bytes() -> None:
    async with through(Plan(up=Lane(delay=0.2))) as (_, stream):
        began = trio.current_time()
        await stream.send_all(b"x")
        await receive_exactly(stream, 1)
        assert trio.current_time() - began >= 0.2


async def test_frozen_proxy_holds_everything_until_thawed() -> None:
    async with through(NO_FAULTS) as (proxy, stream):
        proxy.freeze()
        await stream.send_all(b"wait")
        with trio.move_on_after(0.1) as silence:
            await stream.receive_some()
        assert silence.cancelled_caught
        proxy.thaw()
        assert await receive_exactly(stream, 4) == b"wait"


async def test_only_acks_are_swallowed_before_the_cut() -> None:
    said = encode(Message(to="#lobby", epoch="e", seq=1, ts=0, from_="mei", text="x"))
    sent = encode(Sent(to="#lobby", epoch="e", seq=2, ts=0, cid="c"))
    pong = encode(Pong())
    async with through(Plan(swallow_acks=2)) as (proxy, stream):
        for part in (said + sent[:7], sent[7:] + pong, sent + said):
            await stream.send_all(part)
        received, is_reset = await receive_all(stream)
        assert (said + pong + said).startswith(received)
        assert is_reset
        assert proxy.counts["acks swallowed"] == 2


async def test_connection_is_cut_at_a_time_and_by_hand() -> None:
    async with through(Plan(cut_at=0.05)) as (proxy, stream):
        assert await receive_all(stream) == (b"", True)
        async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as second:
            await second.send_all(b"x")
            await receive_exactly(second, 1)
            proxy.cut(reset=False)
            assert await receive_all(second) == (b"", False)


async def test_dead_lane_stays_dead_for_small_reads() -> None:
    async with through(Plan(down=Lane(lose_after=4))) as (proxy, stream):
        await stream.send_all(b"abcd")
        assert await receive_exactly(stream, 4) == b"abcd"
        for data in (b"much more than this", b"e"):
            await stream.send_all(data)
            with trio.move_on_after(0.1) as silence:
                await stream.receive_some()
            assert silence.cancelled_caught
        assert proxy.counts["went dead"] == 1


async def test_connection_that_lost_an_ack_is_cut_when_healed() -> None:
    sent = encode(Sent(to="#lobby", epoch="e", seq=2, ts=0, cid="c"))
    pong = encode(Pong())
    async with through(Plan(swallow_acks=2)) as (proxy, stream):
        await stream.send_all(sent + pong)
        assert await receive_exactly(stream, len(pong)) == pong
        proxy.heal()
        assert await receive_all(stream) == (b"", True)


async def test_connection_that_lost_nothing_survives_healing() -> None:
    sent = encode(Sent(to="#lobby", epoch="e", seq=2, ts=0, cid="c"))
    async with through(Plan(swallow_acks=1, down=Lane(cut_after=10_000))) as (proxy, stream):
        proxy.heal()
        await stream.send_all(sent)
        assert await receive_exactly(stream, len(sent)) == sent
