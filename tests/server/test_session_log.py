"""What the log reports of each refusal and each end of a session, and how often."""

from __future__ import annotations

import json
import socket
import sqlite3
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
import trio
from msgspec import structs
from patience import until
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer
from structlog.typing import EventDict
from trio.testing import MockClock

from gochat.chat.health import StoreHealth
from gochat.config import Registration
from gochat.errors import ErrorCode, StoreUnavailable
from gochat.protocol.codec import encode
from gochat.protocol.framing import frame
from gochat.protocol.messages import (
    Away,
    Ban,
    Block,
    Bye,
    ByeReason,
    ChangePassword,
    CreateRoom,
    Edit,
    Error,
    History,
    Join,
    Kick,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    Ok,
    PasswordChanged,
    Payload,
    Ping,
    Pong,
    React,
    Register,
    Registered,
    Resume,
    Search,
    Send,
    Sent,
    SetAccess,
    SetAnnouncements,
    SetArchived,
    SetHistory,
    SetOperator,
    SetSlowMode,
    SetTopic,
    Unban,
    Who,
)
from gochat.server.app import open_server
from gochat.server.journal import ACTS, REFUSALS, Journal, keep
from gochat.server.read_requests import ReadRequests

pytestmark = pytest.mark.trio

Logs = list[EventDict]


@pytest.fixture
def logs() -> Iterator[Logs]:
    with structlog.testing.capture_logs() as logs:
        yield logs


def of(logs: Logs, event: str) -> Logs:
    return [line for line in logs if line["event"] == event]


async def one(logs: Logs, event: str, **fields: object) -> EventDict:
    """Wait for the line of an event with these fields; there must be exactly one."""

    def found() -> Logs:
        return [line for line in of(logs, event) if fields.items() <= line.items()]

    await until(lambda: bool(found()))
    [line] = found()
    return line


def socket_of(peer: Peer) -> trio.socket.SocketType:
    assert isinstance(peer.stream, trio.SocketStream)
    return peer.stream.socket


# -- every code -----------------------------------------------------------------------------------


async def ask_in_every_wrong_way(server: RunningServer) -> None:
    async with server.connect() as peer:
        await peer.ask(Who(), Error)  # not_logged_in
        await peer.ask(Register(name="", password=PASSWORD), Error)  # bad_name
        await peer.ask(Register(name="ada", password="short"), Error)  # bad_password
        await peer.ask(Login(name="ada", password=PASSWORD), Error)  # bad_credentials
        await peer.ask(Resume(token="nobody's"), Error)  # bad_token
        await peer.stream.send_all(frame(b"{}"))
        await peer.expect(Error)  # malformed
        await peer.stream.send_all(frame(b'{"msg_type": "dance", "msg_data": "{}"}'))
        await peer.expect(Error)  # unknown_type
        await peer.stream.send_all(b"\0\0\0\0")
        await peer.at_end()  # frame_empty
    async with server.connect() as peer:
        await peer.stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        await peer.at_end()  # frame_too_large
    async with server.peer("mei") as mei, server.peer("bob") as bob:
        await mei.ask(CreateRoom(room="#room"), Sent)
        await mei.ask(CreateRoom(room="#closed"), Sent)
        await mei.ask(CreateRoom(room="#slow"), Sent)
        await mei.ask(SetSlowMode(room="#slow", seconds=600), Sent)
        await bob.ask(Join(room="#slow"), Sent)
        await bob.ask(Send(to="#slow", text="once"), Sent)
        await mei.ask(Ban(room="#closed", name="bob"), Sent)
        await mei.ask(Block(name="bob"), Ok)
        sent = await mei.ask(Send(to="#lobby", text="hello", cid="c"), Sent)
        for wrong in (
            Login(name="mei", password=PASSWORD),  # already_logged_in
            Send(to="@nobody", text="hello"),  # unknown_person
            Send(to="#nowhere", text="hello"),  # unknown_conversation, or not_a_member
            Send(to="nowhere", text="hello"),  # unknown_conversation
            Edit(to="#lobby", seq=999, text="hello"),  # unknown_message
            Send(to="#room", text="hello"),  # not_a_member
            Edit(to="#lobby", seq=sent.seq, text="hello"),  # not_permitted
            CreateRoom(room="#room"),  # room_exists
            Send(to="#lobby", text=""),  # text_empty
            Send(to="#lobby", text="x" * 4001),  # text_too_long
            Search(query="hello", cursor="x"),  # bad_cursor
            History(conv="#lobby", before=1, after=1),  # bad_request
            Send(to="#lobby", text="hello", n=2),  # out_of_order
            Join(room="#closed"),  # banned
            Send(to="@mei", text="hello"),  # blocked
            Send(to="#slow", text="again"),  # slow_mode
        ):
            await bob.ask(wrong, Error)
        for emoji in "😀😁😂😃😄":
            await bob.ask(React(to="#lobby", seq=sent.seq, emoji=emoji), Sent)
        await bob.ask(React(to="#lobby", seq=sent.seq, emoji="😅"), Error)  # too_many
        await mei.ask(Send(to="#lobby", text="other", cid="c"), Error)  # cid_conflict
        await bob.ask(Register(name="mei", password=PASSWORD), Error)
    async with server.connect() as peer:
        await peer.ask(Register(name="mei", password=PASSWORD), Error)  # name_taken
        for _ in range(3):  # bad_credentials, then rate_limited
            await peer.ask(Login(name="mei", password="wrong horse"), Error)
        await peer.ask(Login(name="mei", password="wrong horse"), Error)


