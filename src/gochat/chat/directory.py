"""Cache the displayed names of people and rooms by key.

Accounts and rooms are never renamed, and no name is ever freed, so a name stays valid; a missing
key is looked up again each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final, TypeVar

from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.store import Store
from gochat.protocol.messages import LOBBY

K = TypeVar("K")

#: Cached names of each kind; some 10 MB.
MAX_REMEMBERED: Final = 50_000


class Directory:
    """Looks up displayed names. May raise :exc:`~gochat.errors.StoreUnavailable`."""

    def __init__(self, store: Store, max_remembered: int = MAX_REMEMBERED) -> None:
        self._store = store
        self._max_remembered = max_remembered
        self._people: OrderedDict[NameKey, str] = OrderedDict()
        self._rooms: OrderedDict[ConversationKey, str] = OrderedDict({LOBBY_KEY: LOBBY})
        #: The accounts that were deleted, as far as this node knows: they keep their names.
        self.gone: set[NameKey] = set()

    @property
    def at_once(self) -> Directory:
        """The same names, for code that runs at once (:mod:`.at_once`)."""
        same = Directory(self._store.at_once, self._max_remembered)
        same._people, same._rooms, same.gone = self._people, self._rooms, self.gone
        return same

    async def people(self, keys: Collection[NameKey]) -> dict[NameKey, str]:
        """Return those of `keys` that are accounts, in their order, with their displayed names."""
        found = {key: self._people[key] for key in keys if key in self._people}
        unknown = [key for key in keys if key not in found]
        if unknown:
            new = await self._store.display_names(unknown)
            self._people.update(new)
            self._shorten(self._people)
            found.update(new)
        return {key: found[key] for key in keys if key in found}

    async def room(self, key: ConversationKey, person: NameKey) -> str | None:
        """Return the displayed address of a room (``#Name``), or None if it does not exist."""
        if key not in self._rooms:
            state = await self._store.room(key, person)
            if state is None:
                return None
            self._rooms[key] = state.name
            self._shorten(self._rooms)
        return self._rooms[key]

    def note(self, key: NameKey, name: str) -> None:
        """Remember the displayed name of somebody who is online."""
        self._people[key] = name
        self._shorten(self._people)

    def forget(self) -> None:
        """Forget all names, because the store's data has been replaced."""
        self._people.clear()
        self._rooms.clear()
        self._rooms[LOBBY_KEY] = LOBBY

    def _shorten(self, remembered: OrderedDict[K, str]) -> None:
        while len(remembered) > self._max_remembered:
            remembered.popitem(last=False)
