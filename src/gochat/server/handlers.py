"""Map each request to its handler with one `match`.

Requests that read are in :mod:`.read_requests`, those that write to the log in
:mod:`.write_requests`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import Final, TypeAlias, assert_never

import trio

from gochat.chat.accounts import Identity
from gochat.chat.names import NameKey
from gochat.chat.retries import LogRequest
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import (
    Away,
    ChangePassword,
    Conversations,
    Hello,
    History,
    IsTyping,
    Login,
    Logout,
    MarkRead,
    Members,
    Ok,
    Ping,
    Pong,
    Register,
    Request,
    Resume,
    Rooms,
    Search,
    Send,
    SetLevel,
    Typing,
    Who,
)
from gochat.server.authentication import Authentication
from gochat.server.budget import cost
from gochat.server.hub import OnlinePerson
from gochat.server.read_requests import ReadRequests
from gochat.server.receipts import Seqs
from gochat.server.server_info import server_info
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.session_log import traced
from gochat.server.write_requests import WriteRequests

_NOT_TRACED: Final = nullcontext()
#: In characters.
MAX_AWAY: Final = 200


class Handlers:
    """Handles the requests of all sessions of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limits = services.config.limits
        self._authentication = Authentication(services)
        self._reading = ReadRequests(services)
        self._writing = WriteRequests(services)
        self._is_tracing = services.config.log_level == "debug"

    async def handle(self, session: Session, requests: Sequence[Request]) -> None:
        """Handle requests that arrived together, in order, until the session is closing.

        Replies are posted, not flushed, unless there are so many that the peer must read before
        more follow.
        """
        session.requests += len(requests)
        for is_send, group in groupby(requests, key=lambda request: isinstance(request, Send)):
            if is_send:
                if session.is_ending:
                    break
                sends = [r for r in group if isinstance(r, Send)]
                with self._traced(session, Send, len(sends)):
                    await self._send(session, sends)
                continue
            for request in group:
                if session.is_ending:
                    break
                with self._traced(session, type(request)):
                    try:
                        self._charge(session, cost(request))
                        await self._answer(session, request)
                    except (ChatError, StoreUnavailable) as error:
                        session.refuse(error, request)
                await session.wait_for_peer()
                await session.give_way()

    def settle(self, session: Session) -> None:
        """Charge the budget for what a session owes; pause the session if that is too much."""
        person = session.identity.key if session.identity is not None else None
        points, session.owed = session.owed, 0.0
        session.hold_back(self._services.budgets.spend(session.address, person, points))

    def _charge(self, session: Session, cost: float) -> None:
        """Charge the person, if one is logged in, and the address. Raises OverBudget."""
        person = session.identity.key if session.identity is not None else None
        self._services.budgets.charge(session.address, person, cost)

    def _traced(
        self, session: Session, kind: type[Request], times: int = 1
    ) -> AbstractContextManager[None]:
        """At `debug`, log the type and the duration of a request, never its contents."""
        return traced(session, kind, times) if self._is_tracing else _NOT_TRACED

    async def leave(self, session: Session) -> None:
        """Log the session out, if it is logged in. Its token stays valid."""
        await self._authentication.leave(session)

    def delivered(self, person: NameKey, seqs: Seqs) -> None:
        """Record that a client without the capability `log` has received messages."""
        self._services.markers.move(person, seqs)

    async def disconnected(self, session: Session) -> None:
        """Clean up after a session that has ended, for whatever reason."""
        await self.leave(session)
        self._services.connections.closed(session.address)

    async def _answer(self, session: Session, request: Request) -> None:
        match request:
            case Ping():
                proof = self._services.identity.prove(request.challenge)
                session.reply(Pong(request_id=request.request_id, proof=proof))
            case Hello():
                session.has_said_hello = True
                session.reply(server_info(self._services.config, request.request_id))
            case Pong():
                pass  # the session itself records that something arrived
            case Register() | Login() | Resume():
                if session.identity is not None:
                    raise ChatError(
                        ErrorCode.ALREADY_LOGGED_IN,
                        f"this connection is logged in as {session.name}: log out first",
                    )
                await self._arrive(session, request)
            case _:
                if session.identity is None or session.person is None:
                    raise _not_logged_in()
                await self._serve(session, session.identity, session.person, request)

    async def _arrive(self, session: Session, request: Register | Login | Resume) -> None:
        match request:
            case Register():
                await self._authentication.register(session, request)
            case Login():
                await self._authentication.log_in(session, request)
            case Resume():
                await self._authentication.resume(session, request)
            case _:
                assert_never(request)

    async def _serve(
        self,
        session: Session,
        who: Identity,
        person: OnlinePerson,
        request: _Authenticated,
    ) -> None:
        await self._services.revocations.require(session)
        match request:
            case Logout():
                await self._authentication.log_out(session, request)
            case ChangePassword():
                await self._authentication.change_password(session, request)
            case Away():
                self._away(session, who, request)
            case Typing():
                await self._typing(session, who, person, request)
            case (
                Who() | History() | Search() | Conversations() | MarkRead() | SetLevel() | Rooms()
                | Members()
            ):  # fmt: skip
                await self._reading.answer(session, who, person, request)
            case _:
                await self._writing.answer(session, who, person, request)

    async def _send(self, session: Session, requests: Sequence[Send]) -> None:
        who, person = session.identity, session.person
        try:
            if who is None or person is None:
                raise _not_logged_in()
            await self._services.revocations.require(session)
        except (ChatError, StoreUnavailable) as error:
            for request in requests:
                session.refuse(error, request)
                await session.wait_for_peer()
                await session.give_way()
            return
        await self._writing.send(session, who, person, requests)

    async def _typing(
        self, session: Session, who: Identity, person: OnlinePerson, request: Typing
    ) -> None:
        address = await self._services.drafts.address(who, person.rooms, request.to)
        now = trio.current_time()
        if person.typing.admit(address.key, self._limits.typing_interval, now):
            self._services.hub.publish_typing(
                address.key, IsTyping(to=address.shown, from_=who.name), besides=person
            )
        if request.request_id is not None:
            session.reply(Ok(request_id=request.request_id))

    def _away(self, session: Session, who: Identity, request: Away) -> None:
        if request.text is not None and len(request.text) > MAX_AWAY:
            raise ChatError(
                ErrorCode.TEXT_TOO_LONG,
                f"an away notice has at most {MAX_AWAY} characters",
                field="text",
            )
        self._services.hub.set_away(who.key, request.text)
        session.reply(Ok(request_id=request.request_id))


def _not_logged_in() -> ChatError:
    return ChatError(ErrorCode.NOT_LOGGED_IN, "log in first")


_Authenticated: TypeAlias = (
    Logout | ChangePassword | Who | Away | Typing | History | Search | Conversations | MarkRead
    | SetLevel | Rooms | Members | LogRequest
)  # fmt: skip
