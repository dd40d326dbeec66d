"""The command about the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gochat.chat.administration import AuditEntry
from gochat.server.admin.arguments import AuditPage
from gochat.server.admin.call import Call, Handler


class ShownAudit(Struct, frozen=True, kw_only=True):
    """Entries of the audit log, the newest first; `next` is what to give as `before` for more."""

    acts: tuple[AuditEntry, ...]
    next: int | None


async def show(call: Call, page: AuditPage) -> ShownAudit:
    """Show a page of the audit log."""
    store = call.services.store.administration
    entries, has_more = await store.audit(before=page.before, limit=page.limit)
    return ShownAudit(acts=tuple(entries), next=entries[-1].id if has_more else None)


HANDLERS: Final[Mapping[str, Handler]] = {
    "audit": show,
}
