"""What writes to the log: messages, and changes of messages and rooms.

Requests that arrived together are appended together as far as they are messages, so that a client
that sends many at once shares commits with itself as well as with others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import assert_never

import trio

from gochat.chat import conversations
from gochat.chat.accounts import Identity
from gochat.chat.commits import MAX_TRIES, Outcome, settle
from gochat.chat.conversations import ConversationKey
from gochat.chat.drafts import derived_cid
from gochat.chat.retries import LogRequest
from gochat.chat.store import Appended, Draft
from gochat.errors import ChatError, ErrorCode, FactsChanged, StoreUnavailable
from gochat.protocol.messages import (
    Capability,
    CreateRoom,
    Delete,
    Edit,
    Invite,
    Join,
    Kick,
    Leave,
    React,
    Send,
    Sent,
    SetAccess,
    SetHistory,
    SetOperator,
    SetTopic,
)
from gochat.server.budget import REFUSED_WRITE, OverBudget
from gochat.server.hub import OnlinePerson
from gochat.server.quotas import QuotaExceeded
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.session_log import log_change


class Writing:
    """Handles the requests of those who write."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def send(
        self, session: Session, who: Identity, person: OnlinePerson, requests: Sequence[Send]
    ) -> None:
        """Append messages together; each is acknowledged or refused by itself, in order."""
        tried: list[tuple[Send, bool, Draft | ChatError | StoreUnavailable]] = []
        for request in requests:
            outcome: Draft | ChatError | StoreUnavailable
            is_admitted = False
            try:
                self._admit(who, person, request)
                is_admitted = True
                outcome = await self._message(who, person.rooms, request)
            except (ChatError, StoreUnavailable) as error:
                outcome = error
            tried.append((request, is_admitted, outcome))
            await session.give_way()
        drafts = [outcome for *_, outcome in tried if isinstance(outcome, Draft)]
        appended = iter(await self._append(session, drafts))
        for request, is_admitted, outcome in tried:
            result: Outcome
            if isinstance(outcome, Draft):
                result = next(appended)
                if isinstance(result, FactsChanged):  # its sender was thought to be in the room
                    result = await self._settle(session, who, request, tries=MAX_TRIES - 1)
            elif isinstance(outcome, ChatError):  # looked up now: the first try may be one of these
                result = await self._earlier_or(session, outcome, who, request)
            else:
                result = outcome
            if is_admitted:
                self._charge(session, who, person, request, result)
            self.acknowledge(session, request, result)
            await session.wait_for_peer()
            await session.give_way()

    async def answer(
        self, session: Session, who: Identity, person: OnlinePerson, request: LogRequest
    ) -> None:
        """Append what a request asks for; what became of its last draft is the answer."""
        result: Outcome
        try:
            self._admit(who, person, request)
        except ChatError as error:
            result = await self._earlier_or(session, error, who, request)
        else:
            result = await self._settle(session, who, request, rooms=person.rooms)
            self._charge(session, who, person, request, result)
        if isinstance(request, CreateRoom) and isinstance(result, Appended):
            await self._set_first_topic(who, request)
        self.acknowledge(session, request, result)
        if isinstance(result, Appended) and not result.dup:
            log_change(session, request)

    # -- what it costs --------------------------------------------------------------------------

    def _admit(self, who: Identity, person: OnlinePerson, request: LogRequest) -> None:
        """Count a request against the limits of its sender. Raises ChatError, ``rate_limited``, and
        counts nothing, if that is too much."""
        if refused := person.rate_limit.refused(trio.current_time()):
            raise refused
        try:
            self._services.quotas.charge(who.key, request)
        except QuotaExceeded:
            person.rate_limit.give_back()
            raise

    def _charge(
        self,
        session: Session,
        who: Identity,
        person: OnlinePerson,
        request: LogRequest,
        result: Outcome,
    ) -> None:
        """Give back what was counted for a request: of what was granted before all, but for the
        look at it; of what is refused the quotas."""
        appended = result if isinstance(result, Appended) else None
        if appended is not None and appended.dup:
            person.rate_limit.give_back()
            session.owed += REFUSED_WRITE
            appended = None
        self._services.quotas.settle(who.key, request, appended)

    # -- what becomes of it ---------------------------------------------------------------------

    async def _settle(
        self,
        session: Session,
        who: Identity,
        request: LogRequest,
        *,
        rooms: Collection[ConversationKey] = (),
        tries: int = MAX_TRIES,
    ) -> Outcome:
        try:
            return await settle(
                partial(self._drafts, who, request),
                partial(self._append, session, each_acknowledged=False),
                rooms=rooms,
                tries=tries,
            )
        except ChatError as error:
            return await self._earlier_or(session, error, who, request)
        except StoreUnavailable as error:
            return error

    async def _set_first_topic(self, who: Identity, request: CreateRoom) -> None:
        """Set the topic of a new room, once, however often the room is asked for."""
        if not request.topic:
            return
        topic = SetTopic(
            room=request.room, topic=request.topic, cid=derived_cid(request.cid, "topic")
        )
        # An entry that nobody acknowledges: the session gets it like all others. Of a room that was
        # made long ago, and is somebody else's now, the topic stays.
        with suppress(ChatError):
            await settle(partial(self._drafts, who, topic), self._services.store.append)

    async def _earlier_or(
        self, session: Session, refusal: ChatError, who: Identity, request: LogRequest
    ) -> Outcome:
        """What became of a request that is refused now: it may have been granted before."""
        try:
            if refusal.code is ErrorCode.RATE_LIMITED:  # it has not paid for the look
                self._services.budgets.charge(session.address, who.key, REFUSED_WRITE)
            earlier = await self._services.retries.find(who, request)
        except (OverBudget, StoreUnavailable) as error:
            return error
        return refusal if earlier is None else earlier

    async def _message(
        self, who: Identity, rooms: Collection[ConversationKey], request: Send
    ) -> Draft:
        """The draft of a message. Raises ChatError also where it would begin a private conversation
        and its sender may begin none: whether it would is looked up only then."""
        draft = await self._services.drafts.send(who, rooms, request)
        key = draft.conversation
        refusal = None
        if conversations.is_private(key):
            refusal = self._services.quotas.new_conversation(who.key)
        if refusal is not None and await self._services.store.conversation(who.key, key) is None:
            raise refusal
        return draft

    async def _drafts(
        self, who: Identity, request: LogRequest, rooms: Collection[ConversationKey]
    ) -> Sequence[Draft]:
        """What a request comes to; `rooms` as in :class:`~gochat.chat.drafts.Drafts`."""
        drafts, changes = self._services.drafts, self._services.rooms
        match request:
            case Send():
                return [await self._message(who, rooms, request)]
            case Edit():
                return [await drafts.edit(who, rooms, request)]
            case Delete():
                return [await drafts.delete(who, rooms, request)]
            case React():
                return [await drafts.react(who, rooms, request)]
            case CreateRoom():
                return await changes.create(who, request)
            case Join():
                return await changes.join(who, request)
            case Leave():
                return await changes.leave(who, request)
            case Invite():
                return await changes.invite(who, request)
            case Kick():
                return await changes.kick(who, request)
            case SetTopic():
                return await changes.set_topic(who, request)
            case SetOperator():
                return await changes.set_operator(who, request)
            case SetAccess():
                return await changes.set_access(who, request)
            case SetHistory():
                return await changes.set_history(who, request)
            case _:
                assert_never(request)

    async def _append(
        self, session: Session, drafts: Sequence[Draft], *, each_acknowledged: bool = True
    ) -> Sequence[Outcome]:
        """Append. What is acknowledged (each draft, or the last) is not echoed to the session."""
        if not drafts:
            return ()
        hub = self._services.hub
        for draft in drafts if each_acknowledged else drafts[-1:]:
            assert draft.cid is not None
            hub.expect(draft.sender_key, draft.cid, session)
        try:
            results = await self._services.store.append(drafts)
        except StoreUnavailable as error:
            for draft in drafts:
                hub.forget(draft.sender_key, draft.cid or "")
            return [error] * len(drafts)
        for draft, result in zip(drafts, results, strict=True):
            if isinstance(result, ChatError) or result.dup:
                hub.forget(draft.sender_key, draft.cid or "")
        return results

    def acknowledge(
        self,
        session: Session,
        request: LogRequest,
        result: Outcome,
    ) -> None:
        """Reply what became of a request."""
        if isinstance(result, ChatError | StoreUnavailable):
            session.refuse(result, request)
        elif request.request_id is not None or Capability.ACKS in session.caps:
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
