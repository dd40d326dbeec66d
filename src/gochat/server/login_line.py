"""The lines of the addresses that have failed to log in too often: one try at a time, in turn.

Behind such an address may be a whole office, of which one guesses, or forgot. So it isn't locked
out, but waits: whoever comes first has the next try, and who leaves gives up the place.
"""

from __future__ import annotations

from math import ceil
from typing import Final

import trio

from gochat.errors import ChatError, ErrorCode


class _Line:
    """Those of one address; the next try is not before `due`."""

    def __init__(self) -> None:
        self.waiting = 0
        self.due = trio.current_time()
        self.first: Final = trio.Lock()  # who holds it is next; of the others, who came first


class LoginLines:
    """A line for each address, with a try every `interval` seconds, of at most `longest` people."""

    def __init__(self, interval: float, longest: int) -> None:
        self._interval = interval
        self._longest = longest
        self._lines: dict[str, _Line] = {}  # as many as addresses that have had a try of late

    def check(self, address: str) -> None:
        """Raise ChatError, ``rate_limited``, if there is no room in the line."""
        line = self._lines.get(address)
        if line is not None and line.waiting >= self._longest:
            seconds = line.waiting * self._interval
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                f"too many failed logins from this address: try again in {ceil(seconds)} s",
                retry_after=seconds,
            )

    async def wait(self, address: str) -> None:
        """Wait for one's turn. :meth:`check` comes first, in the same step."""
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
