"""Compose the server: create all its parts and run their tasks.

The tree of tasks::

    serve
     ├── open_server
     │    ├── the store's own tasks (open_store)
     │    ├── delivery: what sockets did not take at once (open_delivery)
     │    ├── Server.follow: store.follow ─▶ hub.deliver
     │    ├── intake.run
     │    ├── hub.presence.run
     │    ├── markers.run
     │    ├── revocations.run
     │    ├── follow_mode: who may register, as other nodes set it
     │    ├── retention.run: removes what is not kept
     │    ├── report_keeper.run: removes reports that are no longer kept
     │    ├── deleted.run: which accounts are deleted; removes what those wrote
     │    ├── address_bans.run: from where nobody may connect, as other nodes set it
     │    ├── rechecks.run: whether the directory still knows who is online
     │    ├── roles.run: notifies people of their role when it changes
     │    ├── store.node_bus.run ─▶ PeerNodes, where there are other nodes
     │    ├── deadlines.watch
     │    └── journal.keep
     ├── AdminSocket.run, if there is one: for `gochat admin`
     ├── Monitor.run, if `metrics.port` is set: how the server is, by HTTP
     ├── one session per connection
     └── accepting, for each listener: cancelled first when the server stops

To stop, the server accepts no more connections; each session finishes the request that it is
handling, sends `bye` and ends; after `drain_timeout` the remaining sessions are cancelled; then the
store is closed. A damaged store stops the server in the same way, and then raises `StoreCorrupt`.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import structlog
import trio

from gochat.config import Config
from gochat.errors import StoreCorrupt
from gochat.server import deadlines, journal, workers
from gochat.server.admin import admin_socket
from gochat.server.admin.admin_socket import AdminSocket
from gochat.server.certificate import Certificate
from gochat.server.composition import compose
from gochat.server.delivery import open_delivery
from gochat.server.disk_watch import DiskWatch
from gochat.server.listener import (
    accept_for_ever,
    cannot_listen,
    listening_on,
)
from gochat.server.listening import Entrance, open_entrances
from gochat.server.metrics.readiness import Readiness
from gochat.server.peer_nodes import PeerNodes
from gochat.server.registrations import follow_mode
from gochat.server.reloading import Reloader
from gochat.server.server import Server
from gochat.server.sockets import keep_alive
from gochat.server.systemd import SILENT, Notifier
from gochat.storage import directory_of, open_store

log = structlog.stdlib.get_logger()


async def serve(
    config: Config,
    *,
    stop: trio.Event | None = None,
    reloads: trio.MemoryReceiveChannel[None] | None = None,
    read_config: Callable[[], Config] | None = None,
    is_worker: bool = False,
    notifier: Notifier = SILENT,
    handed_over: Sequence[tuple[str, socket.socket]] = (),
    task_status: trio.TaskStatus[Sequence[tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server until `stop` is set; then drain and return.

    Calls `task_status.started` with the addresses that it listens on, once it accepts connections.
    Each item received from `reloads` makes it reload its certificate, for new connections, and what
    `read_config` returns or raises (ConfigError). A worker (:mod:`gochat.server.workers`) shares
    its address with others. `handed_over` are listening sockets of systemd, by their names, and
    `notifier` notifies it. Cancelling ends it at once: acknowledged messages are kept, but clients
    get no `bye`.

    Raises:
        AddressUnavailable: an address can't be listened on now.
        ConfigError: an address can't be listened on at all, or a certificate can't be used.
        StoreUnavailable: the store can't be opened now.
        StoreCorrupt: the store is damaged, and was left as it is. If the server was running, it has
            stopped. Restarting it does not help.
    """
    stop = trio.Event() if stop is None else stop
    certificate = Certificate(config.tls) if config.tls.cert else None
    async with (
        open_server(config) as server,
        contextlib.AsyncExitStack() as stack,
        trio.open_nursery() as nursery,
    ):
        entrances = await stack.enter_async_context(
            open_entrances(config, handed_over, is_worker=is_worker)
        )
        stack.enter_context(server.published())
        administered = stack.enter_context(admin_socket.opened(config))
        if administered is not None:
            nursery.start_soon(AdminSocket(server.services).run, administered)
        readiness = Readiness(server.services.store)
        directory = directory_of(config.store_url)
        if directory is not None:
            watch = DiskWatch(directory, lambda: server.services.config.disk_warning * 1024 * 1024)
            nursery.start_soon(watch.run)
        if config.metrics.port:
            monitored = await _listen_for_monitoring(config)
            from gochat.server.metrics.monitor import Monitor  # loads much

            nursery.start_soon(Monitor(server, readiness, certificate, directory).run, monitored)

        def connected(entrance: Entrance, stream: trio.SocketStream) -> None:
            keep_alive(stream)
            tls = certificate.context if certificate is not None and entrance.encrypts else None
            nursery.start_soon(server.handle, stream, tls, entrance.proxies)

        if reloads is not None:
            reloader = Reloader(server.services, certificate, read_config, notifier)
            nursery.start_soon(reloader.run, reloads)
        async with trio.open_nursery() as accepting:
            for entrance in entrances:
                accepting.start_soon(
                    accept_for_ever,
                    entrance.listener,
                    partial(connected, entrance),
                    server.turned_away,
                )
                entrance.log(config)
            if certificate is not None:
                certificate.log("certificate loaded")
                nursery.start_soon(certificate.watch)
            addresses = [entrance.address for entrance in entrances]
            notifier.ready(f"serving on {', '.join(_shown(*one) for one in addresses)}")
            nursery.start_soon(notifier.keep_watchdog)
            task_status.started(addresses)
            await _first_of(stop, server.has_failed)
            accepting.cancel_scope.cancel()
        readiness.is_stopping = True
        notifier.stopping()
        await stack.aclose()
        log.info("stopping", sessions=len(server.sessions))
        await server.drain()
        nursery.cancel_scope.cancel()
    log.info("stopped")
    if server.damage is not None:
        raise StoreCorrupt(f"{server.damage}. The server has stopped; {_advice(config)}")


