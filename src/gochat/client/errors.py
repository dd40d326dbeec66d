"""What a client raises, in one tree: what the server refused, and what went wrong on the way.

::

    GochatError
     ├── ChatError                 the server refuses a request, which had no effect
     │    ├── AuthenticationError  the name and password, or the token, are not accepted
     │    ├── NotPermitted         this person, or this program's token, may not do it
     │    │    ├── NotAMember      not in this room: join it first
     │    │    ├── Blocked         one of the two blocks the other
     │    │    └── Banned          banned from this room; `details` says until when, and why
     │    ├── NotFound             no such person, conversation or message
     │    ├── AlreadyExists        the name of an account or a room is taken
     │    ├── InvalidRequest       an argument is at fault: `field` and `text` say which and why
     │    ├── LimitReached         there are as many of these as there may be
     │    ├── TemporaryError       not now: try again after `retry_after` seconds
     │    │    ├── RateLimited     too much in too short a time
     │    │    └── Unavailable     the server is busy, full, or can't reach its store
     │    └── InvalidReply         the server's answer can't be used
     ├── ConnectionLost            the server can't be reached, or gave no answer
     │    └── NotConnected         the client is offline: log in first
     │         └── ClientClosed    the block of `open_client` has ended
     ├── AlreadyLoggedIn           log out first
     ├── OutboxFull                too many messages wait to be sent
     └── ConfigError               an address or an option can't be used
          └── OutboxInUse          another program has the outbox open

A program chooses by the class what it does, and by `code` what it shows. A code has one class, by
:data:`CLASSES`; one of a newer server, which is not there, is a plain :exc:`ChatError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gochat.errors import ChatError, ConnectionLost, Details, ErrorCode, GochatError

#: The delay (seconds) before another try where the server gave none.
DEFAULT_RETRY_AFTER: Final = 1.0
#: The code of an :exc:`InvalidReply`. The client's own: no server sends it.
INVALID_REPLY: Final = "invalid_reply"


#: The codes that say, when a token is refused, that it is of no use any more.
VOID_TOKEN: Final = frozenset(
    {ErrorCode.BAD_TOKEN, ErrorCode.ACCOUNT_BANNED, ErrorCode.ACCOUNT_DISABLED}
)


class AuthenticationError(ChatError):
    """The name and password, or the token, are not accepted; or the request needs a login."""


class NotPermitted(ChatError):
    """This person, or this program's token, lacks the permission to do that."""


class NotAMember(NotPermitted):
    """The person, or somebody whom the request names, is not in this room."""


class Banned(NotPermitted):
    """The person is banned from this room; `details` says until when, and why."""


class Blocked(NotPermitted):
    """One of two people blocks the other; `details` says which."""


class Muted(NotPermitted):
    """The person is muted in the lobby and public rooms; `details` says until when, and why."""


class NotFound(ChatError):
    """Unknown person, conversation or message, or one that this person may not know of."""


class AlreadyExists(ChatError):
    """The name of an account or a room is taken, or looks too much like one that is."""


class InvalidRequest(ChatError):
    """An argument is invalid; `field` names the request's field, if it is one.

    What does not fit a frame is refused with this, too, before it is sent.
    """


class LimitReached(ChatError):
    """No more of these are allowed; `details` has the ``max``."""


class TemporaryError(ChatError):
    """Not now. Trying again after `retry_after` seconds, which are never None, can help."""

    retry_after: float

    def __init__(
        self,
        code: ErrorCode | str,
        text: str,
        *,
        retry_after: float | None = None,
        field: str | None = None,
        details: Details | None = None,
    ) -> None:
        super().__init__(code, text, field=field, details=details)
        self.retry_after = DEFAULT_RETRY_AFTER if retry_after is None else retry_after


class RateLimited(TemporaryError):
    """Too much in too short a time, or a quota is used up."""


class Unavailable(TemporaryError):
    """The server is busy, is full, or can't reach its store.

    Only after the code ``unavailable`` is it unknown whether the request had an effect.
    """


