"""The queue of events between the connection and the program."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from gochat.client.events import ClientEvent

#: How many events may wait before the client stops reading its socket: enough for bursts. The
#: server holds the others, and disconnects a slow consumer.
EVENT_BUFFER: Final = 1024
#: The bound while a request waits for its reply: the reply comes after the events, and the
#: iterating task itself may be waiting for it. 16 MiB of common messages.
EVENT_BUFFER_BEFORE_REPLY: Final = 16 * EVENT_BUFFER


class EventBuffer:
    """A bounded queue of events with one consumer, which can hold back what comes after a point."""

    def __init__(self) -> None:
        self._ready: deque[ClientEvent] = deque()
        self._held: deque[ClientEvent] | None = None
        self._arrived: anyio.Event | None = None
        self._freed: anyio.Event | None = None
        self._is_reply_due = False
        self._is_wanted = False
        self._is_closed = False

    async def wait_for_room(self) -> None:
        """Wait until the connection may read on: at once until the first event is asked for."""
        while not self._has_room():
            self._freed = anyio.Event()
            await self._freed.wait()

    def expect_reply(self, *, is_due: bool) -> None:
        """Set whether a request waits for its reply, which is behind events."""
        self._is_reply_due = is_due
        self._free()

    def put(self, events: Iterable[ClientEvent]) -> None:
        """Add events. Never blocks: the caller has waited for room."""
        if self._held is not None:
            self._held.extend(events)
            if len(self._held) >= EVENT_BUFFER_BEFORE_REPLY:
                self.release(())  # better out of order than unbounded
            return
        self._ready.extend(events)
        while not self._is_wanted and len(self._ready) > EVENT_BUFFER:
            self._ready.popleft()
        self._wake()

    def hold(self) -> None:
        """Hold back the events put from now on, until :meth:`release`."""
        if self._held is None:
            self._held = deque()

    def release(self, first: Iterable[ClientEvent]) -> None:
        """Deliver `first`, then the events that were held back."""
        held, self._held = self._held or (), None
        self.put((*first, *held))

    def close(self) -> None:
        """End the stream. Waiting events are still delivered, then the iteration stops."""
        self.release(())
        self._is_closed = True
        self._wake()

    def __aiter__(self) -> EventBuffer:
        return self

    async def __anext__(self) -> ClientEvent:
        if self._arrived is not None:
            raise RuntimeError("another task waits for the next event already")
        self._is_wanted = True
        await checkpoint()  # before taking: a cancelled wait takes nothing
        while not self._ready:
            if self._is_closed:
                raise StopAsyncIteration
            self._arrived = anyio.Event()
            try:
                await self._arrived.wait()
            finally:
                self._arrived = None
        event = self._ready.popleft()
        self._free()
        return event

    def _has_room(self) -> bool:
        if not self._is_wanted:
            return True  # the oldest are dropped
        count = len(self._ready) + len(self._held or ())
        return count < (EVENT_BUFFER_BEFORE_REPLY if self._is_reply_due else EVENT_BUFFER)

    def _free(self) -> None:
        if self._freed is not None:
            self._freed.set()

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
