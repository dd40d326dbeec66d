"""Read markers: move those of clients that keep none, and publish the state of conversations.

Moving a marker is a write, and no reply should wait for it: it happens here, in a separate task,
for many at once. If the store is unavailable the marker stays, and messages after it are sent
again, so nothing is lost.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NoReturn

import structlog
import trio

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.node_bus import MarkerMoved
from gochat.chat.store import Store
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import Marked
from gochat.server.hub import Hub
from gochat.server.receipts import Seqs

log = structlog.stdlib.get_logger()

#: Seconds for which moves are collected. In a lively conversation one write replaces many; after a
#: crash, what was delivered within this time is sent again.
COLLECT: Final = 0.25
#: Markers that are moved at once: they share a commit, or a round trip.
AT_ONCE: Final = 64
#: Markers that wait to be moved; messages delivered beyond these are delivered again next time.
MAX_WAITING: Final = 10_000
#: Seconds to move the remaining markers when the server stops.
FAREWELL_TIMEOUT: Final = 2.0


class Markers:
    """Moves and publishes the read markers of all people."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._waiting: dict[tuple[NameKey, ConversationKey], int] = {}
        self._has_waiting = trio.Event()

    def move(self, person: NameKey, seqs: Seqs) -> None:
        """Move markers forward, soon. Never blocks."""
        for conversation, seq in seqs.items():
            key = person, conversation
            if key in self._waiting or len(self._waiting) < MAX_WAITING:
                self._waiting[key] = max(seq, self._waiting.get(key, 0))
        if self._waiting:
            self._has_waiting.set()

    def moving(self, person: NameKey) -> Seqs:
        """Return where markers of a person are about to be moved."""
        return {key: seq for (whose, key), seq in self._waiting.items() if whose == person}

    async def run(self) -> NoReturn:
        """Move markers, for ever.

        If cancelled, continue for at most :data:`FAREWELL_TIMEOUT` with those that wait.
        """
        try:
            while True:
                await self._has_waiting.wait()
                await trio.sleep(COLLECT)
                await self._move_some()
        finally:
            with trio.CancelScope(deadline=trio.current_time() + FAREWELL_TIMEOUT, shield=True):
                while self._waiting:
                    await self._move_some()

    async def publish(self, person: NameKey, conversation: ConversationKey) -> None:
        """Send a conversation's state to all devices of a person. Raises StoreUnavailable."""
        state = await self._store.conversation(person, conversation)
        if state is not None:
            marked = Marked(
                conv=state.conv,
                read=state.read,
                unread=state.unread,
                mentions=state.mentions,
                level=state.level,
            )
            self._hub.deliver_marked(person, marked)
            self._hub.publish(MarkerMoved(person, marked))

    async def _move_some(self) -> None:
        async with trio.open_nursery() as nursery:
            for (person, conversation), seq in tuple(islice(self._waiting.items(), AT_ONCE)):
                nursery.start_soon(self._move, person, conversation, seq)
        if not self._waiting:
            self._has_waiting = trio.Event()

    async def _move(self, person: NameKey, conversation: ConversationKey, seq: int) -> None:
        try:
            if await self._store.mark_read(person, conversation, seq):
                await self.publish(person, conversation)
        except StoreUnavailable as error:
            log.debug("read marker update failed", reason=str(error))
        if self._waiting[person, conversation] == seq:  # else it has moved on
            del self._waiting[person, conversation]
