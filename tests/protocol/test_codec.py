"""Payloads to bytes and back, and how the decoder handles invalid bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect as mi

from gochat.errors import ErrorCode, MalformedMessage, ProtocolError, UnknownMessageType
from gochat.protocol.codec import (
    decode_request,
    decode_sends,
    decode_server_message,
    encode,
)
from gochat.protocol.framing import MAX_FRAME_SIZE, FrameDecoder
from gochat.protocol.messages import (
    HistoryPage,
    LoggedOut,
    Logout,
    Message,
    Payload,
    People,
    Ping,
    Reaction,
    Request,
    Send,
    ServerMessage,
)  # fmt: skip

REQUESTS: tuple[type[Payload], ...] = get_args(Request)
SERVER_MESSAGES: tuple[type[Payload], ...] = get_args(ServerMessage)

Decode = Callable[[bytes], Payload]
DECODERS: tuple[Decode, ...] = (decode_request, decode_server_message)
DIRECTIONS = [
    *(pytest.param(decode_request, cls, id=f"client-{cls.msg_type}") for cls in REQUESTS),
    *(
        pytest.param(decode_server_message, cls, id=f"server-{cls.msg_type}")
        for cls in SERVER_MESSAGES
    ),
]


# -- payloads of any type -----------------------------------------------------------------------


def values_of(type_: mi.Type) -> st.SearchStrategy[Any]:
    """Generate values of a type, within its bounds; so a new payload type is covered
    automatically."""
    match type_:
        case mi.NoneType():
            return st.none()
        case mi.BoolType():
            return st.booleans()
        case mi.IntType(ge=low, le=high):
            return st.integers(low, high)
        case mi.FloatType(ge=low, le=high):
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case mi.Metadata(type=inner):
            return values_of(inner)
        case mi.StrType(min_length=shortest, max_length=longest):
            return st.text(min_size=shortest or 0, max_size=min(longest or 30, 30))
        case mi.LiteralType(values=values):
            return st.sampled_from(values)
        case mi.UnionType(types=types):
            return st.one_of(*map(values_of, types))
        case mi.VarTupleType(item_type=item):
            least = type_.min_length or 0
            return st.lists(values_of(item), min_size=least, max_size=3).map(tuple)
        case mi.DictType(key_type=key, value_type=value):
            return st.dictionaries(values_of(key), values_of(value), max_size=3)
        case mi.StructType(cls=cls, fields=fields):
            required = {f.name: values_of(f.type) for f in fields if f.required}
            optional = {f.name: values_of(f.type) for f in fields if not f.required}
            given_fields = st.fixed_dictionaries(required, optional=optional)
            return given_fields.map(lambda values: cls(**values))
        case _:
            raise TypeError(f"say here how a value of {type_} is made")


ANY_PAYLOAD = {
    cls: values_of(mi.type_info(cls)) for cls in dict.fromkeys((*REQUESTS, *SERVER_MESSAGES))
}


def body_of(payload: Payload) -> bytes:
    decoder = FrameDecoder()
    decoder.receive_data(encode(payload))
    body = decoder.next_frame()
    assert body is not None
    assert not decoder.is_mid_frame
    return body


def body(msg_type: str, msg_data: str) -> bytes:
    """Return an envelope made by another JSON implementation than the one under test."""
    return json.dumps({"msg_type": msg_type, "msg_data": msg_data}, ensure_ascii=False).encode()


@pytest.mark.parametrize(("decode", "cls"), DIRECTIONS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_encoded_payload_decodes_to_the_same(
    decode: Decode, cls: type[Payload], data: st.DataObject
) -> None:
    payload = data.draw(ANY_PAYLOAD[cls])
    assert decode(body_of(payload)) == payload


@pytest.mark.parametrize(("decode", "cls"), DIRECTIONS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_codec_agrees_with_another_json_implementation(
    decode: Decode, cls: type[Payload], data: st.DataObject
) -> None:
    payload = data.draw(ANY_PAYLOAD[cls])
    envelope = json.loads(body_of(payload))
    assert envelope.keys() == {"msg_type", "msg_data"}
    assert envelope["msg_type"] == cls.msg_type
    rewritten = json.dumps(json.loads(envelope["msg_data"]), indent=1)
    assert decode(body(cls.msg_type, rewritten)) == payload


# -- what is sent -------------------------------------------------------------------------------


def test_field_with_its_default_is_not_sent() -> None:
    assert b"reply_to" not in encode(Send(to="#lobby", text="hi"))
    assert b"more" not in encode(People(people=(), total=0))


def test_encoding_refuses_text_that_utf8_cannot_carry() -> None:
    with pytest.raises(MalformedMessage):
        encode(Send(to="#lobby", text="half a pair: \ud83d"))


def test_longest_message_of_the_worst_characters_fits_a_frame() -> None:
    # A control character is escaped at both levels: no character takes more.
    longest = Message(to="#" + "室" * 32, epoch="e" * 40, seq=2**53 - 1, ts=2**53 - 1,
                      from_="名" * 32, text="\x01" * 4000, ref=2**53 - 1, cid="\x01" * 64,
                      mentions=("名" * 32,) * 10)  # fmt: skip
    assert len(body_of(longest)) <= MAX_FRAME_SIZE


# -- what is accepted ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b' \r\n\t{ "msg_type" : "ping" , "msg_data" : " { } " } \n',
        b'{"msg_data":"{}","msg_type":"ping"}',
        b'{"m\\u0073g_type":"\\u0070ing","msg_data":"{}"}',
        b'{"msg_type":"ping","msg_data":"{}","new":{"a":[1,null,"\\ud83d\\ude00"]}}',
        b'{"msg_type":"ping","msg_data":"{\\"new\\":[1e300,-0.5,true]}"}',
        b'{"msg_type":"who","msg_type":"ping","msg_data":"{}"}',
    ],
    ids=["space", "order", "escapes", "new in envelope", "new in payload", "the last one counts"],
)
def test_json_in_another_style_is_accepted(text: bytes) -> None:
    assert decode_request(text) == Ping()


def test_surrogate_pair_is_one_character_at_both_levels() -> None:
    outer = body("send", '{"to":"#lobby","text":"😀"}').replace("😀".encode(), rb"\ud83d\ude00")
    inner = body("send", r'{"to":"#lobby","text":"\ud83d\ude00"}')
    assert decode_request(outer) == decode_request(inner) == Send(to="#lobby", text="😀")


def test_any_utf8_character_arrives_unchanged() -> None:
    text = '\x00\x1b]52;c;?\x07\x7f\x9b\u202e\u2066\ufeff\ufffe\U0010ffff"\\/[]{}'
    assert decode_request(body_of(Send(to="#lobby", text=text))) == Send(to="#lobby", text=text)


def test_page_with_many_reactions_is_accepted() -> None:
    entry = Message(
        to="#a", epoch="e", seq=1, ts=1, from_="a",
        reactions=tuple(Reaction(emoji=chr(0x1F600 + n), count=1, names=("a",)) for n in range(20)),
    )  # fmt: skip
    page = HistoryPage(conv="#a", epoch="e", head=1, entries=(entry,) * 55)
    assert len(page_body := body_of(page)) <= MAX_FRAME_SIZE
    assert decode_server_message(page_body) == page


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "msg_data",
    [
        '{"to":"#lobby"}',
        '{"to":1,"seq":1}',
        '{"to":null,"seq":1}',
        '{"to":["#lobby"],"seq":1}',
        '{"to":"%s","seq":1}' % ("x" * 257),
        '{"to":"#lobby","seq":"1"}',
        '{"to":"#lobby","seq":1.0}',
        '{"to":"#lobby","seq":1e3}',
        '{"to":"#lobby","seq":true}',
        '{"to":"#lobby","seq":null}',
        '{"to":"#lobby","seq":-1}',
        '{"to":"#lobby","seq":9007199254740992}',
        '{"to":"#lobby","seq":%s}' % ("9" * 1_000_000),
        '{"to":"#lobby","seq":NaN}',
        '{"to":"#lobby","seq":1,"request_id":7}',
        '{"to":"#lobby","seq":1,"request_id":""}',
        '{"to":"#lobby","seq":1,"request_id":"%s"}' % ("x" * 65),
    ],
)
def test_missing_mistyped_or_out_of_bounds_field_is_refused(msg_data: str) -> None:
    with pytest.raises(MalformedMessage, match="delete has no valid"):
        decode_request(body("delete", msg_data))


@pytest.mark.parametrize(
    ("msg_type", "msg_data"),
    [
        ("marked", '{"conv":"#lobby","read":-1}'),
        ("marked", '{"conv":"#lobby","read":9007199254740992}'),
        ("marked", '{"conv":"#lobby","read":%s}' % ("9" * 4000)),
        ("marked", '{"conv":"#lobby","read":%s}' % ("9" * 1_000_000)),
        ("bye", '{"reason":"internal","retry_after":-1}'),
        ("bye", '{"reason":"internal","retry_after":1e999}'),
        ("bye", '{"reason":"internal","retry_after":%s}' % ("9" * 1_000_000)),
        ("bye", '{"reason":"internal","retry_after":NaN}'),
    ],
)
def test_client_refuses_numbers_out_of_bounds(msg_type: str, msg_data: str) -> None:
    with pytest.raises(MalformedMessage):
        decode_server_message(body(msg_type, msg_data))


@pytest.mark.parametrize("msg_type", ["nope", "", "Ping", "ping ", "x" * 10_000, "ping\0", "你好"])
@pytest.mark.parametrize("decode", DECODERS)
def test_unknown_type_is_distinguished_from_malformed(decode: Decode, msg_type: str) -> None:
    with pytest.raises(UnknownMessageType) as caught:
        decode(body(msg_type, '{"request_id":"7"}'))
    assert caught.value.code is ErrorCode.UNKNOWN_TYPE
    assert caught.value.msg_type == msg_type
    assert caught.value.request_id == "7"
    assert len(str(caught.value)) < 300


def test_type_of_the_other_direction_is_unknown() -> None:
    with pytest.raises(UnknownMessageType):
        decode_request(body_of(LoggedOut()))
    with pytest.raises(UnknownMessageType):
        decode_server_message(body_of(Logout()))


def test_error_text_is_printable_for_any_type_name() -> None:
    with pytest.raises(UnknownMessageType) as caught:
        decode_request(body("\x1b[2J\u202e", "{}"))
    assert str(caught.value).isprintable()


# -- the request id -----------------------------------------------------------------------------


@pytest.mark.parametrize("cls", REQUESTS)
def test_error_of_a_malformed_request_has_its_request_id(cls: type[Payload]) -> None:
    info = mi.type_info(cls)
    assert isinstance(info, mi.StructType)
    wrong: dict[str, object] = {field.encode_name: {} for field in info.fields} | {
        "request_id": "7"
    }
    if len(wrong) == 1:
        return  # without other fields, a request with an id is well-formed
    with pytest.raises(MalformedMessage) as caught:
        decode_request(body(cls.msg_type, json.dumps(wrong)))
    assert caught.value.request_id == "7"


@pytest.mark.parametrize(
    "msg_data",
    ['{"request_id":7}', '{"request_id":"7"', '["7"]', '"7"', "{}", '{"request_id":"\\ud800"}'],
)
def test_error_without_a_readable_request_id_has_none(msg_data: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode_request(body("send", msg_data))
    assert caught.value.request_id is None


# -- the place of a fault -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("msg_type", "msg_data", "path"),
    [
        ("send", '{"to":"#lobby"}', "text"),
        ("send", '{"to":1,"text":"x"}', "to"),
        ("send", '{"to":"#lobby","text":"x","cid":""}', "cid"),
        ("login", '{"name":"mei","password":"p","caps":["log",3]}', "caps[1]"),
        ("sync", '{"have":[{"conv":"#a","epoch":"e","ts":0}]}', "have[0].seq"),
        ("sync", '{"have":[{"conv":"#a","epoch":"e","seq":-1,"ts":0}]}', "have[0].seq"),
        ("send", "[]", None),
        ("send", '{"to":"#lobby","text":"x"', None),
        ("send", r'{"to":"#lobby","text":"\ud800"}', None),
    ],
)  # fmt: skip
def test_error_of_a_malformed_request_names_the_place(
    msg_type: str, msg_data: str, path: str | None
) -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode_request(body(msg_type, msg_data))
    assert caught.value.details == ({} if path is None else {"path": path})
    assert msg_type in str(caught.value)
    assert path is None or path in str(caught.value)


@pytest.mark.parametrize(("text", "path"), [
    (b'{"msg_type":"ping"}', "msg_data"), (b'{"msg_type":1,"msg_data":"{}"}', "msg_type"),
    (b"[]", None), (b"{", None), (b"\xff", None),
])  # fmt: skip
def test_error_of_a_malformed_envelope_names_the_place(text: bytes, path: str | None) -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode_request(text)
    assert caught.value.details == ({} if path is None else {"path": path})


def test_error_of_a_malformed_request_has_its_cid() -> None:
    """So that a client can give up the message of which it is."""
    for msg_type in ("send", "new"):
        with pytest.raises(ProtocolError) as caught:
            decode_request(body(msg_type, '{"to":7,"text":"x","cid":"c","request_id":7}'))
        assert (caught.value.cid, caught.value.request_id) == ("c", None)
    with pytest.raises(ProtocolError) as caught:
        decode_request(body("send", '{"to":7,"text":"x","cid":7,"request_id":"1"}'))
    assert (caught.value.cid, caught.value.request_id) == (None, "1")


def test_text_of_a_malformed_request_is_not_the_decoders() -> None:
    for msg_data in ('{"to":7}', "[]", "{", '{"to":"#a","text":"x","reply_to":"secret"}'):
        with pytest.raises(MalformedMessage) as caught:
            decode_request(body("send", msg_data))
        assert not re.search(r"`|\$|byte|secret", str(caught.value))


# -- many messages at once ------------------------------------------------------------------------

SENDS = [Send(to="#lobby", text="x" * length, cid=str(length)) for length in (1, 300, 5)]


def test_sends_are_decoded_together_with_where_they_begin() -> None:
    frames = [encode(send) for send in SENDS]
    starts = [0, len(frames[0]), len(frames[0] + frames[1])]
    found = decode_sends(b"".join(frames), MAX_FRAME_SIZE, 3)
    assert found == list(zip(SENDS, starts, strict=True))


@pytest.mark.parametrize(
    ("data", "max_size", "most"),
    [
        (b"".join(map(encode, SENDS)), MAX_FRAME_SIZE, 2),
        (b"".join(map(encode, SENDS)), 200, 3),
        (encode(SENDS[0]) + encode(Ping()), MAX_FRAME_SIZE, 3),
        (encode(SENDS[0]) + encode(SENDS[1])[:-1], MAX_FRAME_SIZE, 3),
        (encode(SENDS[0]) + bytes(4), MAX_FRAME_SIZE, 3),
    ],
    ids=["too many", "too large", "other request", "incomplete", "empty"],
)
def test_anything_but_whole_sends_is_decoded_one_by_one(
    data: bytes, max_size: int, most: int
) -> None:
    assert decode_sends(data, max_size, most) is None
