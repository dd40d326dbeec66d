"""Messages that need no waiting: checked, drafted and acknowledged where they are read.

By far most of what people send is a message to a conversation that the server knows, from somebody
who is logged in and within their limits. If nothing but such messages has arrived on a session, the
intake (:mod:`.intake`) has them drafted here, and what the store says of them answered here. The
rules are those of the session's own way (:mod:`.write_requests`), which gets everything else:
whatever has to be looked up, refused, or waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, TypeAlias

import trio

from gochat.chat.at_once import WouldWait, at_once
from gochat.chat.commits import Outcome
from gochat.chat.log import Draft, Submission
from gochat.errors import ChatError, FactsChanged, StoreUnavailable
from gochat.protocol.codec import decode_sends
from gochat.protocol.messages import Send
from gochat.server.budget import FRAME, PER_BYTE, UNCHARGED
from gochat.server.delivery import Outlet, corked
from gochat.server.login import ActiveLogin
from gochat.server.permissions import require_permission
from gochat.server.requests import scope_of
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.write_order import is_due, out_of_order
from gochat.server.write_requests import WriteRequests

#: Messages of one session that are taken in one pass; more come from a flood, and take their turn.
MOST_TOGETHER: Final = 64

_SCOPE: Final = scope_of(Send)


#: Messages, each with the number of bytes that arrived before it.
_Taken: TypeAlias = Sequence[tuple[Send, int]]


class PlainSends:
    """Takes messages for all sessions of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._writing = WriteRequests(services)
        self._outlets: list[Outlet] = []  # of those whose messages were taken in this pass

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Append what was taken in a pass.

        What the store delivers and answers in one step is one write to each.
        """
        together = partial(corked, self._outlets)
        self._outlets = []
        with together():
            self._services.store.submit(submissions, together)

    def take(self, session: Session, data: bytes) -> Submission | None:
        """Return what is to be appended for bytes that have arrived; None if they are not plain."""
        login = session.login
        if (
            login is None
            or login.is_muted
            or session.is_ending
            or session.protocol.buffered
            or session.outlet.is_behind
            or self._services.config.log_level == "debug"  # which has a line for each request
            or self._services.revocations.must_ask
        ):
            return None
        taken = decode_sends(data, session.frame_bytes, MOST_TOGETHER)
        if not taken:
            return None
        now = trio.current_time()
        drafts = self._draft_all(session, login, taken, now)
        if drafts is None:
            return None
        session.note_read(len(data))
        session.requests += len(taken)
        session.owed += FRAME * len(taken) + PER_BYTE * len(data)
        session.is_waiting = False
        session.working_since = now
        if login.wants_log:  # others get no acknowledgement
            self._outlets.append(session.outlet)
        return Submission(drafts, partial(self._settled, session, login, data, taken))

    def _draft_all(
        self, session: Session, login: ActiveLogin, taken: _Taken, now: float
    ) -> list[Draft] | None:
        """Return the drafts, all of them admitted; None, and nothing admitted, if one can't be."""
        who, person, due = login.identity, login.person, session.due
        drafts: list[Draft] = []
        admitted = 0
        try:
            for request, _ in taken:
                if not is_due(request, due):
                    break
                due += request.n is not None
                require_permission(login.grant, who.key, request, _SCOPE)
                self._writing.admit(who, person, request, now)
                admitted += 1
                draft = at_once(self._services.drafts_at_once.send(who, person.rooms, request))
                if self._writing.may_begin(who, draft, now) is not None:
                    break
                drafts.append(draft)
        except (ChatError, WouldWait):
            pass
        if len(drafts) == len(taken):
            return drafts
        for request, _ in taken[:admitted]:
            self._writing.give_back(who, person, request, now)
        return None

    def _settled(
        self,
        session: Session,
        login: ActiveLogin,
        data: bytes,
        taken: _Taken,
        outcomes: Sequence[Outcome] | StoreUnavailable,
    ) -> None:
        """Answer messages, and let the session's task read on. Raises nothing."""
        now = trio.current_time()
        if session.working_since is not None:
            self._services.append_seconds.observe(now - session.working_since)
        try:
            remainder = self._answer(session, login, taken, outcomes, now)
        except Exception as error:  # a bug: it must end this session, not the server
            session.fail(error)
            remainder = None
        session.continue_reading(None if remainder is None else data[remainder:], now)

    def _answer(
        self,
        session: Session,
        login: ActiveLogin,
        taken: _Taken,
        outcomes: Sequence[Outcome] | StoreUnavailable,
        now: float,
    ) -> int | None:
        """Answer messages; return where those begin that the session's task has to handle."""
        who, person = login.identity, login.person
        if isinstance(outcomes, StoreUnavailable):
            outcomes = [outcomes] * len(taken)
        remainder = None
        for number, (request, start) in enumerate(taken):
            result = outcomes[number] if number < len(outcomes) else None
            if remainder is None and (result is None or isinstance(result, FactsChanged)):
                remainder = start  # it is decided again, on what is so now
            if remainder is not None or result is None:
                self._writing.give_back(who, person, request, now)
                continue
            if not is_due(request, session.due):  # one before it was refused for now
                result = out_of_order(request, session.due)
            self._writing.charge(session, who, person, request, result, now)
            self._writing.acknowledge(session, request, result)
        if session.owed >= UNCHARGED:
            session.handlers.settle(session)
        session.outlet.flush()
        return remainder
