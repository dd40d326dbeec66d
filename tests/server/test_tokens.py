"""A token is a device: any number of connections use it, and all of them end with it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
import structlog
import trio
from gochat_faults.proxy import open_proxy
from patience import PATIENCE, until
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.token import Token
from gochat.chat.tokens import TOKEN_LIFETIME, HeldToken, Tokens
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import (
    Bye,
    ChangePassword,
    Error,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    NewLogin,
    PasswordChanged,
    People,
    Ping,
    Pong,
    Presence,
    Resume,
    Send,
    ServerMessage,
    Who,
)
from gochat.server import deadlines, revocation
from gochat.server.revocation import Revocations
from gochat.storage.redis import RedisStore
from gochat.storage.redis.nodes import bus
from gochat.storage.redis.nodes.bus import RedisNodeBus
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio

AsyncMethod: TypeAlias = Callable[..., Awaitable[Any]]
#: Two servers; with a store that has only one server, the same one twice.
Servers = Sequence[RunningServer]


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def servers(request: pytest.FixtureRequest) -> AsyncIterator[Servers]:
    """A server on SQLite twice, or two nodes on one Redis."""
    async with _servers(request) as servers:
        yield servers


@asynccontextmanager
async def _servers(request: pytest.FixtureRequest) -> AsyncIterator[Servers]:
    if request.param == "sqlite":
        async with running_server() as server:
            yield server, server
    else:
        configuration = config(store=Nodes(request.getfixturevalue("redis_server")).url())
        async with running_server(configuration) as one, running_server(configuration) as two:
            yield one, two


async def pane(peer: Peer, token: str, *caps: str) -> None:
    """Resume with a token that another connection uses, too."""
    reply = await peer.ask(Resume(token=token, caps=caps), LoggedIn)
    assert reply.token == token, "it is not replaced"


async def ended(peer: Peer) -> str:
    """Wait for the `bye` of a revocation; return its text."""
    bye = (await peer.at_end())[-1]
    assert isinstance(bye, Bye)
    assert (bye.reason, bye.retry_after) == ("session_revoked", None)
    return bye.text


async def test_logout_ends_all_connections_that_use_the_token(servers: Servers) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as second, two.peer("mei") as telephone:
        await pane(second, mei.token)
        await mei.ask(Logout(), LoggedOut)
        await ended(second)
        assert (await mei.ask(Resume(token=mei.token), Error)).code == "bad_token"
        await telephone.ask(Ping(), Pong)  # its token is a different one
        await mei.ask(Login(name="mei", password=PASSWORD), LoggedIn)


async def test_concurrent_logouts_of_one_token_are_answered_or_ended(
    servers: Servers,
) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as second:
        await pane(second, mei.token)

        async def log_out(peer: Peer) -> None:
            await peer.send(Logout(request_id="out"))
            reply = await peer.receive()
            while isinstance(reply, Presence):
                reply = await peer.receive()
            assert isinstance(reply, LoggedOut | Bye)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(log_out, mei)
            nursery.start_soon(log_out, second)


async def test_password_change_ends_other_connections_before_its_reply(
    servers: Servers,
) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as second, two.peer("mei") as telephone:
        await pane(second, mei.token)
        changed = await mei.ask(ChangePassword(old=PASSWORD, new="new password"), PasswordChanged)
        assert changed.others_ended
        others = (second, telephone)
        for peer in others:
            with pytest.raises((AssertionError, trio.BrokenResourceError, trio.EndOfChannel)):
                await peer.ask(Ping(), Pong)
        await mei.ask(Ping(), Pong)
        async with two.connect() as third:
            await pane(third, changed.token)


async def test_one_of_two_concurrent_password_changes_succeeds(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = servers
    made: list[bool] = []
    both_have_proved = together(2, made)
    for store in (SqliteStore, RedisStore):
        monkeypatch.setattr(store, "change_password", both_have_proved(store.change_password))
    outcomes: list[tuple[ServerMessage, str]] = []

    async def change(peer: Peer, new: str) -> None:
        await peer.send(ChangePassword(old=PASSWORD, new=new))
        while isinstance(reply := await peer.receive(), Presence):
            pass
        outcomes.append((reply, new))

    async with one.peer("mei") as mei, two.peer("mei") as telephone:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(change, mei, "one password")
            nursery.start_soon(change, telephone, "other password")
        assert sorted(made) == [False, True]
        (won,) = [new for reply, new in outcomes if isinstance(reply, PasswordChanged)]
        ((reply, lost),) = [outcome for outcome in outcomes if outcome[1] != won]
        assert isinstance(reply, Bye) or (
            isinstance(reply, Error) and reply.code == "bad_credentials"
        )
        async with one.connect() as peer:
            await peer.ask(Login(name="mei", password=lost), Error)
            await peer.ask(Login(name="mei", password=won), LoggedIn)


def together(count: int, results: list[Any]) -> Callable[[AsyncMethod], AsyncMethod]:
    """Make calls of methods wait until there are `count` of them; record their results."""
    arrived, all_are_there = 0, trio.Event()

    def decorate(method: AsyncMethod) -> AsyncMethod:
        async def later(*args: Any) -> Any:
            nonlocal arrived
            arrived += 1
            if arrived == count:
                all_are_there.set()
            await all_are_there.wait()
            results.append(await method(*args))
            return results[-1]

        return later

    return decorate


# -- changes that only polling finds ---------------------------------------------------------------


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make servers check the tokens of connected sessions many times a second."""
    monkeypatch.setattr(revocation, "LOOK_EVERY", (0.01, 0.02))


