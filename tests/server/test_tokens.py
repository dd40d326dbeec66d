"""A token is a device: any number of connections hold it, and all of them end with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
import trio
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes

from gochat.protocol.messages import (
    Bye,
    ChangePassword,
    Error,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    PasswordChanged,
    Ping,
    Pong,
    Presence,
    Resume,
    ServerMessage,
)
from gochat.storage.redis import RedisStore
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio

AsyncMethod: TypeAlias = Callable[..., Awaitable[Any]]
#: Two servers; where there is only one store of its own, the same one twice.
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
    """Resume by a token that another connection holds, too."""
    reply = await peer.ask(Resume(token=token, caps=caps), LoggedIn)
    assert reply.token == token, "it is not replaced"


async def ended(peer: Peer) -> str:
    """Wait until the server has said goodbye for a revocation; return the text."""
    bye = (await peer.at_end())[-1]
    assert isinstance(bye, Bye)
    assert (bye.reason, bye.retry_after) == ("session_revoked", None)
    return bye.text


async def test_logging_out_ends_all_connections_that_hold_the_token(servers: Servers) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as second, two.peer("mei") as telephone:
        await pane(second, mei.token)
        await mei.ask(Logout(), LoggedOut)
        await ended(second)
        assert (await mei.ask(Resume(token=mei.token), Error)).code == "bad_token"
        await telephone.ask(Ping(), Pong)  # which has a token of its own
        await mei.ask(Login(name="mei", password=PASSWORD), LoggedIn)


async def test_two_who_log_out_of_one_token_at_once_are_both_answered_or_ended(
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


async def test_a_new_password_ends_the_other_connections_before_it_is_answered(
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


async def test_of_two_password_changes_at_once_one_is_made(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = servers
    both_have_proved = together(2)
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
        (won,) = [new for reply, new in outcomes if isinstance(reply, PasswordChanged)]
        ((reply, lost),) = [outcome for outcome in outcomes if outcome[1] != won]
        assert isinstance(reply, Bye) or (
            isinstance(reply, Error) and reply.code == "bad_credentials"
        )
        async with one.connect() as peer:
            await peer.ask(Login(name="mei", password=lost), Error)
            await peer.ask(Login(name="mei", password=won), LoggedIn)


def together(count: int) -> Callable[[AsyncMethod], AsyncMethod]:
    """Return what makes calls of methods wait until there are so many."""
    arrived, all_are_there = 0, trio.Event()

    def decorate(method: AsyncMethod) -> AsyncMethod:
        async def later(*args: Any) -> Any:
            nonlocal arrived
            arrived += 1
            if arrived == count:
                all_are_there.set()
            await all_are_there.wait()
            return await method(*args)

        return later

    return decorate
