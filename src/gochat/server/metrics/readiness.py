"""Whether people can log in and send, found out by trying what that needs."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

import trio

from gochat.chat.names import NameKey
from gochat.chat.store import Store
from gochat.errors import StoreUnavailable

#: Seconds for which an answer counts: whoever asks more often gets the same, so that asking costs
#: the store nothing more.
FRESH: Final = 2.0
#: Seconds for the store to answer. A client's request has no more, either.
TIMEOUT: Final = 5.0
#: Nobody's: it is looked up as an account's name is at a login. No name has a blank.
NOBODY: Final = NameKey("ready check")


class Readiness:
    """Finds out whether a server is ready, and remembers that for a moment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = trio.Lock()
        self._asked = -inf
        self._reasons: Sequence[str] = ()
        #: Set when the server begins to stop: nobody new should be sent to it.
        self.is_stopping = False

    async def why_not(self) -> Sequence[str]:
        """Return why people can't log in and send; nothing if they can."""
        async with self._lock:
            if trio.current_time() - self._asked >= FRESH:
                self._reasons = await self._find_reasons()
                self._asked = trio.current_time()
        return ["the server is stopping"] if self.is_stopping else self._reasons

    async def _find_reasons(self) -> Sequence[str]:
        try:
            with trio.fail_after(TIMEOUT):
                await self._store.account(NOBODY)
                await self._store.check_writable()
        except StoreUnavailable as error:
            return [f"the store can't be used: {error.public}"]
        except trio.TooSlowError:
            return [f"the store did not answer within {TIMEOUT:.0f} s"]
        bus = self._store.node_bus
        if bus is not None and not bus.has_lease:
            return ["the other nodes count this one as gone: its lease has ended"]
        return ()
