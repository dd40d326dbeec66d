"""What people say of themselves, with bare frames: on a server with SQLite, and on two with one
Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from patience import eventually
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.status import MAX_STATUS
from gochat.protocol.messages import (
    Away,
    CreatedToken,
    CreateToken,
    Error,
    LoggedIn,
    Login,
    Ok,
    People,
    Person,
    Presence,
    Resume,
    SetStatus,
    Status,
    Statuses,
    StatusList,
    TokenScope,
    Who,
)
from gochat.server import authentication, status_requests
from gochat.storage.common.clock import wall_clock

pytestmark = pytest.mark.trio

HOLIDAY = Status(emoji="🌴", text="on holiday")


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def servers(request: pytest.FixtureRequest) -> AsyncIterator[list[RunningServer]]:
    """One server with SQLite, or two with one Redis."""
    urls = ["sqlite:///:memory:"]
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        urls = [Nodes(redis).url()] * 2
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_server(config(store=url))) for url in urls]


async def statuses(peer: Peer, *names: str) -> dict[str, Status | None]:
    listed = await peer.ask(Statuses(names=names), StatusList)
    return {person.name: person.status for person in listed.people}


async def online(peer: Peer) -> dict[str, Person]:
    return {person.name: person for person in (await peer.ask(Who(), People)).people}


async def hears(peer: Peer, name: str, said: Status | None) -> None:
    await peer.expect(
        Presence, lambda event: any(p.name == name and p.status == said for p in event.online)
    )


async def test_status_is_shown_on_all_devices_and_nodes_and_outlasts_its_sessions(
    servers: list[RunningServer],
) -> None:
    async with servers[-1].peer("mei", "status") as mei:
        async with (
            servers[0].peer("bob", "status") as bob,
            servers[-1].peer("bob", "status") as phone,
        ):
            await mei.until_online("mei", "bob")
            await bob.ask(SetStatus(emoji="🌴", text="  on holiday "), Ok)
            for peer in (mei, phone):
                await hears(peer, "bob", HOLIDAY)
            assert (await online(phone))["bob"].status == HOLIDAY
            await phone.ask(SetStatus(text="back", seconds=60), Ok)
            event = await bob.expect(Presence, lambda one: one.online[-1].status != HOLIDAY)
            said = event.online[-1].status
            assert said is not None
            assert (said.text, said.emoji) == ("back", "")
            assert wall_clock() < said.until <= wall_clock() + 60_000
            await phone.ask(SetStatus(emoji="🌴", text="on holiday"), Ok)
            await hears(mei, "bob", HOLIDAY)
        await mei.sees(offline="bob")
        assert await statuses(mei, "@Bob", "mei", "nobody", "not a name") == {"bob": HOLIDAY}
        async with servers[0].peer("bob", "status") as bob:
            await hears(mei, "bob", HOLIDAY)
            assert await statuses(mei, "bob") == {"bob": HOLIDAY}
            await bob.ask(SetStatus(), Ok)
            await hears(mei, "bob", None)
        assert await statuses(mei, "bob") == {}


async def test_session_that_does_not_ask_for_it_is_sent_what_it_was_before(
    servers: list[RunningServer],
) -> None:
    async with (
        servers[0].peer("mei") as minimal,
        servers[0].peer("eve", "log", "heartbeat") as old,
        servers[-1].peer("bob", "status") as bob,
    ):
        for peer in (minimal, old):
            await peer.until_online("mei", "eve", "bob")
        await bob.send(SetStatus(text="tea"))  # the reply may come before or after this
        await hears(bob, "bob", Status(text="tea"))
        await bob.ask(Away(text="lunch"), Ok)
        for peer in (minimal, old):
            await peer.expect(Presence, lambda event: any(p.away for p in event.online))
            assert all(p.status is None for p in (await online(peer)).values())
            heard = [p for e in peer.received if isinstance(e, Presence) for p in e.online]
            assert [p.status for p in heard] == [None] * len(heard)
            assert sum(p.name == "bob" for p in heard) <= 2, "who came, and the notice"


@pytest.mark.parametrize(
    ("request_", "code", "field", "rule"),
    [
        (SetStatus(text="x" * (MAX_STATUS + 1)), "text_too_long", "text", None),
        (SetStatus(text="two\nlines"), "bad_request", "text", "one_line"),
        (SetStatus(text="\x1b[31mred"), "bad_request", "text", "one_line"),
        (SetStatus(text="two\u2028lines"), "bad_request", "text", "one_line"),
        (SetStatus(emoji="x"), "bad_request", "emoji", "emoji"),
        (SetStatus(emoji="🌴🌴"), "bad_request", "emoji", "emoji"),
    ],
)
async def test_status_that_is_not_a_line_and_an_emoji_is_refused(
    request_: SetStatus, code: str, field: str, rule: str | None
) -> None:
    async with running_server() as server, server.peer("mei", "status") as mei:
        error = await mei.ask(request_, Error)
        assert (error.code, error.field, error.args.get("rule")) == (code, field, rule)
        await mei.ask(SetStatus(text="x" * MAX_STATUS, emoji="👩🏽‍💻"), Ok)


async def test_changes_are_limited_as_messages_are() -> None:
    """Everybody is sent them. What is refused for another reason takes no turn."""
    async with running_server(config(burst=3, per_second=0.001)) as server:
        async with server.peer("mei", "status") as mei:
            for _ in range(9):
                await mei.ask(SetStatus(emoji="x"), Error)
            for number in range(3):
                await mei.ask(SetStatus(text=f"{number}"), Ok)
            error = await mei.ask(SetStatus(), Error)
            assert (error.code, error.args["limit"]) == ("rate_limited", "per_second")
            assert (await online(mei))["mei"].status == Status(text="2")


async def test_status_that_has_ended_is_shown_to_nobody_and_forgotten_at_the_next_login(
    servers: list[RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = 0
    for module in (status_requests, authentication):
        monkeypatch.setattr(module, "wall_clock", lambda: wall_clock() + ahead)
    async with servers[0].peer("mei", "status") as mei:
        async with servers[0].peer("bob", "status") as bob:
            ahead = -100_000
            await bob.ask(SetStatus(text="tea", seconds=50), Ok)  # it has ended long ago
            ahead = 0
            assert (await online(bob))["bob"].status is None
            assert await statuses(mei, "bob") == {}
        await mei.sees(offline="bob")
        assert await statuses(mei, "bob") == {}
        async with servers[-1].connect() as bob:
            await bob.ask(Login(name="bob", password=PASSWORD, caps=("status",)), LoggedIn)
            ahead = -100_000  # it would be shown, if it were there
            await mei.sees(online="bob")
            assert await statuses(mei, "bob") == {}
        await mei.sees(offline="bob")
        assert await statuses(mei, "bob") == {}


async def test_program_needs_the_scopes_and_all_conversations() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        cases: list[tuple[tuple[TokenScope, ...], tuple[str, ...], tuple[type, ...]]] = [
            (("read",), (), (Statuses,)),
            (("send",), (), (SetStatus,)),
            (("read", "send"), ("#lobby",), ()),
        ]
        for scopes, rooms, allowed in cases:
            made = await mei.ask(
                CreateToken(device="bot", scopes=scopes, rooms=rooms, lifetime=3600), CreatedToken
            )
            async with server.connect() as bot:
                await bot.ask(Resume(token=made.token, caps=("status",)), LoggedIn)
                for request, reply in (
                    (SetStatus(text="tea"), Ok),
                    (Statuses(names=("mei",)), StatusList),
                ):
                    if type(request) in allowed:
                        await bot.ask(request, reply)
                    else:
                        assert (await bot.ask(request, Error)).code == "not_permitted"
        assert await statuses(mei, "mei") == {"mei": Status(text="tea")}


@pytest.mark.redis
async def test_status_that_the_store_has_wins_over_what_nodes_say_last(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mute that comes between the commit and the node's word of it, for instance."""
    url = Nodes(redis_server).url()
    async with running_server(config(store=url)) as server, server.peer("mei", "status") as mei:
        store_it = status_requests.StatusRequests._store

        async def overtaken(self: status_requests.StatusRequests, who: Any, said: Any) -> None:
            await store_it(self, who, said)
            account = await self._services.store.account(who.key)
            assert account is not None
            await self._services.store.set_status(account, None)

        monkeypatch.setattr(status_requests.StatusRequests, "_store", overtaken)
        await mei.ask(SetStatus(text="tea"), Ok)

        async def is_gone() -> bool:
            return (await online(mei))["mei"].status is None

        await eventually(is_gone)
