"""The payloads: one struct per ``msg_type``, in three tagged unions.

:data:`Request` is what a client sends, :data:`Reply` what answers one request, :data:`Event` what
the server sends unasked. The tag is not in the payload but in the envelope; a class has its tag in
``msg_type``. ``docs/reference/protocol.md`` is the normative text, with every bound.

Conventions: times are integers, milliseconds since the Unix epoch. A conversation is named as the
person sees it: ``#lobby``, ``#room``, or ``@name`` for the private one with *name*. Unknown fields
are ignored; a field left out has its default, so a field that has its default need not be sent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta, Struct, field

LOBBY: Final = "#lobby"

#: Integers stay in the range that every JSON implementation keeps exactly.
Int: TypeAlias = Annotated[int, Meta(ge=0, le=2**53 - 1)]
#: The number of an entry in its conversation: they count from 1.
Seq: TypeAlias = Annotated[int, Meta(ge=1, le=2**53 - 1)]
#: A moment, in milliseconds since the Unix epoch. The maximum is a day before the end of the year
#: 9999, so that it is a date in every time zone.
MAX_TIME: Final = 253_402_214_400_000
Time: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_TIME)]
#: A time span, at most a year. Infinity and NaN are not JSON, but 1e308 is.
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=31_536_000)]
#: A correlation id: chosen by the client, and echoed.
RequestId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
#: A client's id for one log entry that it writes, unique per sender; a retry carries the same.
Cid: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
#: A name, conversation, token, invite or emoji as it arrives; the chat's rules check it further.
ShortText: TypeAlias = Annotated[str, Meta(max_length=256)]
PageSize: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]


class Capability(StrEnum):
    """What a client can list in ``caps`` at login, to receive more than the six functions need."""

    #: ``sent`` for everything it writes, with or without a ``request_id``.
    ACKS = "acks"
    #: Log entries of every kind (edits, reactions, joins …), so that `seq` has no gaps for it.
    LOG = "log"
    #: ``ping``, to be answered by ``pong`` in time.
    HEARTBEAT = "heartbeat"
    #: ``marked`` when another session of the account moved a read marker or changed a level.
    MARKERS = "markers"
    #: ``typing``.
    TYPING = "typing"
    #: ``new_login`` when the account has logged in from an address that is new for it.
    LOGINS = "logins"


class Payload(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of every payload: immutable, and tagged by its class."""

    msg_type: ClassVar[str]


class _Request(Payload, frozen=True, kw_only=True, omit_defaults=True):
    request_id: RequestId | None = None


class _Reply(Payload, frozen=True, kw_only=True, omit_defaults=True):
    request_id: str | None = None


#: What a person wants to be notified of in a conversation.
Level: TypeAlias = Literal["all", "mentions", "none"]
#: Whether people who join a room can read older entries.
HistorySetting: TypeAlias = Literal["shown", "hidden"]


# -- parts -------------------------------------------------------------------------------------


class Position(Struct, frozen=True, kw_only=True):
    """How far a client has read the log of one conversation: it has every entry up to `seq`."""

    conv: ShortText
    epoch: ShortText
    seq: Int


