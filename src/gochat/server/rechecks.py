"""Ask the directory again whether those who are online may go on.

A session outlives its login by weeks, and the directory tells nobody when it drops a person. So
each node asks for those who are online at it, one after the other: for each soon after they came
back by a token, and from then on every `auth.recheck` seconds. Whoever is refused loses all
sessions.
"""

from __future__ import annotations

from typing import Final, NoReturn

import structlog
import trio

from gochat.chat.external import NO_PASSWORD
from gochat.chat.names import NameKey
from gochat.chat.store import Store
from gochat.errors import ChatError, StoreUnavailable
from gochat.server.auth_command import AuthCommand
from gochat.server.hub import Hub
from gochat.server.login import ActiveLogin
from gochat.server.revocation import Revocations

log = structlog.stdlib.get_logger()

#: How often to look whose turn it is: a part of the interval, in seconds at least and at most.
LOOKS_PER_INTERVAL: Final = 20
LOOK_EVERY: Final = (0.1, 60.0)
ENDED: Final = "your organisation's directory does not know this account any more"


class Rechecks:
    """Remembers when the directory was last asked for each person who is online here."""

    def __init__(
        self, store: Store, hub: Hub, revocations: Revocations, command: AuthCommand
    ) -> None:
        self._store = store
        self._hub = hub
        self._revocations = revocations
        self._command = command
        self._asked: dict[NameKey, float] = {}

    def note(self, key: NameKey) -> None:
        """Record that the directory has just let a person in."""
        if self._command.recheck:
            self._asked[key] = trio.current_time()

    async def run(self) -> NoReturn:
        """Ask for everybody in their turn, until cancelled."""
        least, most = LOOK_EVERY
        while True:
            every = self._command.recheck
            await trio.sleep(min(max(every / LOOKS_PER_INTERVAL, least), most) if every else most)
            if every:
                await self._look(every)

    async def _look(self, every: float) -> None:
        online = {
            login.identity.key for login in self._hub.sessions() if isinstance(login, ActiveLogin)
        }
        self._asked = {key: at for key, at in self._asked.items() if key in online}
        for key in online:
            if key in self._asked and trio.current_time() < self._asked[key] + every:
                continue
            try:
                is_good = await self._is_good(key)
                if not is_good:
                    await self._end(key)
            except (ChatError, StoreUnavailable):
                return  # what fails now is logged where it fails, and tried again at the next look
            self._asked[key] = trio.current_time()

    async def _is_good(self, key: NameKey) -> bool:
        if self._command.allows_local:
            account = await self._store.account(key)
            if account is not None and account.password_hash != NO_PASSWORD:
                return True
        return await self._command.is_still_good(key)

    async def _end(self, key: NameKey) -> None:
        """End all sessions of a person, those of programs, too."""
        try:
            ended = await self._store.revoke_other_tokens(key, b"")
        except StoreUnavailable:
            self._revocations.doubt()  # they may have been revoked
            raise
        log.info("sessions ended by the directory", account=key, count=len(ended))
        self._revocations.tokens_revoked(key, ended, ENDED)
