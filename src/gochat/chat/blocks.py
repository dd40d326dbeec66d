"""Blocks: a person keeps another one away from themselves, on all their devices.

Nobody writes in the private conversation of two people of whom one blocks the other: what both have
is one log, and what it acknowledges is in it for both, so a message can't be taken from its sender
and kept from its receiver. Both get an error, ``blocked``, and so learn of the block; were messages
dropped without one, their sender would learn of it from never getting an answer, and would have
been told that they had arrived. Messages can be deleted there, and read.

A person who is blocked does not mention who blocks them: their ``@name`` is a text like any other
(:meth:`gochat.chat.store.Store.append`). Neither can they invite them. In rooms that both are in
they read each other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gochat.chat import names
from gochat.chat.accounts import Identity
from gochat.chat.directory import Directory
from gochat.chat.names import NameKey
from gochat.chat.refusals import blocked
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode

#: People whom one person can block. Concurrent requests can exceed it.
MAX_BLOCKED: Final = 1000


class Blocks:
    """Checks and makes the changes of whom people block. May raise StoreUnavailable."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store: Final = store
        self._directory: Final = directory

    async def set(self, who: Identity, name: str, *, on: bool) -> str | None:
        """Block a person, or no longer.

        Return how the name is spelled if that has changed something, else None.

        Raises:
            ChatError: ``unknown_person``; ``bad_request``: it is oneself; ``too_many``.
        """
        key = names.fold_person(name)
        shown = (await self._directory.people((key,))).get(key)
        if shown is None:
            raise ChatError(
                ErrorCode.UNKNOWN_PERSON,
                f"no account is named {name[:64]!r}",
                field="name",
                details={"name": name[:64]},
            )
        if key == who.key:
            raise ChatError(
                ErrorCode.BAD_REQUEST,
                f"you can't {'block' if on else 'unblock'} yourself",
                field="name",
                details={"rule": "oneself"},
            )
        if on:
            there = await self._store.blocked(who.key)
            if shown not in there and len(there) >= MAX_BLOCKED:
                raise ChatError(
                    ErrorCode.TOO_MANY,
                    f"you block {MAX_BLOCKED:,} people: unblock some first",
                    field="name",
                    details={"rule": "blocks", "max": MAX_BLOCKED},
                )
        return shown if await self._store.set_blocked(who.key, key, on=on) else None


def refusal(
    blockers: Collection[NameKey], who: Identity, other: NameKey, shown: str, field: str
) -> ChatError | None:
    """Return None, or the error for writing to another person, who is shown as `shown`.

    `blockers` are those of the two who block the other.
    """
    if who.key in blockers:
        return blocked(shown, "own", field)
    return blocked(shown, "theirs", field) if other in blockers else None
