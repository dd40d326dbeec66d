"""The WebSocket handshake: who is let in, who is told why not, and what it must not cost."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from msgspec import structs
from patience import PATIENCE
from peers import RunningServer, config, running_server
from websocket_peer import WebSocketStream, connect

from gochat.config import Config
from gochat.protocol.codec import encode
from gochat.protocol.messages import Bye, Error, Ping, Pong
from gochat.server import upgrade
from gochat.server.app import open_server
from gochat.server.budget import CONNECTION, HANDSHAKE
from gochat.server.upgrade import MAX_HEADER

pytestmark = pytest.mark.trio

#: The example of RFC 6455, section 1.3, and what it must be answered with.
KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def open_to_browsers(*origins: str, **limits: Any) -> Config:
    return structs.replace(config(**limits), websocket=True, websocket_origins=origins)


def header(*more: str, path: str = "/", **changed: str | None) -> bytes:
    """Return a browser's request; a keyword changes a field, or with None leaves it out."""
    fields: dict[str, str | None] = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Key": KEY.decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "gochat.1",
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    }
    fields |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, *more, "", ""]).encode()


async def answer(server: RunningServer, *pieces: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes."""
    async with await trio.open_tcp_stream(server.host, server.port) as stream:
        for piece in pieces:
            await stream.send_all(piece)
        return await until_the_end(stream)


async def until_the_end(stream: trio.SocketStream) -> bytes:
    data = b""
    with trio.fail_after(PATIENCE):
        while some := await stream.receive_some():
            data += some
    return data


# -- accepted -------------------------------------------------------------------------------------


async def test_response_is_what_the_rfc_says_without_extensions() -> None:
    async with running_server(open_to_browsers()) as server:
        async with await trio.open_tcp_stream(server.host, server.port) as stream:
            for byte in header():
                await stream.send_all(bytes([byte]))
            response = b""
            with trio.fail_after(PATIENCE):
                while not response.endswith(b"\r\n\r\n"):
                    response += await stream.receive_some()
            status, *lines = response.rstrip().split(b"\r\n")
            assert status.startswith(b"HTTP/1.1 101 ")
            fields = dict(line.lower().split(b": ", 1) for line in lines)
            assert fields == {
                b"upgrade": b"websocket",
                b"connection": b"upgrade",
                b"sec-websocket-accept": ACCEPT.lower(),
                b"sec-websocket-protocol": b"gochat.1",
            }
            assert ACCEPT in response


async def test_messages_right_behind_the_header_are_answered() -> None:
    """A browser waits; a program may not."""
    body = b'{"msg_type":"ping","msg_data":"{}"}'
    message = bytes([0x81, 0x80 | len(body)]) + bytes(4) + body
    async with running_server(open_to_browsers()) as server:
        async with await trio.open_tcp_stream(server.host, server.port) as stream:
            await stream.send_all(header() + message[:10])
            await stream.send_all(message[10:])
            data = b""
            with trio.fail_after(PATIENCE):
                while b"pong" not in data:
                    data += await stream.receive_some()


@pytest.mark.parametrize("pieces", [1, 2, 5], ids=lambda count: f"in {count}")
async def test_other_clients_connect_as_ever(pieces: int) -> None:
    async with running_server(open_to_browsers()) as server, server.connect() as peer:
        data = encode(Ping(request_id="1"))
        for piece in range(pieces):
            end = len(data) if piece == pieces - 1 else piece + 1
            await peer.stream.send_all(data[piece:end])
        assert await peer.receive() == Pong(request_id="1")
        await peer.log_in("bob")


async def test_client_that_says_nothing_gets_the_usual_goodbye_in_the_usual_time() -> None:
    limits = open_to_browsers(tls_handshake_timeout=0.2, anonymous_timeout=0.6)
    async with running_server(limits) as server, server.connect() as peer:
        began = trio.current_time()
        [bye] = await peer.at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "login_timeout"
        assert trio.current_time() - began < 3 * 0.6


async def test_half_of_the_first_word_is_not_waited_for_longer_than_a_frame() -> None:
    limits = open_to_browsers(tls_handshake_timeout=0.2, frame_timeout=0.4)
    async with running_server(limits) as server, server.connect() as peer:
        await peer.stream.send_all(b"GE")
        [bye] = await peer.at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "frame_timeout"


async def test_client_that_leaves_at_once_is_no_failure() -> None:
    with structlog.testing.capture_logs() as lines:
        async with running_server(open_to_browsers()) as server:
            async with server.connect():
                pass
            async with server.connect() as other:
                await other.ask(Ping(), Pong)
    assert not [line for line in lines if "failed" in line["event"]]


# -- refused --------------------------------------------------------------------------------------

_HUGE = f"X: {'x' * MAX_HEADER}"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"426 "),
        (b"GET /index.html HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n", b"426 "),
        (header(Upgrade="h2c"), b"426 "),
        (header(Sec_WebSocket_Version="8"), b"426 "),
        (header(Sec_WebSocket_Version=None), b"426 "),
        (header(Sec_WebSocket_Key=None), b"426 "),
        (header(path="/chat"), b"404 "),
        (header(Sec_WebSocket_Protocol="chat"), b"400 "),
        (header(Sec_WebSocket_Protocol=None), b"400 "),
        (header(Host=None), b"400 "),
        (b"GET \xff\xff\r\n\r\n", b"400 "),
        (b"GET / HTTP/9\r\n\r\n", b"400 "),
        (b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"400 "),
        (header(Host="\xff"), b"400 "),
        (header(Connection="\xff"), b"400 "),
        (header(Origin="https://evil.example"), b"403 "),
        (header("Origin: http://127.0.0.1", Origin="http://127.0.0.1"), b"403 "),
        (header(_HUGE), b"431 "),
        (b"GET / HTTP/1.1\r\n" + _HUGE.encode(), b"431 "),
    ],
    ids=[
        "plain", "page", "h2c", "version 8", "no version", "no key", "path", "other subprotocol",
        "no subprotocol", "no host", "bytes", "HTTP/9", "no name", "host of bytes",
        "connection of bytes", "other site", "two origins", "huge", "huge and without end",
    ],
)  # fmt: skip
async def test_what_is_no_websocket_of_ours_gets_a_short_answer_and_a_log_line(
    request_: bytes, status: bytes
) -> None:
    with structlog.testing.capture_logs() as lines:
        async with running_server(open_to_browsers()) as server:
            response = await answer(server, request_)
            assert response.startswith(b"HTTP/1.1 " + status)
            head, _, body = response.partition(b"\r\n\r\n")
            assert f"Content-Length: {len(body)}".encode() in head
            assert body.endswith(b"\n")
            assert body.isascii()
            assert b"Connection: close" in head
            async with connect(server) as (peer, _):
                await peer.ask(Ping(), Pong)
    [line] = [line for line in lines if line["event"] == "WebSocket handshake failed"]
    assert line["log_level"] == "info"
    assert line["reason"] == body.decode().strip()
    assert line["address"] == "127.0.0.1"
    assert line.get("origin") == (
        "https://evil.example" if b"evil" in request_ else line.get("origin")
    )


async def test_without_the_key_in_the_configuration_there_is_none() -> None:
    async with running_server(config()) as server, server.connect() as peer:
        await peer.stream.send_all(header())
        error, bye = await peer.at_end()
        assert isinstance(error, Error)
        assert error.code == "frame_too_large"
        assert isinstance(bye, Bye)


async def test_handshakes_are_paid_for_whatever_becomes_of_them() -> None:
    limits = open_to_browsers(
        request_budget=10, request_budget_per_second=0.001, connections_per_address=4
    )
    async with running_server(limits) as server:
        answers = 0
        with contextlib.suppress(trio.BrokenResourceError):  # who is refused is not read from
            while (await answer(server, header(_HUGE))).startswith(b"HTTP/1.1 431 "):
                answers += 1
        assert answers == 4 * 10 / (CONNECTION + HANDSHAKE)


async def test_slow_header_is_cut_off_at_the_deadline_of_a_handshake() -> None:
    limits = open_to_browsers(tls_handshake_timeout=0.4, anonymous_timeout=60)
    async with running_server(limits) as server:
        async with await trio.open_tcp_stream(server.host, server.port) as stream:

            async def trickle() -> None:
                for byte in header():
                    try:
                        await stream.send_all(bytes([byte]))
                    except trio.BrokenResourceError:
                        return
                    await trio.sleep(0.02)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(trickle)
                with contextlib.suppress(trio.BrokenResourceError):
                    assert await until_the_end(stream) == b""
                nursery.cancel_scope.cancel()
        async with connect(server) as (peer, _):
            await peer.ask(Ping(), Pong)


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n"], ids=["silent", "in the header"])
async def test_connection_that_makes_room_is_told_so_if_it_may_be_no_browser(data: bytes) -> None:
    with structlog.testing.capture_logs() as lines:
        async with open_server(open_to_browsers()) as server, trio.open_nursery() as nursery:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve_stream, theirs, "192.0.2.1")
            await ours.send_all(data)
            await trio.testing.wait_all_tasks_blocked()
            [handshake] = server._handshakes.waiting
            handshake.make_room()
            with trio.fail_after(PATIENCE):
                left = await ours.receive_some()
                assert left == b"" or await ours.receive_some() == b""
            assert (b"server_full" in left) == (not data)
            nursery.cancel_scope.cancel()
    [line] = [line for line in lines if line.get("address") == "192.0.2.1"]
    assert line["event"] == ("WebSocket handshake failed" if data else "connection refused")
    assert line.get("code") == (None if data else "server_full"), "so the metrics have it, too"


# -- origins --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host", "is_encrypted", "is_own"),
    [
        ("http://127.0.0.1:8889", "127.0.0.1:8889", False, True),
        ("http://localhost:8889", "localhost:8889", False, True),
        ("http://[::1]:8889", "[::1]:8889", False, True),
        ("http://192.168.1.5", "192.168.1.5", False, True),
        ("http://192.168.1.5", "192.168.1.5:80", False, True),
        ("https://192.168.1.5", "192.168.1.5:443", False, True),
        ("https://chat.example", "chat.example", True, True),
        ("https://chat.example", "CHAT.example:443", True, True),
        ("http://127.0.0.1:8000", "127.0.0.1:8889", False, False),
        ("http://127.0.0.1", "127.0.0.1:8889", False, False),
        ("https://evil.example", "chat.example", True, False),
        ("null", "127.0.0.1", False, False),
        ("file://", "127.0.0.1", False, False),
        ("http://127.0.0.1:99999", "127.0.0.1:99999", False, False),
        ("http://[::1", "[::1", False, False),
        ("", "", False, False),
        # A name that was made to lead here after its page was loaded.
        ("http://evil.example:8889", "evil.example:8889", False, False),
    ],
)
async def test_own_host_is_the_default(
    origin: str, host: str, is_encrypted: bool, is_own: bool
) -> None:
    assert upgrade.is_own(origin, host, is_encrypted=is_encrypted) is is_own


@pytest.mark.parametrize(
    ("listed", "origin", "is_accepted"),
    [
        ((), None, True),
        ((), "http://127.0.0.1:1", False),
        (("https://chat.example",), "https://chat.example", True),
        (("https://chat.example",), "HTTPS://Chat.Example", True),
        (("https://chat.example",), None, True),
        (("https://chat.example",), "https://chat.example.evil.example", False),
        (("https://chat.example",), "http://chat.example", False),
        (("https://chat.example",), "null", False),
        (("https://chat.example", "null"), "null", True),
        (("*",), "https://evil.example", True),
    ],
)
async def test_listed_origins_take_the_place_of_the_default(
    listed: tuple[str, ...], origin: str | None, is_accepted: bool
) -> None:
    async with running_server(open_to_browsers(*listed)) as server:
        if is_accepted:
            async with connect(server, origin=origin) as (peer, _):
                await peer.ask(Ping(), Pong)
        else:
            with pytest.raises(ConnectionRefusedError, match="403"):
                async with connect(server, origin=origin):
                    pass
        own = f"http://{server.host}:{server.port}"
        async with WebSocketStream(await trio.open_tcp_stream(server.host, server.port)) as stream:
            try:
                await stream.connect(own.removeprefix("http://"), origin=own)
            except ConnectionRefusedError:
                assert listed
                assert "*" not in listed
            else:
                assert not listed or "*" in listed
