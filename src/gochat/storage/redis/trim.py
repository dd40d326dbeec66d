"""What is done now and then: shortening the feeds.

``append.lua`` bounds each feed by a number of entries. In a quiet chat that many reach far back,
and what people delete would stay in a feed for as long. So every node also drops what is older
than `feed_time`. It knows the age of an entry by having looked where the feeds end.
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

#: Looks in the time for which entries are kept: so they may be kept longer by this part of it.
LOOKS: Final = 10


async def shorten_feeds(
    worker: PipelineWorker, keys: Keys, feed_time: float, positions: Callable[[], tuple[int, ...]]
) -> NoReturn:
    """Drop from the feeds what is older than `feed_time` seconds, for ever."""
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
    # Without "~": that would keep up to a hundred entries of each, which is what this is about.
    yield [
        RedisCommand(partition, ("XTRIM", feed, "MINID", f"{position + 1}-0"))
        for partition, (feed, position) in enumerate(zip(keys.feeds, positions, strict=True))
    ]
