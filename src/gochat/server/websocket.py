"""One WebSocket connection after its handshake, without I/O: one envelope per text message.

Receiving, :class:`WebSocket` takes the place of a :class:`~gochat.protocol.framing.FrameDecoder`:
bytes in, bodies out. wsproto parses: masks, fragments, control frames, UTF-8.

Sending, everything else posts frames, each a length and a body, encoded once for however many
sessions. :meth:`WebSocket.encode` only puts WebSocket headers in the place of the lengths, when
they are written. Control frames take the same way, so that they neither overtake nor tear anything
and count in the same bounds: as a length with its top bit set, which no body has. The encoder of
wsproto takes texts, and would encode each again for each receiver.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from gochat.errors import ErrorCode, FrameError
from gochat.protocol.framing import HEADER_SIZE
from gochat.server.delivery import Encoding

_TEXT: Final = 0x81  # a whole message
_CLOSE: Final = 0x88
_PONG: Final = 0x8A
#: The longest body with a header of 2 bytes, and with one of 4.
_SHORT, _MEDIUM = 125, 0xFFFF

_WRONG: Final = {
    CloseReason.UNSUPPORTED_DATA: "a message must be text, not binary",
    CloseReason.INVALID_FRAME_PAYLOAD_DATA: "a message must be valid UTF-8",
}


class Opened(NamedTuple):
    """A connection after its handshakes: what has arrived after them, and what it is."""

    early: bytes = b""
    websocket: WebSocket | None = None


class WebSocket:
    """The server's side of one connection.

    Feed it with :meth:`receive_data`, then call :meth:`next_frame` until it returns None. What is
    against RFC 6455 ends it, as a wrong length ends a stream of frames.
    """

    __slots__ = (
        "_close_code", "_connection", "_error", "_is_closed", "_max_size", "_parts", "_ping",
        "_size", "_unparsed", "answer", "has_ended",
    )  # fmt: skip

    def __init__(self, max_size: int) -> None:
        """Accept messages of at most `max_size` bytes."""
        self._connection = Connection(ConnectionType.SERVER)
        self._max_size = max_size
        self._unparsed = 0  # bytes received since all was parsed
        self._parts: list[bytes] = []  # of the message that is arriving
        self._size = 0
        self._ping: bytes | None = None  # the last one, not answered yet
        self._close_code: int = CloseReason.NORMAL_CLOSURE
        self._is_closed = False  # the close frame has been encoded
        self._error: FrameError | None = None
        #: Called with what answers a ping; the outlet's `post`.
        self.answer: Callable[[bytes], None] = lambda _: None
        #: True once the peer has sent a close frame, which :meth:`ending` answers.
        self.has_ended = False

    # -- receiving -------------------------------------------------------------------------------

    @property
    def is_mid_frame(self) -> bool:
        """True while part of a message has arrived."""
        return bool(self._parts)

    @property
    def size(self) -> int:
        """How many bytes have arrived that were not returned yet."""
        return self._unparsed + self._size

    def receive_data(self, data: bytes) -> None:
        """Add bytes in the order in which they arrived."""
        if self._error is None and not self.has_ended:
            self._unparsed += len(data)
            self._connection.receive_data(data)

    def next_frame(self) -> bytes | None:
        """Return the body of the next message, or None if more bytes are needed.

        Empty: something else arrived, a fragment or a control frame. There may be more; the caller
        charges for it, and can do something else in between. Of pings that arrive together only
        the last is answered.

        Raises:
            FrameError: the peer violates the WebSocket protocol, or sent a message that is empty,
                binary or over the limit. Later calls raise the same error.
        """
        if self._error is not None:
            raise self._error
        for event in self._connection.events():
            if isinstance(event, TextMessage):
                self._add(event.data.encode())
                if event.message_finished:
                    return self._take_message()
                if event.frame_finished:
                    return b""
            elif isinstance(event, Ping):
                self._ping = bytes(event.payload)
                return b""
            elif isinstance(event, BytesMessage):
                raise self._fail(CloseReason.UNSUPPORTED_DATA)
            elif isinstance(event, CloseConnection):
                if self._connection.state is ConnectionState.OPEN:  # wsproto's word for bad frames
                    raise self._fail(event.code)
                self.has_ended = True
                self._close_code = event.code
                break
            elif not isinstance(event, Message):
                return b""
        self._unparsed = 0
        self._answer_ping()
        return None

    def _add(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._max_size:
            raise self._fail(
                CloseReason.MESSAGE_TOO_BIG,
                FrameError(
                    ErrorCode.FRAME_TOO_LARGE,
                    f"a message is over the limit of {self._max_size} bytes",
                ),
            )

    def _take_message(self) -> bytes:
        body = b"".join(self._parts)
        self._parts, self._size = [], 0
        if not body:
            raise self._fail(
                CloseReason.POLICY_VIOLATION,
                FrameError(ErrorCode.FRAME_EMPTY, "a message can't be empty"),
            )
        self._answer_ping()
        return body

    def _fail(self, code: int, error: FrameError | None = None) -> FrameError:
        self._close_code = code
        self._error = error or FrameError(
            ErrorCode.MALFORMED, _WRONG.get(CloseReason(code), "not a valid WebSocket frame")
        )
        self._parts, self._size, self._unparsed = [], 0, 0
        return self._error

    # -- sending ---------------------------------------------------------------------------------

    def _answer_ping(self) -> None:
        if self._ping is not None:
            self.answer(_control(_PONG, self._ping))
            self._ping = None

    def encoding(self, encrypt: Callable[[bytes], bytes] | None) -> Encoding:
        """Return how an outlet writes, in the clear or encrypted.

        A header of WebSocket has 2 bytes at least in place of 4, and no body is empty.
        """
        if encrypt is None:
            return Encoding(encode, 2, self.ending)
        return Encoding(lambda frames: encrypt(encode(frames)), 2, self.ending)

    def ending(self) -> bytes:
        """Return what must be posted after the last frame, once: the close frame."""
        if self._is_closed:
            return b""
        self._is_closed = True
        if self._close_code == CloseReason.NO_STATUS_RCVD:
            return _control(_CLOSE, b"")
        return _control(_CLOSE, self._close_code.to_bytes(2, "big"))


def _control(opcode: int, payload: bytes) -> bytes:
    """Return a control frame as it is posted: its first byte, three for the length, the payload."""
    return bytes([opcode]) + len(payload).to_bytes(HEADER_SIZE - 1, "big") + payload


@lru_cache(maxsize=1)
def encode(frames: bytes) -> bytes:
    """Return whole frames as WebSocket messages, and control frames as such.

    What is posted to many sessions is the same object, and is encoded for the first of them only.
    """
    parts = []
    start, end = 0, len(frames)
    while start < end:
        size = int.from_bytes(frames[start : start + HEADER_SIZE], "big")
        first = _TEXT
        if size >> 31:
            first, size = size >> 24, size & 0xFFFFFF
        if size <= _SHORT:
            parts.append(bytes((first, size)))
        elif size <= _MEDIUM:
            parts.append(bytes((first, 126, size >> 8, size & 0xFF)))
        else:
            parts.append(bytes((first, 127)) + size.to_bytes(8, "big"))
        start += HEADER_SIZE + size
        parts.append(frames[start - size : start])
    return b"".join(parts)
