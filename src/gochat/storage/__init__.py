"""Stores: where gochat keeps what it must not lose, chosen by URL.

====================================== ==========================================================
URL                                    store
====================================== ==========================================================
``sqlite:///relative.db``              a SQLite file; ``?synchronous=normal``, ``full`` or ``off``
``sqlite:////absolute.db``             the same, by its absolute path
``sqlite:///:memory:``                 SQLite in memory, for tests: gone when it is closed
``redis://HOST:PORT/DB``               Redis; ``rediss://`` encrypted, ``unix://PATH`` by a socket
``redis+sentinel://HOSTS/SERVICE/DB``  the Redis that the sentinels at HOSTS call the master
``redis+cluster://HOSTS``              a Redis Cluster, known by some of its HOSTS
====================================== ==========================================================

What can stand behind the ``?`` of a Redis URL is said in ``docs/how-to/redis.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from gochat.errors import ConfigError
from gochat.storage.common.clock import wall_clock

#: The schemes of :mod:`gochat.storage.redis.link.url`, known without loading that.
REDIS_SCHEMES: Final = frozenset(
    {"redis", "rediss", "unix", "redis+unix"}
    | {f"{scheme}+{kind}" for scheme in ("redis", "rediss") for kind in ("sentinel", "cluster")}
)

if TYPE_CHECKING:  # imported when called: an app that only connects needs no store
    from gochat.chat.store import Store


def open_store(
    url: str, *, clock: Callable[[], int] | None = None
) -> AbstractAsyncContextManager[Store]:
    """Return the store at `url`, open inside the ``async with`` block.

    Leaving the block waits until every write that was handed over is committed. `clock` gives the
    time of new entries, in milliseconds since the Unix epoch; without it that is the machine's
    clock, and where the store is Redis, its server's.

    Raises:
        ConfigError: the URL names no store; or (on entering) its place can't be used.
        StoreUnavailable: (on entering) it can't be opened now, or another server has it open.
        StoreCorrupt: (on entering) it is damaged, or newer than this program. It is left as it is.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "sqlite":
        from gochat.storage import sqlite

        return sqlite.open_sqlite(url, clock=clock or wall_clock)
    if separator and scheme in REDIS_SCHEMES:
        from gochat.storage import redis

        return redis.open_redis(url, clock=clock)
    # Without the rest of the URL, in which there may be a password.
    raise ConfigError(
        f"unsupported store URL scheme {scheme[:32]!r}: "
        "use sqlite:///PATH (sqlite:////PATH if absolute) or redis://HOST:PORT"
    )


async def wait_until_up(url: str, patience: float) -> None:
    """Wait until the store at `url` can be opened, where that is a server, for `patience` seconds.

    Raises as :func:`open_store` does on entering.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme in REDIS_SCHEMES:
        from gochat.storage.redis.link import starting

        await starting.wait_until_up(url, patience)
