"""The installed command, over real TCP: start, chat, signals, TLS, descriptors."""

from __future__ import annotations

import json
import signal
import ssl
import sys
from pathlib import Path

import pytest
import trio
import trustme
from patience import PATIENCE
from peers import PASSWORD, Peer
from processes import serve
from websocket_peer import WebSocketStream

from gochat.cli import CORRUPT
from gochat.protocol.messages import (
    Bye,
    LoggedIn,
    Login,
    Ping,
    Pong,
    Register,
    Registered,
    Send,
    Sent,
)

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send"),
]


async def test_two_people_chat_through_the_installed_command(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        async with (
            await trio.open_tcp_stream("127.0.0.1", running.port) as one,
            await trio.open_tcp_stream("127.0.0.1", running.port) as two,
        ):
            mei, bob = Peer(one), Peer(two)
            await mei.log_in("mei")
            await bob.log_in("bob")
            await mei.ask(Send(to="#lobby", text="hello"), Sent)
            assert (await bob.text()).text == "hello"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
async def test_signal_drains_and_exits_with_0(tmp_path: Path, name: str) -> None:
    with serve(tmp_path / "chat.db") as running:
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as stream:
            peer = Peer(stream)
            await peer.log_in("mei")
            await peer.ask(Send(to="#lobby", text="kept"), Sent)
            running.process.send_signal(getattr(signal, name))
            bye = (await peer.at_end())[-1]
            assert isinstance(bye, Bye)
            assert bye.reason == "server_closing"
        assert running.finish() == 0


async def test_acknowledged_messages_survive_a_kill(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as stream:
            peer = Peer(stream)
            token = (await peer.log_in("mei")).token
            for number in range(10):
                await peer.ask(Send(to="#lobby", text=str(number)), Sent)
            running.process.kill()
    with serve(tmp_path / "chat.db") as running:
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as stream:
            from gochat.protocol.messages import History, HistoryPage, Resume

            peer = Peer(stream)
            await peer.ask(Resume(token=token), LoggedIn)
            page = await peer.ask(History(conv="#lobby"), HistoryPage)
            assert [entry.text for entry in page.entries] == [str(n) for n in range(10)]


async def test_crash_of_the_interpreter_is_in_the_log(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        running.process.send_signal(signal.SIGSEGV)
        assert running.finish() == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in running.log


async def test_nothing_is_acknowledged_after_the_store_was_moved(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as stream:
            peer = Peer(stream)
            await peer.log_in("mei")
            await peer.ask(Send(to="#lobby", text="acknowledged"), Sent)
            (tmp_path / "chat.db").rename(tmp_path / "moved.db")
            await peer.send(Send(to="#lobby", text="not acknowledged"))
            assert not any(isinstance(message, Sent) for message in await peer.at_end())
        assert running.finish() == CORRUPT
    *lines, reason = running.log
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("store file lost") == 1
    assert "was moved or removed while the server used it" in reason
    assert not (tmp_path / "chat.db").exists(), "nor is another one begun"


async def test_log_contains_no_message_and_no_secret(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db", "--log-level", "debug") as running:
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as stream:
            peer = Peer(stream)
            token = (await peer.log_in("mei")).token
            await peer.ask(Send(to="#lobby", text="whispered"), Sent)
        running.process.terminate()
        assert running.finish() == 0
    log = "\n".join(running.log)
    for secret in ("whispered", PASSWORD, token, "wrong horse"):
        assert secret not in log
    assert all(isinstance(json.loads(line), dict) for line in running.log)


async def test_server_with_a_certificate_uses_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "both.pem"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    pem = str(tmp_path / "both.pem")
    with serve(tmp_path / "chat.db", "--tls-cert", pem, "--tls-key", pem) as running:
        stream = await trio.open_ssl_over_tcp_stream(
            "127.0.0.1", running.port, ssl_context=context, https_compatible=True
        )
        async with stream:
            peer = Peer(stream)
            await peer.log_in("mei")
            await peer.ask(Send(to="#lobby", text="x" * 4000), Sent)
        # A peer without TLS is disconnected, and the server survives.
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as plain:
            await plain.send_all(b"\0\0\0\x02{}")
            with trio.fail_after(PATIENCE):
                try:
                    while await plain.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
        stream = await trio.open_ssl_over_tcp_stream(
            "127.0.0.1", running.port, ssl_context=context, https_compatible=True
        )
        async with stream:
            peer = Peer(stream)
            await peer.ask(Login(name="mei", password=PASSWORD), LoggedIn)


async def test_websocket_is_switched_on_by_a_flag_and_the_first_log_line_says_so(
    tmp_path: Path,
) -> None:
    with serve(tmp_path / "chat.db", "--websocket") as running:
        stream = WebSocketStream(await trio.open_tcp_stream("127.0.0.1", running.port))
        async with stream:
            await stream.connect(f"127.0.0.1:{running.port}")
            await Peer(stream).ask(Ping(), Pong)
    first = json.loads(running.log[0])
    assert (first["event"], first["websocket"]) == ("starting", True)
    assert first["configured"]["websocket"] == "--websocket"


async def test_stalled_tls_handshake_is_cut_off(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "both.pem"
    )
    pem = str(tmp_path / "both.pem")
    flags = ["--tls-cert", pem, "--tls-key", pem, "--set", "limits.tls_handshake_timeout=0.2"]
    with serve(tmp_path / "chat.db", *flags) as running:
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as stream:
            with trio.fail_after(PATIENCE):
                assert await stream.receive_some() == b""


async def test_server_out_of_descriptors_serves_connected_peers_and_recovers(
    tmp_path: Path,
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        context = serve(
            tmp_path / "chat.db",
            *("--set", "limits.max_connections=1000"),
            *("--set", "limits.connections_per_address=1000"),
            *("--set", "limits.anonymous_max=1000"),
        )
        running = context.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as stream:
            mei = Peer(stream)
            await mei.log_in("mei")
            crowd = [await trio.open_tcp_stream("127.0.0.1", running.port) for _ in range(80)]
            refused = 0
            for other in crowd:
                peer = Peer(other)
                try:
                    await peer.ask(Ping(), Pong)
                except (trio.EndOfChannel, trio.BrokenResourceError):
                    refused += 1
            assert 0 < refused < 80
            await mei.ask(Send(to="#lobby", text="still served"), Sent)
            for other in crowd:
                await trio.aclose_forcefully(other)
            with trio.fail_after(PATIENCE):
                while True:
                    async with await trio.open_tcp_stream("127.0.0.1", running.port) as again:
                        try:
                            await Peer(again).ask(
                                Register(name="bob", password=PASSWORD), Registered
                            )
                        except (trio.EndOfChannel, trio.BrokenResourceError):
                            continue
                        break
    finally:
        context.__exit__(None, None, None)
