"""The server over TLS: how bytes arrive, how connections end, and input that is not TLS."""

from __future__ import annotations

import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme
from msgspec import structs
from patience import PATIENCE
from peers import Peer, RunningServer, config, running_server
from session_steps import session_steps

from gochat.config import Tls
from gochat.protocol.codec import encode
from gochat.protocol.messages import Bye, History, HistoryPage, Ping, Pong, Send, Sent

pytestmark = pytest.mark.trio

_authority = trustme.CA()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    pem = tmp_path / "server.pem"
    _authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    async with running_server(structs.replace(config(), tls=Tls(cert=str(pem)))) as server:
        yield server


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _authority.configure_trust(context)
    return context


@asynccontextmanager
async def encrypted(server: RunningServer, *, strict: bool = True) -> AsyncIterator[Peer]:
    """Connect; unless `strict`, an end without close_notify counts as an end."""
    stream = await trio.open_tcp_stream(server.host, server.port)
    async with trio.SSLStream(
        stream, trusting(), server_hostname="127.0.0.1", https_compatible=not strict
    ) as tls:
        yield Peer(tls)


class Passes(trio.abc.Instrument):
    """Counts the passes of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_crowd_that_begins_tls_at_once_is_served_one_in_each_pass(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a handshake computes takes a millisecond: together they would hold up everybody."""
    passes, computed = Passes(), list[int]()

    class Counted(ssl.SSLObject):
        def do_handshake(self) -> None:
            if self.server_side:
                computed.append(passes.count)
            super().do_handshake()

    wrap = ssl.SSLContext.wrap_bio

    def wrapped(context: ssl.SSLContext, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        context.sslobject_class = Counted
        return wrap(context, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "wrap_bio", wrapped)
    trio.lowlevel.add_instrument(passes)
    crowd = 10
    async with AsyncExitStack() as stack:
        plain = [await trio.open_tcp_stream(server.host, server.port) for _ in range(crowd)]
        streams = [
            await stack.enter_async_context(
                trio.SSLStream(one, trusting(), server_hostname="127.0.0.1", https_compatible=True)
            )
            for one in plain
        ]
        async with trio.open_nursery() as nursery:
            for stream in streams:
                nursery.start_soon(stream.do_handshake)
    trio.lowlevel.remove_instrument(passes)
    assert len(computed) >= crowd
    assert len(set(computed)) == len(computed), "two of them in one pass"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_two_people_chat(server: RunningServer, version: ssl.TLSVersion) -> None:
    context = trusting()
    context.minimum_version = context.maximum_version = version
    plain = await trio.open_tcp_stream(server.host, server.port)
    async with (
        trio.SSLStream(
            plain, context, server_hostname="127.0.0.1", https_compatible=True
        ) as stream,
        encrypted(server, strict=False) as eve,
    ):
        bob = Peer(stream)
        await bob.log_in("bob")
        await eve.log_in("eve")
        await bob.send(Send(to="#lobby", text="你好 👋"))
        assert (await eve.text()).text == "你好 👋"


async def test_bytes_sent_one_at_a_time_are_reassembled(server: RunningServer) -> None:
    async with encrypted(server, strict=False) as peer:
        for byte in encode(Ping(request_id="1")):
            await peer.stream.send_all(bytes([byte]))
        assert (await peer.expect(Pong)).request_id == "1"


async def test_replies_of_many_records_arrive_whole(server: RunningServer) -> None:
    async with encrypted(server, strict=False) as peer:
        await peer.log_in("bob", "log")
        text = "字" * 4000  # 12,000 bytes
        for _ in range(60):
            await peer.ask(Send(to="#lobby", text=text), Sent)
        page = await peer.ask(History(conv="#lobby", limit=200), HistoryPage)
        seqs = [entry.seq for entry in page.entries]
        assert len(seqs) > 3, "several records"
        assert seqs == list(range(61 - len(seqs), 61))
        assert all(entry.text == text for entry in page.entries)


async def test_reader_that_pauses_misses_nothing(server: RunningServer) -> None:
    """More than the sockets hold is in transit: some of it is encrypted and waiting."""
    async with (
        encrypted(server, strict=False) as bob,
        encrypted(server, strict=False) as eve,
    ):
        await bob.log_in("bob", "log")
        await eve.log_in("eve")
        text = "x" * 4000
        for _ in range(200):
            await bob.ask(Send(to="#lobby", text=text), Sent)
        assert [(await eve.text()).seq for _ in range(200)] == list(range(1, 201))


async def test_plain_message_needs_no_task_of_its_session(server: RunningServer) -> None:
    async with encrypted(server, strict=False) as eve:
        await eve.log_in("eve", "log")
        await eve.ask(Send(to="#lobby", text="warm"), Sent)
        async with session_steps() as steps:
            for number in range(5):
                await eve.ask(Send(to="#lobby", text=f"{number}" * 1000), Sent)
        assert steps.count == 0


async def test_bye_is_followed_by_close_notify(server: RunningServer) -> None:
    async with encrypted(server) as peer:
        await peer.log_in("bob")
        server.stop.set()
        await peer.expect(Bye)
        with pytest.raises(trio.EndOfChannel):  # not BrokenResourceError
            await peer.receive()


@pytest.mark.parametrize("how", ["close_notify", "FIN", "RST"])
async def test_every_kind_of_disconnect_is_published(server: RunningServer, how: str) -> None:
    async with encrypted(server, strict=False) as eve:
        await eve.log_in("eve")
        plain = await trio.open_tcp_stream(server.host, server.port)
        tls = trio.SSLStream(plain, trusting(), server_hostname="127.0.0.1")
        await Peer(tls).log_in("bob")
        await eve.sees(online="bob")
        if how == "close_notify":
            await tls.aclose()
        elif how == "FIN":
            await plain.send_eof()
        else:
            plain.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            plain.socket.close()
        await eve.sees(offline="bob")
        await trio.aclose_forcefully(plain)


@pytest.mark.parametrize(
    "data", [encode(Ping()), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70_000]
)
async def test_peer_without_tls_is_disconnected_and_the_server_survives(
    server: RunningServer, data: bytes
) -> None:
    async with await trio.open_tcp_stream(server.host, server.port) as stream:
        with trio.fail_after(PATIENCE):
            try:
                await stream.send_all(data)
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
    async with encrypted(server, strict=False) as peer:
        await peer.log_in("bob")


async def test_garbage_after_the_handshake_ends_only_its_connection(
    server: RunningServer,
) -> None:
    async with encrypted(server, strict=False) as eve:
        await eve.log_in("eve")
        plain = await trio.open_tcp_stream(server.host, server.port)
        tls = trio.SSLStream(plain, trusting(), server_hostname="127.0.0.1")
        await Peer(tls).log_in("bob")
        await eve.sees(online="bob")
        await plain.send_all(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
        await eve.sees(offline="bob")
        await trio.aclose_forcefully(plain)


@pytest.mark.filterwarnings("error::ResourceWarning")
async def test_connection_in_a_handshake_is_closed_when_the_server_ends(tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    _authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    async with running_server(structs.replace(config(), tls=Tls(cert=str(pem)))) as server:
        stream = await trio.open_tcp_stream(server.host, server.port)
        await trio.testing.wait_all_tasks_blocked(0.05)  # it waits for the peer's first bytes
    gc.collect()  # which would warn of a socket that nobody has closed
    with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
        assert await stream.receive_some() == b""
    await stream.aclose()
