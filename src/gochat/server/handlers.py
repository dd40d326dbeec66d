"""Handle requests in order: charge for each, check what it needs, and call its handler.

What each request needs, and its handler, is in the table of :mod:`.requests`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import groupby
from typing import Any, Final

from gochat.chat.accounts import Identity
from gochat.chat.grants import Grant
from gochat.chat.names import NameKey
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.messages import Request
from gochat.server.hub import OnlinePerson
from gochat.server.permissions import require_permission
from gochat.server.receipts import Seqs
from gochat.server.requests import RULES, BatchHandler, Handler, OpenHandler, Parts, cost
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.session_log import traced
from gochat.server.write_order import is_due, out_of_order

_NOT_TRACED: Final = nullcontext()


class Handlers:
    """Handles the requests of all sessions of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        parts = Parts(services)
        self._authentication = parts.authentication
        self._open: dict[type[Request], OpenHandler[Any]] = {}
        self._personal: dict[type[Request], Handler[Any]] = {}
        self._batches: dict[type[Request], BatchHandler[Any]] = {}
        for rule in RULES.values():
            if rule.open_handler is not None:
                self._open[rule.type] = rule.open_handler(parts)
            if rule.handler is not None:
                self._personal[rule.type] = rule.handler(parts)
            if rule.batch_handler is not None:
                self._batches[rule.type] = rule.batch_handler(parts)

    async def handle(self, session: Session, requests: Sequence[Request]) -> None:
        """Handle requests that arrived together, in order, until the session is closing.

        Replies are posted, not flushed, unless there are so many that the peer must read before
        more follow.
        """
        session.requests += len(requests)
        for kind, group in groupby(requests, key=type):
            batch_handler = self._batches.get(kind)
            if batch_handler is not None:
                if session.is_ending:
                    break
                batch = list(group)
                with self._traced(session, kind, len(batch)):
                    await self._handle_together(session, batch_handler, batch)
                continue
            for request in group:
                if session.is_ending:
                    break
                with self._traced(session, kind):
                    try:
                        self._charge(session, cost(request))
                        await self._handle(session, request)
                    except (ChatError, StoreUnavailable) as error:
                        session.refuse(error, request)
                await session.wait_for_peer()
                await session.give_way()

    def settle(self, session: Session) -> None:
        """Charge the budget for what a session owes; pause the session if that is too much."""
        person = session.identity.key if session.identity is not None else None
        points, session.owed = session.owed, 0.0
        session.hold_back(self._services.budgets.spend(session.address, person, points))

    def _charge(self, session: Session, points: float) -> None:
        """Charge the person, if one is logged in, and the address. Raises OverBudget."""
        person = session.identity.key if session.identity is not None else None
        self._services.budgets.charge(session.address, person, points)

    def _traced(
        self, session: Session, kind: type[Request], times: int = 1
    ) -> AbstractContextManager[None]:
        """At `debug`, log the type and the duration of a request, never its contents."""
        is_tracing = self._services.config.log_level == "debug"
        return traced(session, kind, times) if is_tracing else _NOT_TRACED

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

    async def _handle(self, session: Session, request: Request) -> None:
        kind = type(request)
        open_handler = self._open.get(kind)
        if open_handler is None:
            who, person = await self._require_login(session)
            if not is_due(request, session.due):
                raise out_of_order(request, session.due)
            require_permission(session.grant, who.key, request, RULES[kind].scope)
            await self._personal[kind](session, who, person, request)
            return
        await open_handler(session, request)

    async def _handle_together(
        self, session: Session, handler: BatchHandler[Any], requests: Sequence[Request]
    ) -> None:
        """Handle requests of one type together. They are not charged here, but by their handler."""
        try:
            who, person = await self._require_login(session)
        except (ChatError, StoreUnavailable) as error:
            for request in requests:
                session.refuse(error, request)
                await session.wait_for_peer()
                await session.give_way()
            return
        for refusal, run in groupby(requests, partial(_refusal, session.grant, who)):
            if refusal is None:
                await handler(session, who, person, list(run))
                continue
            for request in run:
                is_next = is_due(request, session.due)
                session.refuse(refusal if is_next else out_of_order(request, session.due), request)
                await session.wait_for_peer()
                await session.give_way()

    async def _require_login(self, session: Session) -> tuple[Identity, OnlinePerson]:
        """Return who is logged in.

        Raises:
            ChatError: ``not_logged_in``, also if the token was revoked.
            StoreUnavailable: whether it was revoked can't be read now.
        """
        login = session.require_login()
        await self._services.revocations.require(login)
        return login.identity, login.person


def _refusal(grant: Grant, who: Identity, request: Request) -> ChatError | None:
    try:
        require_permission(grant, who.key, request, RULES[type(request)].scope)
    except ChatError as error:
        return error
    return None
