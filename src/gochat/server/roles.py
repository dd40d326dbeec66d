"""Notify people of their role at the server when it changes while they are logged in.

What a role allows is decided by the store, each time: this is for what clients show. Roles are set
over the admin socket, of whichever node. That node notifies the others, and each reads the role of
a person who is online there. So of several changes at once, the last one is what all their sessions
are sent; and a node that may have missed a change looks at everybody who is online there.
"""

from __future__ import annotations

from typing import NoReturn

import trio

from gochat.chat.names import NameKey
from gochat.chat.node_bus import RoleSet
from gochat.chat.operating import server_role
from gochat.chat.store import Store
from gochat.errors import StoreUnavailable
from gochat.server.hub import Hub


class Roles:
    """Reads the roles that may have changed, of people who are online here."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._due: set[NameKey] = set()  # at most those who are online here
        self._must_look = trio.Event()

    def changed(self, person: NameKey) -> None:
        """Notify a person's sessions, on all nodes, of a role that was, or may have been, set."""
        self.look_soon(person)
        self._hub.publish(RoleSet(person))

    def look_soon(self, person: NameKey) -> None:
        """Read the role of a person again, if they are online here."""
        if self._hub.person(person) is not None:
            self._due.add(person)
            self._must_look.set()

    def doubt(self) -> None:
        """Read the roles of all who are online here: some may have changed."""
        self._due.update(self._hub.people())
        self._must_look.set()

    async def run(self) -> NoReturn:
        """Read the roles that may have changed, one after the other, until cancelled."""
        while True:
            await self._must_look.wait()
            self._must_look = trio.Event()
            while self._due:
                person = self._due.pop()
                if self._hub.person(person) is None:
                    continue
                try:
                    role = await server_role(self._store, person)
                except StoreUnavailable as error:
                    self._due.add(person)
                    await trio.sleep(error.retry_after)
                else:
                    self._hub.deliver_role(person, role)
