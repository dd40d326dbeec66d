"""Several listeners, unix sockets, and clients behind proxies, on a running server."""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trustme
from msgspec import structs
from patience import PATIENCE
from peers import Peer, config
from structlog.typing import EventDict

from gochat.config import Config, Listen, Tls
from gochat.errors import AddressUnavailable, ConfigError
from gochat.protocol.codec import encode
from gochat.protocol.messages import Ping, Pong, Send, Sent
from gochat.server.app import serve

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets"),
]

FreePort = Callable[[], int]
HEADER = b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 8889\r\n"


@asynccontextmanager
async def serving(configuration: Config) -> AsyncIterator[list[EventDict]]:
    """Run a server; yield its log."""
    stop = trio.Event()

    async def run(*, task_status: trio.TaskStatus[Any]) -> None:
        await serve(configuration, stop=stop, task_status=task_status)

    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            try:
                yield logs
            finally:
                stop.set()


def listening(*listen: Listen, **options: Any) -> Config:
    return structs.replace(config(**options), listen=listen)


async def tcp(port: int) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port)


async def closed(stream: trio.abc.ReceiveStream) -> bytes:
    """Return what comes until the connection is closed, or reset."""
    data = b""
    with trio.fail_after(PATIENCE):
        try:
            while more := await stream.receive_some():
                data += bytes(more)
        except trio.BrokenResourceError:
            pass
    return data


async def test_one_chat_at_all_doors(free_port: FreePort, tmp_path: Path) -> None:
    ports, path = [free_port(), free_port()], tmp_path / "gochat.sock"
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)
    doors = listening(
        Listen(port=ports[0]),
        Listen(port=ports[1], tls=False),
        Listen(unix=str(path), unix_mode="666"),
    )
    pem = str(tmp_path / "pem")
    async with serving(structs.replace(doors, tls=Tls(cert=pem, key=pem))) as logs:
        assert [
            (e.get("path"), e.get("port"), e["tls"]) for e in logs if e["event"] == "listening"
        ] == [
            (None, ports[0], True),
            (None, ports[1], False),
            (str(path), None, False),
        ]
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        encrypted = await trio.open_ssl_over_tcp_stream(
            "127.0.0.1", ports[0], ssl_context=trust, https_compatible=True
        )
        streams = [encrypted, await tcp(ports[1]), await trio.open_unix_socket(str(path))]
        peers = [Peer(stream) for stream in streams]
        for number, peer in enumerate(peers):
            await peer.log_in(f"p{number}", "log")
        await peers[0].ask(Send(to="#lobby", text="everywhere"), Sent)
        for peer in peers[1:]:
            assert (await peer.text()).text == "everywhere"
        assert next(e for e in logs if e.get("account") == "p2")["address"] == "unix"
        for stream in streams:
            await stream.aclose()
    assert not path.exists(), "it is removed at the end"


async def test_socket_of_a_killed_server_is_replaced_and_of_a_running_one_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gochat.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    doors = listening(Listen(unix=str(path)))
    async with serving(doors):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with pytest.raises(BaseExceptionGroup) as caught:
            await serve(structs.replace(doors))
        assert caught.group_contains(AddressUnavailable, match="is running there already")
        async with await trio.open_unix_socket(str(path)) as stream:
            await Peer(stream).ask(Ping(), Pong)


async def test_path_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine")
    for wrong in (path, tmp_path / "missing" / "sock"):
        with pytest.raises(BaseExceptionGroup) as caught:
            await serve(listening(Listen(unix=str(wrong))))
        assert caught.group_contains(ConfigError, match="can't listen on")
    assert path.read_text() == "mine"


# -- proxies --------------------------------------------------------------------------------------


async def test_clients_of_a_trusted_proxy_count_by_their_own_addresses(free_port: FreePort) -> None:
    """In the log, and in the limits: one client with too many does not shut out the others."""
    port = free_port()
    doors = listening(Listen(port=port, proxy_from=("127.0.0.0/8",)), connections_per_address=2)
    async with serving(doors) as logs:
        held = []
        for number in range(3):
            stream = await tcp(port)
            await stream.send_all(HEADER + encode(Ping()))
            held.append(stream)
            if number < 2:
                assert await stream.receive_some()
        assert b"too many connections" in await closed(held[2])
        other = await tcp(port)
        await other.send_all(HEADER.replace(b".2.7", b".2.8"))
        peer = Peer(other)
        await peer.log_in("mei")
        for stream in (*held, other):
            await stream.aclose()
    login = next(e for e in logs if e["event"] == "logged in")
    assert (login["address"], login["port"]) == ("192.0.2.8", 40000)
    assert next(e for e in logs if e["event"] == "connection refused")["address"] == "192.0.2.7"


async def test_header_from_elsewhere_is_not_believed(free_port: FreePort) -> None:
    port = free_port()
    async with serving(listening(Listen(port=port, proxy_from=("192.0.2.0/24",)))) as logs:
        async with await tcp(port) as liar:
            await liar.send_all(HEADER + encode(Ping()))
            assert b"frame_too_large" in await closed(liar), "it is a frame like any other"
        async with await tcp(port) as direct:
            await Peer(direct).log_in("mei")
    assert {e["address"] for e in logs if "address" in e} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "data",
    [
        encode(Ping()) * 5,
        b"PROXY TCP4 192.0.2.7 127.0.0.1 x 8889\r\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff" + bytes(100),
        b"",
    ],
)
async def test_trusted_proxy_without_a_whole_header_is_refused(
    free_port: FreePort, data: bytes
) -> None:
    """Also one that has sent half of it, and goes on trickling: it has the time of a handshake."""
    port = free_port()
    doors = listening(Listen(port=port, proxy_from=("127.0.0.1",)), tls_handshake_timeout=0.2)
    async with serving(doors) as logs, await tcp(port) as stream:
        await stream.send_all(data)
        assert await closed(stream) == b""
        async with await tcp(port) as other:
            await other.send_all(HEADER)
            await Peer(other).log_in("mei")
    refused = next(e for e in logs if e["event"] == "PROXY header refused")
    assert refused["address"] == "127.0.0.1"


async def test_tls_begins_after_the_header(free_port: FreePort, tmp_path: Path) -> None:
    port, authority = free_port(), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    pem = str(tmp_path / "pem")
    issued.private_key_and_cert_chain_pem.write_to_path(pem)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)
    doors = listening(Listen(port=port, proxy_from=("127.0.0.1",)))
    async with serving(structs.replace(doors, tls=Tls(cert=pem, key=pem))) as logs:
        stream = await tcp(port)
        await stream.send_all(HEADER)
        async with trio.SSLStream(
            stream, trust, server_hostname="127.0.0.1", https_compatible=True
        ) as encrypted:
            await Peer(encrypted).log_in("mei")
    assert next(e for e in logs if e["event"] == "logged in")["address"] == "192.0.2.7"


async def test_proxy_at_a_unix_socket_is_trusted_by_the_socket_s_mode(tmp_path: Path) -> None:
    path = tmp_path / "proxied.sock"
    async with serving(listening(Listen(unix=str(path), proxy_from=("unix",)))) as logs:
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(HEADER)
            await Peer(stream).log_in("mei")
    assert next(e for e in logs if e["event"] == "logged in")["address"] == "192.0.2.7"
    assert not path.exists()
