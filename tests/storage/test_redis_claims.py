"""Claims on names in Redis, where they are stored apart from their accounts and rooms."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from redis_nodes import Nodes
from redis_process import RedisServer
from storing import Chat, account, person

from gochat.chat.skeletons import Skeleton
from gochat.errors import ChatError
from gochat.storage.redis.keys import DEFAULT_PARTITIONS, Keys

pytestmark = [pytest.mark.trio, pytest.mark.redis]


@pytest.fixture
def nodes(redis_server: RedisServer) -> Nodes:
    return Nodes(redis_server)


async def test_claim_of_a_dead_node_is_valid_only_for_its_name(nodes: Nodes) -> None:
    """The claim was made, but the account was not."""
    async with nodes.open() as store:
        key = claim_on(nodes, "zoe")
        with nodes.client() as client:
            client.set(key, "zoe\0an attempt")
        with pytest.raises(ChatError, match="looks like"):
            await store.create_account(account("ᴢoe"))
        assert await store.create_account(account("zoe"))
        with nodes.client() as client:
            assert client.get(key) == b"zoe"  # which no attempt releases


async def test_refused_attempt_leaves_nothing(nodes: Nodes) -> None:
    async with nodes.open() as store:
        await store.create_account(account("lan"))
        before = nodes.keys("*y:*")
        with pytest.raises(ChatError, match="looks like"):
            await store.create_account(account("Ian"))
        assert nodes.keys("*y:*") == before


async def test_older_names_are_claimed_by_the_first(
    nodes: Nodes,
) -> None:
    async with nodes.open() as store:
        await Chat(store).register("Mei", "zoe")
        await Chat(store).do("Mei", "#Garden", "create", "public")
        for name, created in (("paul", 2), ("pɑul", 1)):
            assert await store.create_account(replace(account(name), created=created))
            forget_claims(nodes)
    async with nodes.open() as store:
        chat = Chat(store)
        for twin in ("pauI", "rnei", "ᴢoe"):
            with pytest.raises(ChatError, match="looks like"):
                await store.create_account(account(twin))
        for room in ("#Gɑrden", "#Iobby"):
            assert await chat.refused("Mei", room, "create", "public") == "room_exists"
        assert len(await store.display_names([person("paul"), person("pɑul")])) == 2
        with nodes.client() as client:
            assert client.get(claim_on(nodes, "paul")).decode() == "pɑul"


async def test_older_names_are_claimed_in_capitals(nodes: Nodes) -> None:
    async with nodes.open() as store:
        assert await store.create_account(account("alice"))
        with nodes.client() as client:
            client.delete(claim_on(nodes, "allce"))
            client.hset(Keys(nodes.prefix, DEFAULT_PARTITIONS).meta, "claimed", 1)
    async with nodes.open() as store:
        with pytest.raises(ChatError, match="looks like"):
            await store.create_account(account("ALlCE"))


def claim_on(nodes: Nodes, skeleton: str) -> str:
    return Keys(nodes.prefix, DEFAULT_PARTITIONS).skeleton(Skeleton(skeleton))[1]


def forget_claims(nodes: Nodes) -> None:
    with nodes.client() as client:
        client.delete(*nodes.keys("*y:*"))
        client.hdel(Keys(nodes.prefix, DEFAULT_PARTITIONS).meta, "claimed")
