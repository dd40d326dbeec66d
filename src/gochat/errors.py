"""Every exception that gochat raises on purpose, in one tree.

::

    GochatError
     ├── ProtocolError            the peer sent something that the protocol forbids
     │    ├── FrameError          the length prefix is out of bounds: framing is lost, close
     │    ├── MalformedMessage    one frame does not decode: refuse it, the connection lives
     │    └── UnknownMessageType  one frame has a type we don't know: refuse or ignore it
     ├── ChatError                a rule of the chat says no: reply with its code and go on
     │    └── FactsChanged        what a draft was decided on has changed: decide again
     ├── StoreUnavailable         the store can't answer now: reply `unavailable`, try again
     │    └── StoreCorrupt        the store can't be trusted: stop, touch nothing
     ├── LogInterrupted           the log has another history: who follows it starts anew
     ├── ConnectionLost           the peer is gone, or never answered
     ├── AddressUnavailable       the address to listen on is not there now: try again
     └── ConfigError              the configuration can't be used: don't start
          └── OutboxInUse         another program has the outbox: take another file

What each does to a session is decided in one place, :mod:`gochat.server.session`. What each does
to a command is decided in one place, :func:`gochat.cli.main`.
"""

from __future__ import annotations

from enum import StrEnum


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
    ROOM_EXISTS = "room_exists"
    TEXT_EMPTY = "text_empty"
    TEXT_TOO_LONG = "text_too_long"
    CID_CONFLICT = "cid_conflict"
    BAD_REQUEST = "bad_request"
    # Load.
    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    SERVER_FULL = "server_full"


class GochatError(Exception):
    """The root of the tree. Its text is written for the person who reads it."""


class ProtocolError(GochatError):
    """The peer sent what the protocol forbids.

    ``code`` is what the peer is told; ``request_id`` is the refused request's, where it could be
    read.
    """

    code: ErrorCode = ErrorCode.MALFORMED

    def __init__(self, text: str, *, request_id: str | None = None) -> None:
        super().__init__(text)
        self.request_id = request_id


class FrameError(ProtocolError):
    """The length prefix is zero or over the limit. Nothing after it can be read: close."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class MalformedMessage(ProtocolError):
    """A whole frame that is no valid message. The next frame is unaffected."""

    code = ErrorCode.MALFORMED


class UnknownMessageType(ProtocolError):
    """A valid envelope whose ``msg_type`` this side does not know."""

    code = ErrorCode.UNKNOWN_TYPE

    def __init__(self, msg_type: str, *, request_id: str | None = None) -> None:
        super().__init__(f"unknown msg_type {msg_type[:64]!r}", request_id=request_id)
        self.msg_type = msg_type


class ChatError(GochatError):
    """A rule of the chat says no.

    On the server it becomes an ``error`` reply; in the client, an ``error`` reply becomes it.
    ``retry_after`` is in seconds, and only there when trying again later can help. ``field``
    names the request's field at fault, so that a form can show the text beside it.
    """

    def __init__(
        self,
        code: ErrorCode | str,
        text: str,
        *,
        retry_after: float | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.retry_after = retry_after
        self.field = field


class FactsChanged(ChatError):
    """What a draft was decided on was not so any more when it was to be appended. Nothing was
    written. Who decided decides again; a peer only sees this where it went on changing."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.BUSY,
            "the conversation changed at the same moment: try again",
            retry_after=0.5,
        )


class StoreUnavailable(GochatError):
    """The store can't answer now (down, locked, full). What was asked for did not happen, or it
    is not known whether it did; asking again with the same ``cid`` is safe.

    The text is for administrators; ``public`` is what everybody may know, without addresses, paths
    and what could be done about it.
    """

    def __init__(self, text: str, *, retry_after: float = 1.0, public: str | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.public = public or "the server's store can't be reached"


class StoreCorrupt(StoreUnavailable):
    """The store's data is damaged, or newer than this program. It is left as it is.

    Trying again does not help. A store that was open refuses everything from then on, and a server
    stops (:meth:`gochat.chat.store.Store.follow` tells it).
    """


class LogInterrupted(GochatError):
    """The log can't be followed on from where one was: its history is another now, or what lies
    between is gone. Who follows starts anew, and has its readers resume."""


class ConnectionLost(GochatError):
    """The connection to the peer is gone, or could not be made."""


class AddressUnavailable(GochatError):
    """The address can't be listened on now, which may pass: the network is not up yet, or another
    program has the port."""


class ConfigError(GochatError):
    """The configuration can't be used; the text names the file, the line and the key."""


class OutboxInUse(ConfigError):
    """Another program uses the outbox's file."""
