"""Participant rows in Redis from an older gochat, which have no floor and no inviter."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from redis_nodes import Nodes
from redis_process import RedisServer
from storing import Chat, account, key, person

pytestmark = [pytest.mark.trio, pytest.mark.redis]

DEN = "#den"


async def test_person_with_a_row_without_a_floor_reads_everything(
    redis_server: RedisServer,
) -> None:
    nodes = Nodes(redis_server)
    async with nodes.open() as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob", "Eve")
        await chat.do("Mei", DEN, "create", "private")
        await chat.say("Mei", DEN, "hello")
        await chat.do("Mei", DEN, "history", "hidden")
        for who in ("Bob", "Eve"):
            await chat.do("Mei", DEN, "invite", who, subject=who)
            await chat.do(who, DEN, "join")
            assert (await chat.page(who, DEN)).floor > 0
        (rows,) = nodes.keys("{*}:w:#den")
        with nodes.client() as client:
            for who in ("mei", "bob"):
                row = msgspec.msgpack.decode(client.hget(rows, who))
                assert len(row) == 6 if who == "mei" else 7
                client.hset(rows, who, msgspec.msgpack.encode(row[:6]))
        for who in ("Mei", "Bob"):
            page = await chat.page(who, DEN)
            assert (page.floor, len(page.entries)) == (0, 7)
            assert await chat.find(who, "hello") == ["hello"]
            assert (await chat.seen(who, DEN)).floor == 0
            assert (await store.conversation_keys(person(who)))[key(DEN, who)] == 0
        assert await chat.mark_read("Bob", DEN, 7)
        await chat.do("Bob", DEN, "react", "🌹", ref=2)
        assert await chat.find("Eve", "hello") == []


async def test_invitation_in_a_row_without_an_inviter_is_pending(redis_server: RedisServer) -> None:
    nodes = Nodes(redis_server)
    async with nodes.open() as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.do("Mei", DEN, "create", "private")
        await chat.do("Mei", DEN, "invite", "Bob", subject="Bob")
        (rows,) = nodes.keys("{*}:w:#den")
        with nodes.client() as client:
            row = msgspec.msgpack.decode(client.hget(rows, "bob"))
            client.hset(rows, "bob", msgspec.msgpack.encode(row[:6]))
        (invitation,) = await store.invitations(person("Bob"))
        assert (invitation.room, invitation.from_) == (DEN, "")


async def test_account_from_before_there_were_roles_is_an_active_member(
    redis_server: RedisServer,
) -> None:
    nodes = Nodes(redis_server)
    async with nodes.open() as store:
        assert await store.create_account(account("Mei"))
        (row,) = nodes.keys("{*}:a:mei")
        with nodes.client() as client:
            client.hdel(row, "role", "bot", "state", "generation")
        assert await store.account(person("mei")) == account("Mei")
        off = replace(account("Mei"), role="admin", bot=True, state="disabled", generation=1)
        assert await store.administration.change_account(account("Mei"), off)
        assert await store.account(person("mei")) == off
