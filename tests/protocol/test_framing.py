"""Frames from a stream of bytes, however it is split."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gochat.errors import ErrorCode, FrameError
from gochat.protocol.framing import HEADER_SIZE, MAX_FRAME_SIZE, FrameDecoder, frame

BODIES = [b"a", b"\x00\x00\x00\x01", b"{}" * 40, b"\xff" * 300, b"z"]
STREAM = b"".join(map(frame, BODIES))


def take_all(decoder: FrameDecoder) -> list[bytes]:
    return list(iter(decoder.next_frame, None))


def decode_in(parts: Iterable[bytes], decoder: FrameDecoder | None = None) -> list[bytes]:
    decoder = decoder or FrameDecoder()
    frames = []
    for part in parts:
        decoder.receive_data(part)
        frames += take_all(decoder)
    return frames


def header(size: int) -> bytes:
    return size.to_bytes(HEADER_SIZE, "big")


class Memory:
    """The bytes allocated since the block began."""

    now = 0
    peak = 0


@contextmanager
def measured() -> Iterator[Memory]:
    memory = Memory()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield memory
        now, peak = tracemalloc.get_traced_memory()
        memory.now, memory.peak = now - before, peak - before
    finally:
        tracemalloc.stop()


def test_frame_is_a_big_endian_length_and_the_body() -> None:
    assert frame(b"\xe4\xbd\xa0") == b"\x00\x00\x00\x03\xe4\xbd\xa0"
    assert frame(b"x" * 258)[:HEADER_SIZE] == b"\x00\x00\x01\x02"


# -- splits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", range(len(STREAM) + 1))
def test_stream_split_in_two_anywhere_gives_the_same_frames(offset: int) -> None:
    assert decode_in([STREAM[:offset], STREAM[offset:]]) == BODIES


def test_stream_split_into_bytes_gives_the_same_frames() -> None:
    assert decode_in(STREAM[i : i + 1] for i in range(len(STREAM))) == BODIES


def test_frames_of_one_segment_come_out_in_order() -> None:
    bodies = [b"%d" % number for number in range(10_000)]
    assert decode_in([b"".join(map(frame, bodies))]) == bodies


@settings(max_examples=200, deadline=None)
@given(
    bodies=st.lists(st.binary(min_size=1, max_size=60), max_size=8),
    cuts=st.lists(st.integers(min_value=0, max_value=600), max_size=12),
)
def test_any_split_of_any_frames_gives_the_same_frames(
    bodies: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(map(frame, bodies))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert decode_in(stream[start:end] for start, end in pairwise(edges)) == bodies


def test_frames_may_be_left_in_the_decoder_while_more_arrives() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(frame(b"one") + frame(b"two") + frame(b"three")[:5])
    assert decoder.next_frame() == b"one"
    decoder.receive_data(frame(b"three")[5:] + frame(b"four"))
    assert take_all(decoder) == [b"two", b"three", b"four"]


def test_empty_read_changes_nothing() -> None:
    assert decode_in([b"", STREAM[:7], b"", STREAM[7:], b""]) == BODIES


# -- bounds -------------------------------------------------------------------------------------


def test_frames_of_one_byte_and_of_the_limit_are_accepted() -> None:
    largest = b"x" * MAX_FRAME_SIZE
    assert decode_in([frame(b"x") + frame(largest)]) == [b"x", largest]


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (0, ErrorCode.FRAME_EMPTY),
        (MAX_FRAME_SIZE + 1, ErrorCode.FRAME_TOO_LARGE),
        (2**31, ErrorCode.FRAME_TOO_LARGE),
        (2**32 - 1, ErrorCode.FRAME_TOO_LARGE),
    ],
)
def test_length_out_of_bounds_is_refused_before_allocation(size: int, code: ErrorCode) -> None:
    decoder = FrameDecoder()
    with measured() as memory:
        decoder.receive_data(header(size))
        with pytest.raises(FrameError) as caught:
            decoder.next_frame()
    assert caught.value.code == code
    assert memory.peak < 16 * 1024


def test_limit_belongs_to_the_decoder() -> None:
    assert decode_in([frame(b"12345678")], FrameDecoder(max_frame_size=8)) == [b"12345678"]
    with pytest.raises(FrameError):
        decode_in([frame(b"123456789")], FrameDecoder(max_frame_size=8))


def test_frames_before_a_bad_one_still_come_out() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(frame(b"one") + frame(b"two") + header(0) + frame(b"three"))
    assert decoder.next_frame() == b"one"
    assert decoder.next_frame() == b"two"
    with pytest.raises(FrameError):
        decoder.next_frame()


def test_after_a_bad_length_every_call_raises_the_same_error() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(header(0))
    with pytest.raises(FrameError) as first:
        decoder.next_frame()
    decoder.receive_data(frame(b"what looks like a good frame"))
    with pytest.raises(FrameError) as second:
        decoder.next_frame()
    assert second.value is first.value


def test_error_text_says_what_is_wrong() -> None:
    with pytest.raises(FrameError, match="a frame can't be empty"):
        decode_in([header(0)])
    with pytest.raises(FrameError, match="9 bytes is over the limit of 8 bytes"):
        decode_in([header(9)], FrameDecoder(max_frame_size=8))


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_give_frames_or_a_frame_error(parts: list[bytes]) -> None:
    decoder = FrameDecoder(max_frame_size=64)
    try:
        for body in decode_in(parts, decoder):
            assert 1 <= len(body) <= 64
    except FrameError:
        assert not decoder.is_mid_frame


# -- in the middle of a frame -------------------------------------------------------------------


def test_is_mid_frame_from_the_first_byte_to_the_last() -> None:
    decoder = FrameDecoder()
    assert not decoder.is_mid_frame
    whole = frame(b"hello")
    for index in range(len(whole) - 1):
        decoder.receive_data(whole[index : index + 1])
        assert decoder.next_frame() is None
        assert decoder.is_mid_frame
    decoder.receive_data(whole[-1:])
    assert decoder.next_frame() == b"hello"
    assert not decoder.is_mid_frame


def test_is_mid_frame_after_a_frame_and_part_of_the_next() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(frame(b"whole") + b"\x00")
    assert take_all(decoder) == [b"whole"]
    assert decoder.is_mid_frame


def test_broken_stream_is_not_mid_frame() -> None:
    decoder = FrameDecoder()
    with pytest.raises(FrameError):
        decode_in([header(0) + b"rest"], decoder)
    assert not decoder.is_mid_frame


# -- memory -------------------------------------------------------------------------------------


def test_idle_connection_keeps_no_buffer() -> None:
    segment = frame(b"x" * MAX_FRAME_SIZE) * 4
    decoder = FrameDecoder()
    with measured() as memory:
        for _ in range(3):
            decoder.receive_data(segment)
            while decoder.next_frame() is not None:
                pass
    assert memory.now < 1024


def test_partial_frame_holds_no_more_than_itself_and_one_read() -> None:
    decoder = FrameDecoder()
    read = 64 * 1024
    stream = frame(b"x" * MAX_FRAME_SIZE) * 20
    with measured() as memory:
        for start in range(0, len(stream) - read, read):
            decoder.receive_data(stream[start : start + read])
            while decoder.next_frame() is not None:
                pass
    # The buffer grows by an eighth more than it needs, and is copied when it grows.
    assert memory.now < (MAX_FRAME_SIZE + read) * 1.5
    assert memory.peak < (MAX_FRAME_SIZE + read) * 3


def test_length_alone_allocates_nothing_for_the_body() -> None:
    decoder = FrameDecoder()
    with measured() as memory:
        decoder.receive_data(header(MAX_FRAME_SIZE))
        assert decoder.next_frame() is None
    assert memory.peak < 4096


def test_data_after_a_bad_length_is_discarded() -> None:
    decoder = FrameDecoder()
    chunk = b"x" * 65536
    with measured() as memory:
        for _ in range(50):
            decoder.receive_data(chunk)
            with pytest.raises(FrameError):
                decoder.next_frame()
    assert memory.now < 32 * 1024
