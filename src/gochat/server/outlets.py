"""The kinds of outlet: how bytes reach a peer.

- :class:`SocketOutlet` writes directly to a non-blocking socket's descriptor. While the socket
  takes everything, delivering to a session starts no task and needs no task switch.
- :class:`EncodedOutlet` does the same with bytes that are encoded as they are written: encrypted,
  in as few records as possible, or with the headers of WebSocket.
- :class:`StreamOutlet` sends over any Trio stream (where there are no descriptors), from a task.

When they write, and when a peer is too slow, is in :mod:`gochat.server.delivery`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Final

import trio

from gochat.server.delivery import DEFAULT_WRITE_STALL, PLAIN, Delivery, Encoding, Outlet
from gochat.server.mailbox import DEFAULT_MAX_BYTES

#: Bytes that a stream is given at once: a TLS record. The peer has `stall` seconds for each, so a
#: peer that reads slowly is not taken for one that is stuck.
PIECE: Final = 16 * 1024
#: Bytes that are encoded at once: some records, about as much as a socket takes.
BATCH: Final = 64 * 1024
#: Bytes that are written at once. Joining them copies them, and a socket that takes a little at a
#: time should not cause a copy of the whole mailbox each time.
WRITE_AT_ONCE: Final = 256 * 1024


class SocketOutlet(Outlet):
    """Writes directly to the descriptor of a non-blocking stream socket."""

    __slots__ = ("_fd", "_is_mid_frame")

    def __init__(self, fd: int, delivery: Delivery, on_evict: Callable[[], None],
                 *, max_bytes: int = DEFAULT_MAX_BYTES,
                 stall: float = DEFAULT_WRITE_STALL) -> None:  # fmt: skip
        super().__init__(delivery, on_evict, max_bytes=max_bytes, stall=stall)
        self._fd = fd
        self._is_mid_frame = False  # the last write may have ended inside a frame

    def send(self, frames: bytes) -> None:
        """Implement :meth:`Outlet.send`. If nothing is queued, bypass the mailbox.

        Going through it took a tenth of the cost of a message to 1,000 receivers, and most of its
        delay beyond that of a bare loop.
        """
        if (
            self._mailbox.size
            or self._is_writing
            or self._is_corked
            or self._is_sealed
            or not self._is_open
            or not frames
        ):
            self.post(frames)
            return
        try:
            written = os.write(self._fd, frames)
        except BlockingIOError:
            written = 0
        except OSError:
            self.close()
            return
        self._taken += written
        if written < len(frames):
            self._is_mid_frame = written > 0
            self.post(frames[written:])  # for the flush that ends the pass

    def _write_now(self) -> bool:
        while self._mailbox.size:
            data = self._mailbox.take(WRITE_AT_ONCE)
            try:
                written = os.write(self._fd, data)
            except BlockingIOError:
                written = 0
            except OSError:
                self.close()
                return True
            self._taken += written
            if written < len(data):
                self._is_mid_frame = self._is_mid_frame or written > 0
                self._mailbox.put_back(data[written:])
                return False
            self._is_mid_frame = False
        return True

    async def _write_remaining(self) -> None:
        while self._mailbox.size:  # empty once closed: then the descriptor may have been reused
            with trio.fail_after(self._stall):
                await trio.lowlevel.wait_writable(self._fd)
            if self._mailbox.size:
                self._write_now()
                self._note_progress()

    def last_word(self, frame: bytes) -> None:
        """Try to write `frame` at once, unless the last write ended inside a frame."""
        if not self._is_mid_frame:
            with contextlib.suppress(OSError):
                os.write(self._fd, frame)


class EncodedOutlet(Outlet):
    """Encodes frames and writes them to the descriptor of a non-blocking socket.

    Encrypted bytes have their position in the stream and can't be dropped separately. So it
    encodes no more than the socket takes, and one batch.
    """

    __slots__ = ("_encoded", "_fd", "_is_torn")

    def __init__(self, fd: int, encoding: Encoding, delivery: Delivery,
                 on_evict: Callable[[], None], *, max_bytes: int = DEFAULT_MAX_BYTES,
                 stall: float = DEFAULT_WRITE_STALL) -> None:  # fmt: skip
        super().__init__(delivery, on_evict, max_bytes=max_bytes, stall=stall, encoding=encoding)
        self._fd = fd
        self._encoded = b""  # and not yet taken by the socket
        self._is_torn = False  # encoded bytes were dropped: the peer can't decode more

    @property
    def written(self) -> int:
        """Implement :attr:`Outlet.written`."""
        return self._taken - len(self._encoded) * self._frame_bytes

    def close(self) -> None:
        """Implement :meth:`Outlet.close`."""
        self._is_torn = self._is_torn or bool(self._encoded)
        self._taken = self.written
        self._encoded = b""
        super().close()

    def _write_now(self) -> bool:
        try:
            while self._encoded or self._mailbox.size:
                if not self._encoded:
                    data = self._mailbox.take(BATCH)
                    self._encoded = self._encode(data)
                    self._taken += len(data)
                self._encoded = self._encoded[os.write(self._fd, self._encoded) :]
                if self._encoded:
                    return False
        except BlockingIOError:
            return False
        except OSError:  # including ssl.SSLError
            self.close()
        return True

    async def _write_remaining(self) -> None:
        while self._encoded or self._mailbox.size:  # neither once it is closed
            with trio.fail_after(self._stall):
                await trio.lowlevel.wait_writable(self._fd)
            self._write_now()
            self._note_progress()

    def last_word(self, frame: bytes) -> None:
        """Try to write `frame` at once, unless something before it was dropped."""
        if not self._is_torn:
            with contextlib.suppress(OSError):
                os.write(self._fd, self._encode(frame + self._ending()))


class StreamOutlet(Outlet):
    """Sends over any Trio stream."""

    __slots__ = ("_stream", "_unsent")

    def __init__(self, stream: trio.abc.SendStream, delivery: Delivery,
                 on_evict: Callable[[], None], *, max_bytes: int = DEFAULT_MAX_BYTES,
                 stall: float = DEFAULT_WRITE_STALL,
                 encoding: Encoding = PLAIN) -> None:  # fmt: skip
        super().__init__(delivery, on_evict, max_bytes=max_bytes, stall=stall, encoding=encoding)
        self._stream = stream
        self._unsent = 0  # of the bytes taken from the mailbox, encoded

    @property
    def written(self) -> int:
        """Implement :attr:`Outlet.written`."""
        return self._taken - self._unsent * self._frame_bytes

    def _write_now(self) -> bool:
        return False

    async def _write_remaining(self) -> None:
        while frames := self._mailbox.take(PIECE):
            data = memoryview(self._encode(frames))
            self._taken += len(frames)
            self._unsent = len(data)
            for start in range(0, len(data), PIECE):
                piece = data[start : start + PIECE]
                with trio.fail_after(self._stall):
                    await self._stream.send_all(piece)
                self._unsent -= len(piece)
                self._note_progress()
                if not self._is_open:
                    return

    def last_word(self, frame: bytes) -> None:
        """Do nothing: a stream can't be written without waiting."""
