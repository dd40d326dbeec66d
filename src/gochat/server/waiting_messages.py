"""Private messages that wait for a client without the capability `log`.

After its login such a client is sent the private messages of others that the person has not read,
oldest first, as fast as it reads; then those that are said from now on. Until the former are sent,
nothing private is posted to it as it comes, but read from the log, too, after what has waited
longer. So memory for it is bounded, and the order of a conversation is kept.

The store may be ahead of the events: what was read there comes again as an event. So the seq of the
last message that was posted is kept for each conversation that was read, and an event that is not
beyond it is skipped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from heapq import heappop, heappush
from typing import Final, TypeAlias

import trio

from gochat.chat.conversations import ConversationKey
from gochat.protocol.codec import encode
from gochat.protocol.messages import Message
from gochat.server.budget import PAGE, PER_MARKER, OverBudget
from gochat.server.login import ActiveLogin
from gochat.server.pages import as_received
from gochat.server.services import Services
from gochat.server.session import Session

#: Messages that are read from the log at once, and kept until the peer has read them.
MESSAGES_AT_ONCE: Final = 100
#: Messages in memory, of all conversations together, in characters; at least one of each is kept.
WAITING_KEPT: Final = 4 * 1024**2
#: Size that a message counts besides its text.
MESSAGE_SIZE: Final = 512
#: Pages read without sending anything before the peer's presence is checked. A peer that has closed
#: only its own side still gets what it requested.
QUIET_PAGES: Final = 8

#: By the time of the first message: it, the conversation, the messages, up to which seq entries
#: were examined for them, and up to which there are any.
_Queue: TypeAlias = list[tuple[int, ConversationKey, deque[Message], int, int]]


class WaitingMessages:
    """Sends a session what waits for it."""

    def __init__(self, services: Services, session: Session, login: ActiveLogin) -> None:
        self._store = services.store
        self._markers = services.markers
        self._budgets = services.budgets
        self._session = session
        self._login = login
        self._person: Final = login.person.key
        self._gone: Final = services.directory.gone
        self._posted: Final = login.posted
        # The position posted before the last page, and pages read since it changed.
        self._position = self._quiet_pages = 0

    async def send(self) -> None:
        """Send all that waits; from then on the session gets private messages as they come.

        Waits for the peer to read, and for the store; raises StoreUnavailable.
        """
        await self._pay(PAGE)
        # Before the store's: a move that ends meanwhile is in one of the two.
        moving = self._markers.moving(self._person)
        markers = await self._store.private_markers(self._person)
        await self._pay(len(markers) * PER_MARKER)
        starts: dict[ConversationKey, int] = {}
        for key, (stored, head) in markers.items():
            read = max(stored, moving.get(key, 0))
            if read < head and self._login.grant.sees(key):
                starts[key] = read
        unread, posted = self._posted.unread, self._posted.posted
        assert unread is not None
        while starts or unread:  # something may have come meanwhile, also where nothing waited
            await self._send_after(starts)
            starts = {key: max(after, posted.get(key, 0)) for key, after in unread.items()}
            unread.clear()
        self._posted.unread = None

    async def _send_after(self, starts: Mapping[ConversationKey, int]) -> None:
        """Send the messages after some seqs, those of all conversations by time."""
        queue: _Queue = []
        left = len(starts)
        for key, after in starts.items():
            await self._read_on(queue, key, after, WAITING_KEPT // left)
        while queue:
            left = len(queue)
            _, key, messages, read_to, head = heappop(queue)
            message = messages.popleft()
            self._post(key, message)
            self._note(key, message.seq if messages else read_to)
            await self._session.wait_for_peer()
            if messages:
                heappush(queue, (messages[0].ts, key, messages, read_to, head))
            elif read_to < head:
                await self._read_on(queue, key, read_to, WAITING_KEPT // left)

    async def _read_on(
        self, queue: _Queue, key: ConversationKey, after: int, max_size: int
    ) -> None:
        """Read the next messages of a conversation, if there are any."""
        while True:
            await self._pay(PAGE)
            waiting = await self._store.waiting(
                key, viewer=self._person, after=after, limit=MESSAGES_AT_ONCE
            )
            kept = _fitting(waiting.messages, max_size)
            if kept:
                is_all = len(kept) == len(waiting.messages)
                read_to = waiting.read_to if is_all else kept[-1].seq
                heappush(queue, (kept[0].ts, key, kept, read_to, waiting.head))
                return
            after = waiting.read_to
            self._note(key, after)
            if after >= waiting.head:
                return

    def _post(self, key: ConversationKey, message: Message) -> None:
        (seen,) = as_received(
            (message,), self._person, self._gone, is_minimal=not self._session.caps
        )
        self._session.outlet.post(encode(seen))
        self._login.note_delivered(key, message.seq)

    def _note(self, key: ConversationKey, seq: int) -> None:
        self._posted.posted[key] = max(seq, self._posted.posted.get(key, 0))

    async def _pay(self, cost: float) -> None:
        """Wait until the budget allows a read, and charge it; end the session if the peer has left.

        While there is something to write, writing it shows that the peer has left.
        """
        await self._session.require_peer()
        position = self._session.outlet.posted
        self._quiet_pages = self._quiet_pages + 1 if position == self._position else 0
        self._position = position
        if self._quiet_pages > QUIET_PAGES:
            self._session.require_not_left()
        while True:
            try:
                self._budgets.charge(self._session.address, self._person, cost)
            except OverBudget as error:
                await self._session.while_there(partial(trio.sleep, error.wait))
            else:
                return


def _fitting(messages: Sequence[Message], size: int) -> deque[Message]:
    """Return as many of the first messages as fit into `size` characters; at least one, if any."""
    kept: deque[Message] = deque()
    for message in messages:
        size -= len(message.text) + MESSAGE_SIZE
        if kept and size < 0:
            break
        kept.append(message)
    return kept
