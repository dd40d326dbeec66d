"""Entries that a list refers to, each read as a person may read it now."""

from __future__ import annotations

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.store import Store
from gochat.protocol.messages import Message


async def listed_entry(
    store: Store, viewer: NameKey, conversation: ConversationKey, seq: int
) -> Message | None:
    """Return an entry in its present form, or None if `viewer` can't read it, or it is gone."""
    page = await store.page(conversation, viewer=viewer, after=seq - 1, limit=1)
    is_there = page.is_inside and page.entries and page.entries[0].seq == seq
    return page.entries[0] if is_there else None
