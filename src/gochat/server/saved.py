"""The messages that a person has saved for themselves.

The store lists references (:mod:`gochat.chat.saved`). Each is read here as the person would read it
now. What was deleted, or is no longer kept, is taken from the list when that is noticed.
"""

from __future__ import annotations

from typing import Final

from gochat.chat.accounts import Identity
from gochat.chat.conversations import ConversationKey
from gochat.chat.refusals import bad_cursor, unknown_message
from gochat.chat.saved import SavedRef
from gochat.protocol.messages import Ok, Save, Saved, SavedChanged, SavedItem, SavedList
from gochat.server.hub import OnlinePerson
from gochat.server.listed_entries import listed_entry, listed_page
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.storage.common.clock import wall_clock

#: Bytes of an item besides its entry, at most.
ITEM: Final = 100


class SavedRequests:
    """Answers `save` and `saved`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store

    async def save(
        self, session: Session, who: Identity, person: OnlinePerson, request: Save
    ) -> None:
        """Save a message for the person, or no longer: for all their devices."""
        address = await self._services.drafts.address(who, person.rooms, request.to)
        ref = SavedRef(wall_clock(), address.key, request.seq, 0)
        if request.on:
            entry = await listed_entry(self._store, who.key, address.key, request.seq)
            if entry is None or entry.kind != "text" or entry.deleted:
                raise unknown_message(request.seq, address.shown)
            ref = ref._replace(written=entry.ts)
        if await self._store.set_saved(who.key, ref, on=request.on):
            event = SavedChanged(conv=address.shown, seq=request.seq, on=request.on)
            self._services.hub.publish_saved(who.key, event)
        session.reply(Ok(request_id=request.request_id))

    async def list(
        self, session: Session, who: Identity, person: OnlinePerson, request: Saved
    ) -> None:
        """Reply with a page of what the person has saved and can read."""
        before = _decoded(request.cursor)
        refs = [
            ref
            for ref in await self._store.saved(who.key)
            if (before is None or ref < before) and session.grant.sees(ref.conversation)
        ]

        async def read(ref: SavedRef) -> SavedItem | None:
            found = await listed_entry(self._store, who.key, ref.conversation, ref.seq)
            if found is None or found.deleted or found.ts != ref.written:
                await self._store.set_saved(who.key, ref, on=False)
                return None
            return SavedItem(ts=ref.ts, entry=found)

        items, last = await listed_page(
            self._services, session, who, refs, request.limit, read, ITEM
        )
        cursor = None if last is None else _encoded(last)
        session.reply(SavedList(items=items, cursor=cursor, request_id=request.request_id))


def _encoded(ref: SavedRef) -> str:
    return f"{ref.ts} {ref.seq} {ref.written} {ref.conversation}"


def _decoded(cursor: str) -> SavedRef | None:
    """Return after which message a page begins, or None for the first page.

    Raises:
        ChatError: ``bad_cursor``.
    """
    if not cursor:
        return None
    try:
        ts, seq, written, conversation = cursor.split(" ", 3)
        return SavedRef(int(ts), ConversationKey(conversation), int(seq), int(written))
    except ValueError:
        raise bad_cursor() from None
