"""Remove the reports that are no longer kept: see :mod:`gochat.chat.reports`."""

from __future__ import annotations

from typing import Final, NoReturn

import structlog
import trio

from gochat.chat.directory import Directory
from gochat.chat.reports import forget
from gochat.chat.store import Store
from gochat.errors import StoreUnavailable
from gochat.storage.common.clock import wall_clock

log = structlog.stdlib.get_logger()

#: Seconds between two looks. It does no harm if several nodes look at once.
LOOK_EVERY: Final = 3600.0


class ReportKeeper:
    """Looks every hour, also for what was written with accounts that were deleted meanwhile."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    async def run(self) -> NoReturn:
        """Look, for ever."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                log.debug("reports not examined", reason=str(error))
            await trio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Remove what is no longer kept."""
        gone = set(self._directory.gone)
        removed = await forget(self._store.reports, gone, wall_clock())
        if removed:
            log.info("old reports removed", count=removed)
