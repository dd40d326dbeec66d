"""``docs/reference/protocol.md`` matches the code: nothing is missing, and nothing is invented.

Run as a program, this file prints the exchange that the page shows, generated from the code.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec
import pytest
from msgspec import inspect as mi

from gochat.chat import (
    activity,
    blocks,
    drafts,
    emoji,
    extras,
    moderation,
    names,
    passwords,
    pins,
    reports,
    rooms,
    saved,
    status,
    token,
)
from gochat.config import Limits as ConfiguredLimits
from gochat.errors import DETAILS, ErrorCode
from gochat.protocol import codec
from gochat.protocol import messages as m
from gochat.protocol.framing import HEADER_SIZE, MAX_FRAME_SIZE, FrameDecoder
from gochat.protocol.states import needs_login
from gochat.server import signals

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "protocol.md"

REQUESTS: tuple[type[m.Payload], ...] = get_args(m.Request)
REPLIES: tuple[type[m.Payload], ...] = get_args(m.Reply)
EVENTS: tuple[type[m.Payload], ...] = get_args(m.Event)
WRITES: tuple[type[m.Payload], ...] = get_args(m.WriteRequest)
PARTS: tuple[type[msgspec.Struct], ...] = (
    m.Position, m.Person, m.Status, m.Conversation, m.Invitation, m.ActivityItem, m.Pinned,
    m.SavedItem, m.Room, m.RoomBan, m.OpenReport, m.ReportedMessage, m.Restriction, m.AddressBan,
    m.Member, m.Session, m.Limits, m.Reaction,
)  # fmt: skip
KINDS: tuple[str, ...] = get_args(m.EntryKind)

SECTIONS = {"Requests": REQUESTS, "Replies": REPLIES, "Events": EVENTS}


# -- reading the page ---------------------------------------------------------------------------


def section(title: str, text: str | None = None) -> str:
    """Return the text under a heading, including its subheadings."""
    text = PAGE.read_text(encoding="utf-8") if text is None else text
    start = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert start is not None, f"there is no heading {title!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def headings(text: str) -> list[str]:
    return re.findall(r"^### (.+)$", text, re.MULTILINE)


def rows(text: str, first: str) -> list[tuple[str, ...]]:
    """Return the rows of the table in `text` whose first column has the heading `first`."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            break
    else:
        pytest.fail(f"there is no table of {first!r}")
    next(lines)
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return table


def first_column(text: str, first: str) -> list[str]:
    return [row[0].strip("`") for row in rows(text, first)]


# -- what the code says -------------------------------------------------------------------------


def type_name(type_: mi.Type) -> str:
    """Return a type's name as the page's section "Values" has it."""
    match type_:
        case mi.UnionType(types=[inner, mi.NoneType()] | [mi.NoneType(), inner]):
            return f"{type_name(inner)}, or null"
        case mi.BoolType():
            return "boolean"
        case mi.FloatType(ge=0):
            return "number"
        case mi.IntType(ge=0, le=high) if high == 2**53 - 1:
            return "integer"
        case mi.IntType(ge=1, le=high) if high == 2**53 - 1:
            return "integer ≥ 1"
        case mi.IntType(ge=0, le=m.MAX_TIME):
            return "time"
        case mi.IntType(ge=low, le=high):
            return f"integer {low}…{high}"
        case mi.StrType(min_length=None, max_length=None):
            return "string"
        case mi.StrType(min_length=None, max_length=longest):
            return f"string ≤ {longest}"
        case mi.StrType(min_length=shortest, max_length=longest):
            return f"string {shortest}…{longest}"
        case mi.Metadata(type=mi.StrType(), extra_json_schema={"examples": values}) if (
            values == list(KINDS)
        ):
            return "entry kind"
        case mi.LiteralType(values=values) if set(values) == set(get_args(m.TokenScope)):
            return "scope"
        case mi.LiteralType(values=values):
            return " or ".join(f'`"{value}"`' for value in values)
        case mi.DictType():
            return "object"
        case mi.VarTupleType(item_type=item, min_length=None, max_length=None):
            return f"list of {type_name(item)}"
        case mi.VarTupleType(item_type=item, min_length=None, max_length=most):
            return f"list of {type_name(item)}, at most {most}"
        case mi.VarTupleType(item_type=item, min_length=least, max_length=most):
            return f"list of {type_name(item)}, {least}…{most}"
        case mi.StructType(cls=cls):
            return cls.__name__
        case _:
            raise TypeError(f"say here, and on the page, how {type_} is called")


