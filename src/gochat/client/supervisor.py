"""Keep one login alive over many connections. Requests over them are in requester.py."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
from msgspec import structs

from gochat.client.address import Address
from gochat.client.backoff import Backoff, spread
from gochat.client.connection import Connection, NullReceiver, open_connection
from gochat.client.errors import (
    VOID_TOKEN,
    AlreadyLoggedIn,
    ClientClosed,
    NotConnected,
    RateLimited,
)
from gochat.client.events import ConnectionState
from gochat.client.options import Clock, InternalOptions
from gochat.client.replies import bounded
from gochat.client.session import Session
from gochat.client.sync_state import SyncState
from gochat.errors import ChatError, ConnectionLost, ErrorCode
from gochat.protocol import messages as wire
from gochat.protocol.messages import ByeReason, Capability

#: A connection that lasted this long (seconds) resets the backoff.
STABLE_AFTER: Final = 10.0

_CAPS: Final = tuple(Capability)

#: The reasons after which the client must not reconnect by itself: the session was revoked, newer
#: connections of the account have replaced this one (each would replace another for ever), this
#: address is banned, or the server does not understand this client.
_FINAL: Final = frozenset(
    {
        ByeReason.SESSION_REVOKED,
        ByeReason.REPLACED,
        ByeReason.ADDRESS_BANNED,
        ByeReason.PROTOCOL_ERROR,
    }
)
#: The reasons sent to a client whose login request did not arrive in time.
_LATE: Final = frozenset({ByeReason.LOGIN_TIMEOUT, ByeReason.FRAME_TIMEOUT})

R = TypeVar("R", bound=wire.Reply)


class _LoginAttempt:
    """The program's request to log in, until its outcome is known."""

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


