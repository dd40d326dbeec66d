"""The request with which admins hand over a room (:mod:`gochat.chat.handing_over`)."""

from __future__ import annotations

from gochat.chat.accounts import Identity
from gochat.chat.extras import MAX_REASON
from gochat.chat.handing_over import hand_over
from gochat.chat.refusals import check_length
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.messages import HandOver, Ok
from gochat.server.hub import OnlinePerson
from gochat.server.moderators import Act
from gochat.server.services import Services
from gochat.server.session import Session


class HandOverRequests:
    """Handles it."""

    def __init__(self, services: Services) -> None:
        self._store = services.store

    async def hand_over(
        self, session: Session, who: Identity, person: OnlinePerson, request: HandOver
    ) -> None:
        """Make a person an operator of a room."""
        check_length(request.reason, MAX_REASON, "a reason", "reason")
        act = Act(self._store, who)

        async def record(name: str, room: str) -> None:
            await act.record("admin", "room hand-over", name, f"operator of {room}", request.reason)

        try:
            changed = await hand_over(
                self._store, request.room, request.name, admin=who, record=record
            )
        except (ChatError, StoreUnavailable) as error:
            await act.failed(error)
            raise
        if changed:
            session.note("room handed over", room=request.room, person=request.name)
        session.reply(Ok(request_id=request.request_id))
