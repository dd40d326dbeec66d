"""The most expensive inputs: for each request, inputs chosen to make the server slow.

`python -m pytest tests/attacks` runs all attacks and checks that each has the right outcome;
`python tests/attacks/measure.py` prints what they cost on this machine.

Every member of the request union has an entry in :data:`VALID`: a request that is served. Each of
its texts is replaced by the strings of :data:`STRINGS`, at any length, so a new field is attacked
as soon as it exists. Fields that are not texts have worst inputs of their own, in :data:`OTHERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count, islice
from typing import Any, Final, get_args

from msgspec import structs

from gochat.protocol.codec import encode
from gochat.protocol.framing import HEADER_SIZE, MAX_FRAME_SIZE
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
    Position,
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

#: The attacker's name, room and password (that of all tests).
NAME: Final = "mallory"
ROOM: Final = "#lair"
WRONG: Final = "wrong horse"

#: One of each that is served, except for passwords: with the right one nobody is guessing.
VALID: Final[Mapping[type, Any]] = {
    type(request): request
    for request in (
        Register(name="newcomer", password=WRONG),
        Login(name=NAME, password=WRONG),
        Resume(token="stolen"),
        Logout(),
        ChangePassword(old=WRONG, new=WRONG),
        Sessions(),
        EndSession(id="0" * 32),
        CreateToken(device="bot", scopes=("read",), lifetime=60),
        Who(),
        Away(),
        SetStatus(emoji="🌴"),
        Statuses(names=(NAME,)),
        Send(to="#lobby", text="hi"),
        Edit(to="#lobby", seq=1, text="hi"),
        Delete(to="#lobby", seq=1),
        React(to="#lobby", seq=1, emoji="👍"),
        Pin(to="#lobby", seq=1),
        Typing(to="#lobby"),
        History(conv="#lobby"),
        Search(query="hi"),
        Sync(),
        Mark(conv="#lobby", read=1, level="all"),
        Activity(limit=50),
        MarkActivity(seen=1),
        Pins(conv="#lobby", limit=50),
        Save(to="#lobby", seq=1),
        Saved(limit=50),
        CreateRoom(room=ROOM),
        Join(room=ROOM),
        Leave(room=ROOM),
        Invite(room=ROOM, name=NAME),
        Kick(room=ROOM, name=NAME),
        Decline(room=ROOM),
        SetTopic(room=ROOM, topic="hi"),
        SetOperator(room=ROOM, name=NAME),
        SetAccess(room=ROOM, private=False),
        SetHistory(room=ROOM, history="shown"),
        Ban(room=ROOM, name=NAME),
        Unban(room=ROOM, name=NAME),
        Bans(room=ROOM),
        SetSlowMode(room=ROOM, seconds=0),
        SetAnnouncements(room=ROOM, on=False),
        SetArchived(room=ROOM, on=False),
        Block(name=NAME),
        Unblock(name=NAME),
        Blocks(),
        Report(to="#lobby", seqs=tuple(range(1, 11)), reason="x" * 200),
        Reports(),
        ResolveReport(id=0, note="x" * 200),
        Restrict(name=NAME, kind="mute", seconds=60),
        Unrestrict(name=NAME, kind="mute"),
        Restrictions(),
        BanAddress(network="203.0.113.0/24", reason="x" * 200),
        UnbanAddress(network="203.0.113.0/24"),
        AddressBans(),
        HandOver(room=ROOM, name=NAME, reason="x" * 200),
        Rooms(),
        Members(room=ROOM),
        Hello(),
        Ping(),
        Pong(),
    )
}
#: Requests sent before the login.
ANONYMOUS: Final = (Register, Login, Resume)
#: Requests that change the state of the connection.
ONCE: Final = (Resume, Logout)


def _chain(*parts: str) -> Callable[[int], str]:
    """Return `parts`, the last one repeated, to a length in characters."""
    *first, unit = parts
    start = "".join(first)
    return lambda length: (start + unit * (length // len(unit) + 1))[:length]


def _different(first: int, last: int) -> Callable[[int], str]:
    """Return distinct characters, as long as there are any."""
    return lambda length: "".join(chr(first + 7919 * n % (last - first)) for n in range(length))


#: By what is bad about them: a function from a length in characters to a string.
STRINGS: Final[Mapping[str, Callable[[int], str]]] = {
    # Each of these is judged by the whole name; the dots by the first other letter.
    "katakana dots": lambda length: "・" * (length - 1) + "漢",
    "Arabic digits": _chain("ب", "٠"),
    "Persian digits": _chain("ب", "۰"),
    "joiners": _chain("a", "\u200d"),
    # Not in the order in which normalising puts them.
    "marks": _chain("a", "\u0301\u0316"),
    "halfwidth marks": _chain("ｶ", "\uff9e\u0301"),
    "jamo": _chain("\u1112\u1161\u11ab"),
    # One character becomes up to 18.
    "ligatures": _chain("ﷺ"),
    "dotted": _chain("İ"),
    "letters": _chain("a"),
    "different letters": _different(0x4E00, 0x9FFF),
    "words": _chain("ab "),
    "quotes": _chain('\\"'),
    "brackets": _chain("[{"),
    "fence": lambda length: "```" + " " * length + "@",
    "mentions": _chain("@a "),
    "long mentions": _chain("@ب" + "٠" * 77 + " "),
    "mentions with marks": _chain("@a" + "\u0301\u0316" * 38 + " "),
    "families": _chain("👩\u200d"),
}
#: For ids chosen by the client, which are only compared.
_IDS: Final = ("letters", "quotes")
_SIGNS: Final = {"to": "@", "conv": "#", "room": "#"}


def texts(kind: type) -> list[str]:
    """Return the fields of a request that are texts."""
    return [field.name for field in structs.fields(kind) if _is_text(field.type)]


def others(kind: type) -> list[str]:
    """Return the fields of a request that hold several items."""
    return [f.name for f in structs.fields(kind) if "tuple" in str(f.type)]


def _is_text(annotation: Any) -> bool:
    if "tuple" in str(annotation):
        return False
    return annotation is str or any(map(_is_text, get_args(annotation)))


def strings(field: str) -> tuple[str, ...]:
    """Return the names of the strings that are bad for a field."""
    return _IDS if field in ("request_id", "cid") else tuple(STRINGS)


def with_text(kind: type, field: str, string: str, length: int) -> bytes | None:
    """Return a frame with a request in which a field is one of the worst strings; None if it
    doesn't fit.

    An address begins correctly, so that it is not refused for its first character.
    """
    text = _SIGNS.get(field, "") + STRINGS[string](length)
    encoded = encode(structs.replace(VALID[kind], **{field: text}))
    return encoded if len(encoded) <= HEADER_SIZE + MAX_FRAME_SIZE else None


def _positions(field: str, conv: Callable[[int], str]) -> Callable[[Any, int], Any]:
    def with_positions(request: Any, size: int) -> Any:
        positions = (Position(conv=conv(n), epoch="", seq=0, ts=0) for n in range(size))
        return structs.replace(request, **{field: tuple(positions)})

    return with_positions


#: Addresses of positions: a function from a number.
_ADDRESSES: Final[Mapping[str, Callable[[int], str]]] = {
    "unknown": lambda n: f"#{n}",
    "the same": lambda _: "#lobby",
    "nobody": lambda n: f"@{n}",
    "no names": lambda n: f"#{n}・",
}


def _caps(request: Any, size: int) -> Any:
    return structs.replace(request, caps=tuple(f"{n:x}" for n in range(size)))


def _with_scopes(request: CreateToken, size: int) -> CreateToken:
    return structs.replace(request, scopes=("read",) * size)


def _with_rooms(request: CreateToken, size: int, room: str) -> CreateToken:
    return structs.replace(request, rooms=(room,) * size)


#: What is bad about a request other than its texts: a function from a number of parts.
OTHERS: Final[Mapping[tuple[type, str], Mapping[str, Callable[[Any, int], Any]]]] = {
    (CreateToken, "scopes"): {"the same": lambda request, size: _with_scopes(request, size)},
    (CreateToken, "rooms"): {
        "rooms": lambda request, size: _with_rooms(request, size, "#" + "漢" * 8),
        "no names": lambda request, size: _with_rooms(request, size, "#" + "・" * 8),
        "private": lambda request, size: _with_rooms(request, size, "@" + "漢" * 8),
    },
    (Login, "caps"): {"different": _caps},
    (Resume, "caps"): {"different": _caps},
    (Report, "seqs"): {
        "any": lambda request, size: structs.replace(request, seqs=tuple(range(1, size + 1))),
        "the same": lambda request, size: structs.replace(request, seqs=(1,) * size),
    },
    (Statuses, "names"): {
        "any": lambda request, size: structs.replace(
            request, names=tuple(f"{NAME}{number}" for number in range(size))
        ),
        "the same": lambda request, size: structs.replace(request, names=(NAME,) * size),
    },
    (Sync, "have"): {name: _positions("have", conv) for name, conv in _ADDRESSES.items()},
}


def _nested(size: int) -> bytes:
    return b'{"msg_type":"ping","msg_data":' + b"[" * size + b"]" * size + b"}"


def _data(data: bytes) -> bytes:
    return b'{"msg_type":"ping","msg_data":"%s"}' % data


#: Frames that our clients never send: a function from a size, in bytes roughly, to a body.
FRAMES: Final[Mapping[str, Callable[[int], bytes]]] = {
    "unknown type": lambda size: b'{"msg_type":"%s","msg_data":"{}"}' % (b"x" * size),
    "no JSON": lambda size: b"\x00" * size,
    "half a string": lambda size: b'{"msg_type":"' + b"\\u0041" * (size // 6),
    "bad UTF-8": lambda size: b"\xff" * size,
    "nested": lambda size: _nested(size // 2),
    "nested data": lambda size: _data(b"[" * (size // 2) + b"]" * (size // 2)),
    "brackets side by side": lambda size: _data(b"[%s0]" % (b"[]," * (size // 3))),
    "quotes": lambda size: _data(b'\\"' * (size // 2)),
    "backslashes": lambda size: _data(b"\\\\" * (size // 2)),
    "digits": lambda size: b'{"msg_type":%s}' % (b"9" * size),
    "digits in data": lambda size: _data(rb"{\"x\":%s}" % (b"9" * size)),
    "an exponent": lambda size: _data(rb"{\"x\":1e%s}" % (b"9" * size)),
    "unknown fields": lambda size: _data(
        b"{%s}" % b",".join(rb"\"%x\":0" % n for n in islice(count(), size // 12))
    ),
    "one field again and again": lambda size: _data(
        rb"{%s}" % b",".join([rb"\"request_id\":\"a\""] * (size // 22))
    ),
}


#: Everything that a client may send.
REQUESTS: Final[tuple[type, ...]] = get_args(Request)
