"""Inputs: payloads of every type, what the conformance suite sends, mutations, and how they arrive.

All is drawn from a `random.Random`, so that the same one gives the same input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final, get_args

from msgspec import inspect as mi

from gochat.protocol.framing import MAX_FRAME_SIZE, frame
from gochat.protocol.messages import Payload, Request, ServerMessage
from gochat.protocol.text import EVERYBODY_NAMES

CONFORMANCE: Final = Path(__file__).parents[2] / "conformance"
#: What there is on the server of :mod:`~gochat_fuzz.sessions`.
PEOPLE: Final = ("mei", "bob")
ROOMS: Final = ("#garden", "#den")

#: Inserted by :func:`mutate`: what parsers of JSON, UTF-8 and lengths trip over.
SNIPPETS: Final = (
    b'"', b"\\", b"\\\\", b"{", b"}", b"[", b"]", b":", b",", b"\\u", b"\\ud800", b"\\\\ud800",
    b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0", b"NaN", b"Infinity", b"1e999", b"-", b"0",
    b"9" * 400, b"null", b"true", b"{}", b"[]", b'"msg_data"', b'"msg_type"', b'\\"request_id\\"',
    b"[" * 20, b"]" * 20, b"{" * 20, b'\\"' * 3,
)  # fmt: skip
_TEXTS: Final = (
    "", " ", "hi", "mei", "BOB", "@mei", "@bob", "#lobby", "#garden", "#den", "#", "@", "#nowhere",
    "@nobody", "\0", "\n", "\x1b[2J", "\u202e", "\ufeff", "e\u0301" * 40, "ﷺ" * 30, "・漢", "аpple",
    "👍", "👩\u200d" * 20, "`@mei`", "```\n", "> " * 9, "https://x.org/(", "from:me in:den hi",
    '"a phrase', "in:", "from:", "~x", "é" * 64, "x" * 65, "x" * 256, "x" * 257, "z" * 4001,
    *(f"@{name}" for name in EVERYBODY_NAMES),
)  # fmt: skip
_WRONG: Final[Sequence[Any]] = (
    None,
    True,
    -1,
    1.5,
    2**63,
    2**64,
    1e308,
    "",
    "x",
    [],
    {},
    [[]],
    {"a": [None]},
)
_SIGNS: Final = (
    "@", "＠", "`", "```", "[", "](", ")", "https://", "gochat://", "x.org", "/", "\\", " ", "\n",
    "\r", ":", ",", "a", "é", "好", "ก", "\u0301", "-", ".", "_", "3", "> ", ">>>", "*", "~~", "\0",
)  # fmt: skip


def payload(kind: type[Payload], chance: Random) -> bytes:
    """Return the body of a frame with a payload of a type, mostly a valid one."""
    data = _struct(mi.type_info(kind), chance)
    text = json.dumps(data, ensure_ascii=chance.random() < 0.5)
    return _envelope(kind.msg_type, text)


def _envelope(msg_type: str, text: str) -> bytes:
    body = json.dumps({"msg_type": msg_type, "msg_data": text}, ensure_ascii=False)
    return body.encode(errors="surrogatepass")


def _struct(info: mi.Type, chance: Random) -> dict[str, Any]:
    assert isinstance(info, mi.StructType)
    return {
        field.encode_name: _value(field.type, chance)
        if chance.random() < 0.97
        else chance.choice(_WRONG)
        for field in info.fields
        if field.required or chance.random() < 0.4
    }


def _value(info: mi.Type, chance: Random) -> Any:
    match info:
        case mi.UnionType(types=types):
            return _value(chance.choice(types), chance)
        case mi.NoneType():
            return None
        case mi.BoolType():
            return chance.random() < 0.5
        case mi.IntType(ge=least, le=most):
            numbers = [least or 0, (least or 0) + 1, 2, 3, 50, most if most is not None else 2**53]
            return chance.choice(numbers)
        case mi.FloatType():
            return chance.choice((0, 0.5, 1e9))
        case mi.StrType(max_length=most):
            return chance.choice(_TEXTS)[: most if chance.random() < 0.9 else None]
        case mi.LiteralType(values=values):
            return chance.choice(values)
        case mi.Metadata(extra_json_schema={"examples": known}):
            return chance.choice((*known, "of another version"))
        case mi.DictType():
            return {
                chance.choice(_TEXTS): chance.choice(_TEXTS) for _ in range(chance.randrange(3))
            }
        case mi.VarTupleType(item_type=item):
            return [_value(item, chance) for _ in range(chance.choice((0, 1, 1, 2, 3, 20)))]
        case mi.StructType():
            return _struct(info, chance)
        case _:
            raise TypeError(f"draw a {info} here")


@cache
def conformance() -> Sequence[bytes]:
    """Return the bodies that the cases of the conformance suite send, malformed ones as well."""
    bodies: list[bytes] = []
    for path in sorted((CONFORMANCE / "cases").glob("*.json")):
        for case in json.loads(path.read_bytes())["cases"]:
            _collect(_filled(case["steps"], frozenset(case.get("names", ()))), bodies)
    return tuple(dict.fromkeys(bodies))


def _collect(steps: Any, bodies: list[bytes]) -> None:
    for step in steps:
        _collect(step.get("steps", ()), bodies)
        for word in ("send", "ask"):
            if word in step:
                msg_type, *data = step[word]
                bodies.append(_envelope(msg_type, json.dumps(data[0] if data else {})))
        if "send_text" in step:
            bodies.append(_envelope(*step["send_text"]))
        if "raw" in step:
            bodies.append(str(step["raw"]).encode(errors="surrogatepass"))


def _filled(value: Any, names: frozenset[str]) -> Any:
    """Return steps with something in place of their variables: names that there are, or 1."""
    match value:
        case str():
            if re.fullmatch(r"\$\{[\w.]+\}", value) and value[2:-1] not in names:
                return 1
            return re.sub(r"\$\{([\w.]+)\}", lambda name: name[1], value)
        case {"$repeat": [text, int(times)]}:
            return _filled(text, names) * times
        case dict():
            return {key: _filled(inner, names) for key, inner in value.items()}
        case list():
            return [_filled(inner, names) for inner in value]
        case _:
            return value


@cache
def _texts() -> Sequence[str]:
    groups = json.loads((CONFORMANCE / "texts.json").read_bytes())["texts"].values()
    return tuple(case["text"] for group in groups for case in group)


def text(chance: Random) -> str:
    """Return a message's text."""
    signs = "".join(chance.choices(_SIGNS, k=chance.choice((3, 20, 80, 800))))
    match chance.randrange(4):
        case 0:
            return signs
        case 1:
            return "".join(
                map(chr, (chance.randrange(0x2FFF) for _ in range(chance.randrange(99))))
            )
        case 2:  # the same again and again: what is not linear takes long
            unit = signs[: chance.randint(1, 6)]
            return unit * (4000 // max(1, len(unit)))
        case _:
            given = chance.choice(_texts())
            at = chance.randint(0, len(given))
            return given[:at] + signs[: chance.randint(0, 6)] + given[at:]


def mutate(data: bytes, chance: Random) -> bytes:
    """Return `data` with one to four changes: something removed, inserted, or doubled."""
    mutant = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(mutant))
        end = min(len(mutant), start + chance.choice((0, 0, 1, 2, 8)))
        with_what = chance.choice((b"", chance.choice(SNIPPETS), bytes(mutant[end : end + 12])))
        mutant[start:end] = with_what
    return bytes(mutant)


