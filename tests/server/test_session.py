"""A session over in-memory streams: in lockstep where backpressure matters."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from peers import Peer, config

from gochat.errors import StoreUnavailable
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    Bye,
    Error,
    People,
    Ping,
    Pong,
    Register,
    Registered,
    Send,
    Sent,
    Who,
)
from gochat.server.app import open_server
from gochat.server.server import Server

pytestmark = pytest.mark.trio


@asynccontextmanager
async def connected(
    server: Server, *, lockstep: bool = False
) -> AsyncIterator[tuple[Peer, trio.abc.Stream]]:
    """Connect a peer to a server without a network."""
    pair = trio.testing.lockstep_stream_pair() if lockstep else trio.testing.memory_stream_pair()
    ours, theirs = pair
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_stream, theirs, "memory")
        async with ours:
            yield Peer(ours), ours


async def test_six_functions_need_no_socket() -> None:
    async with open_server(config()) as server:
        async with connected(server) as (mei, _), connected(server) as (bob, _):
            await mei.log_in("mei")
            await bob.log_in("bob")
            await mei.ask(Send(to="#lobby", text="hello"), Sent)
            assert (await bob.text()).text == "hello"


async def test_ended_session_writes_nothing_to_a_descriptor_that_is_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full server looks for connections to end when somebody comes, who gets the descriptor of
    the connection that was closed last."""
    close, received = trio.aclose_forcefully, list[bytes]()

    async with open_server(config()) as server:

        async def close_and_use_again(stream: trio.abc.AsyncResource) -> None:
            assert isinstance(stream, trio.SocketStream)
            descriptor = stream.socket.fileno()
            newcomer, accepted = socket.socketpair()
            with newcomer, accepted:
                await close(stream)
                os.dup2(accepted.fileno(), descriptor)
                for session in server.sessions:
                    session.make_room()
                assert not any(session.is_stranger for session in server.sessions)
                newcomer.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    received.append(newcomer.recv(1000))
                os.close(descriptor)

        monkeypatch.setattr("gochat.server.session.trio.aclose_forcefully", close_and_use_again)
        ours, theirs = trio.socket.socketpair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve_stream, trio.SocketStream(theirs), "127.0.0.1")
            await trio.testing.wait_all_tasks_blocked()
            ours.close()
        monkeypatch.undo()
    assert received == []


async def test_bytes_one_at_a_time_over_a_stream_that_buffers_nothing() -> None:
    async with open_server(config()) as server:
        async with connected(server, lockstep=True) as (peer, stream):
            for byte in encode(Register(name="mei", password="correct horse")):
                await stream.send_all(bytes([byte]))
            await peer.expect(Registered)


async def test_peer_that_does_not_read_is_not_read_from() -> None:
    limits = config(mailbox_bytes=1024 * 1024, anonymous_bytes=1024**3, malformed_frames=1_000_000)
    async with open_server(limits) as server:
        async with connected(server, lockstep=True) as (peer, stream):
            sent = 0

            async def ask_without_reading() -> None:
                nonlocal sent
                while True:
                    await stream.send_all(encode(Ping(request_id="x" * 64)) * 100)
                    sent += 100

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask_without_reading)
                await trio.testing.wait_all_tasks_blocked(0.05)
                stuck_at = sent
                await trio.testing.wait_all_tasks_blocked(0.05)
                assert sent == stuck_at
                assert sent < 20_000, "the server went on reading what nobody takes the replies of"
                for _ in range(sent):
                    await peer.expect(Pong)
                nursery.cancel_scope.cancel()


async def test_unavailable_store_is_an_error_and_the_session_survives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_server(config()) as server, connected(server) as (peer, _):
        await peer.log_in("mei")

        async def down(*_: object) -> None:
            raise StoreUnavailable("no disk", retry_after=2.0)

        with monkeypatch.context() as patch:
            patch.setattr(server.services.store, "append", down)
            error = await peer.ask(Send(to="#lobby", text="x", cid="1"), Error)
        assert (error.code, error.retry_after, error.cid) == ("unavailable", 2.0, "1")
        await peer.ask(Send(to="#lobby", text="x", cid="1"), Sent)


async def test_bug_in_a_handler_ends_only_its_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_server(config()) as server:
        async with connected(server) as (mei, _), connected(server) as (bob, _):
            await mei.log_in("mei")
            await bob.log_in("bob")

            def bug(*_: object) -> None:
                raise ZeroDivisionError

            with monkeypatch.context() as patch:
                patch.setattr(type(server.services.hub.roster), "page", bug)
                await mei.send(Who())
                bye = (await mei.at_end())[-1]
            assert isinstance(bye, Bye)
            assert bye.reason == "internal"
            await bob.sees(offline="mei")
            await bob.ask(Who(), People)


async def test_drain_sends_bye_after_the_current_request() -> None:
    async with open_server(config()) as server:
        async with connected(server) as (mei, _), connected(server) as (idle, _):
            await mei.log_in("mei", "log")
            await idle.ask(Ping(), Pong)
            async with trio.open_nursery() as nursery:
                await mei.send(*[Send(to="#lobby", text=str(n)) for n in range(100)])
                await mei.expect(Sent)
                nursery.start_soon(server.drain)
                messages = await mei.at_end()
                [bye] = await idle.at_end()
            assert isinstance(messages[-1], Bye)
            assert isinstance(bye, Bye)
            assert (bye.reason, bye.retry_after) == ("server_closing", 1.0)
            assert len([m for m in messages if isinstance(m, Sent)]) == 99