async def _first_of(*events: trio.Event) -> None:
    """Wait until any of several events is set."""
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)


def _shown(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}" if port else host


def _advice(config: Config) -> str:
    if config.store_url.startswith("sqlite:"):
        return "see `gochat db check`, and restore a backup: `gochat db restore`"
    return "restore a backup of the data in Redis before you start it again"


@contextlib.asynccontextmanager
async def open_server(config: Config) -> AsyncIterator[Server]:
    """Open the store and run everything that a server needs except listeners.

    Leaving the block cancels what still runs. Raises the same errors as :func:`serve`.
    """
    async with (
        open_store(config.store_url) as store,
        open_delivery() as delivery,
        trio.open_nursery() as nursery,
    ):
        services = compose(config, store, delivery)
        server = Server(services)
        await nursery.start(server.follow)
        if server.intake is not None:
            nursery.start_soon(server.intake.run)
        nursery.start_soon(
            services.hub.presence.run, lambda: services.config.limits.presence_interval
        )
        nursery.start_soon(services.markers.run)
        nursery.start_soon(services.revocations.run)
        nursery.start_soon(services.rechecks.run)
        nursery.start_soon(services.roles.run)
        nursery.start_soon(services.retention.run)
        nursery.start_soon(services.report_keeper.run)
        await nursery.start(services.deleted.run)
        await nursery.start(services.address_bans.run)
        await nursery.start(follow_mode, services.admission, store)
        if store.node_bus is not None:
            await nursery.start(store.node_bus.run, PeerNodes(services).receive)
        nursery.start_soon(deadlines.watch, server.sessions, lambda: services.config.limits)
        nursery.start_soon(journal.keep, services.journal, store.health)
        yield server
        nursery.cancel_scope.cancel()


async def _listen_for_monitoring(config: Config) -> list[trio.SocketListener]:
    host = config.metrics.host
    port = config.metrics.port + (workers.number() or 1) - 1
    try:
        listeners = await trio.open_tcp_listeners(port, host=None if host == "*" else host)
    except (OSError, UnicodeError, OverflowError) as error:
        raise cannot_listen(host, port, error, keys=("metrics.host", "metrics.port")) from error
    for listener in listeners:
        address, port = listening_on(listener)
        log.info("listening for monitoring", host=address, port=port)
    return listeners
