"""A real server in memory, in its own thread, and bots that chat on it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio
import trio.testing
from msgspec import structs
from patience import PATIENCE
from peers import PASSWORD, Peer, config

from gochat.chat import names
from gochat.chat.handing_over import hand_over
from gochat.client import Client, ClientOptions, open_client
from gochat.config import Config
from gochat.protocol.messages import LoggedIn, Login, ServerRole
from gochat.server.app import open_server

T = TypeVar("T")


class LiveServer:
    """A server with two listeners: one for the person whose client is tested, which can be closed,
    and one for bots. Its methods are for the test's thread, and block it."""

    def __init__(self, configuration: Config) -> None:
        self._configuration = configuration
        self.url = ""
        self._bots_url = ""
        self._bots: dict[str, tuple[Client, trio.Event]] = {}
        self._registered: set[str] = set()
        self._connected: set[trio.SocketStream] = set()
        self._is_shut = False
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def bot(self, name: str) -> Client:
        """Return the client of a person who has an account and is online from then on."""
        if name not in self._bots:
            self.run(self._nursery.start, self._live, name)
        return self._bots[name][0]

    def register(self, name: str, password: str = PASSWORD) -> None:
        """Create an account, unless it exists."""
        self.run(self._register, name, password)

    def leave(self, name: str) -> None:
        """Make a bot go offline."""
        client, leave = self._bots.pop(name)
        self.run(client.log_out)
        trio.from_thread.run_sync(leave.set, trio_token=self._token)

    def log_in_from(self, address: str, name: str) -> None:
        """Make a person log in at an address of the network, with the password of all tests."""
        self.run(self._log_in_from, address, name)

    def peer(self, name: str) -> Peer:
        """Return the bare connection of a person, who is logged in with the capability `log`. It is
        used by :meth:`run`."""
        return self.run(self._log_in_bare, name)

    def hand_over(self, room: str, name: str) -> None:
        """Make a person an operator of a room, as who runs the server can."""
        self.run(hand_over, self._server.services.store, room, name)

    def promote(self, name: str, role: ServerRole) -> None:
        """Give a person a role, as who runs the server can."""

        async def change() -> None:
            store = self._server.services.store
            account = await store.account(names.fold_person(name))
            assert account is not None
            after = structs.replace(account, role=role)
            assert await store.administration.change_account(account, after)
            self._server.services.roles.changed(account.key)

        self.run(change)

    def cut(self) -> None:
        """Cut the person's connections, and refuse new ones."""
        self.run(self._cut)

    def admit(self) -> None:
        """Accept the person's connections again."""
        self._is_shut = False

    def run(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run `work` in the server's thread, and return its result."""

        async def within() -> T:
            with trio.fail_after(PATIENCE):
                return await work(*args)

        return trio.from_thread.run(within, trio_token=self._token)

    # -- in the server's thread -------------------------------------------------------------------

    async def _main(self) -> None:
        self._token, self._stop = trio.lowlevel.current_trio_token(), trio.Event()
        async with open_server(self._configuration) as server, trio.open_nursery() as self._nursery:
            doors = await trio.open_tcp_listeners(0, host="127.0.0.1")
            doors += await trio.open_tcp_listeners(0, host="127.0.0.1")
            ports = [door.socket.getsockname()[1] for door in doors]
            self.url, self._bots_url = (f"gochat://127.0.0.1:{port}" for port in ports)
            self._server = server
            self._nursery.start_soon(trio.serve_listeners, self._let_in, doors[:1])
            self._nursery.start_soon(trio.serve_listeners, server.handle, doors[1:])
            self._ready.set()
            await self._stop.wait()
            self._nursery.cancel_scope.cancel()

    async def _let_in(self, stream: trio.SocketStream) -> None:
        if self._is_shut:
            await trio.aclose_forcefully(stream)
            return
        self._connected.add(stream)
        try:
            await self._server.handle(stream)
        finally:
            self._connected.discard(stream)

    async def _cut(self) -> None:
        self._is_shut = True
        for stream in [*self._connected]:
            await trio.aclose_forcefully(stream)

    async def _register(self, name: str, password: str) -> None:
        if name not in self._registered:
            self._registered.add(name)
            async with open_client(self._bots_url) as client:
                await client.register(name, password)

    async def _log_in_from(self, address: str, name: str) -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._server.serve_stream, theirs, address)
        await Peer(ours).ask(Login(name=name, password=PASSWORD), LoggedIn)

    async def _log_in_bare(self, name: str) -> Peer:
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._server.serve_stream, theirs, "memory")
        peer = Peer(ours)
        await peer.log_in(name, "log")
        return peer

    async def _live(
        self, name: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await self._register(name, PASSWORD)
        async with open_client(self._bots_url, options=ClientOptions(gap_grace=0.0)) as client:
            await client.log_in(name, PASSWORD)
            leave = trio.Event()
            self._bots[name] = (client, leave)
            task_status.started()
            await leave.wait()


@contextmanager
def live_server(configuration: Config | None = None) -> Iterator[LiveServer]:
    """Run a server, and stop it with all bots."""
    server = LiveServer(configuration or config())

    def run() -> None:
        try:
            trio.run(server._main)
        except BaseException as error:
            server._failure = error
            server._ready.set()

    thread = threading.Thread(target=run, name="live server")
    thread.start()
    server._ready.wait(PATIENCE)
    try:
        if server._failure is None:
            yield server
    finally:
        if server._failure is None:
            trio.from_thread.run_sync(server._stop.set, trio_token=server._token)
        thread.join(PATIENCE)
        if server._failure is not None:
            raise server._failure
