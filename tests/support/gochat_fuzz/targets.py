"""The pure targets: each draws an input, and raises if what must hold of it does not.

They are given the input's `random.Random`; what is expected of all of them, that they are bounded
in time and memory, is checked by :mod:`~gochat_fuzz.running`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from gochat.errors import ErrorCode, FrameError, ProtocolError
from gochat.protocol.codec import (
    decode_request,
    decode_sends,
    decode_server_message,
    encode,
)
from gochat.protocol.connection import Connection, Role
from gochat.protocol.framing import HEADER_SIZE, FrameDecoder
from gochat.protocol.messages import Payload
from gochat.protocol.states import State
from gochat.protocol.text import TextTokenKind, mentions, readings, tokens
from gochat_fuzz import inputs

_MAX_FRAME: Final = 4096


def frames(chance: Random) -> None:
    """The frame decoder: the same frames however the bytes are split, and no other error."""
    bodies = [inputs.body(chance, inputs.REQUESTS)[:300] for _ in range(chance.randint(0, 8))]
    data, is_whole = inputs.stream(chance, bodies)
    whole, error = _decoded([data])
    assert (whole, error) == _decoded(inputs.pieces(data, chance))
    assert (whole, error) == _decoded([data[i : i + 1] for i in range(len(data))])
    if is_whole:
        assert (whole, error) == (bodies, None)


def _decoded(parts: Sequence[bytes]) -> tuple[list[bytes], ErrorCode | None]:
    decoder, found = FrameDecoder(_MAX_FRAME), []
    for part in parts:
        decoder.receive_data(part)
        try:
            while (one := decoder.next_frame()) is not None:
                assert 1 <= len(one) <= _MAX_FRAME
                found.append(one)
        except FrameError as error:
            assert not decoder.is_mid_frame
            return found, error.code
        assert decoder.size < HEADER_SIZE + _MAX_FRAME
    return found, None


def codec(chance: Random) -> None:
    """Both directions: a payload, which survives its encoding, or a ProtocolError for people."""
    kinds, decode = chance.choice(
        ((inputs.REQUESTS, decode_request), (inputs.MESSAGES, decode_server_message))
    )
    decode_or_refuse(decode, inputs.body(chance, kinds))


def decode_or_refuse(decode: Callable[[bytes], Payload], body: bytes) -> None:
    """Decode a body. Any exception but ProtocolError is an error."""
    try:
        payload = decode(body)
    except ProtocolError as error:
        why = str(error)
    else:
        assert decode(encode(payload)[HEADER_SIZE:]) == payload
        return
    assert len(why) < 300


def connection(chance: Random) -> None:
    """A connection of either side: one thing wrong is one error, and the next frame is read."""
    state, is_server = chance.choice(list(State)), chance.random() < 0.5
    kinds = inputs.REQUESTS if is_server else inputs.MESSAGES
    sent = [inputs.body(chance, kinds) for _ in range(chance.randint(1, 8))]
    data, is_whole = inputs.stream(chance, sent)
    ours: Connection[Any, Any] = (
        Connection(Role.SERVER, state=state) if is_server else Connection(Role.CLIENT, state=state)
    )
    taken = 0
    for part in inputs.pieces(data, chance):
        ours.receive_data(part)
        while True:
            if is_server:
                ours.handled()
            try:
                if ours.next_message() is None:
                    break
            except FrameError:
                assert not is_whole
                return
            except ProtocolError:
                pass
            taken += 1
    if is_whole and ours.state not in (State.CLOSING, State.CLOSED):
        assert taken == len(sent)
        assert ours.buffered == 0


def sends(chance: Random) -> None:
    """What takes many plain messages at once takes the same ones as what takes any."""
    kinds = [kind for kind in inputs.REQUESTS if kind.msg_type == "send"]
    if chance.random() < 0.2:
        kinds = list(inputs.REQUESTS)
    bodies = [inputs.payload(chance.choice(kinds), chance) for _ in range(chance.choice((1, 2, 5)))]
    if chance.random() < 0.3:
        bodies[-1] = inputs.mutate(bodies[-1], chance) or b"{"
    data, is_whole = inputs.stream(chance, bodies)
    taken = decode_sends(data, _MAX_FRAME, 4)
    if taken is not None:
        found, error = _decoded([data])
        assert error is None
        assert [one for one, _ in taken] == [decode_request(one) for one in found]
    elif is_whole and len(bodies) <= 4 and all(len(one) <= _MAX_FRAME for one in bodies):
        assert not all(map(_is_send, bodies))


def _is_send(body: bytes) -> bool:
    try:
        return decode_request(body).msg_type == "send"
    except ProtocolError:
        return False


def text(chance: Random) -> None:
    """The rules of a text: its tokens are in order and inside it, and its mentions are names."""
    given = inputs.text(chance)
    end, found = 0, []
    for token in tokens(given):
        assert end <= token.start < token.end <= len(given)
        end = token.end
        if token.kind is TextTokenKind.MENTION:
            assert given[token.start : token.end].lstrip("@＠") == token.value
            found.append(readings(token.value))
            assert all(name and token.value.startswith(name) for name in found[-1])
    assert [mention.names for mention in mentions(given)] == found


TARGETS: Final[dict[str, Callable[[Random], None]]] = {
    each.__name__: each for each in (frames, codec, connection, sends, text)
}
