"""Which accounts were deleted, and the removal of what they wrote: :mod:`gochat.chat.deletion`."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final, NoReturn

import structlog
import trio
from msgspec.structs import replace

from gochat.chat.deletion import remove_messages
from gochat.chat.directory import Directory
from gochat.chat.names import NameKey
from gochat.chat.store import Store
from gochat.errors import StoreUnavailable

log = structlog.stdlib.get_logger()

#: Seconds after which a node knows of what another one has deleted, at most.
LOOK_EVERY: Final = 5.0
#: Seconds between two steps of a removal.
PAUSE: Final = 0.02
#: Seconds until a removal that has failed goes on.
AGAIN: Final = 10.0


class DeletedAccounts:
    """Keeps the directory's set of them, and removes messages in the background."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory
        self._must_remove = trio.Event()

    def note(self, key: NameKey) -> None:
        """Record that an account was deleted, and begin to remove its messages if they go."""
        self._directory.gone.add(key)
        self._must_remove.set()

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Follow which are deleted, and remove what is to be removed.

        Calls `task_status.started` when the deleted ones were read once, or can't be.
        """
        await self._look()
        task_status.started()
        self._must_remove.set()  # what was left when the server stopped
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._remove)
            while True:
                await trio.sleep(LOOK_EVERY)
                if self._store.node_bus is not None:
                    await self._look()
        raise AssertionError

    async def _look(self) -> None:
        with suppress(StoreUnavailable):
            self._directory.gone.update(await self._store.administration.deleted())

    async def _remove(self) -> NoReturn:
        while True:
            await self._must_remove.wait()
            self._must_remove = trio.Event()
            try:
                for key in sorted(self._directory.gone):
                    await self._remove_of(key)
            except StoreUnavailable as error:
                log.debug("message removal failed", reason=str(error))
                await trio.sleep(AGAIN)
                self._must_remove.set()

    async def _remove_of(self, key: NameKey) -> None:
        account = await self._store.account(key)
        if account is None or account.state != "removing":
            return
        removed = await remove_messages(self._store, account, partial(trio.sleep, PAUSE))
        # Unless whoever runs the server has decided otherwise meanwhile.
        await self._store.administration.change_account(account, replace(account, state="deleted"))
        log.info("messages of deleted account removed", account=account.name, removed=removed)