class Person(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person who is online. `away` is their notice while they are away."""

    name: str
    away: str | None = None


class Conversation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation as one person sees it.

    `head` is the newest seq in the log, `read` the person's read marker, `unread` the number of
    other people's messages after it, and `mentions` the number of those that mention the person.
    `level` is what the person wants to be notified of. `topic`, `operator`, `private`, `history`
    and `floor` belong to rooms: entries up to `floor` are hidden from the person.
    """

    conv: str
    epoch: str
    head: Int
    read: Int = 0
    unread: Int = 0
    mentions: Int = 0
    level: Level = "all"
    topic: str = ""
    operator: bool = False
    private: bool = False
    history: HistorySetting = "shown"
    floor: Int = 0


class Room(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A room in the list of rooms. `joined`: the person who asked is a member."""

    room: str
    topic: str = ""
    members: Int = 0
    private: bool = False
    joined: bool = False


class Member(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member of a room; `since` is when they joined (milliseconds since the Unix epoch)."""

    name: str
    since: Time
    operator: bool = False
    online: bool = False


class Limits(Struct, frozen=True, kw_only=True):
    """The server's limits that a client can respect by itself."""

    frame_bytes: Int
    text_chars: Int
    burst: Int
    per_second: Annotated[float, Meta(ge=0)]
    history_page: Int


#: What a log entry is. ``text`` is a message; the others change a message or the room.
EntryKind: TypeAlias = Literal[
    "text", "edit", "delete", "react", "unreact",
    "create", "join", "leave", "invite", "kick", "topic", "operator", "member", "access",
    "history",
]  # fmt: skip


class Reaction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often `emoji` was given, by whom (the first ten), and whether the reader gave it
    (`me`)."""

    emoji: str
    count: Int
    names: tuple[str, ...] = ()
    me: bool = False


class Message(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a conversation's log; also the event that delivers it.

    `to` is where the sender sent it, so one encoding serves all: a receiver whose own name is not
    `from` finds the private conversation ``@mei`` under ``to="@bob", from="mei"``.

    ========== ==================== ============================================
    `kind`     `ref`                `text`
    ========== ==================== ============================================
    text       seq it replies to    the message
    edit       seq it changes       the new text
    delete     seq it deletes       empty
    react      seq it reacts to     the emoji
    unreact    seq it reacted to    the emoji
    create     –                    ``public`` or ``private``
    join       –                    empty
    leave      –                    empty
    invite     –                    the name of the person invited
    kick       –                    the name of the person removed
    topic      –                    the new topic
    operator   –                    the name of the new operator
    member     –                    the name of the former operator
    access     –                    ``public`` or ``private``
    history    –                    ``shown`` or ``hidden``
    ========== ==================== ============================================

    In replies to `History`, `Search` and after `Resume` a ``text`` entry is given in its present
    form: `edited` is the seq of the edit whose text it has, `deleted` means that it was deleted,
    and `reactions` are those at that moment. An ``edit`` that is `deleted` has lost its text: a
    later edit, or a deletion, follows. `cid` is the sender's, for their own devices.

    An ``edit``, ``react`` or ``unreact`` of a message that is hidden from the reader, because they
    joined after it, is `deleted`, and has no text.
    """

    msg_type: ClassVar[str] = "message"
    to: str
    epoch: str
    seq: Seq
    ts: Time
    from_: str = field(name="from")
    kind: EntryKind = "text"
    text: str = ""
    ref: Int | None = None
    cid: str | None = None
    mentions: tuple[str, ...] = ()
    edited: Int | None = None
    deleted: bool = False
    reactions: tuple[Reaction, ...] = ()


# -- requests ----------------------------------------------------------------------------------


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


class Resume(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Log in with a session token, and receive what was missed since `positions`.

    Answered by `LoggedIn`, then one `CaughtUp` for each position, each followed by the entries
    that it announces.
    """

    msg_type: ClassVar[str] = "resume"
    token: ShortText
    caps: tuple[ShortText, ...] = ()
    positions: tuple[Position, ...] = ()


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


class Who(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List who is online, by name, from after `after`. Answered by `People`."""

    msg_type: ClassVar[str] = "who"
    after: ShortText = ""
    limit: PageSize = 1000


class Away(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Set the away notice, or clear it with null. Answered by `Ok`."""

    msg_type: ClassVar[str] = "away"
    text: ShortText | None = None


class Send(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Send a message to everyone (``#lobby``), a room or a person. Answered by `Sent`."""

    msg_type: ClassVar[str] = "send"
    to: ShortText
    text: str
    reply_to: Int | None = None
    cid: Cid | None = None


class Edit(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Change the text of one's own message. Answered by `Sent`."""

    msg_type: ClassVar[str] = "edit"
    to: ShortText
    seq: Int
    text: str
    cid: Cid | None = None


class Delete(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Delete one's own message (operators: anyone's in the room). Answered by `Sent`."""

    msg_type: ClassVar[str] = "delete"
    to: ShortText
    seq: Int
    cid: Cid | None = None


class React(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """React to a message with an emoji, or remove the reaction with ``on=false``. Answered by
    `Sent`."""

    msg_type: ClassVar[str] = "react"
    to: ShortText
    seq: Int
    emoji: ShortText
    on: bool = True
    cid: Cid | None = None


class History(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Get a page of a conversation's log. Answered by `HistoryPage`.

    Give at most one of `before`, `after` (both exclusive) and `around`; without any, the
    newest page is returned.
    """

    msg_type: ClassVar[str] = "history"
    conv: ShortText
    before: Int | None = None
    after: Int | None = None
    around: Int | None = None
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


class Conversations(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """List the person's conversations, by name, from after `after`. Answered by
    `ConversationList`."""

    msg_type: ClassVar[str] = "conversations"
    after: ShortText = ""
    limit: PageSize = 200


class MarkRead(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Move the read marker forward to `seq`; it never moves back. Answered by `Ok`."""

    msg_type: ClassVar[str] = "mark_read"
    conv: ShortText
    seq: Int


class SetLevel(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Choose what to be notified of in a conversation. Answered by `Ok`."""

    msg_type: ClassVar[str] = "set_level"
    conv: ShortText
    level: Level


class Typing(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Notify the others that the person is typing; at most one every 3 s is passed on. Not answered
    unless it has a `request_id`."""

    msg_type: ClassVar[str] = "typing"
    to: ShortText


class CreateRoom(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Create a room and become its first member and operator. Answered by `Sent`."""

    msg_type: ClassVar[str] = "create_room"
    room: ShortText
    topic: ShortText = ""
    private: bool = False
    cid: Cid | None = None


class Join(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Join a public room, or one that the person was invited to. Answered by `Sent`."""

    msg_type: ClassVar[str] = "join"
    room: ShortText
    cid: Cid | None = None


class Leave(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Leave a room. Answered by `Sent`."""

    msg_type: ClassVar[str] = "leave"
    room: ShortText
    cid: Cid | None = None


class Invite(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Invite a person to a room. Answered by `Sent`."""

    msg_type: ClassVar[str] = "invite"
    room: ShortText
    name: ShortText
    cid: Cid | None = None


class Kick(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Remove a person from a room (operators). Answered by `Sent`."""

    msg_type: ClassVar[str] = "kick"
    room: ShortText
    name: ShortText
    cid: Cid | None = None


class SetTopic(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Set a room's topic (operators). Answered by `Sent`."""

    msg_type: ClassVar[str] = "set_topic"
    room: ShortText
    topic: ShortText
    cid: Cid | None = None


class SetOperator(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Make a member an operator, or no longer one (operators). Answered by `Sent`."""

    msg_type: ClassVar[str] = "set_operator"
    room: ShortText
    name: ShortText
    on: bool = True
    cid: Cid | None = None


class SetAccess(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Make a room private (by invitation only) or public (operators). Answered by `Sent`.

    `history` is required to make a private room public: whether people who join then can read
    older entries.
    """

    msg_type: ClassVar[str] = "set_access"
    room: ShortText
    private: bool
    history: HistorySetting | None = None
    cid: Cid | None = None


class SetHistory(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Choose whether people who join a private room from now on can read older entries (operators).
    Answered by `Sent`."""

    msg_type: ClassVar[str] = "set_history"
    room: ShortText
    history: HistorySetting
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


class Ping(_Request, frozen=True, kw_only=True, omit_defaults=True):
    """Ask for a sign of life. Either side may send it; answered by `Pong`. Any state.

    `challenge` asks the server to prove that it belongs to this user.
    """

    msg_type: ClassVar[str] = "ping"
    challenge: ShortText | None = None


class Pong(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """Answer a ping, with its `request_id`. `proof` answers a challenge."""

    msg_type: ClassVar[str] = "pong"
    proof: ShortText | None = None


# -- replies -----------------------------------------------------------------------------------


class Ok(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """Done; there is nothing to report."""

    msg_type: ClassVar[str] = "ok"


class Error(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A request was refused, and had no effect; only after ``unavailable`` is that unknown.

    `code` is for programs, `text` for people. `retry_after` (seconds) is given if trying again
    can help; `field` names the request's field at fault; `cid` is the refused request's.
    """

    msg_type: ClassVar[str] = "error"
    code: str
    text: str
    retry_after: Seconds | None = None
    field: str | None = None
    cid: str | None = None


class Registered(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """The account exists; `name` is the name as others see it."""

    msg_type: ClassVar[str] = "registered"
    name: str


class LoggedIn(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """The connection is logged in as `name`, and events arrive.

    `token` resumes the session until `expires`. `heartbeat` is the interval in seconds at which
    the server pings. `server` is the server's software and version.
    """

    msg_type: ClassVar[str] = "logged_in"
    name: str
    token: str
    expires: Time
    limits: Limits
    heartbeat: Seconds
    server: str


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


class People(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of who is online; `total` counts everyone; `more`: there are names after the last
    one."""

    msg_type: ClassVar[str] = "people"
    people: tuple[Person, ...]
    total: Int
    more: bool = False


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
    next entry would not fit the frame. Entries up to `floor` are hidden from the person.
    """

    msg_type: ClassVar[str] = "history_page"
    conv: str
    epoch: str
    head: Int
    entries: tuple[Message, ...]
    older: bool = False
    newer: bool = False
    floor: Int = 0


class Found(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """Messages that match, newest first, in their present form.

    `cursor` asks for the next page; null: there is none. A page may hold fewer hits than requested,
    or none, and have a cursor: the server stops after searching a bounded number of messages.
    """

    msg_type: ClassVar[str] = "found"
    hits: tuple[Message, ...]
    cursor: str | None = None


class ConversationList(_Reply, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the person's conversations."""

    msg_type: ClassVar[str] = "conversation_list"
    conversations: tuple[Conversation, ...]
    more: bool = False


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


# -- events ------------------------------------------------------------------------------------


class CaughtUp(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """After `Resume`: the entries after `seq` up to `head` follow at once, as messages.

    With ``recovered=false`` there were too many, or the client's epoch was another one: the newest
    page follows, and `History` fetches what lies before it.
    """

    msg_type: ClassVar[str] = "caught_up"
    conv: str
    epoch: str
    seq: Int
    head: Int
    recovered: bool = True


class Presence(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """Who came online (or changed the away notice) and who left, since the last of these.

    Sent to everyone; combines the changes of up to 100 ms. A person in both lists has left and come
    back, or the reverse; `online` then holds.
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


class IsTyping(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """`from` is typing in `to` (read as in `Message`); expires after 6 s."""

    msg_type: ClassVar[str] = "is_typing"
    to: str
    from_: str = field(name="from")


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
    INTERNAL = "internal"


Request: TypeAlias = (
    Register | Login | Resume | Logout | ChangePassword
    | Who | Away | Send | Edit | Delete | React | Typing
    | History | Search | Conversations | MarkRead | SetLevel
    | CreateRoom | Join | Leave | Invite | Kick | SetTopic | SetOperator | SetAccess | SetHistory
    | Rooms | Members
    | Ping | Pong
)  # fmt: skip

Reply: TypeAlias = (
    Ok | Error | Registered | LoggedIn | LoggedOut | PasswordChanged | People | Sent
    | HistoryPage | Found | ConversationList | RoomList | MemberList | Pong
)  # fmt: skip

Event: TypeAlias = Message | CaughtUp | Presence | Marked | IsTyping | NewLogin | Ping | Bye

#: All that a client may receive.
ServerMessage: TypeAlias = Reply | Event
