"""What can be set about a client, and the time it lives by."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import anyio


class Clock(Protocol):
    """The time that a client waits by, so that a test can be its master."""

    def now(self) -> float:
        """Return the time in seconds; it never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        ...


class SystemClock:
    """The event loop's time."""

    def now(self) -> float:
        """Return the time in seconds."""
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        await anyio.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """The times of a client, all in seconds. The defaults are right for people and bots.

    `connect_timeout` is for reaching the server, `tls_timeout` for the TLS handshake,
    `request_timeout` for the answer to a request, reconnecting included; where a password has to be
    hashed, the client waits for as long as the server shows signs of life. After
    `heartbeat_interval` without a byte the client asks for a sign of life, and takes the
    connection for lost when none comes within `heartbeat_grace`. An attempt to reconnect follows
    after a random time of up to `backoff_base`, which doubles with each failure, up to
    `backoff_cap`. An entry that is missing from a conversation's order is asked for after
    `gap_grace`: mostly it is on its way. `clock` and `random` are for tests.
    """

    connect_timeout: float = 10.0
    tls_timeout: float = 5.0
    request_timeout: float = 30.0
    heartbeat_interval: float = 25.0
    heartbeat_grace: float = 8.0
    backoff_base: float = 0.5
    backoff_cap: float = 30.0
    gap_grace: float = 0.25
    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[], float] = random.random
