"""The arguments of the commands (:mod:`gochat.server.admin.commands`)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from gochat.chat.bounds import MAX_DAYS, MAX_ENTRIES, MAX_LIFE, MAX_NETWORK, MAX_NOTE, MAX_USES
from gochat.protocol.messages import ServerRole
from gochat.server.admin.command import DURATION, HIDDEN, SECRET, Arguments

#: Milliseconds.
_DAY: Final = 24 * 3600 * 1000
#: Accounts made in one request: of the longest names, half of what a request may have.
MANY: Final = 100
#: Hours for which a one-time code is valid at most.
MAX_HOURS: Final = 30 * 24

Name = Annotated[str, Meta(max_length=200, description="the account")]


class OfAccount(Arguments, frozen=True, kw_only=True):
    """The account that a command is about."""

    name: Name


class AccountPage(Arguments, frozen=True, kw_only=True):
    """Which accounts to list, by name."""

    after: Annotated[
        str, Meta(max_length=200, description="begin after this name, the `next` of a page")
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=500, description="how many (default: 100)")] = 100
    role: Annotated[
        Literal["member", "moderator", "admin"] | None, Meta(description="only with this role")
    ] = None
    state: Annotated[
        Literal["active", "disabled", "removing", "deleted"] | None,
        Meta(description="only those that are this"),
    ] = None
    password: Annotated[
        Literal["set", "code", "none"] | None,
        Meta(
            description="only with a password; with a one-time code that waits to be used; "
            "or without either"
        ),
    ] = None
    address: Annotated[
        str,
        Meta(
            max_length=MAX_NETWORK,
            description="only those that were seen at this address, or in this network as "
            "203.0.113.0/24 or 2001:db8::/32",
        ),
    ] = ""
    bots: Annotated[bool, Meta(description="only bots")] = False
    matching: Annotated[
        str, Meta(max_length=200, description="only with this text in the name")
    ] = ""


Hours = Annotated[
    int, Meta(ge=1, le=MAX_HOURS, description="hours for which the code is valid (default: 24)")
]


class NewAccount(Arguments, frozen=True, kw_only=True):
    """An account to make."""

    name: Annotated[str, Meta(max_length=200, description="its name; reserved ones, too")]
    password: Annotated[
        str | None,
        Meta(
            extra=SECRET,
            description="take its password from a line on standard input, instead of making a code",
        ),
    ] = None
    hours: Hours = 24


class OneOfMany(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account to make, with its one-time code, which whoever asks has made."""

    name: Annotated[str, Meta(max_length=200)]
    code: Annotated[str, Meta(max_length=40)]
    role: ServerRole = "member"


class NewAccounts(Arguments, frozen=True, kw_only=True):
    """Accounts to make, or only to check.

    `expires` is until when the codes are valid, in milliseconds since the Unix epoch.
    """

    accounts: Annotated[tuple[OneOfMany, ...], Meta(min_length=1, max_length=MANY, extra=HIDDEN)]
    expires: Annotated[int, Meta(ge=0, le=2**53 - 1, extra=HIDDEN)]
    only_check: Annotated[bool, Meta(extra=HIDDEN)] = False


class Reset(OfAccount, frozen=True, kw_only=True):
    """An account whose owner has forgotten the password."""

    hours: Hours = 24


class NewRole(Arguments, frozen=True, kw_only=True):
    """An account, and its new role."""

    name: Name
    role: Annotated[ServerRole, Meta(description="its new role")]


class Restricting(OfAccount, frozen=True, kw_only=True):
    """An account to ban or mute, and for how long."""

    seconds: Annotated[
        Annotated[int, Meta(ge=1, le=31_536_000)] | None,
        Meta(
            extra=DURATION,
            description="for how long: 90s, 30m, 2h or 7d (default: until it is lifted)",
        ),
    ] = None


class RestrictionPage(Arguments, frozen=True, kw_only=True):
    """Which restrictions to list, by name."""

    after: Annotated[
        str, Meta(max_length=200, description="begin after this name, the `next` of a page")
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=500, description="how many accounts (default: 100)")] = 100


class Deletion(OfAccount, frozen=True, kw_only=True):
    """An account to delete, and what becomes of its messages."""

    messages: Annotated[
        Literal["keep", "remove"],
        Meta(description="whether what they wrote stays, without their name (default: keep)"),
    ] = "keep"


NetworkText = Annotated[
    str,
    Meta(
        max_length=MAX_NETWORK,
        description="an address, or a network as 203.0.113.0/24 or 2001:db8::/32",
    ),
]


class OfNetwork(Arguments, frozen=True, kw_only=True):
    """The network that a command is about."""

    network: NetworkText


class NewBan(OfNetwork, frozen=True, kw_only=True):
    """A network to ban, and for how long."""

    seconds: Annotated[
        Annotated[int, Meta(ge=1, le=31_536_000)] | None,
        Meta(
            extra=DURATION,
            description="for how long: 90s, 30m, 2h or 7d (default: until it is removed)",
        ),
    ] = None
    force: Annotated[
        bool, Meta(description="also if it includes the server's own machine (loopback)")
    ] = False


