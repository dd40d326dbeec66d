"""Get the reply to a request, over as many connections as it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from gochat.client.backoff import spread
from gochat.client.call import Call
from gochat.client.errors import RateLimited
from gochat.client.options import InternalOptions
from gochat.client.replies import checked, no_answer
from gochat.client.supervisor import ConnectionSupervisor
from gochat.client.sync_state import SyncState
from gochat.errors import ChatError, ConnectionLost, ErrorCode
from gochat.protocol import messages as wire

#: Requests that are retried when they are rate limited: they change nothing that others see, and
#: scrolling fast should not show an error.
READS: Final = (
    wire.History,
    wire.Search,
    wire.Activity,
    wire.MarkActivity,
    wire.Pins,
    wire.Saved,
    wire.Who,
    wire.Statuses,
    wire.Sync,
    wire.Sessions,
    wire.Rooms,
    wire.Members,
    wire.Mark,
)

R = TypeVar("R", bound=wire.Reply)


class Requester:
    """Sends the program's requests over the supervisor's connections.

    Every method that waits for a reply raises ChatError if the server refuses the request, and
    ConnectionLost if no reply came within the request timeout, or the client is offline.
    """

    def __init__(
        self, supervisor: ConnectionSupervisor, sync_state: SyncState, options: InternalOptions
    ) -> None:
        self._supervisor = supervisor
        self._sync_state = sync_state
        self._options = options

    async def register(self, name: str, password: str, invite: str | None) -> str:
        """Create an account, over a connection of its own, and return its name."""
        request = wire.Register(name=name, password=password, invite=invite)
        ask = partial(self._supervisor.ask_aside, request, wire.Registered)
        return (await self._until_not_busy(ask)).name

    async def change_password(self, old: str, new: str) -> bool:
        """Set a new password, and keep the new token. Return whether all other sessions ended."""
        request = wire.ChangePassword(old=old, new=new)
        change = partial(self.ask_once, request, wire.PasswordChanged)
        return (await self._until_not_busy(change)).others_ended

    async def ask_once(self, request: wire.Request, expected: type[R]) -> R:
        """Return the reply to `request`, over one connection: it is not repeated."""
        connection = None
        with anyio.move_on_after(self._options.request_timeout):
            connection = await self._supervisor.connected()
        if connection is None:
            raise ConnectionLost(no_answer(self._options))
        return await connection.ask(request, expected)

    async def call(self, request: wire.Request, *expected: type[R]) -> R:
        """Return the reply to `request`, over as many connections as it takes within the
        timeout."""
        with anyio.move_on_after(self._options.request_timeout):
            while True:
                connection = await self._supervisor.connected()
                try:
                    return checked(await connection.request(request), *expected)
                except ConnectionLost:
                    continue
                except RateLimited as error:
                    if not isinstance(request, READS):
                        raise
                    least = error.retry_after
                await self._options.clock.sleep(least + spread(self._options.random, least))
        raise ConnectionLost(no_answer(self._options))

    async def write(self, request: wire.WriteRequest, *expected: type[R]) -> R:
        """Return the reply to a request that writes, over as many connections as it takes.

        It is sent after earlier messages to its conversation, and not before the snapshot.
        """
        self._supervisor.require_online()
        call = Call(request)
        with anyio.move_on_after(self._options.request_timeout):
            self._sync_state.call(call)
            try:
                return checked(await call.wait(), *expected)
            finally:
                self._sync_state.outbox.withdraw(call)
        raise ConnectionLost(no_answer(self._options))

    async def send(self, request: wire.Request) -> None:
        """Send a frame without a reply, if there is a connection."""
        await checkpoint()
        connection = self._supervisor.connection
        if connection is not None:
            with suppress(ChatError):  # the address is too long: there is no reply for an error
                connection.send(request)

    async def _until_not_busy(self, attempt: Callable[[], Awaitable[R]]) -> R:
        """Repeat `attempt` while the server is busy, after the delay that it asks for."""
        while True:
            try:
                return await attempt()
            except ChatError as error:
                if error.code != ErrorCode.BUSY:
                    raise
                least = error.retry_after or 0.0
            await self._options.clock.sleep(least + spread(self._options.random, least))
