"""Warn of a disk that fills up, while there is still time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import structlog
import trio

log = structlog.stdlib.get_logger()

#: Seconds between two looks, and between two warnings while it stays so.
LOOK_EVERY: Final = 60.0
WARN_EVERY: Final = 24 * 3600.0
#: How much more than that must be free for the warning to end, so that it does not flicker.
ENOUGH: Final = 1.25

_MIB: Final = 1024 * 1024


class Usage(NamedTuple):
    """Of a disk, in bytes."""

    total: int
    used: int
    free: int


class DiskWatch:
    """Watches the disk of a directory. `limit` returns the bytes below which to warn; 0: never."""

    def __init__(
        self,
        directory: Path,
        limit: Callable[[], int],
        usage: Callable[[Path], Usage] = lambda path: Usage(*shutil.disk_usage(path)),
    ) -> None:
        self._directory = directory
        self._limit = limit
        self._usage = usage
        self._warned = -inf
        self._is_low = False

    async def run(self) -> NoReturn:
        """Look once a minute, for ever."""
        while True:
            # In a thread, for it may be a disk on a network that does not answer.
            try:
                usage = await trio.to_thread.run_sync(
                    self._usage, self._directory, abandon_on_cancel=True
                )
            except OSError:
                pass  # the store itself reports a disk that is gone
            else:
                self._judge(usage)
            await trio.sleep(LOOK_EVERY)

    def _judge(self, usage: Usage) -> None:
        now, limit = trio.current_time(), self._limit()
        fields = {"path": str(self._directory), "free_mib": usage.free // _MIB}
        if usage.free < limit:
            if not self._is_low or now - self._warned >= WARN_EVERY:
                self._warned = now
                log.warning(
                    "disk space low",
                    **fields,
                    limit_mib=limit // _MIB,
                    advice="when it is used up, nobody can write: free some, or enlarge the disk",
                )
            self._is_low = True
        elif self._is_low and usage.free >= ENOUGH * limit:
            self._is_low = False
            log.info("disk space sufficient", **fields)