async def register(server: RunningServer) -> None:
    async with server.connect() as peer:
        await peer.ask(Register(name="ada", password=PASSWORD), Error)


async def log_in_all_at_once(server: RunningServer) -> None:
    async with trio.open_nursery() as nursery:

        async def log_in() -> None:
            async with server.connect() as peer:
                await peer.ask(Login(name="ada", password=PASSWORD), Error)

        for _ in range(30):
            nursery.start_soon(log_in)


async def connect_twice(server: RunningServer) -> None:
    async with server.connect() as first:
        await first.ask(Ping(), Pong)
        async with server.connect() as second:
            assert isinstance((await second.at_end())[-1], Bye)


async def test_each_error_sent_to_a_peer_is_logged_with_its_code(
    logs: Logs, tmp_path: Path
) -> None:
    """All codes, in real situations, and nothing that a peer wrote or must keep secret."""
    plain = config()
    situations: list[tuple[Any, Callable[[RunningServer], Awaitable[None]]]] = [
        (plain, ask_in_every_wrong_way),
        (structs.replace(plain, registration=Registration(mode="closed")), register),
        (
            structs.replace(plain, registration=Registration(mode="invite")),
            register,
        ),
        (config(hashing_queue=1, argon2_time=20, login_failures_address=1000), log_in_all_at_once),
        (config(max_connections=1), connect_twice),
    ]
    for configuration, ask in situations:
        async with running_server(configuration) as server:
            await ask(server)
    path = tmp_path / "chat.db"
    async with running_server(config(store=f"sqlite:///{path}")) as server:
        async with server.peer("mei") as mei:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                error = await mei.ask(Send(to="#lobby", text="hello"), Error)
                assert error.text == "the server's database is in use by another program: try again"
                other.execute("UPDATE account SET state = 'disabled'")
                other.execute("COMMIT")
        restriction = '{"by":"ann","role":"admin","since":1}'
        for what in ("", f"ban = '{restriction}', ", f"ban = NULL, mute = '{restriction}', "):
            state = "active" if what else "disabled"
            with closing(sqlite3.connect(path)) as other, other:
                other.execute(f"UPDATE account SET {what}state = '{state}'")
            async with server.connect() as peer:  # account_disabled, account_banned
                await peer.ask(Login(name="mei", password=PASSWORD), Payload)
                if "mute" in what:
                    await peer.ask(Away(text="x"), Error)  # muted
    with closing(sqlite3.connect(path)) as other, other:
        query = "INSERT INTO network_ban VALUES ('127.0.0.0/8', ?)"
        other.execute(query, (restriction,))
    async with running_server(config(store=f"sqlite:///{path}")) as server:
        async with server.connect() as peer:  # address_banned
            await peer.at_end()
    lines = [line for line in logs if "refused" in str(line["event"])]
    assert {line["code"] for line in lines} == set(ErrorCode)
    shown = json.dumps(logs)
    for secret in (PASSWORD, "wrong horse", "hello", "nobody's", "12345678"):
        assert secret not in shown


# -- every end ------------------------------------------------------------------------------------


