"""Requests about the status of people (:mod:`gochat.chat.status`)."""

from __future__ import annotations

from typing import Final

import trio

from gochat.chat import names, status
from gochat.chat.accounts import Identity, has_changed
from gochat.chat.conversations import nobody
from gochat.chat.names import NameKey
from gochat.chat.refusals import muted
from gochat.chat.restriction import held
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.messages import Ok, Person, SetStatus, Status, Statuses, StatusList
from gochat.server.hub import OnlinePerson
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.storage.common.clock import wall_clock

#: Tries to set a status while the account is being changed.
TRIES: Final = 3


class StatusRequests:
    """Handles them, and shows each change to everybody, on all nodes, together with presence."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def set(
        self, session: Session, who: Identity, person: OnlinePerson, request: SetStatus
    ) -> None:
        """Set the person's status, or take it back. It takes a turn of their rate for writing."""
        if refused := person.rate_limit.refused(trio.current_time()):
            raise refused
        try:
            said = status.asked_for(request, wall_clock())
            await self._store(who, said)
        except (ChatError, StoreUnavailable):
            person.rate_limit.give_back()
            raise
        self._services.hub.set_status(who.key, said)
        # Another device or a mute may have been quicker in the store, but not in the hub.
        account = await self._services.store.account(who.key)
        if account is not None and account.status != said:
            self._services.hub.set_status(who.key, account.status)
        session.reply(Ok(request_id=request.request_id))

    async def _store(self, who: Identity, said: Status | None) -> None:
        for _ in range(TRIES):
            account = await self._services.store.account(who.key)
            if account is None:
                raise nobody(who.name, "name")
            if said is not None and (mute := held(account.mute, wall_clock())) is not None:
                raise muted(mute, "text")
            if await self._services.store.set_status(account, said):
                return
        raise has_changed(who.name)

    async def list(
        self, session: Session, who: Identity, person: OnlinePerson, request: Statuses
    ) -> None:
        """Reply with the statuses of the people asked for, whether or not they are online."""
        now, roster = wall_clock(), self._services.hub.roster
        said: dict[NameKey, Status | None] = {}
        for name in request.names:
            try:
                key = names.fold_person(name)
            except ChatError:
                continue  # nobody has it
            online = roster.get(key)
            said[key] = None if online is None else online.status
        if away := [key for key in said if key not in roster]:
            said |= await self._services.store.statuses(away)
        shown = {key: one for key in said if (one := status.current(said[key], now)) is not None}
        displayed = await self._services.directory.people(tuple(shown))
        people = (Person(name=name, status=shown[key]) for key, name in displayed.items())
        session.reply(StatusList(people=tuple(people), request_id=request.request_id))
