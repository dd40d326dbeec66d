"""Frames: a 4-byte big-endian length N, then N bytes. Pure; no I/O.

The length is checked as soon as its four bytes have arrived, before anything is allocated for the
body: a peer can make a decoder hold at most one frame plus the rest of one read.
"""

from __future__ import annotations

from typing import Final, Protocol

from gochat.errors import ErrorCode, FrameError

HEADER_SIZE: Final = 4
#: The default bound on a frame's body, in bytes. Large enough for a page of history; a thousand
#: connections that each withhold the end of a frame cost at most 64 MiB.
MAX_FRAME_SIZE: Final = 64 * 1024


def frame(body: bytes) -> bytes:
    """Return `body` with its length prefix. The caller keeps it within the peer's limit."""
    return len(body).to_bytes(HEADER_SIZE, "big") + body


class Framing(Protocol):
    """Splits what arrives into bodies: as :class:`FrameDecoder` does, or another transport."""

    @property
    def is_mid_frame(self) -> bool:
        """True while part of a frame has arrived, once :meth:`next_frame` has returned None."""

    @property
    def size(self) -> int:
        """How many bytes have arrived that were not returned yet."""

    def receive_data(self, data: bytes) -> None:
        """Add bytes in the order in which they arrived."""

    def next_frame(self) -> bytes | None:
        """Return the next body, or None if more bytes are needed.

        Empty: something arrived that is not a body. There may be more.

        Raises:
            FrameError: nothing more can be read.
        """


class FrameDecoder:
    """Splits a stream of bytes, cut anywhere, into frame bodies.

    Feed it with :meth:`receive_data`, then call :meth:`next_frame` until it returns None. After a
    :exc:`~gochat.errors.FrameError` the stream can't be read any further: every later call of
    :meth:`next_frame` raises the same error, and data that still arrives is discarded.
    """

    __slots__ = ("_buffer", "_error", "_max_frame_size", "_start")

    def __init__(self, max_frame_size: int = MAX_FRAME_SIZE) -> None:
        self._max_frame_size = max_frame_size
        self._buffer = bytearray()
        self._start = 0  # the bytes before it have been returned
        self._error: FrameError | None = None

    @property
    def is_mid_frame(self) -> bool:
        """True while part of a frame has arrived: its sender is then held to a deadline.

        Only meaningful after :meth:`next_frame` has returned None; before, complete frames count,
        too.
        """
        return self._start < len(self._buffer)

    @property
    def size(self) -> int:
        """How many bytes have arrived that were not returned yet, including headers."""
        return len(self._buffer) - self._start

    def receive_data(self, data: bytes) -> None:
        """Add bytes in the order in which they arrived."""
        if self._error is not None:
            return
        if self._start:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """Return the next complete frame's body, or None if more bytes are needed.

        Raises:
            FrameError: the next length is zero or over the limit.
        """
        if self._error is not None:
            raise self._error
        buffer, start = self._buffer, self._start
        body = start + HEADER_SIZE
        if len(buffer) < body:
            return None
        size = int.from_bytes(buffer[start:body], "big")
        if not 1 <= size <= self._max_frame_size:
            self._error = self._refuse(size)
            buffer.clear()
            self._start = 0
            raise self._error
        end = body + size
        if len(buffer) < end:
            return None
        frame_body = bytes(memoryview(buffer)[body:end])
        if end == len(buffer):
            buffer.clear()  # an idle connection keeps no buffer
            end = 0
        self._start = end
        return frame_body

    def _refuse(self, size: int) -> FrameError:
        if size == 0:
            return FrameError(ErrorCode.FRAME_EMPTY, "a frame can't be empty")
        return FrameError(
            ErrorCode.FRAME_TOO_LARGE,
            f"a frame of {size} bytes is over the limit of {self._max_frame_size} bytes",
            details={"max": self._max_frame_size, "length": size},
        )
