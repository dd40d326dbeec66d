"""Entries that a list refers to, each read as a person may read it now: their activity, or what
they have saved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from msgspec import structs

from gochat.chat.accounts import Identity
from gochat.chat.activity import ActivityRef
from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.saved import SavedRef
from gochat.chat.store import Store
from gochat.protocol.messages import ActivityItem, Message, SavedItem
from gochat.server.budget import PER_ITEM
from gochat.server.pages import ENVELOPE, as_received, size
from gochat.server.services import Services
from gochat.server.session import Session

#: Entries that are read for a page, at most.
MAX_READ: Final = 150

Item = TypeVar("Item", ActivityItem, SavedItem)
Ref = TypeVar("Ref", ActivityRef, SavedRef)


async def listed_page(
    services: Services,
    session: Session,
    who: Identity,
    refs: Sequence[Ref],
    limit: int,
    read: Callable[[Ref], Awaitable[Item | None]],
    beside: int,
) -> tuple[tuple[Item, ...], Ref | None]:
    """Return the first `limit` items that `read` returns for `refs`, or fewer; and the last of
    `refs` that was read, if there are more.

    They fit a frame, with at most `beside` bytes in an item besides its entry. A page of many that
    are left out ends early, and what is read beyond `limit` is charged.
    """
    room = services.config.limits.frame_bytes - ENVELOPE
    items: list[Item] = []
    done = 0
    for ref in refs[:MAX_READ]:
        item = await read(ref)
        if item is not None:
            (entry,) = as_received(
                (item.entry,), who.key, services.directory.gone, is_minimal=not session.caps
            )
            room -= size(entry) + beside
            if items and room < 0:
                break
            items.append(structs.replace(item, entry=entry))
        done += 1
        if len(items) == limit:
            break
        await session.give_way()
    services.budgets.spend(session.address, who.key, max(0, done - limit) * PER_ITEM)
    return tuple(items), refs[done - 1] if done < len(refs) else None


async def listed_entry(
    store: Store, viewer: NameKey, conversation: ConversationKey, seq: int
) -> Message | None:
    """Return an entry in its present form, or None if `viewer` can't read it, or it is gone."""
    page = await store.page(conversation, viewer=viewer, after=seq - 1, limit=1)
    is_there = page.is_inside and page.entries and page.entries[0].seq == seq
    return page.entries[0] if is_there else None
