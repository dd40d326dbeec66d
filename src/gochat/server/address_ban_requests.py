"""Requests about the bans of addresses and networks (:mod:`gochat.chat.network_bans`)."""

from __future__ import annotations

from typing import Final

from gochat.chat.accounts import Identity
from gochat.chat.network_bans import Change, Network, parse, require_harmless, spoken
from gochat.chat.operating import server_role
from gochat.chat.server_roles import Actor, require_role
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.messages import (
    AddressBan,
    AddressBanList,
    AddressBans,
    BanAddress,
    Ok,
    UnbanAddress,
)
from gochat.server.address_bans import By, proxies_of
from gochat.server.hub import OnlinePerson
from gochat.server.moderators import Act
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.storage.common.clock import wall_clock

#: Bans in one reply, so that it fits its frame with the longest names and reasons.
MAX_LISTED: Final = 50


class AddressBanRequests:
    """Handles them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def ban(
        self, session: Session, who: Identity, person: OnlinePerson, request: BanAddress
    ) -> None:
        """Ban a network, and end the connections from there."""
        await self._admin(who)
        network = parse(request.network)
        try:
            require_harmless(
                network,
                session.address,
                *await self._addresses(who),
                proxies=proxies_of(self._services.config),
            )
        except ChatError as error:
            raise ChatError(
                error.code,
                f"{error.text}: if you mean it, use gochat admin address-ban on the server",
                field=error.field,
                details=error.details,
            ) from None
        change = Change(on=True, seconds=request.seconds, reason=request.reason)
        await self._change(who, network, change)
        session.note("address banned", network=spoken(network))
        session.reply(Ok(request_id=request.request_id))

    async def unban(
        self, session: Session, who: Identity, person: OnlinePerson, request: UnbanAddress
    ) -> None:
        """Lift the ban of a network."""
        await self._admin(who)
        network = parse(request.network)
        await self._change(who, network, Change(on=False))
        session.note("address ban lifted", network=spoken(network))
        session.reply(Ok(request_id=request.request_id))

    async def list(
        self, session: Session, who: Identity, person: OnlinePerson, request: AddressBans
    ) -> None:
        """Reply with a page of the bans that hold now."""
        await self._admin(who)
        after = parse(request.after, "after") if request.after else None
        bans = await self._services.address_bans.current()
        found, more = bans.page(after, min(request.limit, MAX_LISTED), wall_clock())
        shown = [
            AddressBan(
                network=spoken(network),
                by=ban.by,
                ts=ban.since,
                until=ban.until,
                reason=ban.reason,
            )
            for network, ban in found
        ]
        session.reply(AddressBanList(bans=tuple(shown), more=more, request_id=request.request_id))

    async def _change(self, who: Identity, network: Network, change: Change) -> None:
        act = Act(self._services.store, who)

        async def actor() -> tuple[Actor, By]:
            admin = await self._admin(who)
            return admin, (who.key, "admin")

        async def record(subject: str, detail: str) -> None:
            word = "add" if change.on else "remove"
            await act.record("admin", f"address-ban {word}", subject, detail, change.reason)

        try:
            await self._services.address_bans.make(network, change, actor, record)
        except (ChatError, StoreUnavailable) as error:
            await act.failed(error)
            raise

    async def _admin(self, who: Identity) -> Actor:
        actor = Actor(who.name, await server_role(self._services.store, who.key))
        require_role(actor, "admin")
        return actor

    async def _addresses(self, who: Identity) -> set[str]:
        """Return from where a person is connected, to all nodes.

        Of the connections to other nodes, these are the addresses that their sessions were last
        resumed from, or logged in.
        """
        addresses = {
            session.address
            for session in self._services.address_bans.sessions
            if session.identity is not None and session.identity.key == who.key
        }
        store = self._services.store
        if store.node_bus is not None:
            in_use = await store.node_bus.tokens_in_use(who.key)
            tokens = await store.tokens(who.key, wall_clock())
            addresses |= {token.address for token in tokens if token.id in in_use}
        return addresses
