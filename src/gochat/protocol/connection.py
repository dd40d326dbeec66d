"""A connection as a state machine, without I/O and without a clock.

Whoever owns the transport passes on what it received, and writes what it is given::

    connection = Connection(Role.CLIENT)
    transport.write(connection.send(Login(name="mei", password="…", request_id="1")))
    connection.receive_data(transport.read())
    while (message := connection.next_message()) is not None:
        ...

It has two layers. A :class:`~gochat.protocol.framing.Framing` splits what arrives into bodies:
frames, or what WebSocket has in their place. A body is the envelope of a message, which
:meth:`~Connection.receive_message` decodes and compares with the state. A transport that has
messages of its own needs only the second layer, with :meth:`~Connection.send_message`.

Both roles go by one table, :data:`TRANSITIONS`. What it doesn't allow is a
:exc:`~gochat.errors.LocalProtocolError` if we were about to do it, and a
:exc:`~gochat.errors.ProtocolError` if the peer did. After a :exc:`~gochat.errors.FrameError`
nothing more can be read; any other error concerns one message only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final, Generic, Literal, TypeVar, overload

from gochat.errors import (
    ErrorCode,
    LocalProtocolError,
    MalformedMessage,
    UnexpectedMessage,
)
from gochat.protocol.codec import decode_request, decode_server_message, encode_body
from gochat.protocol.framing import FrameDecoder, Framing, frame
from gochat.protocol.messages import (
    Bye,
    Error,
    Login,
    Logout,
    Payload,
    Request,
    Resume,
    ServerMessage,
)
from gochat.protocol.states import MESSAGES, REQUESTS, TRANSITIONS, State, Step


class Role(Enum):
    """Which side of the connection we are."""

    CLIENT = auto()
    SERVER = auto()


_ADVICE: Final = {State.ANONYMOUS: ": log in first", State.LOGGED_IN: ": log out first"}
_PENDING: Final = (State.LOGGING_IN, State.LOGGING_OUT)
_TAKES_NOTHING: Final = (State.CLOSING, State.CLOSED)

In = TypeVar("In", bound=Payload)
Out = TypeVar("Out", bound=Payload)
#: The state after a message, by state and type.
_Rows = dict[State, dict[type[Payload], State]]


def _rows(steps: Mapping[type[Payload], Step]) -> _Rows:
    """Combine the table with what each type does: one look-up for each message."""
    return {
        state: {kind: row[step] for kind, step in steps.items() if step in row}
        for state, row in TRANSITIONS.items()
    }


class _Side(Generic[In]):
    """What is the same for all connections of a role."""

    def __init__(
        self,
        role: Role,
        decode: Callable[[bytes], In],
        received: Mapping[type[Payload], Step],
        sent: Mapping[type[Payload], Step],
    ) -> None:
        self.role: Final = role
        self.decode: Final = decode
        self.received: Final = _rows(received)
        self.sent: Final = _rows(sent)


_CLIENT: Final = _Side(Role.CLIENT, decode_server_message, MESSAGES, REQUESTS)
_SERVER: Final = _Side(Role.SERVER, decode_request, REQUESTS, MESSAGES)


class Connection(Generic[In, Out]):
    """One side of a connection; `In` is what it receives, and `Out` what it sends.

    `framing` splits what :meth:`receive_data` is given; by default, frames of at most
    :data:`~gochat.protocol.framing.MAX_FRAME_SIZE`.
    """

    __slots__ = ("_framing", "_pending", "_side", "bye", "max_sent_size", "state")

    @overload
    def __init__(
        self: Connection[ServerMessage, Request],
        role: Literal[Role.CLIENT],
        *,
        framing: Framing | None = None,
        state: State = State.ANONYMOUS,
    ) -> None: ...
    @overload
    def __init__(
        self: Connection[Request, ServerMessage],
        role: Literal[Role.SERVER],
        *,
        framing: Framing | None = None,
        state: State = State.ANONYMOUS,
    ) -> None: ...
    def __init__(
        self, role: Role, *, framing: Framing | None = None, state: State = State.ANONYMOUS
    ) -> None:
        side = _CLIENT if role is Role.CLIENT else _SERVER
        self._side: _Side[In] = side  # type: ignore[assignment]  # the overloads tie it to the role
        self._framing: Framing = FrameDecoder() if framing is None else framing
        self._pending: str | None = None  # a client's: the id of its login or logout
        self.state = state
        #: Why the connection ends: what a server has decided to send, or what a client received.
        self.bye: Bye | None = None
        #: The peer's limit on the body of what is sent, in bytes; None: it is not checked.
        self.max_sent_size: int | None = None

    # -- receiving --------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and are not decoded yet, including lengths."""
        return self._framing.size

    @property
    def is_mid_frame(self) -> bool:
        """True if part of a frame has arrived, once :meth:`next_body` has returned None."""
        return self._framing.is_mid_frame

    @property
    def is_paused(self) -> bool:
        """True for a server whose client waits for a login or logout: see :meth:`handled`."""
        return self.state in _PENDING and self._side.role is Role.SERVER

    def receive_data(self, data: bytes) -> None:
        """Add bytes of frames in the order in which they arrived; b"" is their end."""
        if not data:
            self.receive_end()
        else:
            self._framing.receive_data(data)

    def receive_end(self) -> None:
        """Record that the peer has ended the connection: nothing more can be sent or received."""
        self.state = TRANSITIONS[self.state][Step.END]

    def next_message(self) -> In | None:
        """Return the next message, or None if more bytes are needed, or none is taken now.

        Raises as :meth:`next_body` and :meth:`receive_message` do.
        """
        while (body := self.next_body()) == b"":
            pass
        return None if body is None else self.receive_message(body)

    def next_body(self) -> bytes | None:
        """Return the body of the next frame, for :meth:`receive_message`.

        None if more bytes are needed, the connection is closing, or the server is paused. Empty if
        something else has arrived, which some transports have; there may be more.

        Raises:
            FrameError: the next length is out of bounds: nothing after it can be read.
        """
        if self.state in _TAKES_NOTHING or self.is_paused:
            return None
        return self._framing.next_frame()

    def receive_message(self, body: bytes) -> In:
        """Return the message in `body`.

        Raises:
            MalformedMessage: it is not an envelope, or its data does not fit its type.
            UnknownMessageType: the type is not one that the peer sends.
            UnexpectedMessage: the state doesn't allow it.
        """
        message = self._side.decode(body)
        if self._pending is not None and isinstance(message, Error):
            if message.request_id == self._pending:
                self._refuse_pending()
            return message
        state = self._side.received[self.state].get(type(message))
        if state is None:
            raise UnexpectedMessage(
                self._why_not(message),
                self._code(),
                message.msg_type,
                request_id=getattr(message, "request_id", None),
                cid=getattr(message, "cid", None),
            )
        if state is not self.state:
            self.state, self._pending = state, None
        if isinstance(message, Bye):
            self.bye = message
        return message

    def handled(self) -> None:
        """Take requests again, after those so far have been handled. For servers.

        A login or logout whose reply was not sent is one that was refused.
        """
        if self.state in _PENDING:
            self._refuse_pending()

    # -- sending ----------------------------------------------------------------------------------

    def send(self, message: Out) -> bytes:
        """Return `message` as a frame, for the transport to send.

        Raises as :meth:`send_message` does.
        """
        return frame(self.send_message(message))

    def send_message(self, message: Out) -> bytes:
        """Return the body of `message`, for a transport that has messages of its own.

        A client must give a login or logout a `request_id`, so that its refusal can be recognised.

        Raises:
            LocalProtocolError: the state doesn't allow it, a field is out of bounds, or it is
                longer than the peer accepts.
        """
        state = self._side.sent[self.state].get(type(message))
        if state is None:
            raise LocalProtocolError(self._why_not(message), self._code())
        try:
            body = encode_body(message)
            if self._side.role is Role.CLIENT:
                decode_request(body)  # the bounds of fields are checked when they are decoded
        except MalformedMessage as error:
            raise LocalProtocolError(str(error), ErrorCode.MALFORMED) from error
        if self.max_sent_size is not None and len(body) > self.max_sent_size:
            raise LocalProtocolError(
                "the request exceeds the server's frame limit", ErrorCode.FRAME_TOO_LARGE
            )
        if state is not self.state:
            if isinstance(message, Login | Resume | Logout):
                if message.request_id is None:
                    raise LocalProtocolError(
                        f"{message.msg_type} needs a request_id", ErrorCode.BAD_REQUEST
                    )
                self._pending = message.request_id
            self.state = state
        return body

    def close(self, bye: Bye) -> None:
        """Decide to end the connection with `bye`, and take no more requests. For servers.

        What is sent after this may still be a reply; then `bye` is to be sent. Another call changes
        only what that will be.
        """
        self.bye = bye
        self.state = TRANSITIONS[self.state][Step.CLOSE]

    # -- inside -----------------------------------------------------------------------------------

    def _refuse_pending(self) -> None:
        self.state, self._pending = TRANSITIONS[self.state][Step.REFUSED], None

    def _code(self) -> ErrorCode:
        is_logged_in = self.state in (State.LOGGED_IN, State.LOGGING_OUT)
        return ErrorCode.ALREADY_LOGGED_IN if is_logged_in else ErrorCode.NOT_LOGGED_IN

    def _why_not(self, message: Payload) -> str:
        advice = _ADVICE.get(self.state, "") if type(message) in REQUESTS else ""
        state = self.state.name.lower().replace("_", " ")
        return f"{message.msg_type} is not allowed while the connection is {state}{advice}"
