"""Crowds that fill a server: connections that never log in, whatever they wait for, and an account
or a network that opens as many as it can."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing
from patience import PATIENCE
from peers import PASSWORD, Peer, config, running_server

from gochat.config import Config, Limits
from gochat.errors import ErrorCode
from gochat.protocol.messages import (
    Bye,
    Error,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    Ping,
    Pong,
    Resume,
)
from gochat.server import crowding, session, session_loop
from gochat.server.app import open_server
from gochat.server.budget import Budgets, OverBudget
from gochat.server.limits import ConnectionLimiter
from gochat.server.server import Server
from gochat.server.session import Session

pytestmark = pytest.mark.trio

ENOUGH = 1_000_000
CROWD, HONEST = "10.0.0.1", "10.9.0.1"


def connect(server: Server, nursery: trio.Nursery, address: str, *, slow: bool = False) -> Peer:
    """Connect from an address; over a slow link everything waits at the server until it is read."""
    pair = trio.testing.lockstep_stream_pair() if slow else trio.testing.memory_stream_pair()
    ours, theirs = pair
    nursery.start_soon(server.serve_stream, theirs, address)
    return Peer(ours)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not condition():
            await trio.testing.wait_all_tasks_blocked(0.001)


# -- connections that never log in ----------------------------------------------------------------


async def read_nothing(server: Server, nursery: trio.Nursery) -> Session:
    peer = connect(server, nursery, CROWD, slow=True)

    async def ask() -> None:
        with suppress(trio.BrokenResourceError):
            for _ in range(20):
                await peer.send(*[Ping(request_id="x" * 64)] * 100)

    nursery.start_soon(ask)
    await until(lambda: any(s.requests > 50 for s in server.sessions))
    await trio.testing.wait_all_tasks_blocked(0.01)
    [stranger] = server.sessions
    assert stranger.requests < 2000, "it waits for its peer"
    return next(iter(server.sessions))


async def wait_in_the_login_line(server: Server, nursery: trio.Nursery) -> Session:
    peer = connect(server, nursery, CROWD)
    guess = Login(name="nobody", password=PASSWORD)
    assert (await peer.ask(guess, Error)).code == "bad_credentials"
    await peer.ask(guess, Error)
    await peer.send(guess)
    lines = server.services.login_lines._lines
    await until(lambda: any(line.waiting for line in lines.values()))
    return next(iter(server.sessions))


async def ask_for_too_much(server: Server, nursery: trio.Nursery) -> Session:
    peer = connect(server, nursery, CROWD)
    await peer.send(*[Ping(request_id="x")] * 1000)
    await until(lambda: any(s._pause for s in server.sessions))
    return next(iter(server.sessions))


async def stay_after_the_goodbye(server: Server, nursery: trio.Nursery) -> Session:
    peer = connect(server, nursery, CROWD)
    await peer.stream.send_all(bytes(4))
    await peer.at_end()
    return next(iter(server.sessions))


Way = Callable[[Server, trio.Nursery], Awaitable[Session]]
WAYS: Sequence[tuple[Way, dict[str, Any]]] = [
    (read_nothing, {"mailbox_bytes": 65536}),
    (wait_in_the_login_line, {"login_failures_address": 1, "login_interval": 3600}),
    (
        ask_for_too_much,
        {"request_budget": 100, "request_budget_per_second": 1, "connections_per_address": 1},
    ),
    (stay_after_the_goodbye, {}),
]


def patient(**limits: Any) -> Config:
    """Disable the deadlines that end a connection."""
    return config(
        **{
            "malformed_frames": ENOUGH,
            "anonymous_bytes": 1024**3,
            "anonymous_timeout": 3600,
            "write_timeout": 3600,
            **limits,
        }
    )


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses and lingering closes last as long as the test."""
    monkeypatch.setattr(session, "MAX_PAUSE", 3600)
    monkeypatch.setattr(session_loop, "LINGER", 3600)


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize(("way", "limits"), WAYS)
async def test_stranger_makes_room_whatever_it_waits_for(way: Way, limits: dict[str, Any]) -> None:
    async with open_server(patient(**limits)) as server, trio.open_nursery() as nursery:
        stranger = await way(server, nursery)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert server._make_room(HONEST)
        assert not server._make_room(HONEST), "it makes room once"
        await until(lambda: stranger not in server.sessions)
        assert server.services.connections.total == 0
        nursery.cancel_scope.cancel()


