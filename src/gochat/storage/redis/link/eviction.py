"""Eviction: whether a Redis may drop keys by itself when it is full.

Everything of gochat is data and nothing is a cache, so only ``noeviction`` will do where
``maxmemory`` is set. The other policies drop messages and accounts; those called ``volatile-*``
sessions, and who is online. ``INFO`` says what is set, also where ``CONFIG GET`` is not permitted.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gochat.storage.redis.link.url import Host

#: The only policy that drops nothing.
HARMLESS = "noeviction"


class Eviction(Struct, frozen=True):
    """What a server process, named by `run`, says of evicting.

    `keys` counts those that it has evicted. `refusal` says why it can't be used, and is empty if it
    evicts nothing.
    """

    run: str = ""
    keys: int = 0
    refusal: str = ""


def read_eviction(
    host: Host, run: str, memory: Mapping[str, str], stats: Mapping[str, str]
) -> Eviction:
    """Return what ``INFO memory`` and ``INFO stats`` say of evicting."""
    limit, policy = memory.get("maxmemory", "0"), memory.get("maxmemory_policy", HARMLESS)
    refusal = ""
    if limit != "0" and policy != HARMLESS:
        refusal = (
            f"Redis at {host} evicts data when its memory is full (maxmemory {limit}, "
            f"maxmemory-policy {policy}), so messages and accounts would be lost silently: "
            f"set maxmemory-policy {HARMLESS}"
        )
    return Eviction(run, int(stats.get("evicted_keys", "0")), refusal)
