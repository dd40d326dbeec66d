"""What the person has asked of the server and waits for, so that it can be shown. Pure."""

from __future__ import annotations

from itertools import count
from typing import Final

#: Seconds after which a wait is shown: what is answered sooner needs no words.
SHOWN_AFTER: Final = 0.4


class Waits:
    """Waits, the newest last. `now` is in seconds, of one clock that never goes back."""

    def __init__(self) -> None:
        self._numbers = count()
        self._waits: dict[int, tuple[str, float]] = {}

    def begin(self, what: str, now: float) -> int:
        """Note a wait, for `what` in words; return what ends it."""
        number = next(self._numbers)
        self._waits[number] = (what, now)
        return number

    def end(self, number: int) -> None:
        """Note that the answer is there, or won't come."""
        del self._waits[number]

    def shown(self, now: float) -> str | None:
        """Return what the newest wait is for that is worth showing; None if there is none."""
        long = [what for what, since in self._waits.values() if now - since >= SHOWN_AFTER]
        return long[-1] if long else None
