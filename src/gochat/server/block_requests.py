"""Requests about whom a person blocks."""

from __future__ import annotations

from typing import Final

from gochat.chat.accounts import Identity
from gochat.chat.blocks import Blocks
from gochat.chat.names import known
from gochat.protocol.messages import Block, BlockList, Ok, Unblock
from gochat.protocol.messages import Blocks as ListBlocks
from gochat.server.hub import OnlinePerson
from gochat.server.read_requests import fold_cursor
from gochat.server.services import Services
from gochat.server.session import Session

#: Names in one reply, so that it fits its frame with the longest ones.
MAX_NAMES: Final = 200


class BlockRequests:
    """Handles them, and sends each change to all sessions of the person, on all nodes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._blocks = Blocks(services.store, services.directory)

    async def block(
        self, session: Session, who: Identity, person: OnlinePerson, request: Block
    ) -> None:
        """Block a person."""
        await self._set(session, who, request, on=True)

    async def unblock(
        self, session: Session, who: Identity, person: OnlinePerson, request: Unblock
    ) -> None:
        """No longer block a person."""
        await self._set(session, who, request, on=False)

    async def _set(
        self, session: Session, who: Identity, request: Block | Unblock, *, on: bool
    ) -> None:
        name = await self._blocks.set(who, request.name, on=on)
        if name is not None:
            self._services.hub.publish_block(who.key, name, on=on)
        session.reply(Ok(request_id=request.request_id))

    async def blocks(
        self, session: Session, who: Identity, person: OnlinePerson, request: ListBlocks
    ) -> None:
        """Reply with a page of whom the person blocks."""
        names = await self._services.store.blocked(who.key)
        after = fold_cursor(request.after)
        listed = [name for name in names if known(name) > after]
        limit = min(request.limit, MAX_NAMES)
        session.reply(
            BlockList(
                names=tuple(listed[:limit]),
                more=len(listed) > limit,
                request_id=request.request_id,
            )
        )
