"""The intake: one task that reads for all sessions which wait for their peer.

Most of what a message costs, if each session's task reads for itself, is waiting: a task switch to
read, one for the commit, another change of thread. So one task watches the sockets of all sessions
with an edge-triggered ``epoll`` of its own. It reads what has arrived, and messages that need no
waiting are *taken* right there: checked and drafted (:mod:`.plain_sends`), up to :data:`MOST` in
one step of the event loop, committed together, delivered and acknowledged. Everything else is
passed on to the session's task, which handles it as if it had read it itself.

Messages that are more than that line up, and everything else overtakes them: however many people
write at the same time, a ping or a page waits for a few steps, not until all of them are served.
While there is something else, the steps are shorter: a commit for every :data:`MOST_BESIDE`
messages costs more than for :data:`MOST`, but a login waits for some ten steps. The next are taken
when the store has few of those before, so that what it settles at once is little, too; or, since a
slow disk settles the more at once the better, after :data:`STORE_SLICE`.

A crowd that logs in, or leaves, at the same moment is many tasks, which would all run before
anything else. So a few of them are woken in each step, after messages were taken.

A session whose task has read messages by itself, because they were there when it was done with
something else, has them line up in the same way: so one request that is not plain does not make all
that follow it dearer.

The order of a session's requests stays that in which they arrived: the intake reads only while the
session's task waits for its peer with nothing on its hands, and not while messages of that session
are lined up or being committed.

Systems without ``epoll`` have no intake: there each session's task reads.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Final, NoReturn, Protocol

import structlog
import trio

from gochat.chat.log import Done, Outcomes, Submission
from gochat.errors import StoreUnavailable
from gochat.server.sockets import READ_SIZE

log = structlog.stdlib.get_logger()

#: Messages that are taken in one step, if there is nothing else: enough to share a commit, and in
#: rooms the writes to those who are in them. With 64, or 256, a tenth fewer private messages went
#: through.
MOST: Final = 128
#: The same beside other requests. Measured beside private messages flat out (a ping's median, and
#: what a login takes beyond its hash): 45 and 304 ms with 64, 9 and 73 ms with 16. With 8 the
#: messages are a fifth fewer.
MOST_BESIDE: Final = 16
#: Seconds for which others count as having requests after one has arrived.
BESIDE: Final = 0.1
#: Seconds after which a step that takes messages ends, and the event loop has its turn.
SLICE: Final = 0.012
#: The same of one that reads.
READ_SLICE: Final = 0.005
#: Steps whose messages the store may have before no more are taken: it works on some while others
#: wait, and settles them at once.
STEPS_UNSETTLED: Final = 2
#: Seconds after which :data:`MOST` more are taken, although the store has not settled those before.
STORE_SLICE: Final = 0.02
#: What passing on to the session's task counts: it takes so much longer.
_APART: Final = 8
#: Sessions that are woken in one step: what each does takes some tenths of a millisecond.
MOST_WOKEN: Final = 32
#: Sockets of which the kernel tells at once.
_EVENTS: Final = 1024
#: Bytes of messages that may be lined up before no more is read.
MOST_BYTES: Final = 4 * 1024 * 1024


class Decoder(Protocol):
    """Decrypts what is read: see :class:`gochat.server.tls.TlsStream`."""

    is_over: bool

    def decrypt(self, data: bytes) -> bytes | None:
        """Return what `data` decrypts to; None if that needs more bytes, b"" at the end."""

    def decrypted(self) -> bytes | None:
        """Return what can be decrypted of what was read before."""


class Reader(Protocol):
    """A session for which the intake reads."""

    def may_take(self, data: bytes) -> bool:
        """Return whether :meth:`take` might take `data`, by a glance at it."""

    def take(self, data: bytes) -> Submission | None:
        """Return what to append, if that is all that `data` is about, and else None."""


class Source:
    """A session's socket, read by the session's task or, while that waits, by the intake."""

    __slots__ = (
        "_arrived", "_decoder", "_fd", "_flags", "_intake", "_is_held", "_is_open", "_is_readable",
        "_last_size", "_late", "_reader", "_takes_messages", "_task",
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
        #: What was read, in a tuple, for the task, whose turn to be woken has not come yet.
        self._late: tuple[bytes | trio.BrokenResourceError | None] | None = None
        #: Something may be there, although no event announces it any more; and what events said.
        self._is_readable = False
        self._flags = select.EPOLLIN
        #: The task that waits in :meth:`read`.
        self._task: trio.lowlevel.Task | None = None
        self._reader: Final = reader
        #: Messages need not be passed on to the task.
        self._takes_messages = False
        #: Messages are lined up, or taken and not settled yet: nothing is read meanwhile.
        self._is_held = False

    async def read(self, *, takes_messages: bool = False) -> bytes | None:
        """Wait for bytes; return b"" at the end, and None after :meth:`wake`. A checkpoint.

        With `takes_messages` messages that can be are taken meanwhile, and not returned. If
        cancelled, it has read nothing. Raises BrokenResourceError.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._late is not None:
            await trio.lowlevel.checkpoint()
            return self._returned(self._take_late())
        if self._decoder is not None and (data := self._decoder.decrypted()) is not None:
            return data
        while self._is_readable:
            await trio.lowlevel.checkpoint()
            try:
                data = self._read()
            except BlockingIOError:
                self._is_readable = False
                continue
            if data is None:
                continue
            if takes_messages and not self._intake.is_full and self._may_line_up(data):
                self._intake.line_up(self, data)
                break
            return data

        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._task = trio.lowlevel.current_task()
        self._takes_messages = takes_messages
        self._arrived = None
        await trio.lowlevel.wait_task_rescheduled(abort)
        arrived, self._arrived = self._arrived, None
        return self._returned(arrived)

    @staticmethod
    def _returned(arrived: bytes | trio.BrokenResourceError | None) -> bytes | None:
        if isinstance(arrived, Exception):
            raise arrived
        return arrived

    def _take_late(self) -> bytes | trio.BrokenResourceError | None:
        assert self._late is not None
        (arrived,), self._late = self._late, None
        return arrived

    def wake_late(self) -> None:
        """Wake the task with what was read for it, if it waits, and has not got that otherwise."""
        if self._late is not None and self._task is not None:
            self.wake(self._take_late())

    def _wake_in_turn(self, arrived: bytes | trio.BrokenResourceError | None) -> None:
        self._late = (arrived,)
        self._intake.wake_in_turn(self)

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
        """Read again, once what was taken is settled: messages line up without the task."""
        self._is_held = False
        if not self._is_readable:
            return
        if self._intake.is_full:
            self.wake()
        elif (data := self.arrived(self._flags)) is not None:
            self._intake.line_up(self, data)
        else:
            self.wake_late()

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

    def arrived(self, flags: int) -> bytes | None:
        """Read after an event; return what is to line up, if anything."""
        if self._task is None or self._is_held or self._late is not None:
            self._is_readable, self._flags = True, self._flags | flags
            return None
        self._flags = flags
        try:
            data = self._read()
        except BlockingIOError:
            self._is_readable = False
            return None
        except trio.BrokenResourceError as error:
            self._wake_in_turn(error)
            return None
        # After a short read of a stream the next byte makes an event, but an end that has been
        # announced already does not.
        self._is_readable = flags != select.EPOLLIN or self._last_size == READ_SIZE
        if data is None:
            if self._is_readable:
                self._wake_in_turn(None)
            return None
        if self._takes_messages and not self._is_readable and self._may_line_up(data):
            return data
        self._wake_in_turn(data)
        return None

    def _may_line_up(self, data: bytes) -> bool:
        """Return whether `data` is to line up; then nothing is read until it is settled."""
        is_over = self._decoder is not None and self._decoder.is_over
        self._is_held = self._last_size < READ_SIZE and not is_over and self._reader.may_take(data)
        return self._is_held

    def take(self, data: bytes) -> Submission | None:
        """Return what to append for `data`, which was lined up; None if that is not all."""
        if self._task is None or not self._is_open:  # the session has ended meanwhile
            return None
        try:
            submission = self._reader.take(data)
        except Exception:  # a bug: it must not end the intake
            log.exception("intake failed")
            submission = None
        if submission is None:
            self.wake(data)
        return submission


