"""A connection as a state machine: what each state allows, for both roles, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect as mi
from msgspec import structs

from gochat.errors import (
    ErrorCode,
    FrameError,
    LocalProtocolError,
    MalformedMessage,
    ProtocolError,
    UnexpectedMessage,
    UnknownMessageType,
)
from gochat.protocol.codec import encode, encode_body
from gochat.protocol.connection import Connection, Role
from gochat.protocol.framing import FrameDecoder, frame
from gochat.protocol.messages import (
    Bye,
    ByeReason,
    Error,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    Message,
    Payload,
    People,
    Ping,
    Pong,
    Register,
    Request,
    Send,
    ServerMessage,
    Who,
)
from gochat.protocol.states import TRANSITIONS, State, Step, needs_login

REQUESTS: tuple[Any, ...] = get_args(Request)
MESSAGES: tuple[Any, ...] = get_args(ServerMessage)
KNOWN = [state for state in State if state is not State.UNKNOWN]
BYE = Bye(reason=ByeReason.INTERNAL)

# The same rules as in the page, written for this test alone: by `msg_type`; * is any other type.
SENT_BY_CLIENT = {
    State.ANONYMOUS: {
        "hello": State.ANONYMOUS,
        "ping": State.ANONYMOUS,
        "pong": State.ANONYMOUS,
        "register": State.ANONYMOUS,
        "login": State.LOGGING_IN,
        "resume": State.LOGGING_IN,
    },
    State.LOGGING_IN: {
        "register": None,
        "login": None,
        "resume": None,
        "logout": None,
        "*": State.LOGGING_IN,
    },
    State.LOGGED_IN: {
        "register": None,
        "login": None,
        "resume": None,
        "logout": State.LOGGING_OUT,
        "*": State.LOGGED_IN,
    },
    State.LOGGING_OUT: {
        "register": None,
        "login": None,
        "resume": None,
        "logout": None,
        "*": State.LOGGING_OUT,
    },
    State.CLOSING: {},
    State.CLOSED: {},
    State.UNKNOWN: {"*": State.UNKNOWN},
}
NEEDS_NO_LOGIN = {"error", "ping", "pong", "registered", "server_info"}
SENT_BY_SERVER = {
    State.ANONYMOUS: {
        **dict.fromkeys(NEEDS_NO_LOGIN, State.ANONYMOUS),
        "bye": State.CLOSED,
    },
    State.LOGGING_IN: {
        **dict.fromkeys(NEEDS_NO_LOGIN, State.LOGGING_IN),
        "logged_in": State.LOGGED_IN,
        "bye": State.CLOSED,
    },
    State.LOGGED_IN: {
        "logged_in": None,
        "logged_out": None,
        "bye": State.CLOSED,
        "*": State.LOGGED_IN,
    },
    State.LOGGING_OUT: {
        "logged_in": None,
        "logged_out": State.ANONYMOUS,
        "bye": State.CLOSED,
        "*": State.LOGGING_OUT,
    },
    State.CLOSING: {"bye": State.CLOSED, "*": State.CLOSING},
    State.CLOSED: {},
    State.UNKNOWN: {"*": State.UNKNOWN},
}


def value(type_: mi.Type) -> Any:
    """Return some value of a field's type."""
    match type_:
        case mi.StrType():
            return "x"
        case mi.BoolType():
            return True
        case mi.IntType():
            return 1
        case mi.FloatType():
            return 1.0
        case mi.VarTupleType(item_type=item, min_length=least):
            return (value(item),) * (least or 0)
        case mi.LiteralType(values=values):
            return values[0]
        case mi.StructType(cls=cls, fields=fields):
            return cls(**{field.name: value(field.type) for field in fields if field.required})
        case _:
            raise TypeError(f"say here what a value of {type_} is")


def sample(cls: type[Any]) -> Any:
    """Return a payload of this type, with a `request_id` if it can have one."""
    payload = value(mi.type_info(cls))
    if "request_id" in cls.__struct_fields__:
        payload = structs.replace(payload, request_id="it")
    return payload


SAMPLES = {cls: sample(cls) for cls in {*REQUESTS, *MESSAGES}}


def connection(role: Role, state: State) -> Any:
    return Connection(role, state=state)  # type: ignore[call-overload]  # the overloads tell the roles apart, the tests don't


def after(rules: Any, state: State, msg_type: str) -> State | None:
    row = rules[state]
    found: State | None = row[msg_type] if msg_type in row else row.get("*")
    return found