async def end_by_frame(server: RunningServer) -> None:
    async with server.peer("mei") as peer:
        await peer.stream.send_all(b"\0\0\0\0")
        await peer.at_end()


async def end_by_silence(server: RunningServer) -> None:
    async with server.connect() as peer:
        await peer.at_end()


async def end_without_pong(server: RunningServer) -> None:
    async with server.peer("mei", "heartbeat") as peer:
        await peer.at_end()


async def end_in_a_frame(server: RunningServer) -> None:
    async with server.peer("mei") as peer:
        await peer.stream.send_all(b"\0")
        await peer.at_end()


async def end_without_reading(server: RunningServer) -> None:
    async with server.peer("mei", "log") as mei, server.peer("bob") as bob:
        async with server.peer("watcher") as watcher, trio.open_nursery() as nursery:

            async def talk() -> None:
                while True:
                    await mei.send(*[Send(to="#lobby", text="x" * 4000)] * 10)
                    for _ in range(10):
                        await mei.expect(Sent)

            nursery.start_soon(talk)
            await watcher.sees(offline="bob")
            nursery.cancel_scope.cancel()
        await bob.at_end()


async def end_by_password(server: RunningServer) -> None:
    async with server.peer("mei") as one, server.peer("mei") as other:
        await one.ask(ChangePassword(old=PASSWORD, new="another horse"), PasswordChanged)
        await other.at_end()


async def end_by_a_newer_connection(server: RunningServer) -> None:
    async with server.peer("mei") as one, server.peer("mei"):
        await one.at_end()


async def end_by_a_bug(server: RunningServer) -> None:
    async with server.peer("mei") as peer:
        await peer.send(Who())
        await peer.at_end()


async def end_with_the_server(server: RunningServer) -> None:
    async with server.peer("mei") as peer:
        server.stop.set()
        await peer.at_end()


End = Callable[[RunningServer], Awaitable[None]]

ENDS: list[tuple[ByeReason, dict[str, Any], End]] = [
    (ByeReason.PROTOCOL_ERROR, {}, end_by_frame),
    (ByeReason.LOGIN_TIMEOUT, {"anonymous_timeout": 0.1}, end_by_silence),
    (
        ByeReason.HEARTBEAT_TIMEOUT,
        {"heartbeat_interval": 0.1, "heartbeat_timeout": 0.1},
        end_without_pong,
    ),
    (ByeReason.FRAME_TIMEOUT, {"frame_timeout": 0.1}, end_in_a_frame),
    (ByeReason.SLOW_CONSUMER, {"mailbox_bytes": 65536}, end_without_reading),
    (ByeReason.REPLACED, {"connections_per_account": 1}, end_by_a_newer_connection),
    (ByeReason.SESSION_REVOKED, {}, end_by_password),
    (ByeReason.INTERNAL, {}, end_by_a_bug),
    (ByeReason.SERVER_CLOSING, {}, end_with_the_server),
    (ByeReason.SERVER_FULL, {"max_connections": 1}, connect_twice),
    (ByeReason.TOO_MANY_CONNECTIONS, {"connections_per_address": 1}, connect_twice),
]
# That of a ban is in test_address_bans.py.
assert {reason for reason, *_ in ENDS} == set(ByeReason) - {ByeReason.ADDRESS_BANNED}


