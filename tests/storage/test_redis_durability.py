"""Acknowledged data after Redis was killed, and what the log reports about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from patience import until
from redis_deployments import ClusterOf3
from redis_nodes import Histories, Nodes, say_when_possible
from redis_process import RedisServer
from redis_rights import add_user
from slow_disk import SlowDisk
from storing import Chat, Clock

from gochat.protocol.messages import Message
from gochat.storage import open_store

pytestmark = [pytest.mark.trio, pytest.mark.redis]

StartRedis = Callable[..., RedisServer]

#: The most seconds for which Redis holds back writes to its file during a sync; it counts whole
#: seconds, and checks ten times a second.
HELD_BACK = 2.0 + 0.5


class Loss:
    """A Redis on a slow disk that is killed while a person sends messages."""

    def __init__(self, directory: Path, appendfsync: str, sync_time: float) -> None:
        self.disk = SlowDisk(directory)
        self.server = RedisServer(
            directory / "redis", "--appendonly", "yes", "--appendfsync", appendfsync
        )
        self.server.environment = self.disk.environment
        self.nodes = Nodes(self.server)
        self._sync_time = sync_time
        self.said: list[tuple[float, Message]] = []

    async def talk_until(self, chat: Chat, count: int, *, is_held_back: bool) -> None:
        """Send one message after the other, and kill Redis after `count` of them: once it holds
        back some, or, if not `is_held_back`, at once."""
        with self.nodes.client() as client:
            self.disk.slow_down(self._sync_time)
            while len(self.said) < count or (is_held_back and not self._holds_back(client)):
                number = len(self.said)
                message = await chat.say("Mei", "#lobby", f"{number}", cid=f"c{number}")
                self.said.append((trio.current_time(), message))
        self.server.kill()
        self.disk.slow_down(0)

    def _holds_back(self, client: Any) -> bool:
        return bool(client.info("persistence")["aof_buffer_length"])


async def test_everysec_loses_data_held_back_by_a_sync_and_it_is_noticed(
    tmp_path: Path,
) -> None:
    loss = Loss(tmp_path, "everysec", sync_time=1.5)
    loss.server.start()
    first, second = Histories(), Histories()
    try:
        async with (
            loss.nodes.open() as one,
            loss.nodes.open() as two,
            trio.open_nursery() as nursery,
        ):
            chat, other = Chat(one), Chat(two)
            await chat.register("Mei", "Bob")
            await nursery.start(first.follow, one)
            await nursery.start(second.follow, two)
            await loss.talk_until(chat, 50, is_held_back=True)
            loss.server.start()
            await until(lambda: first.interruptions > 0 and second.interruptions > 0)
            page = await other.page("Bob", "#lobby", limit=200)
            (epoch,) = {message.epoch for _, message in loss.said}
            assert page.epoch != epoch
            kept, lost = loss.said[: page.head], loss.said[page.head :]
            assert [entry.text for entry in page.entries] == [m.text for _, m in kept][-200:]
            last, _ = loss.said[-1]
            assert lost
            assert lost[0][0] >= last - HELD_BACK
            # Resent, as clients do, it is there once, in the new history.
            again = [
                await say_when_possible(chat, message.text, message.cid or "")
                for _, message in loss.said
            ]
            assert [one_again.dup for one_again in again] == [True] * len(kept) + [False] * len(
                lost
            )
            assert [one_again.entry.seq for one_again in again] == list(range(1, len(again) + 1))
            assert {one_again.entry.epoch for one_again in again} == {page.epoch}
            nursery.cancel_scope.cancel()
    finally:
        loss.server.kill()


@pytest.mark.parametrize("appendfsync", ["always", "no"])
async def test_always_and_no_lose_nothing_when_redis_is_killed(
    tmp_path: Path, appendfsync: str
) -> None:
    loss = Loss(tmp_path, appendfsync, sync_time=0.05)
    loss.server.start()
    histories = Histories()
    try:
        async with loss.nodes.open() as store, trio.open_nursery() as nursery:
            chat = Chat(store)
            await chat.register("Mei")
            await nursery.start(histories.follow, store)
            await loss.talk_until(chat, 20, is_held_back=False)
            loss.server.start()
            await say_when_possible(chat, "after", "after")
            page = await chat.page("Mei", "#lobby", limit=100)
            assert [entry.text for entry in page.entries] == [
                *(message.text for _, message in loss.said),
                "after",
            ]
            assert {page.epoch} == {message.epoch for _, message in loss.said}
            assert histories.interruptions == 0
            nursery.cancel_scope.cancel()
    finally:
        loss.server.kill()


# -- reported at the start -----------------------------------------------------------------------


async def lines_of_a_start(url: str, event: str) -> list[dict[str, Any]]:
    with structlog.testing.capture_logs() as logs:
        async with open_store(url, clock=Clock()):
            pass
    return [dict(line) for line in logs if line["event"] == event]


async def test_start_reports_what_a_crash_can_cost(start_redis: StartRedis) -> None:
    nodes = Nodes(start_redis("--appendonly", "yes"))
    said = {}
    with nodes.client() as client:
        for policy in ("always", "everysec", "no"):
            client.config_set("appendfsync", policy)
            (line,) = await lines_of_a_start(nodes.url(), "Redis persistence")
            said[policy] = (line["appendfsync"], line["lost_if_killed"])
        client.config_set("appendfsync", "always")
        client.config_set("no-appendfsync-on-rewrite", "yes")
        (line,) = await lines_of_a_start(nodes.url(), "Redis persistence")
        assert (line["appendfsync"], line["lost_if_power_fails"] == "nothing") == ("always", False)
        client.config_set("appendonly", "no")
        (line,) = await lines_of_a_start(nodes.url(), "Redis append-only file disabled")
        assert (line["log_level"], line["lost_if_killed"]) == (
            "warning",
            "all since the last snapshot",
        )
        client.config_set("appendonly", "yes")
    assert said == {
        "always": ("always", "nothing"),
        "everysec": ("everysec", "up to 2 seconds, during a slow sync"),
        "no": ("no", "nothing"),
    }
    user = add_user(nodes.server.port, nodes.prefix)  # who may not read the configuration
    url = nodes.url().replace("redis://", f"redis://{user}@")
    (line,) = await lines_of_a_start(url, "Redis persistence")
    assert line["appendfsync"] == "unknown"


async def test_cluster_servers_with_the_same_settings_get_one_line(
    redis_cluster: ClusterOf3,
) -> None:
    (line,) = await lines_of_a_start(redis_cluster.url, "Redis append-only file disabled")
    assert sorted(line["hosts"]) == sorted(f"127.0.0.1:{s.port}" for s in redis_cluster.servers)


async def test_open_default_user_makes_an_own_user_pointless(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis())
    event = "Redis access unrestricted"
    assert await lines_of_a_start(nodes.url(), event) == []
    user = add_user(nodes.server.port, nodes.prefix)
    url = nodes.url().replace("redis://", f"redis://{user}@")
    (line,) = await lines_of_a_start(url, event)
    assert line["log_level"] == "warning"
    with nodes.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-@all")
    assert await lines_of_a_start(url, event) == []
