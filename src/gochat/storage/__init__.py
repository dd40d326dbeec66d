"""Stores: where gochat keeps what it must not lose, chosen by URL.

====================================== ==========================================================
URL                                    store
====================================== ==========================================================
``sqlite:///relative.db``              a SQLite file; ``?synchronous=normal``, ``full`` or ``off``
``sqlite:////absolute.db``             the same, by its absolute path
``sqlite://``, ``sqlite:///:memory:``  SQLite in memory, for tests: gone when it is closed
====================================== ==========================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from gochat.errors import ConfigError

if TYPE_CHECKING:  # imported when called: an app that only connects needs no store
    from gochat.chat.store import Store


def wall_clock() -> int:
    """Return the time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def open_store(
    url: str, *, clock: Callable[[], int] = wall_clock
) -> AbstractAsyncContextManager[Store]:
    """Return the store at `url`, open inside the ``async with`` block.

    Leaving the block waits until every write that was handed over is committed. `clock` gives the
    time of new entries, in milliseconds since the Unix epoch.

    Raises:
        ConfigError: the URL names no store; or (on entering) its place can't be used.
        StoreUnavailable: (on entering) it can't be opened now, or another server has it open.
        StoreCorrupt: (on entering) it is damaged, or newer than this program. It is left as it is.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "sqlite":
        from gochat.storage import sqlite

        return sqlite.open_sqlite(url, clock=clock)
    raise ConfigError(
        f"the store {url!r} is of no known kind: use sqlite:///PATH (sqlite:////PATH if absolute)"
    )