@pytest.mark.parametrize(("reason", "limits", "end"), ENDS)
async def test_each_bye_is_logged_with_its_reason(
    logs: Logs,
    monkeypatch: pytest.MonkeyPatch,
    reason: ByeReason,
    limits: dict[str, Any],
    end: End,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(ReadRequests, "who", fail)
    async with running_server(config(**limits)) as server:
        await end(server)
        if end is connect_twice:  # it is refused before there is a session
            code = {ByeReason.SERVER_FULL: "server_full"}.get(reason, "rate_limited")
            assert (await one(logs, "connection refused", code=code))["address"] == server.host
            return
        line = await one(logs, "session closed", reason=str(reason))
    assert line["address"] == server.host
    assert line["text"]
    assert line["duration"] >= 0
    if end is end_by_a_bug:
        assert of(logs, "session failed")[0]["connection"] == line["connection"]


async def test_ends_without_a_bye_are_distinguished(logs: Logs) -> None:
    async with running_server() as server:
        async with server.peer("away") as peer:
            await peer.end()
        async with server.peer("out") as peer:
            await peer.ask(Logout(), LoggedOut)
            await peer.end()
        async with server.peer("reset") as peer:
            await peer.ask(Ping(), Pong)
            connection = socket_of(peer)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends = {"away": "disconnected", "out": "logged_out", "reset": "connection_lost"}
        for name, reason in ends.items():
            await one(logs, "session closed", name=name, reason=reason)
    assert {line["reason"] for line in of(logs, "session closed")} == set(ends.values())


async def test_reset_that_a_write_finds_first_is_a_lost_connection(logs: Logs) -> None:
    """The write takes the error from the socket; the next read only finds that there is no more."""
    async with open_server(config()) as server:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener, trio.open_nursery() as nursery:
            stream = await trio.testing.open_stream_to_socket_listener(listener)
            nursery.start_soon(server.serve_stream, await listener.accept(), "127.0.0.1")
            peer = Peer(stream)
            await peer.log_in("mei")
            await peer.ask(Ping(), Pong)
            [session] = server.sessions
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.socket.close()
            session.outlet.post(encode(Ping()))
            session.outlet.flush()
        assert (await one(logs, "session closed"))["reason"] == "connection_lost"


async def test_lines_of_a_connection_have_its_number_and_address(logs: Logs) -> None:
    async with running_server() as server, AsyncExitStack() as stack:
        connections = {}
        for name in ("mei", "bob"):
            peer = await stack.enter_async_context(server.peer(name))
            await peer.ask(Resume(token="x"), Error)
            connections[name] = socket_of(peer).getsockname()[1]
        for name, port in connections.items():
            logged_in = await one(logs, "logged in", name=name)
            assert (logged_in["address"], logged_in["port"]) == (server.host, port)
    numbers = {line["connection"] for line in of(logs, "logged in")}
    assert len(numbers) == 2
    for line in of(logs, "session closed"):
        assert line["connection"] in numbers
        assert (line["requests"], line["refused"]) == (3, 1)


async def test_probe_without_a_login_is_logged_only_at_debug(logs: Logs) -> None:
    """A balancer connects every other second; its sessions are logged at level `debug`."""
    async with running_server() as server:
        for _ in range(3):
            async with server.connect() as peer:
                await peer.ask(Ping(), Pong)
        await one(logs, "session closed", reason="disconnected", log_level="debug")
    assert not [line for line in of(logs, "session closed") if line["log_level"] != "debug"]


# -- actions of people ----------------------------------------------------------------------------


async def test_actions_of_interest_to_administrators_are_logged(logs: Logs) -> None:
    async with running_server() as server, server.peer("bob") as bob, server.peer("mei") as mei:
        await mei.ask(CreateRoom(room="#tea", topic="private matters"), Sent)
        await bob.ask(Join(room="#tea"), Sent)
        await mei.ask(SetOperator(room="#tea", name="bob"), Sent)
        await mei.ask(SetOperator(room="#tea", name="bob", on=False), Sent)
        await mei.ask(SetTopic(room="#tea", topic="more private matters"), Sent)
        await mei.ask(SetAccess(room="#tea", private=True), Sent)
        await mei.ask(SetHistory(room="#tea", history="hidden"), Sent)
        await mei.ask(SetAccess(room="#tea", private=False, history="hidden"), Sent)
        await mei.ask(Kick(room="#tea", name="bob"), Sent)
        await mei.ask(Ban(room="#tea", name="bob", seconds=60, reason="private"), Sent)
        await mei.ask(Unban(room="#tea", name="bob"), Sent)
        await mei.ask(SetSlowMode(room="#tea", seconds=60), Sent)
        await mei.ask(SetAnnouncements(room="#tea", on=True), Sent)
        await mei.ask(SetArchived(room="#tea", on=True), Sent)
        await mei.ask(ChangePassword(old="wrong horse", new="another horse"), Error)
        await mei.ask(ChangePassword(old=PASSWORD, new="another horse"), PasswordChanged)
        hers = [line for line in logs if line.get("name") == "mei"]
    assert [line["event"] for line in hers][:16] == [
        "logged in",
        "room created",
        "room operator changed",
        "room operator changed",
        "room topic changed",
        "room access changed",
        "room history changed",
        "room access changed",
        "member kicked",
        "person banned",
        "ban lifted",
        "room slow mode changed",
        "room announcements changed",
        "room archived",
        "password change refused",
        "password changed",
    ]
    assert [line["on"] for line in of(logs, "room operator changed")] == [True, False]
    assert of(logs, "member kicked")[0]["person"] == "bob"
    private, public = of(logs, "room access changed")
    assert (private["private"], private.get("history")) == (True, None)
    assert (public["private"], public["history"]) == (False, "hidden")
    assert of(logs, "room history changed")[0]["history"] == "hidden"
    assert {line["account"] for line in of(logs, "account registered")} == {"mei", "bob"}
    assert "private matters" not in json.dumps(logs)


async def test_debug_logs_requests_and_their_duration(logs: Logs) -> None:
    configuration = structs.replace(config(), log_level="debug")
    async with running_server(configuration) as server, server.peer("mei") as mei:
        await mei.ask(Send(to="#lobby", text="whispered"), Sent)
        await mei.ask(Send(to="#lobby", text=""), Error)
        requests = of(logs, "request handled")
    assert [(line["request"], line["refused"]) for line in requests] == [
        ("register", 0),
        ("login", 0),
        ("send", 0),
        ("send", 1),
    ]
    assert all(line["milliseconds"] >= 0 and line["connection"] for line in requests)
    assert "whispered" not in json.dumps(logs)


# -- how often ------------------------------------------------------------------------------------


async def test_flood_of_refusals_is_one_line_with_a_count(
    logs: Logs, autojump_clock: MockClock
) -> None:
    journal, health = Journal(), StoreHealth()
    written = [journal.admit("login refused", "bad_credentials") for _ in range(1000)]
    assert Counter(map(str, written)) == {"{}": 1, "None": 999}
    assert journal.admit("login refused", "busy") == {}, "another kind is not kept back"
    await trio.sleep(1 / REFUSALS.per_second)
    assert journal.admit("login refused", "bad_credentials") == {"left_out": 999}
    for _ in range(5):
        journal.admit("login refused", "bad_credentials")
    with trio.move_on_after(100):
        await keep(journal, health)
    [line] = logs
    assert (line["event"], line["of"], line["code"], line["left_out"]) == (
        "events omitted",
        "login refused",
        "bad_credentials",
        5,
    )


async def test_bad_tokens_at_full_speed_do_not_flood_the_log(logs: Logs) -> None:
    """Nor do connections that come and go; 190 KB of log per second was seen."""
    async with running_server() as server:
        async with server.connect() as peer:
            for _ in range(10):
                await peer.send(*[Resume(token="x")] * 100)
                for _ in range(100):
                    await peer.expect(Error)
        for _ in range(50):
            async with server.connect() as peer:
                await peer.ask(Resume(token="x"), Error)
        async with server.connect() as peer:
            await peer.ask(Register(name="mei", password=PASSWORD), Registered)
        assert len(of(logs, "resume refused")) <= 5
        assert len(of(logs, "session closed")) <= 5


@pytest.mark.parametrize("loop", ["logins", "comings", "resumes", "bad tokens", "connections"])
async def test_log_size_of_a_reconnect_loop_is_bounded(loop: str, logs: Logs) -> None:
    """Each round used to write some 800 bytes, which buried the lines of the others."""
    rounds = 1000 if loop == "bad tokens" else 250

    def written() -> int:
        return sum(len(json.dumps(line)) for line in logs if line["log_level"] != "debug")

    async with running_server(config(connections_per_address=2)) as server:
        async with server.connect() as peer:
            await peer.log_in("mei")
            token, login = peer.token, Login(name="mei", password=PASSWORD)
            await peer.ask(Logout(), LoggedOut)
            if loop == "logins":
                await peer.send(*(login, Logout()) * rounds, Ping(request_id="last"))
                await peer.expect_last("last")
            elif loop == "bad tokens":
                await peer.send(*[Resume(token="x")] * rounds, Ping(request_id="last"))
                await peer.expect_last("last")
        if loop in ("comings", "resumes"):
            async with server.connect() as peer:
                token = (await peer.log_in("mei")).token
        for _ in range(rounds if loop in ("comings", "resumes", "connections") else 0):
            async with server.connect() as peer:
                if loop != "connections":
                    await peer.ask(login if loop == "comings" else Resume(token=token), LoggedIn)
                await peer.end()
        await until(lambda: bool(of(logs, "session closed")) or loop == "connections")
        assert written() <= 20_000
        # Others are still logged: at the same moment, from another address.
        journal = Journal(2)
        for _ in range(rounds):
            journal.admit("logged in", rate=ACTS, source="10.0.0.1")
        assert journal.admit("logged in", rate=ACTS, source="10.0.0.2") == {"left_out": rounds - 20}


async def test_summaries_of_actions_are_rare_and_have_an_address(
    logs: Logs, autojump_clock: MockClock
) -> None:
    journal = Journal()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, journal, StoreHealth())
        for second in range(1000):
            for address in ("2001:db8::1", f"2001:db8::{second:x}"):  # one /64
                if journal.admit("logged in", rate=ACTS, source=address) is not None:
                    structlog.get_logger().info("logged in")
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert len(of(logs, "logged in")) == pytest.approx(10 + 1000 / 60, abs=2)
    summaries = of(logs, "events omitted")
    assert 50 <= len(summaries) <= 101
    assert {line["address"] for line in summaries} == {"2001:db8::"}
    assert sum(line["left_out"] for line in summaries) <= 2000


