"""Look at the Redis servers of a deployment as an administrator would, and change nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final, NamedTuple

from gochat.errors import StoreUnavailable
from gochat.storage.redis.keys import DEFAULT_PARTITIONS, Keys
from gochat.storage.redis.link import topology
from gochat.storage.redis.link.durability import read_persistence
from gochat.storage.redis.link.eviction import HARMLESS
from gochat.storage.redis.link.topology import RedisProcess
from gochat.storage.redis.link.url import Location, parse_url
from gochat.storage.redis.link.wire import Broken, Refused, Wire, fields_of

#: Seconds by which the clocks of two machines may differ.
CLOCKS: Final = 1.0
#: The oldest Redis that gochat works with.
OLDEST: Final = (6, 2)


class Diagnosis(NamedTuple):
    """Something about a Redis server, and what to do if it is not good."""

    is_good: bool
    text: str
    advice: str = ""


def diagnose(url: str) -> Iterator[Diagnosis]:
    """Yield what there is to say about each server.

    Raises:
        ConfigError: the URL is wrong, or a server evicts data.
        StoreUnavailable: one can't be used now.
    """
    location = parse_url(url)
    try:
        for server in _servers(location):
            with closing(server.connect(location.options.timeout)) as wire:
                yield from _of(wire)
    except (Broken, Refused) as error:
        raise StoreUnavailable(str(error)) from error


def _servers(location: Location) -> list[RedisProcess]:
    first = topology.find(location, 1).server(0)
    with closing(first.connect(location.options.timeout)) as wire:
        keys = Keys(location.options.prefix, 1)
        ((found,),) = wire.ask(("HMGET", keys.meta, "partitions"))
    partitions = int(found or location.options.partitions or DEFAULT_PARTITIONS)
    servers = topology.find(location, partitions)
    return list(dict.fromkeys(servers.server(number) for number in range(partitions)))


def _of(wire: Wire) -> Iterator[Diagnosis]:
    before = time.time()
    (at,), (info,), (memory,) = (
        wire.ask(command) for command in (("TIME",), ("INFO", "server"), ("INFO", "memory"))
    )
    version = fields_of(info).get("redis_version", "0")
    is_new = tuple(int(part) for part in version.split(".")[:2]) >= OLDEST
    update = f"update it to {OLDEST[0]}.{OLDEST[1]} or later"
    yield Diagnosis(is_new, f"version {version} at {wire.host}", "" if is_new else update)

    ahead = int(at[0]) + int(at[1]) / 1e6 - (before + time.time()) / 2
    is_right = abs(ahead) <= CLOCKS
    text = f"its clock is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"
    yield Diagnosis(is_right, text, "" if is_right else "synchronise both with a time server")

    persistence = read_persistence(wire)
    keeps = persistence.appendfsync not in ("off", "no") and not persistence.skips_syncs
    advice = "" if keeps else "set appendonly yes and appendfsync everysec, or always"
    yield Diagnosis(keeps, f"append-only file: {persistence.appendfsync}", advice)
    if not persistence.can_write:
        yield Diagnosis(is_good=False, text="it can't write to its disk", advice="see its log")

    sizes = fields_of(memory)
    limit, used = int(sizes.get("maxmemory", "0")), int(sizes.get("used_memory", "0"))
    policy = sizes.get("maxmemory_policy", HARMLESS)
    is_enough = not limit or used < 0.8 * limit
    bound = f"of {limit // 2**20:,} MiB" if limit else "without a limit"
    advice = "" if is_enough else "raise maxmemory: when it is used up, nobody can write"
    yield Diagnosis(is_enough, f"memory {used // 2**20:,} MiB {bound}, {policy}", advice)