class ConnectionSupervisor:
    """Connects, logs in, and reconnects until closed. :meth:`run` must run meanwhile."""

    def __init__(
        self,
        address: Address,
        sync_state: SyncState,
        ssl_context: ssl.SSLContext | None,
        options: InternalOptions,
    ) -> None:
        self._address = address
        self._sync_state = sync_state
        # Made once: loading the authorities takes tens of milliseconds.
        is_default = address.tls and ssl_context is None
        self._ssl_context = ssl.create_default_context() if is_default else ssl_context
        self._options = options
        self._clock: Clock = options.clock
        self._login: _LoginAttempt | None = None
        self._connection: Connection | None = None  # the one that is logged in
        self._reason = "log in first"  # why there is none
        self._pause: anyio.CancelScope | None = None  # between two attempts to connect
        self._changed = anyio.Event()  # of the login, the state or the connection
        self._is_closed = False

    # -- the program's side ---------------------------------------------------------------------

    def close(self) -> None:
        """Close the client: requests from now on raise ClientClosed."""
        self._is_closed = True
        self._reason = "the client was closed"
        if self._login is not None and not self._login.is_settled:
            self._login.settle(ClientClosed(self._reason))
        self._sync_state.close()
        self._change()

    def check_open(self) -> None:
        """Raise ClientClosed if the client was closed."""
        if self._is_closed:
            raise ClientClosed(self._reason)

    async def log_in(self, request: wire.Login | wire.Resume) -> None:
        """Log in, and stay logged in; return or raise when the outcome is known."""
        self.check_open()
        if self._sync_state.state is not ConnectionState.OFFLINE:
            raise AlreadyLoggedIn("you are logged in: log out first")
        login = self._login = _LoginAttempt(request)
        self._become(ConnectionState.CONNECTING)
        try:
            await login.wait()
        finally:
            if not login.is_settled:
                login.scope.cancel()
                self._end("the login was cancelled", login)
        if login.error is not None:
            raise login.error

    async def log_out(self) -> None:
        """Revoke the token, and go offline."""
        login, token, connection = self._login, self._sync_state.token, self._connection
        try:
            if connection is not None:
                await connection.ask(wire.Logout(), wire.LoggedOut)
            elif token is not None:
                raise ConnectionLost(
                    "logged out here only: not connected, so the server was not notified"
                )
        finally:
            self._sync_state.log_out()
            if login is not None:
                login.scope.cancel()
                self._end("logged out", login)

    def reconnect_now(self) -> None:
        """Make the next attempt to connect at once, or as soon as the server allows it."""
        if self._pause is not None:
            self._pause.cancel()

    # -- for requests ---------------------------------------------------------------------------

    @property
    def connection(self) -> Connection | None:
        """The connection that is logged in, if there is one now."""
        return self._connection

    async def connected(self) -> Connection:
        """Wait for a connection that is logged in. Raises as :meth:`require_online`."""
        while True:
            self.require_online()
            if self._connection is not None and self._connection.lost is None:
                return self._connection
            await self._changed.wait()

    def require_online(self) -> None:
        """Raise ClientClosed or NotConnected if no connection is to be expected."""
        self.check_open()
        if self._sync_state.state is ConnectionState.OFFLINE:
            raise NotConnected(f"not connected: {self._reason}")

    async def ask_aside(self, request: wire.Request, expected: type[R]) -> R:
        """Return the reply to `request`, over a connection of its own that is not logged in."""
        self.check_open()
        async with open_connection(
            self._address, self._ssl_context, NullReceiver(), self._options
        ) as connection:
            return await connection.ask(request, expected)

    # -- staying connected ----------------------------------------------------------------------

    async def run(self) -> None:
        """Log in when requested, until cancelled."""
        while True:
            login = self._login
            if login is not None and not login.scope.cancel_called:
                with login.scope:
                    await self._keep(login)
                if self._login is login:
                    self._login = None
            else:
                await self._changed.wait()

    async def _keep(self, login: _LoginAttempt) -> None:
        """Log in, and stay logged in until the server or the program ends it."""
        options = self._options
        backoff = Backoff(options.backoff_base, options.backoff_cap, options.random)
        request = login.request
        while True:
            end = await self._live(request, login)
            reason = str(end.error)
            has_to_wait = end.is_rate_limited and isinstance(request, wire.Resume)
            was_decided = not (end.was_not_looked_at or has_to_wait)
            if end.is_final or (was_decided and not login.is_settled):
                if end.revokes_token:
                    self._sync_state.token = self._sync_state.token_expires = None
                login.settle(end.error)
                self._end(reason, login)
                return
            if end.lasted >= STABLE_AFTER:
                backoff.reset()
            state = ConnectionState.RECONNECTING if login.is_settled else ConnectionState.CONNECTING
            await self._wait(
                max(backoff.next(), spread(options.random, end.retry_after)),
                end.retry_after,
                reason,
                state,
            )
            self._become(state, None, reason)
            if not login.is_settled:
                continue
            token = self._sync_state.token
            assert token is not None
            request = wire.Resume(token=token)

    async def _wait(self, delay: float, least: float, reason: str, state: ConnectionState) -> None:
        """Wait before the next attempt. :meth:`reconnect_now` shortens it, but not below
        `least`."""
        begun = self._clock.now()
        self._become(state, delay + least, reason)
        try:
            with anyio.CancelScope() as self._pause:
                await self._clock.sleep(delay + least)
                return
        finally:
            self._pause = None
        if (remainder := begun + least - self._clock.now()) > 0:
            self._become(state, remainder, reason)
            await self._clock.sleep(remainder)

    async def _live(
        self, request: wire.Login | wire.Resume, login: _LoginAttempt
    ) -> _ConnectionEnd:
        """Connect, log in, and stay until the connection ends; return how it ended."""
        connection: Connection | None = None
        begun: float | None = None
        try:
            async with open_connection(
                self._address, self._ssl_context, self._sync_state, self._options
            ) as connection:
                await connection.ask(structs.replace(request, caps=_CAPS), wire.LoggedIn)
                begun = self._clock.now()
                self._connection = connection
                self._change()
                login.settle(None)
                raise await Session(connection, self._sync_state, self._options).run()
        except (ChatError, ConnectionLost) as error:
            now = self._clock.now()
            bye = None if connection is None else connection.bye
            return _ConnectionEnd(error, bye, 0.0 if begun is None else now - begun)
        finally:
            self._connection = None
            self._sync_state.connection_lost()

    # -- inside ---------------------------------------------------------------------------------

    def _become(
        self, state: ConnectionState, retry_in: float | None = None, reason: str = ""
    ) -> None:
        self._sync_state.become(state, retry_in, reason)
        self._change()

    def _end(self, reason: str, login: _LoginAttempt) -> None:
        """Go offline, unless another login has been requested meanwhile."""
        if not login.is_settled:
            login.settle(ConnectionLost(reason))
        if self._login is login:
            self._login = None
            self._reason = reason
            self._become(ConnectionState.OFFLINE, None, reason)

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@dataclass(frozen=True, slots=True)
class _ConnectionEnd:
    """How a connection ended; `lasted` (seconds) counts from the login."""

    error: ChatError | ConnectionLost
    bye: wire.Bye | None
    lasted: float

    @property
    def is_final(self) -> bool:
        """Whether the client must not reconnect by itself."""
        if isinstance(self.error, ChatError):
            return self.error.code in VOID_TOKEN
        return self.bye is not None and self.bye.reason in _FINAL

    @property
    def was_not_looked_at(self) -> bool:
        """Whether the server decided nothing: it was too busy, or the request came too late, as it
        does when this program was stopped, or starved of processor time."""
        if isinstance(self.error, ChatError):
            return self.error.code == ErrorCode.BUSY
        return self.bye is not None and self.bye.reason in _LATE

    @property
    def is_rate_limited(self) -> bool:
        """Whether there were too many requests. A login may have been limited for wrong passwords,
        which the person should see; with a token, waiting is enough."""
        return isinstance(self.error, RateLimited)

    @property
    def revokes_token(self) -> bool:
        """Whether the token is no longer valid."""
        return self.is_final and (self.bye is None or self.bye.reason == ByeReason.SESSION_REVOKED)

    @property
    def retry_after(self) -> float:
        """The delay in seconds that the server asks for, or 0."""
        if isinstance(self.error, ChatError):
            return self.error.retry_after or 0.0
        return (self.bye and bounded(self.bye.retry_after)) or 0.0
