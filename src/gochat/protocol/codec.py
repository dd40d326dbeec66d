"""Encode payloads as frames, and decode them. Pure; no I/O.

The envelope is ``{"msg_type": str, "msg_data": str}``, where ``msg_data`` is the JSON text of the
payload, inside a JSON string. Decoding returns a payload or raises
:exc:`~gochat.errors.ProtocolError`, and nothing else, in time linear in the frame's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Generic, TypeVar, get_args

import msgspec

from gochat.errors import MalformedMessage, ProtocolError, UnknownMessageType
from gochat.protocol.framing import HEADER_SIZE, frame
from gochat.protocol.messages import Cid, Payload, Request, RequestId, Send, ServerMessage


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """The outer JSON object of every frame."""

    msg_type: str
    msg_data: str


class _RequestId(msgspec.Struct, frozen=True):
    request_id: RequestId | None = None


class _Cid(msgspec.Struct, frozen=True):
    cid: Cid | None = None


_encoder: Final = msgspec.json.Encoder()
_envelope_decoder: Final = msgspec.json.Decoder(Envelope)
_request_id_decoder: Final = msgspec.json.Decoder(_RequestId)
_cid_decoder: Final = msgspec.json.Decoder(_Cid)
#: What msgspec refuses; nesting that is deeper than the interpreter's stack is refused by that.
_REFUSED: Final = (msgspec.MsgspecError, RecursionError)
#: Where msgspec found a fault, and a field that it missed there.
_PLACE: Final = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING: Final = re.compile(r"missing required field `([^`]*)`")


def encode(payload: Payload) -> bytes:
    """Return `payload` as one complete frame: :func:`encode_body` with its length prefix."""
    return frame(encode_body(payload))


def encode_body(payload: Payload) -> bytes:
    """Return `payload` in its envelope: the body of a frame, or a message of another transport.

    Raises:
        MalformedMessage: a text contains half of a surrogate pair, which UTF-8 can't encode.
    """
    try:
        data = _encoder.encode(payload).decode()
        return _encoder.encode(Envelope(payload.msg_type, data))
    except UnicodeEncodeError as error:
        raise MalformedMessage("the text is not valid Unicode") from error


P = TypeVar("P", bound=Payload)


class _Codec(Generic[P]):
    """Decodes the payloads of one direction."""

    def __init__(self, types: Iterable[type[P]]) -> None:
        self._decoders = {t.msg_type: msgspec.json.Decoder(t) for t in types}

    def decode(self, body: bytes) -> P:
        return self.payload(_envelope(body))

    def payload(self, envelope: Envelope) -> P:
        data = envelope.msg_data.encode()
        decoder = self._decoders.get(envelope.msg_type)
        if decoder is None:
            raise UnknownMessageType(
                envelope.msg_type, request_id=_request_id(data), cid=_cid(data)
            )
        try:
            return decoder.decode(data)
        except _REFUSED as error:
            raise _malformed(envelope.msg_type, error, data) from error


def _envelope(body: bytes) -> Envelope:
    try:
        body.decode()  # msgspec skips unknown fields, and would miss invalid UTF-8 in them
        return _envelope_decoder.decode(body)
    except (*_REFUSED, UnicodeDecodeError) as error:
        raise _malformed("the envelope", error) from error


_requests: Final[_Codec[Request]] = _Codec(get_args(Request))
#: What the first bytes of a frame contain, of most clients, if it is a message.
_SEND: Final = f'"{Send.msg_type}"'.encode()
_GLANCE: Final = 48
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


def seem_to_send(data: bytes) -> bool:
    """Return whether frames may be ``send`` requests, by a glance at the first one's envelope."""
    return _SEND in data[:_GLANCE]


def decode_sends(data: bytes, max_frame_size: int, most: int) -> list[tuple[Send, int]] | None:
    """Return the messages of whole frames that are nothing but valid ``send`` requests.

    With each, where in `data` its frame begins. None if there is anything else in `data`, or more
    than `most` messages: decode it as what it is. Something else costs a look at its envelope.
    """
    sends: list[tuple[Send, int]] = []
    start, end = 0, len(data)
    while start < end:
        begin = start + HEADER_SIZE
        stop = begin + int.from_bytes(data[start:begin], "big")
        if not begin < stop <= min(end, begin + max_frame_size) or len(sends) == most:
            return None
        try:
            envelope = _envelope(data[begin:stop])
            if envelope.msg_type != Send.msg_type:
                return None
            request = _requests.payload(envelope)
        except ProtocolError:
            return None
        assert isinstance(request, Send)
        sends.append((request, start))
        start = stop
    return sends


def _malformed(what: str, error: Exception, data: bytes | None = None) -> MalformedMessage:
    """Return the error for an invalid envelope, or for the payload `data` of the type `what`."""
    path = _path(str(error))
    fault = "JSON object"
    if path is not None:
        fault = f"{path}: it is missing, not of its type, or out of its bounds"
    return MalformedMessage(
        f"{what} has no valid {fault}",
        request_id=None if data is None else _request_id(data),
        cid=None if data is None else _cid(data),
        details={} if path is None else {"path": path},
    )


def _path(reason: str) -> str | None:
    """Return the place that msgspec's error is about, as in ``have[0].seq``."""
    place, missing = _PLACE.search(reason), _MISSING.search(reason)
    parts = [match[1] for match in (place, missing) if match is not None and match[1]]
    return ".".join(parts) or None


def _request_id(data: bytes) -> str | None:
    """Return the request's id if at least that can be read, so that its sender gets a reply."""
    try:
        return _request_id_decoder.decode(data).request_id
    except _REFUSED:
        return None


def _cid(data: bytes) -> str | None:
    """Return the request's cid if at least that can be read."""
    try:
        return _cid_decoder.decode(data).cid
    except _REFUSED:
        return None
