"""WebSocket, message by message: what a session gets and sends, and how it ends."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from patience import PATIENCE
from peers import Peer, RunningServer, config, running_server
from websocket_peer import WebSocketStream, connect
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.events import Ping as WebSocketPing

from gochat.config import Config, Tls
from gochat.protocol.framing import frame
from gochat.protocol.messages import (
    Bye,
    Error,
    History,
    HistoryPage,
    Message,
    People,
    Ping,
    Pong,
    Presence,
    Send,
    Sent,
    Who,
)
from gochat.server import websocket
from gochat.server.app import open_server
from gochat.server.delivery import open_delivery
from gochat.server.outlets import EncodedOutlet
from gochat.server.session import Session

pytestmark = pytest.mark.trio

#: A mask of zeros leaves what it masks as it is.
MASKED, MASK = 0x80, bytes(4)


def open_to_browsers(**limits: Any) -> Config:
    return structs.replace(config(**limits), websocket=True)


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(open_to_browsers()) as server:
        yield server


def part(first: int, payload: bytes = b"", *, length: bytes | None = None) -> bytes:
    """Return a WebSocket frame with any first byte, and with any length."""
    if length is None:
        size = len(payload)
        length = bytes([size]) if size <= 125 else b"\x7e" + size.to_bytes(2, "big")
    return bytes([first, length[0] | MASKED]) + length[1:] + MASK + payload


def request(msg_type: str, **fields: object) -> bytes:
    data = json.dumps(fields, ensure_ascii=False)
    return json.dumps({"msg_type": msg_type, "msg_data": data}, ensure_ascii=False).encode()


# -- chatting -------------------------------------------------------------------------------------


async def test_browsers_and_others_chat(server: RunningServer) -> None:
    async with server.peer("bob") as bob, connect(server) as (eve, _):
        await eve.log_in("eve", "log")
        await bob.sees(online="eve")
        await bob.send(Send(to="#lobby", text="你好 👋"))
        assert (await eve.text()).text == "你好 👋"
        sent = await eve.ask(Send(to="@bob", text="x" * 4000), Sent)
        assert (await bob.text()).seq == sent.seq
        page = await eve.ask(History(conv="@bob"), HistoryPage)
        assert [entry.text for entry in page.entries] == ["x" * 4000]


async def test_a_minimal_client_in_a_browser_gets_the_same_frames(server: RunningServer) -> None:
    """The six functions, with nothing but the envelope; compared with a client of frames."""
    async with server.peer("bob") as bob, connect(server) as (eve, _):
        await eve.log_in("eve")
        await bob.sees(online="eve")
        for peer, other in ((bob, eve), (eve, bob)):
            await peer.send(Send(to="#lobby", text="to all"))
            await peer.send(Send(to=f"@{other.name}", text="to one"))
            assert [(await other.text()).text for _ in range(2)] == ["to all", "to one"]
            await peer.ask(Who(), People)


async def test_messages_of_every_length_arrive_whole(server: RunningServer) -> None:
    """A WebSocket header has three lengths, and replies go up to a frame's limit."""
    async with connect(server) as (peer, _):
        await peer.log_in("eve", "log")
        for length in (1, 60, 100, 120, 130, 4000):
            await peer.ask(Send(to="#lobby", text="字" * length), Sent)
        page = await peer.ask(History(conv="#lobby", limit=200), HistoryPage)
        assert [len(entry.text) for entry in page.entries] == [1, 60, 100, 120, 130, 4000]


async def test_bytes_sent_one_at_a_time_are_reassembled(server: RunningServer) -> None:
    async with connect(server) as (peer, stream):
        for byte in part(0x81, request("ping", request_id="1")):
            await stream.beneath.send_all(bytes([byte]))
        assert (await peer.expect(Pong)).request_id == "1"


async def test_fragments_with_a_ping_among_them_are_one_message(server: RunningServer) -> None:
    body = request("ping", request_id="ö")
    async with connect(server) as (peer, stream):
        cut = body.index("ö".encode()) + 1  # inside a character
        await stream.beneath.send_all(
            part(0x01, body[:cut]) + part(0x89, b"alive?") + part(0x80, body[cut:])
        )
        assert (await peer.expect(Pong)).request_id == "ö"
        assert stream.pongs == [b"alive?"]


async def test_of_pings_that_arrive_together_the_last_is_answered(server: RunningServer) -> None:
    async with connect(server) as (peer, stream):
        pings = b"".join(part(0x89, b"%d" % number) for number in range(10))
        await stream.beneath.send_all(pings + part(0x81, request("ping")))
        await peer.expect(Pong)
        assert stream.pongs == [b"9"]
        await stream.send_event(WebSocketPing(b"again"))
        await peer.ask(Ping(), Pong)
        assert stream.pongs == [b"9", b"again"]


