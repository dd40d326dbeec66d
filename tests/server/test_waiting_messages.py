"""Private messages wait for clients without capabilities, and are delivered again until the client
has shown that it has them."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from msgspec import structs
from patience import until
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.config import Tls
from gochat.errors import StoreUnavailable
from gochat.protocol.connection import Connection, Role
from gochat.protocol.messages import (
    Conversation,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    Mark,
    Marked,
    Message,
    Ok,
    Ping,
    Pong,
    Resume,
    Send,
    Sent,
    Sync,
    Synced,
)
from gochat.server.receipts import MAX_OFFSETS, Receipts
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio

_authority = trustme.CA()


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store of the test's own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'chat.db'}"
    redis: RedisServer = request.getfixturevalue("redis_server")
    return Nodes(redis).url()


async def say(peer: Peer, to: str, *texts: str) -> None:
    await peer.send(*(Send(to=to, text=text) for text in texts))
    await peer.ask(Ping(), Pong)


async def waiting(peer: Peer, *, token: str = "") -> list[str]:
    """Log in as mei, without capabilities, and return what arrives unasked.

    The ping is in the same segment, so it does not acknowledge anything that was delivered.
    """
    login = Resume(token=token) if token else Login(name="mei", password=PASSWORD)
    await peer.send(login, Ping())
    reply = await peer.expect(LoggedIn)
    peer.token = reply.token
    peer.received.clear()
    await peer.expect(Pong)
    return texts(peer)


def texts(peer: Peer) -> list[str]:
    return [message.text for message in peer.received if isinstance(message, Message)]


async def register(server: RunningServer) -> None:
    async with server.connect() as peer:
        await peer.register("mei")


async def reset(peer: Peer) -> None:
    """End the connection as a crash or a firewall does."""
    stream: Any = peer.stream
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    await trio.aclose_forcefully(stream)


async def state(server: RunningServer, conv: str = "@bob") -> Conversation:
    """Return mei's view of a conversation."""
    async with server.peer("mei", "log") as peer:
        listed = (await peer.ask(Sync(), Synced)).conversations
        return next(one for one in listed if one.conv == conv)


@asynccontextmanager
async def plain(server: RunningServer) -> AsyncIterator[Peer]:
    async with server.connect() as peer:
        yield peer


