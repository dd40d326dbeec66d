"""What answers one request: one struct per ``msg_type``. A :class:`Pong` is sent by both sides."""

from __future__ import annotations

from typing import ClassVar

from gochat.protocol.messages.parts import (
    ActivityItem,
    AddressBan,
    Conversation,
    Int,
    Invitation,
    Limits,
    Member,
    Message,
    OpenReport,
    Payload,
    Person,
    Pinned,
    Registration,
    RequestId,
    Restriction,
    Room,
    RoomBan,
    SavedItem,
    Seconds,
    Seq,
    ServerRole,
    Session,
    ShortText,
    Time,
)


class _Reply(Payload, frozen=True, kw_only=True, omit_defaults=True):
    request_id: str | None = None


class Pong(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """Answer a ping, with its `request_id`. `proof` answers a challenge."""

    msg_type: ClassVar[str] = "pong"
    request_id: RequestId | None = None
    proof: ShortText | None = None


class Ok(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """Done; there is nothing to report. `cid` is the request's, if it had one."""

    msg_type: ClassVar[str] = "ok"
    cid: str | None = None


class Error(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A request was refused, and had no effect; only after ``unavailable`` is that unknown.

    `code` is for programs, `text` for people. `retry_after` (seconds) is given if trying again
    can help; `field` names the request's field at fault; `cid` is the refused request's. `args` has
    what `text` says, for programs, to those who have said `Hello` or have capabilities; its names
    depend on the code (:data:`gochat.errors.DETAILS`).
    """

    msg_type: ClassVar[str] = "error"
    code: str
    text: str
    retry_after: Seconds | None = None
    field: str | None = None
    args: dict[str, str | Int] = {}  # noqa: RUF012 - msgspec makes a new one each time
    cid: str | None = None


class ServerInfo(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """What the server is and offers.

    `name` and `motd` (message of the day) are texts of whoever runs it, `version` is its software,
    for people. `protocol` is 1. `caps` are the capabilities that it knows, `login` the ways to log
    in, of which ``password`` is one. `registration` says who may create an account: anybody,
    those who have an invite code, or nobody. `password_min` and `password_max` bound a new
    password, in characters.
    """

    msg_type: ClassVar[str] = "server_info"
    name: str
    version: str
    protocol: Int
    caps: tuple[str, ...]
    registration: Registration
    login: tuple[str, ...]
    password_min: Int
    password_max: Int
    limits: Limits
    motd: str = ""


class Registered(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """The account exists; `name` is the name as others see it."""

    msg_type: ClassVar[str] = "registered"
    name: str


class LoggedIn(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """The connection is logged in as `name`, and events arrive.

    `token` resumes the session until `expires`. `heartbeat` is the interval in seconds at which
    the server pings. `server` is the server's software and version. `caps` are those that the
    client listed and the server knows. `role` is the person's at the server, now.
    """

    msg_type: ClassVar[str] = "logged_in"
    name: str
    token: str
    expires: Time
    limits: Limits
    heartbeat: Seconds
    server: str
    caps: tuple[str, ...] = ()
    role: ServerRole = "member"


class LoggedOut(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """The connection is logged out, as when it was new."""

    msg_type: ClassVar[str] = "logged_out"


class PasswordChanged(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """The new password is valid; every older token is refused from here on.

    `others_ended`: all other sessions of the account have ended; false if that is unknown.
    """

    msg_type: ClassVar[str] = "password_changed"
    token: str
    expires: Time
    others_ended: bool = True


class SessionList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """The account's sessions, oldest first."""

    msg_type: ClassVar[str] = "session_list"
    sessions: tuple[Session, ...]


class CreatedToken(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A program's token, which is shown only here. `id` is that of its session."""

    msg_type: ClassVar[str] = "token"
    id: str
    token: str
    expires: Time


class People(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of who is online; `total` counts everyone; `more`: there are names after the last
    one."""

    msg_type: ClassVar[str] = "people"
    people: tuple[Person, ...]
    total: Int
    more: bool = False


class StatusList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """Those of the people asked for who have a status, each once."""

    msg_type: ClassVar[str] = "status_list"
    people: tuple[Person, ...]


class Sent(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """The entry is committed at this position in the log. `dup`: it already was (same `cid`)."""

    msg_type: ClassVar[str] = "sent"
    to: str
    epoch: str
    seq: Seq
    ts: Time
    cid: str | None = None
    dup: bool = False


class HistoryPage(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """Entries in the order of `seq`, contiguous. `head` is the newest seq of the log.

    `older` and `newer` say whether there are more on that side. A page ends early where the
    next entry would not fit the frame. Entries up to `floor` are hidden from the person, and those
    up to `base` are no longer kept.
    """

    msg_type: ClassVar[str] = "history_page"
    conv: str
    epoch: str
    head: Int
    entries: tuple[Message, ...]
    older: bool = False
    newer: bool = False
    floor: Int = 0
    base: Int = 0


class Found(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """Messages that match, newest first, in their present form.

    `cursor` asks for the next page; null: there is none. A page may hold fewer hits than requested,
    or none, and have a cursor: the server stops after searching a bounded number of messages.
    """

    msg_type: ClassVar[str] = "found"
    hits: tuple[Message, ...]
    cursor: str | None = None


class ActivityList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of what concerns the person, newest first.

    `seen` is the time up to which they have seen it. `cursor` asks for the next page; null: there
    is none. A page may hold fewer items than requested, or none, and have a cursor.
    """

    msg_type: ClassVar[str] = "activity_list"
    items: tuple[ActivityItem, ...]
    seen: Time = 0
    cursor: str | None = None


class PinList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of what is pinned in a conversation, what was pinned last first.

    `seqs` are those of all pinned messages that the person can read, of all pages, in this order.
    """

    msg_type: ClassVar[str] = "pin_list"
    conv: str
    pins: tuple[Pinned, ...]
    seqs: tuple[Seq, ...] = ()
    more: bool = False


class SavedList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of what the person has saved, what was saved last first.

    `cursor` asks for the next page; null: there is none. A page may hold fewer items than
    requested, or none, and have a cursor.
    """

    msg_type: ClassVar[str] = "saved_list"
    items: tuple[SavedItem, ...]
    cursor: str | None = None


class Synced(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the person's conversations that have changed since the client's positions.

    `gone` are those of the positions that are not the person's. `invitations` are all that are
    pending, by room, in the first page; of very many some come without their topic. `next` is
    `after` for the next page; null: this was the last.
    """

    msg_type: ClassVar[str] = "synced"
    conversations: tuple[Conversation, ...]
    gone: tuple[str, ...] = ()
    invitations: tuple[Invitation, ...] = ()
    next: str | None = None


class RoomList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of rooms."""

    msg_type: ClassVar[str] = "room_list"
    rooms: tuple[Room, ...]
    more: bool = False


class MemberList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of a room's members."""

    msg_type: ClassVar[str] = "member_list"
    room: str
    members: tuple[Member, ...]
    total: Int
    more: bool = False


class BanList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of those who are banned from a room."""

    msg_type: ClassVar[str] = "ban_list"
    room: str
    bans: tuple[RoomBan, ...]
    more: bool = False


class RestrictionList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of those who are banned from the server or muted."""

    msg_type: ClassVar[str] = "restriction_list"
    restrictions: tuple[Restriction, ...]
    more: bool = False


class AddressBanList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the addresses and networks that are banned."""

    msg_type: ClassVar[str] = "address_ban_list"
    bans: tuple[AddressBan, ...]
    more: bool = False


class ReportList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the reports that wait for somebody."""

    msg_type: ClassVar[str] = "report_list"
    reports: tuple[OpenReport, ...]
    more: bool = False


class BlockList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the names of those whom the person blocks."""

    msg_type: ClassVar[str] = "block_list"
    names: tuple[str, ...]
    more: bool = False
