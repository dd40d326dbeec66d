"""Stores to test: each test of the contract runs over every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from redis_deployments import ClusterOf3, Watched
from redis_process import RedisServer
from redis_rights import add_user
from storing import Chat, Clock, OpenStore

from gochat.chat.store import Store
from gochat.storage import open_store


@pytest.fixture
def clock() -> Clock:
    """The clock of the test's store."""
    return Clock()


def _redis_as_user(request: pytest.FixtureRequest) -> str:
    # As somebody who may do only what the documentation says that gochat needs.
    server: RedisServer = request.getfixturevalue(request.param)
    prefix = f"t{uuid4().hex}"
    return f"redis://{add_user(server.port, prefix)}@127.0.0.1:{server.port}?prefix={prefix}"


def _redis(request: pytest.FixtureRequest) -> str:
    # One of these, by the name of its fixture; keys of its own, for it is shared.
    deployment: RedisServer | Watched | ClusterOf3 = request.getfixturevalue(request.param)
    return f"{deployment.url}?prefix=t{uuid4().hex}"


_URLS: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "memory": lambda _: "sqlite://",
    "file": lambda request: f"sqlite:///{request.getfixturevalue('tmp_path') / 'chat.db'}",
    "redis_server": _redis_as_user,
    "redis_watched": _redis,
    "redis_cluster": _redis,
}


@pytest.fixture(
    params=[
        "memory",
        "file",
        pytest.param("redis_server", marks=pytest.mark.redis, id="redis"),
        pytest.param("redis_watched", marks=pytest.mark.redis, id="sentinel"),
        pytest.param("redis_cluster", marks=pytest.mark.redis, id="cluster"),
    ]
)
def open_it(request: pytest.FixtureRequest, clock: Clock) -> OpenStore:
    """Opens the test's store."""
    url = _URLS[request.param](request)
    return lambda: open_store(url, clock=clock)


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
