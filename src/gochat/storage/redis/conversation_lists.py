"""The set of each person's conversations, in that person's partition.

It is only an index: the person's row in a conversation decides whether it is theirs. So it is
written *before* the entry that makes it so, and nothing is ever removed from it: if the entry
fails, readers find no row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gochat.chat import conversations
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.log import Draft
from gochat.chat.names import NameKey
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand

#: Pairs of person and conversation known to be listed; the cache is cleared when it has more.
MAX_LISTED: Final = 50_000
#: Kinds of entries that list the conversation for their sender.
_LISTS_SENDER: Final = frozenset({"create", "join", "hand_over"})


class ConversationLists:
    """Create the operation that writes the sets, and cache what is in them already."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._listed: set[tuple[NameKey, ConversationKey]] = set()

    def forget(self) -> None:
        """Clear the cache."""
        self._listed = set()

    def add(self, drafts: Iterable[Draft]) -> Operation[None]:
        """Add the conversations of drafts to the sets of those who will have them."""
        unlisted: dict[tuple[NameKey, ConversationKey], None] = {}
        for draft in drafts:
            people: tuple[NameKey, ...] = ()
            if draft.kind == "text" and conversations.is_private(draft.conversation):
                people = conversations.participants(draft.conversation)
            elif draft.kind in _LISTS_SENDER:
                people = (draft.sender_key,)
            elif draft.kind == "invite" and draft.subject is not None:
                people = (draft.subject,)
            for person in people:
                pair = (person, draft.conversation)
                if draft.conversation != LOBBY_KEY and pair not in self._listed:
                    unlisted[pair] = None
        if not unlisted:
            return
        yield [
            RedisCommand(
                self._keys.partition(person),
                ("SADD", self._keys.person(person, key_kinds.CONVERSATIONS), conversation),
            )
            for person, conversation in unlisted
        ]
        if len(self._listed) > MAX_LISTED:
            self._listed = set()
        self._listed.update(unlisted)
