"""Server addresses, and connecting to them."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from typing import NoReturn

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from patience import PATIENCE

from gochat.client import open_client
from gochat.client.address import Address, Security, connect, parse
from gochat.errors import ConfigError, ConnectionLost

ENCRYPTED, PLAIN, HERE = Security.ENCRYPTED, Security.PLAIN_TEXT, Security.THIS_MACHINE


@pytest.mark.parametrize(
    ("text", "url", "security"),
    [
        # A machine on the network: TLS, unless plain text is explicit.
        ("chat.example", "gochats://chat.example:8889", ENCRYPTED),
        ("chat.example:9000", "gochats://chat.example:9000", ENCRYPTED),
        (" Chat.Example/ ", "gochats://chat.example:8889", ENCRYPTED),
        ("10.0.0.1", "gochats://10.0.0.1:8889", ENCRYPTED),
        ("2001:db8::1", "gochats://[2001:db8::1]:8889", ENCRYPTED),
        ("[2001:db8::1]:7000", "gochats://[2001:db8::1]:7000", ENCRYPTED),
        ("gochats://chat.example:443/", "gochats://chat.example:443", ENCRYPTED),
        ("gochat://chat.example", "gochat://chat.example:8889", PLAIN),
        ("GOCHAT://10.0.0.1:1", "gochat://10.0.0.1:1", PLAIN),
        # This machine, as written: never by resolving a name.
        ("localhost", "gochat://localhost:8889", HERE),
        ("LocalHost.:1", "gochat://localhost.:1", HERE),
        ("chat.localhost:1", "gochat://chat.localhost:1", HERE),
        ("127.0.0.1:9000", "gochat://127.0.0.1:9000", HERE),
        ("127.1.2.3", "gochat://127.1.2.3:8889", HERE),
        ("::1", "gochat://[::1]:8889", HERE),
        ("[::1]:9000", "gochat://[::1]:9000", HERE),
        ("::ffff:127.0.0.1", "gochat://[::ffff:127.0.0.1]:8889", HERE),
        ("gochat://127.0.0.1:8889", "gochat://127.0.0.1:8889", HERE),
        ("gochats://localhost", "gochats://localhost:8889", ENCRYPTED),
        # These look like this machine, but are not, or not certainly.
        ("127.example.org", "gochats://127.example.org:8889", ENCRYPTED),
        ("localhost.example.org", "gochats://localhost.example.org:8889", ENCRYPTED),
        ("notlocalhost", "gochats://notlocalhost:8889", ENCRYPTED),
        ("127.1", "gochats://127.1:8889", ENCRYPTED),
        ("2130706433", "gochats://2130706433:8889", ENCRYPTED),
        ("0.0.0.0", "gochats://0.0.0.0:8889", ENCRYPTED),
        ("::ffff:10.0.0.1", "gochats://[::ffff:10.0.0.1]:8889", ENCRYPTED),
        ("ip6-localhost", "gochats://ip6-localhost:8889", ENCRYPTED),
    ],
)  # fmt: skip
def test_address_uses_tls_unless_local_or_explicitly_plain(
    text: str, url: str, security: Security
) -> None:
    address = parse(text)
    assert (address.url, address.security) == (url, security)
    assert parse(address.url) == address


@pytest.mark.parametrize(
    "text",
    ["", "http://localhost", "gochat://", "gochat://a:port", "a:port", "a b", "gochat+tls://a",
     "gochat://a:99999", "gochat://a/room", "gochat://[::1", "a/room", "me@a", "gochat://a?b"],
)  # fmt: skip
def test_invalid_address_error_says_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match="invalid server address"):
        parse(text)


@pytest.mark.parametrize("text", ["a:port", "a:99999", "a:0", "gochat://a:-1"])
def test_invalid_port_error_says_what_a_port_is(text: str) -> None:
    with pytest.raises(ConfigError, match=r"the port is a number from 1 to 65535$"):
        parse(text)


@pytest.mark.anyio
async def test_plain_text_across_a_network_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    for url in ("chat.example", "gochats://chat.example", "127.0.0.1", "gochat://localhost"):
        async with open_client(url):
            pass
    assert not caplog.messages
    async with open_client("gochat://chat.example"):
        pass
    assert [text for text in caplog.messages if "not encrypted" in text] == caplog.messages != []


@pytest.mark.anyio
async def test_localhost_that_resolves_elsewhere_gets_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rule applies to the name, so its address is checked before anything is sent."""

    class Elsewhere:
        is_closed = False

        def extra(self, _: object) -> tuple[str, int]:
            return "192.0.2.1", 8889

        async def aclose(self) -> None:
            self.is_closed = True

    stream = Elsewhere()

    async def lead_elsewhere(host: str, port: int) -> Elsewhere:
        return stream

    monkeypatch.setattr(anyio, "connect_tcp", lead_elsewhere)
    with pytest.raises(
        ConnectionLost, match=r"localhost resolves to 192\.0\.2\.1.*nothing was sent"
    ):
        await connect(parse("localhost"), None, connect_timeout=10, tls_timeout=5)
    assert stream.is_closed


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [b"", b"\0\0\0\x02{}", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_server_without_tls_gets_a_handshake_and_nothing_else(answer: bytes) -> None:
    """No fallback: the error says how to write the address of a server without TLS."""
    received = bytearray()
    connections = 0
    ended = anyio.Event()

    async def serve(stream: SocketStream) -> None:
        nonlocal connections
        connections += 1
        async with stream:
            received.extend(await stream.receive())
            if answer:
                await stream.send(answer)
                with anyio.move_on_after(PATIENCE):
                    async for data in stream:
                        received.extend(data)
        ended.set()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve)
        port = listener.extra(SocketAttribute.local_port)
        with pytest.raises(
            ConnectionLost, match=rf"does not speak TLS.*: gochat://127.0.0.1:{port}"
        ):
            async with open_client(f"gochats://127.0.0.1:{port}") as client:
                await client.log_in("mei", "a secret password")
        await ended.wait()
        tasks.cancel_scope.cancel()
    assert connections == 1
    assert received[0] == 22  # a TLS handshake
    assert b"secret" not in received
    assert b"mei" not in received


