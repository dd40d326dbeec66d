"""What a command of the admin socket is.

The command line is made from the arguments' fields: one without a default is positional, one of
type bool is a flag, any other is an option. The description in a field's `Meta` is its help. One
with the `extra` :data:`SECRET` is read from standard input.

Results are structs, of which the command line prints each field; a field that is a tuple of structs
is printed as a table. Fields named as in :data:`TIMES` are times, in milliseconds since the Unix
epoch, 0 for none. A result that is one page of many has `next`, what to give as `after` for the
next page, empty on the last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeAlias

import structlog
from msgspec import Struct
from msgspec.structs import replace

from gochat.chat.administration import AuditEntry
from gochat.chat.server_roles import Actor, ActorRole
from gochat.errors import StoreUnavailable
from gochat.server.services import Services
from gochat.storage.common.clock import wall_clock

log = structlog.stdlib.get_logger()

#: Fields that are times.
TIMES: Final = frozenset({"at", "created", "seen", "expires"})
#: The `extra` of a field that is a number of seconds: on the command line ``--for 7d``.
DURATION: Final = {"duration": True}
#: The `extra` of a field that no list of processes should show.
SECRET: Final = {"secret": True}
#: The `extra` of a field that the command line does not have.
HIDDEN: Final = {"hidden": True}


class Arguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of a command."""


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

    async def failed(self, why: str) -> None:
        """Record that the act has failed, or may have, if it was recorded."""
        if self._recorded is not None:
            with contextlib.suppress(StoreUnavailable):
                entry = replace(self._recorded, at=wall_clock(), detail=f"FAILED: {why}")
                await self.services.store.administration.record(entry)


#: Carries out a command and returns its result, a struct. May raise ChatError and StoreUnavailable.
Handler: TypeAlias = Callable[[Call, Any], Awaitable[Struct]]


class Command(NamedTuple):
    """A row of the table: arguments, the least role that may send it, handler, and its summary.

    `acts`: it takes a reason, and records what it does (:meth:`Call.record`). `exports`: its
    result is a page of `records`, which the command line writes to a file, page after page
    (:mod:`gochat.server.admin.export`).
    """

    arguments: type[Arguments]
    least: ActorRole
    handle: Handler
    summary: str
    acts: bool = False
    exports: bool = False
