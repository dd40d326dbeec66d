"""Requests about who is banned from the server or muted (:mod:`gochat.chat.restrictions`)."""

from __future__ import annotations

from typing import Final

from gochat.chat import names
from gochat.chat.accounts import Identity, has_changed
from gochat.chat.conversations import nobody
from gochat.chat.names import NameKey
from gochat.chat.operating import server_role
from gochat.chat.refusals import account_banned
from gochat.chat.restriction import duration, held
from gochat.chat.restrictions import Change, of
from gochat.chat.server_roles import Actor, require_role
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.messages import (
    Ok,
    Restrict,
    Restriction,
    RestrictionKind,
    RestrictionList,
    Restrictions,
    Unrestrict,
)
from gochat.server.hub import OnlinePerson
from gochat.server.moderators import Act
from gochat.server.read_requests import fold_cursor
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.storage.common.clock import wall_clock

#: Tries to change an account that others are changing.
TRIES: Final = 3
#: Accounts in one reply, so that it fits its frame with the longest names and reasons.
MAX_LISTED: Final = 50
_KINDS: Final[tuple[RestrictionKind, ...]] = ("ban", "mute")


class RestrictionRequests:
    """Handles them, and ends the sessions of who is banned, on all nodes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def restrict(
        self, session: Session, who: Identity, person: OnlinePerson, request: Restrict
    ) -> None:
        """Ban or mute a person."""
        change = Change(kind=request.kind, on=True, seconds=request.seconds, reason=request.reason)
        await self._change(session, who, request.name, change)
        session.note("person restricted", person=request.name, kind=request.kind)
        session.reply(Ok(request_id=request.request_id))

    async def unrestrict(
        self, session: Session, who: Identity, person: OnlinePerson, request: Unrestrict
    ) -> None:
        """Lift a ban or a mute."""
        await self._change(session, who, request.name, Change(kind=request.kind, on=False))
        session.note("restriction lifted", person=request.name, kind=request.kind)
        session.reply(Ok(request_id=request.request_id))

    async def _change(self, session: Session, who: Identity, name: str, change: Change) -> None:
        act, administration = Act(self._services.store, who), self._services.store.administration
        try:
            for _ in range(TRIES):
                role = await server_role(self._services.store, who.key)
                require_role(Actor(who.name, role), "moderator")
                before = await self._services.store.account(names.fold_person(name))
                if before is None:
                    raise nobody(name.removeprefix("@"), "name")
                after = change.made(Actor(who.name, role), before, wall_clock())
                if after == before:
                    return
                time = duration(change.seconds)
                word = f"account {'' if change.on else 'un'}{change.kind}"
                await act.record(role, word, before.name, time, change.reason)
                if await administration.change_account(before, after, (who.key, role)):
                    break
            else:
                raise has_changed(name)
        except (ChatError, StoreUnavailable) as error:
            if isinstance(error, StoreUnavailable):
                self._services.revocations.doubt()  # it may have been committed
            await act.failed(error)
            raise
        if change.kind == "mute" and change.on:
            self._services.hub.set_away(after.key, None)  # everybody reads it
            self._services.hub.set_status(after.key, None)
        if after.generation != before.generation and after.ban is not None:
            await self._services.revocations.ended_by_operator(
                after.key, account_banned(after.ban).text, generation=after.generation
            )

    async def restrictions(
        self, session: Session, who: Identity, person: OnlinePerson, request: Restrictions
    ) -> None:
        """Reply with a page of who is restricted now."""
        role = await server_role(self._services.store, who.key)
        require_role(Actor(who.name, role), "moderator")
        found, more = await listed(
            self._services, NameKey(fold_cursor(request.after)), min(request.limit, MAX_LISTED)
        )
        reply = RestrictionList(restrictions=tuple(found), more=more, request_id=request.request_id)
        session.reply(reply)


async def listed(services: Services, after: NameKey, limit: int) -> tuple[list[Restriction], bool]:
    """Return who is restricted now, of at most `limit` accounts by key, and whether there are
    more."""
    found: dict[NameKey, list[Restriction]] = {}
    more, now = True, wall_clock()
    while more and len(found) < limit:
        page, more = await services.store.administration.restricted(
            after=after, limit=limit - len(found)
        )
        for account in page:
            after = account.key
            for kind in _KINDS:
                if (one := held(of(account, kind), now)) is not None:
                    found.setdefault(after, []).append(
                        Restriction(
                            name=account.name,
                            kind=kind,
                            by=one.by,
                            ts=one.since,
                            until=one.until,
                            reason=one.reason,
                        )
                    )
    return [one for some in found.values() for one in some], more
