"""Trim the feeds periodically.

``append.lua`` limits the entries of each feed. In a quiet chat, that many reach far back, and
deleted texts would stay in a feed as long. So every node also drops entries older than `feed_time`.
It derives their age from the positions of the feeds that it has recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn

import structlog
import trio

from gochat.errors import StoreUnavailable
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, PipelineWorker, RedisCommand

log = structlog.stdlib.get_logger()

#: Recordings of the positions per `feed_time`: entries may be kept longer by this fraction of it.
LOOKS: Final = 10


async def shorten_feeds(
    worker: PipelineWorker, keys: Keys, feed_time: float, positions: Callable[[], tuple[int, ...]]
) -> NoReturn:
    """Drop entries older than `feed_time` seconds from the feeds, for ever."""
    looks: deque[tuple[int, ...]] = deque([positions()], maxlen=LOOKS + 1)
    while True:
        await trio.sleep(feed_time / LOOKS)
        looks.append(positions())
        if len(looks) <= LOOKS:
            continue
        try:
            await worker.carry_out(_shorten(keys, looks[0]))
        except StoreUnavailable as error:
            log.debug("feed trim failed", reason=str(error))


def _shorten(keys: Keys, positions: tuple[int, ...]) -> Operation[None]:
    # Without "~", which would keep up to a hundred more entries in each.
    yield [
        RedisCommand(partition, ("XTRIM", feed, "MINID", f"{position + 1}-0"))
        for partition, (feed, position) in enumerate(zip(keys.feeds, positions, strict=True))
    ]
