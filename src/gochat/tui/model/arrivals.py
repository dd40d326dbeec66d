"""Who has just come online, as far as it is worth a line in a log. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

#: Seconds by which the server may report that somebody is online later than what they say. It
#: collects such reports for a tenth of a second, and there may be another node in between.
LATE: Final = 10.0


class Arrivals:
    """Drops reports that come after the first message of who has arrived: the message says it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._spoke: dict[str, float] = {}

    def spoke(self, name: str) -> None:
        """Note that a message of somebody has arrived."""
        self._spoke[name] = self._clock()

    def noticed(self, arrived: Iterable[str]) -> list[str]:
        """Return those of `arrived` of whom nothing has come a moment ago."""
        now = self._clock()
        self._spoke = {name: at for name, at in self._spoke.items() if now - at < LATE}
        return [name for name in arrived if name not in self._spoke]

    def forget(self) -> None:
        """Forget all: what came with a snapshot is history."""
        self._spoke.clear()
