"""The table of requests: what each costs, what a token must permit for it, and what handles it.

Whether it needs a login is a rule of the protocol (:mod:`gochat.protocol.connection`).
A new request needs one line here, and its handler. The type checker compares the types of the two,
and a test holds the table to the union :data:`~gochat.protocol.messages.Request`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from gochat.chat.accounts import Identity
from gochat.chat.conversations import ConversationKey
from gochat.chat.log import Draft
from gochat.chat.log_requests import LogRequest
from gochat.chat.scopes import Scope
from gochat.protocol.messages import (
    Activity,
    AddressBans,
    Away,
    Ban,
    BanAddress,
    Bans,
    Block,
    Blocks,
    ChangePassword,
    CreateRoom,
    CreateToken,
    Decline,
    Delete,
    Edit,
    EndSession,
    HandOver,
    Hello,
    History,
    Invite,
    Join,
    Kick,
    Leave,
    Login,
    Logout,
    Mark,
    MarkActivity,
    Members,
    Pin,
    Ping,
    Pins,
    Pong,
    React,
    Register,
    Report,
    Reports,
    Request,
    ResolveReport,
    Restrict,
    Restrictions,
    Resume,
    Rooms,
    Save,
    Saved,
    Search,
    Send,
    Sessions,
    SetAccess,
    SetAnnouncements,
    SetArchived,
    SetHistory,
    SetOperator,
    SetSlowMode,
    SetStatus,
    SetTopic,
    Statuses,
    Sync,
    Typing,
    Unban,
    UnbanAddress,
    Unblock,
    Unrestrict,
    Who,
)
from gochat.server.activity import ActivityRequests
from gochat.server.address_ban_requests import AddressBanRequests
from gochat.server.authentication import Authentication
from gochat.server.block_requests import BlockRequests
from gochat.server.budget import ACTIVITY, BY_TIME, PER_ENTRY, PER_ITEM, PER_POSITION, SEARCH
from gochat.server.hand_over_requests import HandOverRequests
from gochat.server.hub import OnlinePerson
from gochat.server.pins import PinRequests
from gochat.server.read_requests import ReadRequests
from gochat.server.report_requests import ReportRequests
from gochat.server.restriction_requests import RestrictionRequests
from gochat.server.saved import SavedRequests
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.signals import Signals
from gochat.server.status_requests import StatusRequests
from gochat.server.sync import Synchroniser
from gochat.server.token_requests import TokenRequests
from gochat.server.write_requests import WriteRequests

R = TypeVar("R", bound=Request)
W = TypeVar("W", bound=LogRequest)

#: Handles a request whether or not somebody is logged in.
OpenHandler: TypeAlias = Callable[[Session, R], Awaitable[None]]
#: Handles a request of a person who is logged in.
Handler: TypeAlias = Callable[[Session, Identity, OnlinePerson, R], Awaitable[None]]
#: Handles requests of one type that arrived one after the other, together.
BatchHandler: TypeAlias = Callable[[Session, Identity, OnlinePerson, Sequence[R]], Awaitable[None]]


class Parts:
    """The objects whose methods handle requests; one of each for a server."""

    def __init__(self, services: Services) -> None:
        self.services: Final = services
        self.activity: Final = ActivityRequests(services)
        self.address_banning: Final = AddressBanRequests(services)
        self.authentication: Final = Authentication(services)
        self.blocking: Final = BlockRequests(services)
        self.handing_over: Final = HandOverRequests(services)
        self.pins: Final = PinRequests(services)
        self.reading: Final = ReadRequests(services)
        self.reporting: Final = ReportRequests(services)
        self.restricting: Final = RestrictionRequests(services)
        self.saved: Final = SavedRequests(services)
        self.signals: Final = Signals(services)
        self.statuses: Final = StatusRequests(services)
        self.synchroniser: Final = Synchroniser(services)
        self.tokens: Final = TokenRequests(services)
        self.writing: Final = WriteRequests(services)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[R]):
    """How one type of request is handled. One of the handlers is set."""

    type: type[R]
    #: Points of the budget, whatever the contents of the request.
    cost: float
    #: Further points, by the contents.
    by_content: Callable[[R], float] | None = None
    #: What a token must permit; None: every token does, or none is needed.
    scope: Scope | None = None
    open_handler: Callable[[Parts], OpenHandler[R]] | None = None
    handler: Callable[[Parts], Handler[R]] | None = None
    batch_handler: Callable[[Parts], BatchHandler[R]] | None = None


def _open(
    kind: type[R],
    cost: float,
    handler: Callable[[Parts], OpenHandler[R]],
    *,
    by_content: Callable[[R], float] | None = None,
) -> Rule[R]:
    return Rule(type=kind, cost=cost, by_content=by_content, open_handler=handler)


def _personal(
    kind: type[R],
    cost: float,
    scope: Scope | None,
    handler: Callable[[Parts], Handler[R]],
    *,
    by_content: Callable[[R], float] | None = None,
) -> Rule[R]:
    return Rule(
        type=kind,
        cost=cost,
        by_content=by_content,
        scope=scope,
        handler=handler,
    )


def _batch(kind: type[R], scope: Scope, handler: Callable[[Parts], BatchHandler[R]]) -> Rule[R]:
    return Rule(type=kind, cost=0.0, scope=scope, batch_handler=handler)


# Requests under the rate limit for writing cost nothing here, until they exceed it.


def _message_change(
    kind: type[W],
    draft: Callable[
        [Services], Callable[[Identity, Collection[ConversationKey] | None, W], Awaitable[Draft]]
    ],
) -> Rule[W]:
    def bind(parts: Parts) -> Handler[W]:
        make, write = draft(parts.services), parts.writing.answer

        async def handle(session: Session, who: Identity, person: OnlinePerson, request: W) -> None:
            async def decide(rooms: Collection[ConversationKey] | None) -> Sequence[Draft]:
                return [await make(who, rooms, request)]

            await write(session, who, person, request, decide)

        return handle

    return _personal(kind, 0.0, Scope.SEND, bind)


def _room_change(
    kind: type[W],
    drafts: Callable[[Services], Callable[[Identity, W], Awaitable[Sequence[Draft]]]],
) -> Rule[W]:
    def bind(parts: Parts) -> Handler[W]:
        make, write = drafts(parts.services), parts.writing.answer

        async def handle(session: Session, who: Identity, person: OnlinePerson, request: W) -> None:
            await write(session, who, person, request, lambda _: make(who, request))

        return handle

    return _personal(kind, 0.0, Scope.ROOMS, bind)


# Its type is inferred: with `Rule[Any]` in an annotation, a handler would not be compared with the
# type that it handles.
_ALL: Final = (
    _open(Ping, 0.1, lambda parts: parts.signals.ping),
    _open(Hello, 0.2, lambda parts: parts.signals.hello),
    _open(Pong, 0.0, lambda parts: parts.signals.pong),  # only the frame costs
    _open(Register, 10.0, lambda parts: parts.authentication.register),
    _open(Login, 10.0, lambda parts: parts.authentication.log_in),
    _open(Resume, 3.0, lambda parts: parts.authentication.resume),
    _personal(Logout, 5.0, None, lambda parts: parts.authentication.log_out),
    _personal(
        ChangePassword, 20.0, Scope.ACCOUNT, lambda parts: parts.authentication.change_password
    ),
    # All nodes are asked.
    _personal(Sessions, 5.0, Scope.ACCOUNT, lambda parts: parts.tokens.list_all),
    _personal(EndSession, 5.0, Scope.ACCOUNT, lambda parts: parts.tokens.end),
    _personal(CreateToken, 5.0, Scope.ACCOUNT, lambda parts: parts.tokens.create),
    _personal(
        History,
        1.0,
        Scope.READ,
        lambda parts: parts.reading.history,
        by_content=lambda request: (
            request.limit * PER_ENTRY + (0.0 if request.at is None else BY_TIME)
        ),
    ),
    _personal(
        Sync,
        2.0,
        Scope.READ,
        lambda parts: parts.synchroniser.sync,
        by_content=lambda request: len(request.have) * PER_POSITION,
    ),
    _personal(Mark, 1.0, Scope.READ, lambda parts: parts.reading.mark),
    _personal(
        Activity,
        ACTIVITY,
        Scope.READ,
        lambda parts: parts.activity.list,
        by_content=lambda request: request.limit * PER_ITEM,
    ),
    _personal(MarkActivity, 1.0, Scope.READ, lambda parts: parts.activity.mark),
    _personal(
        Pins,
        2.0,
        Scope.READ,
        lambda parts: parts.pins.list,
        by_content=lambda request: request.limit * PER_ITEM,
    ),
    _personal(Save, 2.0, Scope.READ, lambda parts: parts.saved.save),
    _personal(
        Saved,
        ACTIVITY,
        Scope.READ,
        lambda parts: parts.saved.list,
        by_content=lambda request: request.limit * PER_ITEM,
    ),
    _personal(Who, 2.0, Scope.READ, lambda parts: parts.reading.who),
    _personal(Members, 4.0, Scope.READ, lambda parts: parts.reading.members),
    _personal(Rooms, 5.0, Scope.READ, lambda parts: parts.reading.rooms),
    _personal(Bans, 4.0, Scope.ROOMS, lambda parts: parts.reading.bans),
    _personal(Search, SEARCH, Scope.READ, lambda parts: parts.reading.search),
    _personal(Block, 5.0, Scope.ACCOUNT, lambda parts: parts.blocking.block),
    _personal(Unblock, 5.0, Scope.ACCOUNT, lambda parts: parts.blocking.unblock),
    _personal(Blocks, 4.0, Scope.ACCOUNT, lambda parts: parts.blocking.blocks),
    _personal(Restrict, 5.0, Scope.ACCOUNT, lambda parts: parts.restricting.restrict),
    _personal(Unrestrict, 5.0, Scope.ACCOUNT, lambda parts: parts.restricting.unrestrict),
    _personal(Restrictions, 4.0, Scope.ACCOUNT, lambda parts: parts.restricting.restrictions),
    _personal(BanAddress, 5.0, Scope.ACCOUNT, lambda parts: parts.address_banning.ban),
    _personal(UnbanAddress, 5.0, Scope.ACCOUNT, lambda parts: parts.address_banning.unban),
    _personal(AddressBans, 4.0, Scope.ACCOUNT, lambda parts: parts.address_banning.list),
    _personal(HandOver, 5.0, Scope.ACCOUNT, lambda parts: parts.handing_over.hand_over),
    _personal(
        Report,
        5.0,
        Scope.ACCOUNT,
        lambda parts: parts.reporting.report,
        by_content=lambda request: len(request.seqs) * PER_ENTRY,
    ),
    _personal(Reports, 5.0, Scope.ACCOUNT, lambda parts: parts.reporting.reports),
    _personal(ResolveReport, 5.0, Scope.ACCOUNT, lambda parts: parts.reporting.resolve),
    _personal(Typing, 0.5, Scope.SEND, lambda parts: parts.signals.typing),
    _personal(Away, 5.0, Scope.SEND, lambda parts: parts.signals.away),  # it is sent to everybody
    _personal(SetStatus, 5.0, Scope.SEND, lambda parts: parts.statuses.set),  # likewise
    _personal(
        Statuses,
        2.0,
        Scope.READ,
        lambda parts: parts.statuses.list,
        by_content=lambda request: len(request.names) * PER_POSITION,
    ),
    _batch(Send, Scope.SEND, lambda parts: parts.writing.send),
    _message_change(Edit, lambda services: services.drafts.edit),
    _message_change(Delete, lambda services: services.drafts.delete),
    _message_change(React, lambda services: services.drafts.react),
    _message_change(Pin, lambda services: services.drafts.pin),
    _room_change(CreateRoom, lambda services: services.rooms.create),
    _room_change(Join, lambda services: services.rooms.join),
    _room_change(Leave, lambda services: services.rooms.leave),
    _room_change(Invite, lambda services: services.rooms.invite),
    _room_change(Kick, lambda services: services.rooms.kick),
    _room_change(Decline, lambda services: services.rooms.decline),
    _room_change(SetTopic, lambda services: services.rooms.set_topic),
    _room_change(SetOperator, lambda services: services.rooms.set_operator),
    _room_change(SetAccess, lambda services: services.rooms.set_access),
    _room_change(SetHistory, lambda services: services.rooms.set_history),
    _room_change(Ban, lambda services: services.moderation.ban),
    _room_change(Unban, lambda services: services.moderation.unban),
    _room_change(SetSlowMode, lambda services: services.moderation.set_slow_mode),
    _room_change(SetAnnouncements, lambda services: services.moderation.set_announcements),
    _room_change(SetArchived, lambda services: services.moderation.set_archived),
)

#: The rule of each type of request.
RULES: Final[Mapping[type[Request], Rule[Any]]] = {rule.type: rule for rule in _ALL}


def cost(request: Request) -> float:
    """Return what a request costs its sender, in points of the budget."""
    rule = RULES[type(request)]
    return rule.cost if rule.by_content is None else rule.cost + rule.by_content(request)


def scope_of(kind: type[Request]) -> Scope | None:
    """Return what a token must permit for a type of request; None if nothing is needed."""
    return RULES[kind].scope