# -- the store ------------------------------------------------------------------------------------


async def test_outage_is_two_lines_with_its_reasons_and_duration(
    logs: Logs, autojump_clock: MockClock
) -> None:
    health = StoreHealth()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, Journal(), health)
        full = StoreUnavailable("the disk is full", public="the server's disk is full")
        for _ in range(700):
            health.failed("writer", full)
        health.succeeded("reader")
        await trio.sleep(30)
        assert not health.is_available, "that it can be read says nothing about writing"
        health.failed("reader", StoreUnavailable("connection refused"))
        health.succeeded("reader")
        health.succeeded("writer")
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert [(line["event"], line.get("reason")) for line in logs] == [
        ("store unavailable", "the disk is full"),
        ("store unavailable", "connection refused"),
        ("store available", None),
    ]
    assert (logs[-1]["duration"], logs[-1]["failures"]) == (30.0, 701)
    assert health.is_available


async def test_locked_database_is_logged_once_and_reported_plainly(
    logs: Logs, tmp_path: Path
) -> None:
    path = tmp_path / "chat.db"
    async with running_server(config(store=f"sqlite:///{path}")) as server:
        async with server.peer("mei") as mei:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                for _ in range(2):
                    await mei.ask(Send(to="#lobby", text="hello"), Error)
            await mei.ask(Send(to="#lobby", text="hello"), Sent)
            available = await one(logs, "store available")
    [line] = of(logs, "store unavailable")
    assert "locked by another process" in line["reason"]
    assert line["part"] == "writer"
    assert available["failures"] == 2
    assert available["duration"] > 0


