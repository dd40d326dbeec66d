"""Encode payloads as frames, and decode them. Pure; no I/O.

The envelope is ``{"msg_type": str, "msg_data": str}``, where ``msg_data`` is the JSON text of the
payload, inside a JSON string. Decoding returns a payload or raises
:exc:`~gochat.errors.ProtocolError`, and nothing else, in time linear in the frame's size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, TypeVar, get_args

import msgspec

from gochat.errors import MalformedMessage, UnknownMessageType
from gochat.protocol.framing import frame
from gochat.protocol.messages import Payload, Request, RequestId, ServerMessage

#: JSON nested deeper than this is refused: no payload needs more than four levels, and a peer must
#: not drive a recursive decoder to its limit.
MAX_DEPTH: Final = 16


class Envelope(msgspec.Struct, frozen=True):
    """The outer JSON object of every frame."""

    msg_type: str
    msg_data: str


class _RequestIdOnly(msgspec.Struct, frozen=True):
    request_id: RequestId | None = None


_encoder: Final = msgspec.json.Encoder()
_envelope_decoder: Final = msgspec.json.Decoder(Envelope)
_request_id_decoder: Final = msgspec.json.Decoder(_RequestIdOnly)

# To count depth, objects are turned into arrays, and all other bytes are dropped.
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"{}[]"))


def encode(payload: Payload) -> bytes:
    """Return `payload` as one complete frame, including its length prefix.

    Raises:
        MalformedMessage: a text contains half of a surrogate pair, which UTF-8 can't encode.
    """
    try:
        data = _encoder.encode(payload).decode()
        return frame(_encoder.encode(Envelope(payload.msg_type, data)))
    except UnicodeEncodeError as error:
        raise MalformedMessage("the text is not valid Unicode") from error


P = TypeVar("P", bound=Payload)


class _Codec(Generic[P]):
    """Decodes the payloads of one direction."""

    def __init__(self, types: Iterable[type[P]]) -> None:
        self._decoders = {t.msg_type: msgspec.json.Decoder(t) for t in types}

    def decode(self, body: bytes) -> P:
        try:
            body.decode()  # msgspec skips unknown fields, and would miss invalid UTF-8 in them
            _check_depth(body)
            envelope = _envelope_decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedMessage(
                f"the frame is not a valid envelope: {_reason(error)}"
            ) from error
        data = envelope.msg_data.encode()
        _check_depth(data)
        decoder = self._decoders.get(envelope.msg_type)
        if decoder is None:
            raise UnknownMessageType(envelope.msg_type, request_id=_request_id(data))
        try:
            return decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise MalformedMessage(
                f"msg_data of {envelope.msg_type!r} is not valid: {_reason(error)}",
                request_id=_request_id(data),
            ) from error


_requests: Final[_Codec[Request]] = _Codec(get_args(Request))
_server_messages: Final[_Codec[ServerMessage]] = _Codec(get_args(ServerMessage))


def decode_request(body: bytes) -> Request:
    """Return the request in a frame's `body`.

    Raises:
        MalformedMessage: it is not an envelope, or `msg_data` does not fit the type.
        UnknownMessageType: the type is not one that a client sends.
    """
    return _requests.decode(body)


def decode_server_message(body: bytes) -> ServerMessage:
    """Return the reply or event in a frame's `body`.

    Raises as :func:`decode_request` does. A client ignores
    :exc:`~gochat.errors.UnknownMessageType`, which a newer server may cause.
    """
    return _server_messages.decode(body)


def _request_id(data: bytes) -> str | None:
    """Return the request's id if at least that can be read, so that its sender gets a reply."""
    try:
        return _request_id_decoder.decode(data).request_id
    except msgspec.MsgspecError:
        return None


def _check_depth(text: bytes) -> None:
    """Raise MalformedMessage if `text` nests deeper than MAX_DEPTH.

    Looks at each byte a fixed number of times, whatever the text, and never recurses.
    """
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return  # the common case: not that many brackets
    # Without escaped backslashes and quotes, each quote begins or ends a string, so every second
    # piece is outside of strings. Invalid JSON may be split elsewhere, but only after the point
    # where the JSON decoder stops.
    outside = text.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]
    brackets = b"".join(outside).translate(_AS_SQUARE, _NO_BRACKET)
    for _ in range(MAX_DEPTH):
        before = len(brackets)
        brackets = brackets.replace(b"[]", b"")  # takes off the innermost level, everywhere
        if len(brackets) == before:
            break
    if brackets:
        raise MalformedMessage(f"JSON is nested deeper than {MAX_DEPTH} levels, or never closed")


def _reason(error: Exception) -> str:
    return str(error)[:200]
