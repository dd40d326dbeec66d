"""Delivery from mailboxes to sockets: one write per session per pass, and usually no task.

A pass is everything that is posted to many sessions at once: the entries of a commit, a tick of
presence, the replies to one read. Each ends with :meth:`Delivery.flush`, which writes everything
queued for a session in a single write. So the busier the server, the more goes into each write. The
last frames of a pass are written as they are posted (:meth:`Outlet.send`).

An :class:`Outlet` is the sending side of one session; :mod:`gochat.server.outlets` has one for each
way to write. It has a task of its own only while the peer has not taken everything. Either that
task writes or flush does, never both, so frames are never torn or interleaved.

Slow consumers: a session is evicted when (1) its mailbox is full, although its peer had time to
read and its socket was tried again, or (2) nothing could be written for `stall` seconds. Then the
mailbox is emptied, `on_evict` is called, and the connection is to be closed. Nobody else has waited
for it. Within one pass no peer can read. So if an outlet has nothing left to write, one pass may
put more into its mailbox than the bound; those bytes are shared by all receivers. Everything queued
for a session is in its mailbox, so the memory for a session is at most the mailbox's bound and one
pass, plus one piece that is encoded or held by a stream's task.

Back-pressure: an outlet :attr:`~Outlet.is_behind` long before its mailbox is full, and
:meth:`~Outlet.drain` waits until everything is written. Anything that can wait for the peer does.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, NamedTuple

import structlog
import trio

from gochat.server.mailbox import DEFAULT_MAX_BYTES, Mailbox, MailboxFull

log = structlog.stdlib.get_logger()

#: A peer that takes nothing for this long (seconds) is gone or hopelessly slow.
DEFAULT_WRITE_STALL: Final = 10.0
#: The part of a mailbox (1/SHARE) that senders who can wait may fill. The remainder is for events
#: that come unasked. A frame of the maximum size fits, because a mailbox holds four of them.
SHARE: Final = 4


class Encoding(NamedTuple):
    """How what is posted is written, where it is not written as it is.

    `encode` takes whole frames, in order. A byte that it returns stands for at most `frame_bytes`
    bytes of them. `ending` returns what is to be posted after the last frame.
    """

    encode: Callable[[bytes], bytes]
    frame_bytes: int = 1
    ending: Callable[[], bytes] = bytes


#: Frames as they are.
PLAIN: Final = Encoding(lambda frames: frames)


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
        """Undo :meth:`mark`, for an outlet that was flushed separately or is closed.

        An idle server has no other flush, and would keep the outlet for ever.
        """
        self._dirty.pop(outlet, None)

    def start(self, outlet: Outlet) -> None:
        """Start the task that writes what the outlet's peer has not taken."""
        self._nursery.start_soon(outlet.write_remaining)


@contextlib.asynccontextmanager
async def open_delivery() -> AsyncIterator[Delivery]:
    """Open a delivery. Leaving the block cancels what is still being written."""
    async with trio.open_nursery() as nursery:
        yield Delivery(nursery)
        nursery.cancel_scope.cancel()


@contextlib.contextmanager
def corked(outlets: Sequence[Outlet]) -> Iterator[None]:
    """Write nothing to outlets inside the block, which is one step, and then all together."""
    for outlet in outlets:
        outlet.cork()
    try:
        yield
    finally:
        for outlet in outlets:
            outlet.uncork()


