"""Checks when a node starts: is Redis up, whose data does it have, who has access.

A machine that boots starts Redis and gochat at the same time, so a node waits for Redis. It does
not wait where that can't help: a wrong password, data of a newer gochat, a setting.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog
import trio

from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage.redis.keys import COPY_OF, DEFAULT_PARTITIONS, VERSION, Keys
from gochat.storage.redis.link import topology, wire
from gochat.storage.redis.link.url import Location, parse_url
from gochat.storage.redis.link.wire import Broken, Refused, Wire

log = structlog.stdlib.get_logger()

#: Seconds between two checks whether Redis is up.
LOOK_EVERY: Final = 0.5


async def wait_until_up(url: str, patience: float) -> None:
    """Wait until all servers can be used, for at most `patience` seconds.

    Raises:
        ConfigError: waiting can't help: the URL, the user or a setting is wrong.
        StoreUnavailable: they could not be used in time; or the data is an unfinished copy.
        StoreCorrupt: the data is a newer gochat's.
    """
    location = parse_url(url)
    deadline = trio.current_time() + patience
    logged = ""
    while True:
        try:
            await trio.to_thread.run_sync(_look, location, abandon_on_cancel=True)
        except (Broken, Refused) as error:
            reason = str(error)
            if trio.current_time() + LOOK_EVERY > deadline:
                waited = f" (waited {patience:g} s: store_wait)" if patience else ""
                raise StoreUnavailable(
                    f"{reason.rstrip('.')}{waited}: start Redis, or check the store's URL"
                ) from error
        else:
            break
        if reason != logged:
            logged = reason
            left = round(deadline - trio.current_time(), 1)
            log.warning("waiting for Redis", reason=reason, seconds_left=left)
        await trio.sleep(LOOK_EVERY)
    if logged:
        log.info("Redis available")


def _look(location: Location) -> None:
    partitions = find_partitions(location)
    servers = topology.find(location, partitions)
    for server in dict.fromkeys(servers.server(partition) for partition in range(partitions)):
        server.connect(location.options.timeout).close()


def find_partitions(location: Location) -> int:
    """Return the number of partitions of the data; create the data if necessary.

    Raises:
        Broken, Refused: Redis can't be used now.
        ConfigError: this user is not permitted to write, or the URL does not match the data.
        StoreUnavailable: the data is an unfinished copy.
        StoreCorrupt: the data is a newer gochat's.
    """
    options = location.options
    keys = Keys(options.prefix, 1)
    connection = topology.find(location, 1).server(0).connect(options.timeout)
    try:
        wanted = options.partitions or DEFAULT_PARTITIONS
        *_, (version, partitions, copy_of) = connection.ask(
            ("HSETNX", keys.meta, "version", VERSION),
            ("HSETNX", keys.meta, "partitions", wanted),
            ("HMGET", keys.meta, "version", "partitions", COPY_OF),
        )
    except Refused as error:
        if error.code == "NOPERM":
            raise ConfigError(wire.forbidden(location, error)) from error
        raise
    finally:
        connection.close()
    if int(version) > VERSION:
        raise StoreCorrupt(
            f"the data in {location} was written by a newer gochat: "
            "update gochat; it is left as it is"
        )
    if copy_of is not None:
        raise StoreUnavailable(
            f"the data in {location} is a copy that is not finished: wait for it, or give the same "
            "`gochat db copy` again"
        )
    if options.partitions not in (None, int(partitions)):
        raise ConfigError(
            f"the data in {location} has {int(partitions)} partitions, which can't be changed: "
            "leave partitions out of the store's URL"
        )
    return int(partitions)


def warn_if_open_to_anybody(location: Location, wires: Iterable[Wire], key: str) -> None:
    """Warn if gochat has a user of its own, but anybody can query `key` without a password."""
    if location.secret.user in (None, "default"):
        return
    timeout = location.options.timeout
    hosts = [
        str(opened.host)
        for opened in wires
        if wire.is_open_to_anybody(location, opened.host, timeout, key)
    ]
    if hosts:
        log.warning(
            "Redis access unrestricted",
            reason="the user `default` has no password: set requirepass, or turn that user off",
            hosts=hosts,
            user=location.secret.user,
        )
