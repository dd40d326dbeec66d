"""The queue of events between the connection and the program.

Its owner stops reading while :data:`EVENT_BUFFER` events wait, with one exception: the program may
be waiting for a reply, which comes after them, in the very task that takes events. So while a reply
is due the owner reads on, and once :data:`EVENT_BUFFER_BEFORE_REPLY` wait it puts only what can't
be asked for again (:attr:`EventBuffer.is_full`). Of that there is little; were there not, reading
stops at twice that number. So no more than that wait, and what one read or one page brings, with
the entries that were kept aside for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from gochat.client.events import ClientEvent, StateChanged

#: How many events may wait before the client stops reading its socket: enough for bursts. The
#: server holds the others, and disconnects a slow consumer.
EVENT_BUFFER: Final = 1024
#: The bound while a request waits for its reply; what comes then is asked for again once there is
#: room. 16 MiB of common messages.
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
        await self._wait_while(
            lambda: (
                self._count()
                >= (2 * EVENT_BUFFER_BEFORE_REPLY if self._is_reply_due else EVENT_BUFFER)
            )
        )

    async def wait_for_space(self) -> None:
        """Wait until there is room for more, whether a reply is due or not."""
        await self._wait_while(lambda: self._count() >= EVENT_BUFFER)

    @property
    def is_full(self) -> bool:
        """Whether events that can be asked for again must not be put."""
        return self._count() >= EVENT_BUFFER_BEFORE_REPLY

    def expect_reply(self, *, is_due: bool) -> None:
        """Set whether a request waits for its reply, which comes after events."""
        self._is_reply_due = is_due
        self._free()

    def put(self, events: Iterable[ClientEvent]) -> None:
        """Add events. Never blocks: the caller has waited for room."""
        queue = self._ready if self._held is None else self._held
        queue.extend(events)
        while not self._is_wanted and len(queue) > EVENT_BUFFER:
            queue.popleft()
        self._wake()

    def put_state(self, event: StateChanged) -> None:
        """Add a state of the connection.

        While many events wait it replaces the one before, if that is of the same state: attempts to
        reconnect go on for as long as an outage lasts.
        """
        before = self._ready[-1] if len(self._ready) >= EVENT_BUFFER else None
        if isinstance(before, StateChanged) and before.state is event.state:
            self._ready.pop()
        self.put([event])

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

    async def _wait_while(self, is_without_room: Callable[[], bool]) -> None:
        while self._is_wanted and is_without_room():  # until then the oldest are dropped
            if self._freed is None:
                self._freed = anyio.Event()
            await self._freed.wait()

    def _count(self) -> int:
        return len(self._ready) + len(self._held or ())

    def _free(self) -> None:
        if self._freed is not None:
            self._freed.set()
            self._freed = None

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
