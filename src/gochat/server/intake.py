"""The intake: one task that reads for all sessions which wait for their peer.

Most of what a message costs, if each session's task reads for itself, is waiting: a task switch to
read, one for the commit, another change of thread. So one task watches the sockets of all sessions
with an edge-triggered ``epoll`` of its own. It reads what has arrived on up to :data:`MOST` of them
and looks at it in one step of the event loop, its *pass*: messages that need no waiting are checked
and drafted right there (:mod:`.plain_sends`), committed together, delivered and acknowledged.
Everything else is passed on to the session's task, which handles it as if it had read it itself.

The order of a session's requests stays that in which they arrived: the intake reads only while the
session's task waits for its peer with nothing on its hands, and not while messages of that session
are being committed elsewhere.

Systems without ``epoll`` have no intake: there each session's task reads.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn, Protocol

import structlog
import trio

from gochat.chat.log import Submission
from gochat.server.sockets import READ_SIZE

log = structlog.stdlib.get_logger()

#: Sockets that are read in one pass: enough to share a commit, few enough that nobody waits long.
MOST: Final = 64
#: Seconds after which a pass ends, and the event loop has its turn.
SLICE: Final = 0.005


class Decoder(Protocol):
    """Decrypts what is read: see :class:`gochat.server.tls.TlsStream`."""

    is_over: bool

    def decrypt(self, data: bytes) -> bytes | None:
        """Return what `data` decrypts to; None if that needs more bytes, b"" at the end."""

    def decrypted(self) -> bytes | None:
        """Return what can be decrypted of what was read before."""


class Reader(Protocol):
    """A session for which the intake reads."""

    def take(self, data: bytes) -> Submission | None:
        """Return what to append, if that is all that `data` is about, and else None."""


class Source:
    """A session's socket, read by the session's task or, while that waits, by the intake."""

    __slots__ = (
        "_arrived", "_decoder", "_fd", "_intake", "_is_held", "_is_open", "_is_readable",
        "_last_size", "_reader", "_takes_messages", "_task",
    )  # fmt: skip

    def __init__(self, intake: Intake, fd: int, reader: Reader, decoder: Decoder | None) -> None:
        self._intake = intake
        self._fd = fd
        self._decoder = decoder
        self._is_open = True
        self._last_size = 0  # of a read
        self._arrived: bytes | trio.BrokenResourceError | None = (
            None  # what `read` returns or raises
        )
        #: Something may be there, although no event announces it any more.
        self._is_readable = False
        #: The task that waits in :meth:`read`.
        self._task: trio.lowlevel.Task | None = None
        self._reader: Final = reader
        #: Messages need not be passed on to the task.
        self._takes_messages = False
        #: Messages were taken, and are not settled yet: nothing is read meanwhile.
        self._is_held = False

    async def read(self, *, takes_messages: bool = False) -> bytes | None:
        """Wait for bytes; return b"" at the end, and None after :meth:`wake`. A checkpoint.

        With `takes_messages` messages that can be are taken meanwhile, and not returned. If
        cancelled, it has read nothing. Raises BrokenResourceError.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._decoder is not None and (data := self._decoder.decrypted()) is not None:
            return data
        while self._is_readable:
            await trio.lowlevel.checkpoint()
            try:
                data = self._read()
            except BlockingIOError:
                self._is_readable = False
                continue
            if data is not None:
                return data

        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._task = trio.lowlevel.current_task()
        self._takes_messages = takes_messages
        self._arrived = None
        await trio.lowlevel.wait_task_rescheduled(abort)
        arrived, self._arrived = self._arrived, None
        if isinstance(arrived, Exception):
            raise arrived
        return arrived

    def _read(self) -> bytes | None:
        """Read, and decrypt. None: there is nothing to return yet.

        Raises BlockingIOError, BrokenResourceError.
        """
        try:
            self._last_size = len(data := os.read(self._fd, READ_SIZE))
        except BlockingIOError:
            raise
        except OSError as error:
            raise trio.BrokenResourceError("the connection broke") from error
        return data if self._decoder is None else self._decoder.decrypt(data)

    def go_on(self) -> None:
        """Read again, once what was taken is settled."""
        self._is_held = False
        if self._is_readable:
            self.wake()

    def wake(self, arrived: bytes | trio.BrokenResourceError | None = None) -> None:
        """Make :meth:`read` return or raise this, if a task waits there, and hold it no more."""
        self._is_held = False
        task, self._task = self._task, None
        if task is not None:
            self._arrived = arrived
            trio.lowlevel.reschedule(task)

    def close(self) -> None:
        """Stop watching. Call this before the socket is closed."""
        if self._is_open:
            self._is_open = False
            self._intake.forget(self._fd)

    def arrived(self, flags: int) -> Submission | None:
        """Read after an event, in the intake; return what to append, if that is all."""
        if self._task is None or self._is_held:
            self._is_readable = True
            return None
        try:
            data = self._read()
        except BlockingIOError:
            return None
        except trio.BrokenResourceError as error:
            self.wake(error)
            return None
        # After a short read of a stream the next byte makes an event, but an end that has been
        # announced already does not.
        is_all = flags == select.EPOLLIN and self._last_size < READ_SIZE
        self._is_readable = not is_all
        if data is None:
            if not is_all:
                self.wake()
            return None
        if self._decoder is not None and self._decoder.is_over:
            is_all = False
        if self._takes_messages and is_all:
            try:
                submission = self._reader.take(data)
            except Exception:  # a bug: it must not end the intake
                log.exception("intake failed")
                submission = None
            if submission is not None:
                self._is_held = True
                return submission
        self.wake(data)
        return None


class Intake:
    """Watches sockets. Open a source for each of them, and :meth:`run` it once.

    `submit` appends what one pass has taken.
    """

    def __init__(self, submit: Callable[[list[Submission]], None]) -> None:
        self._epoll = select.epoll()
        self._sources: dict[int, Source] = {}
        self._events: deque[tuple[int, int]] = deque()  # seen, and not acted on yet
        self._submit = submit

    def open(self, fd: int, reader: Reader, decoder: Decoder | None = None) -> Source:
        """Watch a non-blocking socket from now on; `decoder` decrypts what is read from it."""
        source = self._sources[fd] = Source(self, fd, reader, decoder)
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        return source

    def forget(self, fd: int) -> None:
        """Stop watching. Called by :meth:`Source.close`."""
        del self._sources[fd]
        with suppress(OSError):  # it is closed already
            self._epoll.unregister(fd)

    async def run(self) -> NoReturn:
        """Read until cancelled."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                while self._pass():
                    await trio.lowlevel.checkpoint()
        finally:
            self._epoll.close()

    def _pass(self) -> bool:
        """Make one pass; return True if another may find something."""
        if not self._events:
            self._events.extend(self._epoll.poll(0, MOST))
        ends = time.perf_counter() + SLICE
        submissions: list[Submission] = []
        while self._events:
            fd, flags = self._events.popleft()
            source = self._sources.get(fd)
            if source is not None:
                submission = source.arrived(flags)
                if submission is not None:
                    submissions.append(submission)
            if time.perf_counter() > ends:
                break
        if submissions:
            self._submit(submissions)
        return bool(self._events)