def body(chance: Random, kinds: Sequence[type[Payload]]) -> bytes:
    """Return the body of a frame that one side sends: valid, mutated, or anything."""
    draw = chance.random()
    if draw < 0.05:
        return chance.randbytes(chance.choice((1, 4, 30, 300)))
    given = payload(chance.choice(kinds), chance)
    if draw < 0.4:
        given = chance.choice(conformance())
    if chance.random() < 0.4:
        given = mutate(given, chance)
    return given[:MAX_FRAME_SIZE] or b"{"


REQUESTS: Final[Sequence[type[Payload]]] = get_args(Request)
MESSAGES: Final[Sequence[type[Payload]]] = get_args(ServerMessage)


def stream(chance: Random, bodies: Sequence[bytes]) -> tuple[bytes, bool]:
    """Return the bytes of frames, and whether their lengths are right: in some they are not."""
    data = b"".join(map(frame, bodies))
    if chance.random() < 0.75:
        return data, True
    match chance.randrange(4):
        case 0:
            return mutate(data, chance), False
        case 1:
            return data[: chance.randint(0, len(data))], False
        case 2:
            return data + chance.choice(
                (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0", b"GET / HTTP")
            ), False
        case _:
            return chance.randbytes(chance.randint(1, 400)), False


def pieces(data: bytes, chance: Random) -> list[bytes]:
    """Return `data` as it may arrive: whole, or in a few parts."""
    cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.choice((0, 0, 1, 2, 5))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
