"""The command about the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from gochat.chat.administration import AuditEntry
from gochat.server.admin.command import Arguments, Call, Command


class AuditPage(Arguments, frozen=True, kw_only=True):
    """Which entries to show."""

    before: Annotated[
        int | None, Meta(description="entries older than the one with this number (default: all)")
    ] = None
    limit: Annotated[int, Meta(ge=1, le=500, description="how many (default: 50)")] = 50


class ShownAudit(Struct, frozen=True, kw_only=True):
    """Entries of the audit log, the newest first; `next` is what to give as `before` for more."""

    acts: tuple[AuditEntry, ...]
    next: int | None


async def show(call: Call, page: AuditPage) -> ShownAudit:
    """Show a page of the audit log."""
    store = call.services.store.administration
    entries, has_more = await store.audit(before=page.before, limit=page.limit)
    return ShownAudit(acts=tuple(entries), next=entries[-1].id if has_more else None)


COMMANDS: Final[Mapping[str, Command]] = {
    "audit": Command(AuditPage, "admin", show, "list who did what here, and why, the newest first"),
}