def default(field: mi.Field) -> str:
    if field.required:
        return "required"
    is_made = field.default is msgspec.NODEFAULT
    return f"`{json.dumps(field.default_factory() if is_made else field.default)}`"


def field_rows(cls: type[msgspec.Struct]) -> list[tuple[str, str, str]]:
    info = mi.type_info(cls)
    assert isinstance(info, mi.StructType)
    return [
        (f"`{field.encode_name}`", type_name(field.type), default(field)) for field in info.fields
    ]


def own_field_rows(cls: type[m.Payload]) -> list[tuple[str, str, str]]:
    """Return the rows of its own fields, without those that all requests, or all writes, have."""
    common = {"`request_id`", "`cid`", "`n`"} if cls in WRITES else {"`request_id`"}
    return [row for row in field_rows(cls) if row[0] not in common]


# -- types and fields ---------------------------------------------------------------------------


@pytest.mark.parametrize("title", SECTIONS)
def test_types_and_sections_correspond(title: str) -> None:
    assert headings(section(title)) == [f"`{cls.msg_type}`" for cls in SECTIONS[title]]


@pytest.mark.parametrize(
    ("title", "cls"),
    [
        pytest.param(title, cls, id=f"{title}-{cls.msg_type}")
        for title, types in SECTIONS.items()
        for cls in types
    ],
)
def test_fields_are_described_with_type_bounds_and_default(
    title: str, cls: type[m.Payload]
) -> None:
    text = section(f"`{cls.msg_type}`", section(title))
    expected = field_rows(cls) if title == "Events" else own_field_rows(cls)
    documented = rows(text, "field") if expected else []
    assert [row[:3] for row in documented] == expected
    assert all(meaning for *_, meaning in documented)
    assert "| field |" not in text or expected


@pytest.mark.parametrize(("title", "cls"), [("Requests", m.Logout), ("Replies", m.LoggedOut)])
def test_request_id_is_described_once(title: str, cls: type[m.Payload]) -> None:
    introduction = section(title).partition("\n### ")[0]
    assert [row[:3] for row in rows(introduction, "field")] == field_rows(cls)


def test_fields_of_every_write_are_described_once() -> None:
    introduction = section("Requests").partition("\n### ")[0]
    described = [row[:3] for row in rows(introduction.partition("log, ")[2], "field")]
    for cls in WRITES:
        assert sorted(described) == sorted(
            set(field_rows(cls)) - set(own_field_rows(cls)) - set(field_rows(m.Logout))
        )


def test_every_part_is_described() -> None:
    assert headings(section("Parts")) == [cls.__name__ for cls in PARTS]
    for cls in PARTS:
        table = rows(section(cls.__name__, section("Parts")), "field")
        assert [row[:3] for row in table] == field_rows(cls)
        assert all(meaning for *_, meaning in table)


def test_list_of_parts_is_complete() -> None:
    fields = re.compile(r"^\| `\w+` \| (?:list of )?([A-Z]\w+)(?:, or null)? \|", re.MULTILINE)
    named = set(fields.findall(PAGE.read_text(encoding="utf-8")))
    assert named == {cls.__name__ for cls in PARTS} | {"Message"}


# -- who may send what, and the replies ---------------------------------------------------------


