"""Whether a Redis may evict keys when its memory is full.

All of gochat's keys are data, and none is a cache. So if ``maxmemory`` is set, only ``noeviction``
is acceptable. The other policies drop messages and accounts; the ``volatile-*`` ones drop sessions
and presence. ``INFO`` reports the configuration even if ``CONFIG GET`` is not permitted.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gochat.storage.redis.link.url import Host

#: The only policy that evicts nothing.
HARMLESS = "noeviction"


class Eviction(Struct, frozen=True):
    """What a server process, identified by `run`, reports about eviction.

    `keys` is the number of keys that it has evicted. `refusal` is the reason not to use it, empty
    if it evicts nothing.
    """

    run: str = ""
    keys: int = 0
    refusal: str = ""


def read_eviction(
    host: Host, run: str, memory: Mapping[str, str], stats: Mapping[str, str]
) -> Eviction:
    """Return what ``INFO memory`` and ``INFO stats`` report about eviction."""
    limit, policy = memory.get("maxmemory", "0"), memory.get("maxmemory_policy", HARMLESS)
    refusal = ""
    if limit != "0" and policy != HARMLESS:
        refusal = (
            f"Redis at {host} evicts data when its memory is full (maxmemory {limit}, "
            f"maxmemory-policy {policy}), so messages and accounts would be lost silently: "
            f"set maxmemory-policy {HARMLESS}"
        )
    return Eviction(run, int(stats.get("evicted_keys", "0")), refusal)
