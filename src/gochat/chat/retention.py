"""Retention: for how long, and how many, entries of a conversation are kept.

Whoever runs the server sets rules: one for all (:data:`DEFAULT`), one for private conversations
(:data:`PRIVATE`), and one for the lobby and for each room, under their keys. The most specific rule
holds, as a whole: a room with a rule of its own has nothing of the default. They are in the store,
so that all nodes go by the same ones.

Entries are removed from the oldest on, so what is kept is contiguous: from the seq after the *base*
to the head. The newest entry of a conversation always stays, because the log goes on from its seq
and its time; when it is a message that is too old, it is erased instead, as if it were deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from gochat.chat import conversations
from gochat.chat.conversations import ConversationKey
from gochat.protocol.messages import EntryKind

#: The scope of what has no rule of its own.
DEFAULT: Final = "default"
#: The scope of all private conversations.
PRIVATE: Final = "private"

#: Milliseconds.
_DAY: Final = 24 * 3600 * 1000


class Rule(Struct, frozen=True, kw_only=True):
    """What is kept: entries that are not older than `days`, and the newest `entries`.

    0 means no limit. What exceeds either is removed.
    """

    days: int = 0
    entries: int = 0

    @property
    def keeps_all(self) -> bool:
        """True if nothing is removed."""
        return not (self.days or self.entries)

    def cutoff(self, now: int) -> int:
        """Return the time before which entries are too old; both in milliseconds."""
        return now - self.days * _DAY if self.days else 0


#: What holds where there is no rule.
KEEP_ALL: Final = Rule()


class Oldest(NamedTuple):
    """The oldest entry that is kept of a conversation, and how many are kept.

    `is_erasable`: it is a message or an edit that still has its text.
    """

    ts: int
    kept: int
    is_erasable: bool

    def is_overdue(self, rule: Rule, now: int) -> bool:
        """Return True if the rule has something to remove, or to erase, at the time `now`."""
        is_old = self.ts < rule.cutoff(now)
        if self.kept <= 1:
            return is_old and self.is_erasable
        return is_old or 0 < rule.entries < self.kept


def scope_of(key: ConversationKey) -> str:
    """Return the scope of a conversation's own rule."""
    return PRIVATE if conversations.is_private(key) else key


def rule_for(rules: Mapping[str, Rule], key: ConversationKey) -> Rule:
    """Return the rule that holds for a conversation."""
    return rules.get(scope_of(key), rules.get(DEFAULT, KEEP_ALL))


def is_erasable(kind: EntryKind, *, deleted: bool) -> bool:
    """Return True for an entry that has a text of somebody."""
    return kind in ("text", "edit") and not deleted


class RetentionStore(Protocol):
    """What a store does for this: see :class:`gochat.chat.store.Store` for what applies to all."""

    async def rules(self) -> dict[str, Rule]:
        """Return the rules that were set, by their scopes."""
        ...

    async def set_rule(self, scope: str, rule: Rule | None) -> None:
        """Set the rule of a scope, or clear it with None."""
        ...

    async def claim(self, seconds: int) -> bool:
        """Return whether it is this node's turn to apply the rules.

        After that it is nobody's for so many `seconds`. A node that shares the store with none
        always has its turn.
        """
        ...

    async def overdue(
        self, rules: Mapping[str, Rule], after: str
    ) -> tuple[list[ConversationKey], str]:
        """Return those of the next conversations that have something to remove, and a cursor.

        `after` is the cursor of the call before, empty at first; the cursor is empty after the
        last conversations. One that is created or changed meanwhile may be missing.
        """
        ...

    async def remove(self, key: ConversationKey, rule: Rule) -> bool:
        """Remove some of what a rule doesn't keep; return False once nothing of that is left.

        It takes a few milliseconds, and where the search index is behind, it does nothing. With an
        entry go its text, reactions, mentions and the text of its last edit; only a digest of its
        `cid` stays, so that sending it again makes no second entry. Nobody is notified. Where the
        newest entry is too old, its text, metadata and reactions go.
        """
        ...
