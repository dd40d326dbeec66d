"""Malicious or meaningless peers: faults 20 to 31 of ``docs/explanation/reliability.md``.

Uses a real server process if its limits are the system's, otherwise one in this process. Bad frames
of all kinds (18, 22) are in ``tests/server/test_bad_input.py`` and ``tests/protocol``.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
import structlog
import trio
import trustme
from gochat_faults.recorder import logged_in
from gochat_faults.server_process import ServerProcess, open_server
from msgspec import structs
from patience import PATIENCE, eventually
from peers import LIMITS, PASSWORD, Peer, RunningServer, config, running_server

from gochat.config import Config, Limits, Tls
from gochat.protocol.codec import encode
from gochat.protocol.framing import frame
from gochat.protocol.messages import (
    Bye,
    ChangePassword,
    Error,
    LoggedIn,
    Login,
    Message,
    PasswordChanged,
    People,
    Ping,
    Pong,
    Presence,
    Register,
    Registered,
    Request,
    Resume,
    Send,
    Sent,
    ServerMessage,
    Who,
)

pytestmark = pytest.mark.trio


async def talk(one: Peer, other: Peer, times: int = 100) -> None:
    """Make `one` send messages, each of which `other` receives before the next is sent."""
    for number in range(times):
        await one.send(Send(to="#lobby", text=f"{number}"))
        assert (await other.text()).text == f"{number}"


# -- 20: how the bytes are split ------------------------------------------------------------------


def _without_times(messages: list[ServerMessage]) -> list[ServerMessage]:
    return [
        structs.replace(m, ts=0, epoch="") if isinstance(m, Sent | Message) else m for m in messages
    ]


async def _answers(data: bytes, cuts: list[int]) -> tuple[list[ServerMessage], list[ServerMessage]]:
    """Return the entries and the replies. Only the order of one among the other may differ: what
    arrives together is committed together."""
    async with running_server() as server, server.peer("mei", "log") as mei:
        mei.received.clear()
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            await mei.stream.send_all(data[start:end])
        while not (mei.received and getattr(mei.received[-1], "request_id", None) == "last"):
            await mei.receive()
        answers = _without_times([m for m in mei.received if not isinstance(m, Presence)])
    entries = [answer for answer in answers if isinstance(answer, Message)]
    for entry in entries:
        [sent, *_] = [
            answer
            for answer in answers
            if isinstance(answer, Sent) and (answer.to, answer.seq) == (entry.to, entry.seq)
        ]
        assert answers.index(entry) < answers.index(sent)
    return [*entries], [answer for answer in answers if not isinstance(answer, Message)]


async def test_answers_are_the_same_however_the_bytes_are_split() -> None:
    requests: list[Request] = [
        Send(to="#lobby", text="one", cid="1"),
        Send(to="#lobby", text="two, 世界 👋", cid="4", request_id="a"),
        Send(to="#lobby", text="one", cid="1"),
        Send(to="#nowhere", text="x", cid="2"),
        Ping(request_id="b"),
        Send(to="@mei", text="to myself", cid="3"),
        Login(name="mei", password=PASSWORD, request_id="c"),
        Ping(request_id="last"),
    ]
    data = b"".join(encode(request) for request in requests)
    in_one_segment = entries, replies = await _answers(data, [])
    assert (len(entries), len(replies)) == (3, len(requests))
    assert await _answers(data, list(range(1, len(data)))) == in_one_segment
    for seed in range(5):
        random = Random(seed)
        cuts = sorted(random.sample(range(1, len(data)), k=random.randint(1, 40)))
        assert await _answers(data, cuts) == in_one_segment, seed


# -- 21: other protocols --------------------------------------------------------------------------


@asynccontextmanager
async def tls_server(**limits: Any) -> AsyncIterator[tuple[RunningServer, ssl.SSLContext]]:
    """Run a server with TLS, and return a context that trusts it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)
    with contextlib.ExitStack() as stack:
        cert = stack.enter_context(certificate.cert_chain_pems[0].tempfile())
        key = stack.enter_context(certificate.private_key_pem.tempfile())
        configuration = Config(
            port=0,
            store="sqlite:///:memory:",
            tls=Tls(cert=cert, key=key),
            limits=structs.replace(LIMITS, **limits),
        )
        async with running_server(configuration) as server:
            yield server, trust