@pytest.fixture
def due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make tokens be due for renewal as soon as they are issued."""
    hold = Tokens.hold

    def held(self: Tokens, token: Token) -> HeldToken:
        state = hold(self, token)
        state.due = trio.current_time()
        state.until -= TOKEN_LIFETIME / 2000
        return state

    monkeypatch.setattr(Tokens, "hold", held)


@pytest.fixture
def expires_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make tokens expire soon after they were issued, and let that be noticed at once."""
    hold = Tokens.hold

    def held(self: Tokens, token: Token) -> HeldToken:
        state = hold(self, token)
        state.until = trio.current_time() + 0.2
        return state

    monkeypatch.setattr(Tokens, "hold", held)
    monkeypatch.setattr(deadlines, "LOOK_EVERY", 0.01)


class Renewals:
    """Counts the renewals of tokens, and makes them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, are_possible: bool) -> None:
        self.count = 0
        for store in (SqliteStore, RedisStore):
            monkeypatch.setattr(store, "renew_token", self._counted(store.renew_token))
        self._are_possible = are_possible

    def _counted(self, renew: AsyncMethod) -> AsyncMethod:
        async def counted(*args: Any) -> Any:
            self.count += 1
            if not self._are_possible:
                raise StoreUnavailable("the disk is full", retry_after=0.01)
            return await renew(*args)

        return counted


@pytest.mark.usefixtures("expires_soon")
async def test_expired_token_ends_all_connections_that_use_it(servers: Servers) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as second:
        with contextlib.suppress(trio.BrokenResourceError, trio.EndOfChannel, AssertionError):
            await pane(second, mei.token)
        for peer in (mei, second):
            assert "log in again" in await ended(peer)


@pytest.mark.usefixtures("looks_often", "due_at_once")
async def test_connection_renews_its_token_but_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renewals, looks = Renewals(monkeypatch, are_possible=True), 0
    look = Revocations._look

    async def counted(self: Revocations, *args: Any, **kwargs: Any) -> None:
        nonlocal looks
        looks += 1
        await look(self, *args, **kwargs)

    monkeypatch.setattr(Revocations, "_look", counted)
    async with running_server() as server, server.connect() as mei:
        before = (await mei.log_in("mei")).expires
        await until(lambda: looks > 20)
        await mei.ask(Ping(), Pong)
        assert renewals.count == 1
        async with server.connect() as second:
            after = (await second.ask(Resume(token=mei.token), LoggedIn)).expires
        assert after - before == pytest.approx(TOKEN_LIFETIME / 2, abs=10_000)


@pytest.mark.usefixtures("looks_often")
async def test_token_that_vanishes_from_the_store_ends_its_connections(
    redis_server: RedisServer,
) -> None:
    """As when the node that revoked it died before it could notify the others."""
    nodes = Nodes(redis_server)
    configuration = config(store=nodes.url())
    async with running_server(configuration) as one, running_server(configuration) as two:
        async with one.peer("mei") as mei, two.connect() as second, two.peer("bob") as bob:
            await pane(second, mei.token)
            with nodes.client() as client:
                (key,) = nodes.keys("*h:mei")
                client.delete(key)
            for peer in (mei, second):
                assert "log in again" in await ended(peer)
            await bob.ask(Ping(), Pong)


async def test_node_without_a_lease_serves_no_revoked_session(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it any more. It checks the token first, and does nothing until it can."""
    monkeypatch.setattr(Revocations, "receive", lambda self, revoked: None)
    monkeypatch.setattr(Revocations, "doubt", lambda self: None)
    monkeypatch.setattr(bus, "CONFIRM_WITHIN", 0.001)
    configuration = config(store=Nodes(redis_server).url("lease=600"))
    async with running_server(configuration) as one, running_server(configuration) as two:
        async with one.peer("mei") as mei, two.peer("mei") as thief, two.peer("mei") as other:
            request = ChangePassword(old=PASSWORD, new="new password")
            changed = await mei.ask(request, PasswordChanged)
            await thief.ask(Who(), People)
            monkeypatch.setattr(RedisNodeBus, "has_lease", False)
            with monkeypatch.context() as patch:
                patch.setattr(RedisStore, "token", _unavailable)
                assert (await thief.ask(Who(), Error)).code == "unavailable"
                assert (await thief.ask(Ping(), Pong)).msg_type == "pong"
            assert (await thief.ask(Who(), Error)).code == "not_logged_in"
            assert (await other.ask(Send(to="#lobby", text="boo"), Error)).code == "not_logged_in"
            for peer in (thief, other):
                await ended(peer)
            async with two.connect() as second:
                await pane(second, changed.token)
                await second.ask(Who(), People)