def test_every_request_is_in_the_table_of_states() -> None:
    table = rows(section("States"), "request")
    assert [row[0].strip("`") for row in table] == [cls.msg_type for cls in REQUESTS]
    states = {None: ("yes", "yes"), True: ("no", "yes"), False: ("yes", "no")}
    assert [row[1:3] for row in table] == [states[needs_login(cls)] for cls in get_args(m.Request)]


@pytest.mark.parametrize("cls", REQUESTS)
def test_reply_is_the_one_named_in_the_code(cls: type[m.Payload]) -> None:
    (row,) = (row for row in rows(section("States"), "request") if row[0] == f"`{cls.msg_type}`")
    named = set(re.findall(r"(?i:answered by)\s+`(\w+)`", cls.__doc__ or ""))
    replies = {reply.__name__: reply.msg_type for reply in REPLIES}
    for name in named:
        assert f"`{replies[name]}`" in row[3]
        text = section(f"`{cls.msg_type}`", section("Requests"))
        assert f"Reply: `{replies[name]}`" in text
    assert named or cls in (m.Typing, m.Pong)


@pytest.mark.parametrize("cls", REQUESTS)
def test_errors_of_a_request_are_codes(cls: type[m.Payload]) -> None:
    text = section(f"`{cls.msg_type}`", section("Requests")).replace("\n", " ")
    listed = re.search(r"Errors: (.+?)\.(?: |$)", text)
    assert listed is not None
    codes = re.findall(r"`(\w+)`", listed[1])
    assert set(codes) <= set(ErrorCode)
    assert len(codes) == len(set(codes))
    assert codes or listed[1] == "none of its own"


# -- tables of names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "first", "known"),
    [
        ("Errors", "code", tuple(ErrorCode)),
        ("Goodbyes", "reason", tuple(m.ByeReason)),
        ("Capabilities", "capability", tuple(m.Capability)),
        ("Entries", "kind", KINDS),
    ],
)
def test_exactly_the_existing_names_are_described(
    title: str, first: str, known: tuple[str, ...]
) -> None:
    assert first_column(section(title), first) == list(known)
    for row in rows(section(title), first):
        assert row[1]


def test_names_mentioned_on_the_page_exist() -> None:
    fields = {
        row[0].strip("`")
        for cls in (*REQUESTS, *REPLIES, *EVENTS, *PARTS)
        for row in field_rows(cls)
    }
    known = (
        fields
        | {cls.msg_type for cls in (*REQUESTS, *REPLIES, *EVENTS)}
        | set(ErrorCode)
        | set(m.ByeReason)
        | set(m.Capability)
        | set(KINDS)
        | {field.name for field in msgspec.structs.fields(ConfiguredLimits)}
        | {"msg_type", "msg_data"}
    )
    prose = re.sub(r"^```.*?^```", "", PAGE.read_text(encoding="utf-8"), flags=re.S | re.M)
    mentioned = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", prose))
    assert mentioned <= known


def test_details_of_every_code_are_described() -> None:
    described = {
        ErrorCode(row[0].strip("`")): frozenset(re.findall(r"`(\w+)`", row[2]))
        for row in rows(section("Errors"), "code")
    }
    expected = {code: DETAILS.get(code, frozenset()) for code in ErrorCode}
    assert described == expected


# -- limits -------------------------------------------------------------------------------------

#: The fixed limits, and where they are in the code.
FIXED = {
    "messages in a report": reports.MAX_MESSAGES,
    "characters of a name": names.MAX_NAME,
    "characters of a topic or an away notice": rooms.MAX_TOPIC,
    "characters of a status": status.MAX_STATUS,
    "characters of an emoji": emoji.MAX_EMOJI,
    "different emoji on a message": drafts.MAX_REACTIONS,
    "different emoji on a message of one person": drafts.MAX_OWN_REACTIONS,
    "characters of a reason": extras.MAX_REASON,
    "bytes of metadata": extras.MAX_META,
    "mentions found in a message": drafts.MAX_MENTIONS,
    "pinned messages of a conversation": pins.MAX_PINS,
    "pending invitations of a person": rooms.MAX_INVITATIONS,
    "bans of a room": moderation.MAX_BANS,
    "people whom a person blocks": blocks.MAX_BLOCKED,
    "entries of a conversation that are listed in a person's activity": activity.PER_CONVERSATION,
    "entries that are listed in it, in all": activity.MAX_LISTED,
    "messages that a person has saved": saved.MAX_SAVED,
    "sessions of an account's devices": token.MAX_DEVICES,
    "sessions of its programs": token.MAX_PROGRAMS,
}


