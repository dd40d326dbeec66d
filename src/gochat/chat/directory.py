"""Cache the displayed names of people and rooms by key, and what addresses mean.

Accounts and rooms are never renamed, and no name is ever freed, so a name stays valid; a missing
key is looked up again each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final, TypeVar

from gochat.chat import conversations
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.room_state import RoomState
from gochat.chat.store import Store
from gochat.protocol.messages import LOBBY

K = TypeVar("K")

#: Cached names of each kind; some 10 MB.
MAX_REMEMBERED: Final = 50_000
#: Cached addresses, each as it is typed and, with ``@``, by whom; some 10 MB.
MAX_ADDRESSES: Final = 20_000


class Destination:
    """A conversation, and its address as displayed to `own`, which a room doesn't need.

    `peer` is the other person of a private conversation (oneself, in one with oneself), and
    `is_joined` is true for rooms that people join: all but the lobby.
    """

    __slots__ = ("is_joined", "key", "peer", "shown")

    def __init__(self, key: ConversationKey, shown: str, own: NameKey | None = None) -> None:
        self.key: Final = key
        self.shown: Final = shown
        self.peer: NameKey | None = None
        if conversations.is_private(key):
            assert own is not None
            self.peer = conversations.peer(key, own)
        self.is_joined: Final = self.peer is None and key != LOBBY_KEY

    @classmethod
    def of(cls, room: RoomState) -> Destination:
        """Return a room as a destination."""
        return cls(room.key, room.name)


class Directory:
    """Looks up displayed names. May raise :exc:`~gochat.errors.StoreUnavailable`."""

    def __init__(self, store: Store, max_remembered: int = MAX_REMEMBERED) -> None:
        self._store = store
        self._max_remembered = max_remembered
        self._people: OrderedDict[NameKey, str] = OrderedDict()
        self._rooms: OrderedDict[ConversationKey, str] = OrderedDict({LOBBY_KEY: LOBBY})
        self._addresses: OrderedDict[tuple[str, str], Destination] = OrderedDict()
        #: The accounts that were deleted, as far as this node knows: they keep their names.
        self.gone: set[NameKey] = set()

    @property
    def at_once(self) -> Directory:
        """The same names, for code that runs at once (:mod:`.at_once`)."""
        same = Directory(self._store.at_once, self._max_remembered)
        same._people, same._rooms, same.gone = self._people, self._rooms, self.gone
        same._addresses = self._addresses
        return same

    async def destination(self, own: NameKey, address: str, field: str = "to") -> Destination:
        """Return the conversation that `own` means by `address`, in the request's `field`.

        Whether they may see it is not asked.

        Raises:
            ChatError: ``unknown_person`` or ``unknown_conversation``.
        """
        asked = (own if address.startswith("@") else "", address)
        found = self._addresses.get(asked)
        if found is None:
            found = self._addresses[asked] = await self._look_up(own, address, field)
            if len(self._addresses) > MAX_ADDRESSES:
                self._addresses.popitem(last=False)
        return found

    async def _look_up(self, own: NameKey, address: str, field: str) -> Destination:
        key = conversations.key(address, own, field)
        if conversations.is_private(key):
            peer = conversations.peer(key, own)
            shown = (await self.people((peer,))).get(peer)
            if shown is None:
                raise conversations.nobody(address[1:], field)
            return Destination(key, "@" + shown, own)
        name = await self.room(key, own)
        if name is None:
            raise conversations.unknown(address, field)
        return Destination(key, name)

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
        self._addresses.clear()

    def _shorten(self, remembered: OrderedDict[K, str]) -> None:
        while len(remembered) > self._max_remembered:
            remembered.popitem(last=False)