class BanPage(Arguments, frozen=True, kw_only=True):
    """Which bans to list, in the order of their networks."""

    after: Annotated[
        str,
        Meta(max_length=MAX_NETWORK, description="begin after this one, `next` of a page"),
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=500, description="how many (default: 100)")] = 100
    address: Annotated[
        str,
        Meta(
            max_length=MAX_NETWORK,
            description="only those that keep out this address",
        ),
    ] = ""


class OfReport(Arguments, frozen=True, kw_only=True):
    """The report that a command is about."""

    id: Annotated[int, Meta(ge=0, le=2**53 - 1, description="its number, as `report list` shows")]


class Resolution(OfReport, frozen=True, kw_only=True):
    """What came of a report."""

    note: Annotated[
        str, Meta(max_length=MAX_NOTE, description="what came of it, kept with the report")
    ] = ""


class ResolutionOf(Arguments, frozen=True, kw_only=True):
    """What came of all that somebody has reported."""

    name: Annotated[str, Meta(max_length=256, description="who has made the reports")]
    note: Annotated[
        str, Meta(max_length=MAX_NOTE, description="what came of them, kept with the reports")
    ] = ""


class ReportPage(Arguments, frozen=True, kw_only=True):
    """Which reports to list, the oldest first."""

    after: Annotated[
        int, Meta(ge=0, le=2**53 - 1, description="begin after this number, the `next` of a page")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=500, description="how many (default: 100)")] = 100
    all: Annotated[bool, Meta(description="also those that were resolved")] = False


class Nothing(Arguments, frozen=True, kw_only=True):
    """No arguments."""


class NewInvitation(Arguments, frozen=True, kw_only=True):
    """An invitation to make."""

    uses: Annotated[
        int,
        Meta(ge=1, le=MAX_USES, description="how many people can register with it (default: 1)"),
    ] = 1
    days: Annotated[
        int,
        Meta(ge=1, le=MAX_LIFE // _DAY, description="days after which it expires (default: 7)"),
    ] = 7
    room: Annotated[
        str, Meta(max_length=200, description="a room that they join, as '#garden'")
    ] = ""
    maker: Annotated[
        str,
        Meta(
            max_length=200,
            description="the account that invites; for a private room one of its operators",
        ),
    ] = ""
    note: Annotated[str, Meta(max_length=200, description="what it is for, for the list")] = ""


class OfInvitation(Arguments, frozen=True, kw_only=True):
    """The invitation that a command is about."""

    id: Annotated[str, Meta(max_length=200, description="its id, as in the list")]


class InvitationPage(Arguments, frozen=True, kw_only=True):
    """Which invitations to list, in the order in which they were made."""

    after: Annotated[
        str, Meta(max_length=200, description="begin after this id, the `next` of a page")
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=500, description="how many (default: 100)")] = 100
    usable: Annotated[bool, Meta(description="only those that somebody can register with")] = False


class NewOperator(Arguments, frozen=True, kw_only=True):
    """A room, and who gets it."""

    room: Annotated[str, Meta(max_length=200, description="the room, as '#garden'")]
    name: Name


Scope = Annotated[
    str,
    Meta(
        max_length=200,
        description="where: 'default', 'private' (all private conversations), '#lobby' or a room",
    ),
]


class OfScope(Arguments, frozen=True, kw_only=True):
    """The scope that a command is about."""

    scope: Scope


class NewRule(OfScope, frozen=True, kw_only=True):
    """A rule to set."""

    days: Annotated[
        int, Meta(ge=1, le=MAX_DAYS, description="remove what is older than so many days")
    ] = 0
    entries: Annotated[
        int, Meta(ge=1, le=MAX_ENTRIES, description="keep the newest so many entries")
    ] = 0
    all: Annotated[bool, Meta(description="keep everything there, whatever the default is")] = False


Cursor = Annotated[str, Meta(max_length=2000, extra=HIDDEN)]


class ExportedRoom(Arguments, frozen=True, kw_only=True):
    """The room to export."""

    room: Annotated[str, Meta(max_length=200, description="the room, as '#garden', or '#lobby'")]
    cursor: Cursor = ""


class ExportedAccount(Arguments, frozen=True, kw_only=True):
    """The account to export."""

    name: Name
    cursor: Cursor = ""


class AuditPage(Arguments, frozen=True, kw_only=True):
    """Which entries to show."""

    before: Annotated[
        int | None, Meta(description="entries older than the one with this number (default: all)")
    ] = None
    limit: Annotated[int, Meta(ge=1, le=500, description="how many (default: 50)")] = 50
    matching: Annotated[
        str,
        Meta(
            max_length=200,
            description="only with this text in who did what, to whom, how and why",
        ),
    ] = ""