@asynccontextmanager
async def encrypted(server: RunningServer) -> AsyncIterator[Peer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _authority.configure_trust(context)
    stream = await trio.open_tcp_stream(server.host, server.port)
    async with trio.SSLStream(
        stream, context, server_hostname="127.0.0.1", https_compatible=True
    ) as tls:
        yield Peer(tls)


@asynccontextmanager
async def serving(connect: Any, tmp_path: Path) -> AsyncIterator[tuple[RunningServer, Peer]]:
    """A server, with TLS if requested, and bob, who is connected to it."""
    configuration = config()
    if connect is encrypted:
        pem = tmp_path / "server.pem"
        _authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        configuration = structs.replace(configuration, tls=Tls(cert=str(pem)))
    async with running_server(configuration) as server, connect(server) as bob:
        await bob.register("mei")
        await bob.log_in("bob")
        yield server, bob


@pytest.mark.parametrize("connect", [plain, encrypted])
async def test_messages_are_redelivered_after_a_broken_connection(
    connect: Any, tmp_path: Path
) -> None:
    everything = [str(number) for number in range(150)]
    async with serving(connect, tmp_path) as (server, bob):
        await say(bob, "@mei", *everything)
        for count in (0, 1, 3, 149, 150):
            async with connect(server) as mei:
                await mei.send(Login(name="mei", password=PASSWORD))
                for _ in range(count):
                    await mei.text()
                await bob.sees(online="mei")
                await reset(mei)
            await bob.sees(offline="mei")
        async with connect(server) as mei:
            assert await waiting(mei) == everything


@pytest.mark.parametrize("connect", [plain, encrypted])
@pytest.mark.parametrize("sign", ["ping", "logout", "end"])
async def test_acknowledged_messages_are_not_redelivered(
    connect: Any, sign: str, tmp_path: Path
) -> None:
    async with serving(connect, tmp_path) as (server, bob):
        await say(bob, "@mei", "one", "two", "three")
        async with connect(server) as mei:
            assert await waiting(mei) == ["one", "two", "three"]
            await bob.sees(online="mei")
            match sign:
                case "ping":
                    await mei.ask(Ping(), Pong)
                    await bob.ask(Send(to="@mei", text="four"), Sent)
                    await mei.text()
                    await reset(mei)
                case "logout":
                    await mei.ask(Logout(), LoggedOut)
                case _:
                    await mei.end()
        await bob.sees(offline="mei")
        async with connect(server) as mei:
            assert await waiting(mei) == (["four"] if sign == "ping" else [])


async def test_marker_moves_only_as_far_as_was_written(store: str) -> None:
    async with running_server(config(store=store)) as server, server.peer("bob") as bob:
        await register(server)
        await say(bob, "@mei", *(f"{number} " + "x" * 3000 for number in range(60)))
        async with server.connect_slowly() as mei:
            await mei.send(Login(name="mei", password=PASSWORD))
            for _ in range(20):
                await mei.text()
            await mei.send(Ping())
            async with server.peer("mei", "log") as phone:
                read = (await phone.ask(Sync(limit=0), Synced)).conversations[1].read
                if not read:
                    read = (await phone.expect(Marked)).read
            await reset(mei)
            assert 20 <= read < 60, "what has not arrived at her host is not read"
        await bob.sees(offline="mei")
        async with server.connect() as mei:
            rest = [int(text.split()[0]) for text in await waiting(mei)]
            assert rest == list(range(read, 60))


@pytest.mark.parametrize("sign", [Ping(), Logout()])
async def test_request_amid_delivery_acknowledges_only_what_came_before(
    sign: Ping | Logout,
) -> None:
    """It is handled after everything is sent, but arrived before the client had all of it. An
    orderly end acknowledges everything."""
    everything = [f"{number} " + "x" * 3000 for number in range(60)]
    async with running_server() as server, server.peer("bob") as bob:
        await register(server)
        await say(bob, "@mei", *everything)
        rest = everything
        for cut in (True, False):
            async with server.connect_slowly() as mei:
                await mei.send(Login(name="mei", password=PASSWORD))
                await mei.expect(LoggedIn)
                mei.received.clear()
                for _ in rest[:10]:
                    await mei.text()
                await mei.ask(sign, Pong if isinstance(sign, Ping) else LoggedOut)
                assert texts(mei) == rest
                await (reset(mei) if cut else mei.end())
            await bob.sees(offline="mei")
            async with server.connect() as mei:
                rest = await waiting(mei)
                await reset(mei)
            await bob.sees(offline="mei")
            assert len(rest) <= (50 if cut else 0)
            assert rest == everything[60 - len(rest) :]


async def test_fast_client_that_logs_out_gets_no_message_twice() -> None:
    """Its bytes may arrive before the server reads again: they acknowledge all the same."""

    def read_and_log_out(port: int) -> int:
        """Return how many messages came, to a client that does not share the server's thread."""
        count = 0
        protocol = Connection(Role.CLIENT)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            login = Login(name="mei", password=PASSWORD, request_id="1")
            connection.sendall(protocol.send(login))
            while True:
                while (message := protocol.next_message()) is None:
                    protocol.receive_data(connection.recv(65536))
                match message:
                    case Message():
                        count += 1
                        connection.sendall(protocol.send(Logout(request_id="2")))
                    case LoggedOut():
                        return count

    async with running_server() as server, server.peer("bob") as bob:
        await register(server)
        for number in range(30):
            await say(bob, "@mei", str(number))
            assert await trio.to_thread.run_sync(read_and_log_out, server.port) == 1
            await bob.sees(offline="mei")


async def test_1600_waiting_messages_reach_a_slow_reader_once() -> None:
    async with running_server() as server, server.peer("bob") as bob:
        await register(server)
        for start in range(0, 1600, 100):
            await say(bob, "@mei", *(str(number) for number in range(start, start + 100)))
        async with server.connect_slowly() as mei:
            assert await waiting(mei) == [str(number) for number in range(1600)]
            await bob.sees(online="mei")
            await mei.end()
        await bob.sees(offline="mei")
        async with server.connect() as mei:
            assert await waiting(mei) == []


async def test_waiting_messages_come_oldest_first_then_live_ones(
    store: str,
) -> None:
    async with running_server(config(store=store)) as server, server.peer("bob") as bob:
        await register(server)
        async with server.peer("ann") as ann, server.peer("eve") as eve:
            said: list[str] = []
            for number in range(60):
                for peer in (bob, ann, eve):
                    await peer.ask(Send(to="@mei", text=f"{peer.name} {number}"), Sent)
                    said.append(f"{peer.name} {number}")
            async with server.connect() as mei, trio.open_nursery() as nursery:

                async def talk() -> None:
                    for number in range(60, 100):
                        await bob.ask(Send(to="@mei", text=f"bob {number}"), Sent)

                nursery.start_soon(talk)
                await waiting(mei)
                while len(texts(mei)) < 220:
                    await mei.text()
            got = texts(mei)
            assert sorted(got) == sorted({*said, *(f"bob {n}" for n in range(60, 100))})
            for peer in (bob, ann, eve):
                own = [int(text.split()[1]) for text in got if text.startswith(peer.name)]
                assert own == list(range(len(own)))
            # Messages of the same millisecond have no order.
            stamps = [m.ts for m in mei.received if isinstance(m, Message)]
            assert stamps == sorted(stamps)


async def test_resume_without_the_log_brings_waiting_messages_once() -> None:
    async with running_server() as server, server.peer("bob") as bob:
        await register(server)
        async with server.connect() as mei:
            await waiting(mei)
            token = mei.token
        await say(bob, "@mei", "one", "two", "three")
        async with server.connect() as mei:
            assert await waiting(mei, token=token) == ["one", "two", "three"]
            await reset(mei)
        async with server.connect() as mei:
            await say(bob, "@mei", *(str(number) for number in range(600)))
            sent = await waiting(mei, token=token)
            assert sent == ["one", "two", "three", *(str(number) for number in range(600))]


async def test_sending_from_another_device_hides_no_waiting_message(store: str) -> None:
    async with running_server(config(store=store)) as server, server.peer("bob") as bob:
        await register(server)
        await say(bob, "@mei", "one", "two", "three")
        async with server.peer("mei", "log") as phone:
            await phone.ask(Send(to="@bob", text="later!"), Sent)
        assert (await state(server)).unread == 3
        async with server.connect() as mei:
            assert await waiting(mei) == ["one", "two", "three"]


async def test_messages_read_on_another_device_are_not_delivered(store: str) -> None:
    async with running_server(config(store=store)) as server, server.peer("bob") as bob:
        await register(server)
        await say(bob, "@mei", "one", "two", "three")
        async with server.peer("mei", "log") as phone:
            await phone.ask(Mark(conv="@bob", read=2), Ok)
        async with server.connect() as mei:
            assert await waiting(mei) == ["three"]


async def test_other_devices_are_notified_of_a_delivery(store: str) -> None:
    async with (
        running_server(config(store=store)) as server,
        server.peer("bob") as bob,
        server.peer("mei", "log") as phone,
    ):
        await say(bob, "@mei", "one", "two")
        async with server.connect() as mei:
            assert await waiting(mei) == ["one", "two"]
            await mei.ask(Ping(), Pong)
            assert await phone.expect(Marked) == Marked(conv="@bob", read=2, unread=0)
            await say(bob, "@mei", "three")
            await mei.text()
            await mei.ask(Ping(), Pong)
            assert await phone.expect(Marked) == Marked(conv="@bob", read=3, unread=0)


async def test_request_sent_before_delivery_acknowledges_nothing() -> None:
    async with running_server() as server, server.peer("bob") as bob:
        await register(server)
        await say(bob, "@mei", "one", "two")
        async with server.connect() as mei:
            await mei.send(Login(name="mei", password=PASSWORD))
            await mei.send(Ping())  # in a segment of its own, before anything was delivered
            await mei.expect(Pong)
            await bob.sees(online="mei")
            await reset(mei)
        await bob.sees(offline="mei")
        async with server.connect() as mei:
            assert await waiting(mei) == ["one", "two"]


@pytest.mark.parametrize("before", [(), ("one",)])
async def test_message_that_comes_while_the_store_is_read_is_posted(
    monkeypatch: pytest.MonkeyPatch, before: tuple[str, ...]
) -> None:
    read = SqliteStore.private_markers
    begun, may_go_on = trio.Event(), trio.Event()

    async def held_up(store: SqliteStore, person: NameKey) -> Any:
        markers = await read(store, person)
        begun.set()
        await may_go_on.wait()
        return markers

    async with running_server() as server, server.peer("bob") as bob:
        await register(server)
        await say(bob, "@mei", *before)
        monkeypatch.setattr(SqliteStore, "private_markers", held_up)
        async with server.connect() as mei:
            await mei.send(Login(name="mei", password=PASSWORD))
            await begun.wait()
            await say(bob, "@mei", "meanwhile")
            may_go_on.set()
            for text in (*before, "meanwhile"):
                assert (await mei.text()).text == text


async def test_marker_that_cant_be_moved_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    async def down(_: object, person: NameKey, conversation: ConversationKey, seq: int) -> bool:
        tried.append(seq)
        raise StoreUnavailable("no disk")

    async with running_server() as server, server.peer("bob") as bob:
        await register(server)
        await say(bob, "@mei", "one", "two")
        with monkeypatch.context() as patch:
            patch.setattr("gochat.storage.sqlite.SqliteStore.mark_read", down)
            async with server.connect() as mei:
                assert await waiting(mei) == ["one", "two"]
                await mei.ask(Ping(), Pong)
                await until(lambda: bool(tried))
        async with server.connect() as mei:
            assert await waiting(mei) == ["one", "two"]
            await mei.ask(Ping(), Pong)
        assert tried == [2]


async def test_stopping_server_moves_the_markers_of_delivered_messages(
    tmp_path: Path,
) -> None:
    configuration = config(store=f"sqlite:///{tmp_path / 'chat.db'}")
    async with running_server(configuration) as server, server.connect() as mei:
        async with server.peer("bob") as bob:
            await register(server)
            await say(bob, "@mei", "one", "two")
        assert await waiting(mei) == ["one", "two"]
        server.stop.set()
        await mei.at_end()
        await trio.aclose_forcefully(mei.stream)
    async with running_server(configuration) as server, server.connect() as mei:
        assert await waiting(mei) == []


# -- receipts -------------------------------------------------------------------------------------

ONE, TWO = ConversationKey("@a,me"), ConversationKey("@b,me")


def _receipts() -> Receipts:
    return Receipts()


async def test_receipt_needs_a_tcp_acknowledgement_then_a_request() -> None:
    receipts = _receipts()
    receipts.note(ONE, 1, 100)
    receipts.note(TWO, 1, 200)
    receipts.note(ONE, 2, 300)
    assert receipts.take() == {}
    receipts.acknowledge(299)
    assert receipts.take() == {ONE: 1, TWO: 1}
    assert receipts.take() == {}
    assert receipts
    receipts.acknowledge(300)
    assert receipts.take() == {ONE: 2}
    assert not receipts


async def test_bytes_received_before_a_write_are_not_a_receipt() -> None:
    receipts = _receipts()
    receipts.note(ONE, 1, 100, 50)
    receipts.note(ONE, 2, 200, inf)  # the peer does not accept it yet
    receipts.note(TWO, 1, 300, inf)
    receipts.acknowledge(300)
    assert receipts.take(50) == {}
    assert receipts.take(51) == {ONE: 1}
    assert receipts.take() == {}  # not known to be written
    receipts.note_written(200, 60)
    assert receipts.take(60) == {}
    assert receipts.take(61) == {ONE: 2}
    receipts.note_written(300, 61)
    assert receipts.take() == {TWO: 1}


async def test_receipts_are_bounded_and_the_latest_are_merged() -> None:
    receipts = _receipts()
    for number in range(3 * MAX_OFFSETS):
        receipts.note(ONE if number % 2 else TWO, number, number)
    assert len(receipts._offsets) == MAX_OFFSETS
    receipts.acknowledge(3 * MAX_OFFSETS - 2)
    assert max(receipts.take().values()) < MAX_OFFSETS
    receipts.acknowledge(3 * MAX_OFFSETS - 1)
    assert max(receipts.take().values()) == 3 * MAX_OFFSETS - 1


async def test_write_counts_as_acknowledged_after_a_second_without_tcp_info() -> None:
    receipts = _receipts()
    for number in range(100):  # polled often
        receipts.note(ONE, number, number)
        receipts.settle(number, number / 50)
    (seq,) = receipts.take().values()
    assert 20 <= seq <= 50
    receipts.settle(99, 3.0)
    assert receipts.take() == {ONE: 99}
