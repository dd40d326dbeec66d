"""Every exception that gochat raises on purpose, in one tree.

::

    GochatError
     ├── ProtocolError            the peer sent something that the protocol forbids
     │    ├── FrameError          the length prefix is out of bounds: framing is lost, close
     │    ├── MalformedMessage    one frame can't be decoded: refuse it, the connection goes on
     │    ├── UnknownMessageType  one frame has an unknown type: refuse or ignore it
     │    └── UnexpectedMessage   the connection's state doesn't allow it: refuse or ignore it
     ├── LocalProtocolError       we were about to do what the protocol forbids: nothing was sent
     ├── ChatError                a rule of the chat refuses it: reply with its code and go on
     │    └── FactsChanged        the facts that a draft was based on changed: decide again
     ├── StoreUnavailable         the store can't answer now: reply `unavailable`, try again
     │    └── StoreCorrupt        the store can't be trusted: stop, touch nothing
     ├── LogInterrupted           the log has another history: followers start over
     ├── ConnectionLost           the peer is gone, or never answered
     ├── AddressUnavailable       the address can't be listened on now: try again
     └── ConfigError              the configuration can't be used: don't start
          └── OutboxInUse         another program has the outbox open: use another file

What each does to a session is decided in :mod:`gochat.server.session`, and what each does to a
command in :func:`gochat.cli.main`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias


class ErrorCode(StrEnum):
    """The ``code`` of an ``error`` frame. ``docs/reference/protocol.md`` says when each is sent."""

    # The wire.
    FRAME_EMPTY = "frame_empty"
    FRAME_TOO_LARGE = "frame_too_large"
    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown_type"
    # Identity.
    NOT_LOGGED_IN = "not_logged_in"
    ALREADY_LOGGED_IN = "already_logged_in"
    BAD_CREDENTIALS = "bad_credentials"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_BANNED = "account_banned"
    ADDRESS_BANNED = "address_banned"
    BAD_TOKEN = "bad_token"
    NAME_TAKEN = "name_taken"
    BAD_NAME = "bad_name"
    BAD_PASSWORD = "bad_password"
    REGISTRATION_CLOSED = "registration_closed"
    BAD_INVITE = "bad_invite"
    # Conversations.
    UNKNOWN_PERSON = "unknown_person"
    UNKNOWN_CONVERSATION = "unknown_conversation"
    UNKNOWN_MESSAGE = "unknown_message"
    NOT_A_MEMBER = "not_a_member"
    NOT_PERMITTED = "not_permitted"
    BANNED = "banned"
    BLOCKED = "blocked"
    SLOW_MODE = "slow_mode"
    MUTED = "muted"
    ROOM_EXISTS = "room_exists"
    TEXT_EMPTY = "text_empty"
    TEXT_TOO_LONG = "text_too_long"
    CID_CONFLICT = "cid_conflict"
    OUT_OF_ORDER = "out_of_order"
    BAD_CURSOR = "bad_cursor"
    TOO_MANY = "too_many"
    BAD_REQUEST = "bad_request"
    # Load.
    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    SERVER_FULL = "server_full"


#: What an ``error`` frame has in `args`: numbers and short texts, from which a program can make a
#: text of its own.
Details: TypeAlias = Mapping[str, str | int]

#: The names of a code's details; `rule` says which of several it is, as a word for programs. Some
#: are left out where they don't apply. A code that is not listed has none.
DETAILS: Final[Mapping[ErrorCode, frozenset[str]]] = {
    ErrorCode.FRAME_TOO_LARGE: frozenset({"max", "length"}),
    ErrorCode.MALFORMED: frozenset({"path"}),
    ErrorCode.UNKNOWN_TYPE: frozenset({"type"}),
    ErrorCode.ALREADY_LOGGED_IN: frozenset({"name"}),
    ErrorCode.NAME_TAKEN: frozenset({"name", "rule"}),
    ErrorCode.BAD_NAME: frozenset({"rule", "max"}),
    ErrorCode.BAD_PASSWORD: frozenset({"rule", "min", "max"}),
    ErrorCode.UNKNOWN_PERSON: frozenset({"name"}),
    ErrorCode.UNKNOWN_CONVERSATION: frozenset({"conv"}),
    ErrorCode.UNKNOWN_MESSAGE: frozenset({"conv", "seq"}),
    ErrorCode.NOT_A_MEMBER: frozenset({"conv", "name"}),
    ErrorCode.NOT_PERMITTED: frozenset({"rule", "scope"}),
    ErrorCode.BLOCKED: frozenset({"name", "rule"}),
    ErrorCode.SLOW_MODE: frozenset({"conv", "seconds"}),
    ErrorCode.BANNED: frozenset({"conv", "until", "reason"}),
    ErrorCode.ACCOUNT_BANNED: frozenset({"until", "reason"}),
    ErrorCode.ADDRESS_BANNED: frozenset({"until", "reason"}),
    ErrorCode.MUTED: frozenset({"until", "reason"}),
    ErrorCode.ROOM_EXISTS: frozenset({"conv", "rule"}),
    ErrorCode.TEXT_TOO_LONG: frozenset({"max", "length"}),
    ErrorCode.TOO_MANY: frozenset({"rule", "max"}),
    ErrorCode.BAD_REQUEST: frozenset({"rule", "max"}),
    ErrorCode.RATE_LIMITED: frozenset({"limit"}),
    ErrorCode.OUT_OF_ORDER: frozenset({"due"}),
    ErrorCode.BUSY: frozenset({"rule"}),
}

#: Codes that mean "not now": nothing is decided, and the same request may be granted later.
NOT_NOW: Final = frozenset({ErrorCode.RATE_LIMITED, ErrorCode.BUSY, ErrorCode.UNAVAILABLE})


class GochatError(Exception):
    """The root of the tree. Its text is written for people."""


class ProtocolError(GochatError):
    """The peer sent something that the protocol forbids.

    ``code`` and ``details`` are sent to the peer; ``request_id`` and ``cid`` are those of the
    refused request, if they could be read.
    """

    code: ErrorCode = ErrorCode.MALFORMED

    def __init__(
        self,
        text: str,
        *,
        request_id: str | None = None,
        cid: str | None = None,
        details: Details | None = None,
    ) -> None:
        super().__init__(text)
        self.request_id = request_id
        self.cid = cid
        self.details: Details = details or {}


class FrameError(ProtocolError):
    """The length prefix is zero or over the limit. Nothing after it can be read: close."""

    def __init__(self, code: ErrorCode, text: str, *, details: Details | None = None) -> None:
        super().__init__(text, details=details)
        self.code = code


class MalformedMessage(ProtocolError):
    """A complete frame that is not a valid message. The next frame is unaffected."""

    code = ErrorCode.MALFORMED


class UnknownMessageType(ProtocolError):
    """A valid envelope whose ``msg_type`` this side does not know."""

    code = ErrorCode.UNKNOWN_TYPE

    def __init__(
        self, msg_type: str, *, request_id: str | None = None, cid: str | None = None
    ) -> None:
        super().__init__(
            f"unknown msg_type {msg_type[:64]!r}",
            request_id=request_id,
            cid=cid,
            details={"type": msg_type[:64]},
        )
        self.msg_type = msg_type


class UnexpectedMessage(ProtocolError):
    """A valid message that the state of the connection doesn't allow.

    The next frame is unaffected, and so is the state.
    """

    def __init__(
        self,
        text: str,
        code: ErrorCode,
        msg_type: str,
        *,
        request_id: str | None = None,
        cid: str | None = None,
        details: Details | None = None,
    ) -> None:
        super().__init__(text, request_id=request_id, cid=cid, details=details)
        self.code = code
        self.msg_type = msg_type


class LocalProtocolError(GochatError):
    """We were about to send what the protocol forbids. Nothing was sent, and no state changed.

    ``code`` is the one with which the peer would refuse it.
    """

    def __init__(self, text: str, code: ErrorCode) -> None:
        super().__init__(text)
        self.code = code


class ChatError(GochatError):
    """A rule of the chat refuses the request.

    On the server it becomes an ``error`` reply; in the client, an ``error`` reply becomes it.
    ``retry_after`` is in seconds, and only given if trying again later can help. ``field`` names
    the request's field at fault, so that a form can show the text beside it. ``details`` has what
    the text says, for programs: :data:`DETAILS` lists the names for each code.
    """

    def __init__(
        self,
        code: ErrorCode | str,
        text: str,
        *,
        retry_after: float | None = None,
        field: str | None = None,
        details: Details | None = None,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.retry_after = retry_after
        self.field = field
        self.details: Details = details or {}


class FactsChanged(ChatError):
    """The facts that a draft was based on had changed when it was to be appended. Nothing was
    written.

    The caller decides again; a peer only sees this if the facts kept changing.
    """

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.BUSY,
            "the conversation changed at the same time: try again",
            retry_after=0.5,
            details={"rule": "conflict"},
        )


class StoreUnavailable(GochatError):
    """The store can't answer now (down, locked, full).

    The request may or may not have been carried out; repeating it with the same ``cid`` is safe.
    ``retry_after`` is in seconds. The text is for administrators; ``public`` is for everyone,
    without addresses, paths and advice.
    """

    def __init__(self, text: str, *, retry_after: float = 1.0, public: str | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.public = public or "the server's store can't be reached"


class StoreCorrupt(StoreUnavailable):
    """The store's data is damaged, or newer than this program. It is left as it is.

    Trying again does not help. A store that was open refuses everything from then on, and a server
    stops (:meth:`gochat.chat.store.Store.follow` raises it).
    """


class LogInterrupted(GochatError):
    """The log can't be followed from the last position: its history was replaced, or entries are
    gone.

    The follower starts over, and makes its readers resume.
    """


class ConnectionLost(GochatError):
    """The connection to the peer is gone, or could not be made."""


class AddressUnavailable(GochatError):
    """The address can't be listened on now, which may pass: the network is not up yet, or another
    program uses the port."""


class ConfigError(GochatError):
    """The configuration can't be used; the text names the file, the line and the key."""


class OutboxInUse(ConfigError):
    """Another program uses the outbox's file."""
