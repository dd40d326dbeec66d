"""The states of a connection, and what leads from one to another. Pure data.

Both sides go by the table :data:`TRANSITIONS`, in :mod:`gochat.protocol.connection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, get_args

from gochat.protocol.messages import (
    Bye,
    Error,
    Hello,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    Payload,
    Ping,
    Pong,
    Register,
    Registered,
    Request,
    Resume,
    ServerInfo,
    ServerMessage,
)


class State(Enum):
    """The state of a connection, as far as this side knows."""

    __hash__ = object.__hash__  # faster than that of Enum: it is looked up for each message

    #: Nobody is logged in.
    ANONYMOUS = auto()
    #: A login has no reply yet. A client may send what needs a login; a server takes no more
    #: requests until it has decided.
    LOGGING_IN = auto()
    LOGGED_IN = auto()
    #: A logout has no reply yet; as above.
    LOGGING_OUT = auto()
    #: The server has decided to close: it takes no more requests, replies to the present one, and
    #: then sends `bye`.
    CLOSING = auto()
    #: `bye` was the last message, or the peer has ended the connection.
    CLOSED = auto()
    #: Not known, so everything is allowed: for programs that listen in, or break the rules on
    #: purpose. No other state leads here.
    UNKNOWN = auto()


class Step(Enum):
    """What a message does to the state, or what else may happen to it."""

    #: `hello`, `ping` and `pong` from a client, which need no login.
    OPEN_REQUEST = auto()
    #: `ping`, and replies to requests that need no login.
    OPEN_MESSAGE = auto()
    REGISTER = auto()
    LOGIN = auto()
    LOGOUT = auto()
    #: Any other request.
    REQUEST = auto()
    #: Any other reply or event.
    MESSAGE = auto()
    LOGGED_IN = auto()
    LOGGED_OUT = auto()
    #: The pending login or logout was refused.
    REFUSED = auto()
    #: The server has decided to close.
    CLOSE = auto()
    BYE = auto()
    #: The peer has ended the connection.
    END = auto()


#: The state after each step that a state allows, by state and step.
TRANSITIONS: Final[Mapping[State, Mapping[Step, State]]] = {
    State.ANONYMOUS: {
        Step.OPEN_REQUEST: State.ANONYMOUS,
        Step.OPEN_MESSAGE: State.ANONYMOUS,
        Step.REGISTER: State.ANONYMOUS,
        Step.LOGIN: State.LOGGING_IN,
        Step.CLOSE: State.CLOSING,
        Step.BYE: State.CLOSED,
        Step.END: State.CLOSED,
    },
    State.LOGGING_IN: {
        Step.OPEN_REQUEST: State.LOGGING_IN,
        Step.OPEN_MESSAGE: State.LOGGING_IN,
        Step.REQUEST: State.LOGGING_IN,
        Step.LOGGED_IN: State.LOGGED_IN,
        Step.REFUSED: State.ANONYMOUS,
        Step.CLOSE: State.CLOSING,
        Step.BYE: State.CLOSED,
        Step.END: State.CLOSED,
    },
    State.LOGGED_IN: {
        Step.OPEN_REQUEST: State.LOGGED_IN,
        Step.OPEN_MESSAGE: State.LOGGED_IN,
        Step.REQUEST: State.LOGGED_IN,
        Step.MESSAGE: State.LOGGED_IN,
        Step.LOGOUT: State.LOGGING_OUT,
        Step.CLOSE: State.CLOSING,
        Step.BYE: State.CLOSED,
        Step.END: State.CLOSED,
    },
    State.LOGGING_OUT: {
        Step.OPEN_REQUEST: State.LOGGING_OUT,
        Step.OPEN_MESSAGE: State.LOGGING_OUT,
        Step.REQUEST: State.LOGGING_OUT,
        Step.MESSAGE: State.LOGGING_OUT,
        Step.LOGGED_OUT: State.ANONYMOUS,
        Step.REFUSED: State.LOGGED_IN,
        Step.CLOSE: State.CLOSING,
        Step.BYE: State.CLOSED,
        Step.END: State.CLOSED,
    },
    State.CLOSING: {
        Step.OPEN_MESSAGE: State.CLOSING,
        Step.MESSAGE: State.CLOSING,
        Step.LOGGED_IN: State.CLOSING,
        Step.LOGGED_OUT: State.CLOSING,
        Step.CLOSE: State.CLOSING,
        Step.BYE: State.CLOSED,
        Step.END: State.CLOSED,
    },
    State.CLOSED: {
        Step.CLOSE: State.CLOSED,
        Step.END: State.CLOSED,
    },
    State.UNKNOWN: dict.fromkeys(Step, State.UNKNOWN),
}

#: What each request does.
REQUESTS: Final[dict[type[Payload], Step]] = dict.fromkeys(get_args(Request), Step.REQUEST) | {
    Hello: Step.OPEN_REQUEST,
    Ping: Step.OPEN_REQUEST,
    Pong: Step.OPEN_REQUEST,
    Register: Step.REGISTER,
    Login: Step.LOGIN,
    Resume: Step.LOGIN,
    Logout: Step.LOGOUT,
}
#: What each reply and event does.
MESSAGES: Final[dict[type[Payload], Step]] = dict.fromkeys(
    get_args(ServerMessage), Step.MESSAGE
) | {
    Error: Step.OPEN_MESSAGE,
    Ping: Step.OPEN_MESSAGE,
    Pong: Step.OPEN_MESSAGE,
    Registered: Step.OPEN_MESSAGE,
    ServerInfo: Step.OPEN_MESSAGE,
    LoggedIn: Step.LOGGED_IN,
    LoggedOut: Step.LOGGED_OUT,
    Bye: Step.BYE,
}


def needs_login(request: type[Request]) -> bool | None:
    """Return whether a type of request needs a login; None if it is allowed in both states."""
    step = REQUESTS[request]
    is_allowed, is_allowed_before = (
        step in TRANSITIONS[state] for state in (State.LOGGED_IN, State.ANONYMOUS)
    )
    return None if is_allowed and is_allowed_before else is_allowed
