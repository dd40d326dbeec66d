"""One login kept alive over many connections: reconnecting, resuming, gaps and the outbox."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
from anyio.lowlevel import checkpoint
from msgspec import structs

from gochat.client import pages
from gochat.client.address import Address
from gochat.client.backoff import Backoff
from gochat.client.buffer import EventBuffer
from gochat.client.connection import Connection, open_connection
from gochat.client.events import (
    ClientEvent,
    ConnectionState,
    OutgoingChanged,
    Reset,
    StateChanged,
    Synchronised,
)
from gochat.client.inbox import Inbox
from gochat.client.options import ClientOptions, Clock
from gochat.client.outbox import RETRYABLE, Outbox
from gochat.client.outgoing import Outgoing
from gochat.client.tasks import background
from gochat.client.timeline import After, Want
from gochat.errors import ChatError, ConnectionLost, ErrorCode
from gochat.protocol import messages as wire
from gochat.protocol.messages import ByeReason, Capability, Limits, Message

#: A connection that lasted so long (seconds) was a good one: the next attempts start over.
STABLE_AFTER: Final = 10.0
#: How long to wait (seconds) before asking again after a refusal that doesn't say.
RETRY_AFTER: Final = 1.0
#: The most entries that the protocol lets one ask for.
MAX_PAGE: Final = 200

_CAPS: Final = tuple(Capability)

#: The server's last words after which coming back by itself would be wrong: somebody has ended
#: this session.
_FINAL: Final = frozenset({ByeReason.SESSION_REVOKED})

R = TypeVar("R", bound=wire.Reply)


class _Order:
    """The program's wish to log in, until it is known how that went."""

    def __init__(self, request: wire.Login | wire.Resume) -> None:
        self.request = request
        self.scope = anyio.CancelScope()
        self.error: ChatError | ConnectionLost | None = None
        self._settled = anyio.Event()

    @property
    def is_settled(self) -> bool:
        return self._settled.is_set()

    def settle(self, error: ChatError | ConnectionLost | None) -> None:
        self.error = error
        self._settled.set()

    async def wait(self) -> None:
        await self._settled.wait()


