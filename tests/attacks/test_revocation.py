"""A thief's loops during a password change: with a stolen token, and with the old password.

Once the owner is answered that the password is changed, everyone who logged in with the old one
must be gone, at every node, even one that is far from the store. A round takes seconds, and tries
it from many connections; GOCHAT_TEST_ROUNDS makes more of them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import pytest
import trio
from gochat_faults.proxy import Lane, Plan, open_proxy
from patience import until
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.accounts import Accounts
from gochat.chat.tokens import Tokens
from gochat.protocol.messages import (
    ChangePassword,
    Error,
    LoggedIn,
    Login,
    PasswordChanged,
    Payload,
    People,
    Request,
    Resume,
    Who,
)

pytestmark = pytest.mark.trio

ROUNDS: Final = int(os.environ.get("GOCHAT_TEST_ROUNDS", "1"))
#: Connections of the thief at each node.
LOOPS: Final = 4
#: Round trip in seconds from the second node to the store.
FAR: Final = 0.02
#: The steps of a login after which a password change may come.
STEPS: Final = [(Accounts, "log_in"), (Tokens, "issue"), (Tokens, "resume")]


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def servers(request: pytest.FixtureRequest) -> AsyncIterator[Sequence[RunningServer]]:
    """A server on SQLite, or two on one Redis, one of them far from it."""
    async with _servers(request) as servers:
        yield servers


@asynccontextmanager
async def _servers(request: pytest.FixtureRequest) -> AsyncIterator[Sequence[RunningServer]]:
    if request.param == "sqlite":
        async with running_server() as server:
            yield [server]
        return
    redis: RedisServer = request.getfixturevalue("redis_server")
    nodes = Nodes(redis)
    plan = Plan(up=Lane(delay=FAR), down=Lane(delay=FAR))
    async with (
        open_proxy(("127.0.0.1", redis.port), lambda _: plan) as proxy,
        running_server(config(store=nodes.url())) as near,
        running_server(config(store=nodes.url(port=proxy.port))) as far,
    ):
        yield [near, far]


class Thief:
    """Logs in with stolen credentials, again and again, and stays as long as it can."""

    def __init__(self, attempt: Request) -> None:
        self._attempt = attempt
        self.is_over = False  # the owner has received the reply to the change
        self.came_in = 0
        self.tokens: list[str] = []
        #: What it managed to do after that.
        self.afterwards: list[object] = []

    async def loop(self, server: RunningServer) -> None:
        """Log in until it is refused for good."""
        while True:
            async with server.connect() as peer:
                is_late = self.is_over
                try:
                    reply = await peer.ask(self._attempt, Payload)
                except (trio.EndOfChannel, trio.BrokenResourceError):
                    continue
                if isinstance(reply, LoggedIn):
                    self.came_in += 1
                    self.tokens.append(reply.token)
                    if is_late:
                        self.afterwards.append(reply)
                        return
                    await self._stay(peer)
                elif is_late:
                    assert isinstance(reply, Error), reply
                    assert reply.code in ("bad_token", "bad_credentials", "rate_limited")
                    return

    async def _stay(self, peer: Peer) -> None:
        """Use the connection a few times, and always once after the change."""
        for _ in range(3):
            is_late = self.is_over
            try:
                reply = await peer.ask(Who(), Payload)
            except (trio.EndOfChannel, trio.BrokenResourceError):
                return
            if is_late and isinstance(reply, People):
                self.afterwards.append(reply)
                return


def password(number: int) -> str:
    """Return the password after this many changes."""
    return f"{PASSWORD} {number}" if number else PASSWORD


async def change(peer: Peer, old: str, new: str) -> None:
    """Change the password; the reply says that all other sessions have ended."""
    reply = await peer.ask(ChangePassword(old=old, new=new), PasswordChanged)
    assert reply.others_ended
    peer.token = reply.token


async def robbed(
    servers: Sequence[RunningServer], thief: Thief, act: Callable[[], Awaitable[None]]
) -> None:
    """Let a thief loop at all servers while the owner acts."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for server in servers:
                for _ in range(LOOPS):
                    nursery.start_soon(thief.loop, server)
            await until(lambda: thief.came_in >= 2 * LOOPS * len(servers))  # all are at it
            await act()
            thief.is_over = True


async def test_stolen_token_does_not_survive_a_password_change(
    servers: Sequence[RunningServer],
) -> None:
    async with servers[0].peer("mei") as mei:
        for number in range(ROUNDS):
            old, new = password(number), password(number + 1)
            thief = Thief(Resume(token=mei.token))
            await robbed(servers, thief, partial(change, mei, old, new))
            assert thief.afterwards == []


async def test_old_password_does_not_survive_a_password_change(
    servers: Sequence[RunningServer],
) -> None:
    async with servers[0].peer("mei") as mei:
        for number in range(ROUNDS):
            old, new = password(number), password(number + 1)
            thief = Thief(Login(name="mei", password=old))
            await robbed(servers, thief, partial(change, mei, old, new))
            assert thief.afterwards == []
            async with servers[-1].connect() as peer:
                for token in thief.tokens:
                    assert (await peer.ask(Resume(token=token), Error)).code == "bad_token"


@pytest.mark.parametrize(("part", "step"), STEPS)
async def test_password_change_is_seen_by_a_login_in_progress(
    servers: Sequence[RunningServer], monkeypatch: pytest.MonkeyPatch, part: type, step: str
) -> None:
    """It happens between the check and joining the hub: by luck in a loop, here always, after
    `step`."""
    original = getattr(part, step)
    must_change = False

    async def overtaken(*arguments: Any, **options: Any) -> Any:
        nonlocal must_change
        result = await original(*arguments, **options)
        if must_change:
            must_change = False
            await change(mei, PASSWORD, password(1))
        return result

    monkeypatch.setattr(part, step, overtaken)
    async with servers[0].peer("mei") as mei, servers[-1].connect() as thief:
        by_token = step == "resume"
        request = Resume(token=mei.token) if by_token else Login(name="mei", password=PASSWORD)
        must_change = True
        refused = await thief.ask(request, Error)
        assert refused.code == ("bad_token" if by_token else "bad_credentials")
        assert not must_change
        assert not any(isinstance(message, LoggedIn) for message in thief.received)
        await mei.ask(Who(), People)