class InvalidReply(ChatError):
    """The server's answer can't be used: a fault of the server, or of something between.

    It is unknown whether the request had an effect.
    """


class NotConnected(ConnectionLost):
    """The client is offline; the text says why. Log in first."""


class ClientClosed(NotConnected):
    """The block of :func:`~gochat.client.open_client` has ended, and the client with it."""


class AlreadyLoggedIn(GochatError):
    """The client is logged in, or about to be: log out first."""


class OutboxFull(GochatError):
    """Too many messages wait to be sent: wait until some of them are."""


#: The class of each code of the protocol.
CLASSES: Final[Mapping[ErrorCode | str, type[ChatError]]] = {
    ErrorCode.NOT_LOGGED_IN: AuthenticationError,
    ErrorCode.BAD_CREDENTIALS: AuthenticationError,
    ErrorCode.ACCOUNT_DISABLED: AuthenticationError,
    ErrorCode.ACCOUNT_BANNED: AuthenticationError,
    ErrorCode.BAD_TOKEN: AuthenticationError,
    ErrorCode.NOT_PERMITTED: NotPermitted,
    ErrorCode.REGISTRATION_CLOSED: NotPermitted,
    ErrorCode.BAD_INVITE: NotPermitted,
    ErrorCode.NOT_A_MEMBER: NotAMember,
    ErrorCode.ADDRESS_BANNED: NotPermitted,
    ErrorCode.BANNED: Banned,
    ErrorCode.BLOCKED: Blocked,
    ErrorCode.MUTED: Muted,
    ErrorCode.UNKNOWN_PERSON: NotFound,
    ErrorCode.UNKNOWN_CONVERSATION: NotFound,
    ErrorCode.UNKNOWN_MESSAGE: NotFound,
    ErrorCode.NAME_TAKEN: AlreadyExists,
    ErrorCode.ROOM_EXISTS: AlreadyExists,
    ErrorCode.FRAME_EMPTY: InvalidRequest,
    ErrorCode.FRAME_TOO_LARGE: InvalidRequest,
    ErrorCode.MALFORMED: InvalidRequest,
    ErrorCode.UNKNOWN_TYPE: InvalidRequest,
    ErrorCode.ALREADY_LOGGED_IN: InvalidRequest,
    ErrorCode.BAD_NAME: InvalidRequest,
    ErrorCode.BAD_PASSWORD: InvalidRequest,
    ErrorCode.TEXT_EMPTY: InvalidRequest,
    ErrorCode.TEXT_TOO_LONG: InvalidRequest,
    ErrorCode.CID_CONFLICT: InvalidRequest,
    ErrorCode.OUT_OF_ORDER: InvalidRequest,
    ErrorCode.BAD_CURSOR: InvalidRequest,
    ErrorCode.BAD_REQUEST: InvalidRequest,
    ErrorCode.TOO_MANY: LimitReached,
    ErrorCode.SLOW_MODE: RateLimited,
    ErrorCode.RATE_LIMITED: RateLimited,
    ErrorCode.BUSY: Unavailable,
    ErrorCode.UNAVAILABLE: Unavailable,
    ErrorCode.SERVER_FULL: Unavailable,
    INVALID_REPLY: InvalidReply,
}


#: A code that arrives is a plain text.
_CODES: Final[Mapping[str, ErrorCode]] = {code.value: code for code in ErrorCode}


def chat_error(
    code: ErrorCode | str,
    text: str,
    *,
    retry_after: float | None = None,
    field: str | None = None,
    details: Details | None = None,
) -> ChatError:
    """Return the exception for a refusal with `code`, of the class that the code has."""
    code = _CODES.get(code, code)
    return CLASSES.get(code, ChatError)(
        code, text, retry_after=retry_after, field=field, details=details
    )


def copied(error: ChatError) -> ChatError:
    """Return an equal exception: one object raised in several tasks mixes their tracebacks."""
    return chat_error(
        error.code,
        error.text,
        retry_after=error.retry_after,
        field=error.field,
        details=error.details,
    )
