"""Who may send which request where: what `docs/reference/permissions.md` shows, and what
`test_permissions.py` walks on a server.

Each member of the request union has rows in :data:`ROWS`, one for each case in which it is decided
otherwise. A row says what comes of the request in each :class:`Place`: ``ok``, or an error's code;
``text``: it is sent, but mentions nobody; ``-``: there is no such case. ``a/b/c`` is for each of
the server's roles, in the order of :data:`ROLES`; everything else holds for all of them.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple, get_args

from gochat.chat.server_roles import ServerRole
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
from gochat.protocol.states import needs_login
from gochat.server.requests import scope_of

ROLES: Final[tuple[ServerRole, ...]] = get_args(ServerRole)
REQUESTS: Final[tuple[type[Request], ...]] = get_args(Request)


class Place(Enum):
    """A conversation, by what it is to the person who sends the request. The value is a heading."""

    LOBBY = "`#lobby`"
    ABSENT = "no such room"
    PUBLIC_NOBODY = "public: outside"
    PUBLIC_INVITED = "public: invited"
    PUBLIC_BANNED = "public: banned"
    PUBLIC_MEMBER = "public: member"
    PUBLIC_OPERATOR = "public: operator"
    PRIVATE_NOBODY = "private: outside"
    PRIVATE_INVITED = "private: invited"
    PRIVATE_BANNED = "private: banned"
    PRIVATE_MEMBER = "private: member"
    PRIVATE_OPERATOR = "private: operator"
    #: Of a member who has just written.
    SLOW_MEMBER = "slow mode: member"
    ANNOUNCEMENTS_MEMBER = "announcements: member"
    ANNOUNCEMENTS_OPERATOR = "announcements: operator"
    ARCHIVED_MEMBER = "archived: member"
    ARCHIVED_OPERATOR = "archived: operator"
    PERSON = "somebody else"
    ONESELF = "oneself"
    BLOCKED = "whom one blocks"
    BLOCKER = "who blocks one"
    NOBODY = "no such person"


_PLACES: Final = tuple(Place)
ROOMS: Final = _PLACES[:12]
MODES: Final = _PLACES[12:17]
PEOPLE: Final = _PLACES[17:]


class Row(NamedTuple):
    """What comes of a request, by place; of one without a place nothing more is decided than
    :func:`before_login` and :func:`logged_in` say. `case` completes the request's name."""

    request: type[Request]
    case: str = ""
    outcomes: dict[Place, str] = {}  # noqa: RUF012 -- never changed

    @property
    def name(self) -> str:
        """The request as the page has it."""
        return f"`{self.request.msg_type}` {self.case}".strip()

    def outcome(self, place: Place, role: ServerRole) -> str:
        """Return what comes of it for somebody with a role."""
        each = self.outcomes.get(place, "-").split("/")
        return each[ROLES.index(role)] if len(each) > 1 else each[0]


_SHORT: Final = {
    "unknown": "unknown_conversation",
    "outside": "not_a_member",
    "no": "not_permitted",
    "bad": "bad_request",
    "nobody": "unknown_person",
}


