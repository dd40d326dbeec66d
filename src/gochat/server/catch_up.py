"""What a session is sent as it arrives, between `logged_in` and what is said from then on.

The seam. A session that resumes is sent what it missed, then what is said from now on, with no gap
and nothing twice. So it joins the hub and notes the hub's cursor in one step; what the hub posts
from then on is held back; what is in the log up to that cursor is read and sent; then what was
held goes out, and the rest comes live. The rooms of somebody who was not online yet have to be
looked up first, so each of these has a cursor of its own, noted in the step in which the hub
begins to post it.

All of it goes out as fast as the peer reads. If so much is said meanwhile that it can't be held,
it is dropped, and read from the log in a further round, up to the cursor of that moment; and so on,
until a round was short enough. So whoever reads gets in, however slowly, and what is kept for them
is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from typing import Final

import trio

from gochat.chat import conversations, names
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.store import Cursor, Page, Waiting
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.codec import encode
from gochat.protocol.messages import CaughtUp, Message, Position
from gochat.server.budget import PAGE, PER_MARKER, OverBudget
from gochat.server.hub import OnlinePerson
from gochat.server.mailbox import OVERHEAD
from gochat.server.services import Services
from gochat.server.session import NOWHERE, Session

#: Entries of a conversation that a client gets instead of all that it missed.
NEWEST_PAGE: Final = 200
#: Entries that are read from the log at once, and kept until the peer has read them.
ENTRIES_AT_ONCE: Final = 100
#: Of the messages that wait, all conversations together: what is kept, in characters, beyond one
#: message of each.
WAITING_KEPT: Final = 4 * 1024**2
#: What a message takes besides its text.
MESSAGE_SIZE: Final = 512
#: Pages of which nothing is sent, until we look whether the peer is still there: whoever has ended
#: only its own side of the connection still gets what it asked for.
QUIET_PAGES: Final = 8


class CatchUp:
    """Sends a session what it missed. Made in the step in which the session joined the hub, of
    which it has all events from then on.

    All but :meth:`abandon` wait for the peer to read, and for the store: they raise
    StoreUnavailable.
    """

    def __init__(self, services: Services, session: Session, person: OnlinePerson) -> None:
        self._store = services.store
        self._hub = services.hub
        self._markers = services.markers
        self._budgets = services.budgets
        self._limits = services.config.limits
        self._session = session
        self._person = person
        self._receipts = session.receipts
        self._held = _Held(self._limits.mailbox_bytes)
        #: The session has all events from this cursor on; of a room from its own.
        self._as_of = services.hub.cursor
        self._rooms: dict[ConversationKey, Cursor] = dict.fromkeys(person.rooms, self._as_of)
        #: The person's, with their floors.
        self._conversations: dict[ConversationKey, int] = {}
        #: Private conversations that a client without the log has been sent, and up to where.
        self._sent: dict[ConversationKey, int] = {}
        self._all_markers: dict[ConversationKey, tuple[int, int]] | None = None
        #: What was posted before the last page, and pages that were read since.
        self._posted = self._quiet_pages = 0
        session.events = self._held

    async def load_rooms(self) -> None:
        """Look up the person's rooms, and follow them. Comes first."""
        generation = -1
        while generation != self._person.generation:  # changed while we read: read again
            generation = self._person.generation
            self._conversations = await self._store.conversation_keys(self._person.key)
        self._hub.enter(self._person, self._conversations)
        self._rooms = dict(self._person.rooms) | self._rooms

    async def send_missed(self, positions: Sequence[Position]) -> None:
        """Send what a client missed since its positions, of which the last one of each conversation
        counts; nothing of those that can't be read, of which the log is not even asked."""
        last: dict[ConversationKey, Position] = {}
        for position in positions:
            with suppress(ChatError):
                last[conversations.key(position.conv, self._person.key)] = position
            await self._session.give_way()
        for key, position in last.items():
            await self._send_missed(key, position)

    async def _send_missed(self, key: ConversationKey, position: Position) -> None:
        if not self._may_read(key) and key not in self._rooms:
            return
        as_of = self._rooms.get(key, self._person.rooms.get(key, self._as_of))
        page = await self._page(key, position.seq, as_of)
        if not page.is_inside:
            return  # removed, and this node has not read so far
        if page.epoch == position.epoch and position.seq > page.head:
            await self._check_not_behind(key, position)
        recovered = (
            page.epoch == position.epoch
            and 0 <= page.head - position.seq <= self._limits.resume_max
            # What is hidden by now, for they have joined again, is not what they have.
            and position.seq >= page.floor
            # A store may keep only the newest entries.
            and (not page.entries or page.entries[0].seq == position.seq + 1)
        )
        if not recovered:
            after = max(0, page.head - NEWEST_PAGE)
            if self._receipts is not None and conversations.is_private(key):
                after = min(after, (await self._marker(key))[0])  # all that waits is in it
            page = await self._page(key, after, as_of)
        first = page.entries[0].seq if page.entries else page.head + 1
        self._session.reply(
            CaughtUp(
                conv=position.conv,
                epoch=page.epoch,
                seq=first - 1,
                head=page.head,
                recovered=recovered,
            )
        )
        await self._send_on(key, page, as_of)

    async def send_waiting(self) -> None:
        """Send a client without the log all private messages of others that it was not sent and
        the person has not read, the oldest first; nothing to one with the log."""
        if self._receipts is None:
            return
        queue: list[tuple[int, ConversationKey, deque[Message], int, int]] = []

        async def read_on(key: ConversationKey, after: int) -> None:
            while True:
                waiting = await self._waiting(key, after)
                kept = _fitting(waiting.messages, WAITING_KEPT // left)
                is_all = len(kept) == len(waiting.messages)
                after = waiting.read_to if is_all else kept[-1].seq
                if kept:
                    heappush(queue, (kept[0].ts, key, kept, after, waiting.head))
                    return
                self._session.note_sent(key, after)
                if after >= waiting.head:
                    return

        markers = await self._markers_of_all()
        starts = {key: max(marker[0], self._sent.get(key, 0)) for key, marker in markers.items()}
        wanted = [key for key in markers if starts[key] < markers[key][1]]
        left = max(1, len(wanted))
        for key in wanted:
            await read_on(key, starts[key])
        while queue:
            left = len(queue)
            _, key, messages, read_to, head = heappop(queue)
            message = messages.popleft()
            self._session.outlet.post(encode(message))
            self._session.note_sent(key, message.seq if messages else read_to)
            await self._session.wait_for_peer()
            if messages:
                heappush(queue, (messages[0].ts, key, messages, read_to, head))
            elif read_to < head:
                await read_on(key, read_to)

    async def finish(self) -> None:
        """Send what was said meanwhile; from then on the session has its events by itself.

        A session that is about to end, for the log was interrupted, is sent nothing of what was
        held: it may be behind a gap.
        """
        while self._session.events is self._held:
            if frames := self._held.take():
                self._session.outlet.post(frames)
                await self._session.wait_for_peer()
            elif self._held.has_overflowed:
                await self._send_dropped()
            else:
                self._session.events = self._session.outlet
                self._session.release_receipts()

    def abandon(self) -> None:
        """Drop what is held, unless the session has it: it is after a gap."""
        if self._session.events is self._held:
            self._session.events = NOWHERE

    async def _send_dropped(self) -> None:
        """Send what was said since the session has events, and hold what is said from now on."""
        since, rooms = self._as_of, self._rooms
        self._as_of = self._hub.cursor
        self._rooms = dict.fromkeys(self._person.rooms, self._as_of)
        self._held.begin_again()
        if self._receipts is not None:
            self._receipts.drop_held()
        self._conversations = await self._store.conversation_keys(self._person.key)
        for key in sorted({*self._conversations, *rooms}):
            is_room = key.startswith("#") and key != LOBBY_KEY
            own = self._person.rooms.get(key, self._as_of)
            start = rooms.get(key, own) if is_room else since
            await self._pay(PAGE)
            before = await self._store.page(key, viewer=self._person.key, limit=1, as_of=start)
            page = await self._page(key, before.head, self._as_of)
            await self._send_on(key, page, self._as_of)

    async def _send_on(self, key: ConversationKey, page: Page, as_of: Cursor) -> None:
        """Send the entries of a page and all after it up to `as_of`; in a room that is no longer
        the person's up to the entry that says so."""
        while page.entries:
            for entry in page.entries:
                if self._session.wants_log or entry.kind == "text":
                    self._session.outlet.post(encode(entry))
                if self._receipts is not None and conversations.is_private(key):
                    self._sent[key] = entry.seq
                    self._session.note_sent(key, entry.seq)
                await self._session.wait_for_peer()
                if not self._may_read(key) and _removes(entry, self._person.key):
                    return
            last = page.entries[-1].seq
            if last >= page.head:
                return
            page = await self._page(key, last, as_of)

    async def _page(self, key: ConversationKey, after: int, as_of: Cursor) -> Page:
        """Read a page, unless nobody is there any more to be sent it."""
        await self._pay(PAGE)
        return await self._store.page(
            key, viewer=self._person.key, after=after, limit=ENTRIES_AT_ONCE, as_of=as_of
        )

    async def _waiting(self, key: ConversationKey, after: int) -> Waiting:
        """Read messages of others, as :meth:`_page` does."""
        await self._pay(PAGE)
        return await self._store.waiting(
            key, viewer=self._person.key, after=after, limit=ENTRIES_AT_ONCE, as_of=self._as_of
        )

    async def _pay(self, cost: float) -> None:
        """Pay for what is to be read, as soon as nothing is owed; end, if nobody is there any more.

        While there is something to write, writing it shows that the peer has gone.
        """
        await self._session.require_peer()
        posted = self._session.outlet.posted
        self._quiet_pages = self._quiet_pages + 1 if posted == self._posted else 0
        self._posted = posted
        if self._quiet_pages > QUIET_PAGES:
            self._session.require_not_left()
        while True:
            try:
                self._budgets.charge(self._session.address, self._person.key, cost)
            except OverBudget as error:
                await self._session.while_there(partial(trio.sleep, error.wait))
            else:
                return

    async def _marker(self, key: ConversationKey) -> tuple[int, int]:
        """Return the person's read marker in a private conversation, and its newest seq."""
        if self._all_markers is None:
            self._all_markers = await self._markers_of_all()
        return self._all_markers.get(key, (0, 0))

    async def _markers_of_all(self) -> dict[ConversationKey, tuple[int, int]]:
        """Return that of each private conversation that the person had as they arrived."""
        await self._pay(PAGE + len(self._conversations) * PER_MARKER)
        markers = await self._store.private_markers(self._person.key)
        return {
            key: (self._markers.read(self._person.key, key, read), head)
            for key, (read, head) in markers.items()
            if key in self._conversations
        }

    async def _check_not_behind(self, key: ConversationKey, position: Position) -> None:
        """Raise StoreUnavailable if the client, at another node, was sent what is yet to come here.

        It would be told that its history is over, or be sent it twice.
        """
        newest = await self._store.page(key, viewer=self._person.key, limit=1)
        if newest.epoch == position.epoch and position.seq <= newest.head:
            raise StoreUnavailable("this node has not read as far as the client")

    def _may_read(self, key: ConversationKey) -> bool:
        if conversations.is_private(key):  # it is there from its first message on
            return key in self._conversations
        return key == LOBBY_KEY or key in self._person.rooms


class _Held:
    """Takes a session's events in place of its outlet, until they may go out.

    If there are more than fit, it drops them all, and has overflowed.
    """

    is_behind = True

    def __init__(self, max_bytes: int) -> None:
        self.has_overflowed = False
        self._frames: deque[bytes] = deque()
        self._max_bytes = max_bytes
        self._size = 0  # in the measure of a mailbox

    def post(self, frames: bytes) -> None:
        """Hold frames."""
        if self.has_overflowed or not frames:
            return
        self._size += len(frames) + OVERHEAD
        if self._size <= self._max_bytes:
            self._frames.append(frames)
        else:
            self._frames.clear()
            self.has_overflowed = True

    send = post

    def take(self) -> bytes:
        """Remove and return the oldest frames; empty if there are none."""
        if not self._frames:
            return b""
        frames = self._frames.popleft()
        self._size -= len(frames) + OVERHEAD
        return frames

    def begin_again(self) -> None:
        """Hold what comes from here on."""
        self.has_overflowed = False
        self._size = 0


def _removes(entry: Message, person: NameKey) -> bool:
    """True if somebody is no longer in a room after this entry."""
    return (entry.kind == "leave" and names.known(entry.from_) == person) or (
        entry.kind == "kick" and names.known(entry.text) == person
    )


def _fitting(messages: Sequence[Message], size: int) -> deque[Message]:
    """Return the first messages, as many as have the size; at least one, if there are any."""
    kept: deque[Message] = deque()
    for message in messages:
        size -= len(message.text) + MESSAGE_SIZE
        if kept and size < 0:
            break
        kept.append(message)
    return kept
