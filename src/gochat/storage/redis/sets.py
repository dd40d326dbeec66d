"""Read a large set in steps, so that Redis is never busy with it for long."""

from __future__ import annotations

import re
from typing import Final

from gochat.errors import StoreUnavailable
from gochat.storage.redis.link.pipeline import Operation, RedisCommand

#: Members that Redis looks at for one step: about a millisecond.
STEP: Final = 1000
#: How often it is begun anew when the server changes under it.
TRIES: Final = 3

_RUN_ID: Final = re.compile(rb"^run_id:(\w+)", re.M)


def set_members(partition: int, key: str) -> Operation[set[bytes]]:
    """Find the members of a set. What is added or removed meanwhile may be among them or not.

    A cursor means something only to the process that gave it, so after a failover or a restart all
    begins anew.

    Raises:
        StoreUnavailable: that happened :data:`TRIES` times.
    """
    for _ in range(TRIES):
        found: set[bytes] = set()
        cursor, process = b"0", b""
        while True:
            reply, about = yield [
                RedisCommand(partition, ("SSCAN", key, cursor, "COUNT", STEP)),
                RedisCommand(partition, ("INFO", "server")),
            ]
            match = _RUN_ID.search(about)
            if process not in (b"", run_id := match[1] if match else b"?"):
                break  # these are another one's
            process = run_id
            cursor, some = reply
            found.update(some)
            if cursor == b"0":
                return found
    raise StoreUnavailable("the Redis server has changed again and again while a set was read")
