"""The six functions of the original, with nothing but frames: the minimum that always works."""

from __future__ import annotations

import pytest
import trio
from peers import PASSWORD, running_server

from gochat.protocol.messages import (
    Error,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    People,
    Presence,
    Register,
    Registered,
    Resume,
    Send,
    Who,
)

pytestmark = pytest.mark.trio


async def test_register_then_log_in() -> None:
    async with running_server() as server, server.connect() as peer:
        await peer.send(Register(name="Mei", password=PASSWORD))
        assert (await peer.expect(Registered)).name == "Mei"
        await peer.send(Login(name="mei", password=PASSWORD))
        reply = await peer.expect(LoggedIn)
        assert reply.name == "Mei"
        assert len(reply.token) >= 43, "256 bits"
        assert reply.limits.text_chars == 4000


async def test_who_lists_everyone_once_in_order() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob"):
        async with server.peer("bob"):
            people = await mei.ask(Who(), People)
        assert [person.name for person in people.people] == ["bob", "mei"]
        assert people.total == 2
        assert not people.more


async def test_who_returns_pages() -> None:
    async with running_server() as server, server.peer("a") as a, server.peer("b"):
        async with server.peer("c"):
            first = await a.ask(Who(limit=2), People)
            assert [person.name for person in first.people] == ["a", "b"]
            assert first.more
            rest = await a.ask(Who(after="b", limit=2), People)
            assert [person.name for person in rest.people] == ["c"]
            assert not rest.more


async def test_message_to_all_reaches_everyone_but_its_sender() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        async with server.peer("mei") as mei_elsewhere:
            await mei.send(Send(to="#lobby", text="hello, 世界 👋"))
            message = await bob.text()
            assert (message.to, message.from_) == ("#lobby", "mei")
            assert message.text == "hello, 世界 👋"
            assert message.seq == 1
            await bob.send(Send(to="#lobby", text="hi"))
            for peer in (mei, mei_elsewhere):
                assert (await peer.text()).text == "hi", "her own did not come before it"


async def test_private_message_reaches_only_its_receiver() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("Bob") as bob:
        async with server.peer("eve") as eve:
            await mei.send(Send(to="@bob", text="psst"))
            message = await bob.text()
            assert (message.to, message.from_, message.text) == ("@Bob", "mei", "psst")
            await mei.send(Send(to="#lobby", text="all"))
            assert (await eve.text()).text == "all", "the private one did not come before it"


async def test_private_message_waits_for_an_offline_receiver() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.connect() as bob:
            await bob.register("bob")
        await mei.send(Send(to="@bob", text="one"), Send(to="@bob", text="two"))
        await mei.ask(Who(), People)
        async with server.peer("bob") as bob:
            assert (await bob.text()).text == "one"
            assert (await bob.text()).text == "two"
            await bob.ask(Who(), People)  # shows that they have arrived
        async with server.peer("bob") as bob:
            await mei.send(Send(to="@bob", text="three"))
            assert (await bob.text()).text == "three", "what was delivered does not come again"


async def test_everyone_is_notified_who_comes_and_leaves() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob") as bob:
            await mei.sees(online="bob")
            await bob.ask(Logout(), LoggedOut)
            await mei.sees(offline="bob")
            await bob.log_in("bob")
            await mei.sees(online="bob")
        await mei.sees(offline="bob")


async def test_leaving_is_published_when_the_last_session_ends() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob"):
            await mei.sees(online="bob")
            async with server.peer("bob"):
                pass
            async with server.peer("eve"):
                await mei.sees(online="eve")
        await mei.sees(offline="bob")
        told = [m for m in mei.received if isinstance(m, Presence) and "bob" in m.offline]
        assert len(told) == 1


async def test_leaving_is_published_when_a_connection_breaks() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await mei.sees(online="bob")
        await trio.aclose_forcefully(bob.stream)
        await mei.sees(offline="bob")


@pytest.mark.parametrize("request_", [Who(), Send(to="#lobby", text="x"), Logout()])
async def test_all_but_register_and_login_need_a_login(request_: Who | Send | Logout) -> None:
    async with running_server() as server, server.connect() as peer:
        error = await peer.ask(request_, Error)
        assert error.code == "not_logged_in"
        await peer.log_in("mei")


async def test_connection_is_one_user_until_it_logs_out() -> None:
    async with running_server() as server, server.peer("mei") as peer:
        for request in (Login(name="mei", password=PASSWORD), Register(name="x", password="y" * 8)):
            error = await peer.ask(request, Error)
            assert error.code == "already_logged_in"
        await peer.ask(Logout(), LoggedOut)
        assert (await peer.ask(Who(), Error)).code == "not_logged_in"
        await peer.log_in("bob")


async def test_token_is_invalid_after_logout() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        token = mei.token
        await mei.ask(Logout(), LoggedOut)

        assert (await mei.ask(Resume(token=token), Error)).code == "bad_token"