# -- every state and every message --------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_every_message_is_sent_where_the_state_allows_it(state: State) -> None:
    for role, rules, types in (
        (Role.CLIENT, SENT_BY_CLIENT, REQUESTS),
        (Role.SERVER, SENT_BY_SERVER, MESSAGES),
    ):
        for cls in {*REQUESTS, *MESSAGES}:
            ours = connection(role, state)
            expected = after(rules, state, cls.msg_type) if cls in types else None
            if expected is None:
                with pytest.raises(LocalProtocolError, match=cls.msg_type):
                    ours.send(SAMPLES[cls])
                expected = state
            else:
                assert ours.send(SAMPLES[cls]) == encode(SAMPLES[cls])
            assert ours.state is expected, (role, cls)


@pytest.mark.parametrize("state", State)
def test_every_message_is_received_where_the_state_allows_it(state: State) -> None:
    for role, rules, types in (
        (Role.CLIENT, SENT_BY_SERVER, MESSAGES),
        (Role.SERVER, SENT_BY_CLIENT, REQUESTS),
    ):
        for cls in {*REQUESTS, *MESSAGES}:
            ours, payload = connection(role, state), SAMPLES[cls]
            expected = after(rules, state, cls.msg_type)
            if cls not in types:
                with pytest.raises(UnknownMessageType):
                    ours.receive_message(encode_body(payload))
                expected = state
            elif expected is None:
                with pytest.raises(UnexpectedMessage) as raised:
                    ours.receive_message(encode_body(payload))
                assert raised.value.request_id == getattr(payload, "request_id", None)
                assert raised.value.msg_type == cls.msg_type
                expected = state
            else:
                assert ours.receive_message(encode_body(payload)) == payload
            assert ours.state is expected, (role, cls)


def test_state_that_needs_a_login_refuses_with_the_code_that_says_so() -> None:
    server = Connection(Role.SERVER)
    with pytest.raises(UnexpectedMessage, match="log in first") as raised:
        server.receive_message(encode_body(Send(to="#lobby", text="hi", cid="c")))
    assert (raised.value.code, raised.value.cid) == (ErrorCode.NOT_LOGGED_IN, "c")
    server = Connection(Role.SERVER, state=State.LOGGED_IN)
    with pytest.raises(UnexpectedMessage, match="log out first") as raised:
        server.receive_message(encode_body(Register(name="mei", password="x")))
    assert raised.value.code == ErrorCode.ALREADY_LOGGED_IN


def test_table_leads_from_every_state_to_the_end_and_from_there_nowhere() -> None:
    assert set(TRANSITIONS) == set(State)
    for state in KNOWN:
        assert State.UNKNOWN not in TRANSITIONS[state].values()
        assert TRANSITIONS[state][Step.END] is State.CLOSED
        assert TRANSITIONS[state][Step.CLOSE] in (State.CLOSING, State.CLOSED)
    assert set(TRANSITIONS[State.CLOSED].values()) == {State.CLOSED}
    assert set(TRANSITIONS[State.UNKNOWN]) == set(Step)


def test_requests_are_told_apart_by_whether_they_need_a_login() -> None:
    for cls in REQUESTS:
        before = after(SENT_BY_CLIENT, State.ANONYMOUS, cls.msg_type) is not None
        within = after(SENT_BY_CLIENT, State.LOGGED_IN, cls.msg_type) is not None
        assert needs_login(cls) == (None if before and within else within)


# -- logging in and out -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "before", "pending"),
    [
        (Login(name="mei", password="x", request_id="1"), State.ANONYMOUS, State.LOGGING_IN),
        (Logout(request_id="1"), State.LOGGED_IN, State.LOGGING_OUT),
    ],
)
def test_only_the_refusal_of_the_request_itself_takes_it_back(
    request_: Request, before: State, pending: State
) -> None:
    client = Connection(Role.CLIENT, state=before)
    client.send(request_)
    client.receive_message(encode_body(Error(code="busy", text="no")))
    client.receive_message(encode_body(Error(code="busy", text="no", request_id="0")))
    assert client.state is pending
    client.receive_message(encode_body(Error(code="busy", text="no", request_id="1")))
    assert client.state is before
    client.send(request_)  # it can be tried again
    assert client.state is pending


def test_late_error_with_the_id_of_a_login_changes_nothing() -> None:
    client = Connection(Role.CLIENT)
    client.send(Login(name="mei", password="x", request_id="1"))
    client.receive_message(encode_body(structs.replace(SAMPLES[LoggedIn], request_id="1")))
    client.receive_message(encode_body(Error(code="busy", text="no", request_id="1")))
    assert client.state is State.LOGGED_IN


@pytest.mark.parametrize("request_", [Login(name="mei", password="x"), Logout()])
def test_client_gives_a_login_and_a_logout_an_id(request_: Request) -> None:
    state = State.ANONYMOUS if isinstance(request_, Login) else State.LOGGED_IN
    client = Connection(Role.CLIENT, state=state)
    with pytest.raises(LocalProtocolError, match="request_id"):
        client.send(request_)
    assert client.state is state