class Intake:
    """Watches sockets. Open a source for each of them, and :meth:`run` it once.

    `submit` appends what one step has taken.
    """

    def __init__(self, submit: Callable[[list[Submission]], None]) -> None:
        self._epoll = select.epoll()
        self._sources: dict[int, Source] = {}
        self._events: deque[tuple[int, int]] = deque()  # seen, and not acted on yet
        self._submit = submit
        self._to_wake: deque[Source] = deque()
        self._line: deque[tuple[Source, bytes]] = deque()
        self._line_bytes = 0
        self._unsettled = 0  # messages that the store has
        self._passed_on = -inf  # the time at which something else was read than messages
        # Set for the tasks that take and that read, which replace them.
        self._may_take = trio.Event()
        self._may_read = trio.Event()

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

    def wake_in_turn(self, source: Source) -> None:
        """Wake a source's task with what was read for it. Called by :meth:`Source.arrived`."""
        self._passed_on = trio.current_time()
        self._to_wake.append(source)

    def _wake(self, most: int) -> None:
        for _ in range(min(most, len(self._to_wake))):
            self._to_wake.popleft().wake_late()

    async def run(self) -> NoReturn:
        """Read until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take_on)
                while True:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    while self._read():
                        if self.is_full:
                            self._wake(len(self._to_wake))
                            self._may_read = trio.Event()
                            await self._may_read.wait()
                        else:
                            await trio.lowlevel.checkpoint()
        finally:
            self._epoll.close()

    def _read(self) -> bool:
        """Read in one step, take what has arrived and wake whom it is for; return True if there is
        more of this to do."""
        was_idle = not self._line
        if not self._events:
            self._events.extend(self._epoll.poll(0, _EVENTS))
        ends = time.perf_counter() + READ_SLICE
        while self._events and not self.is_full:
            fd, flags = self._events.popleft()
            source = self._sources.get(fd)
            if source is not None and (data := source.arrived(flags)) is not None:
                self._append(source, data)
            if time.perf_counter() > ends:
                break
        if self._line:
            if was_idle and self._has_room():  # or else it is the other task's turn
                self._take(self._most())
            if self._line:
                self._may_take.set()
        self._wake(MOST_WOKEN)
        return bool(self._events or self._to_wake)

    @property
    def is_full(self) -> bool:
        """True if so much is lined up that no more is read."""
        return self._line_bytes >= MOST_BYTES

    def line_up(self, source: Source, data: bytes) -> None:
        """Have messages taken that were not read here, in a step of the intake's own."""
        self._append(source, data)
        self._may_take.set()

    def _append(self, source: Source, data: bytes) -> None:
        self._line.append((source, data))
        self._line_bytes += len(data)

    async def _take_on(self) -> NoReturn:
        """Take what is lined up and was not taken where it was read."""
        while True:
            if self._line and self._has_room():
                self._take(self._most())
                await trio.lowlevel.checkpoint()
                continue
            self._may_take = trio.Event()
            if not self._line:
                await self._may_take.wait()
                continue
            with trio.move_on_after(STORE_SLICE) as waiting:
                await self._may_take.wait()
            if waiting.cancelled_caught:
                self._take(MOST)

    def _most(self) -> int:
        is_beside = trio.current_time() - self._passed_on < BESIDE
        return MOST_BESIDE if is_beside else MOST

    def _has_room(self) -> bool:
        """Return whether the store may be given more messages before it settles others."""
        return self._unsettled < STEPS_UNSETTLED * self._most()

    def _take(self, most: int) -> None:
        """Take messages in one step."""
        ends = time.perf_counter() + SLICE
        submissions: list[Submission] = []
        number = 0
        while self._line and number < most and time.perf_counter() < ends:
            source, data = self._line.popleft()
            self._line_bytes -= len(data)
            submission = source.take(data)
            if submission is None:
                number += _APART
            else:
                drafts, done = submission
                number += len(drafts)
                self._unsettled += len(drafts)
                submissions.append(Submission(drafts, partial(self._settled, len(drafts), done)))
        if not self.is_full:
            self._may_read.set()
        if submissions:
            self._submit(submissions)

    def _settled(self, number: int, done: Done, outcomes: Outcomes | StoreUnavailable) -> None:
        self._unsettled -= number
        if self._line:
            self._may_take.set()
        done(outcomes)
