"""What the server sends unasked: one struct per ``msg_type``; and the reasons of `Bye`."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from msgspec import field

from gochat.protocol.messages.parts import (
    Int,
    Level,
    Payload,
    Person,
    Seconds,
    Seq,
    ServerRole,
    Time,
)


class Presence(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """Who came online (or changed the away notice or status) and who left, since the last of these.

    Sent to everyone, of a status to those with the capability `status`; combines the changes of up
    to 100 ms. A person in both lists has left and come back, or the reverse; `online` then holds.
    """

    msg_type: ClassVar[str] = "presence"
    online: tuple[Person, ...] = ()
    offline: tuple[str, ...] = ()


class Marked(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """The person's read marker or level in a conversation changed (here or on another device)."""

    msg_type: ClassVar[str] = "marked"
    conv: str
    read: Int
    unread: Int = 0
    mentions: Int = 0
    level: Level = "all"


class ActivityChanged(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """What concerns the person has changed, or up to when they have seen it: ask by `Activity`."""

    msg_type: ClassVar[str] = "activity_changed"


class SavedChanged(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """The person has saved a message, or taken it from the list, on one of their devices."""

    msg_type: ClassVar[str] = "saved_changed"
    conv: str
    seq: Seq
    on: bool = True


class RoleChanged(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """The person has another role at the server now than the one in `LoggedIn`, or in the last of
    these."""

    msg_type: ClassVar[str] = "role_changed"
    role: ServerRole = "member"


class Invited(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """The person is invited to a room: the fields are those of an `Invitation`.

    It is pending until `Uninvited`.
    """

    msg_type: ClassVar[str] = "invited"
    room: str
    from_: str = field(name="from")
    ts: Time
    topic: str = ""


class Uninvited(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """An invitation is no longer pending: it was used, declined or withdrawn, or nobody can join
    the room any more."""

    msg_type: ClassVar[str] = "uninvited"
    room: str


class Blocked(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """The person blocks `name`, by this session or another one of theirs."""

    msg_type: ClassVar[str] = "blocked"
    name: str


class Unblocked(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """The person no longer blocks `name`."""

    msg_type: ClassVar[str] = "unblocked"
    name: str


class IsTyping(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """`from` is typing in `to`, which the receiver sees as `conv`, if that is given; expires after
    6 s."""

    msg_type: ClassVar[str] = "is_typing"
    to: str
    from_: str = field(name="from")
    conv: str | None = None

    @property
    def conversation(self) -> str:
        """The conversation, as the receiver sees it."""
        return self.to if self.conv is None else self.conv


class Reported(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody has reported messages, and the person may handle that: see `OpenReport`.

    `names` are the people whom it is about.
    """

    msg_type: ClassVar[str] = "reported"
    id: Int
    ts: Time
    from_: str = field(name="from")
    conv: str
    names: tuple[str, ...]
    reason: str = ""


class ReportClosed(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """A report that the person may handle is no longer open: somebody has resolved it, or it is not
    kept any longer."""

    msg_type: ClassVar[str] = "report_closed"
    id: Int


class NewLogin(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """The account has logged in on another connection, from an address that is new for it.

    `by` is ``password`` or ``token``. Of an IPv6 address only the first 64 bits are given.
    """

    msg_type: ClassVar[str] = "new_login"
    address: str
    by: str


class Bye(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """The server closes this connection now; always its last frame.

    ``retry_after`` (seconds) says when to reconnect; without it, reconnecting is up to the person.
    """

    msg_type: ClassVar[str] = "bye"
    reason: str
    text: str = ""
    retry_after: Seconds | None = None


class ByeReason(StrEnum):
    """Why the server closes a connection."""

    SERVER_CLOSING = "server_closing"
    SLOW_CONSUMER = "slow_consumer"
    PROTOCOL_ERROR = "protocol_error"
    LOGIN_TIMEOUT = "login_timeout"
    HEARTBEAT_TIMEOUT = "heartbeat_timeout"
    FRAME_TIMEOUT = "frame_timeout"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    SERVER_FULL = "server_full"
    REPLACED = "replaced"
    SESSION_REVOKED = "session_revoked"
    ADDRESS_BANNED = "address_banned"
    INTERNAL = "internal"