class Link:
    """What is behind a :class:`~gochat.client.Client`. :meth:`run` must run all the while."""

    def __init__(
        self,
        address: Address,
        outbox: Outbox,
        ssl_context: ssl.SSLContext | None,
        options: ClientOptions,
    ) -> None:
        self.state = ConnectionState.OFFLINE
        self.name: str | None = None
        self.token: str | None = None
        self.token_expires: int | None = None
        self.limits: Limits | None = None
        self.server: str | None = None
        self._address = address
        # Made once: reading the authorities takes tens of milliseconds.
        is_default = address.tls and ssl_context is None
        self._ssl_context = ssl.create_default_context() if is_default else ssl_context
        self._options = options
        self._clock: Clock = options.clock
        self._outbox = outbox
        self._inbox = Inbox()
        self._buffer = EventBuffer()
        self._buffer.on_taken = self._read_on
        self._order: _Order | None = None
        self._connection: Connection | None = None  # the one that is logged in
        self._reason = ""  # why the client is offline
        # When the last connection was last good; None while there is one that has caught up.
        self._good_until: float | None = 0.0
        self._changed = anyio.Event()  # of `state` or `_connection`
        self._outbox_changed = anyio.Event()
        self._gap_found = anyio.Event()
        self._is_closed = False

    # -- the program's side ---------------------------------------------------------------------

    def events(self) -> AsyncIterator[ClientEvent]:
        """Return the one stream of events."""
        return self._buffer

    def close(self) -> None:
        """End the stream of events, and refuse what comes later."""
        self._is_closed = True
        self._reason = "the client was closed"
        self.state = ConnectionState.OFFLINE
        self._change()
        self._buffer.close()
        for outgoing in self._outbox.of(None):
            outgoing.abandon()

    async def register(self, name: str, password: str, invite: str | None) -> str:
        """Create an account, by a connection of its own."""
        request = wire.Register(name=name, password=password, invite=invite)
        receiver = _Deaf()
        async with open_connection(
            self._address, self._ssl_context, receiver, self._options
        ) as connection:
            return (await self._ask(connection, request, wire.Registered)).name

    async def log_in(self, request: wire.Login | wire.Resume) -> None:
        """Log in, and stay so; return or raise when it is known how that went."""
        if self._is_closed:
            raise ConnectionLost(self._reason)
        if self.state is not ConnectionState.OFFLINE:
            raise ChatError(ErrorCode.ALREADY_LOGGED_IN, "you are logged in: log out first")
        order = self._order = _Order(request)
        self._become(ConnectionState.CONNECTING)
        try:
            await order.wait()
        finally:
            if not order.is_settled:
                order.scope.cancel()
                self._end("the login was cancelled", order)
        if order.error is not None:
            raise order.error

    async def log_out(self) -> None:
        """Revoke the token, and be offline."""
        order, token, connection = self._order, self.token, self._connection
        try:
            if connection is not None:
                await self._ask(connection, wire.Logout(), wire.LoggedOut)
            elif token is not None:
                raise ConnectionLost(
                    "logged out here, but there is no connection to tell the server"
                )
        finally:
            self.token = self.token_expires = self.name = None
            self._inbox.forget()
            if order is not None:
                order.scope.cancel()
                self._end("logged out", order)

    async def change_password(self, old: str, new: str) -> None:
        """Set a new password, and take the new token."""
        request = wire.ChangePassword(old=old, new=new)
        await self.call(request, wire.PasswordChanged, is_repeatable=False)

    async def call(
        self, request: wire.Request, expected: type[R], *, is_repeatable: bool = True
    ) -> R:
        """Return the reply to `request`, over as many connections as it takes within the time."""
        with anyio.move_on_after(self._options.request_timeout):
            while True:
                connection = await self._connected()
                try:
                    return _checked(await connection.request(request), expected)
                except ConnectionLost:
                    if not is_repeatable:
                        raise
        raise ConnectionLost(self._no_answer())

    async def tell(self, request: wire.Request) -> None:
        """Send what has no reply, if there is a connection."""
        await checkpoint()
        if self._connection is not None:
            with suppress(ChatError):  # too long an address: nobody can be told
                self._connection.tell(request)

    def send(self, outgoing: Outgoing) -> Outgoing:
        """Put a new message into the outbox."""
        if self._is_closed:
            raise ConnectionLost(self._reason)
        outgoing.sender = self.name
        self._outbox.add(outgoing)
        self._outbox_changed.set()
        return outgoing

    def outbox(self) -> tuple[Outgoing, ...]:
        """Return what waits or has failed."""
        return self._outbox.of(self.name)

    def retry(self, outgoing: Outgoing) -> None:
        """Send a FAILED message again."""
        if self._outbox.retry(outgoing):
            self._outbox_changed.set()
            self._buffer.put([OutgoingChanged(outgoing)])

    def discard(self, outgoing: Outgoing) -> None:
        """Forget a FAILED message."""
        self._outbox.discard(outgoing)

    # -- the connection's side: the order of arrival, nothing here waits -------------------------

    def received(self, event: wire.Event) -> None:
        """Take in what the server says unasked."""
        match event:
            case Message():
                self._show(self._inbox.receive(event))
            case wire.CaughtUp():
                self._show(self._inbox.catch_up(event))
            case wire.Presence() | wire.Marked() | wire.IsTyping():
                self._buffer.put([event])
            case wire.Ping() | wire.Bye():
                pass  # the connection's own

    def replied(self, request: wire.Request, reply: wire.Reply) -> None:
        """Take in what a reply changes, at its place among the events."""
        match reply:
            case wire.LoggedIn():
                self._begin(reply)
            case wire.PasswordChanged():
                self.token, self.token_expires = reply.token, reply.expires
            case wire.Sent():
                if isinstance(request, wire.Send):
                    self._acknowledge(request.cid, reply)
                else:
                    self._outbox.spend()
                self._show(self._inbox.acknowledged(request, reply))
            case wire.Error() if isinstance(request, wire.Send) and request.cid is not None:
                self._refuse(request.cid, _error(reply))
            case _:
                pass

    def has_room(self, *, before_reply: bool) -> bool:
        """Return whether the connection may read on."""
        return self._buffer.has_room(before_reply=before_reply)

    def _read_on(self) -> None:
        if self._connection is not None:
            self._connection.read_on()

    def _begin(self, reply: wire.LoggedIn) -> None:
        self.name, self.token, self.token_expires = reply.name, reply.token, reply.expires
        self.limits, self.server = reply.limits, reply.server
        self._inbox.begin(reply.name)
        self._outbox.begin(reply.name, reply.limits)
        self._become(ConnectionState.CONNECTED)
        self._buffer.hold()  # until the picture is there

    def _show(self, shown: Iterable[Message | Reset]) -> None:
        for event in shown:
            entries = event.entries if isinstance(event, Reset) else (event,)
            for entry in entries:
                # In the log, so committed: its acknowledgement need not be waited for.
                if entry.from_ == self.name and entry.kind == "text":
                    self._acknowledge(entry.cid, _sent(entry))
            self._buffer.put([event])
            if isinstance(event, Reset):
                self._send_again(event)
        if self._inbox.wants():
            self._gap_found.set()

    def _acknowledge(self, cid: str | None, sent: wire.Sent) -> None:
        outgoing = self._outbox.acknowledge(cid, sent) if cid is not None else None
        if outgoing is not None:
            self._buffer.put([OutgoingChanged(outgoing)])
            self._outbox_changed.set()

    def _refuse(self, cid: str, error: ChatError) -> None:
        outgoing = self._outbox.refuse(cid, error)
        if outgoing is not None:
            self._buffer.put([OutgoingChanged(outgoing)])
        self._outbox_changed.set()

    def _send_again(self, event: Reset) -> None:
        since = self._clock.now() if self._good_until is None else self._good_until
        again = self._outbox.lost_by_server(event.conv, event.epoch, event.entries, since)
        self._buffer.put(OutgoingChanged(outgoing) for outgoing in again)
        self._outbox_changed.set()

    # -- staying connected ----------------------------------------------------------------------

    async def run(self) -> None:
        """Carry out orders to log in until cancelled."""
        while True:
            order = self._order
            if order is not None and not order.scope.cancel_called:
                with order.scope:
                    await self._keep(order)
                if self._order is order:
                    self._order = None
            else:
                await self._changed.wait()

    async def _keep(self, order: _Order) -> None:
        """Log in, and stay logged in until the server or the program ends it."""
        options = self._options
        backoff = Backoff(options.backoff_base, options.backoff_cap, options.random)
        request = order.request
        while True:
            end = await self._live(request, order)
            reason = str(end.error)
            if end.is_final or not order.is_settled:
                if end.is_final:
                    self.token = self.token_expires = None
                self._end(reason, order)
                order.settle(end.error)
                return
            if end.lasted >= STABLE_AFTER:
                backoff.reset()
            delay = backoff.next() + end.retry_after
            self._become(ConnectionState.RECONNECTING, delay, reason)
            await self._clock.sleep(delay)
            self._become(ConnectionState.RECONNECTING, None, reason)
            assert self.token is not None
            request = wire.Resume(token=self.token, positions=self._inbox.positions())

    async def _live(self, request: wire.Login | wire.Resume, order: _Order) -> _End:
        """Connect, log in, and stay until that ends; return how it did."""
        connection: Connection | None = None
        begun: float | None = None
        try:
            async with open_connection(
                self._address, self._ssl_context, self, self._options
            ) as connection:
                await self._ask(connection, structs.replace(request, caps=_CAPS), wire.LoggedIn)
                begun = self._clock.now()
                self._connection = connection
                self._change()
                order.settle(None)
                async with background() as tasks:
                    tasks.start_soon(self._serve, connection)
                    tasks.start_soon(self._fill_gaps, connection)
                    raise await connection.wait_lost()
        except (ChatError, ConnectionLost) as error:
            now = self._clock.now()
            bye = None if connection is None else connection.bye
            return _End(error, bye, 0.0 if begun is None else now - begun)
        finally:
            self._connection = None
            self._outbox.connection_lost()
            self._buffer.release(())
            if self._good_until is None:
                self._good_until = self._clock.now()

    async def _serve(self, connection: Connection) -> None:
        """Get the picture, then send what waits, until the connection ends."""
        try:
            await self._synchronise(connection)
            while True:
                self._outbox_changed = anyio.Event()
                self._send_waiting(connection)
                await self._wait_for_outbox(connection)
        except ConnectionLost:
            pass  # `_live` hears of it, too

    async def _synchronise(self, connection: Connection) -> None:
        async def ask(request: wire.Request, expected: type[R], /) -> R:
            return await self._ask(connection, request, expected)

        while True:
            known = self._inbox.known()
            try:
                conversations = await pages.conversations(ask)
                people = await pages.people(ask)
            except ChatError as error:
                await self._clock.sleep(error.retry_after or RETRY_AFTER)
                continue
            # Only now the outbox: a conversation with a new history is known by here, so that
            # what is sent again goes before what is new.
            self._inbox.picture(conversations, known)
            self._show(())
            self._good_until = None
            self._buffer.release([Synchronised(tuple(people), tuple(conversations))])
            return

    def _send_waiting(self, connection: Connection) -> None:
        assert self.name is not None
        while (outgoing := self._outbox.next(self.name)) is not None:
            request = wire.Send(
                to=outgoing.to, text=outgoing.text, reply_to=outgoing.reply_to, cid=outgoing.cid
            )
            try:
                connection.post(request)
            except ChatError as error:
                self._refuse(outgoing.cid, error)

    async def _wait_for_outbox(self, connection: Connection) -> None:
        assert self.name is not None
        since = self._outbox.waiting_since()
        wait = self._outbox.wait(self.name)
        if since is not None:
            left = since + self._options.request_timeout - self._clock.now()
            if left <= 0:
                connection.end(self._no_answer())
                raise ConnectionLost(self._no_answer())
            wait = left if wait is None else min(wait, left)
        await wait_at_most(self._outbox_changed, wait, self._clock)

    async def _fill_gaps(self, connection: Connection) -> None:
        """Fetch what is missing, until the connection ends."""
        try:
            while True:
                self._gap_found = anyio.Event()
                wants = self._inbox.wants()
                if not wants:
                    await self._gap_found.wait()
                    continue
                await self._clock.sleep(self._options.gap_grace)
                for conv, want in wants.items():
                    await self._fetch(connection, conv, want)
        except ConnectionLost:
            pass  # `_live` hears of it, too

    async def _fetch(self, connection: Connection, conv: str, want: Want | None) -> None:
        """Fetch pages for `conv` as long as `want` is what it wants, and each changes that."""
        assert self.limits is not None
        limit = max(1, min(MAX_PAGE, self.limits.history_page))
        while want is not None and self._inbox.wants().get(conv) == want:
            after = want.seq if isinstance(want, After) else None
            request = wire.History(conv=conv, after=after, limit=limit)
            try:
                page = await self._ask(connection, request, wire.HistoryPage)
            except ChatError as error:
                if error.code in RETRYABLE:
                    await self._clock.sleep(error.retry_after or RETRY_AFTER)
                    return
                self._show(self._inbox.skip(conv))
            else:
                self._show(self._inbox.fill(conv, page))
            before, want = want, self._inbox.wants().get(conv)
            if want == before:
                return

    # -- inside ---------------------------------------------------------------------------------

    async def _connected(self) -> Connection:
        """Wait for a connection that is logged in."""
        while True:
            if self.state is ConnectionState.OFFLINE:
                raise ConnectionLost(f"not connected: {self._reason or 'log in first'}")
            if self._connection is not None and self._connection.lost is None:
                return self._connection
            await self._changed.wait()

    async def _ask(self, connection: Connection, request: wire.Request, expected: type[R]) -> R:
        """Return the reply to `request` on this connection; a late one ends it."""
        with anyio.move_on_after(self._options.request_timeout):
            return _checked(await connection.request(request), expected)
        connection.end(self._no_answer())
        raise ConnectionLost(self._no_answer())

    def _no_answer(self) -> str:
        return f"the server gave no answer within {self._options.request_timeout:g} s"

    def _become(
        self, state: ConnectionState, retry_in: float | None = None, reason: str = ""
    ) -> None:
        self.state = state
        self._change()
        self._buffer.put([StateChanged(state, retry_in, reason)])

    def _end(self, reason: str, order: _Order) -> None:
        """Be offline, unless another order has been given meanwhile."""
        if self._order is order:
            self._order = None
            self._reason = reason
            self._become(ConnectionState.OFFLINE, None, reason)

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@dataclass(frozen=True, slots=True)
class _End:
    """How a connection ended; `lasted` counts from the login."""

    error: ChatError | ConnectionLost
    bye: wire.Bye | None
    lasted: float

    @property
    def is_final(self) -> bool:
        """Whether coming back by itself would be wrong."""
        if isinstance(self.error, ChatError):
            return self.error.code == ErrorCode.BAD_TOKEN
        return self.bye is not None and self.bye.reason in _FINAL

    @property
    def retry_after(self) -> float:
        """The seconds that the server wants us to stay away."""
        if isinstance(self.error, ChatError):
            return self.error.retry_after or 0.0
        return (self.bye and self.bye.retry_after) or 0.0


