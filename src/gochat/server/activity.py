"""A person's activity: who mentions them, replies to them, reacts to what they wrote.

The store lists entries that may be such (:mod:`gochat.chat.activity`). Each is read here as the
person would read it now, and left out if it is nothing to them any more: it was deleted, edited, or
removed for its age; they are not in that room, or it is before what they may read there; its author
is blocked or gone. A page of many that are left out ends early, and says where to go on.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gochat.chat.accounts import Identity
from gochat.chat.activity import ActivityRef
from gochat.chat.conversations import ConversationKey
from gochat.chat.log import MAX_AHEAD
from gochat.chat.names import NameKey, known
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import (
    Activity,
    ActivityItem,
    ActivityList,
    MarkActivity,
    Ok,
)
from gochat.protocol.text import is_mentioned
from gochat.server.hub import OnlinePerson
from gochat.server.listed_entries import listed_entry, listed_page
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.storage.common.clock import wall_clock

#: Characters of what the person wrote that are given of it.
MAX_ABOUT: Final = 200
#: Bytes of an item besides its entry, at most: each of these characters can be escaped twice.
ITEM: Final = 100 + 7 * MAX_ABOUT


class ActivityRequests:
    """Answers `activity` and `mark_activity`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._gone = services.directory.gone

    async def list(
        self, session: Session, who: Identity, person: OnlinePerson, request: Activity
    ) -> None:
        """Reply with a page of the person's activity."""
        before = _decoded(request.cursor)
        index = await self._store.activity(who.key)
        refs = [
            ref
            for ref in index.refs
            if (before is None or ref < before) and session.grant.sees(ref.conversation)
        ]
        blocked = {known(name) for name in await self._store.blocked(who.key)}
        items, last = await listed_page(
            self._services, session, who, refs, request.limit,
            lambda ref: self._read(who, ref, blocked), ITEM,
        )  # fmt: skip
        cursor = None if last is None else _encoded(last)
        session.reply(
            ActivityList(items=items, seen=index.seen, cursor=cursor, request_id=request.request_id)
        )

    async def mark(
        self, session: Session, who: Identity, person: OnlinePerson, request: MarkActivity
    ) -> None:
        """Move forward up to when the person has seen their activity: for all their devices."""
        seen = min(request.seen, wall_clock() + MAX_AHEAD)
        if await self._store.mark_activity(who.key, seen):
            self._services.hub.publish_activity(who.key)
        session.reply(Ok(request_id=request.request_id))

    async def _read(
        self, who: Identity, ref: ActivityRef, blocked: Collection[NameKey]
    ) -> ActivityItem | None:
        """Return an entry if it concerns the person now, as they may read it."""
        entry = await listed_entry(self._store, who.key, ref.conversation, ref.seq)
        if entry is None or entry.deleted:
            return None
        sender = known(entry.from_)
        if sender == who.key or sender in blocked or sender in self._gone:
            return None
        if entry.kind == "text" and is_mentioned(who.name, entry.mentions):
            return ActivityItem(kind="mention", ts=ref.ts, entry=entry)
        if entry.ref is None:
            return None
        target = await listed_entry(self._store, who.key, ref.conversation, entry.ref)
        if target is None or known(target.from_) != who.key:
            return None
        if entry.kind == "react" and target.deleted:
            return None
        kind = "reply" if entry.kind == "text" else "reaction"
        return ActivityItem(kind=kind, ts=ref.ts, entry=entry, about=target.text[:MAX_ABOUT])


def _encoded(ref: ActivityRef) -> str:
    return f"{ref.ts} {ref.seq} {ref.conversation}"


def _decoded(cursor: str) -> ActivityRef | None:
    """Return after which entry a page begins, or None for the first page.

    Raises:
        ChatError: ``bad_cursor``.
    """
    if not cursor:
        return None
    try:
        ts, seq, conversation = cursor.split(" ", 2)
        return ActivityRef(int(ts), ConversationKey(conversation), int(seq))
    except ValueError:
        raise ChatError(
            ErrorCode.BAD_CURSOR, "the cursor is not from a list of activity", field="cursor"
        ) from None
