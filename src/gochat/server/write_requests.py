"""Requests that write to the log: messages, and changes of messages and rooms.

Messages that arrived together are appended together, so that a client that sends many at once
shares commits with itself as well as with others.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeAlias

import trio

from gochat.chat import conversations
from gochat.chat.accounts import Identity
from gochat.chat.commits import MAX_TRIES, Decision, Outcome, settle
from gochat.chat.conversations import ConversationKey
from gochat.chat.drafts import derived_cid
from gochat.chat.log import Appended, Draft, Unchanged
from gochat.chat.log_requests import LogRequest
from gochat.errors import ChatError, ErrorCode, FactsChanged, StoreUnavailable
from gochat.protocol.messages import (
    CreateRoom,
    Decline,
    Ok,
    Send,
    Sent,
    SetTopic,
)
from gochat.server.budget import REFUSED_WRITE, OverBudget
from gochat.server.daily_quotas import QuotaExceeded
from gochat.server.hub import OnlinePerson
from gochat.server.moderators import Act, is_by_role
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.session_log import log_change
from gochat.server.write_order import is_due, leaves_due, out_of_order, use_up

#: Makes the drafts of a request; `rooms` as in :class:`~gochat.chat.drafts.Drafts`.
Decide: TypeAlias = Callable[[Collection[ConversationKey] | None], Awaitable[Sequence[Draft]]]


class _Tried(NamedTuple):
    """A message, and what became of it; whether it was counted against its sender's limits."""

    request: Send
    outcome: Draft | ChatError | StoreUnavailable
    is_admitted: bool = False


def _still_due(first: int, tried: Sequence[_Tried], due: int) -> list[tuple[int, Draft]]:
    """Return the drafts from `first` on that can be appended together, and their indexes."""
    drafts = []
    for index in range(first, len(tried)):
        request, outcome, _ = tried[index]
        if is_due(request, due):
            if isinstance(outcome, Draft):
                drafts.append((index, outcome))
            due += request.n is not None and not leaves_due(outcome)
    return drafts


