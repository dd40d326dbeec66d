"""The log events of a session; docs/reference/log.md lists them.

Nothing here logs the text of messages, nor a token, a password or an invite: a refusal is logged
with its code and the type of the request, and without any text that repeats what the peer sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

import structlog
import trio

from gochat.errors import ChatError, ErrorCode, ProtocolError, StoreUnavailable, UnexpectedMessage
from gochat.protocol.messages import (
    Ban,
    Bye,
    ChangePassword,
    CreateRoom,
    Error,
    Kick,
    Login,
    Register,
    Request,
    Resume,
    SetAccess,
    SetAnnouncements,
    SetArchived,
    SetHistory,
    SetOperator,
    SetSlowMode,
    SetTopic,
    Unban,
)
from gochat.server.daily_quotas import QuotaExceeded
from gochat.server.journal import ACTS, REFUSALS, Journal

#: Characters of a name that was tried.
MAX_SHOWN: Final = 64


class LoggedSession(Protocol):
    """The parts of a :class:`gochat.server.session.Session` that are logged."""

    last_name: str | None
    requests: int
    refused: int

    @property
    def journal(self) -> Journal:
        """Limits the rate of log lines."""

    @property
    def address(self) -> str:
        """The peer's address."""

    @property
    def began(self) -> float:
        """When it began, in seconds of the Trio clock."""

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A logger bound to the connection."""

    def note(self, event: str, **fields: object) -> None:
        """Log what the peer did, unless its address exceeds the rate for such events."""


_REFUSED: Final[Mapping[type, str]] = {
    Register: "registration refused",
    Login: "login refused",
    Resume: "resume refused",
    ChangePassword: "password change refused",
}
#: Codes for causes on the server's side.
_SHORT_OF_SOMETHING: Final = frozenset({ErrorCode.BUSY, ErrorCode.UNAVAILABLE})


def log_refusal(
    session: LoggedSession,
    reply: Error,
    error: ProtocolError | ChatError | StoreUnavailable,
    request: Request | None,
) -> None:
    """Log that a request, or an invalid frame, was refused with `reply`."""
    if request is None and not isinstance(error, UnexpectedMessage):
        event = "frame refused"
    else:
        event = _REFUSED.get(type(request), "request refused")
    kind, fields = str(reply.code), {"code": str(reply.code)}
    if isinstance(error, QuotaExceeded):
        event, kind = "quota used up", error.quota
        fields["quota"] = error.quota
    more = session.journal.admit(event, kind)
    if more is None:
        return
    if request is not None:
        fields["request"] = request.msg_type
    elif isinstance(error, UnexpectedMessage):
        fields["request"] = error.msg_type
    if reply.field is not None:
        fields["field"] = reply.field
    if isinstance(request, Login | Register):
        fields["account"] = request.name[:MAX_SHOWN]
    if not isinstance(error, ChatError):  # a ChatError's text repeats what people write
        fields["reason"] = str(error)
    level = logging.WARNING if reply.code in _SHORT_OF_SOMETHING else logging.INFO
    session.log.log(level, event, **fields, **more)


def log_end(session: LoggedSession, bye: Bye | None, end: str) -> None:
    """Log the end of a connection. The reason is that of `bye`, if one was sent, or `end`.

    At `debug` if nobody was logged in and nothing was refused, as in a load balancer's checks.
    """
    was_somebody = session.last_name is not None
    end = end if bye is None else str(bye.reason)
    session.journal.ended[end] += 1
    code, rate = ("", ACTS) if was_somebody else (end, REFUSALS)
    source = session.address if was_somebody else None
    more = session.journal.admit("session closed", code, rate=rate, source=source)
    if more is None:
        return
    fields: dict[str, object] = {
        "reason": end,
        "duration": round(trio.current_time() - session.began, 3),
        "requests": session.requests,
        "refused": session.refused,
    }
    if bye is not None and bye.text:
        fields["text"] = bye.text
    is_noise = bye is None and not was_somebody and not session.refused
    session.log.log(logging.DEBUG if is_noise else logging.INFO, "session closed", **fields, **more)


def log_change(session: LoggedSession, request: Request) -> None:
    """Log what administrators ask about later: who created a room, and who changed it."""
    match request:
        case CreateRoom():
            session.note("room created", room=request.room, private=request.private)
        case SetAccess():
            chosen = {} if request.history is None else {"history": request.history}
            session.note(
                "room access changed", room=request.room, private=request.private, **chosen
            )
        case SetHistory():
            session.note("room history changed", room=request.room, history=request.history)
        case SetTopic():
            session.note("room topic changed", room=request.room)
        case SetOperator():
            session.note(
                "room operator changed", room=request.room, person=request.name, on=request.on
            )
        case Kick():
            session.note("member kicked", room=request.room, person=request.name)
        case Ban():
            session.note(
                "person banned", room=request.room, person=request.name, seconds=request.seconds
            )
        case Unban():
            session.note("ban lifted", room=request.room, person=request.name)
        case SetSlowMode():
            session.note("room slow mode changed", room=request.room, seconds=request.seconds)
        case SetAnnouncements():
            session.note("room announcements changed", room=request.room, on=request.on)
        case SetArchived():
            session.note("room archived", room=request.room, on=request.on)
        case _:
            pass


@contextmanager
def traced(session: LoggedSession, kind: type[Request], times: int) -> Iterator[None]:
    """Log, at `debug`, the type of requests, their number, and how long they took."""
    began, refused = time.perf_counter(), session.refused
    try:
        yield
    finally:
        session.log.debug(
            "request handled",
            request=kind.msg_type,
            times=times,
            refused=session.refused - refused,
            milliseconds=round(1000 * (time.perf_counter() - began), 3),
        )
