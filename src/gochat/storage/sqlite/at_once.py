"""Answer questions about a few rows in the event loop's thread, without waiting.

A change of thread and back costs many times what such a question does. It is asked on a connection
of the loop's own, which waits for no lock, and in a thread where that is slow (:class:`.ReadPace`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TypeVar

from gochat.chat.account import Account
from gochat.chat.at_once import Unasked, WouldWait
from gochat.chat.conversations import ConversationKey
from gochat.chat.health import StoreHealth
from gochat.chat.names import NameKey
from gochat.chat.restriction import Restriction, held
from gochat.chat.room_state import RoomState
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import Message
from gochat.storage.common.integrity import Integrity
from gochat.storage.sqlite.pace import ReadPace
from gochat.storage.sqlite.reader import Reader

T = TypeVar("T")


class AtOnce(Unasked):
    """What can be looked up at once; see :attr:`gochat.chat.store.Store.at_once`."""

    def __init__(
        self, reader: Reader, integrity: Integrity, health: StoreHealth, clock: Callable[[], int]
    ) -> None:
        self._reader = reader
        self._integrity = integrity
        self._health = health
        self._clock = clock
        # Apart: pages of what was said long ago may not be in memory, where the rows that each
        # message needs are.
        self._pace, self._page_pace = ReadPace(), ReadPace()

    def ask(self, question: Callable[[Reader], T], *, is_page: bool = False) -> T:
        """Answer a question, which may be for a page of entries.

        Raises:
            WouldWait: not now. A thread may answer it, or find out why that is not possible.
        """
        pace = self._page_pace if is_page else self._pace
        if not pace.is_here:
            raise WouldWait
        began = time.perf_counter()
        try:
            self._integrity.require()
            answer = question(self._reader)
        except StoreUnavailable as error:  # it is locked, for example: a thread can wait
            pace.failed()
            raise WouldWait from error
        pace.took(time.perf_counter() - began)
        self._health.succeeded("reader")
        return answer

    async def account(self, key: NameKey) -> Account | None:
        """See :meth:`gochat.chat.store.Store.account`."""
        return self.ask(lambda reader: reader.account(key))

    async def display_names(self, keys: Collection[NameKey]) -> dict[NameKey, str]:
        """See :meth:`gochat.chat.store.Store.display_names`."""
        return self.ask(lambda reader: reader.display_names(keys))

    async def message(
        self, conversation: ConversationKey, seq: int, *, viewer: NameKey
    ) -> Message | None:
        """See :meth:`gochat.chat.store.Store.message`."""
        return self.ask(lambda reader: reader.message(conversation, seq, viewer))

    async def mute(self, person: NameKey) -> Restriction | None:
        """See :meth:`gochat.chat.store.Store.mute`."""
        account = await self.account(person)
        return None if account is None else held(account.mute, self._clock())

    async def blockers(self, one: NameKey, other: NameKey) -> Collection[NameKey]:
        """See :meth:`gochat.chat.store.Store.blockers`."""
        return self.ask(lambda reader: reader.blockers(one, other))

    async def room(self, key: ConversationKey, person: NameKey) -> RoomState | None:
        """See :meth:`gochat.chat.store.Store.room`."""
        return self.ask(lambda reader: reader.room(key, person, self._clock()))
