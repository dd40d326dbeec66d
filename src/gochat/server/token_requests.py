"""The sessions of an account: list them, end them, and make tokens for programs."""

from __future__ import annotations

from gochat.chat import conversations
from gochat.chat.accounts import Identity
from gochat.chat.conversations import is_private
from gochat.chat.tokens import HeldToken
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import (
    ByeReason,
    CreatedToken,
    CreateToken,
    EndSession,
    Ok,
    SessionList,
    Sessions,
)
from gochat.protocol.messages import Session as ListedSession
from gochat.server.hub import OnlinePerson
from gochat.server.limits import subscriber
from gochat.server.revocation import ENDED
from gochat.server.services import Services
from gochat.server.session import Session


class TokenRequests:
    """Handles requests about an account's sessions; only the person themselves may send them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list_all(
        self, session: Session, who: Identity, person: OnlinePerson, request: Sessions
    ) -> None:
        """List the account's sessions."""
        held, node_bus = _held(session), self._services.store.node_bus
        in_use = set(self._services.revocations.tokens_in_use(who.key))
        if node_bus is not None:
            in_use |= await node_bus.tokens_in_use(who.key)
        tokens = await self._services.tokens.tokens(who)
        listed = (
            ListedSession(
                id=token.id.hex(),
                device=token.device,
                address=token.address,
                created=token.created,
                seen=token.seen,
                online=token.id in in_use,
                this=token.id == held.id,
                scopes=token.scopes,
                rooms=token.rooms,
            )
            for token in tokens
        )
        session.reply(SessionList(sessions=tuple(listed), request_id=request.request_id))

    async def end(
        self, session: Session, who: Identity, person: OnlinePerson, request: EndSession
    ) -> None:
        """End one session, or all others. The reply waits for the end of their connections."""
        held, tokens = _held(session), self._services.tokens
        try:
            if request.id is None:
                ended = await tokens.revoke_others(who, held.id)
            else:
                token_id = _parse(request.id)
                if not await tokens.revoke(who, token_id):
                    raise _unknown()
                ended = [token_id]
        except StoreUnavailable:
            self._services.revocations.doubt()  # it may have been revoked
            raise
        session.note("sessions ended", count=len(ended))
        await self._services.revocations.sessions_ended(session, who.key, ended)
        session.reply(Ok(request_id=request.request_id))
        if held.id in ended:
            session.close(ByeReason.SESSION_REVOKED, ENDED)

    async def create(
        self, session: Session, who: Identity, person: OnlinePerson, request: CreateToken
    ) -> None:
        """Make a token for a program."""
        rooms = []
        for room in request.rooms:
            key = conversations.key(room, who.key, "rooms")
            if is_private(key):
                raise ChatError(
                    ErrorCode.BAD_REQUEST,
                    "a token can be limited to rooms only, not to private conversations",
                    field="rooms",
                    details={"rule": "room"},
                )
            rooms.append(key)
        token = await self._services.tokens.issue_for_program(
            who,
            subscriber(session.address),
            device=request.device,
            scopes=request.scopes,
            rooms=rooms,
            lifetime=request.lifetime * 1000,
        )
        session.note("token created", scopes=" ".join(token.kept.scopes))
        reply = CreatedToken(
            id=token.id.hex(),
            token=token.text,
            expires=token.expires,
            request_id=request.request_id,
        )
        session.reply(reply)


def _held(session: Session) -> HeldToken:
    """Return the token of a session that serves requests."""
    token = session.require_login().token
    assert token is not None  # only while it changes the password
    return token


def _parse(session_id: str) -> bytes:
    try:
        return bytes.fromhex(session_id)
    except ValueError as error:
        raise _unknown() from error


def _unknown() -> ChatError:
    return ChatError(
        ErrorCode.BAD_REQUEST,
        "this account has no such session: it may have ended",
        field="id",
        details={"rule": "session"},
    )
