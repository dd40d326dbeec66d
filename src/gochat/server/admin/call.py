"""A command of the admin socket that is carried out."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import structlog
from msgspec import Struct
from msgspec.structs import replace

from gochat.chat.administration import AuditEntry
from gochat.chat.server_roles import Actor
from gochat.errors import StoreUnavailable
from gochat.server.services import Services
from gochat.storage.common.clock import wall_clock

log = structlog.stdlib.get_logger()


class Call:
    """A command that somebody has sent, with their reason."""

    def __init__(self, services: Services, actor: Actor, command: str, reason: str) -> None:
        self.services: Final = services
        self.actor: Final = actor
        self._command = command
        self.reason: Final = reason
        self._recorded: AuditEntry | None = None

    async def record(self, subject: str, detail: str = "") -> None:
        """Write the act to the audit log. Call it once all is checked, before it is done.

        So no act is missing there. One that fails after that gets a second entry, which says so
        (:meth:`failed`).
        """
        entry = AuditEntry(
            at=wall_clock(),
            actor=self.actor.name,
            act=self._command,
            subject=subject,
            detail=detail,
            reason=self.reason,
        )
        await self.services.store.administration.record(entry)
        self._recorded = entry
        log.info(
            "administered",
            **{name: getattr(entry, name) for name in ("act", "actor", "subject", "detail")},
        )

    def done(self) -> None:
        """Note that what was recorded is done: of a command with several acts another can begin."""
        self._recorded = None

    async def failed(self, why: str) -> None:
        """Record that the act has failed, or may have, if it was recorded."""
        if self._recorded is not None:
            with contextlib.suppress(StoreUnavailable):
                entry = replace(self._recorded, at=wall_clock(), detail=f"FAILED: {why}")
                await self.services.store.administration.record(entry)


#: Carries out a command and returns its result, a struct. May raise ChatError and StoreUnavailable.
Handler: TypeAlias = Callable[[Call, Any], Awaitable[Struct]]
