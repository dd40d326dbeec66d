"""The command about the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gochat.chat.administration import AuditEntry
from gochat.server.admin.arguments import AuditPage
from gochat.server.admin.call import Call, Handler

#: Entries looked at for one page: few of them may be in it.
MAX_LOOKED_AT: Final = 5000
#: Entries read at once.
PIECE: Final = 500


class ShownAudit(Struct, frozen=True, kw_only=True):
    """Entries of the audit log, the newest first; `next` is what to give as `before` for more."""

    acts: tuple[AuditEntry, ...]
    next: int | None


async def show(call: Call, page: AuditPage) -> ShownAudit:
    """Show a page of the audit log."""
    store = call.services.store.administration
    if not page.matching:
        entries, has_more = await store.audit(before=page.before, limit=page.limit)
        return ShownAudit(acts=tuple(entries), next=entries[-1].id if has_more else None)
    found: list[AuditEntry] = []
    before, has_more, looked_at = page.before, True, 0
    while has_more and len(found) < page.limit and looked_at < MAX_LOOKED_AT:
        entries, has_more = await store.audit(before=before, limit=PIECE)
        for entry in entries:
            before = entry.id
            looked_at += 1
            if _has(entry, page.matching.casefold()):
                found.append(entry)
                if len(found) == page.limit:
                    has_more = has_more or entry is not entries[-1]
                    break
    return ShownAudit(acts=tuple(found), next=before if has_more else None)


def _has(entry: AuditEntry, folded: str) -> bool:
    texts = (entry.actor, entry.act, entry.subject, entry.detail, entry.reason)
    return any(folded in text.casefold() for text in texts)


HANDLERS: Final[Mapping[str, Handler]] = {
    "audit": show,
}
