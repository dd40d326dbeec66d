"""What a run breaks: one server with its SQLite file, or two nodes and the Redis they share.

::

    sqlite    ─▶ gochat serve ─▶ a file
    redis     ─▶ node 0 ─▶ proxy ─┐
              ─▶ node 1 ─▶ proxy ─┴▶ Redis
    sentinel  ─▶ node 0 ─┐          three sentinels
              ─▶ node 1 ─┴─────────▶ master ─▶ replica
    cluster   ─▶ node 0 ─┬─────────▶ master
              ─▶ node 1 ─┼─────────▶ master
                         └─────────▶ master
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import trio
from redis_deployments import ClusterOf3, Watched
from redis_process import RedisServer
from slow_disk import SlowDisk

from gochat_faults.proxy import Proxy, serve_proxy
from gochat_faults.server_process import ServerProcess, open_server

StoreKind: TypeAlias = Literal["sqlite", "redis", "sentinel", "cluster"]

#: Nodes on one Redis.
NODES = 2
#: Seconds after which a node is considered gone: fewer than in production, so that it occurs often.
LEASE = 4
#: Likewise those after which a node reports that Redis does not answer.
_OPTIONS = f"timeout=1&lease={LEASE}"

#: Options with which a Redis keeps all acknowledged data when it is killed.
_DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@dataclass(slots=True)
class Site:
    """The servers of a run.

    `links` are between each node and a standalone Redis, `disk` is what that Redis writes to.
    """

    nodes: list[ServerProcess]
    redis: RedisServer | None = None
    disk: SlowDisk | None = None
    watched: Watched | None = None
    cluster: ClusterOf3 | None = None
    links: list[Proxy] = field(default_factory=list)

    def server(self, number: int) -> RedisServer:
        """Return a Redis that can be broken, in turn each one of a Cluster."""
        servers = self.cluster.servers if self.cluster is not None else [self.redis]
        server = servers[number % len(servers)]
        assert server is not None
        return server

    def node(self, number: int) -> ServerProcess:
        """Return the node of this number, modulo their count."""
        return self.nodes[number % len(self.nodes)]

    @property
    def starts(self) -> int:
        """How often servers were started."""
        return sum(node.starts for node in self.nodes)

    @property
    def starting(self) -> float:
        """The seconds that the starts took."""
        return sum(node.starting for node in self.nodes)

    async def wait_for_an_end(self) -> None:
        """Wait until a node has ended."""
        async with trio.open_nursery() as nursery:

            async def wait(node: ServerProcess) -> None:
                await node.wait_ended()
                nursery.cancel_scope.cancel()

            for node in self.nodes:
                nursery.start_soon(wait, node)

    async def mend(self) -> None:
        """Make everything run, without faults."""
        for link in self.links:
            link.heal()
        for node in self.nodes:
            if len(self.nodes) == 1 or node.bomb or not node.is_running:
                node.kill()
                await node.wait()
                await node.start()


@asynccontextmanager
async def open_site(
    store: StoreKind, directory: Path, settings: Mapping[str, object], *, wait: int = 0
) -> AsyncIterator[Site]:
    """Start servers on a store of this kind, and end them with the block.

    With `wait`, nodes acknowledge only what this many replicas have.
    """
    async with AsyncExitStack() as stack:
        if store == "sqlite":
            yield Site([await stack.enter_async_context(open_server(directory, settings))])
            return
        links = await stack.enter_async_context(trio.open_nursery())
        stack.callback(links.cancel_scope.cancel)
        site = Site([])
        if store == "redis":
            site.disk = SlowDisk(directory)
            site.redis = RedisServer(directory / "redis", *_DURABLE)
            site.redis.environment = site.disk.environment
            stack.callback(site.redis.kill)
            await trio.to_thread.run_sync(site.redis.start)
        elif store == "cluster":
            site.cluster = ClusterOf3(directory / "redis", options=_DURABLE)
            stack.callback(site.cluster.stop)
            await trio.to_thread.run_sync(site.cluster.start)
        else:
            site.watched = Watched(directory / "redis")
            stack.callback(site.watched.stop)
            await trio.to_thread.run_sync(site.watched.start)
        for number in range(NODES):
            if site.redis is not None:
                link = await links.start(serve_proxy, ("127.0.0.1", site.redis.port))
                site.links.append(link)
                url = f"redis://127.0.0.1:{link.port}?{_OPTIONS}"
            elif site.cluster is not None:
                url = f"{site.cluster.url}?{_OPTIONS}"
            else:
                assert site.watched is not None
                url = f"{site.watched.url}?{_OPTIONS}&wait={wait}&wait_timeout=0.5"
            home = directory / f"node-{number}"
            home.mkdir()
            node = await stack.enter_async_context(open_server(home, settings, store=url))
            node.registered = site.nodes[0].registered if site.nodes else node.registered
            site.nodes.append(node)
        yield site
