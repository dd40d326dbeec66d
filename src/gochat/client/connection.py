"""One connection to a server: its transport, replies matched to requests, heartbeats.

What may be sent and received when is in :mod:`gochat.protocol.connection`. It knows nothing of
conversations or reconnecting.
"""

from __future__ import annotations

import logging
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar

import anyio
from anyio.abc import ByteStream
from msgspec import structs

from gochat.client import address as addresses
from gochat.client import recognition
from gochat.client.address import Address
from gochat.client.errors import INVALID_REPLY, chat_error
from gochat.client.options import InternalOptions
from gochat.client.replies import check_order, checked, no_answer
from gochat.client.tasks import background
from gochat.errors import (
    ConnectionLost,
    FrameError,
    LocalProtocolError,
    MalformedMessage,
    ProtocolError,
    UnexpectedMessage,
    UnknownMessageType,
)
from gochat.protocol import connection as protocol
from gochat.protocol.connection import Role
from gochat.protocol.framing import MAX_FRAME_SIZE, FrameDecoder
from gochat.protocol.messages import (
    ActivityChanged,
    Blocked,
    Bye,
    ChangePassword,
    Error,
    Event,
    Invited,
    IsTyping,
    Login,
    Marked,
    Message,
    NewLogin,
    Ping,
    Pong,
    Presence,
    Register,
    Reply,
    ReportClosed,
    Reported,
    Request,
    Resume,
    RoleChanged,
    SavedChanged,
    ServerMessage,
    Unblocked,
    Uninvited,
)

logger = logging.getLogger(__name__)

#: A read from the socket, in bytes.
READ_SIZE: Final = 64 * 1024
#: The largest frame that is accepted, in bytes: the maximum of the server's setting, whose value is
#: known only after the login. A length that is not a gochat frame's is still caught.
MAX_RECEIVED_FRAME: Final = 16 * 1024 * 1024
#: How many of the program's requests may wait for their replies at once; others wait to be sent.
MAX_REQUESTS: Final = 64
#: Frames without a reply (typing, pong, ping) are dropped while this many wait to be written.
MAX_UNWRITTEN: Final = 256
#: How long closing may take, in seconds. There is nothing left to send by then.
CLOSE_TIMEOUT: Final = 1.0
#: Requests that the server may queue, because a password must be hashed; and Resume, which it may
#: queue with them.
MAY_WAIT: Final = (Register, Login, Resume, ChangePassword)

R = TypeVar("R", bound=Reply)


class Receiver(Protocol):
    """What a connection delivers to, in the order of arrival. The first two must not raise."""

    def received(self, event: Event) -> None:
        """Handle an event."""
        ...

    def replied(self, request: Request, reply: Reply) -> None:
        """Handle the reply to `request`, whether a task still waits for it or not."""
        ...

    async def wait_for_room(self) -> None:
        """Wait until more may be read."""
        ...

    def expect_reply(self, *, is_due: bool) -> None:
        """Set whether a request waits for its reply, which comes after events."""
        ...


class NullReceiver:
    """Ignores all that the server sends unasked."""

    def received(self, event: Event) -> None:
        """Ignore it."""

    def replied(self, request: Request, reply: Reply) -> None:
        """Ignore it."""

    async def wait_for_room(self) -> None:
        """Read on."""

    def expect_reply(self, *, is_due: bool) -> None:
        """Ignore it."""


class _Waiter:
    """A request's wait for its reply."""

    __slots__ = ("arrived", "reply")

    def __init__(self) -> None:
        self.arrived = anyio.Event()
        self.reply: Reply | None = None