def test_limits_are_the_defaults() -> None:
    defaults = ConfiguredLimits()
    fixed = {}
    for limit, value, key in rows(section("Limits of a server"), "limit"):
        if key:
            assert float(value) == getattr(defaults, key.strip("`")), limit
        else:
            fixed[limit] = int(value)
    assert fixed == FIXED


def test_limits_repeated_in_the_text_agree() -> None:
    assert rooms.MAX_TOPIC == signals.MAX_AWAY == 200
    assert (passwords.MIN_PASSWORD, passwords.MAX_PASSWORD) == (8, 128)
    assert ConfiguredLimits().frame_bytes == MAX_FRAME_SIZE == 65536


# -- the exchange -------------------------------------------------------------------------------

Side = Literal["C", "S"]

EPOCH = "9f1c2b7a64d05e83"
TS = 1_790_000_000_000
LIMITS = m.Limits(frame_bytes=65536, text_chars=4000, burst=10, per_second=5.0, history_page=200)

#: All frames on mei's connection, in order; the client is `C`, the server `S`.
EXCHANGE: list[tuple[Side, m.Payload]] = [
    ("C", m.Register(name="mei", password="a pot of green tea")),
    ("S", m.Registered(name="mei")),
    ("C", m.Login(name="mei", password="a pot of green tea")),
    (
        "S",
        m.LoggedIn(
            name="mei",
            token="gct_aG93IG1hbnkgdGVhcG90cyBhcmUgdGhlcmUgaW4gdGhlIGtpdGNoZW4gb2YgbWVp",
            expires=TS + 30 * 24 * 3600 * 1000,
            limits=LIMITS,
            heartbeat=25.0,
            server="gochat 0.1.0",
        ),
    ),
    ("S", m.Presence(online=(m.Person(name="mei"),))),
    ("C", m.Who()),
    ("S", m.People(people=(m.Person(name="bob"), m.Person(name="mei")), total=2)),
    ("C", m.Send(to="#lobby", text='你好, says "mei"', request_id="1")),
    ("S", m.Sent(to="#lobby", epoch=EPOCH, seq=41, ts=TS + 4000, request_id="1")),
    (
        "S",
        m.Message(
            to="#lobby",
            epoch=EPOCH,
            seq=42,
            ts=TS + 9000,
            from_="bob",
            text="welcome, @mei",
            cid="4b1f0c",
            mentions=("mei",),
        ),
    ),
    ("C", m.Send(to="@bob", text="thanks! 🍵")),
    (
        "S",
        m.Message(
            to="@mei",
            epoch=EPOCH,
            seq=2,
            ts=TS + 15000,
            from_="bob",
            text="any time",
            cid="~Vx0c5s8QmEw1",
        ),
    ),
    ("C", m.Send(to="@ann", text="are you there?")),
    (
        "S",
        m.Error(code="unknown_person", text="no account is named 'ann'", field="to"),
    ),
    ("S", m.Presence(offline=("bob",))),
    ("C", m.Logout()),
    ("S", m.LoggedOut()),
]

#: Those that are shown in bytes, too: characters of several bytes, and escapes within escapes.
IN_BYTES: Final = (8, 9, 11)


def in_words() -> str:
    """Return the exchange as the page lists it: number, side, msg_type, msg_data."""
    return "\n".join(
        f"{number:2} {side}  {payload.msg_type:<10}  {msgspec.json.encode(payload).decode()}"
        for number, (side, payload) in enumerate(EXCHANGE, 1)
    )


