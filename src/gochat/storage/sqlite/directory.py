"""A cache of conversations and people for the writer.

Use it in the writer's thread, inside its transactions. A rollback clears it.
"""

from __future__ import annotations

from typing import Final

from gochat.chat import conversations
from gochat.chat.conversations import ConversationKey
from gochat.chat.modes import Modes
from gochat.chat.names import NameKey
from gochat.storage.sqlite.entries import MAX_SEQ, Shape, first_id, last_id
from gochat.storage.sqlite.transaction import Transaction

#: Conversations or people cached before the cache is cleared. A few megabytes.
MAX_REMEMBERED: Final = 20_000


class KnownConversation:
    """A conversation; `seq` and `ts` belong to its last entry."""

    __slots__ = ("has_people", "id", "key", "modes", "seq", "shape", "standings", "ts")

    def __init__(self, key: ConversationKey, id_: int, seq: int, ts: int, shape: Shape) -> None:
        self.key: Final = key
        self.id: Final = id_
        self.shape: Final = shape
        self.seq = seq
        self.ts = ts
        #: Private conversations: the participants of both people are known to be stored.
        self.has_people = False
        self.modes = Modes()
        #: Roles and floors of people who have a row here, until the room changes.
        self.standings: dict[NameKey, tuple[str, int]] = {}


class ConversationCache:
    """Find and create conversations, and find people."""

    def __init__(self, transaction: Transaction, epoch: str) -> None:
        self._transaction = transaction
        self._epoch = epoch
        self._conversations: dict[ConversationKey, KnownConversation] = {}
        self._names: dict[NameKey, str] = {}

    def shorten(self) -> None:
        """Clear the cache if it is too large."""
        if max(len(self._conversations), len(self._names)) > MAX_REMEMBERED:
            self.forget()

    def forget(self) -> None:
        """Clear the cache."""
        self._conversations.clear()
        self._names.clear()

    def conversation(self, key: ConversationKey) -> KnownConversation | None:
        """Return a conversation, or None if nobody has created it or written to it."""
        known = self._conversations.get(key)
        if known is None:
            query = "SELECT id, name, slow, announcements, archived FROM conversation WHERE key = ?"
            row = self._transaction.db.execute(query, (key,)).fetchone()
            if row is None:
                return None
            id_, name, slow, announcements, archived = row
            known = self._remember(key, id_, name)
            known.modes = Modes(slow, bool(announcements), bool(archived))
        return known

    def create_room(
        self, key: ConversationKey, name: str, *, is_private: bool
    ) -> KnownConversation:
        """Create a room without members."""
        cursor = self._transaction.db.execute(
            "INSERT INTO conversation (key, name, private) VALUES (?, ?, ?)",
            (key, name, is_private),
        )
        return self._remember(key, cursor.lastrowid, name)

    def create_private(self, key: ConversationKey) -> KnownConversation:
        """Create a private conversation.

        Raises:
            ChatError: ``unknown_person``: one of the two has no account.
        """
        for person in conversations.participants(key):
            self.name(person)
        cursor = self._transaction.db.execute("INSERT INTO conversation (key) VALUES (?)", (key,))
        return self._remember(key, cursor.lastrowid, None)

    def name(self, person: NameKey) -> str:
        """Return the display name of an account.

        Raises:
            ChatError: ``unknown_person``.
        """
        name = self._names.get(person)
        if name is None:
            query = "SELECT name FROM account WHERE key = ?"
            row = self._transaction.db.execute(query, (person,)).fetchone()
            if row is None:
                raise conversations.nobody(person, None)
            name = self._names[person] = row[0]
        return name

    def _remember(
        self, key: ConversationKey, id_: int | None, name: str | None
    ) -> KnownConversation:
        assert id_ is not None
        head = self._transaction.db.execute(
            "SELECT id, ts FROM entry WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
            (first_id(id_), last_id(id_)),
        ).fetchone()
        seq, ts = (head[0] & MAX_SEQ, head[1]) if head is not None else (0, 0)
        shape = Shape(self._transaction.db, key, name, self._epoch)
        known = self._conversations[key] = KnownConversation(key, id_, seq, ts, shape)
        return known