class Connection:
    """An open connection; made by :func:`open_connection`.

    It ends once, for one reason: `lost` is then set, and every waiting and later call raises it.
    """

    def __init__(self, stream: ByteStream, receiver: Receiver, options: InternalOptions) -> None:
        self.lost: ConnectionLost | None = None
        self._protocol = protocol.Connection(Role.CLIENT, framing=FrameDecoder(MAX_RECEIVED_FRAME))
        self.accept_frames(MAX_FRAME_SIZE)
        self._stream = stream
        self._receiver = receiver
        self._options = options
        self._ended = anyio.Event()
        self._requests: dict[str, tuple[Request, _Waiter | None]] = {}
        self._numbers = 0
        self._slots = anyio.Semaphore(MAX_REQUESTS, fast_acquire=True)
        self._unwritten: deque[bytes] = deque()
        self._write_wanted = anyio.Event()
        self._is_paused = False  # whether reading waits for room
        self._last_heard = options.clock.now()

    # -- for the owner --------------------------------------------------------------------------

    @property
    def bye(self) -> Bye | None:
        """The server's `bye`, if it sent one."""
        return self._protocol.bye

    def accept_frames(self, size: int) -> None:
        """Set the server's limit on a frame's body, in bytes."""
        self._protocol.max_sent_size = size

    async def request(self, request: Request) -> Reply:
        """Send `request`, and wait for its reply, which may be an `Error`.

        Requests are sent in the order of the calls. Cancelling it cancels only the waiting.

        Raises:
            ChatError: the server would refuse it, because it doesn't fit a frame, or for the state
                of the connection; nothing is sent.
            ConnectionLost: the connection ended before the reply came.
        """
        await self._slots.acquire()
        waiter = _Waiter()
        try:
            self.post(request, waiter)
        except BaseException:
            self._slots.release()
            raise
        # From here on the reply frees the slot: a cancelled request is still outstanding.
        await waiter.arrived.wait()
        if waiter.reply is None:
            raise self._loss()
        return waiter.reply

    async def ask(self, request: Request, expected: type[R], /) -> R:
        """Return the reply to `request`, which is of the type `expected`.

        A server that doesn't answer within the request timeout is unusable: the connection ends.
        Requests that need a password to be hashed may take longer, as long as the server answers
        heartbeats. Raises as :meth:`request` does, and ChatError if the server refuses.
        """
        if isinstance(request, MAY_WAIT):
            return checked(await self.request(request), expected)
        with anyio.move_on_after(self._options.request_timeout):
            return checked(await self.request(request), expected)
        self.end(no_answer(self._options))
        raise ConnectionLost(no_answer(self._options))

    def post(self, request: Request, waiter: _Waiter | None = None) -> None:
        """Send `request` without waiting; its reply goes only to the receiver.

        The caller bounds the number of these. Raises as :meth:`request` does.
        """
        if self.lost is not None:
            raise self._loss()
        number = f"r{self._numbers + 1}"
        frame = self._frame(structs.replace(request, request_id=number))
        self._numbers += 1
        self._requests[number] = (request, waiter)
        self._receiver.expect_reply(is_due=True)
        self._write(frame)

    def send(self, request: Request) -> None:
        """Send a frame without a reply; dropped if the connection is lost or too much waits."""
        if self.lost is None and len(self._unwritten) < MAX_UNWRITTEN:
            self._write(self._frame(request))

    def end(self, reason: str) -> None:
        """Declare the connection lost. Only the first reason counts."""
        if self.lost is not None:
            return
        self.lost = ConnectionLost(reason)
        for _, waiter in self._requests.values():
            self._answer(waiter, None)
        self._requests.clear()
        self._receiver.expect_reply(is_due=False)
        self._ended.set()

    async def wait_lost(self) -> ConnectionLost:
        """Wait until the connection ends, and return why."""
        await self._ended.wait()
        return self._loss()

    # -- the three tasks ------------------------------------------------------------------------

    async def read(self) -> None:
        """Read frames until the connection ends."""
        try:
            while self.lost is None:
                await self._wait_for_room()
                self._protocol.receive_data(await self._stream.receive(READ_SIZE))
                self._last_heard = self._options.clock.now()
                while self._take():
                    pass
        except FrameError:
            self.end("the server does not speak gochat: if it uses TLS, use gochats://")
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            self.end("the server closed the connection")

    async def write(self) -> None:
        """Write queued frames. Only one task does this: a cancelled write leaves half a frame
        behind, after which the stream is unusable."""
        try:
            while True:
                await self._write_wanted.wait()
                self._write_wanted = anyio.Event()
                frames = b"".join(self._unwritten)
                self._unwritten.clear()
                await self._stream.send(frames)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            # The server's last frames, a `bye` above all, may still be readable: the reader finds
            # the end itself, unless it is paused.
            if self._is_paused:
                self.end("the server closed the connection")

    async def watch(self) -> None:
        """Ping the server after a quiet period, and end a dead connection."""
        options = self._options
        clock = options.clock
        while True:
            quiet = clock.now() - self._last_heard
            if quiet < options.heartbeat_interval:
                await clock.sleep(options.heartbeat_interval - quiet)
                continue
            self.send(Ping())
            if self._is_paused:
                # Reading is paused, so no pong can arrive: the ping only shows that we are alive.
                await clock.sleep(options.heartbeat_interval)
                continue
            heard = self._last_heard
            await clock.sleep(options.heartbeat_grace)
            if self._last_heard == heard and not self._is_paused:
                self.end(f"no answer from the server for {clock.now() - heard:.0f} s")
                return

    # -- inside ---------------------------------------------------------------------------------

    async def _wait_for_room(self) -> None:
        self._is_paused = True
        try:
            await self._receiver.wait_for_room()
        finally:
            self._is_paused = False
            self._last_heard = self._options.clock.now()

    def _take(self) -> bool:
        """Handle the next message that has arrived. Return whether there may be another one."""
        try:
            message = self._protocol.next_message()
            if message is None:
                return False
            check_order(message)
        except UnknownMessageType as error:
            logger.debug("ignored: %s", error)
            self._fail(error.request_id, error)
        except (MalformedMessage, UnexpectedMessage) as error:
            logger.warning("unusable message from the server: %s", error)
            self._fail(error.request_id, error)
        else:
            try:
                self._dispatch(message)
            except ProtocolError as error:
                logger.warning("the connection is closed: %s", error)
                self.end(str(error))
        return self.lost is None

    def _dispatch(self, payload: ServerMessage) -> None:
        if isinstance(payload, Ping):
            self.send(Pong(request_id=payload.request_id))
        elif isinstance(payload, Bye):
            self.end(payload.text or f"the server closed the connection: {payload.reason}")
        elif isinstance(
            payload,
            Message | Presence | Marked | ActivityChanged | SavedChanged | RoleChanged
            | Invited | Uninvited | Blocked | Unblocked | IsTyping | Reported | ReportClosed
            | NewLogin,
        ):  # fmt: skip
            self._receiver.received(payload)
        else:
            self._reply(payload)

    def _reply(self, reply: Reply) -> None:
        found = self._requests.pop(reply.request_id, None) if reply.request_id else None
        if found is not None:
            request, waiter = found
            self._receiver.expect_reply(is_due=bool(self._requests))
            self._receiver.replied(request, reply)
            self._answer(waiter, reply)
        elif isinstance(reply, Error):
            logger.debug("the server refused something: %s", reply.text)

    def _fail(self, request_id: str | None, error: ProtocolError) -> None:
        if request_id is not None:
            text = f"invalid answer from the server: {error}"
            self._reply(Error(request_id=request_id, code=INVALID_REPLY, text=text))

    def _answer(self, waiter: _Waiter | None, reply: Reply | None) -> None:
        if waiter is not None:
            waiter.reply = reply
            waiter.arrived.set()
            self._slots.release()

    def _frame(self, request: Request) -> bytes:
        try:
            return self._protocol.send(request)
        except LocalProtocolError as error:
            raise chat_error(error.code, str(error)) from error

    def _write(self, frame: bytes) -> None:
        self._unwritten.append(frame)
        self._write_wanted.set()

    def _loss(self) -> ConnectionLost:
        # A new exception each time: one object raised in several tasks mixes their tracebacks.
        return ConnectionLost(*self.lost.args) if self.lost is not None else ConnectionLost()


@asynccontextmanager
async def open_connection(
    address: Address,
    ssl_context: ssl.SSLContext | None,
    receiver: Receiver,
    options: InternalOptions,
) -> AsyncIterator[Connection]:
    """Connect to `address`. Leaving the block closes the connection.

    If the address names a key file, the server must first prove that it has the key: until then
    nothing else is sent to it. What it sends unasked does not reach the receiver before a login.

    Raises:
        ConnectionLost: the server can't be reached, or did not prove itself.
    """
    key = None if address.key_file is None else recognition.read_key(address, address.key_file)
    stream = await addresses.connect(
        address,
        ssl_context,
        connect_timeout=options.connect_timeout,
        tls_timeout=options.tls_timeout,
    )
    try:
        connection = Connection(stream, receiver, options)
        async with background() as tasks:
            for task in (connection.read, connection.write, connection.watch):
                tasks.start_soon(task)
            try:
                if key is not None:
                    await recognition.recognise(connection.ask, address, key)
                yield connection
            finally:
                connection.end("the connection was closed")
    finally:
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await stream.aclose()