def in_hex(frame: bytes) -> str:
    """Return a frame as the page shows it: sixteen bytes per line, with their ASCII characters."""
    lines = []
    for start in range(0, len(frame), 16):
        line = frame[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        lines.append(f"{start:04x}  {line.hex(' '):<47}  {text}")
    return "\n".join(lines)


def in_bytes() -> list[tuple[int, Side, m.Payload]]:
    """Return the frames of which the page shows the bytes, with their numbers."""
    return [(number, *EXCHANGE[number - 1]) for number in IN_BYTES]


def exchange() -> str:
    """Return the part of the page below "A whole exchange" that is generated from the code."""
    parts = [f"```text\n{in_words()}\n```\n"]
    for number, side, payload in in_bytes():
        title = f"Frame {number}, {'client' if side == 'C' else 'server'}: `{payload.msg_type}`"
        parts.append(f"{title}\n\n```hex\n{in_hex(codec.encode(payload))}\n```\n")
    return "\n".join(parts)


def bytes_on_the_page(text: str) -> list[bytes]:
    """Return the bytes of each hex block, from the columns of digits alone."""
    return [
        bytes.fromhex("".join(line[6:53] for line in block.splitlines()))
        for block in re.findall(r"^```hex\n(.*?)^```", text, re.S | re.M)
    ]


def test_bytes_on_the_page_decode_to_the_exchange() -> None:
    frames = bytes_on_the_page(section("A whole exchange"))
    for frame, (_, side, payload) in zip(frames, in_bytes(), strict=True):
        decode = codec.decode_request if side == "C" else codec.decode_server_message
        decoder = FrameDecoder()
        decoder.receive_data(frame)
        body = decoder.next_frame()
        assert body is not None
        assert not decoder.is_mid_frame
        assert decode(body) == payload


def test_another_json_implementation_decodes_the_bytes_on_the_page() -> None:
    for frame, (_, _, payload) in zip(
        bytes_on_the_page(section("A whole exchange")), in_bytes(), strict=True
    ):
        assert int.from_bytes(frame[:HEADER_SIZE], "big") == len(frame) - HEADER_SIZE
        envelope = json.loads(frame[HEADER_SIZE:])
        assert envelope["msg_type"] == payload.msg_type
        assert json.loads(envelope["msg_data"]) == json.loads(msgspec.json.encode(payload))


def test_page_shows_the_exchange_as_generated() -> None:
    assert section("A whole exchange").endswith("\n" + exchange())


def test_first_chapter_shows_every_frame_of_the_exchange_and_the_first_in_bytes() -> None:
    chapter = section("A minimal client")
    blocks = re.findall(r"^```text\n(.*?)^```", chapter, re.S | re.M)
    lines = "".join(blocks).splitlines()
    payloads = [line for line in lines if line.startswith("{")]
    frames = [line for line in lines if line not in payloads]
    assert sorted(frames) == sorted(in_words().splitlines())
    assert all(msgspec.json.decode(line, type=m.Send) for line in payloads)
    first = codec.encode(EXCHANGE[0][1])
    assert bytes_on_the_page(chapter) == [first]
    assert f"```hex\n{in_hex(first)}\n```" in chapter


def test_exchange_shows_the_six_functions() -> None:
    sent = [payload for side, payload in EXCHANGE if side == "C"]
    assert {type(payload) for payload in sent} == {m.Register, m.Login, m.Who, m.Send, m.Logout}
    assert {payload.to[0] for payload in sent if isinstance(payload, m.Send)} == {"#", "@"}


def test_example_of_the_envelope_is_a_valid_request() -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```", section("The envelope"), re.S | re.M)
    assert codec.decode_request(example.encode()) == m.Send(to="#lobby", text="hello")


if __name__ == "__main__":
    print(exchange())
