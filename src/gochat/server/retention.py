"""Apply the rules of retention, in the background: see :mod:`gochat.chat.retention`.

Every sweep goes through all conversations, and removes what no rule keeps, a few milliseconds at a
time. What a sweep that was cut short has left is there for the next one. Of the nodes that share a
store one sweeps at a time, unless they don't get round in :data:`EVERY`; it does no harm if two do.
"""

from __future__ import annotations

from typing import Final, NoReturn

import structlog
import trio

from gochat.chat.conversations import ConversationKey
from gochat.chat.retention import rule_for
from gochat.chat.store import Store
from gochat.errors import StoreUnavailable

log = structlog.stdlib.get_logger()

#: Seconds between the beginnings of two sweeps: what is too old or too many is kept for so much
#: longer.
EVERY: Final = 600
#: Seconds between two steps of a sweep. Removing takes a tenth of the store's time, at most.
PAUSE: Final = 0.02


class Retention:
    """Sweeps, every so often and when it is asked to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = trio.Event()

    def sweep_soon(self) -> None:
        """Sweep now, or again if a sweep is under way: a rule was set."""
        self._asked.set()

    async def run(self) -> NoReturn:
        """Sweep, for ever."""
        is_asked = False
        while True:
            next_at = trio.current_time() + EVERY
            try:
                if await self._store.retention.claim(EVERY) or is_asked:
                    await self._sweep()
            except StoreUnavailable as error:
                log.debug("retention sweep failed", reason=str(error))
            with trio.move_on_at(next_at):
                await self._asked.wait()
            is_asked = self._asked.is_set()
            self._asked = trio.Event()

    async def _sweep(self) -> None:
        store, cursor, conversations = self._store.retention, "", 0
        while True:
            rules = await store.rules()
            if all(rule.keeps_all for rule in rules.values()):
                break
            overdue, cursor = await store.overdue(rules, cursor)
            for key in overdue:
                conversations += await self._shorten(key)
            if not cursor:
                break
            await trio.sleep(PAUSE)
        if conversations:
            log.info("retention applied", conversations=conversations)

    async def _shorten(self, key: ConversationKey) -> int:
        """Remove what is overdue in a conversation; return 1 if anything was."""
        store, steps = self._store.retention, 0
        while True:
            # Anew for each step: it may have been set or cleared meanwhile, also by another node.
            rule = rule_for(await store.rules(), key)
            if rule.keeps_all or not await store.remove(key, rule):
                return min(steps, 1)
            steps += 1
            await trio.sleep(PAUSE)
