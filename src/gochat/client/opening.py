"""Open a client of a server."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from gochat.client.address import Security, parse, plain_text_warning
from gochat.client.client import Client
from gochat.client.options import ClientOptions, InternalOptions
from gochat.client.outbox import Outbox
from gochat.client.requester import Requester
from gochat.client.supervisor import ConnectionSupervisor
from gochat.client.sync_state import SyncState
from gochat.client.tasks import background

logger = logging.getLogger(__name__)

_DEFAULTS: Final = ClientOptions()


@asynccontextmanager
async def open_client(
    url: str,
    *,
    outbox: Path | None = None,
    ssl_context: ssl.SSLContext | None = None,
    options: ClientOptions = _DEFAULTS,
) -> AsyncIterator[Client]:
    """Open a client of the server at `url`; it connects when it logs in.

    Leaving the block closes the connection and nothing else: the session's token stays valid (see
    :meth:`Client.log_out`), and the messages in the outbox are kept if it has a path, else dropped.
    Await what :meth:`Client.send` returns for messages that must be sent first.

    Args:
        url: ``host:port``, which means TLS unless the host is this machine; or with a scheme,
            ``gochats://`` for TLS and ``gochat://`` for plain text, which logs a warning unless the
            host is this machine. The port defaults to 8889.
        outbox: The file that keeps unacknowledged messages over a restart of the program. Created
            with mode 600; it holds the text of messages. It survives the death of the process at
            any point, but not that of the machine. One program at a time can use it.
        ssl_context: The TLS settings, instead of verifying the server's certificate against the
            system's authorities.
        options: Timeouts; see :class:`ClientOptions`.

    Exceptions leave the block as they are, not in an exception group.

    Raises:
        OutboxInUse: another program has the outbox open.
        ConfigError: `url` is invalid, or the outbox can't be used.
    """
    address = parse(url)
    if address.security is Security.PLAIN_TEXT:
        logger.warning("%s", plain_text_warning(address))
    internal = InternalOptions.of(options)
    with Outbox.open(outbox, clock=internal.clock) as box:
        sync_state = SyncState(box, internal.clock)
        supervisor = ConnectionSupervisor(address, sync_state, ssl_context, internal)
        async with background() as tasks:
            tasks.start_soon(supervisor.run)
            try:
                yield Client(supervisor, Requester(supervisor, sync_state, internal), sync_state)
            finally:
                supervisor.close()
