"""Requests to replies. One method for each kind, one `match` that finds it.

Requests that write to the log are appended together as far as they arrived together, so that a
client that sends many at once shares commits with itself as well as with others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from itertools import groupby
from typing import Final, TypeAlias, assert_never

import trio

from gochat.chat.accounts import Identity
from gochat.chat.commits import MAX_TRIES, Outcome, settle
from gochat.chat.conversations import ConversationKey
from gochat.chat.drafts import derived_cid
from gochat.chat.hub import OnlinePerson
from gochat.chat.names import NameKey
from gochat.chat.retries import LogRequest
from gochat.chat.store import Appended, Draft
from gochat.errors import ChatError, ErrorCode, FactsChanged, StoreUnavailable
from gochat.protocol.messages import (
    Away,
    Capability,
    ChangePassword,
    Conversations,
    CreateRoom,
    Delete,
    Edit,
    History,
    Invite,
    IsTyping,
    Join,
    Kick,
    Leave,
    Login,
    Logout,
    MarkRead,
    Members,
    Ok,
    Ping,
    Pong,
    React,
    Register,
    Request,
    Resume,
    Rooms,
    Search,
    Send,
    Sent,
    SetAccess,
    SetLevel,
    SetOperator,
    SetTopic,
    Typing,
    Who,
)
from gochat.server.arrival import Arrivals
from gochat.server.budget import REFUSED_WRITE, OverBudget, cost
from gochat.server.reading import Reading
from gochat.server.receipts import Seqs
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.session_log import log_change, traced

_NOT_TRACED: Final = nullcontext()
#: In characters.
MAX_AWAY: Final = 200
#: Seconds that a session pauses at most whose budget is used up: long enough that refusing what it
#: asks for costs next to nothing, and not so long that an honest client takes it for a dead server.
MAX_PAUSE: Final = 1.0


class Handlers:
    """Handles the requests of all sessions of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limits = services.config.limits
        self._arrivals = Arrivals(services)
        self._reading = Reading(services)
        self._is_tracing = services.config.log_level == "debug"

    async def handle(self, session: Session, requests: Sequence[Request]) -> None:
        """Handle what arrived together, in its order, until the session is to end. Replies are
        posted, not flushed, unless there are so many that the peer has to read before there are
        more."""
        session.requests += len(requests)
        wait = await self._handle(session, requests)
        if wait and not session.is_ending:
            await session.pause(min(wait, MAX_PAUSE))

    async def _handle(self, session: Session, requests: Sequence[Request]) -> float:
        """Handle requests; return for how long their sender is to wait after them."""
        wait = 0.0
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
                        if isinstance(error, OverBudget):
                            wait = max(wait, error.wait)
                await session.wait_for_peer()
                await session.give_way()
        return wait

    def _charge(self, session: Session, cost: float) -> None:
        """Charge whoever is logged in, and the address. Raises OverBudget."""
        person = session.identity.key if session.identity is not None else None
        self._services.budgets.charge(session.address, person, cost)

    def _traced(
        self, session: Session, kind: type[Request], times: int = 1
    ) -> AbstractContextManager[None]:
        """At `debug`, log what was requested, never what it says, and how long it took."""
        return traced(session, kind, times) if self._is_tracing else _NOT_TRACED

    async def leave(self, session: Session) -> None:
        """Log the session out, if it is logged in; its token stays valid."""
        await self._arrivals.leave(session)

    def delivered(self, person: NameKey, seqs: Seqs) -> None:
        """Note that a client without the log has received messages."""
        self._services.markers.move(person, seqs)

    async def disconnected(self, session: Session) -> None:
        """Note that a session has ended, whatever ended it."""
        await self.leave(session)
        self._services.connections.closed(session.address)

    async def _answer(self, session: Session, request: Request) -> None:
        match request:
            case Ping():
                proof = self._services.identity.prove(request.challenge)
                session.reply(Pong(request_id=request.request_id, proof=proof))
            case Pong():
                pass  # that something arrived has been noted
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
                await self._arrivals.register(session, request)
            case Login():
                await self._arrivals.log_in(session, request)
            case Resume():
                await self._arrivals.resume(session, request)
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
                await self._arrivals.log_out(session, request)
            case ChangePassword():
                await self._arrivals.change_password(session, request)
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
                await self._write(session, who, person, request)

    # -- saying something -----------------------------------------------------------------------

    async def _send(self, session: Session, requests: Sequence[Send]) -> None:
        """Append messages together; each is acknowledged or refused by itself, in order."""
        who, person = session.identity, session.person
        if who is None or person is None:
            for request in requests:
                self._acknowledge(session, request, _not_logged_in())
            return
        try:
            await self._services.revocations.require(session)
        except (ChatError, StoreUnavailable) as error:
            for request in requests:
                self._acknowledge(session, request, error)
            return
        outcomes: list[Draft | ChatError | StoreUnavailable] = []
        for request in requests:
            try:
                self._take_turn(person)
                outcomes.append(await self._services.drafts.send(who, person.rooms, request))
            except (ChatError, StoreUnavailable) as error:
                outcomes.append(error)
            await session.give_way()
        drafts = [outcome for outcome in outcomes if isinstance(outcome, Draft)]
        appended = iter(await self._append(session, drafts))
        for request, outcome in zip(requests, outcomes, strict=True):
            result: Outcome
            if isinstance(outcome, Draft):
                result = self._without_turn(person, next(appended))
                if isinstance(result, FactsChanged):
                    result = await self._send_again(session, who, person, request)
            elif isinstance(outcome, ChatError):  # looked up now: the first try may be one of these
                result = await self._earlier_or(session, outcome, who, person, request)
            else:
                result = outcome
            self._acknowledge(session, request, result)
            await session.wait_for_peer()
            await session.give_way()

    async def _send_again(
        self, session: Session, who: Identity, person: OnlinePerson, request: Send
    ) -> Outcome:
        """Decide again on a message whose sender was thought to be in the room."""
        try:
            return await self._settle(session, who, person, request, tries=MAX_TRIES - 1)
        except StoreUnavailable as error:
            return error

    async def _write(
        self, session: Session, who: Identity, person: OnlinePerson, request: LogRequest
    ) -> None:
        """Append what a request asks for; what became of its last draft is the answer."""
        result: Outcome
        try:
            self._take_turn(person)
            if isinstance(request, CreateRoom):
                self._services.budgets.take_room(who.key)
        except ChatError as error:
            result = await self._earlier_or(session, error, who, person, request)
        else:
            result = await self._settle(session, who, person, request, rooms=person.rooms)
            if isinstance(request, CreateRoom) and not _is_new(result):
                self._services.budgets.give_room_back(who.key)
        if isinstance(request, CreateRoom) and isinstance(result, Appended):
            await self._set_first_topic(who, request)
        self._acknowledge(session, request, result)
        if _is_new(result):
            log_change(session, request)

    async def _settle(
        self,
        session: Session,
        who: Identity,
        person: OnlinePerson,
        request: LogRequest,
        *,
        rooms: Collection[ConversationKey] = (),
        tries: int = MAX_TRIES,
    ) -> Outcome:
        try:
            result = await settle(
                partial(self._drafts, who, request),
                partial(self._append, session, each_acknowledged=False),
                rooms=rooms,
                tries=tries,
            )
        except ChatError as error:
            return await self._earlier_or(session, error, who, person, request)
        return self._without_turn(person, result)

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
        self,
        session: Session,
        refusal: ChatError,
        who: Identity,
        person: OnlinePerson,
        request: LogRequest,
    ) -> Outcome:
        """What became of a request that is refused now: it may have been granted before."""
        try:
            if refusal.code is ErrorCode.RATE_LIMITED:  # it has not paid for the look
                self._charge(session, REFUSED_WRITE)
        except OverBudget as error:
            return error
        try:
            earlier = await self._services.retries.find(who, request)
        except StoreUnavailable as error:
            return error
        if earlier is None:
            return refusal
        if refusal.code is not ErrorCode.RATE_LIMITED:
            self._without_turn(person, earlier)
        return earlier

    def _without_turn(self, person: OnlinePerson, result: Outcome) -> Outcome:
        """Give the turn back that was taken for what had been granted before."""
        if isinstance(result, Appended) and result.dup:
            person.turns.give_back()
        return result

    async def _drafts(
        self, who: Identity, request: LogRequest, rooms: Collection[ConversationKey]
    ) -> Sequence[Draft]:
        """What a request comes to; `rooms` as in :class:`~gochat.chat.drafts.Drafts`."""
        drafts, changes = self._services.drafts, self._services.rooms
        match request:
            case Send():
                return [await drafts.send(who, rooms, request)]
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
            elif (
                draft.kind in ("create", "join")
                and session.person is not None
                # Not delivered yet: else the hub knows better, and perhaps of a removal since.
                and hub.expects(draft.sender_key, draft.cid or "")
            ):
                hub.enter(session.person, (draft.conversation,))
        return results

    def _acknowledge(
        self,
        session: Session,
        request: LogRequest,
        result: Outcome,
    ) -> None:
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

    def _take_turn(self, person: OnlinePerson) -> None:
        if refused := person.turns.refused(trio.current_time()):
            raise refused

    async def _typing(
        self, session: Session, who: Identity, person: OnlinePerson, request: Typing
    ) -> None:
        address = await self._services.drafts.address(who, person.rooms, request.to)
        now = trio.current_time()
        if person.typing.admit(address.key, self._limits.typing_interval, now):
            self._services.hub.tell_typing(
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


def _is_new(result: Outcome) -> bool:
    return isinstance(result, Appended) and not result.dup


def _not_logged_in() -> ChatError:
    return ChatError(ErrorCode.NOT_LOGGED_IN, "log in first")


_Authenticated: TypeAlias = (
    Logout | ChangePassword | Who | Away | Typing | History | Search | Conversations | MarkRead
    | SetLevel | Rooms | Members | LogRequest
)  # fmt: skip
