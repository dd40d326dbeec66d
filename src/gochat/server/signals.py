"""Requests that leave nothing in the store: greetings, pings, typing notices, and being away."""

from __future__ import annotations

from typing import Final

import trio

from gochat.chat.accounts import Identity
from gochat.chat.directory import Destination
from gochat.chat.refusals import check_length, muted
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Away, Hello, IsTyping, Ok, Ping, Pong, Typing
from gochat.server.hub import OnlinePerson
from gochat.server.server_info import server_info
from gochat.server.services import Services
from gochat.server.session import Session

#: In characters.
MAX_AWAY: Final = 200


class Signals:
    """Handles requests that are answered at once or passed on to other people."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def ping(self, session: Session, request: Ping) -> None:
        """Answer, and prove the server's identity if the client asks for it."""
        proof = self._services.identity.prove(request.challenge)
        session.reply(Pong(request_id=request.request_id, proof=proof))

    async def hello(self, session: Session, request: Hello) -> None:
        """Reply with what this server is and offers."""
        session.has_said_hello = True
        mode = self._services.admission.known_mode
        session.reply(server_info(self._services.config, mode, request.request_id))

    async def pong(self, session: Session, request: Pong) -> None:
        """Do nothing: the session itself records that something arrived."""

    async def typing(
        self, session: Session, who: Identity, person: OnlinePerson, request: Typing
    ) -> None:
        """Show the others of a conversation that a person is typing."""
        address = await self._services.drafts.address(who, person.rooms, request.to)
        interval = self._services.config.limits.typing_interval
        if person.typing.admit(
            address.key, interval, trio.current_time()
        ) and await self._can_write(who, address):
            self._services.hub.publish_typing(
                address.key, IsTyping(to=address.shown, from_=who.name), besides=person
            )
        if request.request_id is not None:
            session.reply(Ok(request_id=request.request_id))

    async def _can_write(self, who: Identity, address: Destination) -> bool:
        """Return whether what the person types could be sent now."""
        try:
            await self._services.drafts.require_open(who, address, "text")
        except ChatError as error:
            return error.code == ErrorCode.SLOW_MODE  # they may write on while they wait
        return True

    async def away(
        self, session: Session, who: Identity, person: OnlinePerson, request: Away
    ) -> None:
        """Set or end a person's away notice."""
        text = request.text or None  # an empty one says nothing
        if text is not None:
            check_length(text, MAX_AWAY, "an away notice", "text")
            if (mute := await self._services.store.mute(who.key)) is not None:
                raise muted(mute, "text")
        self._services.hub.set_away(who.key, text)
        # A mute ends the notice (RestrictionRequests), perhaps just before it was set here.
        if text is not None and (mute := await self._services.store.mute(who.key)) is not None:
            self._services.hub.set_away(who.key, None)
            raise muted(mute, "text")
        session.reply(Ok(request_id=request.request_id))
