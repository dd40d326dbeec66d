"""What all tests share: a world of their own, and a real Redis."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest
import redis
import structlog
from _pytest.unraisableexception import gc_collect_iterations_key
from children import looked_after
from hypothesis import HealthCheck, settings
from redis_deployments import NEVER, ClusterOf3, Watched
from redis_process import EngineServer, RedisServer
from redis_process import free_port as find_free_port

if sys.platform == "linux":
    from fork_server import forking
else:
    forking = nullcontext

_ENGINE = {"redis_engine", "redis_engine_cluster", "start_engine"}
_REDIS = {"redis_server", "start_redis", "redis_watched", "redis_cluster", *_ENGINE}

# A shared machine is slow at times: that is no failure, and no reason to look for one again.
_local = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("local", _local)
# The same examples each time: what was green stays green until somebody changes something.
settings.register_profile("ci", settings(_local, derandomize=True, database=None))
settings.register_profile("long", settings(_local, max_examples=20_000))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "local"))


@pytest.fixture(autouse=True, scope="session")
def _children() -> Iterator[None]:
    """The processes that tests start are ended, are not deaf to signals, and start quickly."""
    with looked_after(), forking():
        yield


@pytest.fixture(autouse=True)
def _plain_logs() -> None:
    """What is logged is printed in the simplest way: the default draws each exception for 0.7 s."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
            ]
        )


@pytest.fixture(autouse=True, scope="session")
def _own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes what belongs to the person who runs it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for variable in list(os.environ):
            if variable.startswith("GOCHAT_") and not variable.startswith("GOCHAT_TEST_"):
                patch.delenv(variable)
        for variable in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
            patch.setenv(variable, str(home))
        for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        patch.setenv("LANGUAGE", "en")
        yield


@pytest.fixture(autouse=True, scope="session")
def _own_version_is_read_once() -> Iterator[None]:
    """redis-py parses its metadata for each client, of which the tests have thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis.utils, "get_lib_version", cache(redis.utils.get_lib_version))
        yield


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Find TCP ports of the loopback that nobody listens on."""
    return find_free_port


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all tests of this process that don't stop it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    _calm(server)
    yield server
    server.stop()


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """A Redis, empty, for a test that doesn't stop it.

    What goes through all keys would go through those of a thousand other tests, too.
    """
    _empty(_redis)
    return _redis


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Start a Redis for one test, to stop, freeze or lose; takes redis-server's options."""
    yield from _starting(RedisServer, tmp_path)


def _starting(kind: type[RedisServer], directory: Path) -> Iterator[Callable[..., RedisServer]]:
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        server = kind(directory / f"redis-{len(servers)}", *options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with the query engine, for all tests of this process that don't stop it."""
    server = EngineServer(tmp_path_factory.mktemp("engine"))
    server.start()
    _calm(server)
    yield server
    server.stop()


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Start a Redis with the query engine for one test, as `start_redis`."""
    yield from _starting(EngineServer, tmp_path)


@pytest.fixture(scope="session")
def _engine_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterOf3]:
    """A Redis Cluster of three masters with the query engine, for all tests that don't harm it."""
    cluster = ClusterOf3(tmp_path_factory.mktemp("engines"), EngineServer)
    try:
        cluster.start()
        _calm(*cluster.servers)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def redis_engine(_engine: RedisServer) -> RedisServer:
    """A Redis with the query engine, empty, for a test that doesn't stop it.

    The engine goes through all keys of the server for each new index, one index after the other:
    with what other tests have left, that takes minutes on a busy machine.
    """
    _empty(_engine)
    return _engine


@pytest.fixture
def redis_engine_cluster(_engine_cluster: ClusterOf3) -> ClusterOf3:
    """A Redis Cluster of three masters with the query engine, empty, for a test that doesn't harm
    it."""
    for server in _engine_cluster.servers:
        _empty(server)
    return _engine_cluster


def _calm(*servers: RedisServer) -> None:
    """Let servers that mostly wait look once a second whether there is something to tidy up.

    By default they do that ten times a second: all of them together, for all of the tests, took
    more processor time than what the tests asked of them.
    """
    for server in servers:
        with redis.Redis(port=server.port) as client:
            client.config_set("hz", 1)


def _empty(server: RedisServer) -> None:
    with redis.Redis(port=server.port) as client:
        client.flushall()


@pytest.fixture(scope="session")
def redis_watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A Redis with a replica and sentinels, for all tests that don't harm it."""
    watched = Watched(tmp_path_factory.mktemp("watched"), NEVER)
    try:
        watched.start()
        _calm(watched.master, watched.replica)
        yield watched
    finally:
        watched.stop()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterOf3]:
    """A Redis Cluster of three masters, for all tests that don't harm it."""
    cluster = ClusterOf3(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        _calm(*cluster.servers)
        yield cluster
    finally:
        cluster.stop()


def pytest_configure(config: pytest.Config) -> None:
    """Collect the garbage of all tests once at the end, not five times: that takes seconds."""
    config.stash[gc_collect_iterations_key] = 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected: what is made is there to stay.

    To look for some takes a sixth of that time, in each of the processes.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over all that was imported: it is there to stay.

    And let it run seldom, as in a server: with Python's threshold it takes a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let each of several processes begin to collect with another part of the tests.

    The first time that a module is imported it is compiled, which takes two thirds of the time: so
    each compiles its part for the others.
    """
    report = yield
    worker = getattr(collector.config, "workerinput", None)
    if worker is not None and collector.path == Path(__file__).parent and report.passed:
        first = int(worker["workerid"].removeprefix("gw")) * len(report.result)
        first //= worker["workercount"]
        report.result = report.result[first:] + report.result[:first]
    return report


#: What takes longest, and mostly waits: the others run beside it, and need not wait for it at the
#: end.
_LONG = ("faults", "howto", "conformance", "test_key_pairs.py", "test_hostile.py")


def _order(item: pytest.Item) -> tuple[int, Path]:
    parts = item.path.parts
    return next((n for n, name in enumerate(_LONG) if name in parts), len(_LONG)), item.path


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the markers that follow from what a test uses, and begin with the longest."""
    items.sort(key=_order)
    for item in items:
        if _REDIS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.redis)
        if _ENGINE & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.engine)
