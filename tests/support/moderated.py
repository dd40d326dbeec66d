"""Servers in this process, of one store, and the roles of their people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
import trio.testing
from msgspec import structs
from peers import Peer, config
from redis_nodes import Nodes

from gochat.chat import names
from gochat.chat.server_roles import ServerRole
from gochat.protocol.messages import Hello, ServerInfo
from gochat.server.app import open_server
from gochat.server.server import Server


class Stage:
    """One server, or two nodes: people come to them in turn."""

    def __init__(self, servers: list[Server], nursery: trio.Nursery) -> None:
        self.servers = servers
        self.store = servers[0].services.store
        self._nursery = nursery
        self.connected = 0

    def connect(self) -> Peer:
        """Open a connection to the next server."""
        server = self.servers[self.connected % len(self.servers)]
        self.connected += 1
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(server.serve_stream, theirs, "memory")
        return Peer(ours)

    def start(self, node: int, stream: trio.abc.Stream, address: str) -> None:
        """Serve a connection from an address at a node."""
        self._nursery.start_soon(self.servers[node].serve_stream, stream, address)

    async def peer(self, name: str, role: ServerRole = "member") -> Peer:
        """Log somebody in who has this role, and whose errors have args."""
        peer = self.connect()
        await peer.register(name)
        await self.set_role(name, role)
        await peer.log_in(name, "log")
        await peer.ask(Hello(), ServerInfo)
        return peer

    async def set_role(self, name: str, role: ServerRole) -> None:
        account = await self.store.account(names.fold(name))
        assert account is not None
        changed = structs.replace(account, role=role)
        assert await self.store.administration.change_account(account, changed)

    async def acts(self) -> list[tuple[str, str, str, str, str]]:
        """Return actor, act, subject, detail and reason of what is in the audit log, in order."""
        found, _ = await self.store.administration.audit(before=None, limit=100)
        return [
            (one.actor, one.act, one.subject, one.detail, one.reason) for one in reversed(found)
        ]


@asynccontextmanager
async def open_stage(*stores: str) -> AsyncIterator[Stage]:
    """Run a server for each URL of a store."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(open_server(config(store=url))) for url in stores
        ]
        nursery = await stack.enter_async_context(trio.open_nursery())
        yield Stage(servers, nursery)
        nursery.cancel_scope.cancel()


def stores_of(request: pytest.FixtureRequest) -> list[str]:
    """Return the URL of a store in memory, or of Redis for two nodes, as a fixture's parameter
    says."""
    if request.param == "sqlite":
        return ["sqlite:///:memory:"]
    return [Nodes(request.getfixturevalue("redis_server")).url()] * 2
