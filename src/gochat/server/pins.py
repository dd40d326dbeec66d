"""What is pinned in a conversation, as somebody who may read it there gets it."""

from __future__ import annotations

from typing import Final

from gochat.chat.accounts import Identity
from gochat.chat.deletion import shown_name
from gochat.chat.refusals import not_inside
from gochat.protocol.messages import PinList, Pinned, Pins
from gochat.server.hub import OnlinePerson
from gochat.server.listed_entries import listed_entry
from gochat.server.pages import ENVELOPE, as_received, size
from gochat.server.services import Services
from gochat.server.session import Session

#: Bytes of an item besides its entry, at most, and of each of `seqs`.
ITEM: Final = 600
SEQ: Final = 20


class PinRequests:
    """Answers `pins`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(
        self, session: Session, who: Identity, person: OnlinePerson, request: Pins
    ) -> None:
        """Reply with a page of what is pinned, without what is hidden from the person."""
        store, gone = self._services.store, self._services.directory.gone
        address = await self._services.drafts.address(who, person.rooms, request.conv, "conv")
        now = await store.page(address.key, viewer=who.key, limit=0)
        if not now.is_inside:  # by the store's current state, which may be ahead of this node
            await self._services.drafts.address(who, (), request.conv, "conv")
            raise not_inside(address.shown, "conv")
        refs = [ref for ref in await store.pins(address.key) if ref.seq > now.floor]
        wanted = [ref for ref in refs if request.before is None or ref.pin < request.before]
        room = self._services.config.limits.frame_bytes - ENVELOPE - SEQ * len(refs)
        pins: list[Pinned] = []
        read = 0
        for ref in wanted[: request.limit]:
            found = await listed_entry(store, who.key, address.key, ref.seq)
            if found is not None and found.pinned:  # it may have been unpinned since
                (entry,) = as_received((found,), who.key, gone, is_minimal=not session.caps)
                room -= size(entry) + ITEM
                if pins and room < 0:
                    break
                by = shown_name(ref.by, gone)
                pins.append(Pinned(seq=ref.pin, by=by, ts=ref.ts, entry=entry))
            read += 1
            await session.give_way()
        session.reply(
            PinList(
                conv=address.shown,
                pins=tuple(pins),
                seqs=tuple(ref.seq for ref in refs),
                more=read < len(wanted),
                request_id=request.request_id,
            )
        )