@pytest.mark.parametrize(
    "data",
    [
        encode(Ping()),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(range(256)) * 16,
    ],
    ids=["plain gochat", "http", "garbage"],
)
async def test_peer_without_tls_is_closed_with_one_line_in_the_log(data: bytes) -> None:
    async with tls_server() as (server, trust):
        with structlog.testing.capture_logs() as logs:
            async with server.connect() as peer:
                await peer.stream.send_all(data)
                with trio.fail_after(PATIENCE), contextlib.suppress(trio.BrokenResourceError):
                    while await peer.stream.receive_some():
                        pass
        assert [line["event"] for line in logs if line["event"] != "listening"] == [
            "TLS handshake failed"
        ]
        await _talk_by_tls(server, trust)


async def _talk_by_tls(server: RunningServer, trust: ssl.SSLContext) -> None:
    stream = await trio.open_ssl_over_tcp_stream(server.host, server.port, ssl_context=trust)
    async with stream:
        await Peer(stream).ask(Ping(), Pong)


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00" + bytes(500)],
    ids=["http", "tls"],
)
async def test_other_protocols_on_a_plain_port_cost_two_lines_in_the_log(data: bytes) -> None:
    with structlog.testing.capture_logs() as logs:
        async with running_server() as server, server.connect() as peer:
            await peer.stream.send_all(data)
            assert isinstance((await peer.at_end())[-1], Bye)
    ours = [line["event"] for line in logs if line.get("connection") == 1]
    assert ours == ["frame refused", "session closed"]


# -- 23: wrong types, missing fields --------------------------------------------------------------

_WRONG: list[object] = [None, True, -1, 1.5, 2**64, "", "x" * 300, [], {}, [[]], {"a": 1}]


async def test_connection_survives_a_wrong_value_in_any_field() -> None:
    async with running_server(config(malformed_frames=1_000_000)) as server:
        async with server.peer("mei") as mei, server.peer("bob") as bob:
            answers: Counter[str] = Counter()
            for kind in get_args(Request):
                if kind.msg_type in ("logout", "login", "register", "resume"):
                    continue  # these would change who is logged in; they come below
                for field in structs.fields(kind):
                    for wrong in _WRONG:
                        data = {"request_id": "x", field.encode_name: wrong}
                        answers[await _answer(mei, kind.msg_type, data)] += 1
            assert answers["malformed"] > 500
            assert answers["internal"] == 0
            async with server.connect() as anonymous:
                for kind in (Register, Login, Resume):
                    for field in structs.fields(kind):
                        for wrong in _WRONG:
                            body = {"request_id": "x", field.encode_name: wrong}
                            if len(anonymous.received) < 12:  # few bytes are allowed before a login
                                answers[await _answer(anonymous, kind.msg_type, body)] += 1
            assert answers["internal"] == 0
            await mei.ask(Ping(), Pong)
            await bob.ask(Ping(), Pong)


async def _answer(peer: Peer, msg_type: str, data: dict[str, object]) -> str:
    """Send a request and a ping; return the outcome: an error's code or a type."""
    body = {"msg_type": msg_type, "msg_data": json.dumps(data)}
    await peer.stream.send_all(frame(json.dumps(body).encode()) + encode(Ping(request_id="sync")))
    answer = "nothing"
    while True:
        message = await peer.receive()
        assert not isinstance(message, Bye), (msg_type, data, message)
        if isinstance(message, Pong) and message.request_id == "sync":
            return answer
        if isinstance(message, Error):
            answer = message.code
        elif getattr(message, "request_id", None) is not None:
            answer = message.msg_type


# -- 24: crowds that don't log in -----------------------------------------------------------------


async def test_crowds_without_a_login_are_capped_and_users_unaffected(tmp_path: Path) -> None:
    settings = {"limits.connections_per_address": 40, "limits.anonymous_max": 100, **STAY}
    async with (
        open_server(tmp_path, settings) as server,
        peer_from("127.0.0.2", server, "mei") as mei,
        peer_from("127.0.0.3", server, "bob") as bob,
        AsyncExitStack() as crowd,
    ):
        await mei.sees(online="bob")
        quiet = await cost_of_talking(server, mei, bob)
        outcomes = await _come_in(crowd, server, [f"127.0.1.{n % 10}" for n in range(500)])
        assert outcomes == {"let in": 100, "server_full": 400}
        assert await cost_of_talking(server, mei, bob) < 10 * quiet


#: Peers that do not log in are tolerated, however long the others take to connect.
STAY = {"limits.anonymous_timeout": PATIENCE}