@pytest.mark.anyio
async def test_connection_reset_at_once_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    connect_tcp = anyio.connect_tcp
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def connect_and_be_reset(host: str, port: int) -> SocketStream:
            stream = await connect_tcp(host, port)
            peer, _ = listener.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            with anyio.fail_after(PATIENCE), suppress(OSError):
                while stream.extra(SocketAttribute.raw_socket).getpeername():  # noqa: ASYNC110 -- a socket has no event for this
                    await anyio.sleep(0.001)
            return stream

        monkeypatch.setattr(anyio, "connect_tcp", connect_and_be_reset)
        async with open_client(f"gochat://127.0.0.1:{listener.getsockname()[1]}") as client:
            with pytest.raises(ConnectionLost, match="closed the connection"):
                await client.log_in("mei", "correct horse")


def test_address_is_shown_as_people_write_it() -> None:
    assert str(Address("chat.example", 8889, tls=True)) == "chat.example:8889"
    assert str(Address("::1", 8889, tls=False)) == "[::1]:8889"


ADDRESS = Address("chat.example", 8889, tls=False)


def grouped(*errors: Exception) -> OSError:
    """Return the error of a failed attempt at several addresses of one name."""
    failure = OSError("All connection attempts failed")
    failure.__cause__ = ExceptionGroup("multiple connection attempts failed", errors)
    return failure


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ConnectionRefusedError(),
            "no server answers at chat.example:8889: is the server running?",
        ),
        (grouped(OSError("a"), ConnectionRefusedError()), "no server answers at chat.example:8889"),
        (socket.gaierror(-2, "Name or service not known"), "unknown host"),
        (UnicodeError("label too long"), "unknown host 'chat.example'"),
        (OSError(errno.ENETUNREACH, "…"), "can't be reached: is this machine online?"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            "can't connect to .*: .*Too many open files",
        ),
    ],
)
async def test_network_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    async def fail(host: str, port: int) -> NoReturn:
        raise error

    monkeypatch.setattr(anyio, "connect_tcp", fail)
    with pytest.raises(ConnectionLost, match=text):
        await connect(ADDRESS, None, connect_timeout=10, tls_timeout=5)


@pytest.mark.anyio
async def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(host: str, port: int) -> NoReturn:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(anyio, "connect_tcp", wait)
    with pytest.raises(ConnectionLost, match=r"did not answer within 0\.01 s"):
        await connect(ADDRESS, None, connect_timeout=0.01, tls_timeout=5)
