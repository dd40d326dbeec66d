"""A server that sends anything: the client library and what the app shows accept it, or refuse it.

One generator walks all fields of all messages, and gives each the extreme values of its type,
within the protocol's bounds and beyond them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, get_args

import anyio
import pytest
from msgspec import inspect as mi
from msgspec import structs
from patience import PATIENCE
from scripted_server import LIMITS, QUICK, FakeClock, Peer, Watcher, logged_in, said

from gochat.client import ConnectionState, StateChanged
from gochat.client.convert import to_page
from gochat.client.events import ClientEvent
from gochat.client.moments import moment
from gochat.client.outbox import Outbox
from gochat.client.outgoing import Outgoing
from gochat.client.replies import MAX_RETRY_AFTER, check_order
from gochat.client.sync_state import SyncState
from gochat.errors import ProtocolError
from gochat.protocol import messages as wire
from gochat.protocol.codec import decode_server_message
from gochat.protocol.framing import frame
from gochat.tui.model import presentation
from gochat.tui.model.chat import ChatModel
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.log_items import log_item

TYPES: tuple[type[wire.Payload], ...] = get_args(wire.ServerMessage)
ZONES: Final = ("UTC0", "EAST-14", "WEST+12")
GOOD: Final = {
    "to": "#lobby", "conv": "#lobby", "room": "#garden", "from": "bob", "name": "bob",
    "epoch": "e1", "request_id": None, "kind": "text",
}  # fmt: skip
WHOLE: Final = (0, 1, 2, -1, 2**31, 2**53 - 1, 2**53, 10**400, 1.5, wire.MAX_TIME, "1")
SPANS: Final = (0, 5e-324, 0.5, -1, 86_401, 31_536_000, 1.7e308, 2**53)
TEXTS: Final = (
    "", "x" * 5_000, "#", "@", "@mei", "@bob", "#Lobby", "#lobby\0", "²", "\u202e", "\x1b]0;x\x07",
    "\ud800", "mei", 7,
)  # fmt: skip


def good(type_: mi.Type) -> Any:
    """Return a valid value, as JSON has it."""
    match type_:
        case mi.UnionType(types=types):
            return good(next(one for one in types if not isinstance(one, mi.NoneType)))
        case mi.StructType(fields=fields):
            return {f.encode_name: GOOD.get(f.encode_name, good(f.type)) for f in fields}
        case mi.VarTupleType(item_type=item):
            return [good(item)]
        case mi.DictType():
            return {"a/b": "bob"}
        case mi.LiteralType(values=values):
            return values[-1]
        case mi.Metadata(extra_json_schema={"examples": known}):
            return known[0]
        case mi.StrType():
            return "bob"
        case mi.BoolType():
            return False
        case _:
            return 1


def extreme(type_: mi.Type) -> Iterator[Any]:
    """Return values at the bounds and beyond."""
    yield None
    match type_:
        case mi.UnionType(types=types):
            for one in types:
                yield from extreme(one)
        case mi.StructType(fields=fields):
            yield {}
            whole = good(type_)
            for field in fields:
                for value in extreme(field.type):
                    yield whole | {field.encode_name: value}
        case mi.DictType():
            yield {}
            yield {str(number): "\x1b" for number in range(300)}
        case mi.VarTupleType(item_type=item):
            yield []
            yield [good(item)] * 300
            for value in extreme(item):
                yield [value]
                yield [good(item), value, good(item)]
        case mi.LiteralType(values=values):
            yield from (*values, "of another version")
        case mi.Metadata(extra_json_schema={"examples": known}):
            yield from (*known, "of another version", 1)
        case mi.IntType():
            yield from WHOLE
        case mi.FloatType():
            yield from SPANS
        case mi.StrType():
            yield from TEXTS
        case mi.BoolType():
            yield from (True, False, 1)


def bodies(cls: type[wire.Payload]) -> list[bytes]:
    """Return the bodies of frames: one for each extreme value of each field, of each kind of
    entry."""
    type_ = mi.type_info(cls)
    values = [value for value in (*extreme(type_), good(type_)) if isinstance(value, dict)]
    assert isinstance(type_, mi.StructType)
    least = {f.encode_name: good(type_)[f.encode_name] for f in type_.fields if f.required}
    values += [
        least | {field.encode_name: value}
        for field in type_.fields
        for value in extreme(field.type)
    ]
    if cls is wire.Message:
        fields = {field.encode_name: field.type for field in type_.fields}
        values += [
            good(type_) | {"kind": kind, name: value}
            for kind in get_args(wire.EntryKind)
            for name in ("to", "from", "text", "ref")
            for value in extreme(fields[name])
        ]
    return [
        json.dumps({"msg_type": cls.msg_type, "msg_data": json.dumps(value)}).encode()
        for value in values
    ]


def decode_time(body: bytes) -> Any:
    return json.loads(json.loads(body)["msg_data"]).get("ts")


class Events:
    """Replaces the client's buffer: passes every event on at once."""

    is_full = False

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    def put(self, events: Iterable[ClientEvent]) -> None:
        for event in events:
            self._model.apply(event)

    def put_state(self, event: StateChanged) -> None:
        self.put([event])

    def hold(self) -> None:
        """Pass events on all the same."""

    def release(self, events: Iterable[ClientEvent]) -> None:
        self.put(events)