class Outlet(abc.ABC):
    """The sending side of one session: a mailbox, and the code that empties it."""

    __slots__ = (
        "_delivery",
        "_drained",
        "_encode",
        "_ending",
        "_frame_bytes",
        "_high_water",
        "_is_corked",
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
        max_bytes: int = DEFAULT_MAX_BYTES,
        stall: float = DEFAULT_WRITE_STALL,
        encoding: Encoding = PLAIN,
    ) -> None:
        self._encode, self._frame_bytes, self._ending = encoding
        self._delivery = delivery
        self._on_evict = on_evict
        self._mailbox = Mailbox(max_bytes)
        self._high_water = max_bytes // SHARE
        self._stall = stall
        self._is_writing = False  # a task writes: flush leaves the mailbox to it
        self._is_open = True
        self._is_sealed = False
        self._is_corked = False
        self._taken = 0  # bytes that have left the mailbox, or bypassed it
        self._drained: trio.Event | None = None
        #: Called when bytes that had to wait for the peer are written.
        self.on_progress: Callable[[], None] | None = None

    @property
    def backlog(self) -> int:
        """Bytes in the mailbox, with overhead, as its bound counts them."""
        return self._mailbox.size

    @property
    def is_open(self) -> bool:
        """False if what is posted is dropped."""
        return self._is_open and not self._is_sealed

    @property
    def is_closed(self) -> bool:
        """True if posted bytes were dropped, or may have been."""
        return not self._is_open

    @property
    def posted(self) -> int:
        """Total bytes posted."""
        return self._taken + self._mailbox.length

    @property
    def written(self) -> int:
        """Total posted bytes passed to the system for sending.

        Where they are encoded it is never more than that, and may be less, even than before.
        """
        return self._taken

    def acknowledged(self, waiting: int) -> int:
        """Return up to where the peer's host has what was posted, or less.

        `waiting` is how many written bytes it has not acknowledged.
        """
        return self.written - waiting * self._frame_bytes

    @property
    def is_behind(self) -> bool:
        """True while so much is queued that anything that can wait for the peer should."""
        return self._mailbox.size > self._high_water

    def post(self, frames: bytes) -> None:
        """Put whole frames into the mailbox. They are written at the next flush, in order.

        Never blocks and never raises. If the mailbox is full, what the peer takes is written first;
        if that doesn't help, and the mailbox was not empty before this pass, the session is
        evicted. Frames posted to an outlet that is evicted, sealed or closed are dropped.
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
        """Post the last frames that a pass has for this session, as :meth:`post`.

        If nothing is queued, they may bypass the mailbox and be written at once. The pass must
        still end with a flush.
        """
        self.post(frames)

    def flush(self) -> None:
        """Write this outlet now, for replies, instead of at :meth:`Delivery.flush`."""
        self._delivery.unmark(self)
        self.write()

    def cork(self) -> None:
        """Write nothing until :meth:`uncork`, in the same step: more will be posted."""
        self._is_corked = True

    def uncork(self) -> None:
        """Write what was posted meanwhile, together."""
        self._is_corked = False
        self.flush()

    def write(self) -> None:
        """Write as much as the peer takes at once; a task writes the remainder."""
        if self._is_writing or self._is_corked or not self._mailbox.size:
            return
        if not self._write_now():
            self._is_writing = True
            self._mailbox.accept()  # accept what one pass has put beyond the bound
            self._delivery.start(self)

    async def drain(self) -> None:
        """Write everything posted, and wait until that is done or the outlet is closed."""
        self.flush()
        while self._is_open and self._is_writing:
            if self._drained is None:
                self._drained = trio.Event()
            await self._drained.wait()

    async def write_remaining(self) -> None:
        """Write until nothing is queued. The outlet's only task, started by :meth:`write`."""
        try:
            await self._write_remaining()
        except trio.TooSlowError:
            self.evict()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.close()  # the peer is gone, which the session's reader notices, too
        except Exception:  # a bug: it must end this connection, not the server
            log.exception("write failed")
            self.evict()
        finally:
            self._is_writing = False
            self._wake()

    def evict(self) -> None:
        """Drop what is queued and call `on_evict`, once."""
        if self._is_open:
            self.close()
            self._on_evict()

    def seal(self) -> None:
        """Accept nothing more; what is queued is still written."""
        self.post(self._ending())
        self._is_sealed = True

    def close(self) -> None:
        """Drop what is queued, and ignore later posts and flushes. The connection stays open."""
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
        """Write what is queued without blocking; return False if something is left to write."""

    @abc.abstractmethod
    async def _write_remaining(self) -> None:
        """Write until nothing is queued. Raises TooSlowError if the peer takes nothing in time."""

    @abc.abstractmethod
    def last_word(self, frame: bytes) -> None:
        """Try to write `frame` at once, if the peer can still decode it."""
