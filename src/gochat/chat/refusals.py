"""Errors that several places raise: each in one place, so that text, field and details agree."""

from __future__ import annotations

from datetime import UTC, datetime

from gochat.chat.pins import MAX_PINS
from gochat.chat.restriction import Restriction
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import RoomBan


def check_length(text: str, most: int, what: str, field: str) -> None:
    """Raise ChatError, ``text_too_long``, if `text`, called `what`, has more than `most`
    characters."""
    if len(text) > most:
        raise ChatError(
            ErrorCode.TEXT_TOO_LONG,
            f"{what} has at most {most:,} characters, this one has {len(text):,}",
            field=field,
            details={"max": most, "length": len(text)},
        )


def unknown_message(seq: int | None, conv: str, field: str = "seq") -> ChatError:
    """Return the error for a seq that is of no message, or of a deleted one."""
    return ChatError(
        ErrorCode.UNKNOWN_MESSAGE,
        f"{conv} has no message {seq}",
        field=field,
        details={"seq": seq or 0, "conv": conv},
    )


def operators_only(what: str, field: str = "room") -> ChatError:
    """Return the error for what only operators may do."""
    return ChatError(
        ErrorCode.NOT_PERMITTED,
        f"only operators can {what}",
        field=field,
        details={"rule": "operator"},
    )


def too_many_pins(conv: str) -> ChatError:
    """Return the error for a pin in a conversation that has as many as it can."""
    return ChatError(
        ErrorCode.TOO_MANY,
        f"{conv} has {MAX_PINS} pinned messages, and can't have more: unpin one first",
        field="seq",
        details={"rule": "pins", "max": MAX_PINS},
    )


def not_inside(room: str, field: str) -> ChatError:
    """Return the error for something that only those in a room may do."""
    return ChatError(
        ErrorCode.NOT_A_MEMBER,
        f"you are not in {room}: join it first",
        field=field,
        details={"conv": room},
    )


def banned(room: str, ban: RoomBan) -> ChatError:
    """Return the error for joining a room from which one is banned."""
    return ChatError(
        ErrorCode.BANNED,
        f"you are banned from {room}{_until_and_why(ban)}",
        field="room",
        details={"conv": room, **_details(ban)},
    )


def account_banned(ban: Restriction) -> ChatError:
    """Return the error for logging in while one is banned from the server."""
    return ChatError(
        ErrorCode.ACCOUNT_BANNED,
        f"this account is banned{_until_and_why(ban)}",
        field="name",
        details=_details(ban),
    )


def address_banned(ban: Restriction) -> ChatError:
    """Return the error for connecting from a banned address or network."""
    return ChatError(
        ErrorCode.ADDRESS_BANNED,
        f"this address is banned{_until_and_why(ban)}",
        details=_details(ban),
    )


def muted(mute: Restriction, field: str) -> ChatError:
    """Return the error for writing in public while one is muted."""
    return ChatError(
        ErrorCode.MUTED,
        f"you are muted in #lobby and public rooms{_until_and_why(mute)}",
        field=field,
        details=_details(mute),
    )


def _until_and_why(one: RoomBan | Restriction) -> str:
    until = f" until {datetime.fromtimestamp(one.until / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    return (until if one.until else "") + (f": {one.reason}" if one.reason else "")


def _details(one: RoomBan | Restriction) -> dict[str, str | int]:
    details: dict[str, str | int] = {}
    if one.until:
        details["until"] = one.until
    if one.reason:
        details["reason"] = one.reason
    return details


def blocked(name: str, rule: str, field: str) -> ChatError:
    """Return the error for writing to or inviting a person whom one blocks (`rule` ``own``), or
    who blocks one (``theirs``)."""
    text = (
        f"you block {name}: unblock them first"
        if rule == "own"
        else f"{name} does not accept messages, mentions or invitations from you"
    )
    return ChatError(ErrorCode.BLOCKED, text, field=field, details={"name": name, "rule": rule})


def room_exists(room: str) -> ChatError:
    """Return the error for creating a room of a name that is taken."""
    return ChatError(
        ErrorCode.ROOM_EXISTS,
        f"{room} already exists",
        field="room",
        details={"conv": room, "rule": "taken"},
    )


def cid_conflict() -> ChatError:
    """Return the error for a `cid` that its sender has used before, for another entry."""
    return ChatError(ErrorCode.CID_CONFLICT, "the cid was used for something else", field="cid")


def bad_cursor() -> ChatError:
    """Return the error for a cursor that is not from a page of this store."""
    return ChatError(
        ErrorCode.BAD_CURSOR, "the cursor is not from an earlier page: leave it out", field="cursor"
    )