@asynccontextmanager
async def on(store: RedisServer) -> AsyncIterator[Peer]:
    async with (
        running_server(config(store=Nodes(store).url())) as server,
        server.peer("mei") as mei,
    ):
        yield mei


async def test_death_of_redis_is_noticed_without_requests(
    logs: Logs, start_redis: Callable[..., RedisServer]
) -> None:
    server = start_redis("--appendonly", "yes")
    async with on(server) as mei:
        await mei.ask(Ping(), Pong)  # the login's events have been read
        server.kill()
        await until(lambda: bool(of(logs, "store unavailable")))
        assert str(server.port) in of(logs, "store unavailable")[0]["reason"]
        error = await mei.ask(Send(to="#lobby", text="hello"), Error)
        assert str(server.port) not in error.text
        server.start()
        await until(lambda: bool(of(logs, "store available")))


async def test_redis_out_of_memory_is_reported(
    logs: Logs, start_redis: Callable[..., RedisServer]
) -> None:
    server = start_redis()
    async with on(server) as mei:
        with closing(redis.Redis(port=server.port)) as client:
            client.config_set("maxmemory", 1)
            error = await mei.ask(Send(to="#lobby", text="hello"), Error)
            assert error.text == "the server's store is out of memory: try again"
            assert "out of memory" in (await one(logs, "store unavailable"))["reason"]
            client.config_set("maxmemory", 0)
            await mei.ask(Send(to="#lobby", text="hello"), Sent)
            await until(lambda: bool(of(logs, "store available")))
