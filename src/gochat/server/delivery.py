"""From mailboxes to sockets: one write per session per pass, and no task while nothing waits.

A pass is whatever posts to many sessions at once: a commit's entries, a tick of presence, the
replies to what one read brought. Each ends with :meth:`Delivery.flush`, which hands every session
all that waits for it in a single write. So the busier the server, the more goes into each write.
What is the last of a pass anyway goes out as it is posted (:meth:`Outlet.send`).

Three ways out, one interface (:class:`Outlet`):

- :class:`SocketOutlet` writes straight to a non-blocking socket's descriptor. While the socket
  takes everything, delivering to a session switches no task and starts none.
- :class:`EncryptedOutlet` does so with what has been encrypted, as few records as it takes.
- :class:`StreamOutlet` sends over any Trio stream (where there are no descriptors), from a task.

Either has a task of its own only while something waits that its peer has not taken. Only one of
flush and that task writes at a time, so frames are never torn or interleaved.

Slow readers. A session is evicted when (1) its mailbox is full, although its peer had time to read
and its socket has been tried again, or (2) nothing could be written for `stall` seconds. Then what
waits for it is dropped, `on_evict` is called, and its connection is to be closed; nobody else has
waited for it. Within one pass nobody can read. So a pass that finds an outlet with nothing left to
write may put more into its mailbox than the bound; what is put is shared by all whom it concerns.
All that is kept for a session is in its mailbox, so the mailbox's bound, and one pass, is the
bound; what is encrypted, or a stream's task, is one piece besides.

Who can wait for the peer, does: an outlet :attr:`~Outlet.is_behind` long before its mailbox is
full, and :meth:`~Outlet.drain` waits until all is written.
"""

from __future__ import annotations

import abc
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog
import trio

from gochat.server.mailbox import MAX_BYTES, Mailbox, MailboxFull

log = structlog.stdlib.get_logger()

#: Bytes that a stream is given at once: a TLS record. The peer has `stall` seconds for each, so
#: that one that is slow, but reads, is not taken for one that is stuck.
PIECE: Final = 16 * 1024
#: Bytes that are encrypted at once: some records, about as much as a socket takes.
BATCH: Final = 64 * 1024
#: Bytes that are written at once: joined they are a copy, which should not be of a whole mailbox
#: each time that a socket takes a little.
WRITE_AT_ONCE: Final = 256 * 1024
#: A peer that takes nothing for this long (seconds) is gone or hopelessly slow.
WRITE_STALL: Final = 10.0
#: The part of a mailbox that may be filled by those who could wait instead. The rest is for what
#: comes without asking; and a frame of the greatest size fits, for a mailbox holds four of them.
SHARE: Final = 4


class Delivery:
    """Flushes outlets. Use :func:`open_delivery`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._dirty: dict[Outlet, None] = {}

    def flush(self) -> None:
        """Write what was posted since the last flush. Never blocks, never raises."""
        dirty, self._dirty = self._dirty, {}
        for outlet in dirty:
            outlet.write()

    def mark(self, outlet: Outlet) -> None:
        """Write `outlet` at the next flush."""
        self._dirty[outlet] = None

    def unmark(self, outlet: Outlet) -> None:
        """Undo :meth:`mark`, for one that was written by itself or is closed: a server where nobody
        says anything has no other flush, and would keep it for ever."""
        self._dirty.pop(outlet, None)

    def start(self, outlet: Outlet) -> None:
        """Run the task that writes what the outlet's peer has not taken."""
        self._nursery.start_soon(outlet.write_remaining)


@contextlib.asynccontextmanager
async def open_delivery() -> AsyncIterator[Delivery]:
    """Open a delivery; leaving cancels what is still being written."""
    async with trio.open_nursery() as nursery:
        yield Delivery(nursery)
        nursery.cancel_scope.cancel()


