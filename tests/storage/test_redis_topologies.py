"""Sentinel and Cluster, when their servers fail or their slots move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import trio
from patience import until
from redis.crc import key_slot
from redis_deployments import MISSED_AFTER, SYNC_AT_ONCE, ClusterOf3, Watched
from redis_nodes import REDIS_TIMEOUT, Histories, say_when_possible, when_possible
from redis_process import RedisServer
from storing import Chat, Clock, Following, draft, follow, key

from gochat.chat.log import Appended
from gochat.chat.store import Store
from gochat.errors import ConfigError, StoreUnavailable
from gochat.storage import open_store

pytestmark = [pytest.mark.trio, pytest.mark.redis]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A master with a replica and sentinels, for tests that break them."""
    deployment = Watched(tmp_path)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterOf3]:
    """A cluster, for tests that break it."""
    deployment = ClusterOf3(tmp_path)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()


def opened(url: str, options: str = "") -> AbstractAsyncContextManager[Store]:
    return open_store(f"{url}?timeout={REDIS_TIMEOUT}&{options}", clock=Clock())


@pytest.mark.parametrize("kind", ["redis_server", "redis_watched", "redis_cluster"])
async def test_each_node_delivers_the_entries_of_the_others(
    kind: str, request: pytest.FixtureRequest
) -> None:
    deployment: RedisServer | Watched | ClusterOf3 = request.getfixturevalue(kind)
    options = f"prefix=t{uuid4().hex}"
    rooms = ["#lobby", *(f"#room{number}" for number in range(30))]  # in about all partitions
    followings = [Following(), Following()]
    async with (
        opened(deployment.url, options) as one,
        opened(deployment.url, options) as two,
        trio.open_nursery() as background,
    ):
        for store, following in zip((one, two), followings, strict=True):
            await follow(background, store, following)
        chats = [Chat(one), Chat(two)]
        await chats[0].register("Mei")
        await chats[0].append(*(draft("Mei", room, "public", kind="create") for room in rooms[1:]))
        for turn in range(4):
            await chats[turn % 2].append(*(draft("Mei", room, f"{turn}") for room in rooms))
        total = len(rooms) - 1 + 4 * len(rooms)
        for following in followings:
            await until(lambda: len(following.logged) == total)  # noqa: B023 -- at once
        background.cancel_scope.cancel()
    for room in rooms:
        texts = [
            [
                one_entry.entry.text
                for one_entry in following.logged
                if one_entry.entry.to == room and one_entry.entry.kind == "text"
            ]
            for following in followings
        ]
        assert texts == [["0", "1", "2", "3"]] * 2


# -- Sentinel ------------------------------------------------------------------------------------


async def test_promoted_replica_with_all_data_continues_the_history(
    watched: Watched,
) -> None:
    following = Following()
    async with opened(watched.url) as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await follow(nursery, store, following)
        said = [await chat.say("Mei", "#lobby", f"{n}", cid=f"c{n}") for n in range(20)]
        await until(lambda: watched.is_in_step())
        watched.master.kill()
        after = await say_when_possible(chat, "after", "after")
        assert (after.entry.seq, after.entry.epoch) == (21, said[0].epoch)
        await until(lambda: following.seqs("#lobby") == list(range(1, 22)))
        nursery.cancel_scope.cancel()


async def test_promoted_replica_that_lagged_begins_a_new_history(watched: Watched) -> None:
    histories = Histories()
    async with opened(watched.url) as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await nursery.start(histories.follow, store)
        kept = await chat.say("Mei", "#lobby", "kept", cid="kept")
        await until(lambda: watched.is_in_step())
        watched.cut_off_replica()
        lost = [await chat.say("Mei", "#lobby", f"{n}", cid=f"lost {n}") for n in range(5)]
        watched.master.kill()
        again = await say_when_possible(chat, "0", "lost 0")
        # It may be a duplicate: of an attempt whose reply was lost, for sentinels cut off the
        # clients of a server that they promote.
        assert again.entry.seq == lost[0].seq
        assert again.entry.epoch != kept.epoch
        page = await when_possible(lambda: chat.page("Bob", "#lobby"))
        assert [entry.text for entry in page.entries] == ["kept", "0"]
        assert (await say_when_possible(chat, "kept", "kept")).dup
        await until(lambda: histories.interruptions == 1)
        nursery.cancel_scope.cancel()


async def test_wait_acknowledges_nothing_that_only_the_master_has(
    watched: Watched,
) -> None:
    async with opened(watched.url, "wait=1&wait_timeout=0.2") as store:
        chat = Chat(store)
        await chat.register("Mei")
        await chat.say("Mei", "#lobby", "both have it")
        watched.replica.freeze()
        for _ in range(2):  # the retry finds the message, but it is still not replicated
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                await chat.append(draft("Mei", "#lobby", "only one has it", cid="c"))
        watched.replica.thaw()
        result = await say_when_possible(chat, "only one has it", "c")
        assert (result.dup, result.entry.seq) == (True, 2)


