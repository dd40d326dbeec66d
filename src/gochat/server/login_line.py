"""Queues of logins for addresses that have failed too often: one try at a time, in order.

Such an address may belong to a whole office, in which one person guesses or forgot a password. So
it isn't blocked, but queued: first come, first served, and a client that leaves gives up its turn.
"""

from __future__ import annotations

from math import ceil
from typing import Final

import trio

from gochat.errors import ChatError, ErrorCode


class _Line:
    """The queue of one address; the next try is not before `due`."""

    def __init__(self) -> None:
        self.waiting = 0
        self.due = trio.current_time()
        self.first: Final = trio.Lock()  # its holder is next; the others follow in order


class LoginLines:
    """Queues for each address, of at most `longest` logins, with a try every `interval` seconds."""

    def __init__(self, interval: float, longest: int) -> None:
        self._interval = interval
        self._longest = longest
        self._lines: dict[str, _Line] = {}  # one for each address that has tried recently

    def configure(self, interval: float, longest: int) -> None:
        """Change the settings, also of queues."""
        self._interval = interval
        self._longest = longest

    def check(self, address: str) -> None:
        """Raise ChatError, ``rate_limited``, if the queue is full."""
        line = self._lines.get(address)
        if line is not None and line.waiting >= self._longest:
            seconds = line.waiting * self._interval
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                f"too many failed logins from this address: try again in {ceil(seconds)} s",
                retry_after=seconds,
                details={"limit": "login_line"},
            )

    async def wait(self, address: str) -> None:
        """Wait for a turn. Call :meth:`check` first, in the same step."""
        self._forget_empty()
        line = self._lines.setdefault(address, _Line())
        line.waiting += 1
        try:
            async with line.first:
                await trio.sleep_until(line.due)
                line.due = trio.current_time() + self._interval
        finally:
            line.waiting -= 1

    def _forget_empty(self) -> None:
        now = trio.current_time()
        for address, line in tuple(self._lines.items()):
            if not line.waiting and line.due <= now:
                del self._lines[address]
