"""What the tests of stores share, and a store of the kind that a test is parametrized with."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import trio
from redis_deployments import ClusterOf3, Watched
from redis_index import until_indexed
from redis_nodes import REDIS_TIMEOUT
from redis_process import EngineServer, RedisServer
from redis_rights import add_user
from store_files import opened
from storing import Chat, Clock, OpenStore

from gochat.chat.store import Store
from gochat.storage import open_store
from gochat.storage.redis.search import indexer

#: A library is preloaded into Redis, to make its disk slow, which needs Linux.
collect_ignore = [] if sys.platform == "linux" else ["test_redis_durability.py"]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store in a file in which Mei sent hello, used by no server."""
    path = tmp_path / "chat" / "chat.db"
    async with opened(path) as chat:
        await chat.register("Mei")
        await chat.say("Mei", "#lobby", "hello")
    return path


@pytest.fixture
def clock() -> Clock:
    """The clock of the test's store."""
    return Clock()


def _redis_as_user(request: pytest.FixtureRequest) -> str:
    # As a user with only the permissions that the documentation lists.
    server: RedisServer = request.getfixturevalue(request.param)
    prefix = f"t{uuid4().hex}"
    is_engine = isinstance(server, EngineServer)
    user = add_user(server.port, prefix, is_engine=is_engine)
    return f"redis://{user}@127.0.0.1:{server.port}?timeout={REDIS_TIMEOUT}&prefix={prefix}"


def _cluster_as_user(request: pytest.FixtureRequest) -> str:
    cluster: ClusterOf3 = request.getfixturevalue(request.param)
    prefix = f"t{uuid4().hex}"
    user = add_user(cluster.servers[0].port, prefix)
    for server in cluster.servers[1:]:
        add_user(server.port, prefix, userinfo=user)
    return f"{cluster.url.replace('://', f'://{user}@')}?timeout={REDIS_TIMEOUT}&prefix={prefix}"


def _redis(request: pytest.FixtureRequest) -> str:
    # One of these, by the name of its fixture; with its own keys, because it is shared.
    deployment: RedisServer | Watched | ClusterOf3 = request.getfixturevalue(request.param)
    return f"{deployment.url}?timeout={REDIS_TIMEOUT}&prefix=t{uuid4().hex}"


_URLS: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "memory": lambda _: "sqlite:///:memory:",
    "file": lambda request: f"sqlite:///{request.getfixturevalue('tmp_path') / 'chat.db'}",
    "redis_server": _redis_as_user,
    "redis_watched": _redis,
    "redis_cluster": _cluster_as_user,
    "redis_engine": _redis_as_user,
}


@pytest.fixture
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the test's store."""
    # So that a test's messages are in the index before it ends.
    monkeypatch.setattr(indexer, "EVERY", 0.02)
    return _URLS[request.param](request)


@pytest.fixture
def open_it(url: str, clock: Clock) -> OpenStore:
    """Open the test's store."""
    return lambda: open_store(url, clock=clock)


@pytest.fixture
def let_index(url: str, request: pytest.FixtureRequest) -> Callable[[], Awaitable[None]]:
    """Wait until everything is in the index, if it follows the log."""
    if request.node.callspec.params["url"] != "redis_engine":
        return trio.lowlevel.checkpoint
    server: RedisServer = request.getfixturevalue("redis_engine")
    return partial(until_indexed, [server], url.rpartition("=")[2])


@pytest.fixture
async def store(open_it: OpenStore) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_it() as opened:
        yield opened


@pytest.fixture
async def chat(store: Store) -> Chat:
    """A store with three people in it."""
    chat = Chat(store)
    await chat.register("Mei", "Bob", "Eve")
    return chat