async def test_nodes_keep_the_known_master_without_sentinels(
    watched: Watched,
) -> None:
    async with opened(watched.url) as store:
        chat = Chat(store)
        await chat.register("Mei")
        before = await chat.say("Mei", "#lobby", "before")
        for sentinel in watched.sentinels:
            sentinel.kill()
        client: Any = redis.Redis(port=watched.master.port)  # whose methods have no useful types
        with closing(client):
            client.client_kill_filter(_type="normal", skipme=True)
        after = await say_when_possible(chat, "after", "after")
        assert (after.entry.seq, after.entry.epoch) == (2, before.epoch)


async def test_error_names_sentinels_that_do_not_know_the_master(watched: Watched) -> None:
    url = watched.url.replace("/chat", "/other")
    with pytest.raises(StoreUnavailable, match="no sentinel knows the master of 'other'"):
        async with opened(url):
            pass


# -- Cluster -------------------------------------------------------------------------------------


async def test_failure_of_a_cluster_server_affects_only_its_conversations(
    cluster: ClusterOf3,
) -> None:
    histories = Histories()
    async with opened(cluster.url) as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await nursery.start(histories.follow, store)
        rooms = [f"#r{number}" for number in range(12)]
        for room in rooms:
            await chat.do("Mei", room, "create", "public")
        by_server = {room: cluster.server_of(f"c:{key(room, 'Mei')}") for room in rooms}
        assert len(set(by_server.values())) == 3
        home = {cluster.server_of(f"a:{name}") for name in ("mei", "bob")}
        victim = next(server for server in cluster.servers if server not in home)
        epochs = {room: (await chat.page("Mei", room)).epoch for room in rooms}
        victim.kill()
        for room in rooms:
            said = draft("Mei", room, "hello", cid=f"to {room}")
            if by_server[room] is victim:
                with trio.fail_after(REDIS_TIMEOUT / 2), pytest.raises(StoreUnavailable):
                    await chat.append(said)
            else:
                (result,) = await chat.append(said)
                assert isinstance(result, Appended), result
        victim.start()  # without data
        await until(lambda: histories.interruptions > 0)
        for room in rooms:
            page = await chat.page("Mei", room)
            is_lost = by_server[room] is victim
            assert (page.epoch != epochs[room], page.head) == (is_lost, 0 if is_lost else 2)
        nursery.cancel_scope.cancel()


async def test_promoted_cluster_replica_continues_the_history(tmp_path: Path) -> None:
    cluster = ClusterOf3(
        tmp_path, options=("--cluster-node-timeout", f"{MISSED_AFTER}", *SYNC_AT_ONCE)
    )
    histories = [Histories(), Histories()]
    try:
        await trio.to_thread.run_sync(cluster.start)
        async with (
            opened(cluster.url) as one,
            opened(cluster.url) as two,
            trio.open_nursery() as nursery,
        ):
            chat = Chat(one)
            await chat.register("Mei")
            for store, history in zip((one, two), histories, strict=True):
                await nursery.start(history.follow, store)
            said = [await chat.say("Mei", "#lobby", f"{n}", cid=f"c{n}") for n in range(20)]
            master = cluster.server_of("c:#lobby")
            replica = await trio.to_thread.run_sync(cluster.add_replica, master)
            master.kill()
            after = await say_when_possible(chat, "after", "after")
            assert cluster.server_of("c:#lobby") is replica
            assert (after.entry.seq, after.entry.epoch) == (21, said[0].epoch)
            assert (await say_when_possible(chat, "0", "c0")).dup
            for history in histories:
                await until(lambda: history.current.seqs("#lobby") == list(range(1, 22)))  # noqa: B023 -- at once
                assert history.interruptions == 0
            nursery.cancel_scope.cancel()
    finally:
        cluster.stop()


async def test_slot_moves_to_another_server_with_its_conversations(
    cluster: ClusterOf3,
) -> None:
    histories = Histories()
    async with opened(cluster.url) as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await nursery.start(histories.follow, store)
        said = [await chat.say("Mei", "#lobby", f"{n}", cid=f"c{n}") for n in range(20)]
        tag = cluster.tag_of("c:#lobby")
        source = cluster.server_of("c:#lobby")
        target = next(server for server in cluster.servers if server is not source)
        await trio.to_thread.run_sync(cluster.move_slot, key_slot(tag), source, target)
        after = await say_when_possible(chat, "after", "after")
        assert (after.entry.seq, after.entry.epoch) == (21, said[0].epoch)
        assert (await say_when_possible(chat, "0", "c0")).dup
        await until(lambda: histories.current.seqs("#lobby") == list(range(1, 22)))
        assert histories.interruptions == 0
        nursery.cancel_scope.cancel()


async def test_wrong_kind_of_url_is_refused_with_the_right_one(
    redis_server: RedisServer, redis_cluster: ClusterOf3
) -> None:
    with pytest.raises(ConfigError, match=r"part of a cluster: use redis\+cluster://"):
        async with opened(redis_cluster.servers[0].url):
            pass
    with pytest.raises(ConfigError, match="not part of a cluster: use redis://"):
        async with opened(redis_server.url.replace("redis://", "redis+cluster://")):
            pass