async def cost_of_talking(server: ServerProcess, one: Peer, other: Peer) -> float:
    """Return the CPU seconds that the server takes for some messages, at least one tick."""
    tick = 1 / os.sysconf("SC_CLK_TCK")
    before = _ticks(server.pid)
    await talk(one, other)
    return max(1, _ticks(server.pid) - before) * tick


def _ticks(pid: int) -> int:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:13]
    return int(user) + int(system)


async def test_connections_of_one_address_are_bounded(tmp_path: Path) -> None:
    async with (
        open_server(tmp_path, {"limits.connections_per_address": 40, **STAY}) as server,
        peer_from("127.0.0.2", server, "mei") as mei,
        AsyncExitStack() as crowd,
    ):
        outcomes = await _come_in(crowd, server, ["127.0.1.1"] * 100)
        assert outcomes == {"let in": 40, "rate_limited": 60}
        assert await _come_in(crowd, server, ["127.0.1.2"]) == {"let in": 1}
        await mei.ask(Ping(), Pong)


async def _come_in(
    crowd: AsyncExitStack, server: ServerProcess, addresses: list[str]
) -> Counter[str]:
    """Connect one after the other, stay, and count the outcomes."""
    outcomes: Counter[str] = Counter()

    async def ask(peer: Peer) -> None:
        with trio.move_on_after(0.5):  # a refusal comes unasked, and might cross a request
            outcomes[_outcome(await peer.receive())] += 1
            return
        await peer.send(Ping())
        outcomes[_outcome(await peer.receive())] += 1

    async with trio.open_nursery() as nursery:
        for address in addresses:
            stream = await connect_from(address, server)
            crowd.push_async_callback(trio.aclose_forcefully, stream)
            nursery.start_soon(ask, Peer(stream))
    return outcomes


def _outcome(message: ServerMessage) -> str:
    if isinstance(message, Error):
        return message.code
    assert isinstance(message, Pong), message
    return "let in"


async def connect_from(address: str, server: ServerProcess) -> trio.SocketStream:
    """Connect from another address of loopback."""
    sock = trio.socket.socket()
    try:
        await sock.bind((address, 0))
        await sock.connect(server.address)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


@asynccontextmanager
async def peer_from(address: str, server: ServerProcess, name: str) -> AsyncIterator[Peer]:
    """Open a connection from an address of loopback and log it in."""
    async with await connect_from(address, server) as stream:
        peer = Peer(stream)
        await peer.log_in(name)
        yield peer


# -- 25: no descriptors left ----------------------------------------------------------------------


async def test_server_out_of_descriptors_serves_connected_peers(
    tmp_path: Path,
) -> None:
    settings = {"limits.max_connections": 10_000}  # so that the system's limit comes first
    async with (
        open_server(tmp_path, settings, rlimit_nofile=64) as server,
        peer_from("127.0.0.2", server, "mei") as mei,
        peer_from("127.0.0.3", server, "bob") as bob,
    ):
        async with AsyncExitStack() as crowd:
            for _ in range(150):
                stream = await connect_from("127.0.0.1", server)
                crowd.push_async_callback(trio.aclose_forcefully, stream)
            await talk(mei, bob)
            late = await connect_from("127.0.0.1", server)
            async with late:
                with contextlib.suppress(trio.BrokenResourceError), trio.fail_after(PATIENCE):
                    assert await late.receive_some() == b"", "it was let in"
            assert [line for line in server.log() if "descriptors" in line["event"]]

        async def is_let_in() -> bool:
            try:
                async with logged_in(server, "eve") as eve:
                    await eve.who()
            except Exception:  # refused, in one of several ways
                return False
            return True

        await eventually(is_let_in)  # when the server has noticed that they are gone
        await mei.ask(Ping(), Pong)


# -- 26: guessing passwords -----------------------------------------------------------------------


