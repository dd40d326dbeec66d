"""Whether a store's data can be trusted.

What is damaged must not be written to: each further entry is one more that a backup does not have.
So the first damage that anything meets, in any thread, ends the store for everybody: whatever is
asked of it from then on is refused, and who follows the log gets the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import trio

from gochat.errors import StoreCorrupt


class Integrity:
    """What is known of a store's data. Made in the Trio thread, used in all."""

    def __init__(self, lost: Callable[[StoreCorrupt], None]) -> None:
        """`lost` is called once, in the Trio thread, with the first damage."""
        self._lost = lost
        self._trio = trio.lowlevel.current_trio_token()
        self._lock = threading.Lock()
        self._damage: StoreCorrupt | None = None

    @property
    def is_lost(self) -> bool:
        """True if damage was met."""
        return self._damage is not None

    def require(self) -> None:
        """Raise :exc:`~gochat.errors.StoreCorrupt` if damage was met."""
        if self._damage is not None:
            raise StoreCorrupt(str(self._damage))

    def lose(self, damage: StoreCorrupt) -> None:
        """Note damage. The first counts."""
        with self._lock:
            if self._damage is not None:
                return
            self._damage = damage
        with suppress(trio.RunFinishedError):
            self._trio.run_sync_soon(self._lost, StoreCorrupt(str(damage)))