def _row(
    request: type[Request],
    case: str = "",
    *,
    lobby: str = "-",
    absent: str = "unknown",
    public: str = "-",
    private: str = "-",
    modes: str = "-",
    people: str = "-",
) -> Row:
    """Return a row. A part with one word is for all its places."""
    outcomes: list[str] = []
    parts = ((lobby, 1), (absent, 1), (public, 5), (private, 5), (modes, 5), (people, 5))
    for part, count in parts:
        words = part.split()
        assert len(words) in (1, count), (request, part)
        outcomes += words * (count // len(words))
    full = ["/".join(_SHORT.get(word, word) for word in each.split("/")) for each in outcomes]
    return Row(request, case, dict(zip(_PLACES, full, strict=True)))


def _inside(
    request: type[Request], case: str = "", *, member: str = "ok", operator: str = "ok",
    private_member: str = "", private_operator: str = "", lobby: str = "ok", modes: str = "",
    people: str = "ok ok ok ok nobody",
) -> Row:  # fmt: skip
    """Return a row of a request that is only for those who are in a room."""
    insider = f"{private_member or member} {private_operator or operator}"
    return _row(
        request,
        case,
        lobby=lobby,
        public=f"outside outside outside {member} {operator}",
        private=f"unknown outside unknown {insider}",
        modes=modes or f"{member} {member} {operator} {member} {operator}",
        people=people,
    )


def _room(request: type[Request], case: str = "", **outcomes: str) -> Row:
    """Return a row of a request about a room; `#lobby` and private conversations are none."""
    return _inside(request, case, lobby="no", people="unknown", **outcomes)


#: What only moderators and admins may do where they are no operators.
_STAFF: Final = "no/ok/ok"


def _moderator(
    request: type[Request], case: str = "", operator: str = "ok", *, lobby: str = "no",
    modes: str = "",
) -> Row:  # fmt: skip
    """Return a row of a request that operators may send, and in public rooms moderators."""
    return _inside(
        request,
        case,
        lobby=lobby,
        member=f"no/{operator}/{operator}",
        private_member="no",
        operator=operator,
        modes=modes,
        people="unknown",
    )


def _operator(request: type[Request], case: str = "", operator: str = "ok", **outcomes: str) -> Row:
    """Return a row of a request that only operators may send."""
    return _room(request, case, member="no", operator=operator, **outcomes)


#: The people of a private conversation in which neither writes while one blocks the other.
_NOT_BLOCKED: Final = "ok ok blocked blocked nobody"

#: In the order in which they are walked: what changes a membership comes after what needs it.
ROWS: Final[tuple[Row, ...]] = (
    # Of no conversation, or of all of one's own.
    *(
        Row(request)
        for request in (
            Hello, Ping, Pong, Register, Login, Resume, Who, Away, SetStatus, Statuses, Sync,
            Activity, MarkActivity, Saved, Rooms, Blocks, Restrictions, Reports, ResolveReport,
            BanAddress, UnbanAddress, AddressBans,
        )
    ),
    Row(Search, "everywhere"),
    # The last of them end sessions, at last one's own.
    *(Row(request) for request in (Sessions, EndSession, CreateToken, ChangePassword, Logout)),
    # In a conversation.
    _inside(History),
    _inside(Search, "in it"),
    _inside(Mark),
    _inside(Typing),
    _inside(Members, lobby="bad", people="bad bad bad bad nobody"),
    _inside(Send, modes="slow_mode/ok/ok no/ok/ok ok no no", people=_NOT_BLOCKED),
    _inside(
        Send,
        "`@room`",
        lobby="text/ok/ok",
        member="text/ok/ok",
        private_member="text",
        modes="slow_mode/ok/ok no/ok/ok ok no no",
        people="text text blocked blocked nobody",
    ),
    _inside(Edit, "one's own message", modes="ok no/ok/ok ok no no", people=_NOT_BLOCKED),
    _inside(
        Edit, "another's", lobby="no", member="no", operator="no", people="no - no no nobody"
    ),
    _inside(React, modes="ok ok ok no no", people=_NOT_BLOCKED),
    _inside(
        Pin,
        lobby=_STAFF,
        member=_STAFF,
        private_member="no",
        modes=f"{_STAFF} {_STAFF} ok no no",
        people=_NOT_BLOCKED,
    ),
    _inside(Pins),
    _inside(Save),
    _inside(Delete, "one's own message"),
    _inside(
        Delete,
        "another's",
        lobby=_STAFF,
        member=_STAFF,
        private_member="no",
        people="no - no no nobody",
    ),
    _inside(Report, people="ok bad ok ok nobody"),
    # Of a person.
    _row(Block, absent="-", people="ok bad ok ok nobody"),
    _row(Unblock, absent="-", people="ok bad ok ok nobody"),
    _row(Restrict, absent="-", people=f"{_STAFF} no {_STAFF} {_STAFF} no/nobody/nobody"),
    _row(Unrestrict, absent="-", people=f"{_STAFF} no {_STAFF} {_STAFF} no/nobody/nobody"),
    # About a room.
    _moderator(Bans),
    _moderator(SetTopic, lobby=_STAFF, modes=f"{_STAFF} {_STAFF} ok no no"),
    _moderator(SetSlowMode, lobby=_STAFF),
    _moderator(SetAnnouncements, lobby=_STAFF),
    _moderator(SetArchived),
    _operator(SetHistory, operator="bad", private_operator="ok"),
    _operator(SetAccess),
    _operator(SetOperator, "of a member"),
    _operator(SetOperator, "of somebody outside", operator="outside"),
    _room(Invite, private_member="no"),
    _room(Invite, "a member", member="bad", operator="bad", private_member="no"),
    _room(Invite, "who is banned", member="no", operator="no"),
    _moderator(Kick, "a member"),
    _moderator(Kick, "another operator"),
    _moderator(Kick, "somebody outside", operator="outside"),
    _moderator(Kick, "oneself", operator="bad"),
    _moderator(Ban),
    _moderator(Ban, "oneself", operator="bad"),
    _moderator(Unban),
    _row(
        Decline, lobby="ok", absent="ok", public="ok", private="ok", modes="ok", people="unknown"
    ),
    _row(
        Join,
        lobby="no",
        public="ok ok banned ok ok",
        private="unknown ok unknown ok ok",
        modes="ok",
        people="unknown",
    ),
    _row(
        HandOver,
        lobby="no",
        absent="no/no/unknown",
        public="no/no/ok",
        private="no/no/unknown no no/no/unknown no no",
        modes="no/no/ok",
        people="no/no/unknown",
    ),
    _room(Leave),
    _row(
        CreateRoom,
        lobby="room_exists",
        absent="ok",
        public="room_exists",
        private="room_exists",
        modes="room_exists",
        people="bad_name",
    ),
)  # fmt: skip


#: What comes of requests that need no more than a role, by role.
_BY_ROLE: Final[dict[type[Request], tuple[str, str, str]]] = {
    **dict.fromkeys((Restrictions, Reports), ("not_permitted", "ok", "ok")),
    ResolveReport: ("not_permitted", "bad_request", "bad_request"),  # there is no such report
    **dict.fromkeys(
        (BanAddress, UnbanAddress, AddressBans), ("not_permitted", "not_permitted", "ok")
    ),
}


def before_login(request: type[Request]) -> str:
    """Return what comes of a request before the login, whatever is in it."""
    return "not_logged_in" if needs_login(request) else "ok"


def logged_in(request: type[Request], role: ServerRole | None = None) -> str:
    """Return what comes of a request after the login, as far as that is the same everywhere.

    With None, of each role.
    """
    if request in _BY_ROLE:
        each = _BY_ROLE[request]
        return "/".join(each) if role is None else each[ROLES.index(role)]
    return "already_logged_in" if needs_login(request) is False else "ok"


# -- the page --------------------------------------------------------------------------------------


def make_requests() -> str:
    """All requests: what the login and a token decide."""
    lines = ["| request | before the login | logged in | what a program's token needs |"]
    lines += ["|---|---|---|---|"]
    for request in REQUESTS:
        mine = [row for row in ROWS if row.request is request]
        assert mine, f"{request.msg_type} has no row in tests/attacks/permissions.py"
        where = [
            f"[{name}](#{name})"
            for name, places in (("rooms", ROOMS), ("people", PEOPLE))
            if any(len({row.outcomes.get(place) for place in places}) > 1 for row in mine)
        ]
        scope = scope_of(request)
        lines.append(
            f"| `{request.msg_type}` | {_shown(before_login(request))} "
            f"| {'by ' + ' and '.join(where) if where else _shown(logged_in(request))} "
            f"| {_needed(request, scope)} |"
        )
    return "\n".join(lines) + "\n"


def _needed(request: type[Request], scope: str | None) -> str:
    if scope == "account":
        return "`not_permitted`: only the person may"
    if scope is not None:
        return f"`{scope}`"
    return "nothing" if logged_in(request) == "ok" else ""


def make_rooms() -> str:
    """The requests about a room or the lobby."""
    return _table(ROOMS)


def make_modes() -> str:
    """Those that a mode of a room changes."""
    return _table(MODES, besides=(Place.PUBLIC_MEMBER, Place.PUBLIC_OPERATOR))


def make_people() -> str:
    """The requests about a person, and in the private conversation with them."""
    return _table(PEOPLE)


def _table(places: tuple[Place, ...], besides: tuple[Place, ...] = ()) -> str:
    """Return a table of the rows that have these places; rows that agree are one.

    With `besides`, only of those with another outcome than in the first of these (of a member) or
    the second (of an operator).
    """
    lines = [f"| request | {' | '.join(place.value for place in places)} |"]
    lines += ["|---" * (len(places) + 1) + "|"]
    merged: dict[tuple[str, ...], list[str]] = {}
    for row in ROWS:
        cells = tuple(row.outcomes.get(place, "-") for place in places)
        if besides:
            member, operator = (row.outcomes.get(place, "-") for place in besides)
            usual = [operator if "operator" in place.value else member for place in places]
            if list(cells) == usual:
                continue
        if set(cells) != {"-"}:
            merged.setdefault(cells, []).append(row.name)
    for cells, names in merged.items():
        lines.append(f"| {', '.join(names)} | {' | '.join(map(_shown, cells))} |")
    return "\n".join(lines) + "\n"


def _shown(outcome: str) -> str:
    words = {"ok": "yes", "-": "", "text": "as text"}
    each = [words.get(one, f"`{one}`") for one in outcome.split("/")]
    if len(each) == 1:
        return each[0]
    grouped: dict[str, list[str]] = {}
    for role, one in zip(ROLES, each, strict=True):
        grouped.setdefault(one, []).append(role)
    return "; ".join(f"{', '.join(roles)}: {one}" for one, roles in grouped.items())