async def _unavailable(*_: object) -> None:
    raise StoreUnavailable("Redis does not answer")


async def test_password_change_with_unknown_outcome_ends_sessions_if_made(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's reply was lost. Any of the other sessions may be a thief's."""
    one, two = servers
    for store in (SqliteStore, RedisStore):
        monkeypatch.setattr(store, "change_password", _answer_lost(store.change_password))
    async with one.peer("mei") as mei, two.peer("mei") as telephone, two.peer("bob") as bob:
        new = "new password"
        assert (await mei.ask(ChangePassword(old=PASSWORD, new=new), Error)).code == "unavailable"
        for peer in (mei, telephone):
            await ended(peer)
        await bob.ask(Ping(), Pong)
        async with two.connect() as peer:
            await peer.ask(Login(name="mei", password=new), LoggedIn)


def _answer_lost(change: AsyncMethod) -> AsyncMethod:
    async def changed(*args: Any) -> Any:
        await change(*args)
        raise StoreUnavailable("the connection was lost", retry_after=0.01)

    return changed


async def test_password_change_reports_a_node_that_did_not_confirm(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Revocations, "receive", lambda self, revoked: None)
    monkeypatch.setattr(bus, "CONFIRM_WITHIN", 0.001)
    configuration = config(store=Nodes(redis_server).url("lease=600"))
    with structlog.testing.capture_logs() as logs:
        async with running_server(configuration) as one, running_server(configuration):
            async with one.peer("mei") as mei:
                request = ChangePassword(old=PASSWORD, new="new password")
                changed = await mei.ask(request, PasswordChanged)
                assert not changed.others_ended
                async with one.connect() as second:
                    await pane(second, changed.token)
    (line,) = [line for line in logs if line["event"] == "revocation not confirmed"]
    assert (line["log_level"], line["name"], line["generation"]) == ("warning", "mei", 1)


async def test_reconnected_node_ends_sessions_revoked_meanwhile(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "CONFIRM_WITHIN", PATIENCE)
    nodes = Nodes(redis_server)
    async with (
        open_proxy(("127.0.0.1", redis_server.port)) as proxy,
        running_server(config(store=nodes.url("lease=3"))) as one,
        running_server(config(store=nodes.url("lease=3", proxy.port))) as two,
        one.peer("mei") as mei,
        two.peer("mei") as thief,
    ):
        proxy.freeze()
        changed = await mei.ask(ChangePassword(old=PASSWORD, new="new password"), PasswordChanged)
        assert changed.others_ended, "its lease has ended, and with it all that it can do"
        proxy.heal()
        await ended(thief)


# -- a login from elsewhere ------------------------------------------------------------------------


@asynccontextmanager
async def at(server: RunningServer, address: str) -> AsyncIterator[Peer]:
    """Connect from another address of the loopback network."""
    async with await trio.open_tcp_stream(
        server.host, server.port, local_address=address
    ) as stream:
        yield Peer(stream)


async def test_login_from_a_new_address_is_reported_to_other_sessions(
    servers: Servers,
) -> None:
    one, two = servers
    async with one.peer("mei", "log") as mei, two.peer("mei", "log") as telephone:
        async with one.peer("mei") as minimal, one.peer("bob", "log") as bob:
            for _ in range(2):  # the second time the address is known
                async with at(two, "127.0.0.2") as peer:
                    login = Login(name="mei", password=PASSWORD, caps=("log",))
                    await peer.ask(login, LoggedIn)
                    await peer.ask(Ping(), Pong)
                    assert not logins(peer)
                async with at(two, "127.0.0.3") as peer:
                    await pane(peer, mei.token)
            by = [NewLogin(address="127.0.0.2", by="password")]
            by += [NewLogin(address="127.0.0.3", by="token")]
            for peer in (mei, telephone):
                for event in by:
                    assert await peer.expect(NewLogin) == event
                await peer.ask(Ping(), Pong)
                assert logins(peer) == by
            for peer in (minimal, bob):
                await peer.ask(Ping(), Pong)
                assert not logins(peer)


def logins(peer: Peer) -> list[NewLogin]:
    """Return the `new_login` events that a peer received."""
    return [message for message in peer.received if isinstance(message, NewLogin)]