async def test_login_timeout_applies_to_peers_that_never_read() -> None:
    limits = patient(mailbox_bytes=65536, anonymous_timeout=0.3)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        stranger = await read_nothing(server, nursery)
        await until(lambda: stranger.is_ending)
        assert stranger.protocol.bye is not None
        assert stranger.protocol.bye.reason == "login_timeout"
        nursery.cancel_scope.cancel()


async def test_replies_before_the_login_are_bounded() -> None:
    async with open_server(config(malformed_frames=3)) as server, trio.open_nursery() as nursery:
        peer = connect(server, nursery, CROWD)
        await peer.ask(Ping(), Pong)
        await peer.ask(Ping(), Pong)
        await peer.log_in("mei")
        for _ in range(5):
            await peer.ask(Ping(), Pong)
        await peer.ask(Logout(), LoggedOut)
        await peer.send(*[Ping()] * 5)
        *pongs, bye = await peer.at_end()
        assert pongs == [Pong()] * 3
        assert isinstance(bye, Bye)
        assert bye.reason == "protocol_error"
        nursery.cancel_scope.cancel()


async def test_address_over_its_budget_displaces_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    charge = Budgets.charge

    def refuse(self: Budgets, address: str, *rest: Any) -> None:
        if address == "127.0.3.1":
            raise OverBudget(10)
        charge(self, address, *rest)

    monkeypatch.setattr(Budgets, "charge", refuse)
    async with running_server(config(anonymous_max=2)) as server, AsyncExitStack() as stack:
        crowd = [await tcp(stack, server.port, f"127.0.1.{host}") for host in (1, 2)]
        for peer in crowd:
            await peer.ask(Ping(), Pong)
        *_, bye = await (await tcp(stack, server.port, "127.0.3.1")).at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "too_many_connections"
        for peer in crowd:
            await peer.ask(Ping(), Pong)
        await (await tcp(stack, server.port, "127.0.4.1")).ask(Ping(), Pong)


async def test_network_makes_a_full_server_look_for_room_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gochat.server.server.LOOKS", (3, 0.001))
    looks, make_room = [], crowding.make_room

    def counted(strangers: Any, address: str) -> bool:
        looks.append(address)
        return make_room(strangers, address)

    monkeypatch.setattr(crowding, "make_room", counted)
    async with running_server(config(anonymous_max=1)) as server, AsyncExitStack() as stack:
        await (await tcp(stack, server.port, "127.0.1.1")).ask(Ping(), Pong)
        for _ in range(10):
            *_, bye = await (await tcp(stack, server.port, "127.0.1.2")).at_end()
            assert isinstance(bye, Bye)
            assert bye.reason == "server_full"
        assert looks == ["127.0.1.2"] * 3
        # That does not keep others out.
        await (await tcp(stack, server.port, "127.0.2.1")).at_end()
        assert looks[3:] == ["127.0.2.1"]


async def tcp(stack: AsyncExitStack, port: int, source: str) -> Peer:
    stream = await trio.open_tcp_stream("127.0.0.1", port, local_address=source)
    return Peer(await stack.enter_async_context(stream))


# -- accounts and networks with many connections ---------------------------------------------------


async def test_connections_of_an_account_are_bounded() -> None:
    """One more ends its oldest, so a client that reconnects often is not locked out."""
    limits = config(connections_per_account=3)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        bob = connect(server, nursery, HONEST)
        await bob.log_in("bob")
        peers = [connect(server, nursery, CROWD)]
        await peers[0].log_in("mallory")
        for number in range(4):
            peers.append(connect(server, nursery, f"10.0.{number}.1"))
            await peers[-1].ask(Resume(token=peers[0].token), LoggedIn)
        for peer in peers[:2]:
            [*_, bye] = await peer.at_end()
            assert isinstance(bye, Bye)
            assert (bye.reason, bye.retry_after) == ("replaced", None)
            assert "3" in bye.text
        for peer in (*peers[2:], bob):
            await peer.ask(Ping(), Pong)
        assert len(server.services.hub) == 4
        nursery.cancel_scope.cancel()


async def test_account_does_not_occupy_a_full_server() -> None:
    """It makes room for people who arrive, and keeps what a person's devices need."""
    async with running_server(config(max_connections=8)) as server, AsyncExitStack() as stack:
        peers = [await tcp(stack, server.port, "127.0.1.1")]
        await peers[0].log_in("mallory")
        for number in range(5):
            peers.append(await tcp(stack, server.port, f"127.0.{number}.1"))
            await peers[-1].ask(Resume(token=peers[0].token), LoggedIn)
        honest = []
        for number in range(4):
            honest.append(await tcp(stack, server.port, f"127.1.{number}.1"))
            await honest[-1].log_in(f"p{number}")
        for peer in peers[:2]:
            *_, bye = await peer.at_end()
            assert isinstance(bye, Bye)
            assert (bye.reason, bye.retry_after) == ("server_full", 10)
        last = await tcp(stack, server.port, "127.2.0.1")
        *_, refusal = await last.at_end()
        assert isinstance(refusal, Bye)
        assert refusal.reason == "server_full"
        for peer in (*peers[2:], *honest):
            await peer.ask(Ping(), Pong)