def test_server_takes_nothing_behind_a_login_until_it_is_decided() -> None:
    server = Connection(Role.SERVER)
    server.receive_data(encode(Login(name="mei", password="x")) + encode(Who()) + encode(Ping()))
    assert isinstance(server.next_message(), Login)
    assert server.is_paused
    assert server.next_message() is None
    assert server.buffered
    server.send(SAMPLES[LoggedIn])
    server.handled()
    assert server.state is State.LOGGED_IN
    assert isinstance(server.next_message(), Who)
    server.receive_data(encode(Logout()) + encode(Who()))
    assert isinstance(server.next_message(), Ping)
    assert isinstance(server.next_message(), Logout)
    assert server.next_message() is None
    server.handled()  # refused
    assert isinstance(server.next_message(), Who)


def test_server_that_refuses_a_login_takes_the_next() -> None:
    server = Connection(Role.SERVER)
    login = Login(name="mei", password="x")
    server.receive_data(encode(login) * 2)
    for _ in range(2):
        assert server.next_message() == login
        server.send(Error(code="bad_credentials", text="no"))
        server.handled()
        assert server.state is State.ANONYMOUS


# -- the end --------------------------------------------------------------------------------------


def test_closing_server_takes_no_request_replies_and_says_bye_once() -> None:
    server = Connection(Role.SERVER, state=State.LOGGED_IN)
    server.receive_data(encode(Who()))
    server.close(BYE)
    assert server.bye == BYE
    assert server.next_message() is None
    server.send(SAMPLES[People])
    server.send(BYE)
    assert server.state is State.CLOSED
    with pytest.raises(LocalProtocolError):
        server.send(BYE)


def test_client_reads_nothing_after_bye() -> None:
    client = Connection(Role.CLIENT)
    client.receive_data(encode(BYE) + encode(Ping()))
    assert client.next_message() == BYE == client.bye
    assert client.next_message() is None
    assert client.state is State.CLOSED


@pytest.mark.parametrize("state", KNOWN)
def test_end_of_the_stream_closes(state: State) -> None:
    for role in Role:
        ours = connection(role, state)
        ours.receive_data(b"")
        assert ours.state is State.CLOSED
        assert ours.next_message() is None


# -- frames and messages --------------------------------------------------------------------------

SENT: list[Request] = [Ping(request_id="1"), Login(name="小明", password="x", request_id="2")]
RECEIVED: list[ServerMessage] = [
    Pong(request_id="1"),
    structs.replace(SAMPLES[LoggedIn], request_id="2"),
    structs.replace(SAMPLES[Message], text="hi 👋"),
    BYE,
]


def received(ours: Any) -> list[Payload]:
    return list(iter(ours.next_message, None))


@pytest.mark.parametrize("offset", range(len(b"".join(map(encode, RECEIVED))) + 1))
def test_bytes_split_anywhere_give_the_same_messages_and_states(offset: int) -> None:
    client = Connection(Role.CLIENT)
    server = Connection(Role.SERVER)
    sent = b"".join(map(client.send, SENT))
    cut = min(offset, len(sent))
    if cut:
        server.receive_data(sent[:cut])
    requests = received(server)
    if sent[cut:]:
        server.receive_data(sent[cut:])
    assert requests + received(server) == SENT
    data = b"".join(server.send(message) for message in RECEIVED)
    if data[:offset]:
        client.receive_data(data[:offset])
    messages = received(client)
    if data[offset:]:
        client.receive_data(data[offset:])
    assert messages + received(client) == RECEIVED
    assert client.state is server.state is State.CLOSED


def test_bytes_one_by_one_give_the_same_messages() -> None:
    server = Connection(Role.SERVER, state=State.LOGGED_IN)
    requests: list[Payload] = []
    data = encode(Send(to="#lobby", text="你好")) + encode(Who())
    for position in range(len(data)):
        server.receive_data(data[position : position + 1])
        requests += received(server)
        assert server.is_mid_frame == (server.buffered > 0)
    assert requests == [Send(to="#lobby", text="你好"), Who()]


def test_transport_of_messages_has_no_frames() -> None:
    client = Connection(Role.CLIENT)
    server = Connection(Role.SERVER)
    for request in SENT:
        body = client.send_message(request)
        assert frame(body) == encode(request)
        assert server.receive_message(body) == request
    assert client.state is server.state is State.LOGGING_IN
    assert client.next_message() is None


