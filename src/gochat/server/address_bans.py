"""From where nobody may connect: the bans of networks (:mod:`gochat.chat.network_bans`).

Each node has all of them in memory. It reads them again when it or another node has changed one,
and looks every few seconds whether it has missed that. Who is connected from a network that was
banned is sent ``bye``, logged in or not.

A connection from a banned address is closed before anything costly is done for it: the handshake of
TLS, for a start. But a person whom a ban hits should see why, so a few of them at a time, whatever
addresses they come from, get as far as an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Final, NoReturn, TypeAlias

import trio

from gochat.chat.names import NameKey
from gochat.chat.network_bans import BannedNetworks, Change, Network, spoken
from gochat.chat.node_bus import NetworkBansChanged, NodeEvent
from gochat.chat.refusals import address_banned
from gochat.chat.restriction import Restriction, duration
from gochat.chat.server_roles import Actor, ServerRole
from gochat.chat.store import Store
from gochat.config import Config
from gochat.config.listen import UNIX
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import ByeReason
from gochat.server.error_replies import error_reply
from gochat.server.session import Session
from gochat.storage.common.clock import wall_clock
from gochat.token_bucket import TokenBucket

#: Seconds between two looks whether there are others, for a node that has missed it.
LOOK_EVERY: Final = 5.0
#: Tries to change a ban that others are changing.
TRIES: Final = 3
#: Connections from banned addresses that are sent why: burst, and per second.
EXPLAINED: Final = (16, 1.0)

#: Who must still have which role when a ban is changed; None: nobody.
By: TypeAlias = tuple[NameKey, ServerRole] | None


class AddressBans:
    """The bans, on this node. `publish` notifies the other nodes."""

    def __init__(self, store: Store, publish: Callable[[NodeEvent], None]) -> None:
        self._store = store
        self._publish = publish
        self._networks = BannedNetworks({})
        self._version: int | None = None  # none were read
        self._reading = trio.Lock()
        self._must_look = trio.Event()
        self._explained: TokenBucket | None = None
        #: All sessions of this node: set by the server.
        self.sessions: Collection[Session] = ()

    def find(self, address: str) -> Restriction | None:
        """Return the ban that holds now for an address, which need not be one of IP, or None."""
        return self._networks.find(address, wall_clock())

    def may_explain(self) -> bool:
        """Return whether a connection from a banned address may get as far as an error."""
        now = trio.current_time()
        if self._explained is None:
            self._explained = TokenBucket(*EXPLAINED, now)
        return not self._explained.take(now)

    def look_soon(self) -> None:
        """Read the bans again: they may have changed."""
        self._version = None
        self._must_look.set()

    async def make(
        self,
        network: Network,
        change: Change,
        actor: Callable[[], Awaitable[tuple[Actor, By]]],
        record: Callable[[str, str], Awaitable[None]],
    ) -> tuple[Restriction | None, Restriction | None]:
        """Set or lift a ban as somebody may; return it before and after that.

        `actor` returns who that is, by what they are now. Before a change is made, `record` is
        called with its subject and its detail, for the audit log.

        Raises:
            ChatError: as :meth:`.Change.made` does; ``too_many``; ``busy``: others change it, too.
            StoreUnavailable: whether it was changed is unknown.
        """
        for attempt in range(TRIES):
            who, by = await actor()
            before = (await self.current()).of(network)
            after = change.made(who, before, wall_clock())
            if after is None and before is None:
                return before, after
            if not attempt:
                await record(spoken(network), duration(change.seconds))
            if await self.change(network, before, after, by):
                return before, after
        raise ChatError(
            ErrorCode.BUSY,
            f"the ban of {spoken(network)} was changed at the same time: try again",
            details={"rule": "conflict"},
        )

    async def change(
        self,
        network: Network,
        before: Restriction | None,
        after: Restriction | None,
        by: By = None,
    ) -> bool:
        """Set or lift a ban: see :meth:`.NetworkBanStore.change`.

        When it returns, it holds on this node, and soon on the others.
        """
        try:
            return await self._store.network_bans.change(str(network), before, after, by)
        finally:  # also where the store can't say whether it was done
            self.look_soon()
            self._publish(NetworkBansChanged())
            await self._look()

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Follow the changes, for ever. Calls `task_status.started` when they were read once, or
        can't be."""
        await self._look()
        task_status.started()
        while True:
            with trio.move_on_after(LOOK_EVERY):
                await self._must_look.wait()
            self._must_look = trio.Event()
            await self._look()

    async def _look(self) -> None:
        with suppress(StoreUnavailable):
            await self.current()

    async def current(self) -> BannedNetworks:
        """Return the bans, with those of other nodes.

        Reads them if they have changed, and ends the sessions that they mean. Raises
        StoreUnavailable.
        """
        async with self._reading:
            store = self._store.network_bans
            version = await store.version()
            if version != self._version:
                self._version = version
                try:
                    bans = await store.all()
                except StoreUnavailable:
                    self._version = None
                    raise
                if added := self._networks.update(bans):
                    self._end(BannedNetworks(added))
                now = wall_clock()
                for network, ban in bans.items():
                    if not ban.holds(now):  # who it was about is no longer anybody's business
                        await store.change(network, ban, None)
            return self._networks

    def _end(self, added: BannedNetworks) -> None:
        now = wall_clock()
        for session in tuple(self.sessions):
            if (ban := added.find(session.address, now)) is not None:
                turn_away(session, ban)


def proxies_of(config: Config) -> set[str]:
    """Return the networks of the proxies whose connections are for others."""
    return {proxy for listen in config.listeners for proxy in listen.proxy_from if proxy != UNIX}


def turn_away(session: Session, ban: Restriction) -> None:
    """Send a session the reason why it ends, and end it."""
    if not session.is_ending:
        error = address_banned(ban)
        session.reply(error_reply(error, with_args=True))
        session.close(ByeReason.ADDRESS_BANNED, error.text)
