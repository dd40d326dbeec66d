"""What a client sends: one struct per ``msg_type``. Each says by what it is answered."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from gochat.protocol.messages.parts import (
    Cid,
    DeviceName,
    Form,
    HistorySetting,
    Int,
    Level,
    Number,
    PageSize,
    Payload,
    Position,
    RequestId,
    RestrictionKind,
    Seq,
    ShortText,
    Time,
    TokenScope,
    WholeSeconds,
)


class _Request(Payload, frozen=True, kw_only=True, omit_defaults=True):
    request_id: RequestId | None = None


class Write(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """The base of the requests that write to the log.

    `n` numbers those of a connection 1, 2, 3 … from each login. The server takes only the number
    that is due: while a write is refused for now, none after it is taken.
    """

    n: Number | None = None


class Hello(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Ask what the server is and offers. Any state. Answered by `ServerInfo`.

    From then on the errors that this connection is sent have `args`.
    """

    msg_type: ClassVar[str] = "hello"


class Register(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Create an account. Before login. Answered by `Registered`; does not log in."""

    msg_type: ClassVar[str] = "register"
    name: ShortText
    password: str
    invite: ShortText | None = None


class Login(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Log this connection in. Answered by `LoggedIn`."""

    msg_type: ClassVar[str] = "login"
    name: ShortText
    password: str
    caps: tuple[ShortText, ...] = ()
    device: DeviceName = ""


class Resume(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Log in with a session token. Answered by `LoggedIn`."""

    msg_type: ClassVar[str] = "resume"
    token: ShortText
    caps: tuple[ShortText, ...] = ()


class Logout(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Log out: revokes the token, which ends all connections that use it; this one may log in
    again. Answered by `LoggedOut`."""

    msg_type: ClassVar[str] = "logout"


class ChangePassword(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Set a new password. Every token of the account is revoked, and its other sessions end.
    Answered by `PasswordChanged`, which has a new token."""

    msg_type: ClassVar[str] = "change_password"
    old: str
    new: str


class Sessions(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List the account's sessions, oldest first. Answered by `SessionList`."""

    msg_type: ClassVar[str] = "sessions"


class EndSession(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """End a session of the account; null: all others. Answered by `Ok` once they have ended."""

    msg_type: ClassVar[str] = "end_session"
    id: ShortText | None = None


class CreateToken(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Make a token for a program, valid for `lifetime` seconds. Answered by `CreatedToken`.

    `rooms`: the only conversations that it may see; empty: all of the person's.
    """

    msg_type: ClassVar[str] = "create_token"
    device: DeviceName
    scopes: Annotated[tuple[TokenScope, ...], Meta(min_length=1, max_length=3)]
    lifetime: Annotated[int, Meta(ge=1, le=31_536_000)]
    rooms: Annotated[tuple[ShortText, ...], Meta(max_length=16)] = ()


class Who(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List who is online, by name, from after `after`. Answered by `People`."""

    msg_type: ClassVar[str] = "who"
    after: ShortText = ""
    limit: PageSize = 1000


class Away(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Set the away notice, or clear it with null. Answered by `Ok`."""

    msg_type: ClassVar[str] = "away"
    text: str | None = None


class SetStatus(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Set the person's status for `seconds`, 0: until it is taken back; or take it back, if `emoji`
    and `text` are empty. Answered by `Ok`."""

    msg_type: ClassVar[str] = "set_status"
    emoji: ShortText = ""
    text: str = ""
    seconds: WholeSeconds = 0


class Statuses(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Ask for the status of people, whether or not they are online. Answered by `StatusList`."""

    msg_type: ClassVar[str] = "statuses"
    names: Annotated[tuple[ShortText, ...], Meta(min_length=1, max_length=50)]


class Send(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Send a message to everyone (``#lobby``), a room or a person. Answered by `Sent`.

    The keys of `meta` are of the form ``prefix/name``; keys and values have at most 1 KiB.
    """

    msg_type: ClassVar[str] = "send"
    to: ShortText
    text: str
    reply_to: Int | None = None
    form: Form = "text"
    meta: dict[str, str] = {}  # noqa: RUF012 - msgspec makes a new one each time
    cid: Cid | None = None


class Edit(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Change the text of one's own message. Answered by `Sent`."""

    msg_type: ClassVar[str] = "edit"
    to: ShortText
    seq: Int
    text: str
    cid: Cid | None = None


class Delete(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Delete one's own message (operators: anyone's in the room). Answered by `Sent`."""

    msg_type: ClassVar[str] = "delete"
    to: ShortText
    seq: Int
    reason: str = ""
    cid: Cid | None = None


class React(Write, frozen=True, kw_only=True, omit_defaults=True):
    """React to a message with an emoji, or remove the reaction with ``on=false``. Answered by
    `Sent`."""

    msg_type: ClassVar[str] = "react"
    to: ShortText
    seq: Int
    emoji: ShortText
    on: bool = True
    cid: Cid | None = None


class Pin(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Pin a message for everybody in its conversation, or remove that with ``on=false``. Operators
    of a room can, moderators in the lobby, both people in a private conversation. Answered by
    `Sent`."""

    msg_type: ClassVar[str] = "pin"
    to: ShortText
    seq: Int
    on: bool = True
    cid: Cid | None = None


class Pins(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List what is pinned in a conversation, what was pinned last first. `before` is the `seq` of
    the last `Pinned` of the page before. Answered by `PinList`."""

    msg_type: ClassVar[str] = "pins"
    conv: ShortText
    before: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class History(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Get a page of a conversation's log. Answered by `HistoryPage`.

    Give at most one of `before`, `after` (both exclusive), `around` and `at`; without any, the
    newest page is returned. `at` stands for `around` the first entry that is not older.
    """

    msg_type: ClassVar[str] = "history"
    conv: ShortText
    before: Int | None = None
    after: Int | None = None
    around: Int | None = None
    at: Time | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class Search(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Find messages that contain `query`, newest first, in `conv` or in everything readable.

    Answered by `Found`. `cursor` is from the previous page.
    """

    msg_type: ClassVar[str] = "search"
    query: ShortText
    conv: ShortText | None = None
    cursor: ShortText | None = None
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class Sync(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Catch up with the conversations after the address `after`, by address. Answered by `Synced`.

    `have` is what the client has; `limit` bounds the entries of each conversation.
    """

    msg_type: ClassVar[str] = "sync"
    after: ShortText = ""
    have: tuple[Position, ...] = ()
    limit: Annotated[int, Meta(ge=0, le=200)] = 50


class Mark(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Move the read marker forward to `read`, choose the `level` of what to be notified of, or
    both. Null leaves it as it is; a marker never moves back. Answered by `Ok`."""

    msg_type: ClassVar[str] = "mark"
    conv: ShortText
    read: Int | None = None
    level: Level | None = None


class Activity(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Ask for what concerns the person: who mentions them, or replies or reacts to what they wrote,
    newest first. `cursor` is that of the page before. Answered by `ActivityList`."""

    msg_type: ClassVar[str] = "activity"
    cursor: ShortText = ""
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class MarkActivity(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """The person has seen their activity up to this time; it never moves back. Answered by `Ok`."""

    msg_type: ClassVar[str] = "mark_activity"
    seen: Time


class Save(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Save a message in the person's own list, or take it from there with ``on=false``. Answered by
    `Ok`."""

    msg_type: ClassVar[str] = "save"
    to: ShortText
    seq: Seq
    on: bool = True


class Saved(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List what the person has saved, what was saved last first. `cursor` is that of the page
    before. Answered by `SavedList`."""

    msg_type: ClassVar[str] = "saved"
    cursor: ShortText = ""
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class Typing(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Notify the others that the person is typing; at most one every 3 s is passed on. Not answered
    unless it has a `request_id`."""

    msg_type: ClassVar[str] = "typing"
    to: ShortText


class CreateRoom(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Create a room and become its first member and operator. Answered by `Sent`."""

    msg_type: ClassVar[str] = "create_room"
    room: ShortText
    topic: str = ""
    private: bool = False
    cid: Cid | None = None


class Join(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Join a public room, or one that the person was invited to. Answered by `Sent`."""

    msg_type: ClassVar[str] = "join"
    room: ShortText
    cid: Cid | None = None


class Leave(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Leave a room. Answered by `Sent`."""

    msg_type: ClassVar[str] = "leave"
    room: ShortText
    reason: str = ""
    cid: Cid | None = None


class Invite(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Invite a person to a room. Answered by `Sent`."""

    msg_type: ClassVar[str] = "invite"
    room: ShortText
    name: ShortText
    cid: Cid | None = None


class Kick(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Remove a person from a room (operators). Answered by `Sent`."""

    msg_type: ClassVar[str] = "kick"
    room: ShortText
    name: ShortText
    reason: str = ""
    cid: Cid | None = None


class Ban(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Ban a person from a room (operators): remove them, or withdraw their invitation, and keep
    them out for `seconds`; null: until `Unban`. Answered by `Sent`."""

    msg_type: ClassVar[str] = "ban"
    room: ShortText
    name: ShortText
    seconds: Annotated[int, Meta(ge=1, le=31_536_000)] | None = None
    reason: str = ""
    cid: Cid | None = None


class Unban(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Lift a ban from a room (operators). Answered by `Sent`."""

    msg_type: ClassVar[str] = "unban"
    room: ShortText
    name: ShortText
    cid: Cid | None = None


class Decline(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Turn down an invitation to a room. Answered by `Ok`, also if none is pending."""

    msg_type: ClassVar[str] = "decline"
    room: ShortText
    cid: Cid | None = None


class SetTopic(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Set a room's topic (operators). Answered by `Sent`."""

    msg_type: ClassVar[str] = "set_topic"
    room: ShortText
    topic: str
    cid: Cid | None = None


class SetOperator(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Make a member an operator, or no longer one (operators). Answered by `Sent`."""

    msg_type: ClassVar[str] = "set_operator"
    room: ShortText
    name: ShortText
    on: bool = True
    cid: Cid | None = None


class SetAccess(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Make a room private (by invitation only) or public (operators). Answered by `Sent`.

    `history` is required to make a private room public: whether people who join then can read
    older entries.
    """

    msg_type: ClassVar[str] = "set_access"
    room: ShortText
    private: bool
    history: HistorySetting | None = None
    cid: Cid | None = None


class SetHistory(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Choose whether people who join a private room from now on can read older entries (operators).
    Answered by `Sent`."""

    msg_type: ClassVar[str] = "set_history"
    room: ShortText
    history: HistorySetting
    cid: Cid | None = None


class SetSlowMode(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Let each member write a message only once in so many seconds; 0: as often as they like
    (operators). Answered by `Sent`."""

    msg_type: ClassVar[str] = "set_slow_mode"
    room: ShortText
    seconds: Annotated[int, Meta(ge=0, le=21_600)]
    cid: Cid | None = None


class SetAnnouncements(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Let only operators write, or all members (operators). Answered by `Sent`."""

    msg_type: ClassVar[str] = "set_announcements"
    room: ShortText
    on: bool
    cid: Cid | None = None


class SetArchived(Write, frozen=True, kw_only=True, omit_defaults=True):
    """Archive a room, in which then nobody writes, or bring it back (operators). Answered by
    `Sent`."""

    msg_type: ClassVar[str] = "set_archived"
    room: ShortText
    on: bool
    cid: Cid | None = None


class Rooms(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List the public rooms and the person's own, by name, from after `after`. Answered by
    `RoomList`."""

    msg_type: ClassVar[str] = "rooms"
    after: ShortText = ""
    limit: PageSize = 200


class Members(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List the members of a room, by name, from after `after`. Answered by `MemberList`."""

    msg_type: ClassVar[str] = "members"
    room: ShortText
    after: ShortText = ""
    limit: PageSize = 1000


class Bans(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List who is banned from a room, by name, from after `after` (operators). Answered by
    `BanList`."""

    msg_type: ClassVar[str] = "bans"
    room: ShortText
    after: ShortText = ""
    limit: PageSize = 200


class Block(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Block a person: no private messages, mentions or invitations from them. Answered by `Ok`."""

    msg_type: ClassVar[str] = "block"
    name: ShortText


class Unblock(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """No longer block a person. Answered by `Ok`."""

    msg_type: ClassVar[str] = "unblock"
    name: ShortText


class Blocks(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List whom the person blocks, by name, from after `after`. Answered by `BlockList`."""

    msg_type: ClassVar[str] = "blocks"
    after: ShortText = ""
    limit: PageSize = 1000


class Restrict(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Ban a person from the server, or mute them in the lobby and public rooms (moderators), for
    `seconds`; null: until `Unrestrict`. Answered by `Ok`."""

    msg_type: ClassVar[str] = "restrict"
    name: ShortText
    kind: RestrictionKind
    seconds: Annotated[int, Meta(ge=1, le=31_536_000)] | None = None
    reason: str = ""


class Unrestrict(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Lift a ban from the server, or a mute (moderators). Answered by `Ok`."""

    msg_type: ClassVar[str] = "unrestrict"
    name: ShortText
    kind: RestrictionKind


class Restrictions(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List who is banned from the server or muted, by name, from after `after` (moderators).
    Answered by `RestrictionList`."""

    msg_type: ClassVar[str] = "restrictions"
    after: ShortText = ""
    limit: PageSize = 200


class BanAddress(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Ban an address or a network (admins): nobody connects from there, whoever they are, for
    `seconds`; null: until `UnbanAddress`. Answered by `Ok`."""

    msg_type: ClassVar[str] = "ban_address"
    network: ShortText
    seconds: Annotated[int, Meta(ge=1, le=31_536_000)] | None = None
    reason: str = ""


class UnbanAddress(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Lift the ban of an address or a network (admins). Answered by `Ok`."""

    msg_type: ClassVar[str] = "unban_address"
    network: ShortText


class AddressBans(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List the addresses and networks that are banned, in their order, from after `after` (admins).
    Answered by `AddressBanList`."""

    msg_type: ClassVar[str] = "address_bans"
    after: ShortText = ""
    limit: PageSize = 200


class HandOver(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Make a person an operator of a public room, and a member if they are not in it (admins).
    Answered by `Ok`."""

    msg_type: ClassVar[str] = "hand_over"
    room: ShortText
    name: ShortText
    reason: str = ""


class Report(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Report messages of a conversation to the moderators, who get copies of them. Answered by
    `Ok`."""

    msg_type: ClassVar[str] = "report"
    to: ShortText
    seqs: Annotated[tuple[Seq, ...], Meta(min_length=1, max_length=10)]
    reason: str = ""


class Reports(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List the reports that wait for somebody of this role, by id, from after `after` (moderators).
    Answered by `ReportList`."""

    msg_type: ClassVar[str] = "reports"
    after: Int = 0
    limit: PageSize = 50


class ResolveReport(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Resolve a report: it was looked into (moderators). `note` says what came of it. Answered by
    `Ok`."""

    msg_type: ClassVar[str] = "resolve_report"
    id: Int
    note: str = ""


class Ping(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Ask for a sign of life. Either side may send it; answered by `Pong`. Any state.

    `challenge` asks the server to prove that it belongs to this user.
    """

    msg_type: ClassVar[str] = "ping"
    challenge: ShortText | None = None
