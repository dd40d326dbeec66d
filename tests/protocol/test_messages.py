"""The payload types: their unions, and the bounds of their fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import msgspec
import pytest
from msgspec import inspect as mi

from gochat.protocol import messages
from gochat.protocol.messages import (
    Event,
    Payload,
    Ping,
    Pong,
    Reply,
    Request,
    Send,
    ServerMessage,
)

REQUESTS: tuple[type[Payload], ...] = get_args(Request)
REPLIES: tuple[type[Payload], ...] = get_args(Reply)
EVENTS: tuple[type[Payload], ...] = get_args(Event)
SERVER_MESSAGES: tuple[type[Payload], ...] = get_args(ServerMessage)
BOTH_WAYS: set[type[Payload]] = {Ping, Pong}

#: Texts that a rule of the chat bounds, with an error code of its own; the frame bounds them.
BOUND_BY_RULES = {"text", "topic", "reason", "note", "meta", "password", "old", "new"}


def payload_types(base: type[Payload] = Payload) -> Iterator[type[Payload]]:
    for cls in base.__subclasses__():
        if "msg_type" in vars(cls):
            yield cls
        yield from payload_types(cls)


def leaves(type_: mi.Type) -> Iterator[mi.Type]:
    """Return the types that `type_` consists of, down to those without parts."""
    match type_:
        case mi.UnionType(types=types):
            for part in types:
                yield from leaves(part)
        case mi.VarTupleType(item_type=item):
            yield from leaves(item)
        case mi.DictType(key_type=key, value_type=value):
            yield from leaves(key)
            yield from leaves(value)
        case mi.StructType(fields=fields):
            for field in fields:
                yield from leaves(field.type)
        case _:
            yield type_


def struct(cls: type[msgspec.Struct]) -> mi.StructType:
    info = mi.type_info(cls)
    assert isinstance(info, mi.StructType)
    return info


def field_names(cls: type[Payload]) -> set[str]:
    return {field.encode_name for field in struct(cls).fields}


# -- the unions ---------------------------------------------------------------------------------


def test_no_two_types_share_a_msg_type() -> None:
    tags = [cls.msg_type for cls in payload_types()]
    assert len(tags) == len(set(tags))


def test_payload_types_are_in_one_union_except_ping_and_pong() -> None:
    for cls in payload_types():
        places = [union for union in (REQUESTS, REPLIES, EVENTS) if cls in union]
        assert len(places) == (2 if cls in BOTH_WAYS else 1), cls


def test_union_lists_a_type_once() -> None:
    for union in (REQUESTS, REPLIES, EVENTS):
        assert len(union) == len(set(union))


def test_both_sides_may_ping_and_answer() -> None:
    assert set(REQUESTS) >= BOTH_WAYS
    assert Ping in EVENTS
    assert Pong in REPLIES


def test_client_receives_only_replies_and_events() -> None:
    assert set(SERVER_MESSAGES) == set(REPLIES) | set(EVENTS)
    assert set(SERVER_MESSAGES) & set(REQUESTS) == BOTH_WAYS


# -- the fields ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [*REQUESTS, *REPLIES])
def test_every_request_and_reply_may_carry_a_request_id(cls: type[Payload]) -> None:
    (request_id,) = (f for f in struct(cls).fields if f.name == "request_id")
    assert not request_id.required
    assert request_id.default is None


@pytest.mark.parametrize("cls", [cls for cls in EVENTS if cls is not Ping])
def test_events_have_no_request_id(cls: type[Payload]) -> None:
    assert "request_id" not in field_names(cls)


@pytest.mark.parametrize("cls", REQUESTS)
def test_every_text_of_a_request_is_bounded(cls: type[Payload]) -> None:
    for field in struct(cls).fields:
        for leaf in leaves(field.type):
            if isinstance(leaf, mi.StrType) and field.name not in BOUND_BY_RULES | {"request_id"}:
                assert leaf.max_length is not None, field.name


@pytest.mark.parametrize("cls", payload_types())
def test_numbers_are_exact_in_every_json_implementation(cls: type[Payload]) -> None:
    for leaf in leaves(struct(cls)):
        match leaf:
            case mi.IntType(ge=int(low), le=int(high)):
                assert 0 <= low <= high <= 2**53 - 1
            case mi.FloatType(ge=low):
                assert low == 0
            case mi.IntType():
                pytest.fail(f"an integer of {cls.msg_type} has no bounds")


@pytest.mark.parametrize("cls", payload_types())
def test_payload_is_immutable(cls: type[Payload]) -> None:
    assert cls.__struct_config__.frozen


@pytest.mark.parametrize("cls", payload_types())
def test_lists_are_tuples(cls: type[Payload]) -> None:
    for leaf in leaves(struct(cls)):
        assert not isinstance(leaf, mi.CollectionType | mi.AnyType)


@pytest.mark.parametrize("cls", payload_types())
def test_no_field_has_a_name_of_the_envelope(cls: type[Payload]) -> None:
    assert not field_names(cls) & {"msg_type", "msg_data"}


def test_field_named_by_a_python_keyword_keeps_its_wire_name() -> None:
    assert "from" in field_names(messages.Message)
    assert "from" in field_names(messages.IsTyping)


def test_payloads_are_equal_by_value() -> None:
    assert Send(to="#lobby", text="hello") == Send(to="#lobby", text="hello")
    assert Send(to="#lobby", text="hello") != Send(to="#lobby", text="hello!")
