"""Log, once per start, what a crash of Redis can lose in its present configuration.

``docs/explanation/durability.md`` explains it. ``INFO`` reports whether there is an append-only
file, but only ``CONFIG GET`` reports how it is synced, and gochat's user need not have that
permission.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog
from msgspec import Struct

from gochat.storage.redis.link.wire import Refused, Wire, fields_of

log = structlog.stdlib.get_logger()

#: Acknowledged entries lost when Redis is killed, and when its machine fails, by `appendfsync`.
#: "off": there is no append-only file; "unknown": we are not permitted to ask.
_LOSSES: Final = {
    "always": ("nothing", "nothing"),
    "everysec": ("up to 2 seconds, during a slow sync", "some 2 seconds, more if syncs are slow"),
    "no": ("nothing", "what the system has not written yet, often 30 seconds"),
    "off": ("all since the last snapshot", "all since the last snapshot"),
    "unknown": ("nothing with appendfsync always; else up to 2 seconds", "depends on appendfsync"),
}


class Persistence(Struct, frozen=True):
    """The persistence of a server. `appendfsync` is a key of :data:`_LOSSES`."""

    appendfsync: str
    can_write: bool
    skips_syncs: bool = False  # while the file is rewritten


def log_losses(wires: Iterable[Wire]) -> None:
    """Log what can be lost, one line for all servers with the same configuration.

    Raises Broken, Refused.
    """
    hosts: dict[Persistence, list[str]] = {}
    for wire in wires:
        hosts.setdefault(read_persistence(wire), []).append(str(wire.host))
    for found, some in hosts.items():
        if_killed, if_power_fails = _LOSSES[found.appendfsync]
        if found.skips_syncs:
            _, if_power_fails = _LOSSES["no"]
        fields = {
            "appendfsync": found.appendfsync,
            "lost_if_killed": if_killed,
            "lost_if_power_fails": if_power_fails,
            "hosts": some,
        }
        if not found.can_write:
            log.warning("Redis disk writes failing", **fields)
        elif found.appendfsync == "off":
            log.warning("Redis append-only file disabled", **fields)
        else:
            log.info("Redis persistence", **fields)


def read_persistence(wire: Wire) -> Persistence:
    """Return how a server keeps its data. Raises Broken, Refused."""
    (info,) = wire.ask(("INFO", "persistence"))
    fields = fields_of(info)
    if fields.get("aof_enabled") != "1":
        can_write = fields.get("rdb_last_bgsave_status", "ok") == "ok"
        return Persistence("off", can_write=can_write)
    policy = _setting(wire, "appendfsync")
    skips_syncs = policy != "unknown" and _setting(wire, "no-appendfsync-on-rewrite") == "yes"
    return Persistence(
        policy if policy in _LOSSES else "unknown",
        can_write=fields.get("aof_last_write_status", "ok") == "ok",
        skips_syncs=skips_syncs,
    )


def _setting(wire: Wire, name: str) -> str:
    try:
        (found,) = wire.ask(("CONFIG", "GET", name))
    except Refused:
        return "unknown"
    return found[1].decode() if found else "unknown"
