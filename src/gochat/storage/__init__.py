"""Open stores, which keep gochat's durable data, by URL.

====================================== ==========================================================
URL                                    store
====================================== ==========================================================
``sqlite:///relative.db``              a SQLite file; ``?synchronous=normal``, ``full`` or ``off``
``sqlite:////absolute.db``             the same, with an absolute path
``sqlite:///:memory:``                 SQLite in memory, for tests: discarded on closing
``redis://HOST:PORT/DB``               Redis; ``rediss://`` for TLS, ``unix://PATH`` for a socket
``redis+sentinel://HOSTS/SERVICE/DB``  the Redis master that the sentinels at HOSTS report
``redis+cluster://HOSTS``              a Redis Cluster, found through some of its HOSTS
====================================== ==========================================================

``docs/how-to/redis.md`` lists the query parameters of a Redis URL.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gochat.errors import ConfigError
from gochat.storage.common.clock import wall_clock

#: The schemes of :mod:`gochat.storage.redis.link.url`, without importing it.
REDIS_SCHEMES: Final = frozenset(
    {"redis", "rediss", "unix", "redis+unix"}
    | {f"{scheme}+{kind}" for scheme in ("redis", "rediss") for kind in ("sentinel", "cluster")}
)

if TYPE_CHECKING:  # imported in the functions: an app that only connects needs no store
    from gochat.chat.store import Store


def open_store(
    url: str, *, clock: Callable[[], int] | None = None
) -> AbstractAsyncContextManager[Store]:
    """Return the store at `url`, open inside the ``async with`` block.

    Leaving the block waits until every submitted write is committed. `clock` returns the time for
    new entries, in milliseconds since the Unix epoch. The default is the machine's clock, or for
    Redis its server's.

    Raises:
        ConfigError: the URL is invalid, or (on entering) its path can't be used.
        StoreUnavailable: (on entering) it can't be opened now, or another server has it open.
        StoreCorrupt: (on entering) it is damaged, or newer than this program. It is not changed.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "sqlite":
        from gochat.storage import sqlite

        return sqlite.open_sqlite(url, clock=clock or wall_clock)
    if separator and scheme in REDIS_SCHEMES:
        from gochat.storage import redis

        return redis.open_redis(url, clock=clock)
    # Without the remainder of the URL, which may contain a password.
    raise ConfigError(
        f"unsupported store URL scheme {scheme[:32]!r}: "
        "use sqlite:///PATH (sqlite:////PATH if absolute) or redis://HOST:PORT"
    )


def directory_of(url: str) -> Path | None:
    """Return the directory in which a store keeps its files; None for one that has none here.

    Raises:
        ConfigError: the URL is invalid.
    """
    if url.partition("://")[0] != "sqlite":
        return None
    from gochat.storage.common.sqlite_url import parse_url

    path = parse_url(url).path
    return None if path is None else path.absolute().parent


async def wait_until_up(url: str, patience: float) -> None:
    """Wait up to `patience` seconds until the store at `url`, if it is a server, can be opened.

    Raises the same errors as :func:`open_store` on entering.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme in REDIS_SCHEMES:
        from gochat.storage.redis.link import starting

        await starting.wait_until_up(url, patience)
