"""Record what moderators and admins do in the chat, by their role at the server.

As what is done over the admin socket (:mod:`gochat.server.admin.command`), it is recorded before it
is done, and once more if it then fails. What operators do in their rooms is not: the room's log has
it.
"""

from __future__ import annotations

import contextlib
from typing import Final

import structlog
from msgspec.structs import replace

from gochat.chat import extras
from gochat.chat.accounts import Identity
from gochat.chat.administration import AuditEntry
from gochat.chat.log import Draft
from gochat.chat.restriction import duration
from gochat.chat.server_roles import ServerRole
from gochat.chat.store import Store
from gochat.errors import ChatError, StoreUnavailable
from gochat.protocol.messages import EntryKind
from gochat.storage.common.clock import wall_clock

log = structlog.stdlib.get_logger()

_ACTS: Final[dict[EntryKind, str]] = {
    "delete": "message delete",
    "pin": "message pin",
    "unpin": "message unpin",
    "kick": "room kick",
    "ban": "room ban",
    "unban": "room unban",
    "operator": "room operator",
    "topic": "room topic",
    "slow": "room slow",
    "announcements": "room announcements",
    "archive": "room archive",
}


class Act:
    """An act of somebody. It is recorded once, however often it is tried."""

    def __init__(self, store: Store, who: Identity) -> None:
        self._store = store
        self._who = who
        self._recorded: AuditEntry | None = None

    async def record(
        self, role: ServerRole, act: str, subject: str, detail: str = "", reason: str = ""
    ) -> None:
        """Write it to the audit log."""
        if self._recorded is not None:
            return
        entry = AuditEntry(
            at=wall_clock(),
            actor=f"{self._who.name} ({role})",
            act=act,
            subject=subject,
            detail=detail,
            reason=reason,
        )
        await self._store.administration.record(entry)
        self._recorded = entry
        log.info("administered", act=act, actor=entry.actor, subject=subject, detail=detail)

    async def record_draft(self, draft: Draft) -> None:
        """Record what a draft does that is allowed by the role of its sender."""
        assert draft.facts is not None
        assert draft.facts.server_role is not None
        subject, detail = draft.to, draft.text
        if draft.subject is not None:
            subject, detail = draft.text, draft.to
        elif draft.facts.acts_on is not None:
            key = draft.facts.acts_on[0]
            subject = (await self._store.display_names((key,))).get(key, key)
            detail = f"{draft.to} {draft.ref}"
        elif draft.ref is not None:
            detail = str(draft.ref)
        seconds = extras.lifetime(draft.extra) if draft.kind == "ban" else 0
        if seconds:
            detail += f" {duration(seconds)}"
        reason = extras.reason(draft.extra)
        await self.record(draft.facts.server_role, _ACTS[draft.kind], subject, detail, reason)

    async def failed(self, error: ChatError | StoreUnavailable) -> None:
        """Record that it has failed, or may have, if it was recorded."""
        if self._recorded is not None:
            with contextlib.suppress(StoreUnavailable):
                entry = replace(self._recorded, at=wall_clock(), detail=f"FAILED: {error}")
                await self._store.administration.record(entry)


def is_by_role(draft: Draft) -> bool:
    """Return whether a draft is allowed to its sender by their role at the server."""
    facts = draft.facts
    return (
        facts is not None
        and facts.server_role is not None
        and facts.sender != ("operator",)
        and draft.kind in _ACTS
    )
