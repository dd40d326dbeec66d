"""Whether a store's data can be trusted.

A damaged store must not be written: each further entry is one more that a backup lacks. So the
first damage found, in any thread, ends the store for everybody: it refuses all later requests, and
fails its followers with the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import trio

from gochat.errors import StoreCorrupt


class Integrity:
    """The integrity of a store's data. Create it in the Trio thread; use it in any thread."""

    def __init__(self, lost: Callable[[StoreCorrupt], None]) -> None:
        """Call `lost` once, in the Trio thread, with the first damage."""
        self._lost = lost
        self._trio = trio.lowlevel.current_trio_token()
        self._lock = threading.Lock()
        self._damage: StoreCorrupt | None = None

    @property
    def is_lost(self) -> bool:
        """True if damage was found."""
        return self._damage is not None

    def require(self) -> None:
        """Raise :exc:`~gochat.errors.StoreCorrupt` if damage was found."""
        if self._damage is not None:
            raise StoreCorrupt(str(self._damage))

    def lose(self, damage: StoreCorrupt) -> None:
        """Record damage. Only the first counts."""
        with self._lock:
            if self._damage is not None:
                return
            self._damage = damage
        with suppress(trio.RunFinishedError):
            self._trio.run_sync_soon(self._lost, StoreCorrupt(str(damage)))
