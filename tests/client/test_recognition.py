"""A client of the user's own server sends nothing to a server that can't prove to be it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from patience import PATIENCE
from peers import requests_in
from processes import serve
from scripted_server import QUICK, said

from gochat.client import ClientOptions, ConnectionState, StateChanged, open_client
from gochat.client.address import Address, parse
from gochat.client.connection import NullReceiver, open_connection
from gochat.errors import ConnectionLost
from gochat.private import replace_file
from gochat.protocol.codec import encode
from gochat.protocol.connection import Connection, Role
from gochat.protocol.messages import Event, Message, Ping, Pong, Reply, Request
from gochat.protocol.proof import is_proof, new_challenge, new_key, prove
from gochat.protocol.states import State

pytestmark = pytest.mark.anyio

#: The program that takes the port once the own server is gone.
HOST = "127.0.0.1"


@asynccontextmanager
async def stranger(port: int) -> AsyncIterator[bytearray]:
    """Take the port, answer with messages and invented proofs, and record what arrives."""
    received = bytearray()

    async def answer(stream: anyio.abc.SocketStream) -> None:
        protocol = Connection(Role.SERVER, state=State.UNKNOWN)
        async with stream:
            async for data in stream:
                received.extend(data)
                protocol.receive_data(data)
                while (request := protocol.next_message()) is not None:
                    proof = prove(new_key(), new_challenge())
                    pong = Pong(request_id=request.request_id, proof=proof)
                    await stream.send(encode(said(1, "believe me")) + encode(pong))

    async with (
        await anyio.create_tcp_listener(local_host=HOST, local_port=port) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, answer)
        yield received
        tasks.cancel_scope.cancel()


async def test_stranger_in_place_of_the_own_server_gets_only_challenges(
    tmp_path: Path,
) -> None:
    """Even if it takes the port while the app is connected, and the app reconnects."""
    key_file = tmp_path / "a place" / "server.key"
    with serve(tmp_path / "chat.db", f"--set=key_file={key_file}") as running:
        port, key = running.port, key_file.read_bytes()
        url = replace(Address(HOST, port, tls=False), key_file=key_file).url
        options = replace(QUICK, backoff_base=0.01)
        async with open_client(url, options=options) as client:
            await client.register("mei", "a secret password")
            await client.log_in("mei", "a secret password")
            token = client.token
            running.process.kill()
            running.process.wait()
            replace_file(key_file, key)  # as a killed server leaves it
            async with stranger(port) as received:
                with anyio.fail_after(PATIENCE):
                    async for event in client:
                        assert not isinstance(event, Message)
                        if isinstance(event, StateChanged) and "not your own" in event.reason:
                            assert event.state is ConnectionState.RECONNECTING
                            break
    assert token is not None
    got = requests_in(bytes(received))
    assert got
    assert all(isinstance(request, Ping) and request.challenge for request in got)
    for secret in (token, "secret", "mei"):
        assert secret.encode() not in received


async def test_password_is_not_sent_to_a_stranger(tmp_path: Path, free_tcp_port: int) -> None:
    key_file = tmp_path / "server.key"
    replace_file(key_file, new_key())
    url = replace(Address(HOST, free_tcp_port, tls=False), key_file=key_file).url
    async with stranger(free_tcp_port) as received, open_client(url) as client:
        with pytest.raises(ConnectionLost, match=f":{free_tcp_port} is not your own server"):
            await client.log_in("mei", "a secret password")
        with pytest.raises(ConnectionLost, match="nothing was sent"):
            await client.register("mei", "a secret password")
    assert all(isinstance(request, Ping) for request in requests_in(bytes(received)))
    assert b"secret" not in received


async def test_client_without_the_key_does_not_connect(tmp_path: Path, free_tcp_port: int) -> None:
    url = replace(Address(HOST, free_tcp_port, tls=False), key_file=tmp_path / "none").url
    async with stranger(free_tcp_port) as received, open_client(url) as client:
        with pytest.raises(ConnectionLost, match="not running: start it with gochat chat"):
            await client.log_in("mei", "a secret password")
    assert not received


async def test_data_from_a_stranger_does_not_reach_the_program(
    tmp_path: Path, free_tcp_port: int
) -> None:
    key_file = tmp_path / "server.key"
    replace_file(key_file, new_key())
    address = Address(HOST, free_tcp_port, tls=False, key_file=key_file)
    received: list[object] = []

    class Receiver(NullReceiver):
        def received(self, event: Event) -> None:
            received.append(event)

        def replied(self, request: Request, reply: Reply) -> None:
            received.append(reply)

    async with stranger(free_tcp_port):
        with pytest.raises(ConnectionLost, match="not your own server"):
            async with open_connection(address, None, Receiver(), QUICK):
                pass
        assert [type(message) for message in received] == [Pong]  # of which only the proof counts


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such owners")
async def test_key_of_another_user_is_refused(
    tmp_path: Path, free_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who could put a file there would have a proof for it."""
    key_file = tmp_path / "server.key"
    replace_file(key_file, new_key())
    monkeypatch.setattr("os.geteuid", lambda: key_file.stat().st_uid + 1)
    url = replace(Address(HOST, free_tcp_port, tls=False), key_file=key_file).url
    async with open_client(url, options=ClientOptions()) as client:
        with pytest.raises(ConnectionLost, match="belongs to another user"):
            await client.log_in("mei", "a secret password")


@pytest.mark.parametrize("name", ["server.key", "a b&c=d?e#f%20+.key", "密钥"])
def test_key_file_is_part_of_the_address(name: str) -> None:
    address = Address("::1", 1, tls=True, key_file=Path("/state") / name)
    assert parse(address.url) == address
    assert str(address) == "[::1]:1"


def test_proof_depends_on_key_and_challenge() -> None:
    key, challenge = new_key(), new_challenge()
    assert is_proof(key, challenge, prove(key, challenge))
    assert not is_proof(key, challenge, prove(new_key(), challenge))
    assert not is_proof(key, challenge, prove(key, new_challenge()))
    for junk in (None, "", "é", prove(key, challenge).upper()):
        assert not is_proof(key, challenge, junk)
