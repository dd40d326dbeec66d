"""A client's options; and its clock and its chance, which tests replace."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Protocol

import anyio


class Clock(Protocol):
    """The time that a client waits by, so that tests can control it."""

    def now(self) -> float:
        """Return the time in seconds; it never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class SystemClock:
    """The event loop's time."""

    def now(self) -> float:
        """Return the time in seconds."""
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        await anyio.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """A client's timeouts, all in seconds. The defaults suit people and bots.

    `connect_timeout` is for reaching the server, `tls_timeout` for the TLS handshake,
    `request_timeout` for the reply to a request, reconnecting included; if a password must be
    hashed, the client waits for as long as the server answers heartbeats. After
    `heartbeat_interval` without a byte the client pings the server, and considers the connection
    lost if nothing arrives within `heartbeat_grace`. It reconnects after a random delay of up to
    `backoff_base`, which doubles with each failure, up to `backoff_cap`. An entry that is missing
    from a conversation's order is fetched after `gap_grace`: usually it is on its way.
    """

    connect_timeout: float = 10.0
    tls_timeout: float = 5.0
    request_timeout: float = 30.0
    heartbeat_interval: float = 25.0
    heartbeat_grace: float = 8.0
    backoff_base: float = 0.5
    backoff_cap: float = 30.0
    gap_grace: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalOptions(ClientOptions):
    """What the library works with: a program's options, and what only tests choose.

    `clock` is what it waits by; `random` gives numbers from 0 to 1.
    """

    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[], float] = random.random

    @classmethod
    def of(cls, options: ClientOptions) -> InternalOptions:
        """Return `options` as internal ones; those that are stay as they are."""
        return options if isinstance(options, cls) else cls(**asdict(options))
