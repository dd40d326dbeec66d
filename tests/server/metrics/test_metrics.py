"""What a server says of itself: `/metrics`, `/livez`, `/readyz`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from http_peer import get
from msgspec import structs
from patience import PATIENCE, eventually
from peers import PASSWORD, config, running_server
from prometheus_client.parser import text_string_to_metric_families
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.config import Auth, Config, Metrics
from gochat.errors import AddressUnavailable
from gochat.protocol.messages import Bye, Error, Login, Send, Sent
from gochat.server.app import open_server, serve
from gochat.server.metrics import monitor, readiness
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio

FreePort = Callable[[], int]


def monitored(port: int, **options: Any) -> Config:
    return structs.replace(config(**options), metrics=Metrics(port=port))


class Samples:
    """The values of a scrape."""

    def __init__(self, text: str) -> None:
        self.all = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def of(self, name: str, **labels: str) -> float:
        """Return the sum of the values with these labels."""
        return sum(
            sample.value
            for sample in self.all
            if sample.name == name and labels.items() <= sample.labels.items()
        )


async def scrape(port: int) -> Samples:
    answer = await get(port, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Samples(answer.body)


@pytest.fixture
def _unremembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "FRESH", 0.0)
    monkeypatch.setattr(readiness, "FRESH", 0.0)


@pytest.mark.usefixtures("_unremembered")
async def test_what_happens_is_counted(free_port: FreePort) -> None:
    port = free_port()
    async with running_server(monitored(port)) as server, server.peer("mei", "log") as mei:
        before = await scrape(port)
        assert before.of("gochat_connections", state="logged_in", transport="frames") == 1
        assert before.of("gochat_messages_total") == 0
        assert before.of("gochat_connections_ended_total") == 0
        async with server.peer("bob", "log"), server.connect() as stranger:
            await stranger.ask(Login(name="bob", password="wrong"), Error)
            await mei.ask(Send(to="#lobby", text="one", cid="1"), Sent)
            await mei.ask(Send(to="@bob", text="two", cid="2"), Sent)
            now = await scrape(port)
        with trio.fail_after(PATIENCE):
            while (after := await scrape(port)).of("gochat_connections") > 1:
                pass
    assert now.of("gochat_connections", state="logged_in", tls="false") == 2
    assert now.of("gochat_connections", state="anonymous") == 1
    assert now.of("gochat_sessions") == now.of("gochat_people_online") == 2
    assert now.of("gochat_messages_total") == 2
    assert now.of("gochat_deliveries_total") == 4, "each to both"
    assert now.of("gochat_append_seconds_count") == 2
    assert now.of("gochat_batch_entries_sum") == 2
    assert now.of("gochat_commit_seconds_count") >= 2
    assert now.of("gochat_refusals_total", what="login", code="bad_credentials") == 1
    assert now.of("gochat_logins_total") == 2
    assert now.of("gochat_store_up") == 1
    assert now.of("gochat_store_unindexed") == 2
    assert now.of("process_open_fds") > 0
    assert after.of("gochat_connections_ended_total") == 2
    assert after.of("gochat_connections_ended_total", reason="slow_consumer") == 0


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell command")
async def test_program_that_checks_passwords_is_counted(free_port: FreePort) -> None:
    port = free_port()
    auth = Auth(command=("/bin/sh", "-c", "exit 1"))
    async with running_server(structs.replace(monitored(port), auth=auth)) as server:
        async with server.connect() as peer:
            for _ in range(3):
                error = await peer.ask(Login(name="mei", password=PASSWORD), Error)
                assert error.code == "unavailable"
        samples = await scrape(port)
    assert samples.of("gochat_auth_command_failures_total") == 3
    assert samples.of("gochat_auth_command_seconds_count") == 3
    assert samples.of("gochat_auth_command_waiting") == 0


async def test_scrapes_within_a_moment_get_the_same(free_port: FreePort) -> None:
    """So that nobody makes the server visit all sessions all the time."""
    port = free_port()
    async with running_server(monitored(port)) as server:
        first = await get(port, "/metrics")
        async with server.peer("mei"):
            answers = [await get(port, "/metrics") for _ in range(3)]
    assert first in answers, "unless all three came a second late"


async def test_livez_and_readyz_are_apart(free_port: FreePort) -> None:
    port = free_port()
    async with running_server(monitored(port)):
        assert (await get(port, "/livez")).body == "alive\n"
        assert (await get(port, "/readyz")).body == "ready\n"
        assert (await get(port, "/")).status == 404


@pytest.mark.usefixtures("_unremembered")
async def test_full_disk_is_not_ready_until_there_is_space(
    tmp_path: Path,
) -> None:
    """Although nobody writes who would notice, and reading works."""
    async with open_server(config(store=f"sqlite:///{tmp_path / 'chat.db'}")) as server:
        store = server.services.store
        assert isinstance(store, SqliteStore)
        watched = monitor.Monitor(server, readiness.Readiness(store))
        db = store._log.db
        db.execute("PRAGMA max_page_count = 1")  # as many as there are
        for _ in range(2):
            answer = await watched.respond("/readyz")
            assert answer.status == 503
            assert b"not ready: the store can't be used: the server's disk is full" in answer.body
        assert (await watched.respond("/livez")).status == 200
        samples = Samples((await watched.respond("/metrics")).body.decode())
        assert samples.of("gochat_store_failures_total", part="writer") == 2
        assert samples.of("gochat_store_up") == 0
        db.execute("PRAGMA max_page_count = 1000000")
        assert (await watched.respond("/readyz")).status == 200


@pytest.mark.usefixtures("_unremembered")
async def test_dead_redis_is_not_ready_until_it_is_back(
    free_port: FreePort, start_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis, port = start_redis("--appendonly", "yes"), free_port()
    monkeypatch.setattr(readiness, "TIMEOUT", PATIENCE)
    # On a busy machine a server may be late with its lease, and is not ready then.
    store = Nodes(redis).url("lease=600")
    async with running_server(monitored(port, store=store)):
        assert (await get(port, "/readyz")).status == 200
        assert (await scrape(port)).of("gochat_node_lease") == 1
        redis.kill()
        assert (await get(port, "/readyz")).status == 503
        assert (await scrape(port)).of("gochat_store_up") == 0
        redis.start()

        async def is_ready() -> bool:
            return (await get(port, "/readyz")).status == 200

        await eventually(is_ready)


async def test_server_that_stops_is_not_ready_while_it_drains(free_port: FreePort) -> None:
    port = free_port()
    async with running_server(monitored(port)) as server, server.connect() as peer:
        await peer.log_in("mei", "log")
        server.stop.set()
        await peer.expect(Bye)  # it stays connected for a moment, to read what else comes
        answer = await get(port, "/readyz")
        assert (answer.status, answer.body) == (503, "not ready: the server is stopping\n")


async def test_nothing_listens_unless_it_is_configured() -> None:
    assert Config().metrics.port == 0


async def test_port_in_use_is_reported_with_its_key(free_port: FreePort) -> None:
    port = free_port()
    async with running_server(monitored(port)):
        with pytest.raises(BaseExceptionGroup) as caught:
            await serve(monitored(port))
    assert caught.group_contains(AddressUnavailable, match="choose another metrics.port")