async def test_malformed_messages_are_refused_and_the_connection_lives(
    server: RunningServer,
) -> None:
    async with connect(server) as (peer, stream):
        await stream.send_event(TextMessage("hello"))
        assert (await peer.expect(Error)).code == "malformed"
        await peer.ask(Ping(), Pong)


async def test_two_people_chat_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    encrypted = structs.replace(open_to_browsers(), tls=Tls(cert=str(pem)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    async with running_server(encrypted) as server:

        async def open_stream() -> trio.abc.Stream:
            plain = await trio.open_tcp_stream(server.host, server.port)
            return trio.SSLStream(
                plain, context, server_hostname="127.0.0.1", https_compatible=True
            )

        async with (
            WebSocketStream(await open_stream()) as stream,
            await open_stream() as frames,
        ):
            await stream.connect("127.0.0.1", origin="https://127.0.0.1")
            eve, bob = Peer(stream), Peer(frames)
            await eve.log_in("eve", "log")
            await bob.log_in("bob")
            for number in range(100):
                await bob.send(Send(to="#lobby", text=f"{number}" * 1000))
            texts = [(await eve.text()).text for _ in range(100)]
            assert texts == [f"{number}" * 1000 for number in range(100)]
            server.stop.set()
            await eve.expect(Bye)
            await eve.at_end()
            assert stream.close_code == 1000


async def test_it_works_over_streams_without_descriptors() -> None:
    async with open_server(open_to_browsers()) as server, trio.open_nursery() as nursery:
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve_stream, theirs, "memory")
        stream = WebSocketStream(ours)
        await stream.connect("localhost", origin="http://localhost")
        peer = Peer(stream)
        await peer.log_in("eve", "log")
        for number in range(100):
            await peer.ask(Send(to="#lobby", text=f"{number}" * 1000), Sent)
        await stream.send_event(CloseConnection(code=1000))
        await peer.at_end()
        assert stream.close_code == 1000
        nursery.cancel_scope.cancel()


# -- encoding -------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 3 * 65536) | st.sampled_from([125, 126, 65535, 65536]), max_size=5))
async def test_no_encoded_byte_stands_for_more_than_two(sizes: list[int]) -> None:
    bodies = [b"x" * size for size in sizes]
    frames = b"".join(map(frame, bodies))
    encoded = websocket.encode(frames)
    assert len(frames) <= websocket.WebSocket(1).encoding(None).frame_bytes * len(encoded)
    browser, got = Connection(ConnectionType.CLIENT), ""
    browser.receive_data(encoded)
    ends = []
    for event in browser.events():
        assert isinstance(event, TextMessage), event
        got += event.data
        if event.message_finished:
            ends.append(len(got))
    assert [b - a for a, b in zip([0, *ends], ends, strict=False)] == sizes


# -- what is against the protocol -----------------------------------------------------------------

BODY = request("ping")


@pytest.mark.parametrize(
    ("data", "code", "error"),
    [
        (bytes([0x81, len(BODY)]) + BODY, 1002, "malformed"),
        (part(0xC1, BODY), 1002, "malformed"),
        (part(0x91, BODY), 1002, "malformed"),
        (part(0x83, BODY), 1002, "malformed"),
        (part(0x89, b"x" * 126), 1002, "malformed"),
        (part(0x09, b"x"), 1002, "malformed"),
        (part(0x80, BODY), 1002, "malformed"),
        (part(0x01, b"{") + part(0x81, BODY), 1002, "malformed"),
        (part(0x81, BODY, length=b"\x7e" + len(BODY).to_bytes(2, "big")), 1002, "malformed"),
        (part(0x81, length=b"\x7f" + b"\xff" * 8), 1002, "malformed"),
        (part(0x88, b"x"), 1002, "malformed"),
        (part(0x88, (1005).to_bytes(2, "big")), 1002, "malformed"),
        (part(0x88, (5000).to_bytes(2, "big")), 1002, "malformed"),
        (part(0x82, BODY), 1003, "malformed"),
        (part(0x81, b"\xff" + BODY), 1007, "malformed"),
        (part(0x81, b'"\xed\xa0\x80"'), 1007, "malformed"),
        (part(0x01, b'"\xf0\x9f') + part(0x80, b'x"'), 1007, "malformed"),
        (part(0x81, b"x" * 65535, length=b"\x7f" + (1 << 40).to_bytes(8, "big")) + b"xx", 1009,
         "frame_too_large"),
        ((part(0x01, b"x" * 60_000) + part(0x80, b"x" * 60_000)), 1009, "frame_too_large"),
        (part(0x81), 1008, "frame_empty"),
    ],
    ids=[
        "unmasked", "compressed", "reserved bit", "reserved opcode", "long ping",
        "fragmented ping", "continues nothing", "message in message", "wasteful length",
        "2^63", "short close", "close 1005", "close 5000", "binary", "not UTF-8", "surrogate",
        "half a character", "too long", "too long in fragments", "empty",
    ],
)  # fmt: skip
async def test_violation_gets_an_error_a_bye_and_its_code(
    data: bytes, code: int, error: str
) -> None:
    limits = open_to_browsers(anonymous_bytes=1_000_000)
    async with running_server(limits) as server:
        async with connect(server) as (peer, stream):
            await stream.beneath.send_all(part(0x81, request("ping", request_id="1")) + data)
            pong, refusal, bye = await peer.at_end()
            assert isinstance(pong, Pong)
            assert isinstance(refusal, Error)
            assert refusal.code == error
            assert "codec" not in refusal.text
            assert isinstance(bye, Bye)
            assert bye.reason == "protocol_error"
            assert stream.close_code == code
            with trio.fail_after(PATIENCE):
                assert await stream.beneath.receive_some() == b""
        async with connect(server) as (peer, _):
            await peer.ask(Ping(), Pong)


async def test_message_of_exactly_the_limit_is_accepted(server: RunningServer) -> None:
    body = BODY[:-1] + b" " * (65536 - len(BODY)) + b"}"
    async with connect(server) as (peer, stream):
        await stream.beneath.send_all(
            part(0x81, body, length=b"\x7f" + len(body).to_bytes(8, "big"))[:-1]
        )
        await stream.beneath.send_all(b"}")
        await peer.expect(Pong)


async def test_binary_messages_are_no_way_in(server: RunningServer) -> None:
    async with connect(server) as (peer, stream):
        await stream.send_event(BytesMessage(BODY))
        await peer.at_end()
        assert stream.close_code == 1003


# -- limits ---------------------------------------------------------------------------------------


async def test_fragments_without_end_are_cut_off_at_the_deadline_of_a_frame() -> None:
    """Pings between them don't extend it."""
    limits = open_to_browsers(frame_timeout=0.4)
    async with running_server(limits) as server, connect(server) as (peer, stream):
        await peer.log_in("eve", "log")

        async def trickle() -> None:
            await stream.beneath.send_all(part(0x01, b"{"))
            while True:
                await trio.sleep(0.03)
                try:
                    await stream.beneath.send_all(part(0x00, b" ") + part(0x89))
                except trio.BrokenResourceError:
                    return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            bye = await peer.expect(Bye)
            nursery.cancel_scope.cancel()
        assert bye.reason == "frame_timeout"
        await peer.at_end()
        assert stream.close_code == 1000


async def test_bytes_before_the_login_are_limited_also_in_fragments() -> None:
    limits = open_to_browsers(anonymous_bytes=4096)
    async with running_server(limits) as server, connect(server) as (peer, stream):
        await stream.beneath.send_all(part(0x01, b" " * 3000))
        await stream.beneath.send_all(part(0x00, b" " * 3000))
        assert (await peer.expect(Bye)).text == "too many bytes before the login"


async def test_pings_before_the_login_are_limited_like_other_frames() -> None:
    limits = open_to_browsers(malformed_frames=16)
    async with running_server(limits) as server, connect(server) as (peer, stream):
        await stream.beneath.send_all(part(0x89, b"x") * 16)
        assert (await peer.expect(Bye)).text == "too many requests before the login"


@pytest.mark.parametrize(
    "flood",
    [part(0x89, b"x"), part(0x8A), part(0x01) + part(0x80, b" ")],
    ids=["pings", "pongs", "fragments"],
)
async def test_frames_without_a_message_are_paid_for(
    monkeypatch: pytest.MonkeyPatch, flood: bytes
) -> None:
    over_budget, hold_back = trio.Event(), Session.hold_back

    def noted(session: Session, seconds: float) -> None:
        if seconds:
            over_budget.set()
        hold_back(session, seconds)

    monkeypatch.setattr(Session, "hold_back", noted)
    limits = open_to_browsers(
        request_budget=200, request_budget_per_second=0.001, malformed_frames=100_000
    )
    async with running_server(limits) as server, connect(server) as (peer, stream):
        await peer.log_in("eve", "log")
        async with (
            connect(server) as (other, _),
            connect(server) as (third, _),
            trio.open_nursery() as nursery,
        ):
            await other.log_in("eve", "log")  # of the same person, who pays for all
            nursery.start_soon(stream.beneath.send_all, flood * 15_000)
            await third.ask(Ping(), Pong)  # nobody else waits
            with trio.fail_after(PATIENCE):
                await over_budget.wait()
            reply = await other.ask(History(conv="#lobby"), Error)
            nursery.cancel_scope.cancel()
        assert reply.code == "rate_limited"


async def test_browser_that_does_not_read_is_a_slow_consumer_and_nobody_waits() -> None:
    limits = open_to_browsers(mailbox_bytes=256 * 1024, write_timeout=60.0)
    async with running_server(limits) as server, server.peer("bob") as bob:
        sock = trio.socket.socket()
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        await sock.connect((server.host, server.port))
        async with WebSocketStream(trio.SocketStream(sock)) as stream:
            await stream.connect("127.0.0.1")
            eve = Peer(stream)
            await eve.log_in("eve", "log")
            await bob.sees(online="eve")
            with trio.fail_after(PATIENCE):
                while not any("eve" in getattr(event, "offline", ()) for event in bob.received):
                    await bob.ask(Send(to="#lobby", text="字" * 4000), Sent)
            got = await eve.at_end()
        seqs = [message.seq for message in got if isinstance(message, Message)]
        assert seqs == list(range(1, len(seqs) + 1)), "what it got is whole and in order"


# -- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999, None])
async def test_close_is_answered_after_what_came_before_it(
    server: RunningServer, code: int | None
) -> None:
    async with server.peer("bob") as bob, connect(server) as (eve, stream):
        await eve.log_in("eve", "log")
        await bob.sees(online="eve")
        close = part(0x88, code.to_bytes(2, "big") if code else b"")
        ping = part(0x81, request("ping", request_id="last"))
        await stream.beneath.send_all(ping + close + part(0x81, BODY))
        assert [m for m in await eve.at_end() if not isinstance(m, Presence)] == [
            Pong(request_id="last")
        ]
        assert stream.close_code == (code or 1005)
        with trio.fail_after(PATIENCE):
            assert await stream.beneath.receive_some() == b""
        await bob.sees(offline="eve")


async def test_bye_is_followed_by_1000(server: RunningServer) -> None:
    async with connect(server) as (eve, stream):
        await eve.log_in("eve", "log")
        server.stop.set()
        *_, bye = await eve.at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "server_closing"
        assert stream.close_code == 1000


async def test_last_word_is_followed_by_1000() -> None:
    """As for a connection that is closed to make room for another."""
    ours, theirs = trio.socket.socketpair()
    with ours, theirs:
        async with open_delivery() as delivery:
            encoding = websocket.WebSocket(65536).encoding(None)
            outlet = EncodedOutlet(ours.fileno(), encoding, delivery, lambda: None)
            outlet.last_word(frame(b"bye"))
            assert await theirs.recv(100) == b"\x81\x03bye" + b"\x88\x02\x03\xe8"


async def test_connection_that_just_breaks_ends_the_session(server: RunningServer) -> None:
    async with server.peer("bob") as bob, connect(server) as (eve, stream):
        await eve.log_in("eve", "log")
        await bob.sees(online="eve")
        await stream.aclose()
        await bob.sees(offline="eve")


@pytest.mark.parametrize("reads", [True, False], ids=["read", "lost"])
async def test_minimal_browser_gets_again_only_what_was_lost(
    server: RunningServer, reads: bool
) -> None:
    async with server.peer("bob") as bob:
        async with connect(server) as (eve, stream):
            await eve.log_in("eve")
            await bob.sees(online="eve")
            await bob.send(Send(to="@eve", text="waiting"))
            if reads:
                assert (await eve.text()).text == "waiting"
                await stream.send_event(CloseConnection(code=1000))
                await eve.at_end()
            else:
                await bob.ask(Ping(), Pong)
                stream.beneath.setsockopt(  # type: ignore[attr-defined]  # it is a socket's
                    trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )
                stream.beneath.socket.close()  # type: ignore[attr-defined]  # as above
        await bob.sees(offline="eve")
        async with connect(server) as (eve, _):
            await eve.log_in("eve")
            await bob.send(Send(to="@eve", text="new"))
            first = await eve.text()
            assert first.text == ("new" if reads else "waiting")
