"""`gochat admin address-ban`, and what a connection from there costs."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trustme
from admin_peer import administered, needs_linux
from msgspec import structs
from peers import Peer, config

from gochat.config import Config, Listen, Tls
from gochat.protocol.codec import encode
from gochat.protocol.messages import Bye, Ping, Pong
from gochat.server import address_bans
from gochat.server.session import Session

pytestmark = [pytest.mark.trio, needs_linux]

HEADER = b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 8889\r\n"


async def test_bans_are_added_listed_and_removed(tmp_path: Path) -> None:
    async with administered(tmp_path) as (_, admin):
        added = await admin.ask("address-ban add", "spam", network="::ffff:203.0.113.7")
        assert (added["network"], added["expires"], added["by"]) == (
            *("203.0.113.7", 0),
            added["by"],
        )
        await admin.ask("address-ban add", network="2001:db8::/32", seconds=60)
        await admin.ask("address-ban add", "more spam", network="203.0.113.0/24", seconds=60)
        everything = await admin.ask("address-ban list")
        assert [one["network"] for one in everything["bans"]] == [
            "203.0.113.0/24",
            "203.0.113.7",
            "2001:db8::/32",
        ]
        assert [one["reason"] for one in everything["bans"]] == ["more spam", "spam", ""]
        first = await admin.ask("address-ban list", limit=1)
        second = await admin.ask("address-ban list", after=first["next"])
        assert first["bans"] + second["bans"] == everything["bans"]
        one = await admin.ask("address-ban list", address="203.0.113.9")
        assert one["bans"] == everything["bans"][:1]
        assert await admin.ask("address-ban remove", network="203.0.113.7") == {
            "network": "203.0.113.7",
            "changed": True,
        }
        again = await admin.ask("address-ban remove", network="203.0.113.7")
        assert not again["changed"]
        acts = (await admin.ask("audit"))["acts"]
        assert [(act["act"], act["subject"], act["detail"], act["reason"]) for act in acts] == [
            ("address-ban remove", "203.0.113.7", "", ""),
            ("address-ban add", "203.0.113.0/24", "for 1m", "more spam"),
            ("address-ban add", "2001:db8::/32", "for 1m", ""),
            ("address-ban add", "203.0.113.7", "", "spam"),
        ]


async def test_ban_of_the_own_machine_needs_force(tmp_path: Path) -> None:
    behind = structs.replace(config(), proxy_from=("10.0.0.5",))
    async with administered(tmp_path, configuration=behind) as (server, admin):
        for network in ("127.0.0.0/8", "0.0.0.0/0", "somewhere", "10.0.0.1/8", "10.0.0.0/24"):
            assert await admin.refused("address-ban add", network=network) == "bad_request"
        assert await admin.refused("address-ban list", address="somewhere") == "bad_request"
        async with server.peer("mei") as mei:
            await mei.ask(Ping(), Pong)
            await admin.ask("address-ban add", network="127.0.0.0/8", force=True)
            assert isinstance((await mei.at_end())[-1], Bye)
        await admin.ask("address-ban remove", network="127.0.0.0/8")  # it has no address
        async with server.peer("mei") as mei:
            await mei.ask(Ping(), Pong)


async def test_bans_outlast_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'chat.db'}"
    async with administered(tmp_path, store=store) as (_, admin):
        await admin.ask("address-ban add", network="127.0.0.0/8", force=True)
    async with administered(tmp_path, store=store) as (server, _), server.connect() as peer:
        assert isinstance((await peer.at_end())[-1], Bye)


def behind_proxy(directory: Path, port: int, authority: trustme.CA) -> Config:
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(directory / "pem"))
    return structs.replace(
        config(),
        listen=(Listen(port=port, proxy_from=("127.0.0.1",)),),
        tls=Tls(cert=str(directory / "pem"), key=str(directory / "pem")),
        websocket=True,
    )


async def test_banned_client_of_a_proxy_gets_a_handshake_only_now_and_then(
    tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks often gets no handshake, no session, and one line in the log."""
    monkeypatch.setattr(address_bans, "EXPLAINED", (1, 1e-9))
    sessions: list[Session] = []
    created = Session.__init__

    def count(session: Session, *arguments: Any, **options: Any) -> None:
        sessions.append(session)
        created(session, *arguments, **options)

    monkeypatch.setattr(Session, "__init__", count)
    authority, port = trustme.CA(), free_port()
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)
    doors = behind_proxy(tmp_path, port, authority)
    with structlog.testing.capture_logs() as logs:
        async with administered(tmp_path, configuration=doors) as (server, admin):
            await admin.ask("address-ban add", "spam", network="203.0.113.0/24")

            async def open_tls(header: bytes) -> Peer:
                stream = await trio.open_tcp_stream("127.0.0.1", server.port)
                await stream.send_all(header)
                return Peer(trio.SSLStream(stream, trust, server_hostname="127.0.0.1"))

            first = await open_tls(HEADER)
            await first.stream.send_all(encode(Ping()))
            assert [type(one).__name__ for one in await first.at_end()][-2:] == ["Error", "Bye"]
            await trio.aclose_forcefully(first.stream)
            for _ in range(5):
                refused = await open_tls(HEADER)
                with pytest.raises(trio.BrokenResourceError):
                    await refused.stream.send_all(encode(Ping()))
                await trio.aclose_forcefully(refused.stream)
            other = await open_tls(HEADER.replace(b"113.7", b"114.7"))
            await other.ask(Ping(), Pong)
            await other.stream.aclose()
    assert len(sessions) == 2
    lines = [line for line in logs if line["event"] == "connection refused"]
    assert [(line["code"], line["address"]) for line in lines] == [
        ("address_banned", "203.0.113.7")
    ]