class Outlet(abc.ABC):
    """The way out to one session: a mailbox, and what empties it."""

    __slots__ = (
        "_delivery",
        "_drained",
        "_high_water",
        "_is_open",
        "_is_sealed",
        "_is_writing",
        "_mailbox",
        "_on_evict",
        "_stall",
        "_taken",
        "on_progress",
    )

    def __init__(
        self,
        delivery: Delivery,
        on_evict: Callable[[], None],
        *,
        max_bytes: int = MAX_BYTES,
        stall: float = WRITE_STALL,
    ) -> None:
        self._delivery = delivery
        self._on_evict = on_evict
        self._mailbox = Mailbox(max_bytes)
        self._high_water = max_bytes // SHARE
        self._stall = stall
        self._is_writing = False  # a task is at it: flush leaves the mailbox to it
        self._is_open = True
        self._is_sealed = False
        self._taken = 0  # bytes that have gone through the mailbox, or past it
        self._drained: trio.Event | None = None
        #: Called when some of what has waited for the peer is written.
        self.on_progress: Callable[[], None] | None = None

    @property
    def backlog(self) -> int:
        """What waits in the mailbox, in the measure by which it is full."""
        return self._mailbox.size

    @property
    def is_open(self) -> bool:
        """False when what is posted is dropped."""
        return self._is_open and not self._is_sealed

    @property
    def is_closed(self) -> bool:
        """True if something that was posted was dropped, or may have been."""
        return not self._is_open

    @property
    def posted(self) -> int:
        """Bytes that were ever posted."""
        return self._taken + self._mailbox.length

    @property
    def written(self) -> int:
        """Those of them that the system has been given to send."""
        return self._taken

    @property
    def is_behind(self) -> bool:
        """True while so much waits that whatever can wait for the peer should."""
        return self._mailbox.size > self._high_water

    def post(self, frames: bytes) -> None:
        """Put whole frames into the mailbox; they go out at the next flush, in order.

        Never blocks and never raises. A mailbox that is full is written first, as far as the peer
        takes it; where that doesn't help, and it was not empty before this pass, the session is
        evicted. What is posted to one that is evicted, sealed or closed is dropped.
        """
        if not frames or self._is_sealed or not self._is_open:
            return
        try:
            self._mailbox.put(frames)
        except MailboxFull:
            if not self._put_after_writing(frames):
                return
        self._delivery.mark(self)

    def _put_after_writing(self, frames: bytes) -> bool:
        self._write_now()
        if self._is_open:
            try:
                self._mailbox.put(frames, beyond=not self._is_writing)
            except MailboxFull:
                self.evict()
        return self._is_open

    def send(self, frames: bytes) -> None:
        """As :meth:`post`, for the last that a pass has for this session: where nothing waits, it
        may go out at once. The pass ends with a flush all the same."""
        self.post(frames)

    def flush(self) -> None:
        """Write what waits, by itself and not with all others: the replies to a request."""
        self._delivery.unmark(self)
        self.write()

    def write(self) -> None:
        """Write what waits as far as the peer takes it at once; a task does the rest."""
        if self._is_writing or not self._mailbox.size:
            return
        if not self._write_now():
            self._is_writing = True
            self._mailbox.accept()  # what one pass has put beyond the bound
            self._delivery.start(self)

    async def drain(self) -> None:
        """Write all that was posted, and wait until that is done or the outlet is closed."""
        self.flush()
        while self._is_open and self._is_writing:
            if self._drained is None:
                self._drained = trio.Event()
            await self._drained.wait()

    async def write_remaining(self) -> None:
        """The task: write until nothing waits. Started by flush, one at a time."""
        try:
            await self._write_remaining()
        except trio.TooSlowError:
            self.evict()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.close()  # the peer is gone, which the session's reader notices, too
        except Exception:  # a bug, but then of one connection: here, it would end the server
            log.exception("write failed")
            self.evict()
        finally:
            self._is_writing = False
            self._wake()

    def evict(self) -> None:
        """Drop what waits and notify the session's owner, once."""
        if self._is_open:
            self.close()
            self._on_evict()

    def seal(self) -> None:
        """Take nothing more; what waits still goes out."""
        self._is_sealed = True

    def close(self) -> None:
        """Drop what waits; post and flush do nothing from here on. The connection stays open."""
        self._is_open = False
        self._mailbox.take()
        self._delivery.unmark(self)
        self._wake()

    def _note_progress(self) -> None:
        if self.on_progress is not None and self._is_open:
            self.on_progress()

    def _wake(self) -> None:
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    @abc.abstractmethod
    def _write_now(self) -> bool:
        """Write what waits without blocking; return False if something is left to write."""

    @abc.abstractmethod
    async def _write_remaining(self) -> None:
        """Write until nothing waits. Raises TooSlowError if the peer takes nothing in time."""

    @abc.abstractmethod
    def last_word(self, frame: bytes) -> None:
        """Try to write `frame` at once, if the peer can still make sense of it."""


