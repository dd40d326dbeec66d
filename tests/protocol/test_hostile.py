"""Bytes that no honest peer sends: each is refused, with the right error, in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.errors import ErrorCode, MalformedMessage, ProtocolError
from gochat.protocol.codec import decode_request, decode_server_message, encode
from gochat.protocol.framing import HEADER_SIZE
from gochat.protocol.messages import Payload, Request, ServerMessage

Decode = Callable[[bytes], Payload]
DECODERS: tuple[Decode, ...] = (decode_request, decode_server_message)
TYPES: tuple[type[Payload], ...] = (*get_args(Request), *get_args(ServerMessage))


def body(msg_type: str, msg_data: str) -> bytes:
    return json.dumps({"msg_type": msg_type, "msg_data": msg_data}, ensure_ascii=False).encode()


# -- the corpus ---------------------------------------------------------------------------------


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


#: Not a message, whichever side decodes it.
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "space": b" ",
    "no json": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls hello": bytes.fromhex("16030100f8010000f40303") + bytes(200),
    "null": b"null",
    "array": b'["ping","{}"]',
    "string": b'"ping"',
    "empty object": b"{}",
    "no msg_data": b'{"msg_type":"ping"}',
    "no msg_type": b'{"msg_data":"{}"}',
    "msg_type of another type": b'{"msg_type":1,"msg_data":"{}"}',
    "msg_data as an object": b'{"msg_type":"ping","msg_data":{}}',
    "msg_data null": b'{"msg_type":"ping","msg_data":null}',
    "msg_data empty": b'{"msg_type":"ping","msg_data":""}',
    "msg_data an array": b'{"msg_type":"ping","msg_data":"[]"}',
    "msg_data no json": b'{"msg_type":"ping","msg_data":"{]"}',
    "two values": b'{"msg_type":"ping","msg_data":"{}"}{}',
    "a NUL behind it": b'{"msg_type":"ping","msg_data":"{}"}\0',
    "two values inside": body("ping", "{} {}"),
    "truncated": b'{"msg_type":"ping","msg_data":"{}"',
    "truncated inside": body("ping", '{"request_id":"1'),
    "trailing comma": b'{"msg_type":"ping","msg_data":"{}",}',
    "comment": b'{"msg_type":"ping","msg_data":"{}"/**/}',
    "single quotes": b"{'msg_type':'ping','msg_data':'{}'}",
    "byte order mark": b"\xef\xbb\xbf" + body("ping", "{}"),
    "byte order mark inside": body("ping", "\ufeff{}"),
    "utf-16": '{"msg_type":"ping","msg_data":"{}"}'.encode("utf-16-le"),
    "bad utf-8": b'{"msg_type":"ping","msg_data":"{\\"request_id\\":\\"\xff\\"}"}',
    "bad utf-8 in a field nobody knows": b'{"msg_type":"ping","msg_data":"{}","new":"\xc0\xaf"}',
    "bad utf-8 in a field of the payload nobody knows": b'{"msg_type":"ping",'
    b'"msg_data":"{\\"new\\":\\"\xf5\x80\x80\x80\\"}"}',
    "bad utf-8 in a key": b'{"msg_type":"ping","msg_data":"{}","\xff":1}',
    "truncated utf-8": b'{"msg_type":"ping","msg_data":"{\\"request_id\\":\\"\xe5\xb0\\"}"}',
    "raw surrogate": b'{"msg_type":"ping","msg_data":"{\\"request_id\\":\\"\xed\xa0\x80\\"}"}',
    "raw surrogate pair": b'{"msg_type":"ping","msg_data":"{\\"request_id\\":'
    b'\\"\xed\xa0\xbd\xed\xb8\x80\\"}"}',
    "high surrogate escaped outside": b'{"msg_type":"ping",'
    b'"msg_data":"{\\"request_id\\":\\"\\ud800\\"}"}',
    "low surrogate escaped outside": b'{"msg_type":"ping",'
    b'"msg_data":"{\\"request_id\\":\\"\\udc00\\"}"}',
    "high surrogate escaped inside": body("ping", r'{"request_id":"\ud800"}'),
    "low surrogate escaped inside": body("ping", r'{"request_id":"\udc00"}'),
    "two high surrogates": body("ping", r'{"request_id":"\ud800\ud800"}'),
    "high surrogate and a letter": body("ping", r'{"request_id":"\ud800x"}'),
    "surrogate in msg_type": b'{"msg_type":"\\ud800","msg_data":"{}"}',
    "raw control character": body("ping", '{"request_id":"\t"}'),
    "bad escape": body("ping", r'{"request_id":"\x41"}'),
    "NaN": body("ping", '{"new":NaN}'),
    "Infinity": body("ping", '{"new":Infinity}'),
    "-Infinity": body("ping", '{"new":-Infinity}'),
    "NaN outside": b'{"msg_type":"ping","msg_data":"{}","new":NaN}',
    "leading zero": body("ping", '{"new":01}'),
    "too deep": body("ping", '{"new":' + nested(30_000) + "}"),
    "too deep outside": b'{"msg_type":"ping","msg_data":"{}","new":%s}' % nested(30_000).encode(),
    "too deep with an id": body("ping", '{"request_id":"1","new":' + nested(30_000) + "}"),
    "100,000 deep": body("ping", nested(100_000)),
    "100,000 deep outside": nested(100_000).encode(),
    "100,000 open": body("ping", '{"a":' * 100_000),
    "100,000 open outside": b'{"a":' * 100_000,
    "100,000 closed": body("ping", "}" * 100_000),
}


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_invalid_message_is_refused(decode: Decode, text: bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode(text)
    assert caught.value.code is ErrorCode.MALFORMED
    assert len(str(caught.value)) < 300


# -- anything else ------------------------------------------------------------------------------


def decodes_or_is_refused(text: bytes) -> None:
    for decode in DECODERS:
        try:
            payload = decode(text)
        except ProtocolError:
            continue  # any other exception fails the test
        assert decode(encode(payload)[HEADER_SIZE:]) == payload


@given(text=st.binary(max_size=200))
def test_any_bytes_decode_or_raise_a_protocol_error(text: bytes) -> None:
    decodes_or_is_refused(text)


TAGS = st.sampled_from([cls.msg_type for cls in TYPES])
KEYS = sorted({field.encode_name for cls in TYPES for field in msgspec.structs.fields(cls)})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=6)
    | st.sampled_from(["#lobby", "text", "all", "e1", "7"])
)
OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from(KEYS), SCALARS, max_size=5),
    lambda inner: st.dictionaries(
        st.sampled_from(KEYS), SCALARS | inner | st.lists(inner | SCALARS, max_size=3), max_size=6
    ),
    max_leaves=8,
)


@given(tag=TAGS, data=OBJECTS)
def test_any_json_in_an_envelope_decodes_or_raises_protocol_error(tag: str, data: Any) -> None:
    # json.dumps writes NaN and lone surrogates, too.
    decodes_or_is_refused(json.dumps({"msg_type": tag, "msg_data": json.dumps(data)}).encode())


# -- time ---------------------------------------------------------------------------------------

#: Each is repeated to a megabyte and decoded alone, inside `msg_data`, and inside a field.
REPEATED = (
    '"', "\\", '\\"', '"\\', "[", "]", "{", "}", "[]", "{}", "[1]", "[ ]", '"[', '["', '"a"[]',
    '[""],', '{"a":', '{"a":1},', "[" * 16 + "]" * 16, "[}", "1", "0.", "1e", "-", " ", "a", "你",
    "\\u", "\\ud800", "\\ud83d\\ude00", ",", ":", '"request_id":"7",', '"a":1,', "null,",
)  # fmt: skip
MEGABYTE = 1_000_000
#: CPU seconds. Linear work on a megabyte takes some 20 ms; quadratic work takes minutes.
BOUND = 1.0


def decode_within_bound(text: bytes) -> None:
    for decode in DECODERS:
        started = time.process_time()
        with suppress(ProtocolError):
            decode(text)
        assert time.process_time() - started < BOUND


@pytest.mark.parametrize("part", REPEATED)
def test_decoding_a_megabyte_takes_linear_time(part: str) -> None:
    much = part * (MEGABYTE // len(part.encode()))
    decode_within_bound(much.encode())
    decode_within_bound(b'{"msg_type":"send","msg_data":"{}","new":' + much.encode() + b"}")
    decode_within_bound(body("send", much))
    decode_within_bound(body("send", '{"to":"#lobby","text":"' + much + '"}'))
    decode_within_bound(body("mark", '{"conv":"#lobby","read":' + much + "}"))
    decode_within_bound(body("bye", '{"reason":"x","retry_after":' + much + "}"))
    decode_within_bound(body("people", '{"total":1,"people":[' + much + "]}"))


@pytest.mark.parametrize("levels", [1, 2])
def test_decoding_a_megabyte_of_keys_takes_linear_time(levels: int) -> None:
    many = json.dumps({f"key{number}": number for number in range(50_000)})
    decode_within_bound(body("send", many) if levels == 2 else many.encode())
