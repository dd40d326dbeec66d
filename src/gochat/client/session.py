"""A client's work on a connection that is logged in: get the snapshot, send, fill gaps."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

import anyio

from gochat.client import pages
from gochat.client.connection import Connection
from gochat.client.errors import DEFAULT_RETRY_AFTER, NotPermitted
from gochat.client.options import Clock, InternalOptions
from gochat.client.outbox import RETRYABLE
from gochat.client.replies import no_answer
from gochat.client.sync_state import SyncState
from gochat.client.tasks import background
from gochat.client.timeline import After, Want
from gochat.errors import ChatError, ConnectionLost, ProtocolError
from gochat.protocol import messages as wire

T = TypeVar("T")

#: The most entries that the protocol allows in a page.
MAX_PAGE: Final = 200
#: The least frame limit (bytes) that is accepted from a server: with less, not even lists can be
#: requested.
MIN_FRAME: Final = 16 * 1024


class Session:
    """A logged-in connection at work; :meth:`run` returns why it ended."""

    def __init__(
        self, connection: Connection, sync_state: SyncState, options: InternalOptions
    ) -> None:
        assert sync_state.name is not None
        assert sync_state.limits is not None
        self._connection = connection
        self._sync_state = sync_state
        self._options = options
        self._clock: Clock = options.clock
        self._name = sync_state.name
        self._page = max(1, min(MAX_PAGE, sync_state.limits.history_page))
        self._frame_bytes = max(MIN_FRAME, sync_state.limits.frame_bytes)
        connection.accept_frames(self._frame_bytes)

    async def run(self) -> ConnectionLost:
        """Work until the connection ends, and return why it did."""
        async with background() as tasks:
            tasks.start_soon(self._serve)
            tasks.start_soon(self._fill_gaps)
            return await self._connection.wait_lost()

    async def _serve(self) -> None:
        """Get the snapshot, then send waiting messages, until the connection ends."""
        try:
            await self._synchronise()
            async with background() as tasks:
                tasks.start_soon(self._synchronise_again)
                while True:
                    self._sync_state.outbox_changed = anyio.Event()
                    self._send_waiting()
                    await self._wait_for_outbox()
        except ConnectionLost:
            pass  # `run` sees it, too

    async def _synchronise_again(self) -> None:
        """Ask for what was left out whenever there is room again, until the connection ends."""
        sync_state = self._sync_state
        try:
            while True:
                if not sync_state.has_left_out:
                    sync_state.left_out = anyio.Event()
                    await sync_state.left_out.wait()
                await sync_state.buffer.wait_for_space()
                sync_state.catch_up_again()
                await self._synchronise()
        except ConnectionLost:
            pass  # `run` sees it, too

    async def _synchronise(self) -> None:
        """Ask for all that was missed, page by page, and for who is online."""
        # Before the outbox: conversations with a new history are then known, so that messages that
        # are sent again go before new ones.
        connection, sync_state = self._connection, self._sync_state
        while True:
            try:
                while (request := self._next_page()) is not None:
                    sync_state.synced(request, await self._page_of_what_was_missed(request))
                people = await _permitted(pages.people(connection.ask))
            except ChatError as error:
                await self._clock.sleep(error.retry_after or DEFAULT_RETRY_AFTER)
            except ProtocolError as error:
                connection.end(str(error))
                raise ConnectionLost(str(error)) from error
            else:
                sync_state.caught_up(people)
                return

    async def _page_of_what_was_missed(self, request: wire.Sync) -> wire.Synced:
        try:
            return await self._connection.ask(request, wire.Synced)
        except NotPermitted:
            return wire.Synced(conversations=())  # the token is of a program that only writes

    def _next_page(self) -> wire.Sync | None:
        return self._sync_state.next_page(self._page, self._frame_bytes)

    def _send_waiting(self) -> None:
        while (request := self._sync_state.outbox.next(self._name)) is not None:
            try:
                self._connection.post(request)
            except ChatError as error:
                self._sync_state.refuse(request, error)

    async def _wait_for_outbox(self) -> None:
        outbox = self._sync_state.outbox
        since, wait = outbox.waiting_since(), outbox.wait(self._name)
        if since is not None:
            left = since + self._options.request_timeout - self._clock.now()
            if left <= 0:
                late = no_answer(self._options)
                self._connection.end(late)
                raise ConnectionLost(late)  # don't wait: the delay would be negative
            wait = left if wait is None else min(wait, left)
        await wait_at_most(self._sync_state.outbox_changed, wait, self._clock)

    async def _fill_gaps(self) -> None:
        """Fetch missing entries, until the connection ends."""
        try:
            while True:
                self._sync_state.gap_found = anyio.Event()
                wants = self._sync_state.inbox.wants()
                if not wants:
                    await self._sync_state.gap_found.wait()
                    continue
                await self._clock.sleep(self._options.gap_grace)
                for conv, want in wants.items():
                    await self._fetch(conv, want)
        except ConnectionLost:
            pass  # `run` sees it, too

    async def _fetch(self, conv: str, want: Want | None) -> None:
        """Fetch pages of `conv` as long as it wants `want`, and each page makes progress."""
        inbox = self._sync_state.inbox
        while want is not None and inbox.wants().get(conv) == want:
            await self._sync_state.buffer.wait_for_space()
            if not self._still_wants(conv, want):
                return
            after = want.seq if isinstance(want, After) else None
            request = wire.History(conv=conv, after=after, limit=self._page)
            try:
                page = await self._connection.ask(request, wire.HistoryPage)
            except ChatError as error:
                if error.code in RETRYABLE:
                    await self._clock.sleep(error.retry_after or DEFAULT_RETRY_AFTER)
                    return
                if self._still_wants(conv, want):
                    self._sync_state.show(inbox.skip(conv))
            else:
                # A page for an outdated want would be taken for the answer to the present one.
                if self._still_wants(conv, want):
                    self._sync_state.show(inbox.fill(conv, page))
            before, want = want, inbox.wants().get(conv)
            if want == before:
                return

    def _still_wants(self, conv: str, want: Want) -> bool:
        return type(self._sync_state.inbox.wants().get(conv)) is type(want)


async def _permitted(listing: Awaitable[list[T]]) -> list[T]:
    """Return a list; an empty one if it is withheld, as from the token of a program."""
    try:
        return await listing
    except NotPermitted:
        return []


async def wait_at_most(event: anyio.Event, seconds: float | None, clock: Clock) -> None:
    """Wait for `event`, but no longer than `seconds` by `clock`; None is without a limit."""
    if seconds is None:
        await event.wait()
        return
    async with background() as tasks:

        async def alarm() -> None:
            await clock.sleep(seconds)
            event.set()

        tasks.start_soon(alarm)
        await event.wait()
