"""Tokens of programs, and the account's sessions, with the client library on a real server."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
from patience import PATIENCE
from peers import PASSWORD, running_server

from gochat.client import (
    ChatError,
    Client,
    ConnectionState,
    Message,
    StateChanged,
    Synchronised,
    open_client,
)

pytestmark = pytest.mark.trio

MINUTE = timedelta(minutes=1)


async def next_of(client: Client, kind: type) -> object:
    with trio.fail_after(PATIENCE):
        async for event in client:
            if isinstance(event, kind):
                return event
    raise AssertionError("the events have ended")


async def test_program_that_only_sends_is_shown_nothing_and_sends() -> None:
    async with running_server() as server:
        url = f"gochat://{server.host}:{server.port}"
        async with open_client(url) as mei, open_client(url) as bot:
            await mei.register("mei", PASSWORD)
            await mei.log_in("mei", PASSWORD, device="laptop")
            token = await mei.create_token("bot", ["send"], MINUTE, rooms=["#lobby"])
            await bot.resume(token.token)
            assert await next_of(bot, Synchronised) == Synchronised((), ())
            assert (await bot.send("#lobby", "done")).conversation == "#lobby"
            with pytest.raises(ChatError) as refused:
                await bot.history("#lobby")
            assert refused.value.code == "not_permitted"
            with pytest.raises(ChatError):
                await bot.create_token("better", ["read"], MINUTE)
            assert [s.device for s in await mei.sessions()] == ["laptop", "bot"]
            await mei.end_session(token.id)
            while bot.state is not ConnectionState.OFFLINE:
                await next_of(bot, StateChanged)


async def test_program_that_reads_a_room_is_shown_that_room() -> None:
    async with running_server() as server:
        url = f"gochat://{server.host}:{server.port}"
        async with open_client(url) as mei, open_client(url) as bot:
            await mei.register("mei", PASSWORD)
            await mei.log_in("mei", PASSWORD)
            await mei.create_room("#builds")
            token = await mei.create_token("bot", ["read"], MINUTE, rooms=["#builds"])
            await bot.resume(token.token)
            synchronised = await next_of(bot, Synchronised)
            assert isinstance(synchronised, Synchronised)
            assert [c.name for c in synchronised.conversations] == ["#builds"]
            assert synchronised.people == ()
            await mei.send("#lobby", "not for programs").sent()
            await mei.send("#builds", "red").sent()
            message = await next_of(bot, Message)
            assert isinstance(message, Message)
            assert (message.conversation, message.text) == ("#builds", "red")


async def test_all_other_sessions_are_ended() -> None:
    async with running_server() as server:
        url = f"gochat://{server.host}:{server.port}"
        async with open_client(url) as mei, open_client(url) as other:
            await mei.register("mei", PASSWORD)
            await mei.log_in("mei", PASSWORD)
            await other.log_in("mei", PASSWORD)
            await mei.end_other_sessions()
            while other.state is not ConnectionState.OFFLINE:
                await next_of(other, StateChanged)
            assert [s.this for s in await mei.sessions()] == [True]