class Person:
    """A client without a network, and what its app shows."""

    def __init__(self, zones: Sequence[str] = ZONES) -> None:
        self.zones = zones
        clock = FakeClock()
        self.model = ChatModel("mei", clock=clock.now, now=lambda: 1_700_000_000.0)
        self.sync_state = SyncState(Outbox(clock), clock)
        self.sync_state.buffer = Events(self.model)  # type: ignore[assignment]  # has what is used of a buffer
        self.take(
            wire.LoggedIn(
                name="mei", token="t", expires=1, limits=LIMITS, heartbeat=25.0, server="s"
            )
        )
        lobby = wire.Conversation(conv="#lobby", epoch="e1", head=1)
        self.sync([wire.Person(name="bob")], wire.Synced(conversations=(lobby,)))
        self.sync_state.send(Outgoing(conversation="#lobby", text="hello", cid="x"))

    def sync(self, people: Sequence[wire.Person], page: wire.Synced) -> None:
        """Log in again, and take in a page of what was missed."""
        inbox = self.sync_state.inbox
        inbox.begin("mei")
        request = inbox.next_page(50, 65536)
        assert request is not None
        with suppress(ProtocolError):
            self.sync_state.synced(request, page)
        self.sync_state.caught_up(people)

    def take(self, payload: Any) -> None:
        """Handle a message as the connection passes it on, and show the result."""
        self.handle(payload)
        self.show()

    def handle(self, payload: Any) -> None:
        model, sync_state = self.model, self.sync_state
        match payload:
            case wire.HistoryPage():
                sync_state.replied(wire.History(conv="#lobby"), payload)
                for conv in [*sync_state.inbox.wants(), "#lobby"]:
                    sync_state.show(sync_state.inbox.fill(conv, payload))
                for where in ("older", "newer", "instead", "older"):
                    model.add_page(to_page(payload, "mei"), where)
                for view in model.conversations.values():
                    view.timeline.trim(1)
            case wire.Synced():
                self.sync([], payload)
            case wire.People(people=people):
                self.sync(people, wire.Synced(conversations=()))
            case wire.Error() | wire.Sent():
                sync_state.outbox.next("mei")
                sync_state.replied(wire.Send(to="#lobby", text="hello", cid="x"), payload)
            case _ if isinstance(payload, get_args(wire.Event)):
                sync_state.received(payload)
            case _:
                sync_state.replied(wire.Who(), payload)
        sync_state.outbox.wait("mei")
        sync_state.inbox.next_page(50, 65536)

    def show(self) -> None:
        """Render everything."""
        model = self.model
        model.take_changes()
        model.lapse_typing()
        model.ordered(), model.next_unread(), model.counts(), presentation.connection_line(model)
        one_line(" ".join(model.people.names()))
        for view in model.conversations.values():
            presentation.typing_line(model.typists(view.conv))
            for entry in view.timeline:
                for zone in self.zones:
                    os.environ["TZ"] = zone
                    time.tzset()
                    log_item(entry, "mei")
                presentation.ago(moment(entry.ts), 1_700_000_000.0)


@pytest.fixture(autouse=True)
def _zone_is_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in zones at both ends of the day."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC0")
        yield
    time.tzset()


@pytest.mark.parametrize("cls", TYPES)
def test_message_with_any_value_is_refused_or_shown(cls: type[wire.Payload]) -> None:
    payloads = []
    for body in bodies(cls):
        try:
            payload = decode_server_message(body)
            check_order(payload)
        except ProtocolError:
            continue
        payloads.append(payload)
        Person().take(payload)
    # And all of them in a row, including contradictions. Each time was shown in all zones by now.
    person, sizes = Person(ZONES[:1]), []
    for _ in range(2):
        for number, payload in enumerate(payloads):
            person.handle(payload)
            if number % 8 == 0:  # all that has come is shown each time
                person.show()
        person.show()
        sizes.append((len(person.model.conversations), len(person.sync_state.inbox.known())))
    assert payloads
    assert sizes[0] == sizes[1]  # repeated data adds nothing


