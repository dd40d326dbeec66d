"""Catch-up: what a session is sent after its login, between `logged_in` and live events.

A session that resumes is sent what it missed, then what is committed from now on, with no gap and
nothing twice. So it joins the hub and records the hub's cursor in one step; events that the hub
posts from then on are held back; the log up to that cursor is read and sent; then the held events
are sent, and later ones are live. The rooms of a person who was not online yet must be looked up
first, so each of these has a cursor of its own, recorded in the step in which the hub begins to
post it.

Everything is sent as fast as the peer reads. If more is committed meanwhile than can be held, it is
dropped, and read from the log in another round, up to the cursor of that moment; and so on, until a
round was short enough. So any client that reads catches up, however slowly, and the memory for it
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
from gochat.server.login import ActiveLogin
from gochat.server.mailbox import OVERHEAD
from gochat.server.pages import as_received
from gochat.server.services import Services
from gochat.server.session import Session

#: Entries of a conversation that a client gets instead of all that it missed.
NEWEST_PAGE: Final = 200
#: Entries that are read from the log at once, and kept until the peer has read them.
ENTRIES_AT_ONCE: Final = 100
#: Undelivered messages in memory, of all conversations together, in characters; at least one
#: message of each is kept.
WAITING_KEPT: Final = 4 * 1024**2
#: Size that a message counts besides its text.
MESSAGE_SIZE: Final = 512
#: Pages read without sending anything before the peer's presence is checked. A peer that has closed
#: only its own side still gets what it requested.
QUIET_PAGES: Final = 8


class CatchUp:
    """Sends a session what it missed.

    Create it in the step in which the session joins the hub; it holds all events from then on.

    All methods but :meth:`abandon` wait for the peer to read, and for the store; they raise
    StoreUnavailable.
    """

    def __init__(self, services: Services, session: Session, login: ActiveLogin) -> None:
        self._store = services.store
        self._hub = services.hub
        self._markers = services.markers
        self._budgets = services.budgets
        self._limits = services.config.limits
        self._session = session
        self._login = login
        self._person = person = login.person
        self._receipts = login.receipts
        self._held = _Held(self._limits.mailbox_bytes)
        #: The session has all events from this cursor on; those of a room from the room's own
        #: cursor.
        self._as_of = services.hub.cursor
        self._rooms: dict[ConversationKey, Cursor] = dict.fromkeys(person.rooms, self._as_of)
        #: The person's conversations, with their floors.
        self._conversations: dict[ConversationKey, int] = {}
        #: Private conversations sent to a client without the capability `log`, and up to which seq.
        self._sent: dict[ConversationKey, int] = {}
        self._all_markers: dict[ConversationKey, tuple[int, int]] | None = None
        #: The position posted before the last page, and pages read since it changed.
        self._posted = self._quiet_pages = 0
        login.events = self._held

    async def load_rooms(self) -> None:
        """Look up the person's rooms, and subscribe to them. Call this first."""
        generation = -1
        while generation != self._person.generation:  # changed while reading: read again
            generation = self._person.generation
            self._conversations = await self._store.conversation_keys(self._person.key)
        self._hub.enter(self._person, self._conversations)
        self._rooms = dict(self._person.rooms) | self._rooms

    async def send_missed(self, positions: Sequence[Position]) -> None:
        """Send what a client missed since its positions.

        If a conversation has several positions, the last one counts. Conversations that the person
        can't read are skipped without asking the log.
        """
        last: dict[ConversationKey, Position] = {}
        for position in positions:
            with suppress(ChatError):
                last[conversations.key(position.conv, self._person.key)] = position
            await self._session.give_way()
        for key, position in last.items():
            await self._send_missed(key, position)

    async def _send_missed(self, key: ConversationKey, position: Position) -> None:
        if not self._login.grant.sees(key):
            return
        if not self._may_read(key) and key not in self._rooms:
            return
        as_of = self._rooms.get(key, self._person.rooms.get(key, self._as_of))
        page = await self._page(key, position.seq, as_of)
        if not page.is_inside:
            return  # removed, but this node has not read that far
        if page.epoch == position.epoch and position.seq > page.head:
            await self._check_not_behind(key, position)
        recovered = (
            page.epoch == position.epoch
            and 0 <= page.head - position.seq <= self._limits.resume_max
            # If the person has joined again, entries before the floor are hidden: don't continue
            # them.
            and position.seq >= page.floor
            # A store may keep only the newest entries.
            and (not page.entries or page.entries[0].seq == position.seq + 1)
        )
        if not recovered:
            after = max(0, page.head - NEWEST_PAGE)
            if self._receipts is not None and conversations.is_private(key):
                after = min(after, (await self._marker(key))[0])  # includes all unread messages
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

    def _post(self, entry: Message) -> None:
        (seen,) = as_received((entry,), self._person.key, is_minimal=not self._session.caps)
        self._session.outlet.post(encode(seen))

    async def send_waiting(self) -> None:
        """Send a client without the capability `log` its unread private messages, oldest first.

        They are those of others that it was not sent yet. Does nothing for a client with `log`.
        """
        receipts = self._receipts
        if receipts is None:
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
                receipts.add(key, after)
                if after >= waiting.head:
                    return

        markers = await self._markers_of_all()
        starts = {key: max(marker[0], self._sent.get(key, 0)) for key, marker in markers.items()}
        sees = self._login.grant.sees
        wanted = [key for key in markers if starts[key] < markers[key][1] and sees(key)]
        left = max(1, len(wanted))
        for key in wanted:
            await read_on(key, starts[key])
        while queue:
            left = len(queue)
            _, key, messages, read_to, head = heappop(queue)
            message = messages.popleft()
            self._post(message)
            receipts.add(key, message.seq if messages else read_to)
            await self._session.wait_for_peer()
            if messages:
                heappush(queue, (messages[0].ts, key, messages, read_to, head))
            elif read_to < head:
                await read_on(key, read_to)

    async def finish(self) -> None:
        """Send what was held; from then on the session gets its events directly.

        If the session is closing because reading the log failed, it is sent none of the held
        events: they may follow a gap.
        """
        while self._login.events is self._held:
            if frames := self._held.take():
                self._session.outlet.post(frames)
                await self._session.wait_for_peer()
            elif self._held.has_overflowed:
                await self._send_dropped()
            else:
                self._login.events = self._session.outlet
                if self._receipts is not None:
                    self._receipts.release()

    def abandon(self) -> None:
        """Drop what is held, unless the session has it already: it would follow a gap."""
        if self._login.events is self._held:
            self._login.mute()

    async def _send_dropped(self) -> None:
        """Send what the log has from the last cursor to the hub's, and hold later events."""
        since, rooms = self._as_of, self._rooms
        self._as_of = self._hub.cursor
        self._rooms = dict.fromkeys(self._person.rooms, self._as_of)
        self._held.begin_again()
        if self._receipts is not None:
            self._receipts.drop_held()
        self._conversations = await self._store.conversation_keys(self._person.key)
        for key in filter(self._login.grant.sees, sorted({*self._conversations, *rooms})):
            is_room = key.startswith("#") and key != LOBBY_KEY
            own = self._person.rooms.get(key, self._as_of)
            start = rooms.get(key, own) if is_room else since
            await self._pay(PAGE)
            before = await self._store.page(key, viewer=self._person.key, limit=1, as_of=start)
            page = await self._page(key, before.head, self._as_of)
            await self._send_on(key, page, self._as_of)

    async def _send_on(self, key: ConversationKey, page: Page, as_of: Cursor) -> None:
        """Send the entries of a page and all later ones up to `as_of`.

        In a room that the person has left or was removed from, stop after the entry that says so.
        """
        while page.entries:
            for entry in page.entries:
                is_own = names.known(entry.from_) == self._person.key
                if self._login.wants_log or (entry.kind == "text" and not is_own):
                    self._post(entry)
                if self._receipts is not None and conversations.is_private(key):
                    self._sent[key] = entry.seq
                    self._receipts.add(key, entry.seq)
                await self._session.wait_for_peer()
                if not self._may_read(key) and _removes(entry, self._person.key):
                    return
            last = page.entries[-1].seq
            if last >= page.head:
                return
            page = await self._page(key, last, as_of)

    async def _page(self, key: ConversationKey, after: int, as_of: Cursor) -> Page:
        """Read a page, unless the peer has left."""
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
        """Wait until the budget allows a read, and charge it; end the session if the peer has left.

        While there is something to write, writing it shows that the peer has left.
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
        """Return the markers of all private conversations that the person had at login."""
        await self._pay(PAGE + len(self._conversations) * PER_MARKER)
        markers = await self._store.private_markers(self._person.key)
        return {
            key: (self._markers.read(self._person.key, key, read), head)
            for key, (read, head) in markers.items()
            if key in self._conversations
        }

    async def _check_not_behind(self, key: ConversationKey, position: Position) -> None:
        """Raise StoreUnavailable if the client has read further, at another node, than this node.

        Otherwise the client would be sent a new history, or the same entries twice.
        """
        newest = await self._store.page(key, viewer=self._person.key, limit=1)
        if newest.epoch == position.epoch and position.seq <= newest.head:
            raise StoreUnavailable("this node has not read as far as the client")

    def _may_read(self, key: ConversationKey) -> bool:
        if conversations.is_private(key):  # exists from its first message on
            return key in self._conversations
        return key == LOBBY_KEY or key in self._person.rooms


class _Held:
    """Holds a session's events in place of its outlet, until they may be sent.

    If they exceed the bound, it drops all of them and has overflowed.
    """

    is_behind = True

    def __init__(self, max_bytes: int) -> None:
        self.has_overflowed = False
        self._frames: deque[bytes] = deque()
        self._max_bytes = max_bytes
        self._size = 0  # with overhead, as in a mailbox

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
        """Remove and return the oldest frames; b"" if there are none."""
        if not self._frames:
            return b""
        frames = self._frames.popleft()
        self._size -= len(frames) + OVERHEAD
        return frames

    def begin_again(self) -> None:
        """Hold events again, after an overflow."""
        self.has_overflowed = False
        self._size = 0


def _removes(entry: Message, person: NameKey) -> bool:
    """Return True if the entry removes the person from the room."""
    return (entry.kind == "leave" and names.known(entry.from_) == person) or (
        entry.kind == "kick" and names.known(entry.text) == person
    )


def _fitting(messages: Sequence[Message], size: int) -> deque[Message]:
    """Return as many of the first messages as fit into `size` characters; at least one, if any."""
    kept: deque[Message] = deque()
    for message in messages:
        size -= len(message.text) + MESSAGE_SIZE
        if kept and size < 0:
            break
        kept.append(message)
    return kept
