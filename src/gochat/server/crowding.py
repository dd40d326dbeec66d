"""Whose connection ends, when so many have not logged in that somebody else finds no room.

Whoever connects from a network of which fewer wait than of another takes the place of the one that
has waited there for longest. So a crowd that never logs in, from however many addresses of one
network, keeps out nobody but others of its own; and the more networks it comes from, the sooner
each of its connections has to go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import trio

from gochat.server.registrations import network


class Stranger(Protocol):
    """A connection on which nobody has logged in, and that the server has nothing to do for."""

    @property
    def address(self) -> str:
        """Where it comes from."""

    @property
    def began(self) -> float:
        """Since when it is there."""

    def make_room(self) -> None:
        """End at once."""


class Handshake:
    """A connection that is still agreeing on keys."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.began = trio.current_time()
        self.scope = trio.CancelScope()

    def make_room(self) -> None:
        """End at once."""
        self.scope.cancel()


def make_room(strangers: Iterable[Stranger], address: str) -> bool:
    """End a stranger's connection for one from `address`; False where that would not be fair."""
    by_age = sorted(strangers, key=lambda stranger: stranger.began)
    crowds = Counter(network(stranger.address) for stranger in by_age)
    if not crowds:
        return False
    largest, size = crowds.most_common(1)[0]
    if crowds[network(address)] >= size:
        return False
    next(s for s in by_age if network(s.address) == largest).make_room()
    return True
