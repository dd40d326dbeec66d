"""The shape of what programs use: names, keywords, no booleans by position, no test hooks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import datetime
from typing import Any, get_args, get_type_hints

import pytest

from gochat import client
from gochat.client import Client, ClientEvent, ClientOptions, Entry, LogEntry
from gochat.client.convert import to_entry
from gochat.client.options import InternalOptions
from gochat.protocol import messages as wire

#: What parameters are called; each name stands for one thing.
NAMES = {
    "after", "around", "at", "before", "conversation", "cursor", "device", "duration", "emoji",
    "form", "history", "interval", "invite", "kind", "level", "lifetime", "limit", "message",
    "messages", "meta", "name", "names", "network", "new", "note", "old", "on",
    "options", "outbox", "outgoing", "password", "private", "query", "reason",
    "report", "room", "rooms", "scopes", "seen", "session_id",
    "ssl_context", "text", "token", "topic", "url",
}  # fmt: skip


def exported() -> Iterator[tuple[str, Any]]:
    """Yield all that the package exports, by name."""
    for name in client.__all__:
        yield name, getattr(client, name)


def callables() -> Iterator[tuple[str, inspect.Signature]]:
    """Yield what programs call: functions, constructors, methods."""
    for name, value in exported():
        if inspect.isfunction(value):
            yield name, inspect.signature(value)
        if not inspect.isclass(value) or issubclass(value, BaseException):
            continue
        if value.__module__.startswith("gochat.client") and value is not Client:
            yield name, inspect.signature(value)
        for method, function in inspect.getmembers(value, inspect.isfunction):
            if not method.startswith("_") and "(Internal)" not in (function.__doc__ or ""):
                yield f"{name}.{method}", inspect.signature(function)


def is_boolean(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.default, bool) or "bool" in str(parameter.annotation)


def test_no_boolean_goes_by_its_position() -> None:
    by_position = [
        f"{name}({parameter.name})"
        for name, signature in callables()
        for parameter in signature.parameters.values()
        if is_boolean(parameter) and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert by_position == []
    booleans = [p for _, s in callables() for p in s.parameters.values() if is_boolean(p)]
    assert len(booleans) > 10  # the test sees them


def test_what_may_be_left_out_of_a_method_goes_by_name() -> None:
    by_position = [
        f"{name}({parameter.name})"
        for name, signature in callables()
        if name.startswith("Client.") or name == "open_client"
        for parameter in signature.parameters.values()
        if parameter.default is not inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert by_position == []


def test_parameters_have_one_name_for_one_thing() -> None:
    names = {
        parameter
        for name, signature in callables()
        if name.startswith("Client.") or name == "open_client"
        for parameter in signature.parameters
    }
    assert names - {"self"} == NAMES


def test_options_of_programs_have_no_test_hooks() -> None:
    internal = set(get_type_hints(InternalOptions)) - set(get_type_hints(ClientOptions))
    assert internal == {"clock", "random"}
    assert {str(hint) for hint in get_type_hints(ClientOptions).values()} == {"<class 'float'>"}


def test_times_are_datetimes() -> None:
    """And no field has the name of the wire: `ts`, `ref`, `conv`, `from_`, `to`."""
    for name, value in exported():
        if inspect.isclass(value) and value.__module__.startswith("gochat.client."):
            fields = getattr(value, "__struct_fields__", ()) or getattr(value, "__slots__", ())
            assert not {"ts", "ref", "conv", "from_", "to"} & set(fields), name
    entry = to_entry(MESSAGE, "mei")
    assert isinstance(entry.time, datetime)
    assert entry.time.isoformat() == "2027-01-15T08:00:00.123000+00:00"


def test_each_event_and_entry_can_be_imported_by_programs() -> None:
    for kind in get_args(ClientEvent):
        assert getattr(client, kind.__name__) is kind


MESSAGE = wire.Message(
    to="#garden", epoch="e", seq=7, ts=1_800_000_000_123, from_="mei", text="public", ref=3,
    cid="c",
)  # fmt: skip


@pytest.mark.parametrize("kind", get_args(wire.EntryKind))
def test_each_kind_of_entry_has_a_class_of_its_own(kind: wire.EntryKind) -> None:
    others = [one for one in get_args(wire.EntryKind) if one != kind]
    entry = to_entry(wire_entry(kind), "mei")
    assert type(entry) in get_args(LogEntry)
    assert all(type(to_entry(wire_entry(one), "mei")) is not type(entry) for one in others)
    assert (entry.conversation, entry.sender, entry.is_own) == ("#garden", "mei", True)
    assert (entry.epoch, entry.seq, entry.cid) == ("e", 7, "c")
    assert not to_entry(wire_entry(kind), "bob").is_own


def wire_entry(kind: wire.EntryKind) -> wire.Message:
    fields = {name: getattr(MESSAGE, name) for name in MESSAGE.__struct_fields__}
    return wire.Message(**{**fields, "kind": kind})


def test_private_conversation_is_told_from_a_room() -> None:
    private = wire.Message(to="@bob", conv="@mei", epoch="e", seq=1, ts=1, from_="mei", text="hi")
    entry: Entry = to_entry(private, "bob")
    assert (entry.conversation, entry.is_private) == ("@mei", True)
    assert not to_entry(MESSAGE, "bob").is_private