def test_frame_that_is_too_long_ends_reading_and_a_bad_one_does_not() -> None:
    server = Connection(Role.SERVER, framing=FrameDecoder(100))
    server.receive_data(frame(b"?") + frame(b'{"msg_type":"xyzzy","msg_data":"{}"}'))
    server.receive_data(encode(Who(request_id="1")) + encode(Ping()) + frame(b"x" * 101))
    errors: list[type[Exception]] = []
    messages: list[Payload | None] = []
    for _ in range(5):
        try:
            messages.append(server.next_message())
        except ProtocolError as error:
            errors.append(type(error))
    assert errors == [MalformedMessage, UnknownMessageType, UnexpectedMessage, FrameError]
    assert messages == [Ping()]
    with pytest.raises(FrameError):
        server.next_message()
    server.send(Error(code="frame_too_large", text="no"))
    server.send(BYE)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Send(to="x" * 300, text="hi"), ErrorCode.MALFORMED),
        (Send(to="#lobby", text="\ud800"), ErrorCode.MALFORMED),
        (Send(to="#lobby", text="x" * 200), ErrorCode.FRAME_TOO_LARGE),
    ],
)
def test_client_refuses_to_send_what_the_server_would_refuse(
    request_: Request, code: ErrorCode
) -> None:
    client = Connection(Role.CLIENT, state=State.LOGGED_IN)
    client.max_sent_size = 200
    with pytest.raises(LocalProtocolError) as raised:
        client.send(request_)
    assert raised.value.code is code


def test_login_that_is_not_sent_changes_no_state() -> None:
    client = Connection(Role.CLIENT)
    client.max_sent_size = 10
    with pytest.raises(LocalProtocolError):
        client.send(Login(name="mei", password="x", request_id="1"))
    assert client.state is State.ANONYMOUS


def test_idle_connection_takes_little_memory() -> None:
    server = Connection(Role.SERVER)
    assert not hasattr(server, "__dict__")
    assert sys.getsizeof(server) <= 96


# -- two sides ------------------------------------------------------------------------------------

ACTIONS = (
    Register(name="mei", password="x"),
    Login(name="mei", password="x"),
    Logout(),
    Who(),
    Send(to="#lobby", text="hi"),
    Ping(),
)


class Pair:
    """A client and a server, with what is under way between them."""

    def __init__(self) -> None:
        self.client = Connection(Role.CLIENT)
        self.server = Connection(Role.SERVER)
        self.numbers = 0

    def ask(self, action: Request) -> None:
        """Send, if the client may."""
        self.numbers += 1
        request: Any = structs.replace(action, request_id=str(self.numbers))
        with suppress(LocalProtocolError):
            self.server.receive_data(self.client.send(request))

    def serve(self, *, is_granted: bool) -> None:
        """Handle one request, as the server does: a reply that its state allows, or a refusal."""
        try:
            request: Any = self.server.next_message()
        except UnexpectedMessage as error:
            self.answer(Error(code=error.code, text=str(error), request_id=error.request_id))
            return
        if request is None:
            return
        replies: dict[type, Any] = {
            Login: SAMPLES[LoggedIn],
            Logout: SAMPLES[LoggedOut],
            Who: SAMPLES[People],
            Ping: SAMPLES[Pong],
        }
        if is_granted:
            reply = replies.get(type(request), SAMPLES[Error])
            self.answer(structs.replace(reply, request_id=request.request_id))
            if self.server.state is State.LOGGED_IN:
                self.answer(SAMPLES[Message])
        else:
            self.answer(Error(code="busy", text="no", request_id=request.request_id))
        self.server.handled()

    def answer(self, message: ServerMessage) -> None:
        self.client.receive_data(self.server.send(message))

    def read(self) -> None:
        """Let the client read; nothing that an obedient server sends may surprise it."""
        while self.client.next_message() is not None:
            pass


def end(pair: Pair) -> None:
    """Let both sides handle all that is under way, and compare their states."""
    while pair.server.buffered:
        pair.serve(is_granted=True)
    pair.read()
    assert pair.client.state is pair.server.state
    assert pair.client.state in (State.ANONYMOUS, State.LOGGED_IN)


def moves() -> list[tuple[str, Callable[[Pair], None]]]:
    def asking(action: Request) -> Callable[[Pair], None]:
        return lambda pair: pair.ask(action)

    return [
        *((action.msg_type, asking(action)) for action in ACTIONS),
        ("grant", lambda pair: pair.serve(is_granted=True)),
        ("refuse", lambda pair: pair.serve(is_granted=False)),
        ("read", lambda pair: pair.read()),
    ]


def test_two_sides_agree_after_every_short_exchange() -> None:
    """All sequences of four moves: sending, granting or refusing, and reading, in any order."""
    for sequence in product(moves(), repeat=4):
        pair = Pair()
        for _, move in sequence:
            move(pair)
        end(pair)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(moves()), max_size=60))
def test_two_sides_agree_after_any_exchange(sequence: list[tuple[str, Any]]) -> None:
    pair = Pair()
    for _, move in sequence:
        move(pair)
    end(pair)