class _Deaf:
    """The receiver of a connection that is there for one request."""

    def received(self, event: wire.Event) -> None:
        """Nothing is of interest."""

    def replied(self, request: wire.Request, reply: wire.Reply) -> None:
        """The request's waiter has it."""

    def has_room(self, *, before_reply: bool) -> bool:
        """There is nothing to fill."""
        return True


async def wait_at_most(event: anyio.Event, seconds: float | None, clock: Clock) -> None:
    """Wait for `event`, and no longer than `seconds` by `clock`."""
    if seconds is None:
        await event.wait()
        return
    async with background() as tasks:

        async def alarm() -> None:
            await clock.sleep(seconds)
            event.set()

        tasks.start_soon(alarm)
        await event.wait()


def _checked(reply: wire.Reply, expected: type[R]) -> R:
    if isinstance(reply, expected):
        return reply
    if isinstance(reply, wire.Error):
        raise _error(reply)
    raise ChatError(
        ErrorCode.MALFORMED, f"the server answered with {reply.msg_type!r}, which is no answer"
    )


def _error(reply: wire.Error) -> ChatError:
    return ChatError(reply.code, reply.text, retry_after=reply.retry_after, field=reply.field)


def _sent(entry: Message) -> wire.Sent:
    return wire.Sent(to=entry.to, epoch=entry.epoch, seq=entry.seq, ts=entry.ts, cid=entry.cid)