async def test_who_makes_room_is_looked_for_only_among_strangers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many people are online: else a crowd could make each of its connections dear."""
    looked_at: list[str | None] = []
    was: property = vars(Session)["is_stranger"]

    def is_stranger(session: Session) -> bool:
        looked_at.append(session.name)
        return bool(was.__get__(session))

    monkeypatch.setattr(Session, "is_stranger", property(is_stranger))
    async with running_server(config(anonymous_max=2)) as server, AsyncExitStack() as stack:
        for number in range(5):
            await stack.enter_async_context(server.peer(f"p{number}"))
        leaver = await stack.enter_async_context(server.peer("eve"))
        await leaver.ask(Logout(), LoggedOut)  # and is a stranger again
        for network in (2, 3):  # the second one is one too many
            peer = await tcp(stack, server.port, f"127.{network}.0.1")
            await peer.ask(Ping(), Pong)
        assert looked_at
        assert set(looked_at) == {None}


def chosen(members: Sequence[tuple[str, str]], address: str, *, strangers: int, most: int) -> str:
    """Return who among people at addresses is evicted: ``name number``, or nothing."""
    connections = ConnectionLimiter(Limits(), most)
    there = []
    for number, (name, origin) in enumerate(members):
        connections.opened(origin)
        connections.logged_in()
        there.append(
            SimpleNamespace(name=name, address=origin, began=number, is_ending=False, number=number)
        )
    for _ in range(strangers):
        connections.opened("10.200.0.1")
    leaving: Any = crowding.choose(cast("Any", there), connections, address)
    return "" if leaving is None else f"{leaving.name} {leaving.number}"


OFFICE = [(f"p{n}", "10.0.0.1") for n in range(80)]
OTHERS = [(f"q{n}", f"10.1.{n}.1") for n in range(20)]
MALLORY = [("mallory", f"10.2.{n}.1") for n in range(5)]


@pytest.mark.parametrize(
    ("members", "address", "strangers", "leaves"),
    [
        ([*OTHERS, *MALLORY], "10.9.0.1", 0, "mallory 20"),
        ([*OTHERS, *MALLORY[:4]], "10.9.0.1", 0, ""),
        ([*OTHERS, *MALLORY], "10.9.0.1", 6, "mallory 20"),
        ([*OTHERS, *MALLORY], "10.9.0.1", 7, ""),  # enough strangers
        ([*OTHERS, *OFFICE], "10.9.0.1", 0, "p0 20"),
        ([*OTHERS, ("p79", "10.0.0.1"), *OFFICE], "10.9.0.1", 0, "p79 20"),
        ([*OTHERS, *OFFICE], "10.0.0.7", 0, ""),  # a member of that network itself
        ([*OTHERS, *OFFICE[:60]], "10.9.0.1", 0, ""),
        ([*OFFICE[:50]], "10.9.0.1", 0, ""),
        ([], "10.9.0.1", 0, ""),
    ],
)
async def test_full_server_chooses_whom_to_evict(
    members: Sequence[tuple[str, str]], address: str, strangers: int, leaves: str
) -> None:
    assert chosen(members, address, strangers=strangers, most=100) == leaves


async def test_connections_of_an_ipv6_network_are_bounded() -> None:
    limiter = ConnectionLimiter(Limits(connections_per_address=2), 1000)

    def fill(template: str, numbers: range = range(100)) -> int:
        """Connect from a /64 each, until one is refused; return how many there are."""
        for opened, number in enumerate(numbers):
            if limiter.refusal(address := template.format(number)) is not None:
                assert limiter.refusal(address) == ErrorCode.RATE_LIMITED
                return opened
            limiter.opened(address)
        return len(numbers)

    assert fill("2001:db8:1:{:x}::1") == 8  # of a /56
    assert fill("2001:db8:1:{:x}00::1") == 0
    assert fill("2001:db8:1:{:x}00::1", range(1, 100)) == 24  # of a /48
    assert limiter.refusal("2001:db8:2::1") is None
    for _ in range(2):
        limiter.opened("10.0.0.1")
    assert limiter.refusal("10.0.0.2") is None
