"""A thread that reads streams, blocking in ``XREAD`` until something is added."""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable
from typing import Final

from gochat.errors import ConfigError, StoreCorrupt
from gochat.storage.common.integrity import Integrity
from gochat.storage.redis.link.topology import RedisProcess, Topology
from gochat.storage.redis.link.wire import Broken, Refused, Wire

#: Seconds that one XREAD blocks; then the thread checks whether to stop.
BLOCK: Final = 1.0
#: Seconds until a server is tried again.
PAUSE: Final = 0.25


class StreamReader(threading.Thread, abc.ABC):
    """Read until stopped, through a connection of its own that is replaced when it breaks.

    Damage ends reading: `integrity` is lost, and the thread waits to be stopped.
    """

    def __init__(self, name: str, topology: Topology, integrity: Integrity, timeout: float) -> None:
        super().__init__(name=name, daemon=True)
        self._topology = topology
        self._integrity = integrity
        self._timeout = timeout
        self._wire: Wire | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stop soon, even while waiting for Redis. Call from any thread."""
        self._stopping.set()
        self.interrupt()

    def interrupt(self) -> None:
        """Stop waiting, and reconnect. Call from any thread; in its own it does nothing."""
        wire = self._wire
        if wire is not None and threading.current_thread() is not self:
            wire.interrupt()

    def run(self) -> None:
        """Read until stopped, or until there is nothing to read."""
        while not self._stopping.is_set():
            try:
                if not self.read_some():
                    break
            except StoreCorrupt as damage:
                self._integrity.lose(damage)
                self._stopping.wait()  # stay alive, so as not to be started again
            except (Broken, Refused, ConfigError) as error:
                self._close()
                self._topology.doubt()
                if not self._stopping.is_set():
                    self.interrupted(error)
                    self._stopping.wait(PAUSE)
        self._close()

    @abc.abstractmethod
    def read_some(self) -> bool:
        """Read once; return False if there is nothing left to read.

        May raise Broken, Refused, ConfigError and StoreCorrupt.
        """

    def interrupted(self, error: Exception) -> None:
        """Handle an interruption of reading, which will be retried."""

    def connect(self, server: Callable[[], RedisProcess]) -> Wire:
        """Return the connection, or connect to a server, which must be a master.

        Raises Broken, ConfigError.
        """
        if self._wire is None:
            # XREAD makes this one wait longer than the others.
            self._wire = wire = server().connect(self._timeout + BLOCK)
            if wire.role != "master":
                raise Broken(f"Redis at {wire.host} is a replica")
        return self._wire

    def _close(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
