"""Find an entry by its time."""

from __future__ import annotations

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.store import Store


async def first_since(store: Store, conversation: ConversationKey, viewer: NameKey, at: int) -> int:
    """Return the seq of the first entry that `viewer` can read and that is not older than `at`.

    If all are older, the seq after the newest. Searches by bisection, since times rise with seq,
    but for a clock that was wrong: 20 look-ups for a million entries.
    """
    newest = await store.page(conversation, viewer=viewer, limit=1)
    low, high = newest.floor + 1, newest.head + 1
    while low < high:
        middle = (low + high) // 2
        page = await store.page(conversation, viewer=viewer, after=middle - 1, limit=1)
        if not page.entries:
            break  # the viewer has left meanwhile
        entry = page.entries[0]  # a later one, where the oldest were dropped
        low, high = (entry.seq + 1, high) if entry.ts < at else (low, middle)
    return low
