"""Heartbeats: a dead connection is noticed, a living one is left alone."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest
from patience import PATIENCE
from scripted_server import (
    FakeClock,
    Watcher,
    heard,
    logged_in,
    meanwhile,
    said,
)

from gochat.client import ConnectionState, StateChanged, Synchronised
from gochat.client.buffer import EVENT_BUFFER
from gochat.client.options import InternalOptions
from gochat.protocol import messages as wire

pytestmark = pytest.mark.anyio


async def test_silence_triggers_a_ping() -> None:
    clock = FakeClock()
    async with logged_in(InternalOptions(clock=clock)) as (_, client, peer):
        await clock.pass_sleep(25)
        for _ in range(3):
            await peer.expect(wire.Ping)
            await peer.send(wire.Pong())
            await peer.settle()
            await clock.pass_sleep(8)
            await clock.pass_sleep(17)  # 25 s after the last byte
        assert client.state is ConnectionState.CONNECTED


async def test_any_bytes_count_as_a_heartbeat() -> None:
    clock = FakeClock()
    async with logged_in(InternalOptions(clock=clock)) as (_, _, peer):
        clock.advance(20)
        await peer.send(said(1))
        await peer.settle()
        clock.advance(20)
        await clock.pass_sleep(5)  # 40 s after the login, 20 s after the message: not yet
        await peer.expect(wire.Ping)


async def test_unanswered_ping_leads_to_a_reconnect() -> None:
    clock = FakeClock()
    async with logged_in(InternalOptions(clock=clock, random=lambda: 0.0)) as (
        server,
        client,
        peer,
    ):
        events = Watcher(client)
        await events.next_of(Synchronised)
        await clock.pass_sleep(25)
        await peer.expect(wire.Ping)
        await clock.pass_sleep(8)
        assert await events.next() == StateChanged(
            ConnectionState.RECONNECTING, 0.0, "no answer from the server for 33 s"
        )
        await (await server.accept()).welcome()


async def test_slow_consumer_is_not_a_dead_server() -> None:
    """Nothing can be received while reading is paused; a ping shows the server that the client is
    alive."""
    clock = FakeClock()
    async with logged_in(InternalOptions(clock=clock)) as (_, client, peer):
        events = Watcher(client)
        await events.next_of(Synchronised)
        await peer.send(*(said(seq) for seq in range(1, 2 * EVENT_BUFFER)))
        connection = client._supervisor._connection
        assert connection is not None
        with anyio.fail_after(PATIENCE):
            while not connection._is_paused:  # it has not stopped reading yet
                await anyio.lowlevel.checkpoint()
        for _ in range(3):
            await clock.pass_sleep(25)
            await peer.expect(wire.Ping)
        for seq in range(1, 2 * EVENT_BUFFER):
            assert await events.next() == heard(seq)
        async with meanwhile(client.rooms):
            await peer.reply(await peer.expect(wire.Rooms, wire.Ping), wire.RoomList(rooms=()))
        assert client.state is ConnectionState.CONNECTED