async def test_password_guessing_by_fifty_hinders_nobody_else(
    tmp_path: Path,
) -> None:
    # With the default cost of hashes, which guessing could exhaust, and the default limits on
    # guessing.
    bounds = (
        "argon2_memory",
        "argon2_time",
        "login_failures",
        "login_failures_account",
        "login_failures_address",
    )
    defaults = {f"limits.{name}": getattr(Limits(), name) for name in bounds}
    async with (
        open_server(tmp_path, {**defaults, **STAY}) as server,
        peer_from("127.0.0.2", server, "mei") as mei,
        peer_from("127.0.0.3", server, "bob") as bob,
        trio.open_nursery() as nursery,
    ):
        codes: Counter[str] = Counter()

        async def talk_meanwhile(times: int) -> None:
            for _ in range(times):
                before = codes["bad_credentials"]
                await talk(mei, bob, 1)
                assert codes["bad_credentials"] - before < 25, "they wait until half are answered"

        async def guess() -> None:
            while True:
                async with await connect_from("127.0.0.66", server) as stream:
                    peer = Peer(stream)
                    for number in range(4):
                        wrong = Login(name="mei", password=f"wrong horse {number}")
                        codes[(await peer.ask(wrong, Error)).code] += 1

        for _ in range(50):
            nursery.start_soon(guess)
        while not codes["rate_limited"]:
            await talk_meanwhile(20)
        await talk_meanwhile(50)
        async with peer_from("127.0.0.4", server, "mei"):
            pass  # its owner, from elsewhere
        nursery.cancel_scope.cancel()
        assert codes["bad_credentials"] < 60, "that many guesses were answered"
        assert set(codes) <= {"bad_credentials", "rate_limited", "busy"}


# -- 27: the same name at the same moment ---------------------------------------------------------


async def test_one_of_twenty_concurrent_registrations_succeeds() -> None:
    async with running_server() as server:
        outcomes: list[ServerMessage] = []
        barrier = trio.Event()

        async def register(number: int) -> None:
            async with server.connect() as peer:
                await barrier.wait()
                # One name in several spellings.
                name = ("mei", "Mei", "MEI", "ｍｅｉ")[number % 4]
                await peer.send(Register(name=name, password=f"correct horse {number}"))
                outcomes.append(await peer.receive())

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(register, number)
            await trio.testing.wait_all_tasks_blocked()
            barrier.set()
        winners = [outcome for outcome in outcomes if isinstance(outcome, Registered)]
        assert len(winners) == 1
        assert {o.code for o in outcomes if isinstance(o, Error)} == {"name_taken"}


async def test_person_with_twenty_concurrent_logins_is_online_once() -> None:
    async with running_server() as server, server.peer("bob") as bob, AsyncExitStack() as stack:
        async with server.connect() as peer:
            await peer.register("mei")
        sessions = [await stack.enter_async_context(server.connect()) for _ in range(20)]
        async with trio.open_nursery() as nursery:
            for session in sessions:
                nursery.start_soon(session.ask, Login(name="mei", password=PASSWORD), LoggedIn)
        people = await bob.ask(Who(), People)
        assert [person.name for person in people.people] == ["bob", "mei"]
        await bob.send(Send(to="@mei", text="to all of you"))
        for session in sessions:
            assert (await session.text()).text == "to all of you"


# -- 29: a handshake that never ends --------------------------------------------------------------


async def test_stalled_tls_handshake_is_closed_in_time() -> None:
    assert Limits().tls_handshake_timeout <= 5
    async with tls_server(tls_handshake_timeout=0.3) as (server, trust):
        async with server.connect() as nothing, server.connect() as half:
            await half.stream.send_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            for peer in (nothing, half):
                with contextlib.suppress(trio.BrokenResourceError), trio.fail_after(PATIENCE):
                    assert await peer.stream.receive_some() == b""
        await _talk_by_tls(server, trust)


# -- 31: stolen, expired and replayed tokens ------------------------------------------------------


async def test_expired_token_is_refused_and_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_server(config(token_lifetime=60)) as server:
        async with server.connect() as mei:
            token = (await mei.log_in("mei")).token
        later = time.time_ns() + 3600 * 10**9
        monkeypatch.setattr(time, "time_ns", lambda: later)
        async with server.connect() as peer:
            with structlog.testing.capture_logs() as logs:
                error = await peer.ask(Resume(token=token), Error)
        assert error.code == "bad_token"
        events = [line["event"] for line in logs]
        assert events.count("resume refused") == 1  # the first connection's end may follow it
        assert token not in repr(logs)


async def test_stolen_token_is_invalid_after_a_password_change() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.connect() as thief:
        stolen = mei.token
        await thief.ask(Resume(token=stolen), LoggedIn)
        await mei.ask(ChangePassword(old=PASSWORD, new="another horse"), PasswordChanged)
        assert isinstance((await thief.at_end())[-1], Bye)
        for _ in range(2):  # replaying it does not help
            async with server.connect() as again:
                assert (await again.ask(Resume(token=stolen), Error)).code == "bad_token"
