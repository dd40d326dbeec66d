"""Who is typing in a conversation. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: Seconds after which a person no longer counts as typing, without a new event.
LAPSE: Final = 6.0


class Typists:
    """The people who are typing, each until a time, in seconds of the model's clock."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, name: str, now: float) -> None:
        """Note that a person is typing."""
        self._until[name] = now + LAPSE

    def names(self, now: float) -> list[str]:
        """Return who is typing, in order."""
        return sorted(name for name, until in self._until.items() if until > now)

    def stop(self, names: Iterable[str]) -> bool:
        """Forget these people; return whether one of them was typing."""
        typing = [name for name in names if name in self._until]
        for name in typing:
            del self._until[name]
        return bool(typing)

    def lapse(self, now: float) -> bool:
        """Forget who has stopped without a word; return whether somebody has."""
        return self.stop([name for name, until in self._until.items() if until <= now])
