"""A Redis that is configured to evict keys when it is full, and one that has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import redis
import structlog
import trio
from patience import eventually, until
from redis_deployments import ClusterOf3, Watched
from redis_nodes import REDIS_TIMEOUT, Histories, Nodes, say_when_possible
from redis_process import RedisServer
from redis_rights import add_user
from storing import Chat, Clock, account, draft, key, person

from gochat.errors import ConfigError, StoreUnavailable
from gochat.storage import open_store

pytestmark = [pytest.mark.trio, pytest.mark.redis]

StartRedis = Callable[..., RedisServer]

ROOM = str(1 << 30)  # more than a test needs: nothing is evicted yet


def set_up(server: RedisServer, **settings: str) -> None:
    client: Any = redis.Redis(port=server.port)  # whose methods have no useful types
    try:
        for name, value in settings.items():
            client.config_set(name.replace("_", "-"), value)
    finally:
        client.close()


async def is_refused(chat: Chat) -> bool:
    try:
        await chat.append(draft("Mei", "#lobby", "hello", cid="c"))
    except StoreUnavailable as error:
        return "maxmemory-policy noeviction" in str(error)
    return False


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl"])
async def test_redis_that_may_evict_is_refused_at_the_start(
    start_redis: StartRedis, policy: str
) -> None:
    nodes = Nodes(start_redis("--maxmemory", ROOM, "--maxmemory-policy", policy))
    with pytest.raises(ConfigError, match=f"{policy}.*set maxmemory-policy noeviction"):
        async with nodes.open():
            pass
    # As a user who may not read the configuration.
    user = add_user(nodes.server.port, nodes.prefix)
    url = nodes.url().replace("redis://", f"redis://{user}@")
    with pytest.raises(ConfigError, match=f"{policy}.*set maxmemory-policy noeviction"):
        async with open_store(url, clock=nodes.clock):
            pass
    assert nodes.keys("*") == []


async def test_policy_without_a_limit_and_limit_without_eviction_are_allowed(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis("--maxmemory-policy", "allkeys-lru"))
    async with nodes.open():
        pass
    set_up(nodes.server, maxmemory_policy="noeviction", maxmemory=ROOM)
    async with nodes.open():
        pass


async def test_redis_set_to_evict_at_run_time_is_refused_until_reset(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis("--maxmemory", ROOM))
    with structlog.testing.capture_logs() as logs:
        async with nodes.open() as store:
            chat = Chat(store)
            await chat.register("Mei")
            said = await chat.say("Mei", "#lobby", "before")
            set_up(nodes.server, maxmemory_policy="volatile-lru")
            await eventually(partial(is_refused, chat))
            with pytest.raises(StoreUnavailable, match="noeviction"):
                await chat.page("Mei", "#lobby")
            set_up(nodes.server, maxmemory_policy="noeviction")
            after = await say_when_possible(chat, "hello", "c")
            assert after.entry.epoch == said.epoch  # nothing was evicted
    refused = [line for line in logs if line["event"] == "Redis refused"]
    assert len(refused) == 1
    assert refused[0]["log_level"] == "error"
    assert "volatile-lru" in refused[0]["reason"]
    assert [line["event"] for line in logs].count("Redis accepted again") == 1


async def test_cluster_with_any_server_that_may_evict_is_refused(redis_cluster: ClusterOf3) -> None:
    url = f"{redis_cluster.url}?prefix=evicting"
    server = redis_cluster.servers[1]
    set_up(server, maxmemory=ROOM, maxmemory_policy="allkeys-lfu")
    try:
        with pytest.raises(ConfigError, match=f"{server.port} .*allkeys-lfu"):
            async with open_store(url, clock=Clock()):
                pass
    finally:
        set_up(server, maxmemory="0", maxmemory_policy="noeviction")


async def test_replica_that_may_evict_is_refused_once_promoted(tmp_path: Any) -> None:
    watched = Watched(tmp_path)
    try:
        watched.start()
        set_up(watched.replica, maxmemory=ROOM, maxmemory_policy="allkeys-lru")
        async with open_store(f"{watched.url}?timeout={REDIS_TIMEOUT}", clock=Clock()) as store:
            chat = Chat(store)
            await chat.register("Mei")
            await chat.say("Mei", "#lobby", "before")
            await until(watched.is_in_step)
            watched.master.kill()
            await eventually(partial(is_refused, chat))
            set_up(watched.replica, maxmemory_policy="noeviction")
            await say_when_possible(chat, "hello", "c")
    finally:
        watched.stop()


async def test_evicted_keys_begin_one_new_history_on_all_nodes(start_redis: StartRedis) -> None:
    nodes = Nodes(start_redis())
    first, second = Histories(), Histories()
    with structlog.testing.capture_logs() as logs:
        async with nodes.open() as one, nodes.open() as two, trio.open_nursery() as nursery:
            chat, other = Chat(one), Chat(two)
            await chat.register("Mei", "Bob")
            await nursery.start(first.follow, one)
            await nursery.start(second.follow, two)
            said = await chat.say("Mei", "#lobby", "before")
            with nodes.client() as client:
                for number in range(300):  # only these may be evicted, so the test knows which
                    client.set(f"other {number}", "x" * 10_000, ex=1000)
                client.config_set("maxmemory-policy", "volatile-random")
                client.config_set("maxmemory", client.info("memory")["used_memory"] - 1_000_000)
                assert client.info("stats")["evicted_keys"] > 0
                client.config_set("maxmemory", 0)
            await until(lambda: first.interruptions > 0 and second.interruptions > 0)
            epochs = {(await one_of.page("Bob", "#lobby")).epoch for one_of in (chat, other)}
            assert len(epochs) == 1
            assert said.epoch not in epochs
            assert (first.interruptions, second.interruptions) == (1, 1)
            nursery.cancel_scope.cancel()
    assert any("evicted keys" in line["event"] for line in logs)


async def test_conversation_whose_keys_have_vanished_accepts_nothing(
    start_redis: StartRedis,
) -> None:
    """Otherwise a seq would get another message within one history."""
    nodes = Nodes(start_redis())
    async with nodes.open() as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        for gone in ("c", "l", "cl"):
            room = f"#{gone}"
            await chat.do("Mei", room, "create", "public")
            await chat.do("Bob", room, "join")
            await chat.say("Mei", room, "one")
            with nodes.client() as client:
                for kind in gone:
                    (name,) = nodes.keys(f"*:{kind}:{room}")
                    client.delete(name)
            with structlog.testing.capture_logs() as logs:
                with pytest.raises(StoreUnavailable, match="vanished"):
                    await chat.say("Mei", room, "two")
                assert store.health.failures["writer"]
            if gone == "c":  # said once, until it is over
                (said,) = [one for one in logs if one["event"] == "store unavailable"]
                assert (said["part"], "vanished" in said["reason"]) == ("writer", True)
            if gone != "cl":
                with pytest.raises(StoreUnavailable, match="vanished"):
                    await chat.page("Mei", room)
        await chat.say("Mei", "#lobby", "the others go on")
        with pytest.raises(StoreUnavailable, match="vanished"):
            await store.mark_read(person("Bob"), key("#l", "Bob"), 3)


async def test_name_whose_account_has_vanished_stays_taken(start_redis: StartRedis) -> None:
    nodes = Nodes(start_redis())
    async with nodes.open() as store:
        await Chat(store).register("Mei")
        with nodes.client() as client:
            (name,) = nodes.keys("*:a:*")
            client.delete(name)
        assert await store.account(person("Mei")) is None
        assert not await store.create_account(account("Mei"))