class WriteRequests:
    """Handles requests that write to the log."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def send(
        self, session: Session, who: Identity, person: OnlinePerson, requests: Sequence[Send]
    ) -> None:
        """Append messages together. Each is acknowledged or refused separately, in order."""
        done = 0
        while done < len(requests):
            tried = await self._try(session, who, person, requests[done:])
            await self._append_tried(session, who, person, tried)
            done += len(tried)

    async def _try(
        self, session: Session, who: Identity, person: OnlinePerson, requests: Sequence[Send]
    ) -> list[_Tried]:
        """Make the drafts of the first requests, of as many as can be appended together.

        Whether a number is due depends on the outcome of those before it. If these may be refused
        for now it ends with them, and otherwise before a number that does not continue.
        """
        tried: list[_Tried] = []
        due = session.due
        for request in requests:
            if not is_due(request, due):
                if not tried:
                    tried.append(_Tried(request, out_of_order(request, due)))
                break
            outcome: Draft | ChatError | StoreUnavailable
            is_admitted = False
            try:
                self.admit(who, person, request, trio.current_time())
                is_admitted = True
                outcome = await self._message(who, person.rooms, request)
            except (ChatError, StoreUnavailable) as error:
                outcome = error
            tried.append(_Tried(request, outcome, is_admitted=is_admitted))
            await session.give_way()
            if request.n is not None:
                if leaves_due(outcome):
                    break
                due += 1
        return tried

    async def _append_tried(
        self, session: Session, who: Identity, person: OnlinePerson, tried: Sequence[_Tried]
    ) -> None:
        """Append what was tried, and answer each request."""
        outcomes: dict[int, Outcome] = {}
        for index, (request, outcome, is_admitted) in enumerate(tried):
            result: Outcome
            if not is_due(request, session.due):  # one before it was refused for now
                result = out_of_order(request, session.due)
            elif isinstance(outcome, Draft):
                if index not in outcomes:
                    left = _still_due(index, tried, session.due)
                    drafts = await self._append([draft for _, draft in left])
                    outcomes |= {i: result for (i, _), result in zip(left, drafts, strict=False)}
                result = outcomes[index]
                if isinstance(result, FactsChanged):  # the sender has left the room meanwhile
                    result = await self._settle(
                        session,
                        who,
                        request,
                        partial(self._messages, who, request),
                        tries=MAX_TRIES - 1,
                    )
            elif isinstance(outcome, ChatError):
                # Looked up after the append, which may include its first try.
                result = await self._earlier_or(session, outcome, who, request)
            else:
                result = outcome
            if is_admitted:
                self.charge(session, who, person, request, result, trio.current_time())
            self.acknowledge(session, request, result)
            await session.wait_for_peer()
            await session.give_way()

    async def answer(
        self,
        session: Session,
        who: Identity,
        person: OnlinePerson,
        request: LogRequest,
        decide: Decide,
    ) -> None:
        """Append the drafts that `decide` returns. The outcome of the last one is the reply."""
        result: Outcome
        try:
            self.admit(who, person, request, trio.current_time())
        except ChatError as error:
            result = await self._earlier_or(session, error, who, request)
        else:
            result = await self._settle(session, who, request, decide, rooms=person.rooms)
            self.charge(session, who, person, request, result, trio.current_time())
        if isinstance(request, CreateRoom) and isinstance(result, Appended):
            await self._set_first_topic(who, request)
        self.acknowledge(session, request, result)
        if isinstance(result, Appended) and not result.dup:
            log_change(session, request)

    # -- limits ---------------------------------------------------------------------------------

    def admit(self, who: Identity, person: OnlinePerson, request: LogRequest, now: float) -> None:
        """Count a request, at the time `now`, against its sender's limits.

        Raises:
            ChatError: `rate_limited`. Nothing was counted.
        """
        if refused := person.rate_limit.refused(now):
            raise refused
        try:
            self._services.quotas.charge(who.key, request, now)
        except QuotaExceeded:
            person.rate_limit.give_back()
            raise

    def give_back(
        self, who: Identity, person: OnlinePerson, request: LogRequest, now: float
    ) -> None:
        """Undo :meth:`admit`."""
        person.rate_limit.give_back()
        self._services.quotas.settle(who.key, request, None, now)

    def charge(
        self,
        session: Session,
        who: Identity,
        person: OnlinePerson,
        request: LogRequest,
        result: Outcome,
        now: float,
    ) -> None:
        """Refund what was counted for a request that wrote nothing new, except for its cost."""
        new = result if isinstance(result, Appended) and not result.dup else None
        if new is None:
            person.rate_limit.give_back()
            session.owed += REFUSED_WRITE
        self._services.quotas.settle(who.key, request, new, now)

    # -- outcomes -------------------------------------------------------------------------------

    async def _settle(
        self,
        session: Session,
        who: Identity,
        request: LogRequest,
        decide: Decide,
        *,
        rooms: Collection[ConversationKey] | None = None,
        tries: int = MAX_TRIES,
    ) -> Outcome:
        async def decide_once(rooms: Collection[ConversationKey] | None) -> Decision:
            drafts = await decide(rooms)
            is_act = bool(drafts) and is_by_role(drafts[-1])
            if len(drafts) == 1 and not is_act:
                return drafts  # the append looks for the `cid`
            earlier = await self._services.retries.find(who, request)
            if earlier is not None:
                return earlier
            if is_act:
                await act.record_draft(drafts[-1])
            return drafts

        act = Act(self._services.store, who)
        outcome: Outcome
        try:
            outcome = await settle(decide_once, self._append, rooms=rooms, tries=tries)
        except ChatError as error:
            outcome = await self._earlier_or(session, error, who, request)
        except StoreUnavailable as error:
            outcome = error
        if isinstance(outcome, ChatError | StoreUnavailable):
            await act.failed(outcome)
        return outcome

    async def _set_first_topic(self, who: Identity, request: CreateRoom) -> None:
        """Set the topic of a new room, once, however often the request is repeated."""
        if not request.topic:
            return
        topic = SetTopic(
            room=request.room, topic=request.topic, cid=derived_cid(request.cid, "topic")
        )
        # If the room was created long ago and is somebody else's by now, its topic stays.
        with suppress(ChatError):
            await settle(
                lambda _: self._services.rooms.set_topic(who, topic), self._services.store.append
            )

    async def _earlier_or(
        self, session: Session, refusal: ChatError, who: Identity, request: LogRequest
    ) -> Outcome:
        """Return the refusal, or the outcome of an earlier request with the same `cid`."""
        try:
            if refusal.code == ErrorCode.RATE_LIMITED:  # it has not paid for the lookup
                self._services.budgets.charge(session.address, who.key, REFUSED_WRITE)
            earlier = await self._services.retries.find(who, request)
        except (OverBudget, StoreUnavailable) as error:
            return error
        return refusal if earlier is None else earlier

    async def _message(
        self, who: Identity, rooms: Collection[ConversationKey] | None, request: Send
    ) -> Draft:
        """Return the draft of a message.

        Raises:
            ChatError: also if it would start a private conversation and its sender may not start
                one. Whether it would is looked up only in that case.
        """
        draft = await self._services.drafts.send(who, rooms, request)
        refusal = self.may_begin(who, draft, trio.current_time())
        if (
            refusal is not None
            and await self._services.store.conversation(who.key, draft.conversation) is None
        ):
            raise refusal
        return draft

    def may_begin(self, who: Identity, draft: Draft, now: float) -> QuotaExceeded | None:
        """Return None, or why a message is refused if it would start a private conversation."""
        if conversations.is_private(draft.conversation):
            return self._services.quotas.new_conversation(who.key, now)
        return None

    async def _messages(
        self, who: Identity, request: Send, rooms: Collection[ConversationKey] | None
    ) -> Sequence[Draft]:
        return [await self._message(who, rooms, request)]

    async def _append(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        if not drafts:
            return ()
        began = time.perf_counter()
        try:
            return await self._services.store.append(drafts)
        except StoreUnavailable as error:
            return [error] * len(drafts)
        finally:
            self._services.append_seconds.observe(time.perf_counter() - began)

    def acknowledge(
        self,
        session: Session,
        request: LogRequest,
        result: Outcome,
    ) -> None:
        """Reply with the outcome of a request.

        The store delivers an entry before it reports it, so the reply comes after the entry.
        """
        if isinstance(result, ChatError | StoreUnavailable):
            session.refuse(result, request)
            return
        use_up(session, request)
        # Who declines is not a member, and is sent no entry: so no seq either.
        if isinstance(result, Unchanged) or isinstance(request, Decline):
            session.reply(Ok(cid=request.cid, request_id=request.request_id))
        elif session.login is None or session.login.is_muted:
            pass  # it was not sent the entry, and is about to end
        elif request.request_id is not None or session.wants_log:
            entry = result.entry
            session.reply(
                Sent(
                    to=entry.to,
                    epoch=entry.epoch,
                    seq=entry.seq,
                    ts=entry.ts,
                    cid=request.cid,
                    dup=result.dup,
                    request_id=request.request_id,
                )
            )