def test_generated_messages_are_shown() -> None:
    """Otherwise a crash while rendering would go unnoticed."""
    person = Person()
    whole = {"msg_type": "message", "msg_data": json.dumps(good(mi.type_info(wire.Message)))}
    person.take(decode_server_message(json.dumps(whole).encode()))
    assert len(person.model.conversations["#lobby"].timeline) == 1
    times = {decode_time(body) for body in bodies(wire.Message)}
    assert {0, wire.MAX_TIME, 2**53 - 1} <= times


@pytest.mark.anyio
async def test_connection_survives_any_message() -> None:
    async with logged_in() as (_, client, peer):
        for cls in TYPES:
            if cls not in (wire.Bye, wire.Ping):
                await peer.stream.send(b"".join(map(frame, bodies(cls))))
        await heard_all(peer)
        assert client.state is ConnectionState.CONNECTED


async def heard_all(peer: Peer) -> None:
    """Wait until the client has read everything sent, whatever it requests meanwhile."""
    await peer.send(wire.Ping(request_id="settle"))
    with anyio.fail_after(PATIENCE):
        while await peer.receive() != wire.Pong(request_id="settle"):
            pass


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [31_536_000, 1.7e308])
async def test_client_reconnects_after_any_bye(seconds: float) -> None:
    clock = FakeClock()
    options = replace(QUICK, clock=clock)
    async with logged_in(options) as (_, client, peer):
        watcher = Watcher(client)
        body = {"msg_type": "bye", "msg_data": json.dumps({"reason": "x", "retry_after": seconds})}
        await peer.stream.send(frame(json.dumps(body).encode()))
        await peer.cut()
        state = StateChanged(ConnectionState.CONNECTED)
        while state.state is not ConnectionState.RECONNECTING:
            state = await watcher.next_of(StateChanged)
        assert state.retry_in is not None
        assert state.retry_in <= 1.5 * MAX_RETRY_AFTER
        model = ChatModel("mei")
        model.apply(StateChanged(ConnectionState.RECONNECTING, float("inf")))
        assert model.retry_in()


def named(n: int) -> tuple[wire.Payload, ...]:
    """Return all messages that can name a conversation and a person, with new names."""
    entry = said(1, to=f"#room{n}")
    return (
        entry,
        structs.replace(entry, to="@mei", from_=f"p{n}", conv=f"@p{n}"),
        wire.Synced(
            conversations=(wire.Conversation(conv=f"#l{n}", epoch="e1", head=1),),
            gone=(f"#g{n}",),
        ),
        wire.Presence(online=(wire.Person(name=f"q{n}"),)),
        wire.People(people=(wire.Person(name=f"r{n}"),), total=1),
        wire.Marked(conv=f"#m{n}", read=1),
        wire.IsTyping(to=f"#t{n}", from_=f"s{n}"),
    )


def test_endless_new_names_use_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gochat.client.inbox.MAX_CONVERSATIONS", 20)
    monkeypatch.setattr("gochat.tui.model.roster.MAX_PEOPLE", 20)
    person, refused = Person(), 0
    for n in range(80):
        for payload in named(n):
            try:
                person.take(payload)
            except ProtocolError:  # which closes the connection
                refused += 1
    assert refused
    assert len(person.sync_state.inbox.known()) <= 20
    assert len(person.model.conversations) <= 20
    assert len(person.model.people) <= 20


@pytest.mark.anyio
async def test_connection_is_closed_at_too_many_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gochat.client.inbox.MAX_CONVERSATIONS", 5)
    async with logged_in() as (_, client, peer):
        watcher = Watcher(client)
        for n in range(9):
            await peer.send(said(1, to=f"#room{n}"))
        state = StateChanged(ConnectionState.CONNECTED)
        while state.state is not ConnectionState.RECONNECTING:
            state = await watcher.next_of(StateChanged)
        assert "conversations" in state.reason


@pytest.mark.parametrize("seqs", [(2, 1), (1, 1), (1, 3, 2)])
def test_page_out_of_order_is_refused(seqs: tuple[int, ...]) -> None:
    page = wire.HistoryPage(conv="#lobby", epoch="e1", head=3, entries=tuple(map(said, seqs)))
    with pytest.raises(ProtocolError, match="order"):
        check_order(page)
    check_order(structs.replace(page, entries=(said(1), said(2), said(9))))