class SocketOutlet(Outlet):
    """Writes straight to the descriptor of a non-blocking stream socket."""

    __slots__ = ("_fd", "_is_mid_frame")

    def __init__(self, fd: int, delivery: Delivery, on_evict: Callable[[], None],
                 *, max_bytes: int = MAX_BYTES,
                 stall: float = WRITE_STALL) -> None:  # fmt: skip
        super().__init__(delivery, on_evict, max_bytes=max_bytes, stall=stall)
        self._fd = fd
        self._is_mid_frame = False  # the last write may have ended inside of one

    def send(self, frames: bytes) -> None:
        """As :meth:`Outlet.send`. Where nothing waits, the mailbox is not even touched: that was a
        tenth of what a message to 1,000 costs, and most of its delay above a bare loop's."""
        if (
            self._mailbox.size
            or self._is_writing
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
        while self._mailbox.size:  # none once it is closed: then the descriptor may be another's
            with trio.fail_after(self._stall):
                await trio.lowlevel.wait_writable(self._fd)
            if self._mailbox.size:
                self._write_now()
                self._note_progress()

    def last_word(self, frame: bytes) -> None:
        """Try to write `frame` at once, unless the peer is in the middle of another."""
        if not self._is_mid_frame:
            with contextlib.suppress(OSError):
                os.write(self._fd, frame)


class EncryptedOutlet(Outlet):
    """Writes what `encrypt` makes of the frames to the descriptor of a non-blocking socket.

    What is encrypted has its place in the stream and can't be dropped alone, so no more of it is
    made than the socket takes, and a piece.
    """

    __slots__ = ("_encrypt", "_fd", "_is_torn", "_records")

    def __init__(self, fd: int, encrypt: Callable[[bytes], bytes], delivery: Delivery,
                 on_evict: Callable[[], None], *, max_bytes: int = MAX_BYTES,
                 stall: float = WRITE_STALL) -> None:  # fmt: skip
        super().__init__(delivery, on_evict, max_bytes=max_bytes, stall=stall)
        self._fd = fd
        self._encrypt = encrypt
        self._records = b""  # encrypted, and not yet taken by the socket
        self._is_torn = False  # records were dropped: the peer can't make sense of more

    @property
    def written(self) -> int:
        """As :attr:`Outlet.written`. Records are longer than what is in them, so this is less than
        what was written, rather than more."""
        return self._taken - len(self._records)

    def close(self) -> None:
        """As :meth:`Outlet.close`."""
        self._is_torn = self._is_torn or bool(self._records)
        self._taken -= len(self._records)
        self._records = b""
        super().close()

    def _write_now(self) -> bool:
        try:
            while self._records or self._mailbox.size:
                if not self._records:
                    data = self._mailbox.take(BATCH)
                    self._records = self._encrypt(data)
                    self._taken += len(data)
                self._records = self._records[os.write(self._fd, self._records) :]
                if self._records:
                    return False
        except BlockingIOError:
            return False
        except OSError:  # ssl.SSLError is one, too
            self.close()
        return True

    async def _write_remaining(self) -> None:
        while self._records or self._mailbox.size:  # neither once it is closed
            with trio.fail_after(self._stall):
                await trio.lowlevel.wait_writable(self._fd)
            self._write_now()
            self._note_progress()

    def last_word(self, frame: bytes) -> None:
        """Try to write `frame` at once, unless something before it was dropped."""
        if not self._is_torn:
            with contextlib.suppress(OSError):
                os.write(self._fd, self._encrypt(frame))


class StreamOutlet(Outlet):
    """Sends over any Trio stream."""

    __slots__ = ("_stream", "_unsent")

    def __init__(self, stream: trio.abc.SendStream, delivery: Delivery,
                 on_evict: Callable[[], None], *, max_bytes: int = MAX_BYTES,
                 stall: float = WRITE_STALL) -> None:  # fmt: skip
        super().__init__(delivery, on_evict, max_bytes=max_bytes, stall=stall)
        self._stream = stream
        self._unsent = 0  # of what was taken

    @property
    def written(self) -> int:
        """As :attr:`Outlet.written`."""
        return self._taken - self._unsent

    def _write_now(self) -> bool:
        return False

    async def _write_remaining(self) -> None:
        while data := memoryview(self._mailbox.take(PIECE)):
            self._taken += len(data)
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
        """Nothing: a stream can't be written without waiting."""
