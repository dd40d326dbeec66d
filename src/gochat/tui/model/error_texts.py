"""What went wrong, in the language of the app.

The texts of errors are English: the server's, which comes with a code and with what the text says
(:data:`gochat.errors.DETAILS`), and those of the client library, which have neither. Here are the
messages for both. An error that no message fits, as one of a newer server, is shown as it came; so
is every error where the app is in English. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final, TypeAlias

from gochat.errors import ChatError, ErrorCode, GochatError
from gochat.protocol.messages import MAX_TIME
from gochat.tui.language import N_, _, ngettext, translated
from gochat.tui.text.dates import date_and_time

#: The details of an error, and what is made of them: `until` and `wait` are in words.
_Values: TypeAlias = dict[str, object]

#: Refusals by their code and rule (or limit), each with its messages, the one that says most first.
#: One whose values are not there is passed over.
_REFUSALS: Final[Mapping[tuple[ErrorCode, str], tuple[str, ...]]] = {
    (ErrorCode.FRAME_TOO_LARGE, ""): (
        N_("that is too much at once: {length} bytes; the limit is {max}"),
        N_("the request exceeds the server's frame limit"),
    ),
    (ErrorCode.UNKNOWN_TYPE, ""): (N_("the server is too old for this"),),
    (ErrorCode.ALREADY_LOGGED_IN, ""): (
        N_("this connection is logged in as {name}: log out first"),
    ),
    (ErrorCode.NOT_LOGGED_IN, ""): (N_("log in first"),),
    (ErrorCode.BAD_TOKEN, ""): (N_("the session has ended: log in again"),),
    (ErrorCode.NAME_TAKEN, "taken"): (N_("the name {name!r} is taken"),),
    (ErrorCode.NAME_TAKEN, "similar"): (
        N_("{name!r} looks like a name that is taken: choose another name"),
    ),
    (ErrorCode.NAME_TAKEN, "reserved"): (
        N_("the name {name!r} is reserved, or looks like one that is: choose another name"),
    ),
    (ErrorCode.BAD_NAME, "empty"): (N_("a name needs at least one character"),),
    (ErrorCode.BAD_NAME, "long"): (N_("a name has at most {max} characters"),),
    (ErrorCode.BAD_NAME, "character"): (
        N_("a name can't contain one of these characters: letters, digits and - _ . only"),
    ),
    (ErrorCode.BAD_NAME, "ends"): (N_("a name begins and ends with a letter or a digit"),),
    (ErrorCode.BAD_NAME, "marks"): (N_("a name can't have so many marks on one letter"),),
    (ErrorCode.BAD_NAME, "scripts"): (
        N_("a name can't mix letters of these scripts: they look alike"),
    ),
    (ErrorCode.BAD_NAME, "direction"): (
        N_("a name can't mix letters that are written to the left with others like this"),
    ),
    (ErrorCode.BAD_NAME, "sign"): (N_("a room's name begins with #, as in #garden"),),
    (ErrorCode.BAD_PASSWORD, ""): (N_("a password has {min} to {max} characters"),),
    (ErrorCode.BAD_PASSWORD, "one_time_code"): (
        N_("this is a one-time code: as the password, enter the code, a space, and your new "
           "password"),
    ),
    (ErrorCode.UNKNOWN_PERSON, ""): (N_("no account is named {name!r}"),),
    (ErrorCode.UNKNOWN_CONVERSATION, ""): (N_("there is no room {conv!r}, or it is private"),),
    (ErrorCode.UNKNOWN_MESSAGE, ""): (N_("{conv} has no message {seq}"),),
    (ErrorCode.NOT_A_MEMBER, ""): (
        N_("{name} is not in {conv}"), N_("you are not in {conv}: join it first"),
    ),
    (ErrorCode.NOT_PERMITTED, "author"): (N_("only its author can edit a message"),),
    (ErrorCode.NOT_PERMITTED, "author_or_operator"): (
        N_("only its author or an operator can delete a message"),
    ),
    (ErrorCode.NOT_PERMITTED, "operator"): (N_("only operators can do this"),),
    (ErrorCode.NOT_PERMITTED, "role"): (N_("your role at the server does not permit this"),),
    (ErrorCode.NOT_PERMITTED, "rank"): (N_("that needs a higher role at the server"),),
    (ErrorCode.NOT_PERMITTED, "duration"): (N_("a moderator can't do this for so long"),),
    (ErrorCode.NOT_PERMITTED, "lobby"): (N_("#lobby is everybody's: it stays as it is"),),
    (ErrorCode.NOT_PERMITTED, "banned"): (N_("this person is banned from it: lift the ban first"),),
    (ErrorCode.NOT_PERMITTED, "archived"): (
        N_("the room is archived: it can be read, but not written to"),
    ),
    (ErrorCode.NOT_PERMITTED, "announcements"): (N_("only operators write in this room"),),
    (ErrorCode.NOT_PERMITTED, "abandoned"): (
        N_("the room is private, and everybody has left it: nobody can join it any more"),
    ),
    (ErrorCode.NOT_PERMITTED, "directory"): (
        N_("this server doesn't keep your password: change it in your organisation's directory"),
    ),
    (ErrorCode.NOT_PERMITTED, "scope"): (N_("this token was not made for that"),),
    (ErrorCode.NOT_PERMITTED, "rooms"): (N_("this token is limited to other rooms"),),
    (ErrorCode.BANNED, ""): (
        N_("you are banned from {conv} until {until}"), N_("you are banned from {conv}"),
    ),
    (ErrorCode.ACCOUNT_BANNED, ""): (
        N_("this account is banned until {until}"), N_("this account is banned"),
    ),
    (ErrorCode.ADDRESS_BANNED, ""): (
        N_("this address is banned until {until}"), N_("this address is banned"),
    ),
    (ErrorCode.MUTED, ""): (
        N_("you are muted in #lobby and public rooms until {until}"),
        N_("you are muted in #lobby and public rooms"),
    ),
    (ErrorCode.BLOCKED, "own"): (N_("you block {name}: unblock them first"),),
    (ErrorCode.BLOCKED, "theirs"): (
        N_("{name} does not accept messages, mentions or invitations from you"),
    ),
    (ErrorCode.SLOW_MODE, ""): (
        N_("slow mode: in {conv} you can write once in {seconds} s, again in {wait}"),
    ),
    (ErrorCode.ROOM_EXISTS, "taken"): (N_("{conv} already exists"),),
    (ErrorCode.ROOM_EXISTS, "similar"): (
        N_("{conv!r} looks like a room that exists: choose another name"),
    ),
    (ErrorCode.ROOM_EXISTS, "reserved"): (
        N_("the name {conv!r} is reserved, or looks like one that is: choose another name"),
    ),
    (ErrorCode.TEXT_EMPTY, ""): (N_("the text is empty"),),
    (ErrorCode.TEXT_TOO_LONG, ""): (N_("the text has {length} characters; the limit is {max}"),),
    (ErrorCode.TOO_MANY, "emoji"): (N_("a message takes at most {max} different emoji"),),
    (ErrorCode.TOO_MANY, "own_emoji"): (
        N_("you can give a message at most {max} different emoji: take one back first"),
    ),
    (ErrorCode.TOO_MANY, "invitations"): (
        N_("this person has {max} invitations to answer first"),
    ),
    (ErrorCode.TOO_MANY, "bans"): (N_("this room has {max} bans: lift some first"),),
    (ErrorCode.TOO_MANY, "blocks"): (N_("you block {max} people: unblock some first"),),
    (ErrorCode.TOO_MANY, "pins"): (
        N_("there are {max} pinned messages, and there can't be more: unpin one first"),
    ),
    (ErrorCode.TOO_MANY, "saved"): (
        N_("you have saved {max} messages, and can't save more: remove one first"),
    ),
    (ErrorCode.TOO_MANY, "network_bans"): (
        N_("a server keeps at most {max} bans of networks: lift some, or ban a larger network"),
    ),
    (ErrorCode.TOO_MANY, "reports"): (
        N_("{max} reports wait to be handled, and there can't be more: ask who runs the server"),
    ),
    (ErrorCode.BAD_REQUEST, "session"): (
        N_("this account has no such session: it may have ended"),
    ),
    (ErrorCode.BAD_REQUEST, "network"): (
        N_("that is not an address or a network, as 203.0.113.7 or 203.0.113.0/24"),
    ),
    (ErrorCode.BAD_REQUEST, "loopback"): (
        N_("that includes the server's own machine (the loopback addresses)"),
    ),
    (ErrorCode.BAD_REQUEST, "own_address"): (N_("that includes your own address"),),
    (ErrorCode.BAD_REQUEST, "oneself"): (N_("you can't do this to yourself"),),
    (ErrorCode.BAD_REQUEST, "member"): (N_("this person is in the room already"),),
    (ErrorCode.BAD_REQUEST, "last_operator"): (
        N_("the room needs an operator: choose another one first"),
    ),
    (ErrorCode.BAD_REQUEST, "public"): (
        N_("the room is public, and its history is shown: make it private first"),
    ),
    (ErrorCode.BAD_REQUEST, "empty"): (
        N_("nothing has been written there yet: choose the level after that"),
    ),
    (ErrorCode.BAD_REQUEST, "emoji"): (N_("invalid: expected one emoji"),),
    (ErrorCode.BAD_REQUEST, "one_line"): (
        N_("invalid status: expected one line without control characters"),
    ),
    (ErrorCode.BAD_REQUEST, "room"): (N_("that is not a room"),),
    (ErrorCode.BAD_REQUEST, "report"): (
        N_("there is no such open report: somebody else may have resolved it"),
    ),
    (ErrorCode.BAD_REQUEST, "missing"): (
        N_("say whether those who join read what was written before: shown or hidden"),
    ),
    (ErrorCode.BAD_REQUEST, "hidden"): (
        N_("what was written while the history was hidden stays hidden: say hidden"),
    ),
    (ErrorCode.BAD_REQUEST, "superfluous"): (
        N_("the room does not become public by this: leave it out"),
    ),
    (ErrorCode.RATE_LIMITED, "login_failures"): (
        N_("too many failed logins: try again in {wait}"),
    ),
    (ErrorCode.RATE_LIMITED, "login_failures_account"): (
        N_("too many failed logins: try again in {wait}"),
    ),
    (ErrorCode.RATE_LIMITED, "login_line"): (
        N_("too many failed logins from this address: try again in {wait}"),
    ),
    (ErrorCode.RATE_LIMITED, "registrations"): (
        N_("too many registrations: try again in {wait}"),
    ),
    (ErrorCode.RATE_LIMITED, "bytes_per_day"): (
        N_("you have written too much today: try again in {wait}"),
    ),
    (ErrorCode.RATE_LIMITED, "conversations_per_day"): (
        N_("you have begun many conversations today: try again in {wait}"),
    ),
    (ErrorCode.RATE_LIMITED, "rooms_per_day"): (
        N_("you have created many rooms today: try again in {wait}"),
    ),
    (ErrorCode.RATE_LIMITED, "reports_per_day"): (
        N_("you have made many reports today: try again in {wait}"),
    ),
    (ErrorCode.RATE_LIMITED, ""): (
        N_("too many requests: try again in {wait}"), N_("too many requests: try again later"),
    ),
    (ErrorCode.BUSY, "line"): (N_("too many logins at once: try again in {wait}"),),
    (ErrorCode.BUSY, "conflict"): (
        N_("the conversation changed at the same time: try again"),
    ),
    (ErrorCode.UNAVAILABLE, ""): (N_("the server can't do this now: try again later"),),
    (ErrorCode.SERVER_FULL, ""): (N_("the server is full"),),
}  # fmt: skip

#: Of the texts that have nothing to fill in, those of codes that stand for several things; and why
#: a connection ended.
_TEXTS: Final = (
    N_("the name or the password is wrong"),
    N_("this one-time code has expired: ask whoever runs the server for a new one"),
    N_("this account was deleted: ask whoever runs the server"),
    N_("this account is disabled: ask whoever runs the server"),
    N_("registration is closed on this server"),
    N_("accounts come from your organisation's directory: log in with the name and the password "
       "that you have there"),
    N_("an invite code is required to register"),
    N_("this invite code is not valid: it may be used up, revoked or expired"),
    N_("these are your own messages: report what somebody else has written"),
    N_("the message is empty"),
    N_("the search is empty: give a word to look for"),
    N_("you can't block yourself"),
    N_("you can't unblock yourself"),
    N_("the server's store can't be reached: try again"),
    N_("the server's store can't be reached"),
    # goodbyes of the server
    N_("the session has expired: log in again"),
    N_("the password was changed: log in again"),
    N_("a frame took too long to arrive"),
    N_("no login in time"),
    N_("no answer to a ping"),
    N_("the server is closing"),
    N_("the server's store has failed"),
    N_("the server's log was restored: resume"),
    N_("too many connections from this address"),
    N_("the connection reads too slowly"),
    N_("internal server error"),
    # the client's own
    N_("there is no answer yet"),
    N_("the connection was closed"),
    N_("the server closed the connection"),
    N_("the client was closed"),
    N_("the client was closed before the message was sent"),
    N_("you are logged in: log out first"),
    N_("logged out here only: not connected, so the server was not notified"),
    N_("report messages of one conversation"),
    N_("the server sent a list that does not end"),
)  # fmt: skip

#: Texts with something to fill in, which are recognised by what stands around it.
_TEMPLATES: Final = (
    N_("no server answers at {address}: is the server running?"),
    N_("unknown host {host}: is the name spelled correctly?"),
    N_("{address} can't be reached: is this machine online?"),
    N_("can't connect to {address}: {reason}"),
    N_("{address} did not answer within {seconds} s: is the address right, and does a firewall let "
       "you through?"),
    N_("{address} did not answer the TLS handshake within {seconds} s. {advice}"),
    N_("the certificate of {address} can't be trusted: {reason}"),
    N_("{address} does not speak TLS, so nothing was sent. {advice}"),
    N_("If the server has no TLS: {address}"),
    N_("If the server has no TLS, and others on the network may read everything: {address}"),
    N_("{address} closed the connection"),
    N_("{host} resolves to {reached}, which is not this machine, so nothing was sent: check the "
       "names of this machine (/etc/hosts), or write the address itself"),
    N_("your own server at {address} is not running: start it with gochat chat"),
    N_("the key of your own server can't be read: {path}: {reason}"),
    N_("{address} is not your own server, so nothing was sent to it: another program has that "
       "port. If that is a gochat serve of yours, end it: gochat chat starts the server by itself"),
    N_("the server did not answer within {seconds} s"),
    N_("not connected: {reason}"),
    N_("the server closed the connection: {reason}"),
    N_("{number} messages wait to be sent: wait until some are"),
    N_("unexpected answer from the server: {reply}"),
    N_("invalid answer from the server: {reason}"),
    N_("invalid server address {text}: write host:port, or gochat://host:port for a server without "
       "TLS"),
    N_("invalid server address {text}: the port is a number from 1 to 65535"),
    N_("invalid server address {text}: {reason}"),
    N_("the outbox {path} can't be used: another program has it open"),
    N_("the outbox {path} can't be opened: {reason}"),
    N_("the outbox {path} can't be used: {reason}"),
    N_("replaced by a newer connection of this account: {number} are allowed"),
)  # fmt: skip

_PLACEHOLDER: Final = re.compile(r"\\\{(\w+)\\\}")
_PATTERNS: Final = tuple(
    (template, re.compile(_PLACEHOLDER.sub(r"(?P<\1>.+)", re.escape(template)), re.DOTALL))
    for template in _TEMPLATES
)
#: Values of templates that are texts of this kind themselves.
_NESTED: Final = frozenset({"reason", "advice"})


def error_text(error: GochatError) -> str:
    """Return what an error says, for people."""
    if not isinstance(error, ChatError):
        return reason_text(str(error))
    return next(_of_code(error), None) or reason_text(error.text)


def reason_text(text: str) -> str:
    """Return the text of an error that has no code, or why a connection ended."""
    if (exactly := translated(text)) is not None:
        return exactly
    for template, pattern in _PATTERNS:
        if found := pattern.fullmatch(text):
            values: _Values = {
                name: reason_text(value) if name in _NESTED else value
                for name, value in found.groupdict().items()
            }
            return translated(template, **values) or text
    return text


def _of_code(error: ChatError) -> Iterator[str]:
    """Yield what the code and the details say, as far as there is a message for it."""
    if (exactly := translated(error.text)) is not None:
        yield exactly
    try:
        code = ErrorCode(error.code)
    except ValueError:
        return  # of a newer server
    values = _values(error)
    rule = str(error.details.get("rule", error.details.get("limit", "")))
    for key in (rule, "") if code is ErrorCode.RATE_LIMITED else (rule,):
        for message in _REFUSALS.get((code, key), ()):
            if (text := translated(message, **values)) is not None:
                reason = values.get("reason")
                yield _("{text}: {reason}", text=text, reason=reason) if reason else text


def _values(error: ChatError) -> _Values:
    values: _Values = dict(error.details)
    if isinstance(until := values.get("until"), int):
        time = datetime.fromtimestamp(min(max(until, 0), MAX_TIME) / 1000, UTC).astimezone()
        values["until"] = date_and_time(time, year=True)
    if "seq" in values:  # which message, not how many
        values["seq"] = str(values["seq"])
    if error.retry_after is not None:
        values["wait"] = _wait(error.retry_after)
    return values


def _wait(seconds: float) -> str:
    """Return a wait in words, rounded up."""
    if seconds >= timedelta(minutes=2).total_seconds():
        minutes = ceil(seconds / 60)
        return ngettext("{n} minute", "{n} minutes", minutes)
    whole = max(1, ceil(seconds))
    return ngettext("{n} second", "{n} seconds", whole)
