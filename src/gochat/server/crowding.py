"""Choose the connection to close when the server is full and another one arrives.

Among connections that are not logged in, a new one from a network with fewer of them replaces the
oldest one of the network with the most. So a crowd that never logs in, from however many addresses
of one network, keeps out only others of its own network; and the more networks it comes from, the
sooner each of its connections must go.

When the server is full of connections that are logged in, a few strangers may still come in, or a
person who holds enough of them could keep everybody else out. For these strangers, an account with
more connections than a person needs makes room, or a network with more than half of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

import trio

from gochat.server.limits import ConnectionLimiter, network

if TYPE_CHECKING:
    from gochat.server.session import Session

#: Connections that a person's devices need; an account keeps them however full the server is.
DEVICES: Final = 4
#: Connections that a network keeps: as many as an office or a school has.
OFFICE: Final = 64
#: The part of all connections that may be strangers for whom others were closed. It bounds what a
#: crowd that doesn't log in takes from those who have.
STRANGERS: Final = 1 / 16


class Stranger(Protocol):
    """A connection on which nobody is logged in, and for which the server is not working."""

    @property
    def address(self) -> str:
        """The peer's address."""

    @property
    def began(self) -> float:
        """When it connected, in seconds of the Trio clock."""

    def make_room(self) -> None:
        """Close it at once."""


class Anonymous(Stranger, Protocol):
    """A connection on which nobody is logged in."""

    @property
    def is_stranger(self) -> bool:
        """False while the server is working for it."""


class Handshake:
    """A connection during its TLS handshake."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.began = trio.current_time()
        self.scope = trio.CancelScope()

    def make_room(self) -> None:
        """Close it at once."""
        self.scope.cancel()


def make_room(strangers: Iterable[Stranger], address: str) -> bool:
    """Close a stranger's connection to make room for one from `address`.

    Return False, and close none, if that would not be fair.
    """
    by_age = sorted(strangers, key=lambda stranger: stranger.began)
    crowds = Counter(network(stranger.address) for stranger in by_age)
    if not crowds:
        return False
    largest, size = crowds.most_common(1)[0]
    if crowds[network(address)] >= size:
        return False
    next(s for s in by_age if network(s.address) == largest).make_room()
    return True


def choose(
    members: Iterable[Session], connections: ConnectionLimiter, address: str
) -> Session | None:
    """Return the logged-in session to close for a connection from `address`.

    None if closing one would not be fair.
    """
    if connections.anonymous >= max(1, connections.most * STRANGERS):
        return None
    staying = [member for member in members if not member.is_ending]
    accounts = Counter(member.name for member in staying)
    if not accounts:
        return None
    account, most = accounts.most_common(1)[0]
    if most > DEVICES:
        crowd = [member for member in staying if member.name == account]
    else:
        largest, size = Counter(network(m.address) for m in staying).most_common(1)[0]
        if size <= max(OFFICE, connections.most / 2):
            return None
        if connections.of_network(network(address)) > size / 2:
            return None
        crowd = [member for member in staying if network(member.address) == largest]
    return min(crowd, key=lambda member: (-accounts[member.name], member.began))
