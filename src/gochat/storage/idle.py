"""Stores that no server uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import trio

from gochat.chat.store import Store
from gochat.errors import ConfigError, StoreUnavailable
from gochat.storage import REDIS_SCHEMES, open_store


@asynccontextmanager
async def open_idle(url: str) -> AsyncIterator[Store]:
    """Open the store at `url`, which no server uses, inside the block.

    A SQLite file is locked against servers meanwhile. A server on Redis may start in between.

    Raises:
        ConfigError: there is no such store, or the URL is invalid.
        StoreUnavailable: a server uses it, or it can't be opened now.
        StoreCorrupt: it is damaged, or newer than this program.
    """
    await trio.to_thread.run_sync(_require_idle, url)
    async with open_store(url) as store:
        yield store


def _require_idle(url: str) -> None:
    if url.partition("://")[0] in REDIS_SCHEMES:
        _require_idle_redis(url)
        return
    from gochat.storage.common.sqlite_url import parse_url

    path = parse_url(url).path
    if path is None or not path.exists():
        raise ConfigError(f"no such database: {path or 'in memory'}")


def _require_idle_redis(url: str) -> None:
    from gochat.storage.redis.link.deployment import Deployment
    from gochat.storage.redis.link.url import parse_url
    from gochat.storage.transfer.redis_source import find_partitions

    location = parse_url(url)
    partitions, _ = find_partitions(location)
    if partitions is None:
        raise ConfigError(f"no gochat data found in {location}")
    with closing(Deployment(location, partitions)) as deployment:
        if nodes := deployment.live_nodes():
            raise StoreUnavailable(
                f"{location} is in use by {nodes} gochat {'server' if nodes == 1 else 'servers'} "
                "(one that was killed counts for some seconds)"
            )
